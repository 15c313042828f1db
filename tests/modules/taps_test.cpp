// Looking inside a pass: hidden states and attention maps as transformers has them, every named tap, parts of a model, masks of one's own.
// tests/golden/make_inside.py says how the numbers were made.
#include "plume/modules/taps.hpp"

#include <doctest/doctest.h>

#include <set>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../test_data.hpp"
#include "plume/models/encoder_decoder_files.hpp"
#include "plume/models/load.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden, plume_test::same_bits, plume_test::Tensors;

namespace {

struct Inside {
  Decoder model;
  Tensors numbers;
  std::vector<TokenId> ids;

  explicit Inside(const std::string& name)
      : model(load(golden(name == "gpt2"    ? "models/gpt2"
                          : name == "llama" ? "families/llama_llama3"
                                            : "families/" + name),
                   {.dtype = DType::f64})
                  .decoder),
        numbers(plume_test::read_safetensors(golden("inside/" + name + ".safetensors"))),
        ids(integers("input_ids")) {}
  std::vector<TokenId> integers(const std::string& key) const {
    const auto span = numbers.at(key).span<TokenId>();
    return {span.begin(), span.end()};
  }
  Pass pass(Taps* taps = nullptr) const {
    Pass pass;
    pass.taps = taps;
    for (const TokenId length : integers("lengths")) pass.segments.push_back({length});
    return pass;
  }
  // A mask of one's own.
  Mask mask(const std::string& kind) const {
    const Tensor visible = numbers.at("masked." + kind);
    return Mask::predicate(
        [visible](Index query, Index key) { return visible.data<std::int32_t>()[query * visible.columns() + key] != 0; });
  }
};

constexpr const char* names[] = {"gpt2", "llama", "bloom", "mistral", "openai_gpt"};

}  // namespace

TEST_CASE("hidden states of every layer") {
  for (const std::string name : names) {
    INFO(name);
    const Inside inside(name);
    Pass pass = inside.pass(), whole = inside.pass();
    const std::vector<Tensor> states = inside.model.hidden_states(inside.ids, pass);
    REQUIRE(states.size() == inside.model.blocks.size() + 1);
    for (std::size_t i = 0; i < states.size(); ++i) {
      INFO(i);
      CHECK(distance(states[i], inside.numbers.at(concat("hidden_states.", i))) <= 1e-9);
    }
    CHECK(same_bits(states.back(), inside.model.hidden(inside.ids, whole)));
  }
}

TEST_CASE("attention maps of the layers that are asked for") {
  for (const std::string name : names) {
    INFO(name);
    const Inside inside(name);
    Taps taps({"blocks.*.attention.weights"}), one({"blocks.1.attention.weights"});
    Pass pass = inside.pass(&taps), other = inside.pass(&one), none = inside.pass();
    const Tensor states = inside.model.hidden(inside.ids, pass);
    CHECK(same_bits(states, inside.model.hidden(inside.ids, none)));
    for (std::size_t layer = 0; layer < inside.model.blocks.size(); ++layer)
      for (std::size_t sequence = 0; sequence < 2; ++sequence) {
        const Tensor& theirs = inside.numbers.at(concat("attentions.", layer, ".", sequence));
        const Tensor& ours = taps.at(concat("blocks.", layer, ".attention.weights"), sequence);
        CHECK(ours.shape() == theirs.shape());
        CHECK(distance(ours, theirs) <= 1e-9);
      }
    inside.model.hidden(inside.ids, other);
    CHECK(one.all().size() == 1);
    CHECK(same_bits(one.at("blocks.1.attention.weights", 1), taps.at("blocks.1.attention.weights", 1)));
  }
}

TEST_CASE("an attention map of new tokens through a cache") {
  const Inside inside("bloom");
  Taps taps({"blocks.0.attention.weights"}), later({"blocks.0.attention.weights"});
  Pass whole;
  whole.taps = &taps;
  const std::span ids = std::span(inside.ids).first(13);
  inside.model.hidden(ids, whole);
  KvCache cache(inside.model.config.cache(20, DType::f64));
  Pass pass;
  pass.taps = &later;
  pass.segments = {{9, &cache}};
  inside.model.hidden(ids.first(9), pass);
  pass.segments = {{4, &cache}};
  inside.model.hidden(ids.subspan(9), pass);
  const Tensor map = later.at("blocks.0.attention.weights"), all = taps.at("blocks.0.attention.weights");
  CHECK(map.shape() == Shape{6, 4, 13});
  for (Index head = 0; head < 6; ++head)
    for (Index t = 0; t < 4; ++t)
      for (Index key = 0; key < 13; ++key)
        CHECK(map.data<double>()[(head * 4 + t) * 13 + key] ==
              doctest::Approx(all.data<double>()[(head * 13 + t + 9) * 13 + key]).epsilon(1e-12));
}

