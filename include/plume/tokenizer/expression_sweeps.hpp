#pragma once
// Regular expressions of well-known tokenizers that are neither a scanner of piece_scanner.hpp nor plain alternatives of classes: each is a
// function that reports all matches of a text in one pass. Part of text_pattern.hpp, which compares the spellings.
#include <functional>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/tokenizer/aligned_text.hpp"

namespace plume::inline PLUME_ABI::expression_sweeps {

using Found = std::function<void(Piece)>;
using Sweep = void (*)(std::string_view text, const Found& found);

}  // namespace plume::inline PLUME_ABI::expression_sweeps

#if PLUME_BODIES
#include <algorithm>
#include <iterator>

#include "plume/tokenizer/piece_scanner.hpp"
#include "plume/tokenizer/unicode_normal_forms.hpp"

namespace plume::inline PLUME_ABI::expression_sweeps {

struct Known {
  std::string_view regex;
  Sweep sweep;
};

// \p{Han} [Unicode 16 Scripts.txt].
inline bool is_han(char32_t c) {
  constexpr char32_t ranges[][2] = {{0x2e80, 0x2e99},   {0x2e9b, 0x2ef3},   {0x2f00, 0x2fd5},   {0x3005, 0x3005},   {0x3007, 0x3007},
                                    {0x3021, 0x3029},   {0x3038, 0x303b},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfa6d},
                                    {0xfa70, 0xfad9},   {0x16fe2, 0x16fe3}, {0x16ff0, 0x16ff1}, {0x20000, 0x2a6df}, {0x2a700, 0x2b739},
                                    {0x2b740, 0x2b81d}, {0x2b820, 0x2cea1}, {0x2ceb0, 0x2ebe0}, {0x2ebf0, 0x2ee5d}, {0x2f800, 0x2fa1d},
                                    {0x30000, 0x3134a}, {0x31350, 0x323af}};
  if (c < 0x2e80) return false;
  return std::any_of(std::begin(ranges), std::end(ranges), [c](const auto& range) { return c >= range[0] && c <= range[1]; });
}

// Kimi K2: [\p{Han}]+, then the words of o200k without Han characters, \p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
inline void kimi(std::string_view text, const Found& found) {
  constexpr PieceStyle style{PieceStyle::Contraction::word_end, PieceStyle::Word::cased, PieceStyle::Tail::newlines, 3, true, false};
  constexpr CategorySet letters = category_sets::letter | category_sets::mark, word = letters | category_sets::number;
  const auto han_at = [&](std::size_t at) { return at < text.size() && is_han(code_point_at(text, at).value); };
  std::size_t next_han = 0;
  for (std::size_t at = 0, end = 0; at < text.size(); at = end) {
    std::size_t length = 0, next_length = 0;
    end = at;
    while (han_at(end)) end += code_point_at(text, end).length;
    if (end > at) {
      found({at, end});
      continue;
    }
    for (next_han = std::max(next_han, at); next_han < text.size() && !han_at(next_han);) next_han += code_point_at(text, next_han).length;
    const CategorySet first = piece_scanner::bit_at(text, at, length);
    const std::size_t next = at + length;
    const CategorySet second = next < text.size() ? piece_scanner::bit_at(text, next, next_length) : 0;
    const bool leads = (first & word) == 0 && text[at] != '\n' && text[at] != '\r' && (second & letters) != 0;
    if ((first & letters) != 0 || (leads && next != next_han))
      end = piece_end<style>(text.substr(0, next_han), at);  // a word ends before a Han character
    else
      end = leads ? next : piece_end<style>(text, at);
    found({at, end});
  }
}

