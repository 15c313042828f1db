#pragma once
// The printable characters that stand for bytes in vocab.json and merges.txt [openai/gpt-2 src/encoder.py, bytes_to_unicode]:
// 0x21-0x7e, 0xa1-0xac and 0xae-0xff stand for themselves, the other 68 bytes for U+0100 on, in order. A space is U+0120.
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

namespace byte_characters {

constexpr bool is_printable(unsigned byte) { return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte != 0xad); }

inline constexpr std::array<char32_t, 256> of_byte = [] {
  std::array<char32_t, 256> table{};
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) table[byte] = is_printable(byte) ? char32_t{byte} : next++;
  return table;
}();

inline constexpr std::array<std::int16_t, 0x144> byte_of = [] {
  std::array<std::int16_t, 0x144> table{};
  for (auto& entry : table) entry = -1;
  for (unsigned byte = 0; byte < 256; ++byte) table[of_byte[byte]] = static_cast<std::int16_t>(byte);
  return table;
}();

}  // namespace byte_characters

inline std::string bytes_to_characters(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) append_utf8(out, byte_characters::of_byte[static_cast<unsigned char>(byte)]);
  return out;
}

// Nothing when a character stands for no byte.
inline std::optional<std::string> characters_to_bytes(std::string_view characters) {
  std::string out;
  for (std::size_t at = 0; at < characters.size();) {
    const CodePoint point = code_point_at(characters, at);
    if (point.value >= byte_characters::byte_of.size() || byte_characters::byte_of[point.value] < 0) return std::nullopt;
    out.push_back(static_cast<char>(static_cast<unsigned char>(byte_characters::byte_of[point.value])));
    at += point.length;
  }
  return out;
}

}  // namespace plume::inline PLUME_ABI
