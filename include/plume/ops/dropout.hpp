#pragma once
#include "plume/autograd/tape.hpp"
#include "plume/kernels/reference/elementwise.hpp"

namespace plume::inline PLUME_ABI {

using kernels::reference::Dropout;

// dropout: x (T, C) -> y (T, C);  y = x * mask / (1 - rate), the mask a function of seed, stream and position      [Srivastava et al. 2014]
PLUME_FUNCTION Tensor dropout(const Tensor& x, const Dropout& rule);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tensor dropout(const Tensor& x, const Dropout& rule) {
  require(rule.rate >= 0 && rule.rate < 1, "[dropout] rate ", rule.rate, " is not in [0, 1)");
  if (rule.rate == 0) return x;
  const Tensor y = like(x);
  visit_float(x.dtype(), [&]<class T>() { kernels::dropout<T>(y.view<T, 2>(), x.view<const T, 2>(), rule, kernels::Write::over); });
  return traced("dropout", y, {x}, [rule, to_x = gradient_key(x)](Gradients& d, const Tensor& dy) {
    visit_float(dy.dtype(), [&]<class T>() {
      if (const Tensor dx = d[to_x]) kernels::dropout<T>(dx.view<T, 2>(), dy.view<const T, 2>(), rule, kernels::Write::add);
    });
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