// What a tap shows is what the next module reads: each tap must be rebuilt from the one before by the modules themselves.
TEST_CASE("every tap is what its name says") {
  for (const std::string name : {"llama_llama3", "openai_gpt", "gemma2", "phi3", "gpt_neox", "qwen2_moe", "olmo2"}) {
    INFO(name);
    const Decoder model = load(golden("families/" + name), {.dtype = DType::f64}).decoder;
    const std::vector<TokenId> ids{3, 1, 4, 1, 5, 9, 2, 6, 5};
    const bool has_experts = static_cast<bool>(model.blocks[0].experts.router.weight), has_norm = static_cast<bool>(model.norm.weight);
    std::vector<std::string> asked{"embedding"};
    for (const char* part : {"", ".attention.input", ".attention.queries", ".attention.keys", ".attention.values", ".attention.weights",
                             ".attention.context", ".attention"})
      asked.push_back(concat("blocks.*", part));
    if (has_norm) asked.push_back("norm");
    Taps taps(asked);
    Pass pass;
    pass.taps = &taps;
    const Tensor states = model.hidden(ids, pass);
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
      INFO(i);
      const Block& block = model.blocks[i];
      const auto at = [&](std::string_view part) { return taps.at(concat("blocks.", i, part)); };
      const Tensor x = i == 0 ? taps.at("embedding") : taps.at(concat("blocks.", i - 1));
      const bool pre_norm = block.attention_norm.weight && block.wiring != Wiring::post_norm;
      CHECK(same_bits(at(".attention.input"), pre_norm ? block.attention_norm(x) : x));
      CHECK(same_bits(at(".attention"), block.attention.output(at(".attention.context"))));
      if (!block.attention.qkv.weight) CHECK(same_bits(at(".attention.values"), block.attention.v(at(".attention.input"))));
      // context = weights * values, head by head
      const HeadShape& heads = block.attention.shape.heads;
      const Tensor weights = at(".attention.weights").reshape({heads.query_heads * 9, 9}), values = at(".attention.values").copy(),
                   context = at(".attention.context");
      double worst = 0;
      for (Index head = 0; head < heads.query_heads; ++head)
        for (Index t = 0; t < 9; ++t)
          for (Index e = 0; e < heads.value_width; ++e) {
            double sum = 0;
            for (Index key = 0; key < 9; ++key)
              sum += weights.data<double>()[(head * 9 + t) * 9 + key] *
                     values.data<double>()[key * values.columns() + head / heads.group() * heads.value_width + e];
            worst = std::max(worst, std::abs(sum - context.data<double>()[t * context.columns() + head * heads.value_width + e]));
          }
      CHECK(worst <= 1e-12);
      // weights = softmax(queries * keys) over the keys that a query sees
      const AttentionShape& shape = block.attention.shape;
      const double scale = shape.scale != 0 ? shape.scale : 1 / std::sqrt(static_cast<double>(heads.head_width));
      const Tensor queries = at(".attention.queries").copy(), keys = at(".attention.keys").copy();
      REQUIRE(queries.columns() == heads.query_heads * heads.head_width);
      REQUIRE(keys.columns() == heads.key_heads * heads.head_width);
      worst = 0;
      for (Index head = 0; head < heads.query_heads; ++head)
        for (Index t = 0; t < 9; ++t) {
          const double* const probabilities = weights.data<double>() + (head * 9 + t) * 9;
          std::vector<double> expected(9);
          double sum = 0;
          for (Index key = 0; key < 9; ++key) {
            if (probabilities[key] == 0) continue;
            double score = 0;
            for (Index e = 0; e < heads.head_width; ++e)
              score += queries.data<double>()[t * queries.columns() + head * heads.head_width + e] *
                       keys.data<double>()[key * keys.columns() + head / heads.group() * heads.head_width + e];
            score *= scale;
            if (shape.soft_cap != 0) score = shape.soft_cap * std::tanh(score / shape.soft_cap);
            sum += expected[static_cast<std::size_t>(key)] = std::exp(score);
          }
          for (Index key = 0; key < 9; ++key)
            worst = std::max(worst, std::abs(expected[static_cast<std::size_t>(key)] / sum - probabilities[key]));
        }
      CHECK(worst <= 1e-12);
    }
    const Tensor last = taps.at(concat("blocks.", model.blocks.size() - 1));
    CHECK(same_bits(has_norm ? taps.at("norm") : last, states));
    CHECK(same_bits(has_norm ? model.norm(last) : last, states));

    // The feed-forward half of each block.
    std::vector<std::string> halves;
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
      const std::string place = concat("blocks.", i, model.blocks[i].experts.router.weight ? ".experts" : ".mlp");
      halves.insert(halves.end(), {place + ".input", place, place + (model.blocks[i].experts.router.weight ? ".router" : ".hidden")});
      if (model.blocks[i].mlp_output_norm.weight)
        halves.insert(halves.end(), {concat("blocks.", i, ".mlp_output_norm"), concat("blocks.", i, ".attention_output_norm"),
                                     concat("blocks.", i, ".attention")});
    }
    Taps feed(halves);
    Pass again;
    again.taps = &feed;
    model.hidden(ids, again);
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
      INFO(i);
      const Block& block = model.blocks[i];
      const auto at = [&](std::string_view part) { return feed.at(concat("blocks.", i, part)); };
      if (block.experts.router.weight) {
        CHECK(same_bits(at(".experts"), block.experts(at(".experts.input"))));
        CHECK(same_bits(at(".experts.router"), block.experts.router(at(".experts.input"))));
      } else {
        CHECK(same_bits(at(".mlp"), block.mlp(at(".mlp.input"))));
        CHECK(same_bits(at(".mlp"), block.mlp.down(at(".mlp.hidden"))));
      }
      if (!block.mlp_output_norm.weight) continue;
      CHECK(same_bits(at(".mlp_output_norm"), block.mlp_output_norm(at(".mlp"))));
      CHECK(same_bits(at(".attention_output_norm"), block.attention_output_norm(at(".attention"))));
    }
    CHECK(has_experts == (name == "qwen2_moe"));
  }
}

