#pragma once
// Where a text may be cut without changing its tokens: between two characters that stand side by side in no token.
#include <array>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

class PieceBorders {
 public:
  // What becomes of characters that are no token: bytes, each character by itself, or unknown tokens, which neighbours may share: there is
  // no border before such a character.
  enum class Unknown : std::uint8_t { bytes, shared };

  PieceBorders() = default;  // no border anywhere
  // All texts that tokens which text becomes may spell.
  PLUME_FUNCTION PieceBorders(const std::vector<std::string_view>& tokens, Unknown unknown);
  bool empty() const { return joined_.empty(); }

  // The first border behind `at`, or the end of the text. Beside malformed bytes there is none, for what they are part of is the model's
  // to say; nor beside characters beyond U+FFFF, which are few.
  std::size_t next(std::string_view text, std::size_t at) const {
    char32_t left = 0;
    at += character(text, at, left);
    for (std::size_t safe = left == malformed ? at + 3 : at; at < text.size();) {
      char32_t right = 0;
      const std::size_t length = character(text, at, right);
      if (at >= safe && may_part(left, right)) return at;
      at += length;
      if (right == malformed) safe = at + 3;
      left = right;
    }
    return text.size();
  }

 private:
  static constexpr char32_t malformed = 0xfffd;
  static std::size_t character(std::string_view text, std::size_t at, char32_t& value) {
    const CodePoint point = code_point_at(text, at);
    value = point.value;
    return point.length;
  }
  bool may_part(char32_t left, char32_t right) const {
    if ((left | right) < 0x80) return (ascii_[left * 2 + (right >> 6)] >> (right & 63) & 1) == 0;
    if (left >= 0x10000 || right >= 0x10000 || left == malformed || right == malformed) return false;
    if ((known_[right >> 6] >> (right & 63) & 1) == 0) return false;
    const std::uint64_t hash = hash_of(left, right);
    return (joined_[place(hash)] >> (hash >> 58) & 1) == 0;
  }
  static std::uint64_t hash_of(char32_t left, char32_t right) { return (std::uint64_t{left} << 16 | right) * 0x9e3779b97f4a7c15u; }
  std::size_t place(std::uint64_t hash) const { return static_cast<std::size_t>(hash >> 32) & (joined_.size() - 1); }

  std::array<std::uint64_t, 256> ascii_ = {};  // a bit for each two characters: they stand in a token, or the second is unknown
  std::vector<std::uint64_t> joined_;          // the others by their hash: more may seem to stand in a token
  std::vector<std::uint64_t> known_;           // a bit for each character below U+10000
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <bit>

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION PieceBorders::PieceBorders(const std::vector<std::string_view>& tokens, Unknown unknown)
    : joined_(std::bit_ceil(tokens.size() / 4 + 1)), known_(0x10000 / 64, unknown == Unknown::bytes ? ~std::uint64_t{0} : 0) {
  for (const std::string_view token : tokens) {
    char32_t left = 0, right = 0;
    std::size_t at = token.empty() ? 0 : character(token, 0, left);
    if (!token.empty() && at == token.size() && left < 0x10000) known_[left >> 6] |= std::uint64_t{1} << (left & 63);
    for (; at < token.size(); left = right) {
      at += character(token, at, right);
      if ((left | right) < 0x80) {
        ascii_[left * 2 + (right >> 6)] |= std::uint64_t{1} << (right & 63);
      } else {
        const std::uint64_t hash = hash_of(left, right);
        joined_[place(hash)] |= std::uint64_t{1} << (hash >> 58);
      }
    }
  }
  for (char32_t right = 0; right < 0x80; ++right)
    if ((known_[right >> 6] >> (right & 63) & 1) == 0)
      for (char32_t left = 0; left < 0x80; ++left) ascii_[left * 2 + (right >> 6)] |= std::uint64_t{1} << (right & 63);
}

}  // namespace plume::inline PLUME_ABI
#endif
