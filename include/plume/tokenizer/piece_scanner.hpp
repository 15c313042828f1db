#pragma once
// Pre-tokenisers of the well-known byte-pair vocabularies: scanners that cut a text into the very pieces that their regular expressions
// match, in linear time and without memory. One scanner with a few options stands for the whole family of expressions; text_pattern.hpp
// lists the spellings. Every malformed byte counts as one symbol, so none is lost.
#include <array>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

// What differs between the expressions:
//
//   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//   o200k   words of upper then lower case, the contraction at their end, "/" behind symbols
struct PieceStyle {
  enum class Contraction : std::uint8_t { none, lower_case, any_case, word_end } contraction = Contraction::none;
  enum class Word : std::uint8_t { after_space, after_any, cased } word = Word::after_space;
  enum class Tail : std::uint8_t { nothing, newlines, newlines_and_slashes } tail = Tail::nothing;  // of a run of symbols
  std::uint8_t digits = 0;          // most in one piece; 0: any number, perhaps after a space; any_digits: any number
  bool newlines_end_space = false;  // \s*[\r\n]+
  bool keeps_final_space = false;   // \s++$ comes first: white space at the end of the text is one piece
  static constexpr std::uint8_t any_digits = 255;
  bool operator==(const PieceStyle&) const = default;
};

namespace piece_styles {
using enum PieceStyle::Contraction;
using enum PieceStyle::Word;
using enum PieceStyle::Tail;
inline constexpr PieceStyle gpt2{.contraction = lower_case}, cl100k{any_case, after_any, newlines, 3, true, true},
    cl100k_any_digits{any_case, after_any, newlines, PieceStyle::any_digits, true, true},
    llama3{any_case, after_any, newlines, 3, true, false}, qwen2{any_case, after_any, newlines, 1, true, false},
    o200k{word_end, cased, newlines_and_slashes, 3, true, false},
    o200k_single_digits{word_end, cased, newlines_and_slashes, 1, true, false},
    tekken{PieceStyle::Contraction::none, cased, newlines_and_slashes, 1, true, false};
}  // namespace piece_styles

namespace piece_scanner {

inline constexpr std::array<CategorySet, 128> ascii_bits = [] {
  std::array<CategorySet, 128> bits{};
  for (char32_t c = 0; c < 128; ++c) bits[c] = category_bit(c);
  return bits;
}();

// The category of the character at `at` (as a set of one) and its length.
inline CategorySet bit_at(std::string_view text, std::size_t at, std::size_t& length) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) [[likely]] {
    length = 1;
    return ascii_bits[byte];
  }
  const CodePoint point = code_point_at(text, at);
  length = point.length;
  return category_bit(point.value);
}

inline std::size_t skip(std::string_view text, std::size_t at, CategorySet set) {
  for (std::size_t length = 0; at < text.size() && (bit_at(text, at, length) & set) != 0;) at += length;
  return at;
}

