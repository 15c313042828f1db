// run_blocks() with activations kept as bfloat16: what it saves, and what it does to gradients.
#include "plume/modules/stack.hpp"

#include <doctest/doctest.h>

#include "../numbers.hpp"
#include "plume/kernels/parallel/context.hpp"
#include "plume/models/decoder.hpp"

using namespace plume;

namespace {

constexpr Index layers = 4, width = 64, hidden = 256, tokens = 256;

enum class Style { llama, gpt2 };

Decoder decoder_of(Style style) {
  Config config{.vocabulary = 32,
                .context = tokens,
                .width = width,
                .layers = layers,
                .hidden = hidden,
                .heads = 4,
                .key_heads = 2,
                .head_width = 16};
  config.rotary.width = 16;
  if (style == Style::gpt2) {
    config.norm = NormKind::layer, config.position = PositionKind::learned, config.qkv_layout = QkvLayout::contiguous;
    config.key_heads = 4, config.gated = false, config.activation = {.kind = kernels::ActivationKind::gelu_tanh};
    config.norm_bias = config.qkv_bias = config.output_bias = config.mlp_bias = true;
  }
  Decoder decoder = Decoder::described(config);
  initialise(decoder, 1);
  for_each_parameter(decoder, [](std::string_view, Tensor& tensor) { parameter(tensor); });
  return decoder;
}

struct Step {
  double loss = 0;
  std::size_t kept = 0;  // bytes in use after the forward pass
  std::vector<Tensor> gradients;
};

Step step_of(const Decoder& decoder, Recompute recompute, Activations activations, double dropout = 0, Index rows = tokens) {
  const Context context({.threads = 1});
  const ContextScope scope(context);
  std::vector<TokenId> inputs(static_cast<std::size_t>(rows)), targets = inputs;
  Random random{.seed = 5};
  for (TokenId& id : inputs) id = static_cast<TokenId>(random.below(32));
  for (TokenId& id : targets) id = static_cast<TokenId>(random.below(32));
  Pass pass;
  pass.recompute = recompute;
  pass.activations = activations;
  pass.dropout = {.rate = dropout, .seed = 3};
  Tape tape;
  const Tensor loss = decoder.loss(inputs, targets, pass);
  Step step;
  step.loss = loss.item();
  step.kept = context.pool().bytes_in_use();
  const Gradients gradients = tape.backward(loss);
  for_each_parameter(decoder, [&](std::string_view, const Tensor& tensor) { step.gradients.push_back(gradients.at(tensor)); });
  return step;
}

}  // namespace

TEST_CASE("the forward pass keeps two bytes less for each number that is kept, and its loss is the same") {
  for (const Style style : {Style::llama, Style::gpt2}) {
    const Decoder decoder = decoder_of(style);
    const bool is_llama = style == Style::llama;
    // Numbers of a token in a block, of those that a backward pass reads: the input and its norm, the sum and its norm, the hidden numbers
    // of the feed-forward half. What attention reads stays as it is.
    const Index all = 4 * width + (is_llama ? 3 : 2) * hidden;
    const struct {
      Recompute recompute;
      Index numbers;
    } cases[] = {{Recompute::nothing, all}, {Recompute::mlp, 3 * width}, {Recompute::blocks, width}};
    for (const auto& c : cases) {
      CAPTURE(static_cast<int>(style));
      CAPTURE(static_cast<int>(c.recompute));
      const Step full = step_of(decoder, c.recompute, Activations::full), half = step_of(decoder, c.recompute, Activations::bf16);
      CHECK(half.loss == full.loss);
      CHECK(full.kept - half.kept == static_cast<std::size_t>(2 * layers * tokens * c.numbers));
    }
  }
}

TEST_CASE("gradients differ from those of f32 activations, and little") {
  for (const Style style : {Style::llama, Style::gpt2}) {
    const Decoder decoder = decoder_of(style);
    for (const double dropout : {0.0, 0.1}) {
      const Step full = step_of(decoder, Recompute::nothing, Activations::full, dropout, 100);
      double largest = 0;
      for (const Tensor& gradient : full.gradients) largest = std::max(largest, plume_test::largest(gradient));
      for (const Recompute recompute : {Recompute::nothing, Recompute::mlp, Recompute::blocks}) {
        CAPTURE(static_cast<int>(style));
        CAPTURE(static_cast<int>(recompute));
        const Step half = step_of(decoder, recompute, Activations::bf16, dropout, 100);
        int different = 0;
        for (std::size_t i = 0; i < full.gradients.size(); ++i) {
          CAPTURE(i);
          different += plume_test::same_bits(half.gradients[i], full.gradients[i]) ? 0 : 1;
          const double scale = std::max(plume_test::largest(full.gradients[i]), 1e-3 * largest);
          CHECK(plume_test::distance(half.gradients[i], full.gradients[i]) <= 1e-2 * scale);
        }
        CHECK(different > static_cast<int>(full.gradients.size()) / 2);
      }
    }
  }
}

TEST_CASE("a step without a tape, and one in f64, know nothing of it") {
  Decoder decoder = decoder_of(Style::llama);
  std::vector<TokenId> ids{1, 2, 3, 4, 5};
  Pass plain, half;
  half.activations = Activations::bf16;
  CHECK(plume_test::same_bits(decoder.logits(ids, plain), decoder.logits(ids, half)));
  initialise(decoder, 1, DType::f64);
  for_each_parameter(decoder, [](std::string_view, Tensor& tensor) { parameter(tensor); });
  const Step one = step_of(decoder, Recompute::nothing, Activations::full), two = step_of(decoder, Recompute::nothing, Activations::bf16);
  CHECK(one.kept == two.kept);
  for (std::size_t i = 0; i < one.gradients.size(); ++i) CHECK(plume_test::same_bits(one.gradients[i], two.gradients[i]));
}
