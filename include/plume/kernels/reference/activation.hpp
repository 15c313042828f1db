#pragma once
#include <cmath>
#include <limits>

#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels {

enum class ActivationKind : std::uint8_t { silu, gelu_tanh, gelu_erf, relu };

// An activation as data.
//   silu       x * sigmoid(slope * x)                                         slope 1: SiLU; 1.702: QuickGELU
//   gelu_tanh  0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))                [Hendrycks & Gimpel 2016]
//   gelu_erf   0.5 x (1 + erf(x / sqrt 2))
//   relu       max(x, 0)
// In a gated unit, y = activation(min(gate, limit)) * (clamp(up, -limit, limit) + shift): shift 1 with slope 1.702 and limit 7 is the gated
// unit of gpt-oss.
struct Activation {
  ActivationKind kind = ActivationKind::silu;
  double slope = 1;
  double shift = 0;
  double limit = std::numeric_limits<double>::infinity();
  friend bool operator==(const Activation&, const Activation&) = default;
};

namespace reference {

template <class T>
struct ValueAndSlope {
  T value, slope;
};

// activation(x) and its derivative.
template <class T>
ValueAndSlope<T> activate(const Activation& activation, const T& x) {
  using std::erf, std::exp, std::tanh;
  switch (activation.kind) {
    case ActivationKind::silu: {
      const T a = T(activation.slope), s = T(1) / (T(1) + exp(-(a * x)));
      return {x * s, s + a * x * s * (T(1) - s)};
    }
    case ActivationKind::gelu_tanh: {
      const T k = T(0.79788456080286535588), c = T(0.044715);
      const T t = tanh(k * (x + c * x * x * x));
      return {T(0.5) * x * (T(1) + t), T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * k * (T(1) + T(3) * c * x * x)};
    }
    case ActivationKind::gelu_erf: {
      const T half_integral = T(0.5) * (T(1) + erf(x * T(0.70710678118654752440)));
      return {x * half_integral, half_integral + x * T(0.39894228040143267794) * exp(T(-0.5) * x * x)};
    }
    case ActivationKind::relu:
      return x > T(0) ? ValueAndSlope<T>{x, T(1)} : ValueAndSlope<T>{T(0), T(0)};
  }
  return {x, T(1)};
}

// y = activation(x)
template <class T>
void activation(Output<T, 2> y, Input<T, 2> x, const Activation& rule) {
  for (Index r = 0; r < y.rows(); ++r)
    for (Index c = 0; c < y.columns(); ++c) y.row(r)[c] = activate(rule, x.row(r)[c]).value;
}

// dx += dy * activation'(x)
template <class T>
void activation_backward(Output<T, 2> dx, Input<T, 2> dy, Input<T, 2> x, const Activation& rule) {
  for (Index r = 0; r < dx.rows(); ++r)
    for (Index c = 0; c < dx.columns(); ++c) dx.row(r)[c] += dy.row(r)[c] * activate(rule, x.row(r)[c]).slope;
}

// The two factors of a gated unit, and their derivatives with the clamps in.
template <class T>
struct GatedTerms {
  ValueAndSlope<T> gate, up;
};

template <class T>
GatedTerms<T> gated_terms(const Activation& rule, const T& gate, const T& up) {
  const T limit = T(rule.limit), shift = T(rule.shift);
  GatedTerms<T> terms{activate(rule, gate > limit ? limit : gate), {up + shift, T(1)}};
  if (gate > limit) terms.gate.slope = T(0);
  if (up > limit) terms.up = {limit + shift, T(0)};
  if (up < -limit) terms.up = {shift - limit, T(0)};
  return terms;
}

// gated: gate (T, H), up (T, H) -> y (T, H);  y = activation(gate) * (up + shift)      [Shazeer 2020]
template <class T>
void gated(Output<T, 2> y, Input<T, 2> gate, Input<T, 2> up, const Activation& rule) {
  for (Index r = 0; r < y.rows(); ++r) {
    for (Index c = 0; c < y.columns(); ++c) {
      const auto terms = gated_terms(rule, gate.row(r)[c], up.row(r)[c]);
      y.row(r)[c] = terms.gate.value * terms.up.value;
    }
  }
}

// dgate += dy * activation'(gate) * (up + shift);  dup += dy * activation(gate); either may be absent
template <class T>
void gated_backward(Output<T, 2> dgate, Optional<T, 2> dup, Input<T, 2> dy, Input<T, 2> gate, Input<T, 2> up, const Activation& rule) {
  for (Index r = 0; r < dy.rows(); ++r) {
    for (Index c = 0; c < dy.columns(); ++c) {
      const auto terms = gated_terms(rule, gate.row(r)[c], up.row(r)[c]);
      if (dgate) dgate.row(r)[c] += dy.row(r)[c] * terms.gate.slope * terms.up.value;
      if (dup) dup.row(r)[c] += dy.row(r)[c] * terms.gate.value * terms.up.slope;
    }
  }
}

}  // namespace reference
}  // namespace plume::inline PLUME_ABI::kernels