TEST_CASE("tapped tensors are part of the tape") {
  Inside inside("gpt2");
  trainable_parameters(inside.model);
  const auto gradient = [&](auto loss_of) {
    Tape tape;
    return tape.backward(loss_of()).at(inside.model.embedding.weight).copy();
  };
  const Tensor target = plume_test::random_tensor({24, 48}, 3);
  const Tensor tapped = gradient([&] {
    Taps taps({"blocks.0"});
    Pass pass = inside.pass(&taps);
    inside.model.hidden(inside.ids, pass);
    return mean_squared_error(taps.at("blocks.0"), target);
  });
  const Tensor direct = gradient([&] {
    Pass pass = inside.pass();
    return mean_squared_error(inside.model.run(0, 1, inside.model.embed(inside.ids, pass), pass), target);
  });
  CHECK(same_bits(tapped, direct));
}

TEST_CASE("taps change nothing, whatever is run again or compressed, and may be gone by then") {
  Decoder model = load(golden("families/llama_llama3")).decoder;
  trainable_parameters(model);
  const std::vector<TokenId> ids{3, 1, 4, 1, 5, 9, 2, 6, 5}, targets{1, 4, 1, 5, 9, 2, 6, 5, 3};
  for (const Recompute recompute : {Recompute::nothing, Recompute::mlp, Recompute::blocks})
    for (const Activations activations : {Activations::full, Activations::bf16}) {
      std::vector<Tensor> gradients, kept;
      for (const bool with : {false, true}) {
        auto taps = std::make_unique<Taps>(
            std::vector<std::string>{"blocks.*", "blocks.*.attention", "blocks.*.mlp", "blocks.1.attention.weights"});
        Pass pass;
        pass.recompute = recompute, pass.activations = activations;
        pass.taps = with ? taps.get() : nullptr;
        Tape tape;
        const Tensor loss = model.loss(ids, targets, pass);
        if (with) {
          CHECK(plume_test::largest(taps->at("blocks.0.mlp")) > 0);
          kept = {taps->at("blocks.0"), taps->at("blocks.2.attention")};
        }
        taps.reset();
        gradients.push_back(tape.backward(loss).at(model.embedding.weight).copy());
      }
      CHECK(same_bits(gradients[0], gradients[1]));
      Taps plain({"blocks.0", "blocks.2.attention"});
      Pass pass;
      pass.taps = &plain;
      model.hidden(ids, pass);
      CHECK(same_bits(kept[0], plain.at("blocks.0")));
      CHECK(same_bits(kept[1], plain.at("blocks.2.attention")));
    }
}

