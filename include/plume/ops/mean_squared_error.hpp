#pragma once
#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// mean_squared_error: x, targets (T, C) -> scalar;  sum of (x - target)^2 / normalizer
// normalizer 0: the number of elements. Targets are constants: they get no gradient.
PLUME_FUNCTION Tensor mean_squared_error(const Tensor& x, const Tensor& targets, double normalizer = 0);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tensor mean_squared_error(const Tensor& x, const Tensor& targets, double normalizer) {
  require(x.shape() == targets.shape() && x.dtype() == targets.dtype(), "[mean_squared_error] x is ", x.shape(), " of ", x.dtype(),
          ", targets are ", targets.shape(), " of ", targets.dtype());
  const double divisor = normalizer > 0 ? normalizer : static_cast<double>(std::max<Index>(x.size(), 1));
  const Tensor gradient = like(x), loss = Tensor::empty({}, x.dtype());  // gradient: 2 (x - target) / divisor
  visit_float(x.dtype(), [&]<class T>() {
    const auto from = x.view<const T, 2>(), wanted = targets.view<const T, 2>();
    const auto into = gradient.view<T, 2>();
    double sum = 0;
    for (Index r = 0; r < from.rows(); ++r) {
      for (Index c = 0; c < from.columns(); ++c) {
        const double apart = static_cast<double>(from(r, c)) - static_cast<double>(wanted(r, c));
        sum += apart * apart;
        into(r, c) = static_cast<T>(2 * apart / divisor);
      }
    }
    *loss.writable<T>() = static_cast<T>(sum / divisor);
  });
  return traced("mean_squared_error", loss, {x}, [gradient, to_x = gradient_key(x)](Gradients& d, const Tensor& dloss) {
    const Tensor dx = d[to_x];
    if (!dx) return;
    visit_float(dx.dtype(), [&]<class T>() { kernels::accumulate<T>(dx.view<T, 2>(), gradient.view<const T, 2>(), *dloss.data<T>()); });
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
