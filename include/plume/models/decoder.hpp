#pragma once
// Decoder: tokens -> embedding (+ learned positions) -> blocks -> norm -> head. One forward for training, cached generation and ragged
// batches.
#include "plume/models/config.hpp"
#include "plume/modules/embedding.hpp"
#include "plume/modules/initialise.hpp"
#include "plume/modules/stack.hpp"
#include "plume/ops/cross_entropy.hpp"

namespace plume::inline PLUME_ABI {

struct Decoder {
  Config config;
  Embedding embedding;
  Embedding position;  // absent with rotary positions
  std::vector<Block> blocks;
  Norm norm;
  Linear head;  // absent when tied to the embedding

  // All shapes of a configuration, without memory: load() or initialise() fills them.
  PLUME_FUNCTION static Decoder described(const Config& config, DType dtype = DType::f32, const Limits& limits = {});

  // ids (T) -> hidden states after the final norm (T, width). Caches of the pass remember the tokens.
  PLUME_FUNCTION Tensor hidden(std::span<const TokenId> ids, Pass& pass) const;
  // hidden states (T, width) -> logits (T, vocabulary)
  Tensor logits(const Tensor& hidden_states, const AdaptedRows& adapted = {}) const {
    return head.weight ? head(hidden_states, adapted) : linear(hidden_states, embedding.weight);
  }
  Tensor logits(std::span<const TokenId> ids, Pass& pass) const {
    const Tensor states = hidden(ids, pass);
    return logits(states, pass.adapted);
  }

  // Mean cross-entropy of targets (T, -1 = not trained), without ever holding all logits (unless an adapter changes the head). `normalizer`
  // replaces the number of trained tokens, for batches that are accumulated over several passes.
  Tensor loss(std::span<const TokenId> inputs, std::span<const TokenId> targets, Pass& pass, double normalizer = 0) const {
    const Tensor states = hidden(inputs, pass);
    if (pass.adapted.change(head_weight())) return cross_entropy(head(states, pass.adapted), targets, normalizer);
    return classifier_loss(states, head_weight(), head.bias, targets, normalizer);
  }
  const Tensor& head_weight() const { return head.weight ? head.weight : embedding.weight; }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("embedding", self.embedding);
    f("position", self.position);
    f("blocks", self.blocks);
    f("norm", self.norm);
    f("head", self.head);
  }
};

// Fresh weights for a decoder: those of initialise() with the projections onto the residual stream scaled down by sqrt(2 layers).
PLUME_FUNCTION void initialise(Decoder& model, std::uint64_t seed, DType dtype = DType::f32);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void initialise(Decoder& model, std::uint64_t seed, DType dtype) {
  initialise<Decoder>(model, seed, {.dtype = dtype, .residual_scale = 1 / std::sqrt(2.0 * static_cast<double>(model.config.layers))});
}

PLUME_FUNCTION Decoder Decoder::described(const Config& config, DType dtype, const Limits& limits) {
  config.check({}, limits);
  Decoder model;
  model.config = config;
  model.embedding = Embedding::described(config.vocabulary, config.width, dtype);
  if (config.position == PositionKind::learned) model.position = Embedding::described(config.context, config.width, dtype);
  for (Index i = 0; i < config.layers; ++i) model.blocks.push_back(Block::described(config.block(), dtype));
  model.norm = Norm::described(config.block().norm, dtype);
  if (!config.tied_head) model.head = Linear::described({config.width, config.vocabulary}, dtype);
  return model;
}

PLUME_FUNCTION Tensor Decoder::hidden(std::span<const TokenId> ids, Pass& pass) const {
  pass.begin(static_cast<Index>(ids.size()));
  Tensor x = embedding(ids);
  if (position.weight) {
    for (const std::int32_t p : pass.positions)
      require(p < position.weight.rows(), "[decoder] position ", p, " is past the context of ", position.weight.rows());
    x = x + position(pass.positions);
  } else {
    pass.angles = rotary_angles(pass.positions, config.rotary.width, config.rotary.base, x.dtype());
  }
  pass.layer = -1;
  x = run_blocks(blocks, dropout(x, pass.dropout_at(0)), pass);
  pass.end();
  return norm(x);
}

}  // namespace plume::inline PLUME_ABI
#endif
