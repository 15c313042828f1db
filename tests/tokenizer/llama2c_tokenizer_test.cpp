// SentencePiece-style BPE from llama2.c's tokenizer.bin: ids of llama.cpp for LLaMA-2, the space rule, bytes, long inputs.
#include "plume/tokenizer/llama2c_tokenizer.hpp"

#include <chrono>
#include <string>
#include <vector>

#include "plume/base/random.hpp"
#include "plume/tokenizer/stream_decoder.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "test_data.hpp"
#include "tokenizer/vectors.hpp"

using plume::Begin;
using plume::SpecialText;
using plume::SpecialTokens;
using plume::TokenId;
using plume::Tokenizer;
using Ids = std::vector<TokenId>;

namespace {

std::optional<Tokenizer> load(const std::string& name) {
  const auto path = plume_test::test_data(name);
  return path ? std::optional(plume::load_tokenizer(*path)) : std::nullopt;
}

}  // namespace

TEST_CASE("LLaMA-2: the 46 strings of llama.cpp have the ids it lists") {
  const auto tokenizer = load("tokenizers/llama2/tokenizer.bin");
  const auto vectors = plume_test::llama_cpp_vectors("llama-spm");
  if (!tokenizer || !vectors) return;
  CHECK(vectors->size() == 46);
  for (const auto& vector : *vectors) {
    const std::string& text = vector.text;
    const Ids& ids = vector.ids;
    CHECK_MESSAGE(tokenizer->encode(text, {.begin = Begin::nothing}) == ids, text);
    CHECK(tokenizer->decode(ids) == text);
  }
}

TEST_CASE("LLaMA-2: bos by default, special tokens only when asked for") {
  const auto tokenizer = load("tokenizers/llama2/tokenizer.bin");
  if (!tokenizer) return;
  CHECK(tokenizer->kind() == "SentencePiece BPE");
  CHECK(tokenizer->vocabulary() == 32000);
  CHECK(tokenizer->bos() == 1);
  CHECK(tokenizer->eos() == 2);
  CHECK(tokenizer->encode("Hello world") == Ids{1, 15043, 3186});
  CHECK(tokenizer->encode("") == Ids{1});
  CHECK(tokenizer->encode("", {.begin = Begin::nothing}).empty());
  CHECK(tokenizer->piece(1) == "<s>");
  CHECK(tokenizer->find("</s>") == 2);
  CHECK(tokenizer->piece(13) == "<0x0A>");
  CHECK(tokenizer->decode(Ids{13}) == "\n");
  const Ids plain = tokenizer->encode("Hello</s>"), special = tokenizer->encode("Hello</s>world", {.special = SpecialText::recognise});
  for (const TokenId id : plain) CHECK(id != 2);
  CHECK(special == Ids{1, 15043, 2, 11526});  // "world" without a space: only the start of the text gets one
  CHECK(tokenizer->decode(plain) == "Hello</s>");
  CHECK(tokenizer->decode(special) == "Helloworld");
  CHECK(tokenizer->decode(special, {.special = SpecialTokens::keep}) == "<s>Hello</s>world");
  for (const TokenId id : tokenizer->encode("<0x0A>\n<s>\n", {.begin = Begin::nothing})) CHECK((id != 1 && id != 13 + 0x30));
}

TEST_CASE("One leading space is dropped at the start and after bos, and only there") {
  const auto tokenizer = load("tokenizers/llama2/tokenizer.bin");
  if (!tokenizer) return;
  const Ids hello{15043}, both{1, 15043, 1, 15043};  // 15043 is " Hello"
  CHECK(tokenizer->decode(hello) == "Hello");
  CHECK(tokenizer->decode(both) == "HelloHello");
  CHECK(tokenizer->decode(Ids{15043, 15043}) == "Hello Hello");
  CHECK(tokenizer->decode(tokenizer->encode("  two")) == "  two");
}

TEST_CASE("stories260K: the tokens of a documented greedy text") {
  const auto tokenizer = load("stories260k/tok512.bin");
  if (!tokenizer) return;
  CHECK(tokenizer->vocabulary() == 512);
  const std::string text = "Once upon a time, there was a little girl named Lily.";
  CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
  CHECK(tokenizer->encode("Once upon a time").size() < 12);
}

TEST_CASE("tokenizer.bin is written as it was read") {
  for (const char* name : {"stories260k/tok512.bin", "tokenizers/llama2/tokenizer.bin"}) {
    const auto path = plume_test::test_data(name);
    if (!path) continue;
    CHECK(plume::load_llama2c_tokenizer(*path).model().files().at(0).content == plume_test::read_all(*path));
  }
}

TEST_CASE("Any bytes come back, and a megabyte of one character is quick") {
  const auto tokenizer = load("tokenizers/llama2/tokenizer.bin");
  if (!tokenizer) return;
  plume::Random random{.seed = 5};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (std::uint64_t i = random.below(30); i > 0; --i) text.push_back(static_cast<char>(static_cast<unsigned char>(random.below(256))));
    REQUIRE(tokenizer->decode(tokenizer->encode(text)) == text);
  }
  for (const char c : {'A', ' ', '\xff'}) {
    const std::string text(1 << 20, c);
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = tokenizer->encode(text);
    CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < 10);  // run.c's loop needs days
    CHECK(tokenizer->decode(ids) == text);
  }
}

TEST_CASE("The merge order is run.c's: best score first, leftmost among equals") {
  // A plain transcription of the rule: look at all neighbours, merge the first of the best, repeat.
  const auto tokenizer = load("stories260k/tok512.bin");
  const auto path = plume_test::test_data("stories260k/tok512.bin");
  if (!tokenizer || !path) return;
  const std::string file = plume_test::read_all(*path);
  std::vector<float> scores;
  for (std::size_t at = 4; at < file.size();) {
    float score = 0;
    std::uint32_t length = 0;
    std::memcpy(&score, file.data() + at, 4);
    std::memcpy(&length, file.data() + at + 4, 4);
    scores.push_back(score);
    at += 8 + length;
  }
  const auto reference = [&](const std::string& text) {
    std::vector<std::string> parts;
    for (const char c : " " + text) parts.emplace_back(1, c);
    for (;;) {
      float best = -1e10f;
      std::size_t where = parts.size();
      for (std::size_t i = 0; i + 1 < parts.size(); ++i)
        if (const auto id = tokenizer->find(parts[i] + parts[i + 1]); id && scores[static_cast<std::size_t>(*id)] > best) {
          best = scores[static_cast<std::size_t>(*id)];
          where = i;
        }
      if (where == parts.size()) break;
      parts[where] += parts[where + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(where) + 1);
    }
    Ids ids;
    for (const std::string& part : parts) ids.push_back(tokenizer->find(part).value_or(3 + static_cast<unsigned char>(part[0])));
    return ids;
  };
  plume::Random random{.seed = 9};
  const std::string_view letters = "aaeiothn srld.T";
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (std::uint64_t i = 1 + random.below(40); i > 0; --i) text.push_back(letters[random.below(letters.size())]);
    CHECK_MESSAGE(tokenizer->encode(text, {.begin = Begin::nothing}) == reference(text), text);
  }
}
