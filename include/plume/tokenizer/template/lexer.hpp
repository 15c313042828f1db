#pragma once
// Templates into tokens, as jinja2 does with trim_blocks and lstrip_blocks: white space around tags is settled here.
#include <string>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/tokenizer/template/syntax.hpp"

#if PLUME_BODIES
#include <charconv>

#include "plume/base/text.hpp"
#include "plume/tokenizer/template/characters.hpp"

namespace plume::inline PLUME_ABI::jinja {

enum class TokenKind : std::uint8_t { data, output_begin, output_end, block_begin, block_end, name, text, integer, real, sign, end };

struct Token {
  TokenKind kind = TokenKind::end;
  std::uint32_t offset = 0;
  std::string text = {};  // of data, names, texts and operators
  std::int64_t integer = 0;
  double real = 0;
};

class Lexer {
 public:
  explicit Lexer(const Program& program) : program_(program), source_(program.source) {}

  Token next() {
    while (true) {
      Token token;
      if (mode_ == Mode::data ? data(token) : inside(token)) return token;
    }
  }

 private:
  enum class Mode : std::uint8_t { data, output, block };

  [[noreturn]] void fail(std::size_t offset, std::string_view reason) const {
    throw FormatError(program_.where(static_cast<std::uint32_t>(offset)), reason);
  }
  bool starts(std::string_view word) const { return source_.substr(at_).starts_with(word); }
  void skip_space() { at_ += strip_begin(source_.substr(at_)); }
  // After a tag's end: "-" takes all white space away, otherwise one line end goes unless the tag ends with "+".
  void after_tag(char sign) {
    if (sign == '-')
      skip_space();
    else if (sign != '+' && starts("\n"))
      ++at_;
    line_starts_ = source_[at_ - 1] == '\n';
  }

  // The text up to the next tag; false: nothing, go on.
  bool data(Token& token) {
    const std::size_t begin = at_;
    token = {TokenKind::data, static_cast<std::uint32_t>(begin)};
    if (pending_) return opens(token);
    if (begin == source_.size()) {
      token.kind = TokenKind::end;
      return true;
    }
    std::size_t open = source_.find('{', begin);
    while (open != source_.npos &&
           (open + 1 == source_.size() || std::string_view("{%#").find(source_[open + 1]) == std::string_view::npos))
      open = source_.find('{', open + 1);
    if (open == source_.npos) {
      token.text = source_.substr(begin);
      at_ = source_.size();
      return true;
    }
    std::string_view text = source_.substr(begin, open - begin);
    const char kind = source_[open + 1], sign = open + 2 < source_.size() ? source_[open + 2] : '\0';
    text = lstrip(text, sign, kind != '{');
    at_ = open;
    pending_ = true;
    token.text = text;
    return !text.empty();
  }
  std::string_view lstrip(std::string_view text, char sign, bool block) const {
    if (sign == '-') return text.substr(0, strip_end(text));
    if (sign == '+' || !block) return text;
    const std::size_t line = text.rfind('\n') + 1;  // npos + 1 == 0
    if ((line > 0 || line_starts_) && strip_begin(text.substr(line)) == text.size() - line) return text.substr(0, line);
    return text;
  }

  // The tag at `at_`.
  bool opens(Token& token) {
    pending_ = false;
    const std::size_t begin = at_;
    const char kind = source_[at_ + 1];
    if (kind == '%' && raw(token)) return !token.text.empty();
    at_ += 2;
    if (starts("-") || starts("+")) ++at_;
    line_starts_ = false;
    if (kind == '#') {
      const std::size_t end = source_.find("#}", at_);
      if (end == source_.npos) fail(begin, "this comment has no end: write #}");
      const char sign = end > at_ ? source_[end - 1] : '\0';
      at_ = end + 2;
      after_tag(sign);
      return false;
    }
    mode_ = kind == '%' ? Mode::block : Mode::output;
    token = {kind == '%' ? TokenKind::block_begin : TokenKind::output_begin, static_cast<std::uint32_t>(begin)};
    opened_ = begin;
    return true;
  }

