#pragma once
// Classes of code points as PCRE2 has them: what it knows of a property, and how a set is spelled for it, whichever Unicode it is of.
// Without <pcre2.h> this header is empty.
#if __has_include(<pcre2.h>)
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#if defined(PCRE2_CODE_UNIT_WIDTH)
#include <pcre2.h>
#else
#define PCRE2_CODE_UNIT_WIDTH 0  // functions are called by their full names
#include <pcre2.h>
#undef PCRE2_CODE_UNIT_WIDTH
#endif

#include "plume/base/config.hpp"
#include "plume/base/text.hpp"
#include "plume/tokenizer/code_point_set.hpp"

namespace plume::inline PLUME_ABI {

class Pcre2Classes {
 public:
  // The categories that \p{name} names, of plume's tables; none when it names something else.
  static CategorySet categories(std::string_view name) {
    constexpr std::string_view names[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
                                          "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
    CategorySet set = 0;
    for (std::size_t i = 0; i < std::size(names); ++i)
      if (names[i].starts_with(name)) set |= CategorySet{1} << i;
    return (set & category_set(Category::Cc)) != 0 ? set | category_set(Category::control_space) : set;
  }
  // The code points before unicode_table::end that PCRE2 matches with \p{name}; null when it knows no such property.
  const CodePointSet* property(const std::string& name) {
    const auto found = known_.find(name);
    if (found != known_.end()) return &found->second;
    std::optional<CodePointSet> set = matched(name);
    return set ? &known_.emplace(name, std::move(*set)).first->second : nullptr;
  }
  // One character of the set, or of all others when it is negated, as an expression. Where case is ignored PCRE2 adds what folds to the
  // set's own, but not to what a property has: what Oniguruma adds to all of them.
  const std::string& spelled(const CodePointSet& set, bool negated, bool ignores_case) {
    std::string& out = spelled_[{set.ranges(), negated, ignores_case}];
    if (out.empty()) out = spell(set, negated, ignores_case);
    return out;
  }
  // One code point.
  static void append(std::string& out, char32_t c) {
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) return out.push_back(static_cast<char>(c));
    char digits[8];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, static_cast<std::uint32_t>(c), 16);
    out.append(concat("\\x{", std::string_view(digits, static_cast<std::size_t>(end - digits)), '}'));
  }
  std::size_t spelled_so_far() const { return spelled_.size(); }
  const CodePointSet& of(CategorySet categories) {
    CodePointSet& set = sets_[categories];
    if (set.empty()) set = CodePointSet::of(categories);
    return set;
  }

 private:
  std::string spell(const CodePointSet& set, bool negated, bool ignores_case) {
    if (set.contains(CodePointSet::last) && !ignores_case) return spell(~set, !negated, false);
    if (set.empty()) return negated ? "(?s:.)" : "(?!)";
    std::string out = negated ? "[^" : "[";
    CodePointSet rest = set;
    const CodePointSet others = ~set;
    const auto take = [&](const std::string& name, const CodePointSet& all) {
      if ((rest & all).empty() || !(all & others).empty()) return;
      out.append(concat("\\p{", name, '}'));
      rest = rest & ~all;
      if (ignores_case && name == "L") out.append("\\x{3b9}");  // U+03B9 and U+0345, a mark, fold to each other
      if (ignores_case && name.starts_with('M')) out.append("\\x{345}");
    };
    if (!ignores_case)
      for (const auto& [name, all] : known_)
        if (name.size() > 2) take(name, all);
    CategorySet lacking = 0;  // the categories that are not in the set as a whole
    for (const auto& [first, end] : others.ranges())
      for (char32_t c = first; c <= end; c = CodePointSet::alike(c) + 1) lacking |= category_bit(c);
    for (const char* const name : {"L",  "M",  "N",  "P",  "S",  "Z",  "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                   "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Cf"}) {
      const bool folds =
          ignores_case && (name == std::string_view("Lu") || name == std::string_view("Ll") || name == std::string_view("Lt"));
      if (!folds && (categories(name) & lacking) == 0)
        if (const CodePointSet* const all = property(name)) take(name, *all);
    }
    for (auto [first, end] : rest.ranges()) {
      if (first >= 0xd800 && first <= 0xdfff) first = 0xe000;  // no text holds these
      if (end >= 0xd800 && end <= 0xdfff) end = 0xd7ff;
      if (first > end) continue;
      append(out, first);
      if (end == first) continue;
      if (end - first > 1) out.push_back('-');
      append(out, end);
    }
    return out + ']';
  }
  std::optional<CodePointSet> matched(const std::string& name) {
    if (all_.empty())  // what lies between is unassigned, what lies behind is for private use
      for (char32_t c = 0; c < unicode_table::end; c = c == 0xd7ff ? 0xe000 : c == 0x3ffff ? 0xe0000 : c + 1) append_utf8(all_, c);
    const std::string regex = concat("\\p{", name, "}+");
    int error = 0;
    PCRE2_SIZE offset = 0;
    const auto free_code = [](pcre2_code_8* code) { pcre2_code_free_8(code); };
    const std::unique_ptr<pcre2_code_8, decltype(free_code)> code(
        pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(regex.data()), regex.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &error,
                        &offset, nullptr),
        free_code);
    const auto free_data = [](pcre2_match_data_8* data) { pcre2_match_data_free_8(data); };
    const std::unique_ptr<pcre2_match_data_8, decltype(free_data)> data(pcre2_match_data_create_8(1, nullptr), free_data);
    if (!code || !data) return std::nullopt;
    pcre2_jit_compile_8(code.get(), PCRE2_JIT_COMPLETE);
    std::vector<CodePointSet::Range> ranges;
    const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer_8(data.get());
    for (std::size_t at = 0; pcre2_match_8(code.get(), reinterpret_cast<PCRE2_SPTR8>(all_.data()), all_.size(), at, PCRE2_NO_UTF_CHECK,
                                           data.get(), nullptr) > 0;
         at = ends[1]) {
      std::size_t before = ends[1] - 1;
      while ((static_cast<unsigned char>(all_[before]) & 0xc0) == 0x80) --before;
      ranges.emplace_back(code_point_at(all_, ends[0]).value, code_point_at(all_, before).value);
    }
    return CodePointSet(std::move(ranges));
  }

  std::string all_;  // every code point that has a meaning
  std::map<std::string, CodePointSet, std::less<>> known_;
  std::map<CategorySet, CodePointSet> sets_;
  std::map<std::tuple<std::vector<CodePointSet::Range>, bool, bool>, std::string> spelled_;
};

}  // namespace plume::inline PLUME_ABI
#endif
