#pragma once
#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// rms_norm: x (T, C), weight (C) -> y (T, C);  y = x / sqrt(mean(x^2) + epsilon) * weight      [Zhang & Sennrich 2019]
PLUME_FUNCTION Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/norm/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon) {
  require(x.columns() == weight.size(), "[rms_norm] x has ", x.columns(), " columns, weight has ", weight.size());
  require(x.dtype() == weight.dtype(), "[rms_norm] x is ", x.dtype(), ", weight is ", weight.dtype());
  const Tensor y = like(x), inverse_rms = like(x, {x.rows()});
  visit_float(x.dtype(), [&]<class T>() {
    kernels::rms_norm<T>(y.view<T, 2>(), inverse_rms.view<T, 1>(), x.view<const T, 2>(), weight.view<const T, 1>(), epsilon);
  });
  return traced("rms_norm", y, {x, weight}, [=](Gradients& d, const Tensor& dy) {
    visit_float(dy.dtype(), [&]<class T>() {
      kernels::rms_norm_backward<T>(view_or_none<T, 2>(d[x]), view_or_none<T, 1>(d[weight]), dy.view<const T, 2>(), x.view<const T, 2>(),
                                    weight.view<const T, 1>(), inverse_rms.view<const T, 1>());
    });
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
