#pragma once
// Base64 [RFC 4648], as rank files and character maps use it.
#include <string>
#include <string_view>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

inline constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// False when the text is not base64 with its padding.
inline bool decode_base64(std::string_view text, std::string& out) {
  if (text.empty() || text.size() % 4 != 0) return false;
  std::size_t pad = 0;
  while (pad < 2 && text[text.size() - 1 - pad] == '=') ++pad;
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t digit = i < text.size() - pad ? base64_digits.find(text[i]) : 0;
    if (digit == base64_digits.npos) return false;
    word = word << 6 | static_cast<std::uint32_t>(digit);
    if (i % 4 != 3) continue;
    const std::size_t bytes = i + 1 == text.size() ? 3 - pad : 3;
    for (std::size_t k = 0; k < bytes; ++k) out.push_back(static_cast<char>(static_cast<unsigned char>(word >> (16 - 8 * k) & 0xff)));
    word = 0;
  }
  return true;
}

inline void encode_base64(std::string_view bytes, std::string& out) {
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) word = word << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) out.push_back(i + k > bytes.size() ? '=' : base64_digits[word >> (18 - 6 * k) & 63]);
  }
}

}  // namespace plume::inline PLUME_ABI
