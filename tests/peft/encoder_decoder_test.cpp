// Adapters of encoder-decoders: what peft computes with those that it wrote (tests/golden/make_pair_lora.py), files, training, generation.
#include <doctest/doctest.h>

#include <filesystem>

#include "../models/encoder_decoder_fixture.hpp"
#include "peft/fixture.hpp"
#include "plume/base/json.hpp"
#include "plume/generate/beam.hpp"
#include "plume/generate/session.hpp"
#include "plume/optim/adamw.hpp"
#include "temporary_folder.hpp"

using namespace plume;
using namespace plume_test;

namespace {

struct Golden {
  const char *name, *base;
};
constexpr Golden goldens[] = {{"t5_q_v", "t5"},
                              {"t5_gated_all", "t5_gated"},
                              {"t5_gated_head", "t5_gated"},
                              {"marian_q_v", "marian"},
                              {"marian_split_some", "marian_split"}};

std::string folder_of(const Golden& fixture) { return golden(concat("pair_lora/", fixture.name)); }

Pass through(Pass pass, const LinearAdapters* adapter) {
  for (Segment& segment : pass.segments) segment.adapter = adapter;
  return pass;
}
Tensor logits_of(const EncoderDecoder& model, const EncoderDecoderFixture& fixture, const LinearAdapters* adapter = nullptr) {
  Pass target = through(fixture.target_pass(), adapter);
  return model.logits(model.encode(fixture.source, through(fixture.source_pass(), adapter)), fixture.inputs, target);
}
Tensor loss_of(const EncoderDecoder& model, const EncoderDecoderFixture& fixture, const Memory& memory, const LinearAdapters* adapter) {
  Pass target = through(fixture.target_pass(), adapter);
  return model.loss(memory, fixture.inputs, fixture.targets, target);
}

}  // namespace

TEST_CASE("adapters of peft give the logits, the loss and the gradients of peft, and no others") {
  for (const Golden& golden_of : goldens)
    for (const DType dtype : {DType::f64, DType::f32})
      for (const Recompute recompute : {Recompute::nothing, Recompute::blocks}) {
        INFO(std::string(golden_of.name));
        const double tolerance = dtype == DType::f64 ? 1e-9 : 1e-5;
        const EncoderDecoderFixture fixture(golden_of.base);
        const Tensors expected = plume_test::read_safetensors(folder_of(golden_of) + "/golden.safetensors");
        EncoderDecoder model = fixture.model(dtype);
        trainable_parameters(model);  // as after a training of its own
        Adapter adapter = load_adapter(folder_of(golden_of), model);
        CHECK(relative_distance(logits_of(model, fixture, &adapter), expected.at("logits")) < tolerance);
        std::vector<Tensor> watched;
        for (const NamedParameter& parameter : trainable_parameters(adapter)) watched.push_back(parameter.tensor);
        Pass source = through(fixture.source_pass(), &adapter), target = through(fixture.target_pass(), &adapter);
        source.recompute = target.recompute = recompute;
        Tape tape(watched);
        const Memory memory = model.encode(fixture.source, source);
        const Tensor loss = model.loss(memory, fixture.inputs, fixture.targets, target);
        CHECK(loss.item() == doctest::Approx(expected.at("loss").item()).epsilon(tolerance));
        const Gradients gradients = tape.backward(loss);
        double most = 0;
        for (const auto& [name, tensor] : expected)
          if (name.starts_with("gradient.")) most = std::max(most, largest(tensor));
        std::size_t compared = 0, wanted = 0;
        for (const auto& entry : expected) wanted += entry.first.starts_with("gradient.") ? 1u : 0u;
        for (const LoraLayer& layer : adapter.all())
          for (const bool is_a : {true, false}) {
            const Tensor& theirs = expected.at(concat("gradient.", layer.module, is_a ? ".lora_A" : ".lora_B"));
            const Tensor ours = gradients.at(is_a ? layer.change.term.a : layer.change.term.b);
            CHECK_MESSAGE(distance(ours, theirs) / std::max(largest(theirs), 1e-3 * most) < 10 * tolerance, layer.module << is_a);
            ++compared;
          }
        CHECK(compared == wanted);
        CHECK(compared == watched.size());
        for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) { CHECK_MESSAGE(!gradients.find(tensor), path); });
      }
}

