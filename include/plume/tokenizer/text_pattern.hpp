#pragma once
// What tokenizer.json calls a pattern: a literal text, or a regular expression. Expressions are known by their spelling: the whole-text
// scanners of piece_scanner.hpp, and alternatives of sequences of character classes such as "\s?\p{L}+|[0-9]{1,3}|\s+(?!\S)". Others go to
// the engine that the program gives (pcre2_pattern.hpp); without one they are a ConfigError that quotes them.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/tokenizer/aligned_text.hpp"
#include "plume/tokenizer/expression_sweeps.hpp"
#include "plume/tokenizer/piece_scanner.hpp"

namespace plume::inline PLUME_ABI {

// A set of code points: categories and ranges, perhaps turned round.
struct CharacterClass {
  CategorySet categories = 0;
  std::vector<std::pair<char32_t, char32_t>> ranges;
  bool negated = false;
  bool contains(char32_t c) const {
    bool inside = (category_bit(c) & categories) != 0;
    for (std::size_t i = 0; !inside && i < ranges.size(); ++i) inside = c >= ranges[i].first && c <= ranges[i].second;
    return inside != negated;
  }
};

class TextPattern {
 public:
  struct Item {  // between `least` and `most` characters of a class, as many as there are
    CharacterClass set;
    std::size_t least, most;
    bool possessive = false;  // gives nothing back
  };
  struct Alternative {
    std::vector<Item> items;
    bool before_space = false;  // (?!\S): white space or the end of the text follows
  };
  // Finds the first match in text[from ...]; false when there is none. Only an engine's match may be empty.
  using Search = std::function<bool(std::string_view text, std::size_t from, Piece& match)>;

  static TextPattern literal(std::string text) { return TextPattern(std::move(text)); }
  PLUME_FUNCTION static TextPattern scanner(const PieceStyle& style);
  // Turns an expression that plume does not know into a search.
  using Engine = std::function<Search(std::string_view regex, const Where& where)>;
  // ConfigError at `where`: an expression that is neither known nor simple, and no engine.
  PLUME_FUNCTION static TextPattern expression(std::string_view regex, const Where& where, const Engine& engine = {});

  // The whole-text scanner this expression is, if it is one: pieces then follow each other without a gap.
  const std::optional<PieceStyle>& style() const { return style_; }
  PLUME_FUNCTION bool find(std::string_view text, std::size_t from, Piece& match) const;
  // Calls found(Piece) for each match. An empty one right behind another is passed over, as Oniguruma's bindings do.
  template <class Found>
  void each(std::string_view text, Found&& found) const {
    if (text.empty()) return;
    if (sweep_) return sweep_(text, found);
    std::size_t at = 0, last = text.npos;
    for (Piece match{0, 0}; at <= text.size() && find(text, at, match);) {
      if (match.begin == match.end && match.end == last) {
        at = match.end + (match.end < text.size() ? code_point_at(text, match.end).length : 1);
        continue;
      }
      found(match);
      at = last = match.end;
    }
  }
  const std::string& source() const { return source_; }
  bool is_literal() const { return literal_; }

 private:
  explicit TextPattern(std::string text) : source_(std::move(text)), literal_(true) {}
  TextPattern(std::string regex, std::optional<PieceStyle> style) : source_(std::move(regex)), style_(style) {}
  PLUME_FUNCTION static bool parse(std::string_view regex, std::vector<Alternative>& alternatives);

