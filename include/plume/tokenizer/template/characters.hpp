#pragma once
// What Python's str knows about characters: white space, case, lines, what repr() escapes; and how it writes floats. CPython 3.11.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/unicode.hpp"

#if PLUME_BODIES
#include "plume/tokenizer/template/case_table.hpp"

namespace plume::inline PLUME_ABI::jinja {

// Where the character that ends at `end` begins; end > 0.
inline std::size_t character_before(std::string_view text, std::size_t end) {
  for (std::size_t length = 1; length <= 4 && length <= end; ++length)
    if (utf8_length(text, end - length) == length) return end - length;
  return end - 1;
}

inline bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

inline std::size_t count_characters(std::string_view text) {
  return text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), continues_character));
}

inline bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

inline std::size_t strip_begin(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const CodePoint c = code_point_at(text, at);
    if (!is_space(c.value)) break;
    at += c.length;
  }
  return at;
}
inline std::size_t strip_end(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t before = character_before(text, end);
    if (!is_space(code_point_at(text, before).value)) break;
    end = before;
  }
  return end;
}

// Bytes of the line end at text[at], as str.splitlines has them; 0 for none.
inline std::size_t line_end_at(std::string_view text, std::size_t at) {
  const CodePoint c = code_point_at(text, at);
  if (c.value == '\r') return at + 1 < text.size() && text[at + 1] == '\n' ? 2 : 1;
  const bool ends =
      (c.value >= 10 && c.value <= 12) || (c.value >= 0x1c && c.value <= 0x1e) || c.value == 0x85 || c.value == 0x2028 || c.value == 0x2029;
  return ends ? c.length : 0;
}

template <std::size_t N>
bool in_ranges(const case_table::Range (&ranges)[N], char32_t c) {
  const auto* found = std::lower_bound(ranges, ranges + N, c, [](const case_table::Range& a, char32_t b) { return a.last < b; });
  return found != ranges + N && c >= found->first;
}
template <std::size_t Runs, std::size_t Full>
void append_mapped(std::string& out, const case_table::Run (&runs)[Runs], const case_table::FullMapping (&full)[Full], char32_t c) {
  const auto* whole = std::lower_bound(full, full + Full, c, [](const case_table::FullMapping& a, char32_t b) { return a.from < b; });
  if (whole != full + Full && whole->from == c) {
    out.append(whole->to);
    return;
  }
  const auto* run = std::lower_bound(runs, runs + Runs, c, [](const case_table::Run& a, char32_t b) { return a.last < b; });
  const bool mapped = run != runs + Runs && c >= run->first && (c - run->first) % static_cast<char32_t>(run->stride) == 0;
  append_utf8(out, mapped ? static_cast<char32_t>(static_cast<std::int64_t>(c) + run->delta) : c);
}

inline bool is_cased(char32_t c) { return in_ranges(case_table::cased, c); }

inline void append_upper(std::string& out, char32_t c) { append_mapped(out, case_table::to_upper, case_table::to_upper_full, c); }
inline void append_title(std::string& out, char32_t c) {
  const auto& table = case_table::to_title;
  const auto* found =
      std::lower_bound(std::begin(table), std::end(table), c, [](const case_table::FullMapping& a, char32_t b) { return a.from < b; });
  if (found != std::end(table) && found->from == c)
    out.append(found->to);
  else
    append_upper(out, c);
}
// The lower case of the character at text[at]: a capital sigma depends on its neighbours.
inline void append_lower(std::string& out, std::string_view text, std::size_t at) {
  const CodePoint c = code_point_at(text, at);
  if (c.value != 0x3a3) return append_mapped(out, case_table::to_lower, case_table::to_lower_full, c.value);
  const auto cased_neighbour = [&](auto next) {
    while (const std::optional<std::size_t> place = next()) {
      const char32_t near = code_point_at(text, *place).value;
      if (!in_ranges(case_table::case_ignorable, near)) return is_cased(near);
    }
    return false;
  };
  std::size_t before = at, after = at + c.length;
  const bool follows = cased_neighbour([&]() -> std::optional<std::size_t> {
    if (before == 0) return std::nullopt;
    return before = character_before(text, before);
  });
  const bool precedes = cased_neighbour([&]() -> std::optional<std::size_t> {
    if (after >= text.size()) return std::nullopt;
    const std::size_t place = after;
    after += code_point_at(text, place).length;
    return place;
  });
  append_utf8(out, follows && !precedes ? 0x3c2 : 0x3c3);
}

// repr() of a str.
inline void append_python_text(std::string& out, std::string_view text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  const auto hex = [&](char32_t value, int digits) {
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[(value >> shift) & 15]);
  };
  out.push_back(quote);
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if (c.value == static_cast<unsigned char>(quote) || c.value == '\\') {
      out.push_back('\\');
      out.push_back(text[at]);
    } else if (c.value == '\n' || c.value == '\r' || c.value == '\t') {
      out.append(c.value == '\n' ? "\\n" : c.value == '\r' ? "\\r" : "\\t");
    } else if (c.value >= 0x20 && !in_ranges(case_table::unprintable, c.value)) {
      out.append(text.substr(at, c.length));
    } else if (c.value < 0x100) {
      out.append("\\x");
      hex(c.value, 2);
    } else {
      out.append(c.value < 0x10000 ? "\\u" : "\\U");
      hex(c.value, c.value < 0x10000 ? 4 : 8);
    }
    at += c.length;
  }
  out.push_back(quote);
}

// repr() of a float.
inline std::string python_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto scientific = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string text(buffer, scientific.ptr);  // d.ddde±xx
  const std::size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16) return text;
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  text.assign(buffer, fixed.ptr);
  if (text.find('.') == text.npos) text.append(".0");
  return text;
}

}  // namespace plume::inline PLUME_ABI::jinja
#endif
