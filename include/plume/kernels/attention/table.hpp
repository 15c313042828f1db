#pragma once
// The door of attention: tiles of the chosen level for float, the reference loop for every other scalar.
#include "plume/kernels/attention/tiled.hpp"
#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI::kernels {

using reference::AttentionGradients;

inline const AttentionLevel& attention_level() {
  static const AttentionLevel& chosen = at_chosen_level(attention_levels);
  return chosen;
}

namespace attention_detail {

template <class HeadRule>
HeadRules erase(const HeadRule& head_rule) {
  return {&head_rule, [](const void* rule, Index head) -> ScoreRule<float> { return (*static_cast<const HeadRule*>(rule))(head); }};
}

}  // namespace attention_detail

// The rule of one head: `rule` with the head's slope, table column and dropout rows filled in by `head_rule(head)`.
template <class T, class HeadRule>
void attention(View<T, 2> y, View<T, 2> log_sum_exp, View<const T, 2> q, std::span<const AttentionSequence<T>> sequences,
               const HeadShape& shape, const HeadRule& head_rule) {
  if constexpr (std::is_same_v<T, float>) {
    attention_forward(attention_level(), y, log_sum_exp, q, sequences, shape, attention_detail::erase(head_rule));
  } else {
    Index cost = 0;
    for (const auto& s : sequences) cost += (s.end - s.begin) * s.keys.rows() * q.columns();
    const Index heads = shape.query_heads;
    parallel_for(static_cast<Index>(sequences.size()) * heads, 1, cost, [&](Index task, Index) {
      const auto& s = sequences[static_cast<std::size_t>(task / heads)];
      const Index head = task % heads, key_head = head / shape.group();
      ScoreRule<T> rule = head_rule(head);
      rule.first_query = s.first_query;
      rule.dropout_row += static_cast<std::uint64_t>(s.begin);
      const auto lse = log_sum_exp ? View<T, 1>(log_sum_exp.row(head) + s.begin, {s.end - s.begin}) : View<T, 1>{};
      reference::attention<T>(y.rows(s.begin, s.end).columns(head * shape.value_width, (head + 1) * shape.value_width), lse,
                              q.rows(s.begin, s.end).columns(head * shape.head_width, (head + 1) * shape.head_width),
                              s.keys.columns(key_head * shape.head_width, (key_head + 1) * shape.head_width),
                              s.values.columns(key_head * shape.value_width, (key_head + 1) * shape.value_width), *s.mask, 0, rule);
    });
  }
}

// log_sum_exp is (heads, T), drelative (heads, buckets). In the reference loop the query heads of a group, which add to the same keys, are
// one task; a learned table and common keys are shared by sequences, so then the cut is over key heads alone.
template <class T, class HeadRule>
void attention_backward(View<T, 2> dq, View<T, 2> drelative, View<const T, 2> dy, View<const T, 2> y, View<const T, 2> log_sum_exp,
                        View<const T, 2> q, std::span<const AttentionSequence<T>> sequences, const HeadShape& shape,
                        const HeadRule& head_rule) {
  if constexpr (std::is_same_v<T, float>) {
    attention_backward(attention_level(), dq, drelative, dy, y, log_sum_exp, q, sequences, shape, attention_detail::erase(head_rule));
  } else {
    const auto one = [&](const AttentionSequence<T>& s, Index key_head) {
      const auto k0 = key_head * shape.head_width, v0 = key_head * shape.value_width;
      for (Index head = key_head * shape.group(); head < (key_head + 1) * shape.group(); ++head) {
        const Index q0 = head * shape.head_width, y0 = head * shape.value_width;
        ScoreRule<T> rule = head_rule(head);
        rule.first_query = s.first_query;
        rule.dropout_row += static_cast<std::uint64_t>(s.begin);
        AttentionGradients<T> gradients;
        if (dq) gradients.q = dq.rows(s.begin, s.end).columns(q0, q0 + shape.head_width);
        if (s.dkeys) gradients.keys = s.dkeys.columns(k0, k0 + shape.head_width);
        if (s.dvalues) gradients.values = s.dvalues.columns(v0, v0 + shape.value_width);
        if (drelative) gradients.relative = View<T, 1>(drelative.row(head), {drelative.columns()});
        reference::attention_backward<T>(
            gradients, dy.rows(s.begin, s.end).columns(y0, y0 + shape.value_width),
            y.rows(s.begin, s.end).columns(y0, y0 + shape.value_width),
            View<const T, 1>(log_sum_exp.row(head) + s.begin, {s.end - s.begin}), q.rows(s.begin, s.end).columns(q0, q0 + shape.head_width),
            s.keys.columns(k0, k0 + shape.head_width), s.values.columns(v0, v0 + shape.value_width), *s.mask, 0, rule);
      }
    };
    if (drelative || share_keys(sequences)) {
      parallel_for(shape.key_heads, 1, [&](Index key_head, Index) {
        for (const auto& s : sequences) one(s, key_head);
      });
    } else {
      parallel_for(static_cast<Index>(sequences.size()) * shape.key_heads, 1,
                   [&](Index task, Index) { one(sequences[static_cast<std::size_t>(task / shape.key_heads)], task % shape.key_heads); });
    }
  }
}

}  // namespace plume::inline PLUME_ABI::kernels
