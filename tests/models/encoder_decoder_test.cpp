// Encoder-decoders against transformers, on tiny models that it wrote: logits, hidden states, loss, every gradient, greedy ids through a
// cache, files written back. tests/golden/make_encoder_decoders.py says how they were made.
#include "plume/models/encoder_decoder.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <set>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "../test_data.hpp"
#include "encoder_decoder_fixture.hpp"
#include "plume/autograd/recompute.hpp"
#include "plume/formats/safetensors.hpp"
#include "plume/models/encoder_decoder_files.hpp"
#include "plume/models/families/encoder_decoders.hpp"
#include "plume/models/load.hpp"

using namespace plume;
using plume_test::distance, plume_test::EncoderDecoderFixture, plume_test::Tensors;

namespace {

Tensor logits_of(const EncoderDecoder& model, const EncoderDecoderFixture& fixture) {
  Pass pass = fixture.target_pass();
  const Memory memory = model.encode(fixture.source, fixture.source_pass());
  return model.logits(memory, fixture.inputs, pass);
}

Tensor transposed(const Tensor& matrix) {
  const Tensor from = matrix.to(DType::f64), into = Tensor::empty({matrix.columns(), matrix.rows()}, DType::f64);
  for (Index r = 0; r < from.rows(); ++r)
    for (Index c = 0; c < from.columns(); ++c) into.writable<double>()[c * from.rows() + r] = from.data<double>()[r * from.columns() + c];
  return into;
}

// The worst distance of a gradient, each relative to its largest element, at least to 1e-3 of the largest of all.
double worst_gradient(EncoderDecoder& model, const EncoderDecoderFixture& fixture, Recompute recompute = Recompute::nothing) {
  const families::EncoderDecoderFamily& family = families::encoder_decoder_of(fixture.json());
  trainable_parameters(model);
  Pass source = fixture.source_pass(), target = fixture.target_pass();
  source.recompute = target.recompute = recompute;
  Tape tape;
  const Memory memory = model.encode(fixture.source, source);
  const Gradients gradients = tape.backward(model.loss(memory, fixture.inputs, fixture.targets, target));
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
    worst = std::max(worst, distance(ours, found->second) / std::max(plume_test::largest(found->second), 1e-3 * most));
  });
  return met == known ? worst : INFINITY;
}

}  // namespace

TEST_CASE("logits, hidden states and loss of every encoder-decoder") {
  for (const std::string& name : plume_test::encoder_decoders()) {
    INFO(name);
    const EncoderDecoderFixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      const EncoderDecoder model = fixture.model(dtype);
      const double allowed = dtype == DType::f32 ? 1e-4 : 1e-9;
      CHECK(distance(logits_of(model, fixture), fixture.numbers.at("logits")) <= allowed);
      Pass pass = fixture.target_pass();
      const Memory memory = model.encode(fixture.source, fixture.source_pass());
      CHECK(std::abs(model.loss(memory, fixture.inputs, fixture.targets, pass).item() - fixture.numbers.at("loss").item()) <= allowed);
      // The residual streams behind each block.
      const auto check_blocks = [&](const Stack& stack, const std::string& side, const Tensor& embedded, const Pass& whole) {
        for (std::size_t blocks = 1; blocks <= stack.blocks.size(); ++blocks) {
          const std::vector<Block> first(stack.blocks.begin(), stack.blocks.begin() + static_cast<std::ptrdiff_t>(blocks));
          Pass part = whole;
          const Tensor& theirs = fixture.numbers.at(concat("hidden.", side, ".", blocks - 1));
          const Tensor states = run_blocks(first, stack.begin(embedded, part), part);
          CHECK(distance(states, theirs) <= 1e-4 * std::max(1.0, plume_test::largest(theirs)));
        }
      };
      Pass source = fixture.source_pass(), target = fixture.target_pass();
      source.mask = Mask::full();
      target.memory = &memory;
      check_blocks(model.encoder, "encoder", model.encoder.embed(fixture.source, model.embedding.weight), source);
      check_blocks(model.decoder, "decoder", model.decoder.embed(fixture.inputs, model.target_table()), target);
    }
  }
}

