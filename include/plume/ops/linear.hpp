#pragma once
#include "plume/autograd/tape.hpp"
#include "plume/kernels/gemm/table.hpp"

namespace plume::inline PLUME_ABI {

// linear: x (T, in), weight (out, in), bias (out, may be absent) -> y (T, out);  y = x weight^T + bias
inline Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {}) {
  require(weight.rank() == 2 && x.columns() == weight.columns(), "[linear] x is ", x.shape(), " but weight is ", weight.shape(),
          ": expected ", weight.columns(), " inputs. Hint: GPT-2 checkpoints store Conv1D weights transposed");
  require(!bias || bias.size() == weight.rows(), "[linear] weight is ", weight.shape(), " but bias is ", bias.shape());
  require(x.dtype() == weight.dtype() && (!bias || bias.dtype() == x.dtype()), "[linear] x is ", x.dtype(), ", weight is ", weight.dtype());
  const Tensor y = Tensor::zeros({x.rows(), weight.rows()}, x.dtype());
  visit_float(x.dtype(), [&]<class T>() {
    kernels::gemm<T>(y.view<T, 2>(), x.view<const T, 2>(), weight.view<const T, 2>().transposed());
    if (bias) kernels::add_row<T>(y.view<T, 2>(), bias.view<const T, 1>());
  });
  return traced("linear", y, {x, weight, bias}, [=](Gradients& d, const Tensor& dy) {
    visit_float(dy.dtype(), [&]<class T>() {
      const auto gradient = dy.view<const T, 2>();
      if (const Tensor dx = d[x]) kernels::gemm<T>(dx.view<T, 2>(), gradient, weight.view<const T, 2>());
      if (const Tensor dweight = d[weight]) kernels::gemm<T>(dweight.view<T, 2>(), gradient.transposed(), x.view<const T, 2>());
      if (const Tensor dbias = d[bias]) kernels::sum_rows<T>(dbias.view<T, 1>(), gradient);
    });
  });
}

}  // namespace plume::inline PLUME_ABI