// EXAONE MoE: words of letters and marks that go on behind one space, one digit, one [\r\n/] behind symbols, \s*[\r\n]
inline void exaone_moe(std::string_view text, const Found& found) {
  constexpr CategorySet letters = category_sets::letter, numbers = category_sets::number, spaces = category_sets::space,
                        symbols = ~(letters | numbers | spaces);
  const auto bit = [&](std::size_t at, std::size_t& length) { return at < text.size() ? piece_scanner::bit_at(text, at, length) : 0; };
  const auto newline = [&](std::size_t at) { return at < text.size() && (text[at] == '\n' || text[at] == '\r'); };
  const auto piece = [&](std::size_t at) {
    if (const std::size_t size = piece_scanner::contraction<PieceStyle::Contraction::any_case>(text, at); size != 0) return at + size;
    std::size_t length = 0, next_length = 0;
    const CategorySet first = bit(at, length);
    const std::size_t next = at + length;
    const CategorySet second = bit(next, next_length);
    const bool leads = (first & (letters | numbers)) == 0 && !newline(at);
    if ((first & letters) != 0 || (leads && (second & letters) != 0)) {
      std::size_t end = (first & letters) != 0 ? next : next + next_length;
      for (;;) {
        const CategorySet here = bit(end, length);
        if ((here & (letters | category_sets::mark)) != 0)
          end += length;
        else if (end < text.size() && text[end] == ' ' && (bit(end + 1, length) & letters) != 0)
          end += 1 + length;
        else
          return end;
      }
    }
    if ((first & numbers) != 0) return next;
    if ((first & symbols) != 0 || (text[at] == ' ' && (second & symbols) != 0)) {
      const std::size_t end = piece_scanner::skip(text, next, symbols);
      return newline(end) ? end + 1 : end;
    }
    std::size_t end = at, last = at, newline_end = at;
    for (; (bit(end, length) & spaces) != 0; end += length) {
      last = end;
      if (newline(end)) newline_end = end + 1;
    }
    if (newline_end > at) return newline_end;
    return end == text.size() || last == at ? end : last;
  };
  for (std::size_t at = 0, end = 0; at < text.size(); at = end) {
    end = piece(at);
    found({at, end});
  }
}

// Runs of numbers, cut from the right: visit(begin, end, count) for each run of the set.
template <class Visit>
void each_run(std::string_view text, CategorySet set, Visit&& visit) {
  for (std::size_t at = 0, length = 0; at < text.size();) {
    if ((piece_scanner::bit_at(text, at, length) & set) == 0) {
      at += length;
      continue;
    }
    std::size_t end = at, count = 0;
    for (; end < text.size() && (piece_scanner::bit_at(text, end, length) & set) != 0; end += length) ++count;
    visit(at, end, count);
    at = end;
  }
}
// Threes from the right, what is left over first.
inline void threes(std::string_view text, std::size_t begin, std::size_t end, std::size_t count, const Found& found) {
  for (std::size_t take = count % 3 == 0 ? 3 : count % 3; begin < end; take = 3) {
    std::size_t next = begin;
    for (std::size_t i = 0; i < take && next < end; ++i) next += code_point_at(text, next).length;
    found({begin, next});
    begin = next;
  }
}
inline void number_groups(std::string_view text, const Found& found) {
  each_run(text, category_sets::number,
           [&](std::size_t begin, std::size_t end, std::size_t count) { threes(text, begin, end, count, found); });
}
inline void digit_groups_of_words(std::string_view text, const Found& found) {
  each_run(text, category_set(Category::Nd), [&](std::size_t begin, std::size_t end, std::size_t count) {
    if (end < text.size() && in_set(code_point_at(text, end).value, CharacterSet::word)) return;
    threes(text, begin, end, count, found);
  });
}
inline void cuts_before_threes(std::string_view text, const Found& found) {
  each_run(text, category_set(Category::Nd), [&](std::size_t begin, std::size_t end, std::size_t count) {
    threes(text, begin, end, count, [&](Piece group) {
      if (group.begin > begin || count % 3 == 0) found({group.begin, group.begin});
    });
  });
}
// White space up to the end of the text or to a line's.
inline void final_spaces(std::string_view text, const Found& found) {
  each_run(text, category_sets::space, [&](std::size_t begin, std::size_t end, std::size_t) {
    if (end == text.size()) return found({begin, end});
    const std::size_t newline = text.substr(0, end).rfind('\n');
    if (newline != text.npos && newline > begin) found({begin, newline});
  });
}

inline constexpr Known known[] = {
    {R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     kimi},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)",
     exaone_moe},
    {R"(\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N})))", number_groups},
    {R"(\d{1,3}(?=(?:\d{3})*\b))", digit_groups_of_words},
    {R"((?=(\d{3})+(?!\d)))", cuts_before_threes},
    {R"(\s+$)", final_spaces}};

}  // namespace plume::inline PLUME_ABI::expression_sweeps
#endif
