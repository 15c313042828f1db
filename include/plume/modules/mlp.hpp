#pragma once
#include "plume/modules/linear.hpp"
#include "plume/modules/taps.hpp"

namespace plume::inline PLUME_ABI {

// Gate and up projection of a gated layer: two modules, or one with the gate's outputs first (Phi-3), or last (GLM-130B).
enum class GateLayout : std::uint8_t { separate, fused, fused_gate_last };

struct MlpShape {
  Index width = 0, hidden = 0;
  Activation activation = {};
  bool gated = false, bias = false;
  GateLayout layout = GateLayout::separate;
};

//   gated:  down(activation(gate(x)) * (up(x) + shift))      otherwise:  down(activation(up(x)))
struct Mlp {
  Linear gate;     // absent if not gated
  Linear up;       // absent if fused
  Linear gate_up;  // the other layouts
  Linear down;
  Activation rule = {};
  GateLayout layout = GateLayout::separate;

  PLUME_FUNCTION static Mlp described(const MlpShape& shape, DType dtype = DType::f32);
  PLUME_FUNCTION Tensor operator()(const Tensor& x, const AdaptedRows& adapted = {}, const Tap& tap = {}) const;

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("gate", self.gate);
    f("up", self.up);
    f("gate_up", self.gate_up);
    f("down", self.down);
  }
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Mlp Mlp::described(const MlpShape& shape, DType dtype) {
  Mlp module;
  if (shape.gated && shape.layout != GateLayout::separate) {
    module.gate_up = Linear::described({shape.width, 2 * shape.hidden, shape.bias}, dtype);
  } else {
    if (shape.gated) module.gate = Linear::described({shape.width, shape.hidden, shape.bias}, dtype);
    module.up = Linear::described({shape.width, shape.hidden, shape.bias}, dtype);
  }
  module.down = Linear::described({shape.hidden, shape.width, shape.bias}, dtype);
  module.rule = shape.activation;
  module.layout = shape.layout;
  return module;
}

PLUME_FUNCTION Tensor Mlp::operator()(const Tensor& x, const AdaptedRows& adapted, const Tap& tap) const {
  if (gate_up.weight) {
    const Tensor both = gate_up(x, adapted);
    const Index hidden = both.columns() / 2;
    const Tensor first = both.columns(0, hidden), last = both.columns(hidden, 2 * hidden);
    return down(tap("mlp.hidden", layout == GateLayout::fused ? gated(first, last, rule) : gated(last, first, rule)), adapted);
  }
  const Tensor hidden = gate.weight ? up.gated_by(gate(x, adapted), x, rule, adapted) : up.activated(x, rule, adapted);
  return down(tap("mlp.hidden", hidden), adapted);
}

}  // namespace plume::inline PLUME_ABI
#endif
