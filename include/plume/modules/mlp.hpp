#pragma once
#include "plume/modules/linear.hpp"

namespace plume::inline PLUME_ABI {

struct MlpShape {
  Index width = 0, hidden = 0;
  Activation activation = {};
  bool gated = false, bias = false;
};

//   gated:  down(activation(gate(x)) * (up(x) + shift))      otherwise:  down(activation(up(x)))
struct Mlp {
  Linear gate;  // absent if not gated
  Linear up, down;
  Activation rule = {};

  PLUME_FUNCTION static Mlp described(const MlpShape& shape, DType dtype = DType::f32);
  PLUME_FUNCTION Tensor operator()(const Tensor& x, const AdaptedRows& adapted = {}) const;

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("gate", self.gate);
    f("up", self.up);
    f("down", self.down);
  }
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Mlp Mlp::described(const MlpShape& shape, DType dtype) {
  Mlp module;
  if (shape.gated) module.gate = Linear::described({shape.width, shape.hidden, shape.bias}, dtype);
  module.up = Linear::described({shape.width, shape.hidden, shape.bias}, dtype);
  module.down = Linear::described({shape.hidden, shape.width, shape.bias}, dtype);
  module.rule = shape.activation;
  return module;
}

PLUME_FUNCTION Tensor Mlp::operator()(const Tensor& x, const AdaptedRows& adapted) const {
  return down(gate.weight ? up.gated_by(gate(x, adapted), x, rule, adapted) : up.activated(x, rule, adapted), adapted);
}

}  // namespace plume::inline PLUME_ABI
#endif
