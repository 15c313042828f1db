#pragma once
// The categories of up to 64 bytes of text at once, one bit a byte, so that where a run of letters ends is found by counting zeros.
#include <array>
#include <bit>
#include <cstring>
#include <string_view>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "plume/base/config.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

class CharacterWindow {
 public:
  explicit CharacterWindow(std::string_view text) : text_(text) {}
  std::string_view text() const { return text_; }

  // Comes before the questions about the character at `at`: it and the one behind it are then in the window, if the text has them.
  void reach(std::size_t at) {
    if (at - begin_ >= most_before_) load(at);
  }
  // Whether a character of the set begins at `at`, one of the two places that reach() made known or one that skip() came to.
  template <CategorySet set>
  bool is(std::size_t at) {
    if (at - begin_ >= size_) {
      if (at >= text_.size()) return false;
      load(at);
    }
    return (bits<set>() >> (at - begin_) & 1) != 0;
  }
  std::size_t length(std::size_t at) const { return static_cast<unsigned char>(text_[at]) < 0x80 ? 1 : code_point_at(text_, at).length; }
  // The first place at or behind `at` where no character of the set begins.
  template <CategorySet set>
  std::size_t skip(std::size_t at) {
    for (;;) {
      if (at - begin_ >= size_) {
        if (at >= text_.size()) return at;
        load(at);
      }
      const std::uint64_t others = ~bits<set>() >> (at - begin_);
      const std::size_t end = others == 0 ? begin_ + 64 : at + static_cast<std::size_t>(std::countr_zero(others));
      if (end < begin_ + size_) return end;
      at = begin_ + size_;
    }
  }

 private:
  enum Mask : unsigned { letters, numbers, spaces, upper, lower, masks };
  static constexpr CategorySet set_of[masks] = {category_sets::letter, category_sets::number, category_sets::space,
                                                category_sets::cased_upper, category_sets::cased_lower};

  template <CategorySet set>
  std::uint64_t bits() const {
    using namespace category_sets;
    constexpr CategorySet symbol_like = ~(letter | number | space);
    if constexpr (set == letter) return mask_[letters];
    if constexpr (set == number) return mask_[numbers];
    if constexpr (set == space) return mask_[spaces];
    if constexpr (set == cased_upper) return mask_[upper];
    if constexpr (set == cased_lower) return mask_[lower];
    if constexpr (set == (letter | mark)) return mask_[upper] | mask_[lower];
    if constexpr (set == (letter | number)) return mask_[letters] | mask_[numbers];
    if constexpr (set == symbol_like) return ~(mask_[letters] | mask_[numbers] | mask_[spaces]);
  }

  void load(std::size_t at) {
    begin_ = at;
    size_ = std::min<std::size_t>(64, text_.size() - at);
    const char* bytes = text_.data() + at;
    char padded[64];
    if (size_ < 64) {
      std::memset(padded, 0, sizeof padded);
      std::memcpy(padded, bytes, size_);
      bytes = padded;
    }
    std::uint64_t high = load_ascii(bytes);
    while (high != 0) {  // characters of several bytes: all of their bits
      const auto bit = static_cast<unsigned>(std::countr_zero(high));
      const std::size_t place = at + bit;
      CategorySet category = 0;
      std::size_t length = 3;
      const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text_[place + i]); };
      if (byte(0) >= 0xe4 && byte(0) <= 0xe9 && place + 2 < text_.size() && byte(0) != 0xe4 && (byte(1) & 0xc0) == 0x80 &&
          (byte(2) & 0xc0) == 0x80) {
        category = category_set(Category::Lo);  // U+5000 to U+9FFF
      } else {
        const CodePoint point = code_point_at(text_, place);
        category = category_bit(point.value);
        length = point.length;
      }
      if (bit + length > size_) {  // begins in the next window
        size_ = bit;
        break;
      }
      const std::uint64_t run = ((std::uint64_t{1} << length) - 1) << bit;
      for (unsigned mask = 0; mask < masks; ++mask)
        if (category & set_of[mask]) mask_[mask] |= run;
      high &= ~run;
    }
    // behind the last but one character of the window a question may need the next one, unless the text ends
    most_before_ = begin_ + size_ == text_.size() ? size_ : size_ > 8 ? size_ - 8 : 1;
  }

  // Sets the bits of ASCII characters; returns those of other bytes.
  std::uint64_t load_ascii(const char* bytes) {
#if defined(__SSE2__)
    std::uint64_t high = 0, any_letter = 0, capital = 0, digit = 0, blank = 0;
    const auto between = [](__m128i value, char first, char last) {  // for bytes below 0x80
      return _mm_and_si128(_mm_cmpgt_epi8(value, _mm_set1_epi8(static_cast<char>(first - 1))),
                           _mm_cmplt_epi8(value, _mm_set1_epi8(static_cast<char>(last + 1))));
    };
    const auto bits = [](__m128i value, int at) { return std::uint64_t{static_cast<std::uint32_t>(_mm_movemask_epi8(value))} << at; };
    for (int at = 0; at < 64; at += 16) {
      const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + at));
      high |= bits(block, at);
      any_letter |= bits(between(_mm_or_si128(block, _mm_set1_epi8(0x20)), 'a', 'z'), at);
      capital |= bits(between(block, 'A', 'Z'), at);
      digit |= bits(between(block, '0', '9'), at);
      blank |= bits(_mm_or_si128(between(block, '\t', '\r'), _mm_cmpeq_epi8(block, _mm_set1_epi8(' '))), at);
    }
    mask_[letters] = any_letter, mask_[numbers] = digit, mask_[spaces] = blank;
    mask_[upper] = capital, mask_[lower] = any_letter & ~capital;
    return high;
#else
    std::uint64_t high = 0;
    for (std::uint64_t& mask : mask_) mask = 0;
    for (unsigned at = 0; at < 64; ++at) {
      const auto byte = static_cast<unsigned char>(bytes[at]);
      const unsigned row = ascii_masks[byte];
      high |= std::uint64_t{byte} >> 7 << at;
      for (unsigned mask = 0; mask < masks; ++mask) mask_[mask] |= std::uint64_t{row >> mask & 1} << at;
    }
    return high;
#endif
  }

  // By byte, one bit a mask; 0 for bytes of longer characters.
  static constexpr auto ascii_masks = [] {
    std::array<unsigned char, 256> rows{};
    for (char32_t c = 0; c < 128; ++c)
      for (unsigned mask = 0; mask < masks; ++mask)
        if (category_bit(c) & set_of[mask]) rows[c] |= static_cast<unsigned char>(1u << mask);
    return rows;
  }();

  std::string_view text_;
  std::size_t begin_ = 0, size_ = 0, most_before_ = 0;  // [begin_, begin_ + size_) of the text
  std::uint64_t mask_[masks] = {};
};

}  // namespace plume::inline PLUME_ABI