// Bytes of 's 't 're 've 'm 'll 'd at `at`; 0 when there is none.
template <bool any_case>
std::size_t contraction(std::string_view text, std::size_t at) {
  if (text[at] != '\'' || at + 1 >= text.size()) return 0;
  const auto low = [&](std::size_t i) {
    const char c = i < text.size() ? text[i] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char first = low(at + 1), second = low(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
  if (any_case && text.substr(at + 1, 2) == "\xc5\xbf") return 3;  // U+017F folds to s
  return 0;
}

// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ at `at`, else nothing: `at`. `upper_end`: where the first run ends.
inline std::size_t cased_word(std::string_view text, std::size_t at, std::size_t& upper_end) {
  using enum Category;
  constexpr CategorySet common = category_set(Lm, Lo) | category_sets::mark, upper = category_set(Lu, Lt) | common,
                        lower = category_set(Ll) | common;
  std::size_t end = at, last_common = at, length = 0;
  for (CategorySet bit = 0; end < text.size() && ((bit = bit_at(text, end, length)) & upper) != 0;) {
    end += length;
    if (bit & common) last_common = end;
  }
  upper_end = end;
  const std::size_t lower_end = skip(text, end, lower);
  return lower_end > end ? lower_end : last_common;
}

}  // namespace piece_scanner

// Where the piece that starts at `at` ends: at < result <= text.size().
template <PieceStyle style>
std::size_t piece_end(std::string_view text, std::size_t at) {
  namespace scan = piece_scanner;
  using Style = PieceStyle;
  constexpr CategorySet letters = category_sets::letter, numbers = category_sets::number, spaces = category_sets::space,
                        symbols = ~(letters | numbers | spaces);
  if constexpr (style.contraction == Style::Contraction::lower_case || style.contraction == Style::Contraction::any_case)
    if (const std::size_t size = scan::contraction<style.contraction == Style::Contraction::any_case>(text, at); size != 0)
      return at + size;
  std::size_t length = 0, next_length = 0;
  const CategorySet first = scan::bit_at(text, at, length);
  const std::size_t next = at + length;
  const CategorySet second = next < text.size() ? scan::bit_at(text, next, next_length) : 0;
  const bool newline = text[at] == '\n' || text[at] == '\r';
  if constexpr (style.word == Style::Word::cased) {
    const auto ended = [&](std::size_t end) {
      if (style.contraction != Style::Contraction::word_end || end == text.size()) return end;
      return end + scan::contraction<true>(text, end);
    };
    const bool may_lead = !newline && (first & (letters | numbers)) == 0;
    std::size_t led_upper = next, upper = at;
    if (may_lead && next < text.size() && (second & (letters | category_sets::mark)) != 0)
      if (const std::size_t end = scan::cased_word(text, next, led_upper); end > next) return ended(end);
    if ((first & (letters | category_sets::mark)) != 0) {
      if (const std::size_t end = scan::cased_word(text, at, upper); end > at) return ended(end);
    }
    if (led_upper > next) return ended(led_upper);
    if (upper > at) return ended(upper);
  } else {
    if (first & letters) return scan::skip(text, next, letters);
    const bool may_lead = style.word == Style::Word::after_any ? !newline && (first & numbers) == 0 : text[at] == ' ';
    if (may_lead && (second & letters) != 0) return scan::skip(text, next + next_length, letters);
  }
  if constexpr (style.digits == 0) {
    if (first & numbers) return scan::skip(text, next, numbers);
    if (text[at] == ' ' && (second & numbers) != 0) return scan::skip(text, next + next_length, numbers);
  } else if (first & numbers) {
    if constexpr (style.digits == Style::any_digits) return scan::skip(text, next, numbers);
    std::size_t end = next;
    for (unsigned count = 1; count < style.digits && end < text.size() && (scan::bit_at(text, end, length) & numbers) != 0; ++count)
      end += length;
    return end;
  }
  if ((first & symbols) != 0 || (text[at] == ' ' && (second & symbols) != 0)) {
    std::size_t end = scan::skip(text, next, symbols);
    if constexpr (style.tail != Style::Tail::nothing)
      while (end < text.size() &&
             (text[end] == '\n' || text[end] == '\r' || (style.tail == Style::Tail::newlines_and_slashes && text[end] == '/')))
        ++end;
    return end;
  }
  // white space: up to its last line break, or all of it at the end of the text, else all but the last character, which leads what follows
  std::size_t last = at, end = at, newline_end = at;
  for (; end < text.size() && (scan::bit_at(text, end, length) & spaces) != 0; end += length) {
    last = end;
    if (style.newlines_end_space && (text[end] == '\n' || text[end] == '\r')) newline_end = end + 1;
  }
  if (style.keeps_final_space && end == text.size()) return end;
  if (newline_end > at) return newline_end;
  return end == text.size() || last == at ? end : last;
}

}  // namespace plume::inline PLUME_ABI
