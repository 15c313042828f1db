#pragma once
#include <cmath>

#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// soft_cap: x (T, C) -> y (T, C);  y = cap * tanh(x / cap)      [Bello et al. 2016]
PLUME_FUNCTION Tensor soft_cap(const Tensor& x, double cap);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tensor soft_cap(const Tensor& x, double cap) {
  require(cap > 0, "[soft_cap] the cap ", cap, " is not positive");
  const Tensor y = like(x);
  visit_float(x.dtype(), [&]<class T>() {
    const auto into = y.view<T, 2>();
    const auto from = x.view<const T, 2>();
    const T limit = static_cast<T>(cap);
    kernels::for_rows(into, [&](Index i, Index j) {
      for (Index r = i; r < j; ++r)
        for (Index c = 0; c < into.columns(); ++c) into.row(r)[c] = limit * std::tanh(from.row(r)[c] / limit);
    });
  });
  return traced("soft_cap", y, {x}, [y, cap, to_x = gradient_key(x)](Gradients& d, const Tensor& dy) {
    const Tensor dx = d[to_x];
    if (!dx) return;
    visit_float(dy.dtype(), [&]<class T>() {
      const auto into = dx.view<T, 2>();
      const auto gradient = dy.view<const T, 2>(), value = y.view<const T, 2>();
      const T inverse = static_cast<T>(1 / cap);
      kernels::for_rows(into, [&](Index i, Index j) {
        for (Index r = i; r < j; ++r) {
          for (Index c = 0; c < into.columns(); ++c) {
            const T t = value.row(r)[c] * inverse;
            into.row(r)[c] += gradient.row(r)[c] * (T(1) - t * t);
          }
        }
      });
    });
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
