#pragma once
#include "plume/autograd/tape.hpp"
#include "plume/kernels/attention/sequences.hpp"
#include "plume/kernels/reference/elementwise.hpp"

namespace plume::inline PLUME_ABI {

using kernels::HeadShape;
using kernels::reference::Dropout;

// One sequence of a packed batch: the queries are rows [begin, end) of q; keys (S, key_heads * head_width) and values may be row views of
// the batch (training) or a cache (generation).
struct AttentionSegment {
  Index begin = 0, end = 0;
  Tensor keys = {}, values = {};
  std::shared_ptr<const IntervalMask> mask = {};  // one row for each query
  Index first_query = 0;                          // position of the first query among the keys
};

// A learned bias by distance: table (heads, buckets), and the bucket of each distance key - query (index distance + zero, clamped to the
// ends).
struct RelativeBias {
  Tensor table = {};
  std::vector<std::int32_t> buckets = {};
  Index zero = 0;
};

struct AttentionOptions {
  HeadShape heads = {};
  double scale = 1;                // of q.k; 1 / sqrt(head_width) as a rule
  double soft_cap = 0;             // > 0: scores become cap * tanh(score / cap)
  PoolVector<double> slopes = {};  // ALiBi, one for each head; empty: none
  RelativeBias relative = {};
  Dropout dropout = {};  // of probabilities
};

// attention: q (T, query_heads * head_width), segments -> y (T, query_heads * value_width).  The formula stands with
// kernels::reference::attention; query head h reads key head h / (query_heads / key_heads).      [Vaswani et al. 2017; Ainslie et al. 2023]
PLUME_FUNCTION Tensor attention(const Tensor& q, std::span<const AttentionSegment> sequences_of_batch, AttentionOptions options);

PLUME_FUNCTION Tensor attention(const Tensor& q, std::initializer_list<AttentionSegment> segments, AttentionOptions options);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/attention/table.hpp"

namespace plume::inline PLUME_ABI {

namespace ops_detail {
// The score rule of a head; `rows` is the number of all queries of the batch.
template <class T>
kernels::ScoreRule<T> score_rule(const AttentionOptions& options, Index head, Index rows) {
  kernels::ScoreRule<T> rule;
  rule.scale = static_cast<T>(options.scale);
  rule.soft_cap = static_cast<T>(options.soft_cap);
  if (!options.slopes.empty()) rule.slope = static_cast<T>(options.slopes[static_cast<std::size_t>(head)]);
  if (options.relative.table) {
    rule.relative = {options.relative.table.view<const T, 2>().row(head), {options.relative.table.columns()}};
    rule.buckets = options.relative.buckets;
    rule.bucket_zero = options.relative.zero;
  }
  rule.dropout = options.dropout;
  rule.dropout_row = static_cast<std::uint64_t>(head) * static_cast<std::uint64_t>(rows);
  return rule;
}
}  // namespace ops_detail

PLUME_FUNCTION Tensor attention(const Tensor& q, std::span<const AttentionSegment> sequences_of_batch, AttentionOptions options) {
  const PoolVector<AttentionSegment> segments(sequences_of_batch.begin(), sequences_of_batch.end());
  const HeadShape& heads = options.heads;
  require(heads.key_heads >= 1 && heads.query_heads % heads.key_heads == 0, "[attention] ", heads.query_heads, " query heads cannot share ",
          heads.key_heads, " key heads");
  require(q.columns() == heads.query_heads * heads.head_width, "[attention] q is ", q.shape(), ": expected ", heads.query_heads,
          " heads of ", heads.head_width);
  require(options.slopes.empty() || static_cast<Index>(options.slopes.size()) == heads.query_heads, "[attention] ", options.slopes.size(),
          " slopes for ", heads.query_heads, " heads");
  const Tensor& table = options.relative.table;
  require(!table || (table.rows() == heads.query_heads && table.dtype() == q.dtype()), "[attention] the relative bias table is ",
          table.shape());
  for (const std::int32_t bucket : options.relative.buckets)
    require(table && bucket >= 0 && bucket < table.columns(), "[attention] bucket ", bucket, " is not in the relative bias table ",
            table.shape());
  require(!table || !options.relative.buckets.empty(), "[attention] a relative bias table needs buckets");
  require(options.dropout.rate >= 0 && options.dropout.rate < 1, "[attention] dropout rate ", options.dropout.rate, " is not in [0, 1)");
  PoolVector<Tensor> inputs{q, table};
  Index covered = 0;
  for (const AttentionSegment& s : segments) {
    require(s.begin >= covered && s.begin <= s.end && s.end <= q.rows() && s.mask && s.mask->rows() == s.end - s.begin,
            "[attention] segment [", s.begin, ", ", s.end, ") of ", q.rows(), " rows: segments ascend, and each has a mask row per query");
    covered = s.end;
    require(s.keys.columns() == heads.key_heads * heads.head_width && s.values.columns() == heads.key_heads * heads.value_width &&
                s.keys.rows() == s.values.rows() && s.keys.dtype() == q.dtype() && s.values.dtype() == q.dtype(),
            "[attention] keys are ", s.keys.shape(), ", values are ", s.values.shape(), " for ", heads.key_heads, " heads of ",
            heads.head_width, " and ", heads.value_width);
    require(s.mask->keys() <= s.keys.rows(), "[attention] the mask of segment [", s.begin, ", ", s.end, ") sees ", s.mask->keys(),
            " keys, there are ", s.keys.rows());
    inputs.push_back(s.keys);
    inputs.push_back(s.values);
  }
  const Tensor y = Tensor::zeros({q.rows(), heads.query_heads * heads.value_width}, q.dtype());
  const Tensor log_sum_exp = Tensor::empty({heads.query_heads, q.rows()}, q.dtype());

  // The typed views of the segments.
  const auto sequences = [segments]<class T>(const T*, Gradients* d) {
    PoolVector<kernels::AttentionSequence<T>> list;
    for (const AttentionSegment& s : segments) {
      list.push_back({s.begin, s.end, s.keys.view<const T, 2>(), s.values.view<const T, 2>(), {}, {}, s.mask.get(), s.first_query});
      if (d != nullptr) {
        list.back().dkeys = view_or_none<T, 2>((*d)[s.keys]);
        list.back().dvalues = view_or_none<T, 2>((*d)[s.values]);
      }
    }
    return list;
  };
  const auto head_rule = [options, rows = q.rows()]<class T>(const T*, Index head) {
    return ops_detail::score_rule<T>(options, head, rows);
  };

  visit_float(q.dtype(), [&]<class T>() {
    const auto list = sequences(static_cast<const T*>(nullptr), nullptr);
    kernels::attention<T>(y.view<T, 2>(), log_sum_exp.view<T, 2>(), q.view<const T, 2>(), list, heads,
                          [&](Index head) { return head_rule(static_cast<const T*>(nullptr), head); });
  });
  traced("attention", y, inputs, [=](Gradients& d, const Tensor& dy) {
    visit_float(dy.dtype(), [&]<class T>() {
      const auto list = sequences(static_cast<const T*>(nullptr), &d);
      kernels::attention_backward<T>(view_or_none<T, 2>(d[q]), view_or_none<T, 2>(d[options.relative.table]), dy.view<const T, 2>(),
                                     y.view<const T, 2>(), log_sum_exp.view<const T, 2>(), q.view<const T, 2>(), list, options.heads,
                                     [&](Index head) { return head_rule(static_cast<const T*>(nullptr), head); });
    });
  });
  // The backward pass takes exp(score - log_sum_exp) of the same scores again, and small differences of products with values and with y.
  if (Tape* const tape = Tape::current()) {
    for (const Tensor& x : inputs) tape->keep_exact(x);
    tape->keep_exact(y);
  }
  return y;
}

PLUME_FUNCTION Tensor attention(const Tensor& q, std::initializer_list<AttentionSegment> segments, AttentionOptions options) {
  return attention(q, std::span<const AttentionSegment>(segments.begin(), segments.size()), std::move(options));
}

}  // namespace plume::inline PLUME_ABI
#endif
