#pragma once
// What the pre-tokenisers ask about a code point: letter, number, white space or something else.
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/unicode_table.hpp"

namespace plume::inline PLUME_ABI {

// letter = \p{L}, number = \p{N}, space = the property White_Space (what \s means in Unicode-aware regular expressions).
enum class CodePointClass : std::uint8_t { other, letter, number, space };

constexpr CodePointClass code_point_class(char32_t c) {
  if (c >= unicode_table::end) return CodePointClass::other;
  const std::uint64_t word = unicode_table::blocks[unicode_table::block_of[c >> 8]][(c >> 5) & 7];
  return static_cast<CodePointClass>((word >> (2 * (c & 31))) & 3);
}

struct CodePoint {
  char32_t value;      // U+FFFD for a byte that starts no well-formed sequence
  std::size_t length;  // bytes, at least 1
};

// The code point at text[at], at < text.size(). A byte that is not part of well-formed UTF-8 counts as one character of its own.
inline CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return char32_t{static_cast<unsigned char>(text[at + i])}; };
  if (byte(0) < 0x80) return {byte(0), 1};
  switch (utf8_length(text, at)) {
    case 2:
      return {(byte(0) & 0x1f) << 6 | (byte(1) & 0x3f), 2};
    case 3:
      return {(byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
    case 4:
      return {(byte(0) & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
    default:
      return {0xfffd, 1};
  }
}

}  // namespace plume::inline PLUME_ABI
