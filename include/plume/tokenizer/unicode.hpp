#pragma once
// What the pre-tokenisers ask about a code point: letter, number, white space or something else.
#include <cstddef>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/unicode_table.hpp"

namespace plume::inline PLUME_ABI {

// Unicode's general categories, in the order of unicode_table.hpp; control_space is the part of Cc that is white space.
enum class Category : std::uint8_t {
  Cn,
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Mc,
  Me,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Ps,
  Pe,
  Pi,
  Pf,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Cs,
  Co,
  control_space
};

// Sets of categories, as regular expressions name them.
using CategorySet = std::uint32_t;
template <class... Categories>
constexpr CategorySet category_set(Categories... categories) {
  return ((CategorySet{1} << static_cast<unsigned>(categories)) | ...);
}
namespace category_sets {
using enum Category;
inline constexpr CategorySet letter = category_set(Lu, Ll, Lt, Lm, Lo), mark = category_set(Mn, Mc, Me), number = category_set(Nd, Nl, No),
                             punctuation = category_set(Pc, Pd, Ps, Pe, Pi, Pf, Po), symbol = category_set(Sm, Sc, Sk, So),
                             space = category_set(Zs, Zl, Zp, control_space),  // the property White_Space, what \s means
    cased_upper = category_set(Lu, Lt, Lm, Lo) | mark, cased_lower = category_set(Ll, Lm, Lo) | mark;
}  // namespace category_sets

constexpr Category category_of(char32_t c) {
  if (c >= unicode_table::end) return c >= 0xf0000 && (c & 0xfffe) != 0xfffe ? Category::Co : Category::Cn;
  return static_cast<Category>(unicode_table::category[std::size_t{unicode_table::category_block[c >> 8]} * 256 + (c & 255)] - '`');
}
constexpr CategorySet category_bit(char32_t c) { return CategorySet{1} << static_cast<unsigned>(category_of(c)); }

// letter = \p{L}, number = \p{N}, space = the property White_Space (what \s means in Unicode-aware regular expressions).
enum class CodePointClass : std::uint8_t { other, letter, number, space };

constexpr CodePointClass code_point_class(char32_t c) {
  const CategorySet bit = category_bit(c);
  if (bit & category_sets::letter) return CodePointClass::letter;
  if (bit & category_sets::number) return CodePointClass::number;
  return bit & category_sets::space ? CodePointClass::space : CodePointClass::other;
}

struct CodePoint {
  char32_t value;      // U+FFFD for a byte that starts no well-formed sequence
  std::size_t length;  // bytes, at least 1
};

// The code point at text[at], at < text.size(). A byte that is not part of well-formed UTF-8 counts as one character of its own.
inline CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return char32_t{static_cast<unsigned char>(text[at + i])}; };
  if (byte(0) < 0x80) return {byte(0), 1};
  if (byte(0) >= 0xe1 && byte(0) <= 0xec && text.size() - at >= 3 && (byte(1) & 0xc0) == 0x80 && (byte(2) & 0xc0) == 0x80)
    return {(byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};  // most of what is not ASCII, without a call
  switch (utf8_length(text, at)) {
    case 2:
      return {(byte(0) & 0x1f) << 6 | (byte(1) & 0x3f), 2};
    case 3:
      return {(byte(0) & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
    case 4:
      return {(byte(0) & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
    default:
      return {0xfffd, 1};
  }
}

}  // namespace plume::inline PLUME_ABI
