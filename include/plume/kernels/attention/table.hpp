#pragma once
// The door of attention: cuts the work over sequences, heads and query tiles.
#include "plume/kernels/elementwise/table.hpp"
#include "plume/kernels/reference/attention.hpp"

namespace plume::inline PLUME_ABI::kernels {

using reference::AttentionGradients;
using reference::ScoreRule;

template <class T>
struct AttentionTable {
  using InRows = View<const T, 2>;
  void (*attention)(View<T, 2> y, View<T, 1> log_sum_exp, InRows q, InRows keys, InRows values, const IntervalMask& mask, Index first_row,
                    const ScoreRule<T>& rule);
  void (*attention_backward)(const AttentionGradients<T>& gradients, InRows dy, InRows y, View<const T, 1> log_sum_exp, InRows q,
                             InRows keys, InRows values, const IntervalMask& mask, Index first_row, const ScoreRule<T>& rule);
};

template <class T>
const AttentionTable<T>& attention_table() {
  static constexpr AttentionTable<T> reference_level{reference::attention<T>, reference::attention_backward<T>};
  return reference_level;
}

// Head counts and widths: q (T, query_heads * head_width), keys (S, key_heads * head_width), values (S, key_heads * value_width).
struct HeadShape {
  Index query_heads = 1, key_heads = 1, head_width = 0, value_width = 0;
  Index group() const { return query_heads / key_heads; }  // query heads that share a key head
};

// One sequence of the packed rows: its queries are rows [begin, end), its keys and values are tensors of their own.
template <class T>
struct AttentionSequence {
  Index begin = 0, end = 0;
  View<const T, 2> keys, values;
  View<T, 2> dkeys = {}, dvalues = {};  // where the backward pass adds; may be absent
  const IntervalMask* mask = nullptr;
  Index first_query = 0;  // position of the first query among the keys
};

// The rule of one head: `rule` with the head's slope, table column and dropout rows filled in by `head_rule(head)`.
template <class T, class HeadRule>
void attention(View<T, 2> y, View<T, 2> log_sum_exp, View<const T, 2> q, std::span<const AttentionSequence<T>> sequences,
               const HeadShape& shape, HeadRule&& head_rule) {
  constexpr Index tile = 32;
  PoolVector<Index> first_task{0};
  Index cost = 0;
  for (const auto& s : sequences) {
    first_task.push_back(first_task.back() + (s.end - s.begin + tile - 1) / tile * shape.query_heads);
    cost += (s.end - s.begin) * s.keys.rows() * q.columns();
  }
  parallel_for(first_task.back(), 1, cost, [&](Index task, Index) {
    const auto at = static_cast<std::size_t>(std::upper_bound(first_task.begin(), first_task.end(), task) - first_task.begin() - 1);
    const auto& s = sequences[at];
    const Index head = (task - first_task[at]) % shape.query_heads, row = (task - first_task[at]) / shape.query_heads * tile;
    const Index from = s.begin + row, to = std::min(s.end, from + tile), key_head = head / shape.group();
    ScoreRule<T> rule = head_rule(head);
    rule.first_query = s.first_query + row;
    rule.dropout_row += static_cast<std::uint64_t>(from);
    const auto lse = log_sum_exp ? View<T, 1>(log_sum_exp.row(head) + from, {to - from}) : View<T, 1>{};
    attention_table<T>().attention(y.rows(from, to).columns(head * shape.value_width, (head + 1) * shape.value_width), lse,
                                   q.rows(from, to).columns(head * shape.head_width, (head + 1) * shape.head_width),
                                   s.keys.columns(key_head * shape.head_width, (key_head + 1) * shape.head_width),
                                   s.values.columns(key_head * shape.value_width, (key_head + 1) * shape.value_width), *s.mask, row, rule);
  });
}

// Whether two sequences add to the same rows of keys or values: several queries that read one memory.
template <class T>
bool share_keys(std::span<const AttentionSequence<T>> sequences) {
  const auto overlap = [&](View<T, 2> AttentionSequence<T>::*member) {
    PoolVector<std::pair<const T*, const T*>> ranges;
    for (const auto& s : sequences) {
      const View<T, 2> rows = s.*member;
      if (rows && rows.rows() > 0) ranges.emplace_back(rows.data(), rows.row(rows.rows() - 1) + rows.columns());
    }
    std::sort(ranges.begin(), ranges.end());
    return std::adjacent_find(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return b.first < a.second; }) !=
           ranges.end();
  };
  return overlap(&AttentionSequence<T>::dkeys) || overlap(&AttentionSequence<T>::dvalues);
}

// Cut over sequences and key heads: the query heads of a group add to the same keys. log_sum_exp is (heads, T).
// A learned table (drelative: (heads, buckets)) and common keys are shared by sequences, so then the cut is over key heads alone.
template <class T, class HeadRule>
void attention_backward(View<T, 2> dq, View<T, 2> drelative, View<const T, 2> dy, View<const T, 2> y, View<const T, 2> log_sum_exp,
                        View<const T, 2> q, std::span<const AttentionSequence<T>> sequences, const HeadShape& shape, HeadRule&& head_rule) {
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
      attention_table<T>().attention_backward(
          gradients, dy.rows(s.begin, s.end).columns(y0, y0 + shape.value_width),
          y.rows(s.begin, s.end).columns(y0, y0 + shape.value_width), View<const T, 1>(log_sum_exp.row(head) + s.begin, {s.end - s.begin}),
          q.rows(s.begin, s.end).columns(q0, q0 + shape.head_width), s.keys.columns(k0, k0 + shape.head_width),
          s.values.columns(v0, v0 + shape.value_width), *s.mask, 0, rule);
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

}  // namespace plume::inline PLUME_ABI::kernels