TEST_CASE("a name that nothing is called is refused") {
  const Inside inside("openai_gpt");
  for (const char* name : {"blocks.7", "blocks.0.atention", "norm", "blocks.*.experts", "blocks.x", "blocks.00"}) {
    Taps taps({name});
    Pass pass = inside.pass(&taps);
    CHECK_THROWS_WITH_AS(inside.model.hidden(inside.ids, pass), doctest::Contains("blocks.*.attention.weights"), ArgumentError);
  }
  Taps taps({"blocks.0.attention.weights"});
  CHECK_THROWS_WITH_AS(taps.at("blocks.0.attention.weights"), "[taps] nothing called blocks.0.attention.weights was kept; no pass has run",
                       ArgumentError);
  Pass pass = inside.pass(&taps);
  inside.model.hidden(inside.ids, pass);
  CHECK_THROWS_WITH_AS(taps.at("blocks.0.attention.weights", 2), "[taps] blocks.0.attention.weights has 2 tensors, number 2 was asked for",
                       ArgumentError);
  CHECK_THROWS_AS(taps.at("blocks.1.attention.weights"), ArgumentError);
}

TEST_CASE("parts of a model, one after the other, are the model; with caches too") {
  const Inside inside("mistral");
  const Decoder& model = inside.model;
  Pass whole = inside.pass(), parts = inside.pass();
  const Tensor states = model.hidden(inside.ids, whole);
  const Tensor x = model.embed(inside.ids, parts);
  CHECK(same_bits(model.norm(model.run(1, 3, model.run(0, 1, x, parts), parts)), states));
  CHECK(same_bits(model.run(1, 1, x, parts), x));
  CHECK_THROWS_AS(model.run(1, 4, x, parts), ArgumentError);
  CHECK_THROWS_AS(model.run(2, 1, x, parts), ArgumentError);
  CHECK_THROWS_AS(model.run(-1, 1, x, parts), ArgumentError);

  // States of one's own go in without token ids.
  Pass own = inside.pass();
  model.begin_pass(x.rows(), own, DType::f64);
  CHECK(same_bits(model.norm(model.run(0, 3, x, own)), states));

  KvCache cache(model.config.cache(20, DType::f64)), reference(model.config.cache(20, DType::f64));
  const std::span ids = std::span(inside.ids).first(13);
  for (const auto& [begin, count] : {std::pair<std::size_t, std::size_t>{0, 9}, {9, 4}}) {
    Pass pass, other;
    pass.segments = {{static_cast<Index>(count), &cache}};
    other.segments = {{static_cast<Index>(count), &reference}};
    const auto now = ids.subspan(begin, count);
    Tensor y = model.embed(now, pass);
    for (Index layer = 0; layer < 3; ++layer) y = model.run(layer, layer + 1, y, pass);
    pass.end();
    CHECK(same_bits(model.norm(y), model.hidden(now, other)));
  }
}

TEST_CASE("masks of one's own: any pairs, blocks, and rows of intervals") {
  for (const std::string name : {"gpt2", "llama"}) {
    Inside inside(name);
    trainable_parameters(inside.model);
    const std::vector<TokenId> ids = inside.integers("masked.ids");
    std::vector<TokenId> targets(ids.begin() + 1, ids.end());
    targets.push_back(-1);
    for (const std::string kind : {"random", "blocks"}) {
      INFO(name << ' ' << kind);
      const Index count = static_cast<Index>(ids.size());
      for (const Mask& mask : {inside.mask(kind), Mask::listed(inside.mask(kind).intervals(0, count, count))}) {
        Pass pass, again;
        pass.mask = again.mask = mask;
        CHECK(distance(inside.model.logits(ids, again), inside.numbers.at(kind + ".logits")) <= 1e-9);
        Tape tape;
        const Tensor loss = inside.model.loss(ids, targets, pass);
        CHECK(std::abs(loss.item() - inside.numbers.at(kind + ".loss").item()) <= 1e-9);
        // The gradient of a tied table comes from both ends, as in transformers.
        CHECK(distance(tape.backward(loss).at(inside.model.embedding.weight), inside.numbers.at(kind + ".gradient")) <= 1e-9);
      }
    }
  }
  IntervalMask two;
  two.add(0, 1), two.end_row(), two.add(1, 2), two.end_row();
  CHECK_THROWS_WITH_AS(Mask::listed(two).intervals(1, 2, 3), "[mask] query 2 is past the 2 rows of the mask", ArgumentError);
}

