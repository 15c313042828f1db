// Models written as GGUF files: what others wrote is written again as it was, and what was written is read as the model.
#include "plume/models/save_gguf.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "../test_data.hpp"
#include "plume/base/error.hpp"
#include "plume/formats/gguf.hpp"
#include "plume/formats/write_gguf.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden;

namespace {

std::vector<std::string> names() {
  std::vector<std::string> list;
  for (const auto& entry : std::filesystem::directory_iterator(golden("gguf_models"))) list.push_back(entry.path().stem().string());
  std::sort(list.begin(), list.end());
  return list;
}

std::vector<std::string> texts() {
  return {"", "Once upon a time, there was a little girl named Lily.", "  two  spaces\tand a tab\nand lines\n\n",
          "na\xc3\xafve \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\x99\x82 \xce\x95\xce\xbb\xce\xbb", "x=y; for(i=0;i<10;++i) 1234567 I'M don't"};
}

Tokenizer of_golden(const std::string& name) {
  const std::string path = golden("tokenizers/" + name + ".json");
  return read_tokenizer_json(plume_test::read_all(path), {.path = path});
}

}  // namespace

TEST_CASE("a file of another program, loaded and written, has the same tensors and keys") {
  const plume_test::TemporaryDirectory folder;
  for (const std::string& name : names()) {
    INFO(name);
    const Model model = load(golden("gguf_models/" + name + ".gguf"));
    save(model, folder / "again.gguf");
    const GgufFile before = read_gguf(golden("gguf_models/" + name + ".gguf")), after = read_gguf(folder / "again.gguf");
    CHECK(before.tensors().size() == after.tensors().size());
    for (const GgufStored& tensor : before.tensors()) {
      INFO(std::string(tensor.name));
      const GgufStored* const again = after.find(tensor.name);
      REQUIRE(again != nullptr);
      CHECK(again->shape == tensor.shape);
      const Tensor ours = after.tensor(tensor.name).to(DType::f64), theirs = before.tensor(tensor.name).to(DType::f64);
      CHECK(distance(ours, theirs) <= (name.starts_with("gemma") ? 1e-7 : 0));  // gains come with 1 added, in f32
    }
    for (const GgufEntry& entry : before.header().entries()) {
      if (entry.key == "general.name" || entry.key == "general.file_type") continue;
      INFO(std::string(entry.key));
      const GgufEntry* const again = after.header().find(entry.key);
      REQUIRE(again != nullptr);
      CHECK(again->type == entry.type);
      CHECK(std::equal(again->bytes.begin(), again->bytes.end(), entry.bytes.begin(), entry.bytes.end()));
    }
    CHECK(load(folder / "again.gguf").config() == model.config());
  }
}

TEST_CASE("every family that GGUF has a place for keeps its logits") {
  const plume_test::TemporaryDirectory folder;
  std::size_t written = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden("families"))) {
    INFO(entry.path().string());
    const Model model = load(entry.path().string());
    const auto numbers = plume_test::read_safetensors(entry.path().string() + "/golden.safetensors");
    Pass pass;
    for (const TokenId length : numbers.at("lengths").span<TokenId>()) pass.segments.push_back({length});
    try {
      save_gguf(model, folder / "model.gguf");
    } catch (const ArgumentError& error) {
      MESSAGE(entry.path().filename().string() << ": " << std::string(error.what()));
      continue;
    }
    ++written;
    const Model again = load(folder / "model.gguf");
    CHECK(distance(again.logits(numbers.at("input_ids").span<TokenId>(), pass), numbers.at("logits")) <= 1e-4);
  }
  CHECK(written >= 20);
}

TEST_CASE("tokenizers lie in the file, whatever kind they came from") {
  const plume_test::TemporaryDirectory folder;
  const auto check = [&](const Tokenizer& tokenizer) {
    GgufKeyValues keys{{"general.architecture", "llama"}};
    add_gguf_vocabulary(tokenizer, tokenizer.vocabulary() + 3, keys);
    write_gguf(folder / "vocabulary.gguf", keys, {});
    const Tokenizer again = load_tokenizer(folder / "vocabulary.gguf");
    CHECK(again.vocabulary() == tokenizer.vocabulary() + 3);
    for (const std::string& text : texts()) {
      CHECK(again.encode(text) == tokenizer.encode(text));
      CHECK(again.decode(again.encode(text)) == tokenizer.decode(tokenizer.encode(text)));
    }
    for (TokenId id = 0; id < tokenizer.vocabulary(); ++id) {
      if (tokenizer.piece(id).find(' ') == std::string::npos) REQUIRE(again.piece(id) == tokenizer.piece(id));
      REQUIRE(again.is_special(id) == tokenizer.is_special(id));
    }
  };
  for (const std::string name : {"byte_bpe", "llama"}) {
    INFO(name);
    check(of_golden(name));
  }
  for (const std::string file : {"stories260k/tok512.bin", "tokenizers/llama.cpp/ggml-vocab-llama-spm.gguf",
                                 "tokenizers/llama.cpp/ggml-vocab-gpt-neox.gguf", "tokenizers/gpt2"})
    if (const auto path = plume_test::test_data(file)) {
      INFO(file);
      check(load_tokenizer(*path));
    }
}

TEST_CASE("what GGUF cannot say is refused before anything is written") {
  const plume_test::TemporaryDirectory folder;
  GgufKeyValues keys;
  CHECK_THROWS_WITH_AS(add_gguf_vocabulary(of_golden("bert"), 1000, keys), doctest::Contains("no kind of vocabulary"), ArgumentError);
  CHECK_THROWS_WITH_AS(add_gguf_vocabulary(of_golden("suffix_bpe"), 1000, keys), doctest::Contains("save to a directory"), ArgumentError);
  Model model = load(golden("gguf_models/qwen2.gguf"));
  model.decoder.config.residual_scale = 2;
  CHECK_THROWS_WITH_AS(save_gguf(model, folder / "model.gguf"), doctest::Contains("no architecture of GGUF"), ArgumentError);
  CHECK(!std::filesystem::exists(folder / "model.gguf"));
}
