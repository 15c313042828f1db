#pragma once
// A mixture of experts: feed-forward layers of which each token goes through a few.
#include "plume/modules/mlp.hpp"
#include "plume/ops/add.hpp"
#include "plume/ops/embedding.hpp"
#include "plume/ops/mix_experts.hpp"
#include "plume/ops/softmax.hpp"

namespace plume::inline PLUME_ABI {

struct ExpertsShape {
  Index count = 0, chosen = 0;  // experts, and how many each token goes through
  Index hidden = 0;             // width of an expert
  Index shared_hidden = 0;      // of one that every token goes through, behind a gate of its own; 0: there is none
  ExpertWeights weights = ExpertWeights::renormalised;
  friend bool operator==(const ExpertsShape&, const ExpertsShape&) = default;
};

//   y = sum over the chosen e of softmax(router(x))[e] expert_e(x)  (+ sigmoid(shared_gate(x)) shared(x))
struct Experts {
  Linear router;
  std::vector<Mlp> experts;
  Mlp shared;
  Linear shared_gate;
  ExpertsShape shape;

  // `each` is the shape of a feed-forward layer but for its hidden width.
  PLUME_FUNCTION static Experts described(const ExpertsShape& shape, MlpShape each, DType dtype = DType::f32);
  PLUME_FUNCTION Tensor operator()(const Tensor& x, const AdaptedRows& adapted = {}, const Tap& tap = {}) const;

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("router", self.router);
    f("experts", self.experts);
    f("shared", self.shared);
    f("shared_gate", self.shared_gate);
  }
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Experts Experts::described(const ExpertsShape& shape, MlpShape each, DType dtype) {
  Experts module;
  module.shape = shape;
  module.router = Linear::described({each.width, shape.count}, dtype);
  each.hidden = shape.hidden;
  for (Index e = 0; e < shape.count; ++e) module.experts.push_back(Mlp::described(each, dtype));
  if (shape.shared_hidden > 0) {
    each.hidden = shape.shared_hidden;
    module.shared = Mlp::described(each, dtype);
    module.shared_gate = Linear::described({each.width, 1}, dtype);
  }
  return module;
}

PLUME_FUNCTION Tensor Experts::operator()(const Tensor& x, const AdaptedRows& adapted, const Tap& tap) const {
  const Tensor probabilities = softmax(tap("experts.router", router(x, adapted)));
  const ExpertChoice choice = choose_experts(probabilities, shape.chosen);
  PoolVector<Tensor> outputs;
  for (std::size_t e = 0; e < experts.size(); ++e) {
    const Mlp& expert = experts[e];
    if (!adapted.empty())  // an expert that no token goes to has been met as well
      for (const Linear* layer : {&expert.gate, &expert.up, &expert.gate_up, &expert.down})
        if (layer->weight) adapted.beside(layer->weight);
    const Tensor rows = embedding(choice.tokens[e], x);
    outputs.push_back(rows.rows() > 0 ? expert(rows, adapted.of_rows(choice.tokens[e])) : Tensor::empty({0, x.columns()}, x.dtype()));
  }
  const Tensor mixed = mix_experts(outputs, probabilities, choice, shape.weights);
  return shared_gate.weight ? mixed + gate_rows(shared(x, adapted), shared_gate(x, adapted)) : mixed;
}

}  // namespace plume::inline PLUME_ABI
#endif
