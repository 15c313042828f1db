#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "plume/base/sha256.hpp"
#include "plume/formats/safetensors.hpp"
#include "plume/generate/generate.hpp"
#include "plume/models/save.hpp"
#include "temporary.hpp"
#include "test_data.hpp"

using namespace plume;
using plume_test::golden, plume_test::read_all, plume_test::TemporaryDirectory, plume_test::write_all;

namespace {

std::vector<TokenId> greedy(const Model& model, std::vector<TokenId> prompt, std::size_t count) {
  Session session(model, {.threads = 1});
  session.feed(prompt);
  std::vector<TokenId> ids;
  while (ids.size() < count) ids.push_back(session.next({.temperature = 0}));
  return ids;
}

void check_same_parameters(const Model& a, const Model& b) {
  std::vector<std::pair<std::string, Tensor>> left;
  for_each_parameter(a, [&](std::string_view path, const Tensor& tensor) { left.emplace_back(path, tensor); });
  std::size_t i = 0;
  for_each_parameter(b, [&](std::string_view path, const Tensor& tensor) {
    REQUIRE(i < left.size());
    CHECK(left[i].first == path);
    REQUIRE(left[i].second.shape() == tensor.shape());
    const auto x = left[i].second.copy(), y = tensor.copy();
    CHECK_MESSAGE(std::equal(x.span<float>().begin(), x.span<float>().end(), y.span<float>().begin()), path);
    ++i;
  });
  CHECK(i == left.size());
}

}  // namespace

TEST_CASE("stories260K saved in Hugging Face layout is what an independent converter makes of it") {
  const auto path = plume_test::test_data("stories260k/stories260K.bin");
  if (!path) return;
  const auto fixture = nlohmann::json::parse(read_all(golden("stories260k_hf.json")));
  const Model model = load(*path);
  const TemporaryDirectory directory;
  save(model, directory.path());

  const SafetensorsFile file = read_safetensors(directory / "model.safetensors");
  CHECK(file.names().size() == fixture["tensors"].size());
  for (const auto& tensor : fixture["tensors"].items()) {
    const std::string& name = tensor.key();
    const auto& expected = tensor.value();
    CAPTURE(name);
    REQUIRE(file.find(name) != nullptr);
    CHECK(file.find(name)->shape == expected["shape"].get<std::vector<std::uint64_t>>());
    CHECK(plume::sha256(file.find(name)->bytes) == expected["sha256"].get<std::string>());
  }

  const auto prompt = fixture["prompt_ids"].get<std::vector<TokenId>>(), ids = fixture["greedy_ids"].get<std::vector<TokenId>>();
  CHECK(greedy(model, prompt, ids.size()) == ids);
  const Model again = load(directory.path());
  CHECK(again.config().rotary.layout == RotaryLayout::half_split);
  CHECK(again.tokenizer.vocabulary() == model.tokenizer.vocabulary());
  CHECK(greedy(again, prompt, ids.size()) == ids);

  // Back to llama2.c: every weight is where it was (the rotary tables are computed anew and may differ in the last bit).
  save(again, directory / "back.bin");
  check_same_parameters(model, load(directory / "back.bin", {.tokenizer = directory.path()}));
}

TEST_CASE("transformers' GPT-2 and LLaMA are loaded, written back and loaded again unchanged") {
  for (const std::string name : {"gpt2", "llama", "llama_tied_biased"}) {
    CAPTURE(name);
    const std::string source = golden("models/" + name);
    const Model model = load(source);
    CHECK_FALSE(model.tokenizer);
    const TemporaryDirectory directory;
    save(model, directory.path());
    const SafetensorsFile before = read_safetensors(source + "/model.safetensors"),
                          after = read_safetensors(directory / "model.safetensors");
    CHECK(before.names().size() == after.names().size());
    for (const SafetensorsEntry& entry : before.entries()) {
      CAPTURE(entry.name);
      REQUIRE(after.find(entry.name) != nullptr);
      CHECK(after.find(entry.name)->shape == entry.shape);
      CHECK(std::equal(entry.bytes.begin(), entry.bytes.end(), after.find(entry.name)->bytes.begin()));
    }
    check_same_parameters(model, load(directory.path()));
    const auto original = nlohmann::json::parse(read_all(source + "/config.json")),
               written = nlohmann::json::parse(read_all(directory / "config.json"));
    for (const auto& entry : written.items())
      if (original.contains(entry.key()) && entry.key() != "torch_dtype")
        CHECK_MESSAGE(entry.value() == original[entry.key()], entry.key());

    const auto expected = nlohmann::json::parse(read_all(source + "/golden.json"));
    CHECK(greedy(model, expected["prompt_ids"].get<std::vector<TokenId>>(), 64) == expected["greedy_ids"].get<std::vector<TokenId>>());
  }
}