  std::string source_;
  bool literal_ = false;
  std::optional<PieceStyle> style_;
  std::vector<Alternative> alternatives_;
  Search search_;
  expression_sweeps::Sweep sweep_ = nullptr;
};

// The end of the piece at `at` in a style chosen at run time.
PLUME_FUNCTION std::size_t piece_end(const PieceStyle& style, std::string_view text, std::size_t at);

// Calls visit.template operator()<style>() with the style as a constant; false when it is none of the known ones.
template <class Visit>
bool visit_style(const PieceStyle& style, Visit&& visit) {
  if (style == piece_styles::gpt2) return visit.template operator()<piece_styles::gpt2>(), true;
  if (style == piece_styles::cl100k) return visit.template operator()<piece_styles::cl100k>(), true;
  if (style == piece_styles::cl100k_any_digits) return visit.template operator()<piece_styles::cl100k_any_digits>(), true;
  if (style == piece_styles::llama3) return visit.template operator()<piece_styles::llama3>(), true;
  if (style == piece_styles::llama3_ascii) return visit.template operator()<piece_styles::llama3_ascii>(), true;
  if (style == piece_styles::qwen2) return visit.template operator()<piece_styles::qwen2>(), true;
  if (style == piece_styles::o200k) return visit.template operator()<piece_styles::o200k>(), true;
  if (style == piece_styles::o200k_single_digits) return visit.template operator()<piece_styles::o200k_single_digits>(), true;
  if (style == piece_styles::tekken) return visit.template operator()<piece_styles::tekken>(), true;
  return false;
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

namespace plume::inline PLUME_ABI {

namespace text_patterns {

struct Known {
  std::string_view regex;
  PieceStyle style;
};
inline constexpr Known known[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", piece_styles::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", piece_styles::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)", piece_styles::gpt2},
    // as it stands in tiktoken: possessive there, but Oniguruma repeats \p{N}{1,3}
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)",
     piece_styles::cl100k_any_digits},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)",
     piece_styles::cl100k},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     piece_styles::llama3},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     piece_styles::llama3},
    {R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     piece_styles::llama3_ascii},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     piece_styles::qwen2},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     piece_styles::o200k},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     piece_styles::o200k_single_digits},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     piece_styles::tekken},
};
// One character class at regex[at]: a letter, an escape, or [...]. False when it is more than that.
class ClassReader {
 public:
  explicit ClassReader(std::string_view regex) : text_(regex) {}
  std::size_t at = 0;
  bool done() const { return at == text_.size(); }
  char peek() const { return at < text_.size() ? text_[at] : '\0'; }

  bool read(CharacterClass& set) {
    if (peek() != '[') return single(set, false);
    ++at;
    if (peek() == '^') set.negated = true, ++at;
    for (bool first = true; peek() != ']' || first; first = false) {
      if (done() || peek() == '[' || (peek() == '&' && text_.substr(at, 2) == "&&")) return false;
      CharacterClass part;
      if (!single(part, true)) return false;
      if (peek() == '-' && at + 1 < text_.size() && text_[at + 1] != ']') {
        ++at;
        CharacterClass last;
        if (!single(last, true) || part.ranges.size() != 1 || last.ranges.size() != 1 || part.categories != 0 || last.categories != 0)
          return false;
        part.ranges[0].second = last.ranges[0].first;
        if (part.ranges[0].first > part.ranges[0].second) return false;
      }
      if (part.negated) return false;
      set.categories |= part.categories;
      set.ranges.insert(set.ranges.end(), part.ranges.begin(), part.ranges.end());
    }
    ++at;
    return true;
  }

