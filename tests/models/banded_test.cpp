// GPT-3's alternating dense and locally banded layers: a window is the mask that it stands for, and what it hides costs nothing.
#include <doctest/doctest.h>

#include "../numbers.hpp"
#include "plume/models/decoder.hpp"

using namespace plume;
using plume_test::distance;

namespace {

constexpr Index tokens = 41;

Decoder gpt3(Index window) {
  Config config{.vocabulary = 31, .context = tokens, .width = 24, .layers = 4, .hidden = 44, .heads = 3, .key_heads = 3, .head_width = 8};
  config.norm = NormKind::layer;
  config.position = PositionKind::learned;
  config.qkv_layout = QkvLayout::contiguous;
  config.activation = {ActivationKind::gelu_tanh};
  config.gated = false;
  config.norm_bias = config.qkv_bias = config.output_bias = config.mlp_bias = config.tied_head = true;
  config.window = window;
  config.layer_kinds.resize(4);
  config.layer_kinds[1].scope = config.layer_kinds[3].scope = AttentionScope::local;  // even layers are dense      [Brown et al. 2020]
  Decoder model = Decoder::described(config);
  std::uint64_t seed = 1;
  for_each_parameter(model, [&](std::string_view path, Tensor& tensor) {
    tensor = plume_test::random_tensor(tensor.shape(), seed++, DType::f64, 0.3);
    if (path.ends_with("norm.weight")) tensor = shift(tensor, 1);
  });
  return model;
}

// The same layers, all dense, under a mask that is asked for each pair.
Tensor masked_logits(const Decoder& model, std::span<const TokenId> ids, const std::vector<Index>& lengths, Index window) {
  Pass pass;
  for (const Index length : lengths) pass.segments.push_back({length});
  Tensor x = model.embed(ids, pass);
  const auto dense = pass.masks;
  for (std::size_t layer = 0; layer < model.blocks.size(); ++layer) {
    Block block = model.blocks[layer];
    const bool banded = block.attention.shape.scope == AttentionScope::local;
    block.attention.shape.scope = AttentionScope::global;
    pass.masks = dense;
    for (std::size_t i = 0; banded && i < lengths.size(); ++i)
      pass.masks[i] = std::make_shared<const IntervalMask>(Mask::predicate([=](Index query, Index key) {
                                                             return key <= query && query - key < window;
                                                           }).intervals(0, lengths[i], lengths[i]));
    x = block(x, pass);
  }
  return model.logits(model.norm(x));
}

std::vector<TokenId> some_ids() {
  std::vector<TokenId> ids(tokens);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i * i % 31);
  return ids;
}

}  // namespace

TEST_CASE("a banded layer is a dense one under a mask, forward and backward") {
  const std::vector<TokenId> ids = some_ids();
  const std::vector<Index> lengths{29, 12};
  for (const Index window : {Index{1}, Index{8}, tokens}) {
    INFO(window);
    Decoder model = gpt3(window);
    trainable_parameters(model);
    const Tensor direction = plume_test::random_tensor({tokens, 31}, 5);
    Gradients banded, masked;
    Tensor one, other;
    {
      Tape tape;
      Pass pass;
      for (const Index length : lengths) pass.segments.push_back({length});
      one = model.logits(ids, pass);
      tape.backward(one, direction, banded);
    }
    {
      Tape tape;
      other = masked_logits(model, ids, lengths, window);
      tape.backward(other, direction, masked);
    }
    CHECK(distance(one, other) <= 1e-12);
    for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) {
      CHECK_MESSAGE(distance(banded.at(tensor), masked.at(tensor)) <= 1e-11 * std::max(1.0, plume_test::largest(masked.at(tensor))), path);
    });
  }
}

TEST_CASE("a window shows exactly its keys") {
  const std::vector<TokenId> ids = some_ids();
  Decoder model = gpt3(3);
  model.blocks.resize(2);
  model.blocks.erase(model.blocks.begin());  // one banded layer
  const auto logits = [&](const std::vector<TokenId>& of) {
    Pass pass;
    return model.logits(of, pass);
  };
  const Tensor before = logits(ids);
  std::vector<TokenId> changed = ids;
  changed[10] = (changed[10] + 1) % 31;
  const Tensor after = logits(changed);
  for (Index t = 0; t < tokens; ++t) CHECK_MESSAGE((distance(before.rows(t, t + 1), after.rows(t, t + 1)) > 0) == (t >= 10 && t < 13), t);
}
