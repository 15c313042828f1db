#pragma once
// Attention of one head over one sequence, row by row. Scores of one query live at a time; no T x T buffer exists.
#include <bit>
#include <cmath>
#include <limits>

#include "plume/kernels/attention/intervals.hpp"
#include "plume/kernels/reference/elementwise.hpp"
#include "plume/kernels/reference/sums.hpp"

namespace plume::inline PLUME_ABI::kernels::reference {

// All of a score but q and k:
//   raw = scale * q.k;  capped = cap * tanh(raw / cap) if cap > 0;  score = capped + slope * (key - query) + relative[bucket(key - query)]
// slope: ALiBi [Press et al. 2021]. relative: a learned table column [Shaw et al. 2018; Raffel et al. 2019].
template <class T>
struct ScoreRule {
  T scale = T(1);
  T soft_cap = T(0);
  T slope = T(0);
  View<const T, 1> relative = {};              // (buckets); absent: no learned bias
  std::span<const std::int32_t> buckets = {};  // bucket of key - query, at index key - query + bucket_zero, clamped to the ends
  Index bucket_zero = 0;
  Dropout dropout = {};           // of probabilities
  std::uint64_t dropout_row = 0;  // number of the first query row among all rows of all heads
  Index first_query = 0;          // position of query row 0 among the keys