TEST_CASE("twelve steps of AdamW on an adapter are those of PyTorch") {
  for (const Golden& golden_of : goldens) {
    INFO(std::string(golden_of.name));
    const EncoderDecoderFixture fixture(golden_of.base);
    const auto expected = values_of(plume_test::read_safetensors(folder_of(golden_of) + "/golden.safetensors").at("step_losses"));
    const EncoderDecoder model = fixture.model(DType::f64);
    Adapter adapter = load_adapter(folder_of(golden_of), model);
    AdamW optimizer(adapter, {.learning_rate = 3e-3, .beta2 = 0.999, .epsilon = 1e-6});
    std::vector<Tensor> watched;
    for (const NamedParameter& parameter : trainable_parameters(adapter)) watched.push_back(parameter.tensor);
    for (const double theirs : expected) {
      Tape tape(watched);
      const Memory memory = model.encode(fixture.source, through(fixture.source_pass(), &adapter));
      const Tensor loss = loss_of(model, fixture, memory, &adapter);
      CHECK(loss.item() == doctest::Approx(theirs).epsilon(1e-6));
      optimizer.step(tape.backward(loss));
    }
  }
}

TEST_CASE("greedy ids through an adapter, by a session and by one beam, are those of peft; a session can change adapters") {
  for (const Golden& golden_of : goldens) {
    INFO(std::string(golden_of.name));
    const EncoderDecoderFixture fixture(golden_of.base);
    const EncoderDecoder model = fixture.model(DType::f32);
    const Adapter adapter = load_adapter(folder_of(golden_of), model);
    const Tensor theirs = plume_test::read_safetensors(folder_of(golden_of) + "/golden.safetensors").at("greedy_ids");
    const std::vector<TokenId> expected(theirs.span<TokenId>().begin(), theirs.span<TokenId>().end());
    const auto written = [](Session& session) {
      std::vector<TokenId> ids;
      while (ids.size() < 24) ids.push_back(session.next({.temperature = 0}));
      return ids;
    };
    Session session(model, fixture.first_source(), {.context = 40, .threads = 1, .adapter = &adapter});
    CHECK(written(session) == expected);
    session.truncate(1);
    session.use(nullptr);
    const std::vector<TokenId> plain = fixture.integers("greedy_ids");
    CHECK(written(session) == std::vector<TokenId>(plain.begin(), plain.begin() + 24));
    session.truncate(1);
    session.use(&adapter);
    CHECK(written(session) == expected);
    const auto beams =
        beam_search(model, fixture.first_source(),
                    {.beams = 1, .max_tokens = 24, .end_tokens = {static_cast<TokenId>(-1)}, .threads = 1, .adapter = &adapter});
    REQUIRE(beams.size() == 1);
    CHECK(beams[0].ids == expected);
  }
}

TEST_CASE("different adapters, and none, in one batch; merged they give the same; unmerged every bit is back") {
  const EncoderDecoderFixture fixture("t5_gated");
  EncoderDecoder model = fixture.model(DType::f32);
  const std::string before = bytes_of_model(model);
  Adapter one = load_adapter(folder_of(goldens[1]), model), two = load_adapter(folder_of(goldens[2]), model);
  const auto sources = fixture.integers("source_lengths"), targets = fixture.integers("target_lengths");
  const std::vector<const LinearAdapters*> through_each{&two, nullptr, &one};
  // The first pair, the second, and the first again: each with its own adapter.
  std::vector<TokenId> source = fixture.source, inputs = fixture.inputs;
  source.insert(source.end(), fixture.source.begin(), fixture.source.begin() + sources[0]);
  inputs.insert(inputs.end(), fixture.inputs.begin(), fixture.inputs.begin() + targets[0]);
  Pass encoded, decoded;
  encoded.segments = {{sources[0], nullptr, &two}, {sources[1]}, {sources[0], nullptr, &one}};
  decoded.segments = {{targets[0], nullptr, &two}, {targets[1]}, {targets[0], nullptr, &one}};
  const Tensor together = model.logits(model.encode(source, encoded), inputs, decoded);
  const Tensor plain = logits_of(model, fixture);
  const Index first = targets[0], both = first + targets[1];
  CHECK(relative_distance(together.rows(first, both), plain.rows(first, both)) < 1e-6);
  for (Adapter* adapter : {&two, &one}) {
    const Tensor alone = logits_of(model, fixture, adapter);
    CHECK(relative_distance(alone.rows(0, first), plain.rows(0, first)) > 1e-2);
    CHECK(relative_distance(adapter == &two ? together.rows(0, first) : together.rows(both, both + first), alone.rows(0, first)) < 1e-6);
    merge(model, *adapter);
    CHECK(relative_distance(logits_of(model, fixture), alone) < 1e-5);
    CHECK_THROWS_WITH_AS(logits_of(model, fixture, adapter), doctest::Contains("or is merged into this one"), ArgumentError);
    unmerge(model, *adapter);
    CHECK(bytes_of_model(model) == before);
  }
}

