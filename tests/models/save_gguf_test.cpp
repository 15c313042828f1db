// Models written as GGUF files: what others wrote is written again as it was, and what was written is read as the model.
#include "plume/models/save_gguf.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "../test_data.hpp"
#include "plume/base/error.hpp"
#include "plume/base/sha256.hpp"
#include "plume/formats/gguf.hpp"
#include "plume/formats/write_gguf.hpp"
#include "plume/generate/generate.hpp"
#include "plume/models/gguf_vocabulary.hpp"
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

// Of rows that blocks of 256 weights fill; each weight is a function of its place.
Model wide_model() {
  Config config;
  config.family = "llama";
  config.vocabulary = 101, config.context = 96, config.width = 256, config.layers = 2, config.hidden = 512;
  config.heads = 4, config.key_heads = 2, config.head_width = 64, config.rotary.width = 64;
  Model model{Decoder::described(config), {}};
  std::uint32_t state = 1;
  for_each_parameter(model, [&](std::string_view, Tensor& parameter) {
    const Tensor values = Tensor::empty(parameter.shape());
    const bool gain = parameter.shape().rank() == 1;
    for (Index i = 0; i < values.size(); ++i) {
      state = state * 1664525u + 1013904223u;
      values.writable<float>()[i] = (gain ? 1.0f : 0.0f) + static_cast<float>(static_cast<int>(state >> 16) % 2001 - 1000) / 16384;
    }
    parameter = values;
  });
  return model;
}

