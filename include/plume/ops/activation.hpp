#pragma once
#include "plume/autograd/tape.hpp"
#include "plume/kernels/reference/activation.hpp"

namespace plume::inline PLUME_ABI {

using kernels::Activation;
using kernels::ActivationKind;

// activation: x (T, C) -> y (T, C); the formulas stand with Activation.
PLUME_FUNCTION Tensor activation(const Tensor& x, const Activation& rule);
inline Tensor silu(const Tensor& x) { return activation(x, {.kind = ActivationKind::silu}); }
inline Tensor gelu(const Tensor& x) { return activation(x, {.kind = ActivationKind::gelu_tanh}); }
inline Tensor relu(const Tensor& x) { return activation(x, {.kind = ActivationKind::relu}); }

// gated: gate, up (T, H) -> y (T, H);  y = activation(gate) * (up + shift)      [Shazeer 2020]
PLUME_FUNCTION Tensor gated(const Tensor& gate, const Tensor& up, const Activation& rule);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/activation/table.hpp"

namespace plume::inline PLUME_ABI {

namespace ops_detail {
// Records y = activation(x), and y = gated(gate, up), that were computed already.
inline Tensor traced_activation(const Tensor& y, const Tensor& x, const Activation& rule) {
  return traced("activation", y, {x}, [=](Gradients& d, const Tensor& dy) {
    visit_float(dy.dtype(), [&]<class T>() {
      if (const Tensor dx = d[x]) kernels::activation_backward<T>(dx.view<T, 2>(), dy.view<const T, 2>(), x.view<const T, 2>(), rule);
    });
  });
}
inline Tensor traced_gated(const Tensor& y, const Tensor& gate, const Tensor& up, const Activation& rule) {
  return traced("gated", y, {gate, up}, [=](Gradients& d, const Tensor& dy) {
    visit_float(dy.dtype(), [&]<class T>() {
      kernels::gated_backward<T>(view_or_none<T, 2>(d[gate]), view_or_none<T, 2>(d[up]), dy.view<const T, 2>(), gate.view<const T, 2>(),
                                 up.view<const T, 2>(), rule);
    });
  });
}
}  // namespace ops_detail

PLUME_FUNCTION Tensor activation(const Tensor& x, const Activation& rule) {
  const Tensor y = like(x);
  visit_float(x.dtype(), [&]<class T>() { kernels::activation<T>(y.view<T, 2>(), x.view<const T, 2>(), rule); });
  return ops_detail::traced_activation(y, x, rule);
}

PLUME_FUNCTION Tensor gated(const Tensor& gate, const Tensor& up, const Activation& rule) {
  require(gate.shape() == up.shape() && gate.dtype() == up.dtype(), "[gated] gate is ", gate.shape(), ", up is ", up.shape());
  const Tensor y = like(gate);
  visit_float(gate.dtype(), [&]<class T>() { kernels::gated<T>(y.view<T, 2>(), gate.view<const T, 2>(), up.view<const T, 2>(), rule); });
  return ops_detail::traced_gated(y, gate, up, rule);
}

}  // namespace plume::inline PLUME_ABI
#endif
