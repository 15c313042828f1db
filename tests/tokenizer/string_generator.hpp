#pragma once
// The strings of tests/golden/make_tokenizer_hashes.py, character for character, and its hash.
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/utf8.hpp"

namespace plume_test {

inline constexpr std::size_t generated_strings = 50'000, strings_in_group = 1'000;

class StringGenerator {
 public:
  StringGenerator(std::vector<std::string> vocabulary, std::vector<std::string> specials)
      : vocabulary_(std::move(vocabulary)), specials_(std::move(specials)) {}

  std::string next() {
    static const std::vector<std::string> spaces = {" ",      "  ",     "   ",    "\t",     "\n",       "\r\n", "\n\n", " \n",    "\n ",
                                                    "\u00a0", "\u2003", "\u3000", "\u2028", "\xc2\x85", "\v",   "\f",   "      ", " \t "};
    static const std::vector<std::string> words = {"the",
                                                   "Hello",
                                                   "don't",
                                                   "I've",
                                                   "WE'LL",
                                                   "they're",
                                                   "it's",
                                                   "I'D",
                                                   "'S",
                                                   "''ll",
                                                   "'\u017f",
                                                   "na\u00efve",
                                                   "Stra\u00dfe",
                                                   "\ufb01n",
                                                   "e\u0301",
                                                   "\u4e16\u754c",
                                                   "\u4f60\u597d",
                                                   "\uc548\ub155",
                                                   "\u3053\u3093\u306b\u3061\u306f",
                                                   "\u041f\u0440\u0438\u0432\u0435\u0442",
                                                   "\u05e9\u05dc\u05d5\u05dd",
                                                   "\u0645\u0631\u062d\u0628\u0627",
                                                   "\u0928\u092e\u0938\u094d\u0924\u0947",
                                                   "\u0e44\u0e17\u0e22",
                                                   "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1",
                                                   "camelCase",
                                                   "HTTPServer",
                                                   "snake_case",
                                                   "x=y;",
                                                   "for(i=0;i<10;++i)",
                                                   "{\n\t",
                                                   "://",
                                                   "!!!",
                                                   "...",
                                                   "--",
                                                   "\u2581",
                                                   "##ing",
                                                   "</w>",
                                                   "<0x41>",
                                                   "_x_",
                                                   "\u01c5",
                                                   "\u02b0"
                                                   "a",
                                                   "A\u0301\u0323",
                                                   "\u1100\u1161\u11a8",
                                                   "\u0130",
                                                   "\u03a3",
                                                   "\ufffd",
                                                   std::string(1, '\0'),
                                                   "botchan"};
    static const std::vector<std::string> emoji = {"\U0001f642",           "\U0001f469\u200d\U0001f469\u200d\U0001f467",
                                                   "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd",
                                                   "\u2764\ufe0f",         "1\ufe0f\u20e3"};
    static const std::vector<std::string> digits = {"0",    "7",     "42",     "123",    "2024",   "12345",        "1234567890",
                                                    "3.14", "1,000", "\u00bd", "\u2167", "\u00b2", "\u0663\u0664", "\U0001d7d8"};
    std::string out;
    for (int i = 0; i < 4; ++i) {
      if (point_ >= 0xd800 && point_ < 0xe000) point_ = 0xe000;
      plume::append_utf8(out, point_);
      point_ = (point_ + 1) % 0x30000;
      if (below(3) == 0) out.push_back(" a"[below(2)]);
    }
    for (std::uint64_t count = below(8); count > 0; --count) {
      const std::uint64_t kind = below(9);
      if (kind <= 1) {
        out += one_of(vocabulary_);
      } else if (kind <= 3) {
        out += one_of(words);
        if (below(2) != 0) out.push_back(' ');
      } else if (kind == 4) {
        out += one_of(spaces);
      } else if (kind == 5) {
        if (!specials_.empty()) out += one_of(specials_);
      } else if (kind == 6) {
        out += one_of(emoji);
      } else if (kind == 7) {
        out += one_of(digits);
      } else {
        const std::uint64_t c = below(0x30000);
        plume::append_utf8(out, c >= 0xd800 && c < 0xe000 ? U'x' : static_cast<char32_t>(c));
      }
    }
    return out;
  }

 private:
  std::uint64_t below(std::uint64_t n) {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % n;
  }
  const std::string& one_of(const std::vector<std::string>& list) { return list[below(list.size())]; }

  std::uint64_t state_ = 7;
  char32_t point_ = 0;
  std::vector<std::string> vocabulary_, specials_;
};

class Crc32 {  // as zlib's
 public:
  void add(std::string_view bytes) {
    for (const char c : bytes) add_byte(static_cast<unsigned char>(c));
  }
  void add(plume::TokenId id) {
    for (int shift = 0; shift < 32; shift += 8) add_byte(static_cast<std::uint32_t>(id) >> shift & 0xff);
  }
  std::string text() const {
    std::string out;
    for (int shift = 28; shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[~value_ >> shift & 15]);
    return out;
  }

 private:
  void add_byte(std::uint32_t byte) {
    value_ ^= byte;
    for (int i = 0; i < 8; ++i) value_ = value_ >> 1 ^ ((value_ & 1) != 0 ? 0xedb88320u : 0u);
  }
  std::uint32_t value_ = 0xffffffff;
};

}  // namespace plume_test
