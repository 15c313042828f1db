#pragma once
#include "plume/modules/adapted_rows.hpp"
#include "plume/modules/visit.hpp"
#include "plume/ops/activated_linear.hpp"

namespace plume::inline PLUME_ABI {

struct LinearShape {
  Index inputs = 0, outputs = 0;
  bool bias = false;
};

// y = x weight^T + bias
struct Linear {
  Tensor weight;  // (outputs, inputs)
  Tensor bias;    // (outputs), or absent

  static Linear described(const LinearShape& shape, DType dtype = DType::f32) {
    return {Tensor::described({shape.outputs, shape.inputs}, dtype), shape.bias ? Tensor::described({shape.outputs}, dtype) : Tensor{}};
  }
  Tensor operator()(const Tensor& x) const { return linear(x, weight, bias); }
  Tensor operator()(const Tensor& x, const AdaptedRows& adapted) const {
    const PoolVector<LowRankRows> parts = adapted.beside(weight);
    return parts.empty() ? linear(x, weight, bias) : low_rank_linear(x, weight, bias, parts);
  }
  // activation(y)
  Tensor activated(const Tensor& x, const Activation& rule, const AdaptedRows& adapted) const {
    const PoolVector<LowRankRows> parts = adapted.beside(weight);
    return parts.empty() ? activated_linear(x, weight, bias, rule) : activation(low_rank_linear(x, weight, bias, parts), rule);
  }
  // gated(gate, y)
  Tensor gated_by(const Tensor& gate, const Tensor& x, const Activation& rule, const AdaptedRows& adapted) const {
    const PoolVector<LowRankRows> parts = adapted.beside(weight);
    return parts.empty() ? gated_linear(gate, x, weight, bias, rule) : gated(gate, low_rank_linear(x, weight, bias, parts), rule);
  }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

}  // namespace plume::inline PLUME_ABI
