// Byte-level BPE with GPT-2's own files: ids of llama.cpp, of Hugging Face tokenizers, special tokens, decoding, long inputs.
#include "plume/tokenizer/byte_bpe.hpp"

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "plume/base/random.hpp"
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

std::optional<Tokenizer> gpt2() {
  const auto path = plume_test::test_data("tokenizers/gpt2/encoder.json");
  if (!path) return std::nullopt;
  static const Tokenizer tokenizer = plume::load_tokenizer(path->substr(0, path->rfind('/')));
  return tokenizer;
}

std::string fnv(const Ids& ids) {
  std::uint64_t value = 0xcbf29ce484222325u;
  for (const TokenId id : ids)
    for (int shift = 0; shift < 32; shift += 8) value = (value ^ (static_cast<std::uint32_t>(id) >> shift & 0xff)) * 0x100000001b3u;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

TEST_CASE("GPT-2: the 46 strings of llama.cpp have the ids it lists") {
  const auto tokenizer = gpt2();
  const auto vectors = plume_test::llama_cpp_vectors("gpt-2");
  if (!tokenizer || !vectors) return;
  CHECK(vectors->size() == 46);
  for (const auto& vector : *vectors) {
    const auto& [text, ids] = vector;
    CHECK_MESSAGE(tokenizer->encode(text) == ids, vector.text);
    CHECK(tokenizer->decode(ids) == text);
  }
}

TEST_CASE("GPT-2: 2,500 random Unicode strings have the ids of Hugging Face tokenizers 0.23.3") {
  const auto tokenizer = gpt2();
  if (!tokenizer) return;
  const std::string file = plume_test::read_all(plume_test::golden("gpt2_strings.jsonl"));
  for (std::size_t at = 0, line = 1; at < file.size(); ++line) {
    const std::size_t end = file.find('\n', at);
    const plume::Json entry = plume::Json::parse(std::string_view(file).substr(at, end - at));
    at = end + 1;
    const std::string& text = entry.at(0).as_text();
    const Ids ids = tokenizer->encode(text);
    CHECK_MESSAGE(static_cast<std::int64_t>(ids.size()) == entry.at(2).as_integer(), "line " << line);
    CHECK_MESSAGE(fnv(ids) == entry.at(3).as_text(), "line " << line);
    CHECK(tokenizer->decode(ids) == text);
  }
}

TEST_CASE("GPT-2: the vocabulary, its pieces and its special token") {
  const auto tokenizer = gpt2();
  if (!tokenizer) return;
  CHECK(tokenizer->kind() == "byte-level BPE");
  CHECK(tokenizer->vocabulary() == 50257);
  CHECK(tokenizer->bos() == 50256);
  CHECK(tokenizer->eos() == 50256);
  CHECK(tokenizer->piece(262) == "Ġthe");
  CHECK(tokenizer->find("Ġthe") == 262);
  CHECK(!tokenizer->find("no such piece"));
  CHECK(tokenizer->decode(Ids{262}) == " the");
  for (TokenId id = 0; id < tokenizer->vocabulary(); ++id) REQUIRE(tokenizer->find(tokenizer->piece(id)) == id);

  const std::string text = "a<|endoftext|>b";
  CHECK(tokenizer->encode(text) == Ids{64, 27, 91, 437, 1659, 5239, 91, 29, 65});
  CHECK(tokenizer->encode(text, {.special = SpecialText::recognise}) == Ids{64, 50256, 65});
  CHECK(tokenizer->encode("a", {.begin = Begin::bos}) == Ids{50256, 64});
  CHECK(tokenizer->decode(Ids{64, 50256, 65}) == "ab");
  CHECK(tokenizer->decode(Ids{64, 50256, 65}, {.special = SpecialTokens::keep}) == text);
  CHECK(tokenizer->is_special(50256));
  CHECK(!tokenizer->is_special(0));
  CHECK_THROWS_WITH_AS(tokenizer->decode(Ids{50257}), "[decode] token id 50257 is outside the vocabulary of 50257 tokens",
                       plume::ArgumentError);
  CHECK_THROWS_AS(tokenizer->piece(-1), plume::ArgumentError);
}

TEST_CASE("Byte-level: decode(encode(x)) == x for random bytes") {
  const auto tokenizer = gpt2();
  if (!tokenizer) return;
  plume::Random random{.seed = 11};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (std::uint64_t i = random.below(40); i > 0; --i) text.push_back(static_cast<char>(static_cast<unsigned char>(random.below(256))));
    REQUIRE(tokenizer->decode(tokenizer->encode(text)) == text);
  }
}

TEST_CASE("T17 long and odd texts: linear time, nothing lost") {
  const auto tokenizer = gpt2();
  if (!tokenizer) return;
  const auto seconds = [&](const std::string& text) {
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = tokenizer->encode(text);
    const double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    CHECK(tokenizer->decode(ids) == text);
    return taken;
  };
  std::string joiners;
  for (int i = 0; i < 64 << 10; ++i) joiners += "\u200d";
  const std::string lone("\xed\xa0\x80\0\xff", 5);
  CHECK(seconds(joiners) < 5);
  CHECK(seconds(lone) < 1);
  for (const char c : {'A', ' ', '\xff', '\0'}) {
    CAPTURE(int{c});
    CHECK(seconds(std::string(1 << 20, c)) < 10);  // a quadratic loop needs minutes
  }
}

TEST_CASE("One tokenizer serves several threads") {
  const auto tokenizer = gpt2();
  if (!tokenizer) return;
  const std::string text = "Many threads read one vocabulary: 12345 — 你好.";
  const Ids expected = tokenizer->encode(text);
  std::vector<Ids> got(4);
  std::vector<std::thread> threads;
  for (Ids& mine : got)
    threads.emplace_back([&mine, &text, copy = *tokenizer] {
      for (int i = 0; i < 200; ++i) mine = copy.encode(text);
    });
  for (std::thread& thread : threads) thread.join();
  for (const Ids& ids : got) CHECK(ids == expected);
}
