// Every family against transformers, on tiny models that it wrote: logits, hidden states, loss, every gradient, greedy ids through a cache,
// files written back. tests/golden/make_families.py says how they were made; make_glm.py for ChatGLM and GLM-130B, with their own code.
#include "plume/models/families/families.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <set>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "../test_data.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden, plume_test::Tensors;

namespace {

struct Fixture {
  std::string name, folder;
  Tensors numbers;
  std::vector<TokenId> ids, targets;
  std::vector<Index> lengths;

  explicit Fixture(const std::string& of)
      : name(of), folder(golden("families/" + of)), numbers(plume_test::read_safetensors(folder + "/golden.safetensors")) {
    ids = integers("input_ids"), targets = integers("targets");
    for (const TokenId length : integers("lengths")) lengths.push_back(length);
  }
  std::vector<TokenId> integers(const std::string& key) const {
    const auto span = numbers.at(key).span<TokenId>();
    return {span.begin(), span.end()};
  }
  Model model(DType dtype) const { return load(folder, {.dtype = dtype}); }
  Pass pass() const {
    Pass pass;
    for (const Index length : lengths) pass.segments.push_back({length});
    return pass;
  }
};

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden("families"))) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

Tensor logits_of(const Model& model, const Fixture& fixture) {
  Pass pass = fixture.pass();
  return model.logits(fixture.ids, pass);
}

Tensor transposed(const Tensor& matrix) {
  const Tensor from = matrix.to(DType::f64), into = Tensor::empty({matrix.columns(), matrix.rows()}, DType::f64);
  for (Index r = 0; r < from.rows(); ++r)
    for (Index c = 0; c < from.columns(); ++c) into.writable<double>()[c * from.rows() + r] = from.data<double>()[r * from.columns() + c];
  return into;
}

// The worst distance of a gradient, each relative to its largest element, at least to 1e-3 of the largest of all.
double worst_gradient(Model& model, const Fixture& fixture) {
  const Family& family = *families::fitting(model.config());
  trainable_parameters(model);
  Pass pass = fixture.pass();
  Tape tape;
  const Gradients gradients = tape.backward(model.loss(fixture.ids, fixture.targets, pass));
  double most = 0, worst = 0;
  std::size_t known = 0, met = 0;
  for (const auto& [key, tensor] : fixture.numbers)
    if (key.starts_with("gradient.")) most = std::max(most, plume_test::largest(tensor)), ++known;
  for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) {
    const FileName name = file_name(family, path);
    const auto found = fixture.numbers.find("gradient." + name.name);
    if (found == fixture.numbers.end()) return void(worst = INFINITY);
    ++met;
    Tensor ours = gradients.at(tensor);
    if (name.transposed) ours = transposed(ours);
    if (!(ours.shape() == found->second.shape())) return void(worst = INFINITY);
    worst = std::max(worst, distance(ours, found->second) / std::max(plume_test::largest(found->second), 1e-3 * most));
  });
  return met == known ? worst : INFINITY;
}

// Greedy ids through a cache; `apart` becomes the largest distance of a step's logits from those of the full recompute.
std::vector<TokenId> greedy(const Model& model, const Fixture& fixture, double& apart) {
  const std::size_t count = fixture.integers("greedy_ids").size();
  KvCache cache(model.config().cache(96, model.decoder.embedding.weight.dtype()));
  std::vector<TokenId> next = fixture.integers("prompt_ids"), all = next, generated;
  apart = 0;
  while (generated.size() < count) {
    Pass pass;
    pass.segments = {{static_cast<Index>(next.size()), &cache}};
    const Tensor logits = model.logits(next, pass), last = logits.rows(logits.rows() - 1, logits.rows());
    const Tensor whole = model.logits(all);
    apart = std::max(apart, distance(last, whole.rows(whole.rows() - 1, whole.rows())));
    const auto values = plume_test::values_of(last);
    next = {static_cast<TokenId>(std::max_element(values.begin(), values.end()) - values.begin())};
    generated.push_back(next[0]);
    all.push_back(next[0]);
  }
  return generated;
}

}  // namespace