  Index bucket(Index query, Index key) const {
    const Index at = key - query + bucket_zero, last = static_cast<Index>(buckets.size()) - 1;
    return buckets[static_cast<std::size_t>(at < 0 ? 0 : at > last ? last : at)];
  }
};

// The scores of query row r over its visible keys, written to scores[key].
template <class T>
void attention_scores(T* scores, Input<T, 1> query, Input<T, 2> keys, std::span<const KeyInterval> visible, Index r,
                      const ScoreRule<T>& rule) {
  using std::tanh;
  const Index position = rule.first_query + r;
  for (const KeyInterval interval : visible) {
    for (Index key = interval.begin; key < interval.end; ++key) {
      T score = rule.scale * dot(query.data(), keys.row(key), keys.columns());
      if (rule.soft_cap > T(0)) score = rule.soft_cap * tanh(score / rule.soft_cap);
      score += rule.slope * T(static_cast<double>(key - position));
      if (rule.relative) score += rule.relative[rule.bucket(position, key)];
      scores[key] = score;
    }
  }
}

// Dropout factors of query row r, for keys [begin, end).
template <class T>
void attention_dropout(T* factors, Index r, Index begin, Index end, const ScoreRule<T>& rule) {
  const Index aligned = begin / 4 * 4;
  rule.dropout.factors(factors + aligned, ((rule.dropout_row + static_cast<std::uint64_t>(r)) << 32) + static_cast<std::uint64_t>(aligned),
                       end - aligned);
}

// attention: q (R, D), keys (S, D), values (S, E) -> y (R, E), log_sum_exp (R);  y = softmax(scores) values.  A row that sees no key gives
// 0. `mask` row `first_row` + r belongs to query row r.      [Vaswani et al. 2017]
template <class T>
void attention(Output<T, 2> y, Optional<T, 1> log_sum_exp, Input<T, 2> q, Input<T, 2> keys, Input<T, 2> values, const IntervalMask& mask,
               Index first_row, const ScoreRule<T>& rule) {
  using std::exp, std::log;
  // A power of two, so that a cache that grows by a token does not need a larger block for each.
  PoolVector<T> scores(std::bit_ceil(static_cast<std::size_t>(std::max<Index>(keys.rows(), 64)))), factors(rule.dropout.rate > 0 ? scores.size() + 4 : 0);
  for (Index r = 0; r < q.rows(); ++r) {
    const auto visible = mask.row(first_row + r);
    T* out = y.row(r);
    for (Index e = 0; e < y.columns(); ++e) out[e] = T(0);
    attention_scores<T>(scores.data(), View<const T, 1>(q.row(r), {q.columns()}), keys, visible, r, rule);
    T largest = T(-std::numeric_limits<double>::infinity()), total = T(0);
    for (const KeyInterval i : visible)
      for (Index key = i.begin; key < i.end; ++key)
        largest = scores[static_cast<std::size_t>(key)] > largest ? scores[static_cast<std::size_t>(key)] : largest;
    for (const KeyInterval i : visible) {
      if (rule.dropout.rate > 0) attention_dropout(factors.data(), r, i.begin, i.end, rule);
      for (Index key = i.begin; key < i.end; ++key) {
        T weight = exp(scores[static_cast<std::size_t>(key)] - largest);
        total += weight;
        if (rule.dropout.rate > 0) weight = weight * factors[static_cast<std::size_t>(key)];
        const T* value = values.row(key);
        for (Index e = 0; e < y.columns(); ++e) out[e] += weight * value[e];
      }
    }
    if (!visible.empty())
      for (Index e = 0; e < y.columns(); ++e) out[e] = out[e] / total;
    if (log_sum_exp) log_sum_exp[r] = log(total) + largest;
  }
}

// What the backward pass adds to; any may be absent. drelative (buckets) is the gradient of rule.relative.
template <class T>
struct AttentionGradients {
  View<T, 2> q = {}, keys = {}, values = {};
  View<T, 1> relative = {};
};

// Backward of attention, probabilities recomputed from log_sum_exp:
//   dP = dy values^T * dropout;  dS = P * (dP - dy.y);  dq = scale dS' keys;  dkeys = scale dS'^T q;  dvalues = (P * dropout)^T dy
// with dS' = dS * (1 - (capped/cap)^2) under a soft cap.
template <class T>
void attention_backward(const AttentionGradients<T>& gradients, Input<T, 2> dy, Input<T, 2> y, Input<T, 1> log_sum_exp, Input<T, 2> q,
                        Input<T, 2> keys, Input<T, 2> values, const IntervalMask& mask, Index first_row, const ScoreRule<T>& rule) {
  using std::exp, std::tanh;
  PoolVector<T> scores(static_cast<std::size_t>(keys.rows())), factors(rule.dropout.rate > 0 ? scores.size() + 4 : 0);
  for (Index r = 0; r < q.rows(); ++r) {
    const auto visible = mask.row(first_row + r);
    const Index position = rule.first_query + r;
    const T* query = q.row(r);
    const T* gradient = dy.row(r);
    attention_scores<T>(scores.data(), View<const T, 1>(query, {q.columns()}), keys, visible, r, rule);
    const T flow = dot(gradient, y.row(r), y.columns());
    for (const KeyInterval i : visible) {
      if (rule.dropout.rate > 0) attention_dropout(factors.data(), r, i.begin, i.end, rule);
      for (Index key = i.begin; key < i.end; ++key) {
        const T factor = rule.dropout.rate > 0 ? factors[static_cast<std::size_t>(key)] : T(1);
        const T probability = exp(scores[static_cast<std::size_t>(key)] - log_sum_exp[r]);
        if (gradients.values)
          for (Index e = 0; e < y.columns(); ++e) gradients.values.row(key)[e] += probability * factor * gradient[e];
        T dscore = probability * (factor * dot(gradient, values.row(key), y.columns()) - flow);
        if (gradients.relative) gradients.relative[rule.bucket(position, key)] += dscore;
        if (rule.soft_cap > T(0)) {
          const T t = tanh(rule.scale * dot(query, keys.row(key), keys.columns()) / rule.soft_cap);
          dscore = dscore * (T(1) - t * t);
        }
        const T weight = rule.scale * dscore;
        if (gradients.q)
          for (Index d = 0; d < q.columns(); ++d) gradients.q.row(r)[d] += weight * keys.row(key)[d];
        if (gradients.keys)
          for (Index d = 0; d < q.columns(); ++d) gradients.keys.row(key)[d] += weight * query[d];
      }
    }
  }
}

// probabilities (R, S) of one head, zero where not visible: for looking inside, and the only place with such a buffer.
template <class T>
void attention_probabilities(Output<T, 2> probabilities, Input<T, 2> q, Input<T, 2> keys, const IntervalMask& mask,
                             const ScoreRule<T>& rule) {
  using std::exp;
  PoolVector<T> scores(static_cast<std::size_t>(keys.rows()));
  for (Index r = 0; r < q.rows(); ++r) {
    const auto visible = mask.row(r);
    T* row = probabilities.row(r);
    for (Index key = 0; key < keys.rows(); ++key) row[key] = T(0);
    attention_scores<T>(scores.data(), View<const T, 1>(q.row(r), {q.columns()}), keys, visible, r, rule);
    T largest = T(-std::numeric_limits<double>::infinity()), total = T(0);
    for (const KeyInterval i : visible)
      for (Index key = i.begin; key < i.end; ++key)
        largest = scores[static_cast<std::size_t>(key)] > largest ? scores[static_cast<std::size_t>(key)] : largest;
    for (const KeyInterval i : visible)
      for (Index key = i.begin; key < i.end; ++key) total += row[key] = exp(scores[static_cast<std::size_t>(key)] - largest);
    for (Index key = 0; key < keys.rows() && !visible.empty(); ++key) row[key] = row[key] / total;
  }
}

}  // namespace plume::inline PLUME_ABI::kernels::reference
