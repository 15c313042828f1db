// GPT-2's pre-tokeniser against pieces cut by Hugging Face tokenizers (tests/golden/make_gpt2_strings.py) and by hand.
#include "plume/tokenizer/gpt2_pieces.hpp"

#include <chrono>
#include <string>
#include <vector>

#include "plume/base/json.hpp"
#include "plume/base/random.hpp"
#include "test_data.hpp"

namespace {

std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = plume::gpt2_piece_end(text, at);
    REQUIRE(end > at);
    REQUIRE(end <= text.size());
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

using Pieces = std::vector<std::string>;

}  // namespace

TEST_CASE("Unicode classes: letters, numbers, white space, and what only looks like them") {
  using plume::code_point_class;
  using Class = plume::CodePointClass;
  for (const char32_t c : {U'a', U'Z', U'\u00aa', U'\u00df', U'\u05d0', U'\u4e16', U'\u3042', U'\U00020000', U'\U0001e900'})
    CHECK(code_point_class(c) == Class::letter);
  for (const char32_t c : {U'0', U'9', U'\u00b2', U'\u00bd', U'\u0663', U'\u2167', U'\u3007', U'\U0001d7d8'})
    CHECK(code_point_class(c) == Class::number);
  for (const char32_t c : {U'\t', U'\n', U'\v', U'\f', U'\r', U' ', U'\u0085', U'\u00a0', U'\u1680', U'\u2028', U'\u205f', U'\u3000'})
    CHECK(code_point_class(c) == Class::space);
  for (const char32_t c :
       {U'\0', U'\u001c', U'!', U'_', U'\u0301', U'\u180e', U'\u200b', U'\ufeff', U'\ufffd', U'\U0001f642', U'\U0010ffff'})
    CHECK(code_point_class(c) == Class::other);
}

TEST_CASE("The check text of every pattern") {
  CHECK(pieces("I've 12345 apples!!\n\n  你好，world　it'S") ==
        Pieces{"I", "'ve", " 12345", " apples", "!!", "\n\n ", " 你好", "，", "world", "　", "it", "'", "S"});
}

TEST_CASE("Contractions are lower case and win only where a piece starts") {
  CHECK(pieces("we'll they're I'd I'm it's don't I've") ==
        Pieces{"we", "'ll", " they", "'re", " I", "'d", " I", "'m", " it", "'s", " don", "'t", " I", "'ve"});
  CHECK(pieces("!'s 's 'l '") == Pieces{"!'", "s", " '", "s", " '", "l", " '"});
  CHECK(pieces("'sx''ll'") == Pieces{"'s", "x", "''", "ll", "'"});
}

TEST_CASE("White space gives its last character to what follows") {
  CHECK(pieces("a   b") == Pieces{"a", "  ", " b"});
  CHECK(pieces("a \n b  ") == Pieces{"a", " \n", " b", "  "});
  CHECK(pieces("a\n!") == Pieces{"a", "\n", "!"});
  CHECK(pieces("  ") == Pieces{"  "});
  CHECK(pieces(" ") == Pieces{" "});
  CHECK(pieces("").empty());
}

TEST_CASE("Malformed UTF-8 counts as symbols and loses nothing") {
  CHECK(pieces("a\xff\xfe b") == Pieces{"a", "\xff\xfe", " b"});
  CHECK(pieces("\xe4\xbd") == Pieces{"\xe4\xbd"});
  CHECK(pieces("x\xed\xa0\x80y") == Pieces{"x", "\xed\xa0\x80", "y"});  // an encoded surrogate
  plume::Random random{.seed = 3};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (std::uint64_t i = random.below(24); i > 0; --i) text.push_back(static_cast<char>(static_cast<unsigned char>(random.below(256))));
    std::string joined;
    for (const std::string& piece : pieces(text)) joined += piece;
    REQUIRE(joined == text);
  }
}

TEST_CASE("2,500 random Unicode strings are cut as by Hugging Face tokenizers 0.23.3") {
  const std::string file = plume_test::read_all(plume_test::golden("gpt2_strings.jsonl"));
  std::size_t lines = 0;
  for (std::size_t at = 0; at < file.size(); ++lines) {
    const std::size_t end = file.find('\n', at);
    const plume::Json entry = plume::Json::parse(std::string_view(file).substr(at, end - at));
    at = end + 1;
    std::vector<std::int64_t> expected, got;
    for (const plume::Json& bytes : entry.at(1).items()) expected.push_back(bytes.as_integer());
    for (const std::string& piece : pieces(entry.at(0).as_text())) got.push_back(static_cast<std::int64_t>(piece.size()));
    CHECK_MESSAGE(got == expected, "line " << lines + 1);
  }
  CHECK(lines == 2500);
}
