#pragma once
// The categories of up to 64 bytes of text at once, one bit a byte, so that where a run of letters ends is found by counting zeros
// [the masks of Langdale & Lemire 2019, "Parsing gigabytes of JSON per second"].
#include <algorithm>
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

  // A window that begins at `at`, as masks: bit i stands for the byte at + i, and all bytes of a character are alike.
  enum Mask : unsigned { letters, numbers, spaces, upper, lower, masks };
  struct View {
    const std::array<std::uint64_t, masks>& mask;
    std::uint64_t valid;       // bytes of whole characters
    std::uint64_t continuing;  // bytes behind the first one of a character
    std::uint64_t marks;
    std::uint64_t irregular;  // spaces and numbers of several bytes, and bytes that are no character
    const char* bytes;        // 64 of them, zeros behind the end of the text
  };
  View view(std::size_t at) {  // good until the next question
    load(at);
    return {mask_, size_ == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << size_) - 1, continuing_, marks_, irregular_, bytes_};
  }

 private:
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
    bytes_ = text_.data() + at;
    if (size_ < 64) {
      padded_.fill(0);
      std::memcpy(padded_.data(), bytes_, size_);
      bytes_ = padded_.data();
    }
    marks_ = irregular_ = 0;
    if (std::uint64_t high = load_ascii(bytes_); high != 0) {
      high = load_ideographs(bytes_, high);
      load_others(high);
    }
    // behind the last but one character of the window a question may need the next one, unless the text ends
    most_before_ = begin_ + size_ == text_.size() ? size_ : size_ > 8 ? size_ - 8 : 1;
  }

  // Characters of several bytes, one by one.
  void load_others(std::uint64_t high) {
    while (high != 0) {
      const auto bit = static_cast<unsigned>(std::countr_zero(high));
      const CodePoint point = code_point_at(text_, begin_ + bit);
      if (bit + point.length > size_) {  // begins in the next window
        size_ = bit;
        break;
      }
      const CategorySet category = category_bit(point.value);
      const std::uint64_t run = ((std::uint64_t{1} << point.length) - 1) << bit;
      for (unsigned mask = 0; mask < masks; ++mask)
        if (category & set_of[mask]) mask_[mask] |= run;
      if (category & category_sets::mark) marks_ |= run;
      if (point.length == 1 || (category & (category_sets::space | category_sets::number)) != 0) irregular_ |= run;
      high &= ~run;
    }
  }

  // The letters U+5000 to U+9FFF whose three bytes are in the window; returns what is left of `high`.
  std::uint64_t load_ideographs(const char* bytes, std::uint64_t high) {
    std::uint64_t leading = 0;  // E5 to E9
#if defined(__SSE2__)
    for (int at = 0; at < 64; at += 16) {
      const __m128i block = load_block(bytes + at);
      leading |= bits_of(between(block, '\xe5', '\xe9'), at);
      continuing_ |= bits_of(_mm_cmplt_epi8(block, _mm_set1_epi8('\xc0')), at);
    }
#else
    for (unsigned at = 0; at < 64; ++at) {
      const auto byte = static_cast<unsigned char>(bytes[at]);
      leading |= std::uint64_t{byte >= 0xe5 && byte <= 0xe9} << at;
      continuing_ |= std::uint64_t{(byte & 0xc0) == 0x80} << at;
    }
#endif
    const std::uint64_t first = leading & continuing_ >> 1 & continuing_ >> 2, all = first | first << 1 | first << 2;
    for (const Mask mask : {letters, upper, lower}) mask_[mask] |= all;
    return high & ~all;
  }

#if defined(__SSE2__)
  static __m128i load_block(const char* bytes) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)); }
  static __m128i between(__m128i value, char first, char last) {  // both below 0x80, or both not
    return _mm_and_si128(_mm_cmpgt_epi8(value, _mm_set1_epi8(static_cast<char>(first - 1))),
                         _mm_cmplt_epi8(value, _mm_set1_epi8(static_cast<char>(last + 1))));
  }
  static std::uint64_t bits_of(__m128i value, int at) { return std::uint64_t{static_cast<std::uint32_t>(_mm_movemask_epi8(value))} << at; }
#endif

  // Sets the bits of ASCII characters; returns those of other bytes.
  std::uint64_t load_ascii(const char* bytes) {
    continuing_ = 0;
#if defined(__SSE2__)
    std::uint64_t high = 0, any_letter = 0, capital = 0, digit = 0, blank = 0;
    for (int at = 0; at < 64; at += 16) {
      const __m128i block = load_block(bytes + at);
      high |= bits_of(block, at);
      any_letter |= bits_of(between(_mm_or_si128(block, _mm_set1_epi8(0x20)), 'a', 'z'), at);
      capital |= bits_of(between(block, 'A', 'Z'), at);
      digit |= bits_of(between(block, '0', '9'), at);
      blank |= bits_of(_mm_or_si128(between(block, '\t', '\r'), _mm_cmpeq_epi8(block, _mm_set1_epi8(' '))), at);
    }
    mask_ = {any_letter, digit, blank, capital, any_letter & ~capital};
    return high;
#else
    std::uint64_t high = 0;
    mask_ = {};
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
  const char* bytes_ = nullptr;
  std::array<char, 64> padded_;
  std::array<std::uint64_t, masks> mask_ = {};
  std::uint64_t continuing_ = 0, marks_ = 0, irregular_ = 0;
};

}  // namespace plume::inline PLUME_ABI
