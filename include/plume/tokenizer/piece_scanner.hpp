#pragma once
// Pre-tokenisers of the well-known byte-pair vocabularies: scanners that cut a text into the very pieces that their regular expressions
// match, in linear time and without memory. One scanner with a few options stands for the whole family of expressions; text_pattern.hpp
// lists the spellings. Every malformed byte counts as one symbol, so none is lost.
#include <array>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/tokenizer/character_window.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

// What differs between the expressions:
//
//   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//   o200k   words of upper then lower case, the contraction at their end, "/" behind symbols
struct PieceStyle {
  // ascii_case: as [sS]; any_case and word_end: as (?i:s), which U+017F matches too
  enum class Contraction : std::uint8_t { none, lower_case, ascii_case, any_case, word_end } contraction = Contraction::none;
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
    llama3{any_case, after_any, newlines, 3, true, false}, llama3_ascii{ascii_case, after_any, newlines, 3, true, false},
    qwen2{any_case, after_any, newlines, 1, true, false}, o200k{word_end, cased, newlines_and_slashes, 3, true, false},
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
template <PieceStyle::Contraction rule>
std::size_t contraction(std::string_view text, std::size_t at) {
  using enum PieceStyle::Contraction;
  if (text[at] != '\'' || at + 1 >= text.size()) return 0;
  const auto low = [&](std::size_t i) {
    const char c = i < text.size() ? text[i] : '\0';
    return rule != lower_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char first = low(at + 1), second = low(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
  if ((rule == any_case || rule == word_end) && text.substr(at + 1, 2) == "\xc5\xbf") return 3;  // U+017F folds to s
  return 0;
}

// Characters asked about one by one; CharacterWindow answers the same questions for many at once.
class SingleCharacters {
 public:
  explicit SingleCharacters(std::string_view text) : text_(text) {}
  std::string_view text() const { return text_; }
  void reach(std::size_t) {}
  template <CategorySet set>
  bool is(std::size_t at) const {
    std::size_t length = 0;
    return at < text_.size() && (bit_at(text_, at, length) & set) != 0;
  }
  std::size_t length(std::size_t at) const {
    std::size_t length = 0;
    bit_at(text_, at, length);
    return length;
  }
  template <CategorySet set>
  std::size_t skip(std::size_t at) const {
    return piece_scanner::skip(text_, at, set);
  }

 private:
  std::string_view text_;
};

// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ at `at`, else nothing: `at`. `upper_end`: where the first run ends.
template <class Characters>
std::size_t cased_word(Characters& characters, std::size_t at, std::size_t& upper_end) {
  using namespace category_sets;
  upper_end = characters.template skip<cased_upper>(at);
  const std::size_t lower_end = characters.template skip<cased_lower>(upper_end);
  if (lower_end > upper_end || upper_end == at) return lower_end > upper_end ? lower_end : at;
  std::size_t last_common = at, length = 0;  // the first run gives back what the second needs
  const std::string_view text = characters.text();
  for (std::size_t end = upper_end; end > at && last_common == at;) {
    std::size_t begin = end - 1;  // one character back; a malformed byte is one
    while (begin > at && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
    if (begin + code_point_at(text, begin).length != end) begin = end - 1;
    if (bit_at(text, begin, length) & cased_upper & cased_lower) last_common = end;
    end = begin;
  }
  return last_common;
}

}  // namespace piece_scanner

// Where the piece that starts at `at` ends: at < result <= text.size(). Characters: SingleCharacters, or CharacterWindow where the pieces
// of a text are asked for one after the other.
template <PieceStyle style, class Characters>
std::size_t next_piece_end(Characters& characters, std::size_t at) {
  namespace scan = piece_scanner;
  using Style = PieceStyle;
  using namespace category_sets;
  constexpr CategorySet letters = letter, numbers = number, spaces = space, symbols = ~(letters | numbers | spaces), words = letter | mark;
  const std::string_view text = characters.text();
  if constexpr (style.contraction != Style::Contraction::none && style.contraction != Style::Contraction::word_end)
    if (const std::size_t size = scan::contraction<style.contraction>(text, at); size != 0) return at + size;
  characters.reach(at);
  const std::size_t next = at + characters.length(at);
  const bool newline = text[at] == '\n' || text[at] == '\r';
  if constexpr (style.word == Style::Word::cased) {
    const auto ended = [&](std::size_t end) {
      if (style.contraction != Style::Contraction::word_end || end == text.size()) return end;
      return end + scan::contraction<style.contraction>(text, end);
    };
    const bool may_lead = !newline && !characters.template is<letters | numbers>(at), starts_word = characters.template is<words>(at);
    std::size_t led_upper = next, upper = at;
    if (may_lead && characters.template is<words>(next))
      if (const std::size_t end = scan::cased_word(characters, next, led_upper); end > next) return ended(end);
    if (starts_word) {
      if (const std::size_t end = scan::cased_word(characters, at, upper); end > at) return ended(end);
    }
    if (led_upper > next) return ended(led_upper);
    if (upper > at) return ended(upper);
  } else {
    // a word with or without what leads it: one question, whose answer seldom surprises the processor
    const bool may_lead = style.word == Style::Word::after_any ? !(newline | characters.template is<numbers>(at)) : text[at] == ' ';
    const unsigned here = characters.template is<letters>(at), behind = characters.template is<letters>(next);
    if ((here | (unsigned{may_lead} & behind)) != 0)
      return characters.template skip<letters>(next);
  }
  if constexpr (style.digits == 0) {
    if (characters.template is<numbers>(at) || (text[at] == ' ' && characters.template is<numbers>(next)))
      return characters.template skip<numbers>(next);
  } else if (characters.template is<numbers>(at)) {
    if constexpr (style.digits == Style::any_digits) return characters.template skip<numbers>(next);
    std::size_t end = next;
    for (unsigned count = 1; count < style.digits && characters.template is<numbers>(end); ++count) end += characters.length(end);
    return end;
  }
  if (characters.template is<symbols>(at) || (text[at] == ' ' && characters.template is<symbols>(next))) {
    std::size_t end = characters.template skip<symbols>(next);
    if constexpr (style.tail != Style::Tail::nothing)
      while (end < text.size() &&
             (text[end] == '\n' || text[end] == '\r' || (style.tail == Style::Tail::newlines_and_slashes && text[end] == '/')))
        ++end;
    return end;
  }
  // white space: up to its last line break, or all of it at the end of the text, else all but the last character, which leads what follows
  const std::size_t end = characters.template skip<spaces>(next);
  if (style.keeps_final_space && end == text.size()) return end;
  if constexpr (style.newlines_end_space)
    for (std::size_t newline_end = end; newline_end > at; --newline_end)
      if (text[newline_end - 1] == '\n' || text[newline_end - 1] == '\r') return newline_end;
  if (end == text.size() || end == next) return end;
  std::size_t last = end - 1;  // where the last character begins
  while ((static_cast<unsigned char>(text[last]) & 0xc0) == 0x80) --last;
  return last;
}

// The same for one piece.
template <PieceStyle style>
std::size_t piece_end(std::string_view text, std::size_t at) {
  piece_scanner::SingleCharacters characters(text);
  return next_piece_end<style>(characters, at);
}

}  // namespace plume::inline PLUME_ABI
