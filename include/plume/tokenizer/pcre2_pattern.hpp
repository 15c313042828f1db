#pragma once
// Regular expressions that plume does not know itself, by PCRE2 (optional: Debian libpcre2-dev; link -lpcre2-8):
//
//   Tokenizer tokenizer = load_tokenizer("path/to/model", {.expressions = pcre2_expressions});
//
// tokenizer.json writes expressions for Oniguruma. What PCRE2 would read in another way is rewritten ($ and ^ at lines, \w \b \s \h, (?m),
// (?i) inside an alternative, a{1,3}+, all classes), or refused by name. Categories are those of plume's Unicode tables, whatever PCRE2
// knows. Its own are scripts, and which letters are the same but for their case: an older PCRE2 lacks some, and none folds into two
// characters (U+00DF is not ss). Without <pcre2.h> this header is empty.
#if __has_include(<pcre2.h>)
#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/text.hpp"
#include "plume/tokenizer/code_point_set.hpp"
#include "plume/tokenizer/pcre2_classes.hpp"
#include "plume/tokenizer/text_pattern.hpp"

namespace plume::inline PLUME_ABI {

// An expression as Oniguruma reads it [kkos/oniguruma doc/RE], spelled for PCRE2.
class OnigurumaToPcre2 {
 public:
  OnigurumaToPcre2(std::string_view regex, const Where& where) : text_(regex), where_(where) {}

