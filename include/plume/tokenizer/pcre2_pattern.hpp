#pragma once
// Regular expressions that plume does not know itself, by PCRE2 (optional: Debian libpcre2-dev; link -lpcre2-8):
//
//   Tokenizer tokenizer = load_tokenizer("path/to/model", {.expressions = pcre2_expressions});
//
// tokenizer.json writes expressions for Oniguruma. What PCRE2 would read in another way is rewritten ($ and ^ at lines, \w \b \s \h, (?m),
// a{1,3}+, classes inside classes and their intersections), or refused by name. Categories are those of plume's Unicode tables: what an
// older PCRE2 does not know is added to its classes. Scripts are PCRE2's, and no case folds into two characters (U+00DF is not ss). Without
// <pcre2.h> this header is empty.
#if __has_include(<pcre2.h>)
#include <algorithm>
#include <charconv>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
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
#include "plume/base/error.hpp"
#include "plume/base/text.hpp"
#include "plume/tokenizer/text_pattern.hpp"

namespace plume::inline PLUME_ABI {

// The code points that plume's tables know and this PCRE2 calls unassigned, each with its category.
inline std::vector<std::pair<char32_t, Category>> unknown_to_pcre2() {
  std::string text;
  std::vector<char32_t> points;
  for (char32_t c = 0; c < unicode_table::end; ++c) {
    const Category category = category_of(c);
    if (category == Category::Cn || category == Category::Cs) continue;
    points.push_back(c);
    append_utf8(text, c);
  }
  std::vector<std::pair<char32_t, Category>> unknown;
  int error = 0;
  PCRE2_SIZE offset = 0;
  const auto free_code = [](pcre2_code_8* code) { pcre2_code_free_8(code); };
  const std::unique_ptr<pcre2_code_8, decltype(free_code)> code(
      pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>("\\p{Cn}+"), 7, PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &error, &offset, nullptr),
      free_code);
  const auto free_data = [](pcre2_match_data_8* data) { pcre2_match_data_free_8(data); };
  const std::unique_ptr<pcre2_match_data_8, decltype(free_data)> data(pcre2_match_data_create_8(1, nullptr), free_data);
  if (!code || !data) return unknown;
  std::size_t at = 0, point = 0;
  while (pcre2_match_8(code.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()), text.size(), at, PCRE2_NO_UTF_CHECK, data.get(), nullptr) >
         0) {
    const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer_8(data.get());
    for (; at < ends[1]; at += code_point_at(text, at).length, ++point)
      if (at >= ends[0]) unknown.emplace_back(points[point], category_of(points[point]));
  }
  return unknown;
}

// An expression as Oniguruma reads it [kkos/oniguruma doc/RE], spelled for PCRE2.
class OnigurumaToPcre2 {
 public:
  OnigurumaToPcre2(std::string_view regex, const Where& where) : text_(regex), where_(where) {}

  std::string result() {
    while (at_ < text_.size()) step();
    return std::move(out_);
  }

 private:
  // What follows a class's own categories: code points of these categories that this PCRE2 does not know.
  std::string newer(CategorySet set) {
    if (!asked_) unknown_ = unknown_to_pcre2();
    asked_ = true;
    std::string out;
    const auto hexadecimal = [&](char32_t c) {
      char digits[8];
      const auto [end, error] = std::to_chars(digits, digits + sizeof digits, static_cast<std::uint32_t>(c), 16);
      out.append(concat("\\x{", std::string_view(digits, static_cast<std::size_t>(end - digits)), '}'));
    };
    for (std::size_t i = 0, end = 0; i < unknown_.size(); i = end) {
      for (end = i; end < unknown_.size() && unknown_[end].first == unknown_[i].first + (end - i) &&
                    (CategorySet{1} << static_cast<unsigned>(unknown_[end].second) & set) != 0;)
        ++end;
      if (end == i) {
        ++end;
        continue;
      }
      hexadecimal(unknown_[i].first);
      if (end - i > 1) out.push_back('-'), hexadecimal(unknown_[end - 1].first);
    }
    return out;
  }
  static CategorySet categories(std::string_view name) {
    constexpr std::string_view names[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd",
                                          "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf"};
    CategorySet set = 0;
    for (std::size_t i = 1; i < std::size(names); ++i)
      if (names[i].starts_with(name)) set |= CategorySet{1} << i;
    if (name == "Alphabetic") set = category_sets::letter | category_set(Category::Nl);
    return set;
  }
  std::string words(bool alone) {
    return concat(alone ? word : class_word,
                  newer(category_sets::letter | category_sets::mark | category_set(Category::Nd, Category::Pc, Category::Nl)));
  }