 private:
  bool single(CharacterClass& set, bool inside) {
    if (done()) return false;
    const CodePoint point = code_point_at(text_, at);
    at += point.length;
    if (point.value != '\\') {
      if (!inside && (point.value == '^' || point.value == '$' || point.value == '.' || point.value == '|' || point.value == '(' ||
                      point.value == ')' || point.value == '*' || point.value == '+' || point.value == '?' || point.value == '{'))
        return false;
      set.ranges.emplace_back(point.value, point.value);
      return true;
    }
    if (done()) return false;
    const char escape = text_[at++];
    switch (escape) {
      case 's':
        return set.categories = category_sets::space, true;
      case 'S':
        return set.categories = category_sets::space, set.negated = true, true;
      case 'd':
        return set.categories = category_set(Category::Nd), true;
      case 'r':
        return set.ranges.emplace_back('\r', '\r'), true;
      case 'n':
        return set.ranges.emplace_back('\n', '\n'), true;
      case 't':
        return set.ranges.emplace_back('\t', '\t'), true;
      case 'p':
        return property(set);
      default:
        if ((escape >= '0' && escape <= '9') || (escape >= 'a' && escape <= 'z') || (escape >= 'A' && escape <= 'Z')) return false;
        const CodePoint escaped = code_point_at(text_, --at);
        at += escaped.length;
        set.ranges.emplace_back(escaped.value, escaped.value);
        return true;
    }
  }
  bool property(CharacterClass& set) {
    using enum Category;
    if (peek() != '{') return false;
    const std::size_t end = text_.find('}', at);
    if (end == text_.npos) return false;
    const std::string_view name = text_.substr(at + 1, end - at - 1);
    at = end + 1;
    const std::pair<std::string_view, CategorySet> names[] = {
        {"L", category_sets::letter}, {"N", category_sets::number},    {"M", category_sets::mark}, {"P", category_sets::punctuation},
        {"S", category_sets::symbol}, {"Z", category_set(Zs, Zl, Zp)}, {"Lu", category_set(Lu)},   {"Ll", category_set(Ll)},
        {"Lt", category_set(Lt)},     {"Lm", category_set(Lm)},        {"Lo", category_set(Lo)},   {"Nd", category_set(Nd)},
        {"Nl", category_set(Nl)},     {"No", category_set(No)},        {"Mn", category_set(Mn)},   {"Mc", category_set(Mc)},
        {"Sm", category_set(Sm)},     {"Sc", category_set(Sc)},        {"Sk", category_set(Sk)},   {"So", category_set(So)},
        {"Zs", category_set(Zs)}};
    for (const auto& [known_name, categories] : names)
      if (name == known_name) return set.categories = categories, true;
    return false;
  }
  std::string_view text_;
};

// The end of a match of items[i ...] at `at`, as many characters as possible first. As deep as an expression has items.
inline std::optional<std::size_t> match_items(const TextPattern::Alternative& alternative, std::size_t i, std::string_view text,
                                              std::size_t at) {
  if (i == alternative.items.size()) {
    const bool fits =
        !alternative.before_space || at == text.size() || code_point_class(code_point_at(text, at).value) == CodePointClass::space;
    return fits ? std::optional(at) : std::nullopt;
  }
  const TextPattern::Item& item = alternative.items[i];
  std::size_t count = 0, end = at;
  while (count < item.most && end < text.size()) {
    const CodePoint point = code_point_at(text, end);
    if (!item.set.contains(point.value)) break;
    end += point.length;
    ++count;
  }
  for (;; --count) {
    if (count < item.least) return std::nullopt;
    if (const auto rest = match_items(alternative, i + 1, text, end)) return rest;
    if (count == 0 || item.possessive) return std::nullopt;
    std::size_t begin = end - 1;  // one character back; a malformed byte is one
    while (begin > at && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
    end = begin + code_point_at(text, begin).length == end ? begin : end - 1;
  }
}

}  // namespace text_patterns

