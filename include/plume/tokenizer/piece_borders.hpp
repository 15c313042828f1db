#pragma once
// Where a text may be cut without changing its tokens: between two characters that stand side by side in no token.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>
#include <vector>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "plume/base/config.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

class PieceBorders {
  // A character, for what is asked here: those from first_outside on, which never stand at a border, are one.
  using Code = std::uint32_t;
  static constexpr Code first_outside = 0xfffd;

 public:
  // What becomes of characters that are no token: bytes, each character by itself, or unknown tokens, which neighbours may share: there is
  // no border before such a character.
  enum class Unknown : std::uint8_t { bytes, shared };

  PieceBorders() = default;  // no border anywhere
  // All texts that tokens which text becomes may spell; those of bytes may begin and end within a character.
  PLUME_FUNCTION PieceBorders(const std::vector<std::string_view>& tokens, Unknown unknown);
  bool empty() const { return joined_.empty(); }

  // The borders of a text behind `at`, one after the other, and at last its end. Beside malformed bytes there is none, for what they are
  // part of is the model's to say; nor beside characters beyond U+FFFC, which are few.
  class Cursor {
   public:
    Cursor(const PieceBorders& borders, std::string_view text, std::size_t at) : borders_(&borders), text_(text), at_(at) {
      if (borders.empty())
        at_ = text.size();
      else if (at < text.size())
        left_ = read(at_);
    }
    std::size_t next() {
      if (given_ == found_) look();
      return ends_[given_++];
    }