  // {% raw %}...{% endraw %} at at_: its text.
  bool raw(Token& token) {
    std::size_t at = at_ + 2;
    if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) ++at;
    const auto space = [&] { at += strip_begin(source_.substr(at)); };
    const auto word = [&](std::string_view wanted) {
      if (!source_.substr(at).starts_with(wanted)) return false;
      at += wanted.size();
      return true;
    };
    space();
    if (!word("raw")) return false;
    space();
    const bool strips = word("-%}");
    if (!strips && !word("%}")) return false;
    if (strips) space();
    const std::size_t begin = at;
    bool line_starts = source_[at - 1] == '\n';
    for (std::size_t open = source_.find("{%", begin); open != source_.npos; open = source_.find("{%", open + 2)) {
      at = open + 2;
      const char sign = at < source_.size() ? source_[at] : '\0';
      if (sign == '-' || sign == '+') ++at;
      space();
      if (!word("endraw")) continue;
      space();
      const char last = at < source_.size() ? source_[at] : '\0';
      if (last == '-' || last == '+') ++at;
      if (!word("%}")) continue;
      std::swap(line_starts, line_starts_);
      token.text = lstrip(source_.substr(begin, open - begin), sign, true);
      token.offset = static_cast<std::uint32_t>(begin);
      at_ = at;
      after_tag(last);
      return true;
    }
    fail(at_, "this {% raw %} has no {% endraw %}");
  }

  // Inside a tag; false: white space, go on.
  bool inside(Token& token) {
    const std::size_t begin = at_;
    token = {TokenKind::sign, static_cast<std::uint32_t>(begin)};
    if (at_ == source_.size()) fail(opened_, mode_ == Mode::block ? "this tag has no end: write %}" : "this tag has no end: write }}");
    if (open_.empty() && ends(token)) return true;
    const CodePoint c = code_point_at(source_, at_);
    if (is_space(c.value)) {
      skip_space();
      return false;
    }
    if (c.value >= '0' && c.value <= '9') return number(token);
    if (is_word(c.value)) {
      while (at_ < source_.size() && is_word(code_point_at(source_, at_).value)) at_ += code_point_at(source_, at_).length;
      token.kind = TokenKind::name;
      token.text = source_.substr(begin, at_ - begin);
      return true;
    }
    if (c.value == '"' || c.value == '\'') {
      token.kind = TokenKind::text;
      text(token);
      return true;
    }
    for (const std::string_view sign : {"**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"})
      if (starts(sign)) {
        balance(sign[0]);
        at_ += sign.size();
        token.text = sign;
        return true;
      }
    fail(at_, concat("unexpected ", quoted(source_.substr(at_, c.length)), " in an expression"));
  }

  static bool is_word(char32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (c >= 0x80 && is_cased(c)) ||
           (c >= 0x3041 && c <= 0x9fff);
  }

  bool ends(Token& token) {
    std::size_t at = at_;
    char sign = source_[at];
    if (sign == '-' || (sign == '+' && mode_ == Mode::block)) ++at;
    if (!source_.substr(at).starts_with(mode_ == Mode::block ? "%}" : "}}")) return false;
    token.kind = mode_ == Mode::block ? TokenKind::block_end : TokenKind::output_end;
    at_ = at + 2;
    if (mode_ == Mode::output && sign != '-') sign = '+';  // no line end is dropped after }}
    after_tag(sign);
    mode_ = Mode::data;
    return true;
  }

  void balance(char sign) {
    if (sign == '(' || sign == '[' || sign == '{') open_.push_back(sign == '(' ? ')' : sign == '[' ? ']' : '}');
    if (sign != ')' && sign != ']' && sign != '}') return;
    if (open_.empty()) fail(at_, concat("unexpected ", quoted(std::string_view(&sign, 1))));
    if (open_.back() != sign)
      fail(at_, concat("unexpected ", quoted(std::string_view(&sign, 1)), ", expected ", quoted(std::string_view(&open_.back(), 1))));
    open_.pop_back();
  }