TEST_CASE("logits, hidden states and loss of every family") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Model model = fixture.model(dtype);
      const double allowed = dtype == DType::f32 ? 1e-4 : 1e-9;
      CHECK(distance(logits_of(model, fixture), fixture.numbers.at("logits")) <= allowed);
      Pass pass = fixture.pass();
      CHECK(std::abs(model.loss(fixture.ids, fixture.targets, pass).item() - fixture.numbers.at("loss").item()) <= allowed);
      // The residual stream behind each block.
      for (std::size_t blocks = 1; blocks <= model.decoder.blocks.size(); ++blocks) {
        const std::vector<Block> first(model.decoder.blocks.begin(), model.decoder.blocks.begin() + static_cast<std::ptrdiff_t>(blocks));
        Pass part = fixture.pass();
        const Tensor states = run_blocks(first, model.decoder.embed(fixture.ids, part), part);
        const Tensor& theirs = fixture.numbers.at(concat("hidden.", blocks - 1));
        CHECK(distance(states, theirs) <= 1e-4 * std::max(1.0, plume_test::largest(theirs)));
      }
    }
  }
}

TEST_CASE("the gradient of every tensor of every family") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      Model model = fixture.model(dtype);
      CHECK(worst_gradient(model, fixture) <= (dtype == DType::f32 ? 1e-4 : 1e-9));
    }
  }
}

TEST_CASE("64 greedy ids of every family, token by token through a cache") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Model model = fixture.model(dtype);
      double apart = 0;
      CHECK(greedy(model, fixture, apart) == fixture.integers("greedy_ids"));
      // Cached keys were turned by the frequencies of their time; transformers does the same.
      if (model.config().rotary.scaling == RotaryScaling::dynamic) continue;
      // Of the largest logit, for float32: transformers' own of phi3_long, up to 4.6, are 1.4e-5 from its float64.
      const double largest = plume_test::largest(fixture.numbers.at("logits"));
      CHECK(apart <= (dtype == DType::f32 ? 1e-5 * std::max(1.0, largest) : 1e-9));
    }
  }
}

TEST_CASE("every family with its matrices in bf16 is nearly the same model") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    const Tensor& theirs = fixture.numbers.at("logits");
    const Model model = fixture.model(DType::bf16);
    const double apart = distance(logits_of(model, fixture), theirs);
    CHECK(apart > 1e-5);
    const double allowed = model.config().experts.count > 0 ? 0.8 : 0.2;  // a token may go to another expert
    CHECK(apart <= allowed * plume_test::largest(theirs));
  }
}

TEST_CASE("every family is written back as it was") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    const Model model = fixture.model(DType::f32);
    const plume_test::TemporaryDirectory directory;
    save(model, directory.path());
    CHECK(load(directory.path()).config() == model.config());
    const Tensors before = plume_test::read_safetensors(fixture.folder + "/model.safetensors"),
                  after = plume_test::read_safetensors(directory / "model.safetensors");
    CHECK(before.size() == after.size());
    for (const auto& entry : before) {
      CAPTURE(entry.first);
      REQUIRE(after.contains(entry.first));
      CHECK(plume_test::same_bits(entry.second, after.at(entry.first)));
    }
  }
}

