#pragma once
#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// softmax: x (T, C) -> y (T, C);  y = exp(x - max) / sum(exp(x - max)), row by row
PLUME_FUNCTION Tensor softmax(const Tensor& x);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/softmax/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tensor softmax(const Tensor& x) {
  require(x.columns() > 0, "[softmax] x is ", x.shape());
  const Tensor y = like(x);
  visit_float(x.dtype(), [&]<class T>() { kernels::softmax<T>(y.view<T, 2>(), x.view<const T, 2>()); });
  return traced("softmax", y, {x}, [y, to_x = gradient_key(x)](Gradients& d, const Tensor& dy) {
    visit_float(dy.dtype(), [&]<class T>() {
      if (const Tensor dx = d[to_x]) kernels::softmax_backward<T>(dx.view<T, 2>(), dy.view<const T, 2>(), y.view<const T, 2>());
    });
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