  bool number(Token& token) {
    const auto digits = [&](std::size_t at, auto&& is_digit) {  // with single _ between them; where they end
      std::size_t end = at;
      while (end < source_.size() && (is_digit(source_[end]) || (source_[end] == '_' && end > at && end + 1 < source_.size() &&
                                                                 source_[end - 1] != '_' && is_digit(source_[end + 1]))))
        ++end;
      return end;
    };
    const auto decimal = [](char c) { return c >= '0' && c <= '9'; };
    const std::size_t whole = digits(at_, decimal);
    std::size_t end = whole;
    bool real = false;
    if (end + 1 < source_.size() && source_[end] == '.' && decimal(source_[end + 1]) && (at_ == 0 || source_[at_ - 1] != '.')) {
      end = digits(end + 1, decimal);
      real = true;
    }
    if (end < source_.size() && (source_[end] | 0x20) == 'e' && (at_ == 0 || source_[at_ - 1] != '.')) {
      const std::size_t sign = end + 1 + (end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1 : 0);
      if (sign < source_.size() && decimal(source_[sign])) {
        end = digits(sign, decimal);
        real = true;
      }
    }
    int base = 10;
    if (!real && source_[at_] == '0' && at_ + 1 < source_.size()) {
      const char mark = static_cast<char>(source_[at_ + 1] | 0x20);
      base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
      const auto of_base = [&](char c) {
        return base == 16 ? decimal(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') : c >= '0' && c < '0' + base;
      };
      const std::size_t first = at_ + 2 + (at_ + 2 < source_.size() && source_[at_ + 2] == '_' ? 1 : 0);
      if (base != 10 && first < source_.size() && of_base(source_[first]))
        end = digits(first, of_base);
      else
        base = 10;
      if (base == 10)  // 0 and 00, not 01
        end = digits(at_, [](char c) { return c == '0'; });
    }
    std::string figures;
    for (const char c : source_.substr(at_, end - at_))
      if (c != '_') figures.push_back(c);
    const char* last = figures.data() + figures.size();
    std::errc error;
    if (real)
      error = std::from_chars(figures.data(), last, token.real).ec;
    else
      error = std::from_chars(figures.data() + (base == 10 ? 0 : 2), last, token.integer, base).ec;
    if (error != std::errc()) throw ConfigError(program_.where(static_cast<std::uint32_t>(at_)), "this number does not fit 64 bits");
    token.kind = real ? TokenKind::real : TokenKind::integer;
    at_ = end;
    return true;
  }

  // A text in quotes with Python's escapes.
  void text(Token& token) {
    const std::size_t begin = at_;
    const char quote = source_[at_++];
    while (at_ < source_.size() && source_[at_] != quote) {
      if (source_[at_] != '\\') {
        token.text.push_back(source_[at_++]);
        continue;
      }
      if (at_ + 1 == source_.size()) break;
      escape(token.text, begin);
    }
    if (at_ >= source_.size() || source_[at_] != quote) fail(begin, "this text has no end: close its quote");
    ++at_;
  }
  void escape(std::string& out, std::size_t begin) {
    const char kind = source_[at_ + 1];
    at_ += 2;
    constexpr std::string_view from = "\\'\"abfnrtv", to = "\\'\"\a\b\f\n\r\t\v";
    if (const std::size_t found = from.find(kind); found != from.npos) {
      out.push_back(to[found]);
    } else if (kind == '\n') {
    } else if (kind >= '0' && kind <= '7') {
      std::size_t end = at_;
      while (end < at_ + 2 && end < source_.size() && source_[end] >= '0' && source_[end] <= '7') ++end;
      code_point(out, at_ - 1, end, 8, begin);
    } else if (kind == 'x' || kind == 'u' || kind == 'U') {
      code_point(out, at_, at_ + (kind == 'x' ? 2 : kind == 'u' ? 4 : 8), 16, begin);
    } else if (kind == 'N') {
      throw ConfigError(program_.where(static_cast<std::uint32_t>(at_ - 2)),
                        "characters by name (\\N{...}) are not supported: write \\u and its number");
    } else {
      out.push_back('\\');
      --at_;
      const std::size_t length = code_point_at(source_, at_).length;
      out.append(source_.substr(at_, length));
      at_ += length;
    }
  }
  void code_point(std::string& out, std::size_t from, std::size_t to, int base, std::size_t begin) {
    std::uint32_t value = 0;
    if (to > source_.size()) fail(begin, "this text has no end: close its quote");
    const auto [end, error] = std::from_chars(source_.data() + from, source_.data() + to, value, base);
    if (error != std::errc() || end != source_.data() + to) fail(from, "this escape needs more hexadecimal digits");
    if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) fail(from, "this escape is no character of Unicode");
    append_utf8(out, value);
    at_ = to;
  }

  const Program& program_;
  std::string_view source_;
  std::size_t at_ = 0, opened_ = 0;
  Mode mode_ = Mode::data;
  bool pending_ = false;     // a tag begins at at_
  bool line_starts_ = true;  // what stood before at_ ended a line
  std::string open_ = {};    // the closing brackets that are awaited
};

}  // namespace plume::inline PLUME_ABI::jinja
#endif
