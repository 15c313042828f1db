#pragma once
// UTF-8 at the byte level. Well-formed sequences after the Unicode Standard, table 3-7.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

// Bytes (1 to 4) of the well-formed sequence at `at`; 0 when there is none (cut, overlong, surrogate, beyond U+10FFFF).
inline std::size_t utf8_length(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const unsigned first = byte(0), second = byte(1);
  if (at >= text.size()) return 0;
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned low = first == 0xe0 ? 0xa0u : 0x80u, high = first == 0xed ? 0x9fu : 0xbfu;
    return second >= low && second <= high && continues(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned low = first == 0xf0 ? 0x90u : 0x80u, high = first == 0xf4 ? 0x8fu : 0xbfu;
    return second >= low && second <= high && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

// Four bytes of a text as a little-endian number: whether they begin with a well-formed sequence of three bytes, and which scalar value
// that is. Sequences with the first bytes e0 and ed, which need a closer look, do not count.
namespace utf8_three {
constexpr bool begins(std::uint32_t four) noexcept { return (four & 0xc0c0f0) == 0x8080e0 && (0xdffe >> (four & 0xf) & 1) != 0; }
constexpr char32_t value(std::uint32_t four) noexcept { return (four & 0xf) << 12 | (four >> 2 & 0xfc0) | (four >> 16 & 0x3f); }
}  // namespace utf8_three

// The offset of the first byte that is not well-formed UTF-8; text.size() when all is well.
inline std::size_t utf8_error(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = static_cast<unsigned char>(text[at]) < 0x80 ? 1 : utf8_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return at;
}

// Appends a Unicode scalar value (no surrogate, at most U+10FFFF) as UTF-8.
inline void append_utf8(std::string& out, char32_t value) {
  const auto put = [&](char32_t bits) { out.push_back(static_cast<char>(static_cast<unsigned char>(bits))); };
  if (value < 0x80) {
    put(value);
  } else if (value < 0x800) {
    put(0xc0 | value >> 6), put(0x80 | (value & 0x3f));
  } else if (value < 0x10000) {
    put(0xe0 | value >> 12), put(0x80 | (value >> 6 & 0x3f)), put(0x80 | (value & 0x3f));
  } else {
    put(0xf0 | value >> 18), put(0x80 | (value >> 12 & 0x3f)), put(0x80 | (value >> 6 & 0x3f)), put(0x80 | (value & 0x3f));
  }
}

}  // namespace plume::inline PLUME_ABI
