// Tiny GPT-2 and LLaMA models against transformers: logits, hidden states, loss, every gradient, 20 AdamW steps, greedy ids.
#include <doctest/doctest.h>

#include <functional>

#include "decoder_fixture.hpp"
#include "plume/optim/adamw.hpp"

using namespace plume;
using plume_test::distance;
using plume_test::Golden;
using plume_test::Tensors;

namespace {

constexpr const char* models[] = {"gpt2", "llama", "llama_tied_biased"};

// The residual stream after each block, and what the head reads.
std::vector<Tensor> hidden_states(const Decoder& model, const Golden& golden) {
  std::vector<Tensor> states;
  for (std::size_t blocks = 1; blocks <= model.blocks.size(); ++blocks) {
    Decoder part = model;
    part.blocks.resize(blocks);
    Pass pass = golden.pass();
    pass.begin(static_cast<Index>(golden.ids.size()));
    Tensor x = part.embedding(golden.ids);
    if (part.position.weight)
      x = x + part.position(pass.positions);
    else
      pass.angles = rotary_angles(pass.positions, part.config.rotary.width, part.config.rotary.base, x.dtype());
    states.push_back(run_blocks(part.blocks, x, pass));
  }
  Pass pass = golden.pass();
  states.push_back(model.hidden(golden.ids, pass));
  return states;
}

// Gradients by path.
Tensors gradients_of(Decoder& model, const Golden& golden, Recompute how = Recompute::nothing) {
  trainable_parameters(model);
  Pass pass = golden.pass();
  pass.recompute = how;
  Tape tape;
  const Gradients gradients = tape.backward(model.loss(golden.ids, golden.targets, pass));
  Tensors result;
  for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) { result[std::string(path)] = gradients.at(tensor); });
  return result;
}

// The worst max-norm distance over tensors, each relative to its largest element, at least to 1e-3 of the largest of all (a key bias
// has a gradient of mathematically zero).
double worst(const Tensors& ours, const Golden& golden, const std::string& prefix) {
  double most = 0, result = 0;
  for (const auto& entry : golden.f64)
    if (entry.first.starts_with(prefix)) most = std::max(most, plume_test::largest(entry.second));
  for (const auto& [path, tensor] : ours) {
    const auto name = plume_test::file_name(golden.config, path);
    const auto found = golden.f64.find(prefix + name.name);
    if (found == golden.f64.end()) return INFINITY;
    const Tensor theirs = plume_test::as_parameter(found->second, name.transposed);
    if (!(theirs.shape() == tensor.shape())) return INFINITY;
    result = std::max(result, distance(tensor, theirs) / std::max(plume_test::largest(theirs), 1e-3 * most));
  }
  return result;
}

struct Training {
  Tensors after;
  std::vector<double> losses, norms;
};

Training train(Decoder& model, const Golden& golden, int steps) {
  AdamW optimizer(model, {.learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-6, .weight_decay = 0.1});
  Training result;
  for (int step = 0; step < steps; ++step) {
    Pass pass = golden.pass();
    Tape tape;
    const Tensor loss = model.loss(golden.ids, golden.targets, pass);
    const Gradients gradients = tape.backward(loss);
    const double norm = gradient_norm(optimizer.parameters(), gradients);
    optimizer.step(gradients, 1e-3, clip_factor(norm, 1.0));
    result.losses.push_back(loss.item());
    result.norms.push_back(norm);
  }
  for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) { result.after[std::string(path)] = tensor; });
  return result;
}

Tensor logits_of(const Decoder& model, const Golden& golden) {
  Pass pass = golden.pass();
  return model.logits(golden.ids, pass);
}