  // What \w is to Oniguruma: letters, marks, decimal digits, connectors, letter numbers, the rest of Alphabetic, and outside a class six
  // characters of Latin-1.
  static constexpr std::string_view class_word =
      "\\p{L}\\p{M}\\p{Nd}\\p{Pc}\\p{Nl}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";
  static constexpr std::string_view word =
      "\\p{L}\\p{M}\\p{Nd}\\p{Pc}\\p{Nl}\\xb2\\xb3\\xb9\\xbc-\\xbe\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}"
      "\\x{1f170}-\\x{1f189}";
  static constexpr std::string_view space = "\\t-\\r \\x85\\p{Z}";

  [[noreturn]] void refuse(std::size_t at, std::string_view construct) const {
    throw ConfigError(where_, concat("the regular expression ", quoted(text_), " uses ", construct, " at byte ", at,
                                     ", which PCRE2 reads otherwise than Oniguruma; plume does not rewrite it"));
  }
  bool starts(std::string_view with) const { return text_.substr(at_).starts_with(with); }
  void copy(std::size_t count) {
    out_.append(text_.substr(at_, count));
    at_ += std::min(count, text_.size() - at_);
  }
  void replace(std::size_t count, std::string_view with) {
    out_.append(with);
    at_ += count;
  }

  void step() {
    const char c = text_[at_];
    if (c == '{') return interval();
    if (c == ')' && !groups_.empty()) {
      atom_ = groups_.back();
      groups_.pop_back();
      return copy(1);
    }
    if (c != '*' && c != '+' && c != '?') atom_ = out_.size();
    if (c == '(') groups_.push_back(out_.size());
    if (c == '\\') return escape();
    if (c == '[') return read_class();
    if (starts("(?")) return group();
    copy(1);
  }
  // The name in \p{name} as PCRE2 knows it: scripts are scripts without their extensions.
  std::string property(std::size_t at, std::string_view name) const {
    constexpr std::pair<std::string_view, std::string_view> names[] = {
        {"Letter", "L"}, {"Mark", "M"},      {"Number", "N"},         {"Punctuation", "P"}, {"Symbol", "S"},   {"Separator", "Z"},
        {"Other", "C"},  {"Alphabetic", ""}, {"Alpha", "Alphabetic"}, {"Uppercase", ""},    {"Lowercase", ""}, {"Digit", "Nd"}};
    std::string_view caret;
    if (name.starts_with('^')) caret = "^", name.remove_prefix(1);
    if (name.size() <= 2) return concat(caret, name);
    for (const auto& [known, same] : names)
      if (name == known) return concat(caret, same.empty() ? known : same);
    for (const std::string_view other :
         {"Alnum", "Blank", "Cntrl", "Graph", "Lower", "Print", "Punct", "Space", "Upper", "XDigit", "Word", "ASCII", "Any", "Assigned"})
      if (name == other) refuse(at, concat("\\p{", name, '}'));
    return concat(caret, "sc:", name);
  }
  // \p{...} or \P{...} at at_.
  std::string read_property(bool alone) {
    const std::size_t begin = at_, open = at_ + 2, close = text_.find('}', at_);
    if (open >= text_.size() || text_[open] != '{' || close == text_.npos) {
      at_ += 2;
      return std::string(text_.substr(begin, 2));  // \pL, or an error of PCRE2's
    }
    at_ = close + 1;
    const std::string name = property(begin, text_.substr(open + 1, close - open - 1));
    const std::string known = concat(text_.substr(begin, 3), name, '}');
    if (text_[begin + 1] == 'P' && alone) return concat("[^\\p{", name, '}', newer(categories(name)), ']');
    if (text_[begin + 1] == 'P' || name.starts_with('^')) return known;
    const std::string more = newer(categories(name));
    return alone && !more.empty() ? concat('[', known, more, ']') : concat(known, more);
  }
  void escape() {
    switch (at_ + 1 < text_.size() ? text_[at_ + 1] : '\0') {
      case 'w':
        return replace(2, concat('[', words(true), ']'));
      case 'W':
        return replace(2, concat("[^", words(true), ']'));
      case 's':
        return replace(2, concat('[', space, ']'));
      case 'S':
        return replace(2, concat("[^", space, ']'));
      case 'h':
        return replace(2, "[0-9a-fA-F]");
      case 'H':
        return replace(2, "[^0-9a-fA-F]");
      case 'v':
        return replace(2, "\\x0b");
      case 'O':
        return replace(2, "(?s:.)");
      case 'b':
        return replace(2, boundary("!", "="));
      case 'B':
        return replace(2, boundary("=", "!"));
      case 'y':
      case 'Y':
        refuse(at_, "a text segment boundary");
      case 'p':
      case 'P':
        out_.append(read_property(true));
        return;
      default:
        copy(2);
    }
  }
  // Between two characters of which, behind a word's, the second is none of a word's (!) or one (=), and the other way round.
  std::string boundary(std::string_view after_word, std::string_view after_other) {
    const std::string all = words(true);
    return concat("(?:(?<=[", all, "])(?", after_word, '[', all, "])|(?<![", all, "])(?", after_other, '[', all, "]))");
  }
  void interval() {  // {,n} is {0,n}; {1,3}+ repeats, as {2}? does
    const std::size_t begin = at_;
    std::size_t end = at_ + 1;
    while (end < text_.size() && ((text_[end] >= '0' && text_[end] <= '9') || text_[end] == ',')) ++end;
    if (end == text_.size() || text_[end] != '}' || end == at_ + 1) return copy(1);
    std::string inside(text_.substr(at_ + 1, end - at_ - 1));
    if (inside.starts_with(',')) inside.insert(0, "0");
    at_ = end + 1;
    out_.append(concat('{', inside, '}'));
    if (at_ == text_.size()) return;
    if (text_[at_] == '+') {
      out_.insert(atom_, "(?:");
      return replace(1, "){1,}");
    }
    if (text_[at_] == '?' && inside.find(',') == inside.npos) refuse(begin, "{n}?");
  }
  void group() {
    std::size_t end = at_ + 2;
    bool dots = false;
    while (end < text_.size() && (text_[end] == 'i' || text_[end] == 'x' || text_[end] == 'm' || text_[end] == '-'))
      dots |= text_[end++] == 'm';
    if (end < text_.size() && (text_[end] == ')' || text_[end] == ':') && end > at_ + 2) {  // (?m) lets a dot match line breaks
      for (std::size_t i = at_; i <= end; ++i) out_.push_back(text_[i] == 'm' && dots ? 's' : text_[i]);
      at_ = end + 1;
      return;
    }
    if (end < text_.size() && text_[end] == 's') refuse(at_, "the option s");
    if (end < text_.size() && text_[end] == '~') refuse(at_, "an absent operator");
    copy(2);
  }

