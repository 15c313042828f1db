#pragma once
#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// linear: x (T, in), weight (out, in), bias (out, may be absent) -> y (T, out);  y = x weight^T + bias
// The weight of an f32 x may be bf16. Its gradient is f32.
PLUME_FUNCTION Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/gemm/table.hpp"

namespace plume::inline PLUME_ABI {

namespace ops_detail {
// Calls f with the typed view of a weight: T, or bfloat16 where T is float.
template <class T, class F>
void with_weight(const Tensor& weight, F&& f) {
  if constexpr (std::is_same_v<T, float>) {
    if (weight.dtype() == DType::bf16) return f(weight.view<const Bfloat16, 2>());
  }
  f(weight.view<const T, 2>());
}
// The panels of exactly this weight, if it has any.
inline const WeightPanels* panels_of(const Tensor& weight) {
  const WeightPanels* const panels = weight.storage() ? weight.storage()->panels().get() : nullptr;
  return panels != nullptr && panels->offset == weight.offset() && panels->shape == weight.shape() ? panels : nullptr;
}
inline const kernels::GemmPanels* forward_panels(const Tensor& weight) {
  const WeightPanels* const panels = panels_of(weight);
  return panels ? &panels->forward : nullptr;
}
inline const kernels::GemmPanels* backward_panels(const Tensor& weight) {
  const WeightPanels* const panels = panels_of(weight);
  return panels ? &panels->backward : nullptr;
}
// What a product that writes a gradient starts from: nothing if it is the first to write.
template <class T>
View<const T, 2> start_of(const Gradients::Target& target) {
  return target.is_fresh ? View<const T, 2>{} : target.tensor.view<const T, 2>();
}
inline bool is_weight_for(const Tensor& weight, const Tensor& x) {
  return weight.dtype() == x.dtype() || (weight.dtype() == DType::bf16 && x.dtype() == DType::f32);
}
// The backward pass of y = x weight^T + bias: the numbers that it reads and where gradients go. A weight that does not learn lets x go.
struct LinearBackward {
  Gradients::Key to_x, to_weight, to_bias;
  Tensor x, weight;

  LinearBackward(const Tensor& input, const Tensor& w, const Tensor& bias)
      : to_x(gradient_key(input)), to_weight(gradient_key(w)), to_bias(gradient_key(bias)), x(to_weight ? input : Tensor()), weight(w) {}
  void operator()(Gradients& d, const Tensor& dy) const {
    visit_float(dy.dtype(), [&]<class T>() {
      const auto gradient = dy.view<const T, 2>();
      if (const auto dx = d.target(to_x); dx.tensor) {
        with_weight<T>(weight, [&](auto w) {
          kernels::gemm<T>(dx.tensor.template view<T, 2>(), gradient, w, start_of<T>(dx), {}, backward_panels(weight));
        });
      }
      if (const auto dweight = d.target(to_weight); dweight.tensor)
        kernels::gemm<T>(dweight.tensor.template view<T, 2>(), gradient.transposed(), x.view<const T, 2>(), start_of<T>(dweight));
      if (const Tensor dbias = d[to_bias]) kernels::sum_rows<T>(dbias.view<T, 1>(), gradient);
    });
  }
};
// y = x weight^T + bias, in new memory. `finish_of(y, T)` makes what kernels::gemm calls for complete parts of y.
template <class Finish>
Tensor product_of(std::string_view op, const Tensor& x, const Tensor& weight, const Tensor& bias, Finish&& finish_of) {
  require(weight.rank() == 2 && x.columns() == weight.columns(), "[", op, "] x is ", x.shape(), " but weight is ", weight.shape(),
          ": expected ", weight.columns(), " inputs. Hint: GPT-2 checkpoints store Conv1D weights transposed");
  require(!bias || bias.size() == weight.rows(), "[", op, "] weight is ", weight.shape(), " but bias is ", bias.shape());
  require(is_weight_for(weight, x) && (!bias || bias.dtype() == x.dtype()), "[", op, "] x is ", x.dtype(), ", weight is ", weight.dtype());
  const Tensor y = like(x, {x.rows(), weight.rows()});
  visit_float(x.dtype(), [&]<class T>() {
    with_weight<T>(weight, [&](auto w) {
      kernels::gemm<T>(y.view<T, 2>(), x.view<const T, 2>(), w.transposed(), {}, view_or_none<const T, 1>(bias), forward_panels(weight),
                       finish_of(y, T()));
    });
  });
  return y;
}
inline Tensor traced_linear(const Tensor& y, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return traced("linear", y, {x, weight, bias}, LinearBackward(x, weight, bias));
}
}  // namespace ops_detail

PLUME_FUNCTION Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor y = ops_detail::product_of("linear", x, weight, bias, [](const Tensor&, auto) { return kernels::GemmFinish(); });
  return ops_detail::traced_linear(y, x, weight, bias);
}

}  // namespace plume::inline PLUME_ABI
#endif
