#pragma once
// Learned biases of attention by distance: one table for all blocks of a stack.      [Raffel et al. 2019]
#include "plume/modules/visit.hpp"
#include "plume/ops/attention.hpp"

namespace plume::inline PLUME_ABI {

// Short distances have a bucket each, longer ones share buckets that grow by a factor up to `reach`; all beyond it are one.
struct RelativeBuckets {
  Index count = 32, reach = 128;
  bool both_directions = false;  // half of the buckets for keys behind the query; otherwise those count as distance 0
  friend bool operator==(const RelativeBuckets&, const RelativeBuckets&) = default;
};

// The bucket of each distance key - query from -reach to reach.
PLUME_FUNCTION std::vector<std::int32_t> buckets_of_distances(const RelativeBuckets& rule);

struct RelativePositions {
  Tensor weight;  // (heads, buckets), or absent
  RelativeBuckets rule = {};

  static RelativePositions described(Index heads, const RelativeBuckets& rule, DType dtype = DType::f32) {
    return {Tensor::described({heads, rule.count}, dtype), rule};
  }
  RelativeBias bias() const {
    return {weight.dtype() == compute_type(weight.dtype()) ? weight : weight.to(DType::f32), buckets_of_distances(rule), rule.reach};
  }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("weight", self.weight);
  }
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <cmath>

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION std::vector<std::int32_t> buckets_of_distances(const RelativeBuckets& rule) {
  const Index count = rule.both_directions ? rule.count / 2 : rule.count, exact = count / 2;
  require(exact >= 1 && rule.reach > exact, "[relative_positions] ", rule.count, " buckets do not reach ", rule.reach);
  std::vector<std::int32_t> buckets;
  for (Index distance = -rule.reach; distance <= rule.reach; ++distance) {
    const Index steps = rule.both_directions ? std::abs(distance) : std::max<Index>(-distance, 0);
    Index bucket = steps;
    if (steps >= exact) {  // in single precision, as the models were trained
      const float ratio = std::log(static_cast<float>(steps) / static_cast<float>(exact)) /
                          static_cast<float>(std::log(static_cast<double>(rule.reach) / static_cast<double>(exact)));
      bucket = std::min(count - 1, exact + static_cast<Index>(ratio * static_cast<float>(count - exact)));
    }
    buckets.push_back(static_cast<std::int32_t>(bucket + (rule.both_directions && distance > 0 ? count : 0)));
  }
  return buckets;
}

}  // namespace plume::inline PLUME_ABI
#endif
