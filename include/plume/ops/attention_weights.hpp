#pragma once
// Attention maps, for looking inside: attention() itself never holds one.
#include "plume/ops/attention.hpp"

namespace plume::inline PLUME_ABI {

// The probabilities of attention(): one tensor (query_heads, queries, keys) for each segment, zero where a query may not look. Constants:
// they carry no gradient, and dropout leaves them alone.
PLUME_FUNCTION std::vector<Tensor> attention_weights(const Tensor& q, std::span<const AttentionSegment> segments,
                                                     const AttentionOptions& options);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/reference/attention.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION std::vector<Tensor> attention_weights(const Tensor& q, std::span<const AttentionSegment> segments,
                                                     const AttentionOptions& options) {
  const HeadShape& heads = options.heads;
  std::vector<Tensor> maps;
  for (const AttentionSegment& segment : segments) {
    const Index queries = segment.end - segment.begin;
    const Tensor map = Tensor::zeros({heads.query_heads * queries, segment.keys.rows()}, q.dtype());
    visit_float(q.dtype(), [&]<class T>() {
      for (Index head = 0; head < heads.query_heads; ++head) {
        kernels::ScoreRule<T> rule = ops_detail::score_rule<T>(options, head, q.rows());
        rule.first_query = segment.first_query;
        const Index from = head * heads.head_width, key_from = head / heads.group() * heads.head_width;
        kernels::reference::attention_probabilities<T>(
            map.rows(head * queries, (head + 1) * queries).view<T, 2>(),
            q.rows(segment.begin, segment.end).columns(from, from + heads.head_width).view<const T, 2>(),
            segment.keys.columns(key_from, key_from + heads.head_width).view<const T, 2>(), *segment.mask, rule);
      }
    });
    maps.push_back(map.reshape({heads.query_heads, queries, segment.keys.rows()}));
  }
  return maps;
}

}  // namespace plume::inline PLUME_ABI
#endif