   private:
    // Looks on, as far as there is a border at least.
    void look() {
      found_ = given_ = 0;
      while (found_ == 0 && at_ < text_.size())
        if (!look_at_window()) look_at_characters();
      if (at_ == text_.size()) ends_[found_++] = at_;
    }
    // Where a border is is hard to foresee: nothing branches on it.
    void look_at_characters() {
      const PieceBorders& borders = *borders_;
      std::size_t at = at_, found = 0;
      Code left = left_;
      for (std::size_t i = 0; i < window && at < text_.size(); ++i) {
        ends_[found] = at;
        const bool is_safe = at >= safe_;
        const Code right = read(at);
        found += borders.may_part(left, right) & std::size_t{is_safe};
        left = right;
      }
      at_ = at, left_ = left, found_ = found;
    }
    // The same where the next characters are of one byte or, but for rare ones, of three: masks tell where they begin, and none waits for
    // the one before it. False, and nothing done: others are among them.
    bool look_at_window() {
#if defined(__SSE2__)
      std::size_t size = std::min(window, text_.size() - at_);
      if (size < 3) return false;
      const char* bytes = text_.data() + at_;
      char padded[window + 4];
      if (text_.size() - at_ < sizeof padded) {
        std::memset(padded, 0, sizeof padded);
        std::memcpy(padded, bytes, text_.size() - at_);
        bytes = padded;
      }
      std::uint64_t high = 0, leading = 0, inner = 0, before_e000 = 0, last_block = 0, bf = 0, lower = 0;
      for (std::size_t i = 0; i < window; i += 16) {
        const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i));
        const auto add = [&](std::uint64_t& mask, __m128i bits) {
          mask |= std::uint64_t{static_cast<std::uint32_t>(_mm_movemask_epi8(bits))} << i;
        };
        add(high, part);
        add(inner, _mm_cmplt_epi8(part, _mm_set1_epi8('\xc0')));
        add(leading, _mm_and_si128(_mm_cmpgt_epi8(part, _mm_set1_epi8('\xe0')), _mm_cmplt_epi8(part, _mm_set1_epi8('\xf0'))));
        add(before_e000, _mm_cmpeq_epi8(part, _mm_set1_epi8('\xed')));
        add(last_block, _mm_cmpeq_epi8(part, _mm_set1_epi8('\xef')));
        add(bf, _mm_cmpeq_epi8(part, _mm_set1_epi8('\xbf')));
        add(lower, _mm_and_si128(_mm_cmpgt_epi8(part, _mm_set1_epi8('a' - 1)), _mm_cmplt_epi8(part, _mm_set1_epi8('z' + 1))));
      }
      if (const std::uint64_t cut = leading >> (size - 2) << (size - 2); cut != 0) size = static_cast<std::size_t>(std::countr_zero(cut));
      if (size == 0) return false;
      const std::uint64_t whole = ~std::uint64_t{0} >> (window - size), wanted = leading << 1 | leading << 2;
      const std::uint64_t rare = before_e000 | (last_block << 1 & bf);  // U+D000 to U+DFFF, U+FFC0 to U+FFFF
      if ((((inner ^ wanted) | (high ^ (leading | inner)) | rare) & whole) != 0 || at_ < safe_) return false;
      lower &= borders_->joins_lower_ ? whole : 0;
      const std::uint64_t asked = ~inner & whole & ~(lower & lower << 1);
      borders_->has_partial_ ? look_at_begins<true>(bytes, asked, lower) : look_at_begins<false>(bytes, asked, lower);
      if ((lower >> (size - 1) & 1) != 0) left_ = static_cast<unsigned char>(bytes[size - 1]);
      at_ += size;
      return true;
#else
      return false;
#endif
    }
    // `lower`: letters of which, behind another, only the first of several is among the begins.
    template <bool has_partial>
    void look_at_begins(const char* bytes, std::uint64_t begins, std::uint64_t lower) {
      const PieceBorders& borders = *borders_;
      std::size_t found = 0;
      Code left = left_;
      std::size_t is_inside = left < first_outside;  // all in the window are
      for (; begins != 0; begins &= begins - 1) {
        const auto i = static_cast<std::size_t>(std::countr_zero(begins));
        std::uint32_t four = 0;
        std::memcpy(&four, bytes + i, 4);
        const Code is_three = 0 - (four >> 7 & 1), right = (four & 0x7f & ~is_three) | (utf8_three::value(four) & is_three);
        const std::uint64_t is_behind_lower = lower << 1 >> i & 1;
        const Code byte_before = static_cast<unsigned char>(bytes[i - is_behind_lower]);
        ends_[found] = at_ + i;
        found += borders.may_part<has_partial>(is_behind_lower != 0 ? byte_before : left, right) & is_inside;
        is_inside = 1;
        left = right;
      }
      left_ = left, found_ = found;
    }
    Code read(std::size_t& at) {
      std::uint32_t bytes = 0;
      if (text_.size() - at >= 4 && std::endian::native == std::endian::little) [[likely]] {
        std::memcpy(&bytes, text_.data() + at, 4);
        // ASCII or three bytes below U+D000, without a branch
        const bool is_one = (bytes & 0x80) == 0;
        const bool is_three = ((bytes & 0xc0c0f0) == 0x8080e0) & ((bytes & 0xf) - 1 < 0xc);
        if (is_one | is_three) [[likely]] {
          at += is_one ? 1 : 3;
          return is_one ? bytes & 0x7f : utf8_three::value(bytes);
        }
      }
      const CodePoint point = code_point_at(text_, at);
      at += point.length;
      if (point.value == 0xfffd) safe_ = at + 3;
      return code_of(point.value);
    }

    static constexpr std::size_t window = 64;
    const PieceBorders* borders_;
    std::string_view text_;
    std::size_t at_, safe_ = 0, given_ = 0, found_ = 0;
    Code left_ = 0;
    std::array<std::size_t, window + 1> ends_;
  };

 private:
  static Code code_of(char32_t c) { return std::min(Code{c}, first_outside); }
  std::size_t may_part(Code left, Code right) const {
    const std::size_t is_inside = left < first_outside;
    return is_inside & (has_partial_ ? may_part<true>(left, right) : may_part<false>(left, right));
  }
  // 1 or 0, which is hard to foresee: no branch depends on it. Of any two within what is known.
  template <bool has_partial>
  std::size_t may_part(Code left, Code right) const {
    std::uint64_t apart = known_[right >> 6] >> (right & 63) & ~joined(left, right);
    if constexpr (has_partial) {
      const Code before = ending(last_byte(left)), behind = ending(first_byte(right));
      apart &= ~(joined(left, behind) | joined(before, right) | joined(before, behind));
    }
    return static_cast<std::size_t>(apart & 1);
  }
  // All characters with such a byte at the border, where a token holds no more of them.
  static Code ending(Code byte) { return 0x10000 + byte; }
  static Code first_byte(Code c) { return c < 0x80 ? c : c < 0x800 ? 0xc0 | c >> 6 : 0xe0 | c >> 12; }
  static Code last_byte(Code c) { return c < 0x80 ? c : 0x80 | (c & 0x3f); }
  PLUME_FUNCTION void join(Code left, Code right);
  // In its lowest bit.
  std::uint64_t joined(Code left, Code right) const {
    const std::uint64_t hash = hash_of(left, right);
    const std::uint64_t bits = joined_[place(hash)];
    return bits >> (hash >> 58) & bits >> (hash >> 52 & 63);
  }
  static std::uint64_t hash_of(Code left, Code right) { return (std::uint64_t{left} << 17 | right) * 0x9e3779b97f4a7c15u; }
  std::size_t place(std::uint64_t hash) const { return static_cast<std::size_t>(hash >> 32) & (joined_.size() - 1); }

  std::vector<std::uint64_t> joined_;  // two bits for each two that stand in a token, by their hash: a few others may seem to
  std::vector<std::uint64_t> known_;   // a bit for each code; not for the last ones
  bool has_partial_ = false;           // a token holds a part of a character beside another
  bool joins_lower_ = false;           // most pairs of the letters a to z stand in tokens: none is looked at
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION PieceBorders::PieceBorders(const std::vector<std::string_view>& tokens, Unknown unknown)
    : joined_(std::bit_ceil(tokens.size() / 4 + 16)), known_(0x10000 / 64, unknown == Unknown::bytes ? ~std::uint64_t{0} : 0) {
  const auto is_inner = [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; };
  for (const std::string_view token : tokens) {
    if (token.empty()) continue;
    if (const CodePoint only = code_point_at(token, 0); only.length == token.size()) {
      const Code code = code_of(only.value);
      known_[code >> 6] |= std::uint64_t{1} << (code & 63);
    }
    for (std::size_t at = 1; at < token.size(); ++at) {
      if (is_inner(token[at])) continue;
      std::size_t begin = at - 1;
      while (begin > 0 && is_inner(token[begin])) --begin;
      const CodePoint left = code_point_at(token, begin), right = code_point_at(token, at);
      Code before = code_of(left.value), behind = code_of(right.value);
      if (is_inner(token[begin]))
        before = ending(static_cast<unsigned char>(token[at - 1]));
      else if (begin + left.length != at || left.value == 0xfffd)
        continue;  // no well-formed text has such a border
      if (right.value == 0xfffd) {
        if (at + 4 <= token.size() || !std::all_of(token.begin() + static_cast<std::ptrdiff_t>(at + 1), token.end(), is_inner)) continue;
        behind = ending(static_cast<unsigned char>(token[at]));
      }
      join(before, behind);
    }
  }
  known_.back() &= (std::uint64_t{1} << (first_outside & 63)) - 1;
  std::size_t lower = 0;
  for (Code left = 'a'; left <= 'z'; ++left)
    for (Code right = 'a'; right <= 'z'; ++right) lower += joined(left, right) & 1;
  joins_lower_ = lower > 26 * 26 / 2;  // the others are rare in texts
}

PLUME_FUNCTION void PieceBorders::join(Code left, Code right) {
  const std::uint64_t hash = hash_of(left, right);
  joined_[place(hash)] |= std::uint64_t{1} << (hash >> 58) | std::uint64_t{1} << (hash >> 52 & 63);
  has_partial_ = has_partial_ || left >= ending(0) || right >= ending(0);
}

}  // namespace plume::inline PLUME_ABI
#endif