// Learned biases by distance, and attention to an encoder's output: weights of both stacks are what the values were weighed with.
TEST_CASE("attention maps of an encoder-decoder") {
  for (const std::string name : {"t5", "marian"}) {
    INFO(name);
    const EncoderDecoder model = load_encoder_decoder(golden("encoder_decoders/" + name), {.dtype = DType::f64});
    const auto check = [&](const Taps& taps, const Stack& stack, const std::string& kind) {
      for (std::size_t i = 0; i < stack.blocks.size(); ++i) {
        INFO(kind, i);
        const HeadShape heads = (kind == "attention" ? stack.blocks[i].attention : stack.blocks[i].cross_attention).shape.heads;
        const auto at = [&](const char* part) { return taps.at(concat("blocks.", i, ".", kind, ".", part)).copy(); };
        const Tensor weights = at("weights"), values = at("values"), context = at("context");
        const Index queries = context.rows(), keys = values.rows();
        REQUIRE(weights.shape() == Shape{heads.query_heads, queries, keys});
        double worst = 0, spread = 0;
        for (Index head = 0; head < heads.query_heads; ++head)
          for (Index t = 0; t < queries; ++t) {
            const double* const row = weights.data<double>() + (head * queries + t) * keys;
            for (Index e = 0; e < heads.value_width; ++e) {
              const Index column = head * heads.value_width + e;
              double sum = 0;
              for (Index key = 0; key < keys; ++key) sum += row[key] * values.data<double>()[key * values.columns() + column];
              worst = std::max(worst, std::abs(sum - context.data<double>()[t * context.columns() + column]));
            }
            for (Index key = 1; key < keys; ++key) spread = std::max(spread, std::abs(row[key] - row[0]));
          }
        CHECK(worst <= 1e-12);
        CHECK(spread > 1e-3);
      }
    };
    Taps source({"blocks.*.attention.weights", "blocks.*.attention.values", "blocks.*.attention.context"});
    Taps target({"blocks.*.attention.weights", "blocks.*.attention.values", "blocks.*.attention.context",
                 "blocks.*.cross_attention.weights", "blocks.*.cross_attention.values", "blocks.*.cross_attention.context"});
    Pass reads, writes;
    reads.taps = &source, writes.taps = &target;
    const Memory memory = model.encode(std::vector<TokenId>{5, 9, 2, 6, 5, 3, 8}, reads);
    model.logits(memory, std::vector<TokenId>{0, 4, 7, 1, 6}, writes);
    check(source, model.encoder, "attention");
    check(target, model.decoder, "attention");
    check(target, model.decoder, "cross_attention");
    // New tokens through a cache: their distances are those to the keys before.
    Taps later({"blocks.*.attention.weights"});
    KvCache cache(model.config.decoder.cache(8, DType::f64));
    Pass pass;
    pass.taps = &later;
    for (const std::vector<TokenId>& part : {std::vector<TokenId>{0, 4, 7}, {1, 6}}) {
      pass.segments = {{static_cast<Index>(part.size()), &cache}};
      model.logits(memory, part, pass);
    }
    for (std::size_t i = 0; i < model.decoder.blocks.size(); ++i) {
      const std::string key = concat("blocks.", i, ".attention.weights");
      const Tensor map = later.at(key), all = target.at(key);
      const Index heads = model.config.decoder.heads;
      REQUIRE(map.shape() == Shape{heads, 2, 5});
      double worst = 0;
      for (Index head = 0; head < heads; ++head)
        for (Index at = 0; at < 10; ++at)
          worst = std::max(worst, std::abs(map.data<double>()[head * 10 + at] - all.data<double>()[head * 25 + 15 + at]));
      CHECK(worst <= 1e-12);
    }
  }
}
