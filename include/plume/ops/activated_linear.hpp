#pragma once
// The first half of a feed-forward layer: products whose activation is taken while they lie in the cache.
#include "plume/ops/activation.hpp"
#include "plume/ops/linear.hpp"

namespace plume::inline PLUME_ABI {

// activated_linear: x (T, in), weight (out, in), bias (out, may be absent) -> y (T, out);  y = activation(x weight^T + bias)
PLUME_FUNCTION Tensor activated_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const Activation& rule);

// gated_linear: gate (T, out), x (T, in), weight (out, in), bias (out, may be absent) -> y (T, out)
//   y = activation(gate) * (x weight^T + bias + shift)      [Shazeer 2020]
PLUME_FUNCTION Tensor gated_linear(const Tensor& gate, const Tensor& x, const Tensor& weight, const Tensor& bias, const Activation& rule);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

// Both are two ops on the tape, so that backward passes stand once; without a tape the product's own memory takes the result.
PLUME_FUNCTION Tensor activated_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const Activation& rule) {
  Tensor y;
  const Tensor inner = ops_detail::product_of("activated_linear", x, weight, bias, [&]<class T>(const Tensor& product, T) {
    y = thread_slot.tape != nullptr ? like(product) : product;
    return [to = y.view<T, 2>(), from = product.view<const T, 2>(), &rule](Index row, Index row_end, Index column, Index column_end) {
      const auto part = [=](auto view) { return view.rows(row, row_end).columns(column, column_end); };
      kernels::activation_table<T>().activation(part(to), part(from), rule);
    };
  });
  return ops_detail::traced_activation(y, ops_detail::traced_linear(inner, x, weight, bias), rule);
}

PLUME_FUNCTION Tensor gated_linear(const Tensor& gate, const Tensor& x, const Tensor& weight, const Tensor& bias, const Activation& rule) {
  require(gate.rows() == x.rows() && gate.columns() == weight.rows() && gate.dtype() == x.dtype(), "[gated_linear] gate is ", gate.shape(),
          " of ", gate.dtype(), ", x is ", x.shape(), " of ", x.dtype(), ", weight is ", weight.shape());
  Tensor y;
  const Tensor up = ops_detail::product_of("gated_linear", x, weight, bias, [&]<class T>(const Tensor& product, T) {
    y = thread_slot.tape != nullptr ? like(product) : product;
    return [to = y.view<T, 2>(), gates = gate.view<const T, 2>(), from = product.view<const T, 2>(), &rule](
               Index row, Index row_end, Index column, Index column_end) {
      const auto part = [=](auto view) { return view.rows(row, row_end).columns(column, column_end); };
      kernels::activation_table<T>().gated(part(to), part(gates), part(from), rule);
    };
  });
  return ops_detail::traced_gated(y, gate, ops_detail::traced_linear(up, x, weight, bias), rule);
}

}  // namespace plume::inline PLUME_ABI
#endif