std::vector<TokenId> greedy(const Decoder& model, const Golden& golden, std::size_t count) {
  const auto prompt = golden.integers("prompt_ids");
  KvCache cache(model.config.cache(model.config.context, model.embedding.weight.dtype()));
  std::vector<TokenId> next = prompt, generated;
  while (generated.size() < count) {
    Pass pass;
    pass.segments = {{static_cast<Index>(next.size()), &cache}};
    const Tensor logits = model.logits(next, pass);
    next = {plume_test::best(logits.rows(logits.rows() - 1, logits.rows()))};
    generated.push_back(next[0]);
  }
  return generated;
}

}  // namespace

TEST_CASE("logits, hidden states and loss") {
  for (const std::string name : models) {
    INFO(name);
    const Golden golden(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Decoder model = golden.decoder(dtype);
      const double allowed = dtype == DType::f32 ? 1e-4 : 1e-9;
      CHECK(distance(logits_of(model, golden), golden.f64.at("logits")) <= allowed);
      Pass pass = golden.pass();
      CHECK(std::abs(model.loss(golden.ids, golden.targets, pass).item() - golden.f64.at("loss").item()) <= allowed);
      const auto states = hidden_states(model, golden);
      CHECK(distance(states[0], golden.f32.at("hidden.0")) <= 1e-4);
      CHECK(distance(states[1], golden.f32.at("hidden.1")) <= 1e-4);
      CHECK(distance(states[2], golden.f32.at("hidden.final")) <= 1e-4);
    }
    CHECK(distance(logits_of(golden.decoder(DType::f32), golden), golden.f32.at("logits")) <= 1e-4);
  }
}

TEST_CASE("the gradient of every tensor, with and without recomputation") {
  for (const std::string name : models) {
    INFO(name);
    const Golden golden(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      Decoder model = golden.decoder(dtype);
      const Tensors gradients = gradients_of(model, golden);
      CHECK(gradients.size() == golden.file.size());
      CHECK(worst(gradients, golden, "gradient.") <= (dtype == DType::f32 ? 1e-4 : 1e-9));
      const Tensors again = gradients_of(model, golden, Recompute::blocks);
      for (const auto& entry : gradients) CHECK_MESSAGE(plume_test::same_bits(entry.second, again.at(entry.first)), entry.first);
    }
  }
}

TEST_CASE("twenty AdamW steps") {
  for (const std::string name : models) {
    INFO(name);
    const Golden golden(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      Decoder model = golden.decoder(dtype);
      const Training training = train(model, golden, 20);
      const double allowed = dtype == DType::f32 ? 1e-4 : 1e-9;
      CHECK(worst(training.after, golden, "after.") <= allowed);
      const auto losses = plume_test::values_of(golden.f64.at("step_losses")), norms = plume_test::values_of(golden.f64.at("step_norms"));
      for (std::size_t step = 0; step < 20; ++step) {
        CHECK(std::abs(training.losses[step] - losses[step]) <= allowed * losses[step]);
        CHECK(std::abs(training.norms[step] - norms[step]) <= allowed * norms[step]);
      }
    }
  }
}

TEST_CASE("64 greedy ids, token by token through a cache") {
  for (const std::string name : models) {
    INFO(name);
    const Golden golden(name);
    const auto expected = golden.integers("greedy_ids");
    REQUIRE(expected.size() == 64);
    CHECK(greedy(golden.decoder(DType::f32), golden, 64) == expected);
    CHECK(greedy(golden.decoder(DType::f64), golden, 64) == expected);
  }
}