  // One [...] with the classes inside it; PCRE2 has no nested ones. (?:(?=[b])[a]) is a && b.
  void read_class() {
    const std::size_t begin = at_;
    std::vector<std::string> sides;
    const bool negated = class_sides(sides);
    if (sides.size() == 1) {
      out_.append(concat(negated ? "[^" : "[", sides[0], ']'));
      return;
    }
    if (negated) refuse(begin, "a negated intersection of classes");
    out_.append("(?:");
    for (std::size_t i = 1; i < sides.size(); ++i)
      out_.append(sides[i].starts_with('^') ? concat("(?![", sides[i].substr(1), "])") : concat("(?=[", sides[i], "])"));
    out_.append(sides[0].starts_with('^') ? concat("[^", sides[0].substr(1), "])") : concat('[', sides[0], "])"));
  }
  // What stands between && in the class at at_, each as the inside of [...] with a ^ where it is negated; returns whether all of it is.
  bool class_sides(std::vector<std::string>& sides) {
    const std::size_t begin = at_++;
    const bool negated = starts("^");
    if (negated) ++at_;
    std::string side;
    bool whole = false;  // the side is one class that is negated
    for (bool first = true;; first = false) {
      if (at_ >= text_.size()) {  // unterminated: PCRE2 says so
        sides.push_back(side);
        return negated;
      }
      const char c = text_[at_];
      if (c == ']' && !first) break;
      if (starts("&&")) {
        if (side.empty()) refuse(at_, "an intersection with nothing");
        sides.push_back(std::exchange(side, std::string()));
        whole = false;
        at_ += 2;
        continue;
      }
      if (whole) refuse(at_, "a negated class beside others");
      if (c == '[' && !starts("[:")) {
        std::vector<std::string> inner;
        const std::size_t at = at_;
        const bool inverted = class_sides(inner);
        if (inner.size() != 1) refuse(at, "an intersection inside a class");
        if (inverted && !side.empty()) refuse(at, "a negated class beside others");
        whole = inverted;
        side.append(inverted ? concat('^', inner[0]) : inner[0]);
        continue;
      }
      if (starts("[:")) {
        const std::size_t end = text_.find(":]", at_);
        const std::string_view name = end == text_.npos ? std::string_view() : text_.substr(at_ + 2, end - at_ - 2);
        constexpr std::pair<std::string_view, std::string_view> names[] = {
            {"alpha", "\\p{Alphabetic}"}, {"alnum", "\\p{Alphabetic}\\p{Nd}"},
            {"digit", "\\p{Nd}"},         {"space", space},
            {"xdigit", "0-9a-fA-F"},      {"word", class_word},
            {"upper", "\\p{Uppercase}"},  {"lower", "\\p{Lowercase}"}};
        const auto found = std::find_if(std::begin(names), std::end(names), [&](const auto& entry) { return entry.first == name; });
        if (found == std::end(names)) refuse(at_, concat("[:", name, ":]"));
        side.append(name == "word" ? words(false)
                                   : concat(found->second, name == "alpha" || name == "alnum" ? newer(categories("Alphabetic")) : ""));
        at_ = end + 2;
        continue;
      }
      if (c == '\\' && at_ + 1 < text_.size()) {
        const char kind = text_[at_ + 1];
        if (kind == 'W' || kind == 'S' || kind == 'H') refuse(at_, concat('\\', kind, " in a class"));
        if (kind == 'p' || kind == 'P') {
          side.append(read_property(false));
          continue;
        }
        side.append(kind == 'w'   ? words(false)
                    : kind == 's' ? std::string(space)
                    : kind == 'h' ? std::string("0-9a-fA-F")
                    : kind == 'v' ? std::string("\\x0b")
                                  : std::string(text_.substr(at_, 2)));
        at_ += 2;
        continue;
      }
      if (c == '^' && side.empty()) side.push_back('\\');
      side.push_back(c);
      ++at_;
    }
    ++at_;
    if (side.empty()) refuse(begin, "an empty class");
    sides.push_back(std::move(side));
    if (whole && sides.size() == 1) {  // [[^a]] and [^[^a]]
      sides[0].erase(0, 1);
      return !negated;
    }
    return negated;
  }