PLUME_FUNCTION bool TextPattern::parse(std::string_view regex, std::vector<Alternative>& alternatives) {
  text_patterns::ClassReader reader(regex);
  constexpr std::size_t any = std::size_t{0} - 1, most_items = 32;
  alternatives.emplace_back();
  while (!reader.done()) {
    Alternative& alternative = alternatives.back();
    if (reader.peek() == '|') {
      alternatives.emplace_back();
      ++reader.at;
      continue;
    }
    if (alternative.before_space || alternative.items.size() == most_items) return false;
    if (regex.substr(reader.at).starts_with("(?!\\S)")) {
      alternative.before_space = true;
      reader.at += 6;
      continue;
    }
    Item item{{}, 1, 1};
    if (!reader.read(item.set)) return false;
    if (const char mark = reader.peek(); mark == '+' || mark == '*' || mark == '?') {
      item.least = mark == '+' ? 1 : 0;
      item.most = mark == '?' ? 1 : any;
      ++reader.at;
    } else if (mark == '{') {
      const std::size_t end = regex.find('}', reader.at);
      const std::string_view inside = end == regex.npos ? std::string_view() : regex.substr(reader.at + 1, end - reader.at - 1);
      const std::size_t comma = std::min(inside.find(','), inside.size());
      const auto number = [](std::string_view digits, std::size_t& value) {
        value = 0;
        for (const char c : digits) {
          if (c < '0' || c > '9') return false;
          value = value * 10 + static_cast<std::size_t>(c - '0');
        }
        return !digits.empty() && digits.size() <= 3;
      };
      if (!number(inside.substr(0, comma), item.least)) return false;
      item.most = item.least;
      if (comma < inside.size() && !number(inside.substr(comma + 1), item.most)) return false;
      if (item.most == 0 || item.least > item.most) return false;
      reader.at = end + 1;
    }
    if (reader.peek() == '?') return false;  // lazy
    if (reader.peek() == '+') {
      if (regex[reader.at - 1] == '}' || item.least == item.most) return false;  // Oniguruma repeats a{1,3}+
      item.possessive = true;
      ++reader.at;
    }
    alternative.items.push_back(std::move(item));
  }
  for (const Alternative& alternative : alternatives) {
    std::size_t least = 0;
    for (const Item& item : alternative.items) least += item.least;
    if (least == 0) return false;  // could match nothing
  }
  return true;
}

PLUME_FUNCTION TextPattern TextPattern::scanner(const PieceStyle& style) {
  for (const text_patterns::Known& known : text_patterns::known)
    if (known.style == style) return TextPattern(std::string(known.regex), style);
  return TextPattern(std::string(), style);
}

PLUME_FUNCTION TextPattern TextPattern::expression(std::string_view regex, const Where& where, const Engine& engine) {
  for (const text_patterns::Known& known : text_patterns::known)
    if (regex == known.regex) return TextPattern(std::string(regex), known.style);
  TextPattern pattern(std::string(regex), std::nullopt);
  for (const expression_sweeps::Known& known : expression_sweeps::known)
    if (regex == known.regex) {
      pattern.sweep_ = known.sweep;
      return pattern;
    }
  if (parse(regex, pattern.alternatives_)) return pattern;
  pattern.alternatives_.clear();
  if (engine) {
    pattern.search_ = engine(regex, where);
    return pattern;
  }
  throw ConfigError(where, concat("the regular expression ", quoted(regex),
                                  " is none that plume knows; give an engine for others: .expressions = pcre2_expressions of "
                                  "plume/tokenizer/pcre2_pattern.hpp (Debian: libpcre2-dev)"));
}

PLUME_FUNCTION bool TextPattern::find(std::string_view text, std::size_t from, Piece& match) const {
  if (search_) return search_(text, from, match);
  if (sweep_) {
    bool seen = false;
    sweep_(text, [&](Piece piece) {
      if (!std::exchange(seen, seen || piece.begin >= from) && piece.begin >= from) match = piece;
    });
    return seen;
  }
  if (from >= text.size()) return false;
  if (literal_) {
    const std::size_t begin = source_.empty() ? text.npos : text.find(source_, from);
    match = {begin, begin + source_.size()};
    return begin != text.npos;
  }
  if (style_) {
    match = {from, piece_end(*style_, text, from)};
    return true;
  }
  for (std::size_t at = from; at < text.size(); at += code_point_at(text, at).length)
    for (const Alternative& alternative : alternatives_)
      if (const auto end = text_patterns::match_items(alternative, 0, text, at)) {
        match = {at, *end};
        return true;
      }
  return false;
}

PLUME_FUNCTION std::size_t piece_end(const PieceStyle& style, std::string_view text, std::size_t at) {
  std::size_t end = at;
  visit_style(style, [&]<PieceStyle known>() { end = piece_end<known>(text, at); });
  return end;
}

}  // namespace plume::inline PLUME_ABI
#endif