  std::string result() {
    if (text_.size() > 1 << 16) invalid(1 << 16, "it is longer than 65536 bytes");
    while (at_ < text_.size()) step();
    close_options();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::size_t at, std::string_view construct) const {
    throw ConfigError(where_, concat("the regular expression ", quoted(text_), " uses ", construct, " at byte ", at,
                                     ", which PCRE2 reads otherwise than Oniguruma; plume does not rewrite it"));
  }
  [[noreturn]] void invalid(std::size_t at, std::string_view what) const {
    throw ConfigError(where_, concat("the regular expression ", quoted(text_), " is invalid at byte ", at, ": ", what));
  }
  const std::string& spelled(const CodePointSet& set, bool negated, bool ignores_case) {
    const std::string& out = classes_.spelled(set, negated, ignores_case);
    if (classes_.spelled_so_far() > 128) invalid(at_, "it has more than 128 different classes");  // each takes some milliseconds
    return out;
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

  // A group, or what follows an option until the group it stands in ends: a(?i)b|c is a(?i:b|c).
  struct Group {
    std::size_t begin;  // in out_
    bool ignores_case, extended, option;
  };
  void step() {
    const char c = text_[at_];
    if (c == '{') return interval();
    if (c == ')') {
      close_options();
      if (!groups_.empty()) close();
      return copy(1);
    }
    if (c != '*' && c != '+' && c != '?') atom_ = out_.size();
    if (starts("(?#")) {
      at_ = std::min(text_.find(')', at_), text_.size() - 1) + 1;
      return;
    }
    if (c == '#' && extended_) return copy(std::min(text_.find('\n', at_), text_.size()) - at_);
    if (c == '(') groups_.push_back({out_.size(), ignores_case_, extended_, false});
    if (c == '\\') return escape();
    if (c == '[') {
      const auto [set, negated] = read_class();
      out_.append(spelled(set, negated, ignores_case_));
      return;
    }
    if (starts("(?")) return group();
    copy(code_point_at(text_, at_).length);
  }
  void close() {
    const Group& group = groups_.back();
    atom_ = group.begin, ignores_case_ = group.ignores_case, extended_ = group.extended;
    groups_.pop_back();
  }
  void close_options() {
    while (!groups_.empty() && groups_.back().option) {
      close();
      out_.push_back(')');
    }
  }
  void group() {
    std::size_t end = at_ + 2;
    bool ignores_case = ignores_case_, extended = extended_, on = true;
    for (; end < text_.size() && std::string_view("ixm-").find(text_[end]) != std::string_view::npos; ++end) {
      if (text_[end] == '-') on = false;
      if (text_[end] == 'i') ignores_case = on;
      if (text_[end] == 'x') extended = on;
    }
    if (end < text_.size() && (text_[end] == ')' || text_[end] == ':') && end > at_ + 2) {  // (?m) lets a dot match line breaks
      for (; at_ < end; ++at_) out_.push_back(text_[at_] == 'm' ? 's' : text_[at_]);
      out_.push_back(':');
      groups_.back().option = text_[at_++] == ')';
      ignores_case_ = ignores_case, extended_ = extended;
      return;
    }
    if (end < text_.size() && text_[end] == 's') refuse(at_, "the option s");
    if (end < text_.size() && text_[end] == '~') refuse(at_, "an absent operator");
    copy(2);
  }
  void interval() {  // {,n} is {0,n}, {,} are three characters; {1,3}+ repeats, as {2}? does
    const std::size_t begin = at_;
    std::size_t end = at_ + 1;
    while (end < text_.size() && ((text_[end] >= '0' && text_[end] <= '9') || text_[end] == ',')) ++end;
    if (end == text_.size() || text_[end] != '}' || end == at_ + 1) return copy(1);
    std::string inside(text_.substr(at_ + 1, end - at_ - 1));
    if (inside == ",") {
      atom_ = out_.size() + 3;
      return replace(3, "\\{,\\}");
    }
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

  void escape() {
    const char kind = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (kind == 'v') return replace(2, "\\x0b");
    if (kind == 'O') return replace(2, "(?s:.)");
    if (kind == 'b') return replace(2, boundary("!", "="));
    if (kind == 'B') return replace(2, boundary("=", "!"));
    if (kind == 'y' || kind == 'Y' || kind == 'X') refuse(at_, concat("a text segment, \\", std::string_view(&kind, 1), ','));
    if (const auto set = set_escape(false)) {
      const std::string& own = spelled(*set, false, false);
      out_.append(ignores_case_ ? concat("(?-i:", own, ')') : own);  // nothing folds to a property's own
      return;
    }
    if (kind == 'u' || kind == 'C' || kind == 'M' || (kind == 'x' && !starts("\\x{"))) {
      const char32_t c = code_point();
      Pcre2Classes::append(out_, c);
      return;
    }
    if (std::string_view("EFIJLPQTUVijlmpq").find(kind) != std::string_view::npos) return replace(2, text_.substr(at_ + 1, 1));
    copy(at_ + 1 < text_.size() ? 1 + code_point_at(text_, at_ + 1).length : 1);
  }
  // Between two characters of which, behind a word's, the second is none of a word's (!) or one (=), and the other way round.
  std::string boundary(std::string_view after_word, std::string_view after_other) {
    const std::string& all = spelled(words() | word_fractions(), false, false);
    const std::string_view off = ignores_case_ ? "(?-i:" : "(?:";
    return concat(off, "(?<=", all, ")(?", after_word, all, ")|(?<!", all, ")(?", after_other, all, "))");
  }

  // What \w is to Oniguruma: letters, marks, decimal digits, connectors, letter numbers, the rest of Alphabetic, and outside a class six
  // characters of Latin-1.
  CodePointSet words() {
    return classes_.of(category_sets::letter | category_sets::mark | category_set(Category::Nd, Category::Pc, Category::Nl)) |
           CodePointSet{{0x24b6, 0x24e9}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
  }
  static CodePointSet word_fractions() { return {{0xb2, 0xb3}, {0xb9, 0xb9}, {0xbc, 0xbe}}; }

  // The class that [:name:] names; none when plume does not know it. To what this PCRE2 knows of a derived property, the letters of plume's
  // tables are added, and what Unicode 15 and 16 added to it beside letters [DerivedCoreProperties.txt].
  std::optional<CodePointSet> named(std::string_view name) {
    if (name == "digit") return classes_.of(category_set(Category::Nd));
    if (name == "space") return classes_.of(category_sets::space);
    if (name == "xdigit") return CodePointSet{{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
    if (name == "word") return words();
    if (name == "alpha")
      return known("Alphabetic") | classes_.of(category_sets::letter | category_set(Category::Nl)) |
             CodePointSet{{0x363, 0x36f},     {0x897, 0x897},     {0xc04, 0xc04},     {0xcf3, 0xcf3},     {0xf82, 0xf83},
                          {0x1dd3, 0x1de6},   {0x10d69, 0x10d69}, {0x10efc, 0x10efc}, {0x11080, 0x11081}, {0x11241, 0x11241},
                          {0x113b8, 0x113c0}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5}, {0x113c7, 0x113ca}, {0x113cc, 0x113cd},
                          {0x11f00, 0x11f01}, {0x11f03, 0x11f03}, {0x11f34, 0x11f3a}, {0x11f3e, 0x11f40}, {0x1611e, 0x1612e},
                          {0x1e08f, 0x1e08f}};
    if (name == "alnum") return *named("alpha") | *named("digit");
    if (name == "upper") return known("Uppercase") | classes_.of(category_set(Category::Lu));
    if (name == "lower")
      return known("Lowercase") | classes_.of(category_set(Category::Ll)) |
             CodePointSet{{0x10fc, 0x10fc}, {0xa7f2, 0xa7f4}, {0xab69, 0xab69}, {0x1e030, 0x1e06d}};
    return std::nullopt;
  }
  CodePointSet known(const std::string& name) {
    if (const CodePointSet* const set = classes_.property(name)) return *set;
    invalid(at_, concat("PCRE2 knows no property ", name));
  }
  // The class that \w, \d, \p{L} ... at at_ is; none when another escape, or none, stands there. Scripts are scripts without their
  // extensions.
  std::optional<CodePointSet> set_escape(bool inside) {
    const char kind = starts("\\") && at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if ((kind == 'p' || kind == 'P') && text_.substr(at_ + 2).starts_with('{')) {
      const std::size_t begin = at_, close = text_.find('}', at_);
      if (close == text_.npos) invalid(begin, "a property without its end");
      std::string_view name = text_.substr(begin + 3, close - begin - 3);
      bool negated = kind == 'P';
      if (name.starts_with('^')) negated = !negated, name.remove_prefix(1);
      const CodePointSet set = property(name);
      at_ = close + 1;
      return negated ? ~set : set;
    }
    constexpr std::string_view kinds = "wWdDsShH";
    constexpr std::string_view names[] = {"word", "digit", "space", "xdigit"};
    const std::size_t found = kinds.find(kind);
    if (found == kinds.npos) return std::nullopt;
    CodePointSet set = *named(names[found / 2]);
    if (found / 2 == 0 && !inside) set |= word_fractions();
    at_ += 2;
    return found % 2 != 0 ? ~set : set;
  }
  CodePointSet property(std::string_view name) {
    constexpr std::pair<std::string_view, std::string_view> names[] = {
        {"Letter", "L"},    {"Mark", "M"},       {"Number", "N"},         {"Punctuation", "P"},   {"Symbol", "S"},
        {"Separator", "Z"}, {"Other", "C"},      {"Alphabetic", "alpha"}, {"Uppercase", "upper"}, {"Lowercase", "lower"},
        {"Alpha", "alpha"}, {"Upper", "upper"},  {"Lower", "lower"},      {"Digit", "digit"},     {"Alnum", "alnum"},
        {"Space", "space"}, {"XDigit", "xdigit"}};
    for (const auto& [known, same] : names)
      if (name == known) name = same;
    if (auto set = named(name)) return *std::move(set);
    if (name == "Any") return ~CodePointSet();
    if (name == "ASCII") return {{0, 0x7f}};
    if (const CategorySet categories = name.size() <= 2 && !name.empty() ? Pcre2Classes::categories(name) : 0)
      return classes_.of(categories);
    for (const std::string_view other : {"Blank", "Cntrl", "Graph", "Print", "Punct", "Word", "Assigned"})
      if (name == other) refuse(at_, concat("\\p{", name, '}'));
    return known(concat("sc:", name));
  }

  // The one character at at_ of a class, or behind a backslash.
  char32_t code_point() {
    const std::size_t begin = at_;
    const CodePoint point = code_point_at(text_, at_);
    at_ += point.length;
    if (point.value != '\\' || at_ == text_.size()) return point.value;
    const CodePoint escaped = code_point_at(text_, at_);
    at_ += escaped.length;
    const auto number = [&](std::size_t most, unsigned base) {
      std::uint32_t read = 0;
      const char* const digits = text_.data() + at_;
      const auto [end, error] = std::from_chars(digits, digits + std::min(most, text_.size() - at_), read, static_cast<int>(base));
      at_ += static_cast<std::size_t>(end - digits);
      if (error == std::errc::result_out_of_range || read > CodePointSet::last) invalid(begin, "no code point");
      return char32_t{read};
    };
    const auto braced = [&](unsigned base) {
      ++at_;
      const char32_t read = number(text_.size(), base);
      if (!starts("}")) refuse(begin, "several characters in braces");
      ++at_;
      return read;
    };
    constexpr std::string_view controls = "abefnrtv";
    constexpr char codes[] = {'\a', '\b', '\x1b', '\f', '\n', '\r', '\t', '\v'};
    const char32_t c = escaped.value;
    char32_t value = c;
    if (const std::size_t found = c < 0x80 ? controls.find(static_cast<char>(c)) : controls.npos; found != controls.npos)
      value = char32_t{static_cast<unsigned char>(codes[found])};
    if (c >= '0' && c <= '7') --at_, value = number(3, 8);
    if (c == 'o' && starts("{")) value = braced(8);
    if (c == 'u') {
      const std::size_t digits = at_;
      value = number(4, 16);
      if (at_ != digits + 4) invalid(begin, "\\u needs four hexadecimal digits");
    }
    if (c == 'x' && starts("{")) {
      value = braced(16);
    } else if (c == 'x') {
      value = number(2, 16);
      if (value >= 0x80) refuse(begin, "a byte of a character");
    }
    if (c == 'M') refuse(begin, "\\M-");
    if (c == 'c' || c == 'C') {
      if (c == 'C' && !starts("-")) invalid(begin, "\\C needs - and a character");
      if (c == 'C') ++at_;
      if (at_ == text_.size() || starts("\\")) refuse(begin, "such a control character");
      value = code_point_at(text_, at_).value & 0x1f;
      at_ += code_point_at(text_, at_).length;
    }
    return value;
  }

  // One [...] at at_, as what stands in it and whether all else is meant: a union of characters, ranges, classes and, behind &&, what they
  // have in common.
  std::pair<CodePointSet, bool> read_class() {
    const std::size_t begin = at_++;
    if (++depth_ > 100) refuse(begin, "a class in more than 99 others");
    const bool negated = starts("^");
    if (negated) ++at_;
    CodePointSet side, common = ~CodePointSet();
    bool filled = false;
    for (bool first = true;; first = false) {
      if (at_ >= text_.size()) invalid(begin, "a class without its end");
      if (text_[at_] == ']' && !first) break;
      if (starts("&&")) {
        if (!filled) refuse(at_, "an intersection with nothing");
        common = common & std::exchange(side, CodePointSet());
        filled = false;
        at_ += 2;
        continue;
      }
      filled = true;
      if (starts("[:")) {
        const std::size_t end = text_.find(":]", at_);
        std::string_view name = end == text_.npos ? std::string_view() : text_.substr(at_ + 2, end - at_ - 2);
        const bool other = name.starts_with('^');
        const auto set = named(other ? name.substr(1) : name);
        if (!set) refuse(at_, concat("[:", name, ":]"));
        side |= other ? ~*set : *set;
        at_ = end + 2;
      } else if (text_[at_] == '[') {
        const auto [inner, others] = read_class();
        side |= others ? ~inner : inner;
      } else if (const auto set = set_escape(true)) {
        side |= *set;
      } else {
        const char32_t from = code_point();
        char32_t to = from;
        if (starts("-") && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
          const std::size_t dash = at_++;
          if (text_[at_] == '[' || starts("&&") || set_escape(true)) refuse(dash, "a range to a class");
          to = code_point();
          if (to < from) invalid(dash, "an empty range");
        }
        side |= CodePointSet{{from, to}};
      }
    }
    ++at_;
    --depth_;
    if (!filled) refuse(begin, "an empty class");
    return {common & side, negated};
  }

  std::string_view text_;
  const Where& where_;
  std::size_t at_ = 0, atom_ = 0;  // atom_: where in out_ the last thing begins that a quantifier repeats
  std::size_t depth_ = 0;          // of classes
  std::vector<Group> groups_;      // the open ones
  bool ignores_case_ = false, extended_ = false;
  std::string out_;
  Pcre2Classes classes_;
};

// The search for an expression, compiled once and shared by all threads. ConfigError: the expression is invalid, with its position, or
// PCRE2 would read it otherwise. Searching: ArgumentError when the expression backtracks beyond PCRE2's limits on a text: steps, or memory
// in proportion to the text (at most 1 GiB).
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
    const auto run = [&](pcre2_match_context_8* limits) {
      return pcre2_match_8(code.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()), text.size(), from, 0, data.get(), limits);
    };
    int found = run(nullptr);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {  // what PCRE2 has by itself ends at 32 KiB: once more, with what the text may need
      constexpr std::size_t least = 64 << 10, most = std::size_t{1} << 30, a_byte = 256;
      const auto free_stack = [](pcre2_jit_stack_8* stack) { pcre2_jit_stack_free_8(stack); };
      const std::unique_ptr<pcre2_jit_stack_8, decltype(free_stack)> stack(
          pcre2_jit_stack_create_8(least, std::min(most, least + text.size() * a_byte), nullptr), free_stack);
      const auto free_match = [](pcre2_match_context_8* it) { pcre2_match_context_free_8(it); };
      const std::unique_ptr<pcre2_match_context_8, decltype(free_match)> larger(pcre2_match_context_create_8(nullptr), free_match);
      if (!stack || !larger) throw OutOfMemory(text.size() * a_byte, "a regular expression's match");
      pcre2_jit_stack_assign_8(larger.get(), nullptr, stack.get());
      found = run(larger.get());
    }
    if (found == PCRE2_ERROR_NOMATCH) return false;
    if (found < 0) {
      const bool memory = found == PCRE2_ERROR_JIT_STACKLIMIT || found == PCRE2_ERROR_HEAPLIMIT || found == PCRE2_ERROR_NOMEMORY;
      throw ArgumentError(concat("[encode] the regular expression ", quoted(source), " needs too ", memory ? "much memory" : "many steps",
                                 " on this text"));
    }
    const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer_8(data.get());
    match = {ends[0], ends[1]};
    return true;
  };
}

}  // namespace plume::inline PLUME_ABI
#endif