  std::string_view text_;
  const Where& where_;
  std::size_t at_ = 0, atom_ = 0;    // atom_: where in out_ the last thing begins that a quantifier repeats
  std::vector<std::size_t> groups_;  // where in out_ the open ones begin
  std::string out_;
  bool asked_ = false;
  std::vector<std::pair<char32_t, Category>> unknown_;
};

// The search for an expression, compiled once and shared by all threads. ConfigError: the expression is invalid, with its position, or
// PCRE2 would read it otherwise. Searching: ArgumentError when the expression backtracks beyond PCRE2's limits on a text.
inline TextPattern::Search pcre2_expressions(std::string_view regex, const Where& where) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::string spelled = OnigurumaToPcre2(regex, where).result();
  const auto free_context = [](pcre2_compile_context_8* context) { pcre2_compile_context_free_8(context); };
  const std::unique_ptr<pcre2_compile_context_8, decltype(free_context)> context(pcre2_compile_context_create_8(nullptr), free_context);
  if (!context) throw OutOfMemory(regex.size(), "a regular expression");
  pcre2_set_newline_8(context.get(), PCRE2_NEWLINE_LF);
  const auto free_code = [](pcre2_code_8* code) { pcre2_code_free_8(code); };
  const std::shared_ptr<pcre2_code_8> code(
      pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(spelled.data()), spelled.size(),
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_MATCH_INVALID_UTF, &error, &offset, context.get()),
      free_code);
  if (!code) {
    PCRE2_UCHAR8 message[256] = {};
    pcre2_get_error_message_8(error, message, sizeof message);
    throw ConfigError(where, concat("the regular expression ", quoted(regex), " is invalid at byte ", offset, " of ", quoted(spelled), ": ",
                                    std::string_view(reinterpret_cast<const char*>(message))));
  }
  pcre2_jit_compile_8(code.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT, matching interprets
  return [code, source = std::string(regex)](std::string_view text, std::size_t from, Piece& match) {
    const auto free_data = [](pcre2_match_data_8* data) { pcre2_match_data_free_8(data); };
    const std::unique_ptr<pcre2_match_data_8, decltype(free_data)> data(pcre2_match_data_create_8(1, nullptr), free_data);
    if (!data) throw OutOfMemory(sizeof(PCRE2_SIZE) * 2, "a regular expression's match");
    const int found = pcre2_match_8(code.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()), text.size(), from, 0, data.get(), nullptr);
    if (found == PCRE2_ERROR_NOMATCH) return false;
    if (found < 0) throw ArgumentError(concat("[encode] the regular expression ", quoted(source), " needs too many steps on this text"));
    const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer_8(data.get());
    match = {ends[0], ends[1]};
    return true;
  };
}

}  // namespace plume::inline PLUME_ABI
#endif
