// Streaming decode: whole code points only, and the same bytes as decode().
#include "plume/tokenizer/stream_decoder.hpp"

#include <string>
#include <vector>

#include "plume/base/random.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "test_data.hpp"

using plume::StreamDecoder;
using plume::TokenId;
using plume::Tokenizer;
using Ids = std::vector<TokenId>;

namespace {

std::vector<std::string> stream(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder decoder(tokenizer);
  std::vector<std::string> parts;
  for (const TokenId id : ids) parts.push_back(decoder.push(id));
  parts.push_back(decoder.finish());
  return parts;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all += part;
  return all;
}

}  // namespace

TEST_CASE("A code point cut into single bytes comes out whole") {
  const Tokenizer bytes = plume::byte_tokenizer();
  using Parts = std::vector<std::string>;
  CHECK(stream(bytes, bytes.encode("aé")) == Parts{"a", "", "é", ""});
  CHECK(stream(bytes, bytes.encode("世")) == Parts{"", "", "世", ""});
  CHECK(stream(bytes, bytes.encode("🙂!")) == Parts{"", "", "", "🙂", "!", ""});
  CHECK(stream(bytes, bytes.encode("\xf0\x9f\x99")) == Parts{"", "", "", "\xf0\x9f\x99"});  // the end of the text cuts it
}

TEST_CASE("Bytes that cannot become a code point are not held back") {
  const Tokenizer bytes = plume::byte_tokenizer();
  using Parts = std::vector<std::string>;
  CHECK(stream(bytes, bytes.encode("\xff")) == Parts{"\xff", ""});
  CHECK(stream(bytes, bytes.encode("\x80")) == Parts{"\x80", ""});
  CHECK(stream(bytes, bytes.encode("\xc0")) == Parts{"\xc0", ""});
  CHECK(stream(bytes, bytes.encode("\xe4\xbd"
                                   "a")) == Parts{"", "",
                                                  "\xe4\xbd"
                                                  "a",
                                                  ""});
  CHECK(stream(bytes, bytes.encode("\xed\xa0\x80")) == Parts{"", "\xed\xa0", "\x80", ""});  // an encoded surrogate
  CHECK(stream(bytes, bytes.encode("\xf4\x90")) == Parts{"", "\xf4\x90", ""});              // beyond U+10FFFF
  CHECK(stream(bytes, bytes.encode("\xf0\xf0\x9f\x99\x82")) == Parts{"", "\xf0", "", "", "\xf0\x9f\x99\x82", ""});
}

TEST_CASE("Joined parts equal decode() for random ids, and every part of valid text is valid") {
  std::vector<Tokenizer> tokenizers{plume::byte_tokenizer()};
  for (const char* name : {"tokenizers/gpt2/encoder.json", "tokenizers/llama2/tokenizer.bin", "stories260k/tok512.bin"})
    if (const auto path = plume_test::test_data(name)) tokenizers.push_back(plume::load_tokenizer(*path));
  plume::Random random{.seed = 21};
  const std::string text = "Wörter — 世界🙂👩‍👩‍👧 z̃, נס and 🇩🇪.";
  for (const Tokenizer& tokenizer : tokenizers) {
    for (int round = 0; round < 500; ++round) {
      Ids ids;
      for (std::uint64_t i = random.below(40); i > 0; --i)
        ids.push_back(static_cast<TokenId>(random.below(static_cast<std::uint64_t>(tokenizer.vocabulary()))));
      REQUIRE(joined(stream(tokenizer, ids)) == tokenizer.decode(ids));
      Ids low;  // byte tokens of every kind
      for (std::uint64_t i = random.below(40); i > 0; --i) low.push_back(static_cast<TokenId>(random.below(256)));
      REQUIRE(joined(stream(tokenizer, low)) == tokenizer.decode(low));
    }
    const auto parts = stream(tokenizer, tokenizer.encode(text));
    CHECK(joined(parts) == text);
    for (const std::string& part : parts) CHECK(plume::utf8_error(part) == part.size());
  }
}

TEST_CASE("After a prompt: push its ids first, then the space of the next word stays") {
  const auto path = plume_test::test_data("tokenizers/llama2/tokenizer.bin");
  if (!path) return;
  StreamDecoder decoder(plume::load_tokenizer(*path));
  CHECK(decoder.push(1).empty());
  CHECK(decoder.push(15043) == "Hello");
  CHECK(decoder.push(3186) == " world");
  CHECK(decoder.finish().empty());
  CHECK(decoder.push(3186) == "world");  // a new text
  CHECK_THROWS_AS(decoder.push(32000), plume::ArgumentError);
  CHECK(decoder.push(3186) == " world");
}
