#pragma once
// A model made of a block that plume does not have: attention and the gated unit read the same normed input side by side (the wiring of
// GPT-J and PaLM). The parts are plume's modules; naming them in visit() is all that optimisers and files need.
#include <plume/plume.hpp>

struct ParallelBlock {
  plume::Norm norm;
  plume::Attention attention;
  plume::Mlp mlp;

  plume::Tensor operator()(const plume::Tensor& x, plume::Pass& pass) const {
    const plume::Tensor normed = norm(x);
    return x + attention(normed, pass) + mlp(normed);
  }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("norm", self.norm);
    f("attention", self.attention);
    f("mlp", self.mlp);
  }
};

// Predicts the next byte.
struct ByteModel {
  plume::Embedding embedding;
  std::vector<ParallelBlock> blocks;
  plume::Norm norm;

  static ByteModel described(plume::Index width, plume::Index layers) {
    const plume::NormShape norm{.width = width};
    const plume::AttentionShape attention{
        .width = width, .heads = {4, 4, width / 4, width / 4}, .rotary = plume::Rotary{.width = width / 4}};
    const plume::MlpShape mlp{.width = width, .hidden = 2 * width, .gated = true};
    ByteModel model{plume::Embedding::described(256, width), {}, plume::Norm::described(norm)};
    for (plume::Index i = 0; i < layers; ++i)
      model.blocks.push_back({plume::Norm::described(norm), plume::Attention::described(attention), plume::Mlp::described(mlp)});
    return model;
  }

  plume::Tensor hidden(std::span<const plume::TokenId> bytes, plume::Pass& pass) const {
    pass.begin(static_cast<plume::Index>(bytes.size()));
    const plume::AttentionShape& shape = blocks.front().attention.shape;
    pass.angles = plume::rotary_angles(pass.positions, shape.rotary->width, shape.rotary->base, plume::DType::f32);
    return norm(plume::run_blocks(blocks, embedding(bytes), pass));
  }
  plume::Tensor loss(std::span<const plume::TokenId> inputs, std::span<const plume::TokenId> targets) const {
    plume::Pass pass;
    return plume::classifier_loss(hidden(inputs, pass), embedding.weight, {}, targets);
  }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("embedding", self.embedding);
    f("blocks", self.blocks);
    f("norm", self.norm);
  }
};