// A fixture that a wrong model passes is worth nothing: each of these slips, where a model can make it, must be far outside what the f64
// tests allow (1e-9).
TEST_CASE("mutations of every family do not pass") {
  using Change = std::function<bool(Decoder&)>;  // false: there is nothing to change
  const auto on_blocks = [](std::function<bool(Block&)> change) {
    return Change([change](Decoder& model) {
      bool changed = false;
      for (Block& block : model.blocks) changed = change(block) || changed;
      return changed;
    });
  };
  const auto set = [](auto& value, auto other) {
    const bool differs = !(value == other);
    value = other;
    return differs;
  };
  const std::vector<std::pair<std::string, Change>> changes{
      {"epsilon times ten", on_blocks([](Block& block) {
         for (Norm* norm : {&block.attention_norm, &block.mlp_norm, &block.attention_output_norm, &block.mlp_output_norm})
           norm->epsilon *= 10;
         return true;
       })},
      {"epsilon of the last norm times ten", [](Decoder& model) { return model.norm.epsilon *= 10, static_cast<bool>(model.norm.weight); }},
      {"norms exchanged", on_blocks([](Block& block) {
         if (!block.attention_norm.weight || !block.mlp_norm.weight) return false;
         return std::swap(block.attention_norm, block.mlp_norm), true;
       })},
      {"output norms left out", on_blocks([](Block& block) {
         const bool changed = static_cast<bool>(block.attention_output_norm.weight);
         block.attention_output_norm = block.mlp_output_norm = {};
         return changed;
       })},
      {"output norms moved to the front", on_blocks([](Block& block) {
         if (!block.attention_output_norm.weight || block.attention_norm.weight) return false;
         std::swap(block.attention_norm, block.attention_output_norm), std::swap(block.mlp_norm, block.mlp_output_norm);
         return true;
       })},
      {"gains without their offset", on_blocks([&](Block& block) { return set(block.attention_norm.offset, 0.0); })},
      {"last gains without their offset", [&](Decoder& model) { return set(model.norm.offset, 0.0); }},
      {"sublayers in turn instead of side by side, or the other way round", on_blocks([](Block& block) {
         if (!block.attention_norm.weight || !block.mlp_norm.weight || block.attention_output_norm.weight) return false;
         block.wiring = block.wiring == Wiring::sequential ? Wiring::parallel : Wiring::sequential;
         return true;
       })},
      {"no norm of queries and keys", on_blocks([&](Block& block) { return set(block.attention.shape.qk_norm, QkNorm::none); })},
      {"norms of queries and keys exchanged", on_blocks([](Block& block) {
         if (!block.attention.q_norm.weight || !(block.attention.q_norm.weight.shape() == block.attention.k_norm.weight.shape()))
           return false;
         return std::swap(block.attention.q_norm, block.attention.k_norm), true;
       })},
      {"residual stream not scaled", on_blocks([&](Block& block) { return set(block.residual_scale, 1.0); })},
      {"residual stream from before the norm",
       on_blocks([&](Block& block) { return block.wiring == Wiring::normed_residual && set(block.wiring, Wiring::sequential); })},
      {"norms behind the sums instead of before",
       on_blocks([&](Block& block) { return block.wiring == Wiring::normed_residual && set(block.wiring, Wiring::post_norm); })},
      {"one stream of positions", [&](Decoder& model) { return set(model.config.rotary.two_streams, false); }},
      {"rotary frequencies not rounded", [&](Decoder& model) { return set(model.config.rotary.half_precision, false); }},
      {"what fills a blank counts on",
       [](Decoder& model) {
         if (!model.config.infilling || model.config.rotary.two_streams) return false;
         for (const TokenId mask : model.config.infilling->masks)
           if (mask == 50) model.config.infilling->continuation = mask;  // the one of the first sequence
         return model.config.infilling->continuation_counts = true;
       }},
      {"rotary base",
       [](Decoder& model) {
         return model.config.rotary.base *= 1.01, model.config.position == PositionKind::rotary && model.config.rotary.width > 2;
       }},
      {"rotary layout", on_blocks([](Block& block) {
         if (!block.attention.shape.rotary || block.attention.shape.rotary->width < 4) return false;
         RotaryLayout& layout = block.attention.shape.rotary->layout;
         layout = layout == RotaryLayout::half_split ? RotaryLayout::interleaved : RotaryLayout::half_split;
         return true;
       })},
      {"no rotary scaling", [&](Decoder& model) { return set(model.config.rotary.scaling, RotaryScaling::none); }},
      {"rotary factor",
       [](Decoder& model) {
         const RotaryScaling scaling = model.config.rotary.scaling;
         return model.config.rotary.factor *= 1.1, scaling != RotaryScaling::none && scaling != RotaryScaling::longrope;
       }},
      {"rotary amplitude", [&](Decoder& model) { return set(model.config.rotary.amplitude, 1.0); }},
      {"one rotary for all layers",
       [](Decoder& model) {
         const bool changed = model.config.local_rotary.has_value();
         return model.config.local_rotary.reset(), changed;
       }},
      {"every layer turns",
       [](Decoder& model) {
         bool changed = false;
         for (Block& block : model.blocks)
           if (model.config.position == PositionKind::rotary && !block.attention.shape.rotary)
             block.attention.shape.rotary = model.config.rotary, changed = true;
         return changed;
       }},
      {"a window that is one wider", [](Decoder& model) { return model.config.window > 0 ? (++model.config.window, true) : false; }},
      {"no window", on_blocks([&](Block& block) { return set(block.attention.shape.scope, AttentionScope::global); })},
      {"windows in the other layers",
       [](Decoder& model) {
         const AttentionScope first = model.blocks[0].attention.shape.scope;
         bool mixed = false;
         for (const Block& block : model.blocks) mixed = mixed || block.attention.shape.scope != first;
         for (Block& block : model.blocks) {
           AttentionScope& scope = block.attention.shape.scope;
           scope = scope == AttentionScope::local ? AttentionScope::global : AttentionScope::local;
         }
         return mixed;
       }},
      {"no ALiBi", on_blocks([&](Block& block) { return set(block.attention.shape.alibi, false); })},
      {"scale of scores", on_blocks([](Block& block) {
         AttentionShape& shape = block.attention.shape;
         const double usual = 1 / std::sqrt(static_cast<double>(shape.heads.head_width));
         return shape.scale = shape.scale != 0 && shape.scale != usual ? usual : 1.1 * usual, true;
       })},
      {"no cap of scores", on_blocks([&](Block& block) { return set(block.attention.shape.soft_cap, 0.0); })},
      {"no cap of logits", [&](Decoder& model) { return set(model.config.logit_cap, 0.0); }},
      {"keys and values exchanged in a packing", on_blocks([](Block& block) {
         Attention& attention = block.attention;
         if (attention.shape.layout == QkvLayout::separate || attention.shape.heads.head_width != attention.shape.heads.value_width)
           return false;
         attention.order.clear();
         for (const auto part : {AttentionShape::Part::queries, AttentionShape::Part::values, AttentionShape::Part::keys})
           for (const ColumnRange& range : attention.shape.columns_of(part)) attention.order.push_back(range);
         return true;
       })},
      {"a packing read as queries, keys, values", on_blocks([](Block& block) {
         const bool changed = !block.attention.order.empty();
         return block.attention.order.clear(), changed;
       })},
      {"the other GELU", on_blocks([](Block& block) {
         ActivationKind& kind = block.mlp.rule.kind;
         if (kind == ActivationKind::gelu_tanh) return kind = ActivationKind::gelu_erf, true;
         return kind == ActivationKind::gelu_erf ? (kind = ActivationKind::gelu_tanh, true) : false;
       })},
      {"gate and up exchanged", on_blocks([](Block& block) {
         if (block.mlp.gate_up.weight) {
           const Tensor both = block.mlp.gate_up.weight, other = like(both);
           const Index half = both.rows() / 2;
           other.rows(0, half).assign(both.rows(half, 2 * half)), other.rows(half, 2 * half).assign(both.rows(0, half));
           return block.mlp.gate_up.weight = other, true;
         }
         for (Mlp& expert : block.experts.experts) std::swap(expert.gate, expert.up);
         return std::swap(block.mlp.gate, block.mlp.up),
                block.mlp.gate.weight && block.mlp.up.weight ? true : !block.experts.experts.empty();
       })},
      {"other weights of experts", on_blocks([](Block& block) {
         ExpertWeights& weights = block.experts.shape.weights;
         weights = weights == ExpertWeights::renormalised ? ExpertWeights::as_they_are : ExpertWeights::renormalised;
         return !block.experts.experts.empty();
       })},
      {"one expert less for each token",
       on_blocks([](Block& block) { return block.experts.experts.empty() ? false : (--block.experts.shape.chosen, true); })},
      {"no shared expert", on_blocks([](Block& block) {
         const bool changed = static_cast<bool>(block.experts.shared_gate.weight);
         return block.experts.shared_gate = {}, changed;
       })},
      {"embeddings not scaled", [&](Decoder& model) { return set(model.config.embedding_scale, 1.0); }},
      {"no norm of embeddings",
       [](Decoder& model) {
         const bool changed = static_cast<bool>(model.embedding_norm.weight);
         return model.embedding_norm = {}, changed;
       }},
      {"no bias of the head",
       [](Decoder& model) {
         const bool changed = static_cast<bool>(model.head.bias);
         return model.head.bias = {}, changed;
       }},
      {"a bias left out", on_blocks([](Block& block) {
         for (Linear* layer : {&block.attention.q, &block.attention.qkv, &block.mlp.up})
           if (layer->bias) return layer->bias = {}, true;
         return false;
       })},
      {"the last norm left out", [](Decoder& model) {
         const bool changed = static_cast<bool>(model.norm.weight);
         return model.norm = {}, changed;
       }}};
  std::set<std::string> tried;
  for (const std::string& name : fixtures()) {
    const Fixture fixture(name);
    for (const auto& change : changes) {
      Model model = fixture.model(DType::f64);
      if (!change.second(model.decoder)) continue;
      tried.insert(change.first);
      CHECK_MESSAGE(distance(logits_of(model, fixture), fixture.numbers.at("logits")) > 1e-6, name << ": " << change.first);
    }
  }
  for (const auto& change : changes) CHECK_MESSAGE(tried.contains(change.first), change.first);
}

TEST_CASE("every family has a fixture") {
  std::set<std::string_view> met;
  for (const std::string& name : fixtures()) met.insert(Fixture(name).model(DType::f32).config().family);
  for (const Family* family : families::all)
    if (family->name != "gpt2" && family->name != "llama" && family->name != "moss")  // parity_test; CodeGen's layout, not in transformers
      CHECK_MESSAGE(met.contains(family->name), std::string(family->name));
}
