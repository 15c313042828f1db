#pragma once
#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// layer_norm: x (T, C), weight (C), bias (C, may be absent) -> y (T, C);  y = (x - mean) / sqrt(variance + epsilon) * weight + bias [Ba et
// al. 2016]
PLUME_FUNCTION Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/norm/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon) {
  require(x.columns() == weight.size(), "[layer_norm] x has ", x.columns(), " columns, weight has ", weight.size());
  require(!bias || bias.size() == weight.size(), "[layer_norm] weight has ", weight.size(), " elements, bias has ", bias.size());
  require(x.dtype() == weight.dtype() && (!bias || bias.dtype() == x.dtype()), "[layer_norm] x is ", x.dtype(), ", weight is ",
          weight.dtype());
  const Tensor y = like(x), mean = like(x, {x.rows()}), inverse_deviation = like(x, {x.rows()});
  visit_float(x.dtype(), [&]<class T>() {
    kernels::layer_norm<T>(y.view<T, 2>(), mean.view<T, 1>(), inverse_deviation.view<T, 1>(), x.view<const T, 2>(),
                           weight.view<const T, 1>(), view_or_none<const T, 1>(bias), epsilon);
  });
  return traced("layer_norm", y, {x, weight, bias}, [=, to_bias = gradient_key(bias)](Gradients& d, const Tensor& dy) {
    visit_float(dy.dtype(), [&]<class T>() {
      kernels::layer_norm_backward<T>(view_or_none<T, 2>(d[x]), view_or_none<T, 1>(d[weight]), view_or_none<T, 1>(d[to_bias]),
                                      dy.view<const T, 2>(), x.view<const T, 2>(), weight.view<const T, 1>(), mean.view<const T, 1>(),
                                      inverse_deviation.view<const T, 1>());
    });
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
