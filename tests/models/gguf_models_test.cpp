// Models in GGUF files: the tiny models of the families as tests/golden/make_gguf_models.py wrote them, and the one that people have.
#include <doctest/doctest.h>

#include <filesystem>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "../test_data.hpp"
#include "plume/formats/write_gguf.hpp"
#include "plume/generate/generate.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden;

namespace {

std::vector<std::string> names() {
  std::vector<std::string> list;
  for (const auto& entry : std::filesystem::directory_iterator(golden("gguf_models"))) list.push_back(entry.path().stem().string());
  std::sort(list.begin(), list.end());
  return list;
}

std::vector<TokenId> greedy(const Model& model, std::vector<TokenId> prompt, std::size_t count) {
  Session session(model, {.threads = 1});
  session.feed(prompt);
  std::vector<TokenId> ids;
  while (ids.size() < count) ids.push_back(session.next({.temperature = 0}));
  return ids;
}

}  // namespace

TEST_CASE("a GGUF file gives the logits and the greedy ids of the model it was made of") {
  CHECK(names().size() >= 20);
  for (const std::string& name : names()) {
    INFO(name);
    const auto numbers = plume_test::read_safetensors(golden((name == "gpt2" ? "models/" : "families/") + name + "/golden.safetensors"));
    const auto integers = [&](const std::string& key) {
      const auto span = numbers.at(key).span<TokenId>();
      return std::vector<TokenId>(span.begin(), span.end());
    };
    Pass pass;
    for (const TokenId length : integers("lengths")) pass.segments.push_back({length});
    const Model model = load(golden("gguf_models/" + name + ".gguf"));
    CHECK(distance(model.logits(integers("input_ids"), pass), numbers.at("logits")) <= 1e-4);
    const Model exact = load(golden("gguf_models/" + name + ".gguf"), {.dtype = DType::f64});
    // Gains of Gemma are stored with 1 added, in f32.
    CHECK(distance(exact.logits(integers("input_ids"), pass), numbers.at("logits")) <= 5e-6);
    CHECK(greedy(model, integers("prompt_ids"), 64) == integers("greedy_ids"));
    // As a Hugging Face directory it is what transformers wrote, but for those whose frequencies came as a table.
    if (name == "llama_llama3") continue;
    const plume_test::TemporaryDirectory directory;
    save(model, directory.path());
    Pass again;
    again.segments = pass.segments;
    CHECK(distance(load(directory.path()).logits(integers("input_ids"), again), numbers.at("logits")) <= 1e-4);
  }
}

TEST_CASE("stories260K.gguf tells the story of stories260K.bin") {
  const auto bin = plume_test::test_data("stories260k/stories260K.bin"), gguf = plume_test::test_data("stories260k/stories260K.gguf");
  if (!bin || !gguf) return;
  const Model one = load(*bin), other = load(*gguf);
  REQUIRE(one.tokenizer);
  REQUIRE(other.tokenizer);
  std::string first, second;
  generate(one, "Once upon a time", {.max_tokens = 100, .sampling = {.temperature = 0}}, [&](std::string_view piece) { first += piece; });
  generate(other, "Once upon a time", {.max_tokens = 100, .sampling = {.temperature = 0}},
           [&](std::string_view piece) { second += piece; });
  CHECK(first == second);
  CHECK(first.size() > 100);
}
