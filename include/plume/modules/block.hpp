#pragma once
#include "plume/autograd/recompute.hpp"
#include "plume/modules/attention.hpp"
#include "plume/modules/mlp.hpp"
#include "plume/modules/norm.hpp"
#include "plume/ops/add.hpp"

namespace plume::inline PLUME_ABI {

struct BlockShape {
  NormShape norm = {};
  AttentionShape attention = {};
  MlpShape mlp = {};
};

//   x ──┬─ attention_norm ─ attention ─ (+) ──┬─ mlp_norm ─ mlp ─ (+) ── y
//       └──────────────────────────────┘      └──────────────────┘
struct Block {
  Norm attention_norm, mlp_norm;
  Attention attention;
  Mlp mlp;

  PLUME_FUNCTION static Block described(const BlockShape& shape, DType dtype = DType::f32);
  PLUME_FUNCTION Tensor operator()(const Tensor& x, Pass& pass) const;

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("attention_norm", self.attention_norm);
    f("attention", self.attention);
    f("mlp_norm", self.mlp_norm);
    f("mlp", self.mlp);
  }
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Block Block::described(const BlockShape& shape, DType dtype) {
  return {Norm::described(shape.norm, dtype), Norm::described(shape.norm, dtype), Attention::described(shape.attention, dtype),
          Mlp::described(shape.mlp, dtype)};
}

PLUME_FUNCTION Tensor Block::operator()(const Tensor& x, Pass& pass) const {
  const Tensor h = x + dropout(attention(attention_norm(x), pass), pass.dropout_at(1));
  const auto feed_forward = [this, adapted = pass.adapted](const Tensor& input) { return mlp(mlp_norm(input), adapted); };
  return h + dropout(pass.recompute == Recompute::mlp ? recompute(h, feed_forward) : feed_forward(h), pass.dropout_at(2));
}

}  // namespace plume::inline PLUME_ABI
#endif