TEST_CASE("the gradient of every tensor of every encoder-decoder") {
  for (const std::string& name : plume_test::encoder_decoders()) {
    INFO(name);
    const EncoderDecoderFixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      const double allowed = dtype == DType::f32 ? 1e-4 : 1e-9;
      EncoderDecoder model = fixture.model(dtype);
      CHECK(worst_gradient(model, fixture) <= allowed);
      CHECK(worst_gradient(model, fixture, Recompute::blocks) <= allowed);
    }
  }
}

TEST_CASE("64 greedy ids of every encoder-decoder, token by token through a cache") {
  for (const std::string& name : plume_test::encoder_decoders()) {
    INFO(name);
    const EncoderDecoderFixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      const EncoderDecoder model = fixture.model(dtype);
      const Memory memory = model.encode(fixture.first_source());
      const std::vector<TokenId> expected = fixture.integers("greedy_ids");
      KvCache cache = model.cache(static_cast<Index>(expected.size()));
      std::vector<TokenId> all = model.config.decoder.begin_tokens, generated;
      double apart = 0;
      while (generated.size() < expected.size()) {
        Pass one{.segments = {{1, &cache}}}, whole;
        const Tensor logits = model.logits(memory, std::span(all).last(1), one), again = model.logits(memory, all, whole);
        apart = std::max(apart, distance(logits, again.rows(again.rows() - 1, again.rows())));
        const auto values = plume_test::values_of(logits);
        generated.push_back(static_cast<TokenId>(std::max_element(values.begin(), values.end()) - values.begin()));
        all.push_back(generated.back());
      }
      CHECK(generated == expected);
      CHECK(apart <= (dtype == DType::f32 ? 1e-5 : 1e-12));
    }
  }
}