std::string sum_of_file(const std::string& path) {
  const std::string bytes = plume_test::read_all(path);
  return plume::sha256(std::as_bytes(std::span(bytes)));
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
  // A tokenizer.json with one part exchanged.
  const auto changed = [](const std::string& part, const std::string& text) {
    const std::string path = golden("tokenizers/byte_bpe.json");
    Json json = Json::parse(plume_test::read_all(path));
    json.set(part, Json::parse(text));
    return read_tokenizer_json(dump(json), {.path = path});
  };
  CHECK_THROWS_WITH_AS(add_gguf_vocabulary(changed("pre_tokenizer", R"({"type": "Sequence", "pretokenizers": [
          {"type": "Split", "pattern": {"String": "e"}, "behavior": "Isolated", "invert": false},
          {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                                                       "use_regex": false}]})"),
                                           1000, keys),
                       doctest::Contains("none of GGUF's pre-tokenisers"), ArgumentError);
  CHECK_THROWS_WITH_AS(add_gguf_vocabulary(changed("post_processor", R"({"type": "TemplateProcessing",
          "single": [{"SpecialToken": {"id": "!", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
          "special_tokens": {"!": {"id": "!", "ids": [3], "tokens": ["!"]}}})"),
                                           1000, keys),
                       doctest::Contains("other tokens around a text than bos and eos"), ArgumentError);
  CHECK_THROWS_WITH_AS(add_gguf_vocabulary(byte_tokenizer(), 1000, keys), doctest::Contains("no kind of vocabulary"), ArgumentError);
  CHECK(keys.empty());
  Model model = load(golden("gguf_models/qwen2.gguf"));
  CHECK_THROWS_WITH_AS(save_gguf(Model{Decoder::described(model.config()), {}}, folder / "model.gguf"),
                       doctest::Contains("has no values for"), ArgumentError);
  CHECK(!std::filesystem::exists(folder / "model.gguf"));
  model.decoder.config.residual_scale = 2;
  CHECK_THROWS_WITH_AS(save_gguf(model, folder / "model.gguf"), doctest::Contains("no architecture of GGUF"), ArgumentError);
  CHECK(!std::filesystem::exists(folder / "model.gguf"));
}

// What check_gguf_models.py runs in llama.cpp: the families' tiny models, and stories260K.bin in every type that is written.
TEST_CASE("files for llama.cpp are written, are those that it has run, and said the same there") {
  const char* const wish = std::getenv("PLUME_GGUF_OUTPUT");
  const plume_test::TemporaryDirectory folder;
  const std::string place = wish && *wish ? wish : folder.path();
  const Json ran = Json::parse(plume_test::read_all(golden("gguf/models_from_plume.json")), {.path = "models_from_plume.json"});
  std::size_t checked = 0;
  const auto check = [&](const std::string& name) {
    const Json* const record = ran.find(name);
    if (record == nullptr) return;  // an architecture that this llama.cpp does not know
    ++checked;
    CHECK_MESSAGE(sum_of_file(concat(place, "/", name)) == record->text("sha256"), name);
  };
  for (const auto& entry : std::filesystem::directory_iterator(golden("families"))) {
    const std::string name = entry.path().filename().string();
    bool exact = true;
    try {
      const Model model = load(entry.path().string());
      save(model, concat(place, "/", name, ".gguf"));
      exact = model.config().activation.kind == ActivationKind::silu;  // its GELU comes from a table of halfs, by the formula with tanh
    } catch (const ArgumentError&) {
      continue;
    }
    check(name + ".gguf");
    const Json* const record = ran.find(name + ".gguf");
    if (record == nullptr) continue;
    CHECK_MESSAGE(record->number("logits_error") <= (exact ? 1e-5 : 2e-3), name);
    const auto numbers = plume_test::read_safetensors(entry.path().string() + "/golden.safetensors");
    const auto greedy = numbers.at("greedy_ids").span<TokenId>();
    const Json& theirs = record->at("greedy_ids");
    REQUIRE(theirs.size() == greedy.size());
    for (std::size_t i = 0; i < greedy.size(); ++i) CHECK_MESSAGE(theirs.at(i).as_integer() == greedy[i], name);
  }
  CHECK(checked >= 14);
  // 256 weights to a block. llama.cpp rounds what meets such weights to 8 bits, but not what meets their values in f32.
  for (const GgmlType type : {GgmlType::q4_k, GgmlType::q6_k}) {
    const std::string blocks = concat("wide-", layout_of(type).name, ".gguf"), values = concat("wide-", layout_of(type).name, "-F32.gguf");
    save_gguf(wide_model(), concat(place, "/", blocks), {.type = type});
    const Model model = load(concat(place, "/", blocks));
    save(model, concat(place, "/", values));
    const Tensor logits = model.logits(std::vector<TokenId>{3, 1, 4, 15, 92, 65, 35}).columns(0, 5).copy();
    for (const auto& [name, most] : {std::pair{blocks, 5e-2}, {values, 1e-5}}) {
      check(name);
      const Json* const record = ran.find(name);
      CHECK(record != nullptr);
      if (record == nullptr) continue;
      const Tensor theirs = Tensor::empty({7, 5});
      for (std::size_t i = 0; i < 35; ++i)
        theirs.writable<float>()[i] = static_cast<float>(record->at("logits").at(i / 5).at(i % 5).as_number());
      CHECK(plume_test::relative_distance(logits, theirs) <= most);
    }
  }
  const auto path = plume_test::test_data("stories260k/stories260K.bin");
  if (!path) return;
  const Model stories = load(*path);
  for (const GgmlType type : {GgmlType::f32, GgmlType::f16, GgmlType::bf16, GgmlType::q8_0, GgmlType::q4_0}) {
    const std::string name = concat("stories260K-", layout_of(type).name, ".gguf");
    save_gguf(stories, concat(place, "/", name), {.type = type, .name = "stories260K"});
    check(name);
    std::string text;
    generate(load(concat(place, "/", name)), "", {.max_tokens = 200, .sampling = {.temperature = 0}},
             [&](std::string_view piece) { text += piece; });
    if (const Json* const record = ran.find(name)) CHECK_MESSAGE(text.substr(0, 100) == record->text("text").substr(0, 100), name);
  }
}