TEST_CASE("generation_config.json says what ends an answer") {
  const TemporaryDirectory directory;
  save(load(golden("models/llama")), directory.path());
  CHECK(load(directory.path()).config().end_tokens.empty());
  write_all(directory / "generation_config.json", R"({"eos_token_id": [7, 9], "temperature": 0.6})");
  CHECK(load(directory.path()).config().end_tokens == std::vector<TokenId>{7, 9});
  write_all(directory / "generation_config.json", R"({"eos_token_id": 131})");
  CHECK_THROWS_WITH_AS(load(directory.path()),
                       doctest::Contains("generation_config.json:1:18: eos_token_id: token 131 is not in a vocabulary of 131"),
                       ConfigError);
  write_all(directory / "generation_config.json", R"({"eos_token_id": null})");
  CHECK(load(directory.path()).config().end_tokens.empty());
}

TEST_CASE("saving onto the files a model is mapped from is safe") {
  const TemporaryDirectory directory;
  const Model source = load(golden("models/llama"));
  save(source, directory.path());
  Model mapped = load(directory.path());
  CHECK(mapped.decoder.blocks[0].mlp.up.weight.storage()->kind() == StorageKind::mapped);
  save(mapped, directory.path());
  check_same_parameters(source, mapped);
  check_same_parameters(source, load(directory.path()));
}

TEST_CASE("a GPT-2 without biases is written with zero biases, and gives the same logits") {
  Config config{.vocabulary = 31, .context = 16, .width = 12, .layers = 2, .hidden = 20, .heads = 3, .key_heads = 3, .head_width = 4};
  config.norm = NormKind::layer;
  config.position = PositionKind::learned;
  config.qkv_layout = QkvLayout::contiguous;
  config.activation = {ActivationKind::gelu_tanh};
  config.gated = false;
  config.tied_head = true;
  Model model{Decoder::described(config), {}};
  initialise(model.decoder, 3);
  const TemporaryDirectory directory;
  save(model, directory.path());
  const Model again = load(directory.path());
  CHECK(again.decoder.blocks[1].attention.qkv.bias);
  const std::vector<TokenId> ids{3, 1, 4, 1, 5};
  const Tensor a = model.logits(ids), b = again.logits(ids);
  for (Index i = 0; i < a.size(); ++i) CHECK(a.data<float>()[i] == doctest::Approx(b.data<float>()[i]).epsilon(1e-6));
}

TEST_CASE("bfloat16 and float16 checkpoints become f32, and f64 is exact") {
  const std::string source = golden("models/llama");
  const Model model = load(source);
  for (const DType stored : {DType::bf16, DType::f16}) {
    const TemporaryDirectory directory;
    std::vector<NamedTensor> tensors;
    const SafetensorsFile file = read_safetensors(source + "/model.safetensors");
    for (const std::string& name : file.names()) tensors.push_back({name, file.tensor(name).to(stored)});
    write_safetensors(directory / "model.safetensors", tensors);
    write_all(directory / "config.json", read_all(source + "/config.json"));
    const Model half = load(directory.path());
    const Tensor a = model.decoder.blocks[1].mlp.down.weight, b = half.decoder.blocks[1].mlp.down.weight;
    CHECK(b.dtype() == DType::f32);
    for (Index i = 0; i < a.size(); ++i) {
      const float exact = a.span<float>()[static_cast<std::size_t>(i)];
      CHECK(b.data<float>()[i] == (stored == DType::bf16 ? static_cast<float>(Bfloat16(exact)) : static_cast<float>(Half(exact))));
    }
  }
  const Model exact = load(source, {.dtype = DType::f64});
  CHECK(exact.decoder.embedding.weight.data<double>()[5] == static_cast<double>(model.decoder.embedding.weight.data<float>()[5]));
}

TEST_CASE("loading tells what a path is not") {
  CHECK_THROWS_AS(load("/nonexistent"), IoError);
  const TemporaryDirectory directory;
  CHECK_THROWS_AS(load(directory.path()), IoError);
  write_all(directory / "short.bin", "abc");
  CHECK_THROWS_AS(load(directory / "short.bin"), FormatError);
}