TEST_CASE("every encoder-decoder is written back as it was") {
  for (const std::string& name : plume_test::encoder_decoders()) {
    INFO(name);
    const EncoderDecoderFixture fixture(name);
    const EncoderDecoder model = fixture.model(DType::f32);
    const plume_test::TemporaryDirectory directory;
    save(model, directory.path());
    CHECK(load_encoder_decoder(directory.path()).config == model.config);
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

TEST_CASE("buckets of distances are those of transformers") {
  const EncoderDecoderFixture fixture("t5");
  for (const bool both : {true, false}) {
    const std::vector<TokenId> theirs = fixture.integers(both ? "buckets.both" : "buckets.causal");
    const std::vector<std::int32_t> ours = buckets_of_distances({.count = 32, .reach = 128, .both_directions = both});
    REQUIRE(ours.size() == 257);
    for (Index distance = -200; distance <= 200; ++distance) {
      const Index at = std::clamp<Index>(distance + 128, 0, 256);
      CHECK(ours[static_cast<std::size_t>(at)] == theirs[static_cast<std::size_t>(distance + 200)]);
    }
  }
}

// A fixture that a wrong model passes is worth nothing: each of these slips, where a model can make it, must be far outside what the f64
// tests allow (1e-9).
TEST_CASE("mutations of every encoder-decoder do not pass") {
  using Change = std::function<bool(EncoderDecoder&)>;  // false: there is nothing to change
  enum Side { encoder, decoder, both };
  const auto on_blocks = [](Side side, std::function<bool(Block&)> change) {
    return Change([side, change](EncoderDecoder& model) {
      bool changed = false;
      for (Stack* stack : {&model.encoder, &model.decoder})
        for (Block& block : stack->blocks)
          if (side == both || (stack == &model.encoder) == (side == encoder)) changed = change(block) || changed;
      return changed;
    });
  };
  const auto set = [](auto& value, auto other) {
    const bool differs = !(value == other);
    value = other;
    return differs;
  };
  const std::vector<std::pair<std::string, Change>> changes{
      {"epsilon times ten in the encoder",
       on_blocks(encoder, [](Block& block) { return block.attention_norm.epsilon *= 10, block.mlp_norm.epsilon *= 10, true; })},
      {"epsilon of cross-attention's norm times ten",
       on_blocks(decoder, [](Block& block) { return block.cross_norm.epsilon *= 10, true; })},
      {"no norm behind the encoder",
       [](EncoderDecoder& model) {
         const bool changed = static_cast<bool>(model.encoder.norm.weight);
         return model.encoder.norm = {}, changed;
       }},
      {"norms of attention and cross-attention exchanged",
       on_blocks(decoder, [](Block& block) { return std::swap(block.attention_norm, block.cross_norm), true; })},
      {"norms before and behind the sums exchanged", on_blocks(both,
                                                               [](Block& block) {
                                                                 block.wiring = block.wiring == Wiring::sequential ? Wiring::post_norm
                                                                                                                   : Wiring::sequential;
                                                                 return true;
                                                               })},
      {"no cross-attention", on_blocks(decoder, [](Block& block) { return block.cross_norm = {}, true; })},
      {"keys and values of cross-attention exchanged",
       on_blocks(decoder, [](Block& block) { return std::swap(block.cross_attention.k, block.cross_attention.v), true; })},
      {"scale of scores", on_blocks(both,
                                    [](Block& block) {
                                      for (Attention* attention : {&block.attention, &block.cross_attention}) {
                                        const double usual =
                                            1 / std::sqrt(static_cast<double>(std::max<Index>(attention->shape.heads.head_width, 1)));
                                        attention->shape.scale = attention->shape.scale != 0 ? usual : 1.1 * usual;
                                      }
                                      return true;
                                    })},
      {"scale of cross-attention's scores alone", on_blocks(decoder,
                                                            [](Block& block) {
                                                              double& scale = block.cross_attention.shape.scale;
                                                              return scale = scale != 0 ? 0 : 1, true;
                                                            })},
      {"a bias by distance in cross-attention too", on_blocks(decoder,
                                                              [](Block& block) {
                                                                block.cross_attention.shape.relative = block.attention.shape.relative;
                                                                return block.attention.shape.relative;
                                                              })},
      {"no bias by distance", on_blocks(both, [&](Block& block) { return set(block.attention.shape.relative, false); })},
      {"a bias by distance in the first block alone",
       [](EncoderDecoder& model) {
         bool& relative = model.encoder.blocks[1].attention.shape.relative;
         return relative ? (relative = false, true) : false;
       }},
      {"biases of the two sides exchanged",
       [](EncoderDecoder& model) {
         std::swap(model.encoder.relative.weight, model.decoder.relative.weight);
         return static_cast<bool>(model.encoder.relative.weight);
       }},
      {"buckets of one direction in the encoder",
       [&](EncoderDecoder& model) { return set(model.encoder.relative.rule.both_directions, false) && model.encoder.relative.weight; }},
      {"buckets that reach one further",
       [](EncoderDecoder& model) { return ++model.decoder.relative.rule.reach, static_cast<bool>(model.decoder.relative.weight); }},
      {"no positions in the decoder",
       [](EncoderDecoder& model) {
         PositionKind& position = model.decoder.config.position;
         return position == PositionKind::sinusoidal ? (position = PositionKind::alibi, true) : false;
       }},
      {"embeddings not scaled", [&](EncoderDecoder& model) { return set(model.encoder.config.embedding_scale, 1.0); }},
      {"the head reads states that are not scaled, or are",
       [](EncoderDecoder& model) {
         double& scale = model.config.head_scale;
         return scale = scale != 1 ? 1 : 0.5, true;
       }},
      {"the embedding as head",
       [](EncoderDecoder& model) {
         const bool changed = static_cast<bool>(model.head.weight);
         return model.head.weight = {}, changed;
       }},
      {"no bias of the head",
       [](EncoderDecoder& model) {
         const bool changed = static_cast<bool>(model.head.bias);
         return model.head.bias = {}, changed;
       }},
      {"a bias left out", on_blocks(decoder,
                                    [](Block& block) {
                                      const bool changed = static_cast<bool>(block.cross_attention.v.bias);
                                      return block.cross_attention.v.bias = {}, changed;
                                    })},
      {"another activation", on_blocks(both,
                                       [](Block& block) {
                                         ActivationKind& kind = block.mlp.rule.kind;
                                         return kind = kind == ActivationKind::gelu_tanh ? ActivationKind::gelu_erf
                                                                                         : ActivationKind::gelu_tanh,
                                                true;
                                       })},
      {"gate and up exchanged",
       on_blocks(both, [](Block& block) { return std::swap(block.mlp.gate, block.mlp.up), block.mlp.gate.weight && block.mlp.up.weight; })},
      {"one embedding for both sides", [](EncoderDecoder& model) {
         if (!model.target_embedding.weight) return false;
         return model.target_embedding.weight = model.embedding.weight.rows(0, model.target_embedding.weight.rows()), true;
       }}};
  std::set<std::string> tried;
  for (const std::string& name : plume_test::encoder_decoders()) {
    const EncoderDecoderFixture fixture(name);
    for (const auto& change : changes) {
      EncoderDecoder model = fixture.model(DType::f64);
      if (!change.second(model)) continue;
      tried.insert(change.first);
      CHECK_MESSAGE(distance(logits_of(model, fixture), fixture.numbers.at("logits")) > 1e-6, name << ": " << change.first);
    }
    // What shows in the fixture's passes and gradients.
    EncoderDecoder model = fixture.model(DType::f64);
    Pass target = fixture.target_pass();
    target.segments[0].source = 1, target.segments[1].source = 0;
    const Memory memory = model.encode(fixture.source, fixture.source_pass());
    CHECK(distance(model.logits(memory, fixture.inputs, target), fixture.numbers.at("logits")) > 1e-6);
    if (model.decoder.config.frozen_token >= 0) {
      model.decoder.config.frozen_token = -1;
      CHECK(worst_gradient(model, fixture) > 1e-6);
    }
  }
  for (const auto& change : changes) CHECK_MESSAGE(tried.contains(change.first), change.first);
}

TEST_CASE("every encoder-decoder with its matrices in bf16 is nearly the same model") {
  for (const std::string& name : plume_test::encoder_decoders()) {
    INFO(name);
    const EncoderDecoderFixture fixture(name);
    const Tensor& theirs = fixture.numbers.at("logits");
    const double apart = distance(logits_of(fixture.model(DType::bf16), fixture), theirs);
    CHECK(apart > 1e-5);
    CHECK(apart <= 0.2 * plume_test::largest(theirs));
  }
}

TEST_CASE("what an encoder-decoder refuses") {
  const EncoderDecoderFixture fixture("t5");
  const EncoderDecoder model = fixture.model(DType::f32);
  const Memory memory = model.encode(fixture.first_source());
  const std::vector<TokenId> start{0};
  Pass pass{.segments = {{1, nullptr, nullptr, 1}}};
  CHECK_THROWS_WITH_AS(model.logits(memory, start, pass), doctest::Contains("reads sequence 1 of a memory that holds 1"), ArgumentError);
  KvCache cache = model.cache(4);
  CHECK_THROWS_WITH_AS(model.encode(start, {.segments = {{1, &cache}}}), doctest::Contains("have no cache"), ArgumentError);
  CHECK_THROWS_WITH_AS(load(fixture.folder), doctest::Contains("it is an encoder-decoder: load_encoder_decoder() reads it"), ConfigError);
  CHECK_THROWS_WITH_AS(load_encoder_decoder(plume_test::golden("families/olmo2")), doctest::Contains("known: T5ForConditionalGeneration"),
                       ConfigError);
  const EncoderDecoderFixture marian("marian");
  const std::vector<TokenId> longer(97, 5);
  CHECK_THROWS_WITH_AS(marian.model(DType::f32).encode(longer), doctest::Contains("past the context of 96"), ArgumentError);
  CHECK_THROWS_WITH_AS(Decoder::described(model.config.decoder), doctest::Contains("a stack of an encoder-decoder"), ConfigError);
}

TEST_CASE("settings of T5 and Marian as older and newer files have them") {
  const auto changed = [](const std::string& name, const std::function<void(Json&)>& change) {
    Json json = EncoderDecoderFixture(name).json();
    change(json);
    return families::encoder_decoder_of(json).read(json);
  };
  // Before transformers 5 an untied head said that states are not scaled.
  const Json whole = EncoderDecoderFixture("t5_gated").json();
  Json bare = Json::object();
  for (const auto& [key, value] : whole.members())
    if (key != "scale_decoder_outputs" && key != "tie_word_embeddings") bare.set(key, value);
  CHECK(families::encoder_decoder_of(bare).read(bare).head_scale == doctest::Approx(1 / std::sqrt(18.0)));
  bare.set("tie_word_embeddings", false);
  CHECK(families::encoder_decoder_of(bare).read(bare).head_scale == 1);
  CHECK(changed("t5", [](Json& json) { json.set("feed_forward_proj", "gated-silu"); }).decoder.activation.kind == ActivationKind::silu);
  CHECK(changed("t5_gated", [](Json&) {}).decoder.activation.kind == ActivationKind::gelu_tanh);
  CHECK(changed("t5", [](Json& json) { json.set("decoder_start_token_id", Json()); }).decoder.begin_tokens == std::vector<TokenId>{0});
  CHECK_THROWS_WITH_AS(changed("t5", [](Json& json) { json.set("feed_forward_proj", "gated-tanh"); }),
                       doctest::Contains("unknown activation"), ConfigError);
  CHECK_THROWS_WITH_AS(changed("marian", [](Json& json) { json.set("decoder_attention_heads", 3); }), doctest::Contains("does not divide"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(changed("marian", [](Json& json) { json.set("pad_token_id", 53); }),
                       doctest::Contains("token 53 is not in a vocabulary of 53"), ConfigError);
  CHECK_THROWS_WITH_AS(changed("t5", [](Json& json) { json.set("pad_token_id", Json::array().push(0).push(1)); }),
                       doctest::Contains("is a list, expected one token"), ConfigError);
  CHECK_THROWS_WITH_AS(changed("t5", [](Json& json) { json.set("pad_token_id", Json()).set("decoder_start_token_id", Json()); }),
                       doctest::Contains("there is no pad_token_id in its place"), ConfigError);
}

TEST_CASE("tables that files hold beside, or twice, are those that the model has") {
  const plume_test::TemporaryDirectory directory;
  const auto with = [&](const std::string& name, const std::string& tensor, const Tensor& value) {
    const EncoderDecoderFixture fixture(name);
    std::vector<NamedTensor> tensors{{tensor, value}};
    for (const auto& entry : plume_test::read_safetensors(fixture.folder + "/model.safetensors"))
      if (entry.first != tensor) tensors.push_back({entry.first, entry.second});
    write_safetensors(directory / "model.safetensors", std::move(tensors));
    plume_test::write_all(directory / "config.json", plume_test::read_all(fixture.folder + "/config.json"));
    return load_encoder_decoder(directory.path());
  };
  std::vector<std::int32_t> positions(96);
  std::iota(positions.begin(), positions.end(), 0);
  const Tensor sines = sinusoidal_positions(positions, 20);
  const std::string table = "model.encoder.embed_positions.weight";
  CHECK_NOTHROW(with("marian", table, sines));
  const Tensor wrong = sines.copy();
  wrong.rows(95, 96).fill(0.25);
  CHECK_THROWS_WITH_AS(with("marian", table, wrong), doctest::Contains("is not the table of sines and cosines"), ConfigError);
  CHECK_THROWS_WITH_AS(with("marian", table, Tensor::zeros({96, 19})), doctest::Contains("is not the table of"), ConfigError);

  const Tensor shared = plume_test::read_safetensors(EncoderDecoderFixture("t5").folder + "/model.safetensors").at("shared.weight");
  CHECK_NOTHROW(with("t5", "encoder.embed_tokens.weight", shared));
  const Tensor other = shared.copy();
  other.rows(3, 4).fill(0.25);
  CHECK_THROWS_WITH_AS(with("t5", "encoder.embed_tokens.weight", other), doctest::Contains("differs from shared.weight, of which it is"),
                       ConfigError);

  EncoderDecoder strange = EncoderDecoderFixture("marian").model(DType::f32);
  strange.config.encoder.norm_offset = 1;
  CHECK_THROWS_WITH_AS(save(strange, directory / "strange"), doctest::Contains("no family of encoder-decoders has a place"), ArgumentError);
  CHECK(!std::filesystem::exists(directory / "strange"));
}

// google-t5/t5-small and google/flan-t5-base (247.6 million with its own head), as transformers counts them.
TEST_CASE("parameter counts of published encoder-decoders, from their configurations alone") {
  const auto count = [](const std::string& text) {
    const Json json = Json::parse(text);
    return count_parameters(EncoderDecoder::described(families::encoder_decoder_of(json).read(json)));
  };
  CHECK(count(R"({"model_type": "t5", "d_ff": 2048, "d_kv": 64, "d_model": 512, "num_heads": 8, "num_layers": 6, "vocab_size": 32128,
    "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1})") == 60506624);
  CHECK(count(R"({"model_type": "t5", "d_ff": 2048, "d_kv": 64, "d_model": 768, "num_heads": 12, "num_layers": 12, "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false, "decoder_start_token_id": 0, "pad_token_id": 0})") == 247577856);
}
