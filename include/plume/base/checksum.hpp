#pragma once
// CRC-32C (Castagnoli polynomial, reflected 0x82f63b78; RFC 3720 appendix B.4 gives vectors).
#include <array>
#include <span>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

namespace checksum_detail {
// Eight tables: table[k][b] is the effect of byte b followed by k zero bytes, so that eight bytes go in one step.
inline constexpr auto tables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0u);
    table[0][byte] = value;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte) table[k][byte] = table[k - 1][byte] >> 8 ^ table[0][table[k - 1][byte] & 0xff];
  return table;
}();
}  // namespace checksum_detail

// The checksum of `bytes`; `before` is the checksum of what precedes them.
inline std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept {
  const auto& tables = checksum_detail::tables;
  std::uint32_t value = ~before;
  const auto at = [&](std::size_t i) { return static_cast<std::uint32_t>(bytes[i]); };
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    value ^= at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24;
    value = tables[7][value & 0xff] ^ tables[6][value >> 8 & 0xff] ^ tables[5][value >> 16 & 0xff] ^ tables[4][value >> 24] ^
            tables[3][at(i + 4)] ^ tables[2][at(i + 5)] ^ tables[1][at(i + 6)] ^ tables[0][at(i + 7)];
  }
  for (; i < bytes.size(); ++i) value = value >> 8 ^ tables[0][(value ^ at(i)) & 0xff];
  return ~value;
}

}  // namespace plume::inline PLUME_ABI