TEST_CASE("adapters are written as peft writes them, and read again") {
  for (const Golden& golden_of : goldens) {
    INFO(std::string(golden_of.name));
    const EncoderDecoder model = EncoderDecoderFixture(golden_of.base).model(DType::f32);
    const Adapter adapter = load_adapter(folder_of(golden_of), model);
    const TemporaryFolder folder;
    save(adapter, folder.path(), {.base_model = "somebody/t5"});
    const Tensors theirs = plume_test::read_safetensors(folder_of(golden_of) + "/adapter_model.safetensors"),
                  ours = plume_test::read_safetensors(folder / "adapter_model.safetensors");
    CHECK(ours.size() == theirs.size());
    for (const auto& entry : theirs) {
      CAPTURE(entry.first);
      REQUIRE(ours.contains(entry.first));
      CHECK(same_bits(ours.at(entry.first), entry.second));
    }
    const Json config = Json::parse(read_all(folder / "adapter_config.json"));
    CHECK(config.text("task_type") == "SEQ_2_SEQ_LM");
    const std::string card = read_all(folder / "README.md");
    CHECK(card.find("PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(\"somebody/t5\")") != std::string::npos);
    CHECK(card.find("plume::EncoderDecoder model = plume::load_encoder_decoder(\"somebody/t5\");") != std::string::npos);
    CHECK(bytes_of_model(load_adapter(folder.path(), model)) == bytes_of_model(adapter));
  }
}

TEST_CASE("a fresh adapter changes nothing, is one of queries and values, and belongs to its model") {
  const EncoderDecoderFixture fixture("marian");
  const EncoderDecoder model = fixture.model(DType::f32), other = fixture.model(DType::f32);
  const Adapter adapter = attach(model, Lora{.rank = 2});
  CHECK(adapter.all().size() == 2 * (2 + 3 + 3));  // both sides, and what the decoder reads of the encoder
  CHECK(adapter.at("model.decoder.layers.1.encoder_attn.v_proj").path == "decoder.blocks.1.cross_attention.v");
  CHECK(same_bits(logits_of(model, fixture, &adapter), logits_of(model, fixture)));
  CHECK(attach(EncoderDecoderFixture("t5_gated").model(DType::f32), Lora{.targets = {"EncDecAttention.q", "wi_0"}}).all().size() == 3 + 5);
  CHECK_THROWS_WITH_AS(attach(model, Lora{.targets = {"wi_0"}}), doctest::Contains("q_proj, k_proj, v_proj, out_proj"), ArgumentError);
  CHECK_THROWS_WITH_AS(logits_of(other, fixture, &adapter), doctest::Contains("attached to another model"), ArgumentError);
  CHECK_THROWS_AS(load_adapter(folder_of(goldens[0]), model), ConfigError);

  Pass whole = fixture.target_pass();
  const Memory memory = model.encode(fixture.source, through(fixture.source_pass(), &adapter));
  CHECK_THROWS_WITH_AS(model.hidden(memory, fixture.inputs, whole), doctest::Contains("another adapter than sequence 0"), ArgumentError);
  Pass one;
  CHECK_THROWS_WITH_AS(model.hidden(memory, fixture.inputs, one), doctest::Contains("give encode() and this pass the same"), ArgumentError);
  Pass beyond{.segments = {{1, nullptr, nullptr, 2}}};
  CHECK_THROWS_WITH_AS(model.hidden(memory, std::span(fixture.inputs).first(1), beyond), doctest::Contains("memory that holds 2"),
                       ArgumentError);
  KvCache cache = model.cache(8);
  CHECK_THROWS_WITH_AS(model.encode(std::vector<TokenId>{3}, {.segments = {{1, &cache}}}), doctest::Contains("have no cache"),
                       ArgumentError);

  EncoderDecoder strange = fixture.model(DType::f32);
  strange.config.encoder.norm_offset = 1;  // no family has that
  CHECK_THROWS_WITH_AS(save(attach(strange, Lora{.rank = 2}), "nowhere"), doctest::Contains("has no name in a PEFT file"), ArgumentError);
}
