#pragma once
// Protocol buffers as bytes, also wrong ones, and SentencePiece models made of them.
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/text.hpp"

namespace plume_test {

inline std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(static_cast<unsigned char>(value | 0x80)));
  out.push_back(static_cast<char>(value));
  return out;
}
inline std::string number_field(unsigned number, std::uint64_t value) { return varint(number << 3) + varint(value); }
inline std::string bytes_field(unsigned number, std::string_view bytes) {
  return plume::concat(varint(number << 3 | 2), varint(bytes.size()), bytes);
}
inline std::string float_field(unsigned number, float value) {
  std::string out = varint(number << 3 | 5);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
  return out;
}

struct ModelPiece {
  std::string text;
  std::optional<float> score = -1.0f;
  std::optional<unsigned> type = std::nullopt;
  std::string bytes() const {
    return bytes_field(1, plume::concat(bytes_field(1, text), score ? float_field(2, *score) : "", type ? number_field(3, *type) : ""));
  }
};
inline std::string pieces_bytes(const std::vector<ModelPiece>& pieces) {
  std::string out;
  for (const ModelPiece& piece : pieces) out += piece.bytes();
  return out;
}
inline std::vector<ModelPiece> byte_pieces() {
  std::vector<ModelPiece> out;
  constexpr char digits[] = "0123456789ABCDEF";
  for (unsigned byte = 0; byte < 256; ++byte) out.push_back({{'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'}, 0.0f, 6});
  return out;
}
// A character map: the units of its trie, then the texts.
inline std::string character_map(const std::vector<std::uint32_t>& units, std::string_view texts) {
  std::string out(4 + 4 * units.size(), '\0');
  const auto size = static_cast<std::uint32_t>(4 * units.size());
  std::memcpy(out.data(), &size, 4);
  std::memcpy(out.data() + 4, units.data(), 4 * units.size());
  return out.append(texts);
}
// "a" -> "b": the root's children begin at unit 0; 'a' leads to unit 97, whose text stands at unit 97 ^ 1.
inline std::vector<std::uint32_t> one_key_trie() {
  std::vector<std::uint32_t> units(256, 0x80000000u);
  units[0] = 0;
  units[97] = 97u | 1u << 8 | 1u << 10;
  units[96] = 0x80000000u;
  return units;
}

}  // namespace plume_test
