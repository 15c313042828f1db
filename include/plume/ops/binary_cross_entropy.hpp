#pragma once
#include <cmath>

#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// binary_cross_entropy: logits, targets (T, C), each target in [0, 1] -> scalar;
//   sum of -(target log s + (1 - target) log(1 - s)) / normalizer,  s = 1 / (1 + exp(-logit))
// normalizer 0: the number of elements. Targets are constants: they get no gradient.
PLUME_FUNCTION Tensor binary_cross_entropy(const Tensor& logits, const Tensor& targets, double normalizer = 0);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tensor binary_cross_entropy(const Tensor& logits, const Tensor& targets, double normalizer) {
  require(logits.shape() == targets.shape() && logits.dtype() == targets.dtype(), "[binary_cross_entropy] logits are ", logits.shape(),
          " of ", logits.dtype(), ", targets are ", targets.shape(), " of ", targets.dtype());
  const double divisor = normalizer > 0 ? normalizer : static_cast<double>(std::max<Index>(logits.size(), 1));
  const Tensor gradient = like(logits), loss = Tensor::empty({}, logits.dtype());  // gradient: (s - target) / divisor
  visit_float(logits.dtype(), [&]<class T>() {
    const auto from = logits.view<const T, 2>(), wanted = targets.view<const T, 2>();
    const auto into = gradient.view<T, 2>();
    double sum = 0;
    for (Index r = 0; r < from.rows(); ++r) {
      for (Index c = 0; c < from.columns(); ++c) {
        const double x = static_cast<double>(from(r, c)), target = static_cast<double>(wanted(r, c));
        require(target >= 0 && target <= 1, "[binary_cross_entropy] target ", target, " at (", r, ", ", c, ") is not in [0, 1]");
        const double small = std::exp(-std::abs(x));  // exp() of what is not positive cannot overflow
        sum += std::max(x, 0.0) - x * target + std::log1p(small);
        into(r, c) = static_cast<T>(((x >= 0 ? 1 : small) / (1 + small) - target) / divisor);
      }
    }
    *loss.writable<T>() = static_cast<T>(sum / divisor);
  });
  return traced("binary_cross_entropy", loss, {logits}, [gradient, to_logits = gradient_key(logits)](Gradients& d, const Tensor& dloss) {
    const Tensor dlogits = d[to_logits];
    if (!dlogits) return;
    visit_float(dlogits.dtype(),
                [&]<class T>() { kernels::accumulate<T>(dlogits.view<T, 2>(), gradient.view<const T, 2>(), *dloss.data<T>()); });
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