// A fixture that a wrong model passes is worth nothing: each of these slips must be far outside what the f64 tests allow (1e-9).
TEST_CASE("mutations of a model do not pass") {
  for (const std::string name : models) {
    const Golden golden(name);
    using Change = std::function<void(Decoder&)>;
    std::vector<std::pair<std::string, Change>> changes;
    const auto on_blocks = [&](const std::string& title, std::function<void(Block&)> change) {
      changes.emplace_back(title, [change](Decoder& model) {
        for (Block& block : model.blocks) change(block);
      });
    };
    on_blocks("epsilon times ten", [](Block& block) { block.attention_norm.epsilon *= 10, block.mlp_norm.epsilon *= 10; });
    changes.emplace_back("epsilon of the last norm times ten", [](Decoder& model) { model.norm.epsilon *= 10; });
    on_blocks("norms swapped", [](Block& block) { std::swap(block.attention_norm, block.mlp_norm); });
    if (name == "gpt2") {
      on_blocks("gelu erf", [](Block& block) { block.mlp.rule.kind = ActivationKind::gelu_erf; });
      on_blocks("keys and values swapped", [](Block& block) {
        const Tensor weight = block.attention.qkv.weight.copy();
        block.attention.qkv.weight.rows(48, 96).assign(weight.rows(96, 144));
        block.attention.qkv.weight.rows(96, 144).assign(weight.rows(48, 96));
      });
      changes.emplace_back("positions shifted by one", [](Decoder& model) {
        const Tensor moved = model.position.weight.copy();
        moved.rows(0, 70).assign(model.position.weight.rows(1, 71));
        model.position.weight = moved;
      });
      changes.emplace_back("one norm bias dropped", [](Decoder& model) { model.blocks[1].mlp_norm.bias = {}; });
      changes.emplace_back("one bias dropped", [](Decoder& model) { model.blocks[0].mlp.down.bias = {}; });
      changes.emplace_back("untied head", [](Decoder& model) { model.head.weight = model.embedding.weight.copy(); });
    } else {
      on_blocks("rotary layout", [](Block& block) { block.attention.shape.rotary->layout = RotaryLayout::interleaved; });
      changes.emplace_back("rotary base", [](Decoder& model) { model.config.rotary.base *= 1.01; });
      on_blocks("gate and up swapped", [](Block& block) { std::swap(block.mlp.gate, block.mlp.up); });
      on_blocks("quick gelu", [](Block& block) { block.mlp.rule.slope = 1.702; });
      if (name == "llama") {
        changes.emplace_back("tied head", [](Decoder& model) { model.head.weight = model.embedding.weight; });
      } else {
        changes.emplace_back("one bias dropped", [](Decoder& model) { model.blocks[0].attention.v.bias = {}; });
        changes.emplace_back("untied head", [](Decoder& model) { model.head.weight = model.embedding.weight.copy(); });
      }
    }
    for (const auto& entry : changes) {
      const std::string& title = entry.first;
      INFO(name << ": " << title);
      Decoder model = golden.decoder(DType::f64);
      entry.second(model);
      // An untied copy of the head computes the same logits; the gradient of the embedding is then a part of the tied one.
      double noticed = distance(logits_of(model, golden), golden.f64.at("logits"));
      if (noticed == 0 || title == "untied head") {
        Tensors gradients = gradients_of(model, golden);
        gradients.erase("head.weight");
        noticed = worst(gradients, golden, "gradient.");
      }
      CHECK(noticed > 1e-5);
    }
  }
}

TEST_CASE("training with recomputation takes the same steps") {
  const Golden golden("llama");
  Decoder model = golden.decoder(DType::f32), plain = golden.decoder(DType::f32);
  AdamW one(model, {}), other(plain, {});
  for (int step = 0; step < 3; ++step) {
    Pass pass = golden.pass(), recomputed = golden.pass();
    pass.dropout = recomputed.dropout = {.rate = 0.2, .seed = 5, .stream = static_cast<std::uint64_t>(step)};
    recomputed.recompute = Recompute::blocks;
    {
      Tape tape;
      one.step(tape.backward(model.loss(golden.ids, golden.targets, recomputed)));
    }
    Tape tape;
    other.step(tape.backward(plain.loss(golden.ids, golden.targets, pass)));
  }
  for (std::size_t i = 0; i < one.parameters().size(); ++i)
    CHECK(plume_test::same_bits(one.parameters()[i].tensor, other.parameters()[i].tensor));
}
