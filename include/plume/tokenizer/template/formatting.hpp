#pragma once
// Python's two ways to fill a text: "%s and %d" % values, and "{} and {name}".format(...) [docs.python.org printf-style String Formatting,
// Format String Syntax]. What a user's text becomes stays a user's.
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/tokenizer/template/machine.hpp"

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::jinja {

inline Value attribute(Machine& machine, const Value& whole, std::string_view name);
inline Value item(Machine& machine, const Value& whole, const Value& key);

struct FormatSpec {
  std::string fill = " ";
  char align = 0, sign = '-', group = 0, type = 0;  // 0: not given
  bool alternate = false;
  std::optional<std::size_t> width = {}, precision = {};
  bool plain() const { return align == 0 && sign == '-' && group == 0 && type == 0 && !alternate && !width && !precision; }
};

class Formatter {
 public:
  Formatter(Machine& machine, const MarkedText& form) : machine_(machine), form_(form) {}

  // form % values
  Value percent(const Value& values) {
    const bool tuple = values.is(Kind::list) && values.list->kind == ListKind::tuple;
    std::size_t used = 0;
    bool named = false;
    const auto next = [&]() -> Value {
      if (!tuple) {
        if (used++ > 0) machine_.fail("%: not enough values for the text");
        return values;
      }
      if (used >= values.list->items.size()) machine_.fail("%: not enough values for the text");
      return values.list->items[used++];
    };
    for (; at_ < form_.size();) {
      const std::size_t sign = std::min(form_.bytes.find('%', at_), form_.size());
      copy(sign);
      if (at_ == form_.size()) break;
      ++at_;
      Value mapped;
      bool keyed = false;
      if (peek() == '(') {
        const std::size_t end = form_.bytes.find(')', at_);
        if (end == std::string::npos) machine_.fail("%: a name in parentheses does not end");
        if (!values.is(Kind::dict)) machine_.fail("%: the text names its values, which must be a dict");
        mapped = item(machine_, values, machine_.text(form_.part(at_ + 1, end - at_ - 1)));
        if (mapped.is_undefined()) machine_.fail_undefined(mapped);
        keyed = named = true;
        at_ = end + 1;
      }
      FormatSpec spec;
      spec.align = '>';
      bool zero = false;
      for (;; ++at_) {
        const char flag = peek();
        if (flag == '-')
          spec.align = '<';
        else if (flag == '0')
          zero = true;
        else if (flag == '+' || (flag == ' ' && spec.sign != '+'))
          spec.sign = flag;
        else if (flag == '#')
          spec.alternate = true;
        else if (flag != ' ')
          break;
      }
      const auto amount = [&]() -> std::optional<std::size_t> {
        if (peek() != '*') return number();
        ++at_;
        const Value value = next();
        if (!value.is_whole() || value.whole() < 0) machine_.fail("%: * wants a whole number, at least 0");
        return static_cast<std::size_t>(value.whole());
      };
      spec.width = amount();
      if (peek() == '.') {
        ++at_;
        spec.precision = amount().value_or(0);
      }
      while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++at_;
      const char kind = peek();
      if (kind == '\0') machine_.fail("%: the text ends behind a %");
      ++at_;
      if (kind == '%') {
        out_.append("%", Source::literal);
        continue;
      }
      const Value value = keyed ? mapped : next();
      if (kind == 's' || kind == 'r') {
        add_text(kind == 's' ? machine_.string(value) : quoted_text(value), spec);
        continue;
      }
      if (std::string_view("diuoxXeEfFgGc").find(kind) == std::string_view::npos)
        machine_.fail("%: the conversion ", quoted(std::string_view(&kind, 1)), " is not supported");
      if (value.is_undefined()) machine_.fail_undefined(value);
      if (kind == 'c' && value.is(Kind::text)) {
        add_text(value, spec);
        continue;
      }
      if (!value.is_number()) machine_.fail("%: a number is required, not a ", Machine::type_name(value));
      if (zero && spec.align == '>') spec.align = '=', spec.fill = "0";
      spec.type = kind == 'i' || kind == 'u' ? 'd' : kind;
      const bool whole = spec.type == 'd' || spec.type == 'x' || spec.type == 'X' || spec.type == 'o';
      if (whole && spec.precision) machine_.fail("%: a precision of whole numbers is not supported");
      if (whole && value.is(Kind::real)) {
        if (spec.type != 'd') machine_.fail("%: a whole number is required, not a float");
        if (!(std::abs(value.real) < 9e18)) machine_.fail_overflow();
        add_number(Value::of(static_cast<std::int64_t>(value.real)), spec);
      } else {
        add_number(value, spec);
      }
    }
    if (!named && !values.is(Kind::dict) && used < (tuple ? values.list->items.size() : 1))
      machine_.fail("%: not all values are in the text");
    return machine_.text(std::move(out_));
  }

  // form.format(...); `names`: the dict of format_map.
  Value braces(const Arguments& given, const Dict* names) {
    fill(given, names, form_.size(), 2);
    return machine_.text(std::move(out_));
  }

 private:
  char peek() const { return at_ < form_.size() ? form_.bytes[at_] : '\0'; }
  void copy(std::size_t end) {
    machine_.make(end - at_, out_.size());
    out_.append(form_, at_, end - at_);
    at_ = end;
  }
  std::optional<std::size_t> number() {
    std::size_t value = 0;
    const std::size_t begin = at_;
    for (; peek() >= '0' && peek() <= '9' && at_ < begin + 7; ++at_) value = value * 10 + static_cast<std::size_t>(peek() - '0');
    return at_ > begin ? std::optional(value) : std::nullopt;
  }
  Value quoted_text(const Value& value) {
    std::string written;
    const bool typed = machine_.represent(written, value);
    return machine_.text(written, typed ? Source::user : Source::literal);
  }

  void fill(const Arguments& given, const Dict* names, std::size_t end, int depth) {
    while (at_ < end) {
      const std::size_t brace = std::min(form_.bytes.find_first_of("{}", at_), end);
      copy(brace);
      if (at_ == end) return;
      const char c = form_.bytes[at_++];
      if (peek() == c && at_ < end) {
        out_.append(std::string_view(&c, 1), Source::literal);
        ++at_;
        continue;
      }
      if (c == '}') machine_.fail("format: a single } in the text");
      field(given, names, end, depth);
    }
  }
  void field(const Arguments& given, const Dict* names, std::size_t end, int depth) {
    if (depth == 0) machine_.fail("format: fields inside fields inside fields");
    const std::size_t begin = at_;
    while (at_ < end && std::string_view(".[!:}{").find(peek()) == std::string_view::npos) ++at_;
    const std::string name = form_.bytes.substr(begin, at_ - begin);
    Value value = start(given, names, name);
    while (peek() == '.' || peek() == '[') {
      const bool dot = peek() == '.';
      const std::size_t from = ++at_;
      while (at_ < end && (dot ? std::string_view(".[!:}").find(peek()) == std::string_view::npos : peek() != ']')) ++at_;
      const std::string part = form_.bytes.substr(from, at_ - from);
      if (part.empty()) machine_.fail("format: an empty attribute in the text");
      if (dot) {
        value = attribute(machine_, value, machine_.heap.names.emplace_back(part));
      } else {
        if (at_++ == end) machine_.fail("format: a field does not end");
        std::int64_t index = 0;
        const auto [last, error] = std::from_chars(part.data(), part.data() + part.size(), index);
        const bool digits = error == std::errc() && last == part.data() + part.size();
        value = item(machine_, value, digits ? Value::of(index) : machine_.text(part));
      }
    }
    if (peek() == '!') {
      ++at_;
      const char conversion = peek();
      if (conversion != 'r' && conversion != 's')
        machine_.fail("format: the conversion ", quoted(std::string_view(&conversion, 1)), " is not supported");
      value = conversion == 'r' ? quoted_text(value) : machine_.string(value);
      ++at_;
    }
    FormatSpec spec;
    if (peek() == ':') {
      ++at_;
      MarkedText before = std::exchange(out_, MarkedText());
      const std::size_t close = closing(end);
      fill(given, names, close, depth - 1);
      const MarkedText written = std::exchange(out_, std::move(before));
      spec = read(written.bytes);
      at_ = close;
    }
    if (at_ >= end || peek() != '}') machine_.fail("format: a field does not end with }");
    ++at_;
    add(value, spec);
  }
  std::size_t closing(std::size_t end) const {  // of the field that holds at_
    std::size_t open = 0;
    for (std::size_t i = at_; i < end; ++i) {
      if (form_.bytes[i] == '{') ++open;
      if (form_.bytes[i] == '}' && open-- == 0) return i;
    }
    machine_.fail("format: a field does not end with }");
  }
  Value start(const Arguments& given, const Dict* names, const std::string& name) {
    std::size_t index = 0;
    const auto [last, error] = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool digits = !name.empty() && error == std::errc() && last == name.data() + name.size();
    if (names == nullptr && (name.empty() || digits)) {
      if (numbering_ != 0 && numbering_ != (digits ? 2 : 1)) machine_.fail("format: numbered and unnumbered fields in one text");
      numbering_ = digits ? 2 : 1;
      if (!digits) index = next_++;
      if (index >= given.values.size()) machine_.fail("format: the text asks for value ", index, ", ", given.values.size(), " are given");
      return given.values[index];
    }
    if (names) {
      if (const Value* found = names->find(name)) return *found;
    } else {
      for (const auto& [key, value] : given.named)
        if (key == name) return value;
    }
    machine_.fail("format: there is no value ", quoted(name));
  }

  FormatSpec read(std::string_view text) const {
    FormatSpec spec;
    std::size_t at = 0;
    const auto is_align = [&](std::size_t i) {
      return i < text.size() && std::string_view("<>=^").find(text[i]) != std::string_view::npos;
    };
    const std::size_t first = text.empty() ? 0 : code_point_at(text, 0).length;
    if (!text.empty() && is_align(first)) {
      spec.fill = text.substr(0, first);
      spec.align = text[first];
      at = first + 1;
    } else if (is_align(0)) {
      spec.align = text[at++];
    }
    if (at < text.size() && (text[at] == '+' || text[at] == '-' || text[at] == ' ')) spec.sign = text[at++];
    if (at < text.size() && text[at] == '#') spec.alternate = true, ++at;
    if (at < text.size() && text[at] == '0') {
      ++at;
      if (spec.align == 0) spec.align = '=', spec.fill = "0";
    }
    const auto digits = [&]() -> std::optional<std::size_t> {
      std::size_t value = 0;
      const std::size_t begin = at;
      for (; at < text.size() && text[at] >= '0' && text[at] <= '9' && at < begin + 7; ++at)
        value = value * 10 + static_cast<std::size_t>(text[at] - '0');
      return at > begin ? std::optional(value) : std::nullopt;
    };
    spec.width = digits();
    if (at < text.size() && (text[at] == ',' || text[at] == '_')) spec.group = text[at++];
    if (at < text.size() && text[at] == '.') {
      ++at;
      spec.precision = digits();
      if (!spec.precision) machine_.fail("format: a precision is missing in ", quoted(text));
    }
    if (at < text.size()) spec.type = text[at++];
    if (at != text.size()) machine_.fail("format: ", quoted(text), " is no format");
    return spec;
  }

  void add(const Value& value, const FormatSpec& spec) {
    if (spec.plain()) return machine_.append_string(out_, value);
    if (value.is_undefined()) machine_.fail_undefined(value);
    if (value.is(Kind::text)) {
      if ((spec.type != 0 && spec.type != 's') || spec.align == '=' || spec.sign != '-' || spec.alternate || spec.group != 0)
        machine_.fail("format: this format is none for a text");
      FormatSpec left = spec;
      if (left.align == 0) left.align = '<';
      return add_text(value, left);
    }
    if (!value.is_number()) machine_.fail("format: a ", Machine::type_name(value), " takes no format");
    FormatSpec right = spec;
    if (right.align == 0) right.align = '>';
    add_number(value, right);
  }

  // `text` cut to the precision and padded to the width.
  void add_text(const Value& value, const FormatSpec& spec) {
    const MarkedText& text = *value.text;
    std::size_t end = 0, count = 0;
    while (end < text.size() && (!spec.precision || count < *spec.precision)) end += code_point_at(text.bytes, end).length, ++count;
    pad(text.part(0, end), count, 0, spec);
  }
  void pad(const MarkedText& text, std::size_t count, std::size_t inner, const FormatSpec& spec) {  // inner: bytes before padding by =
    const std::size_t wanted = spec.width.value_or(0), missing = wanted > count ? wanted - count : 0;
    std::size_t left = spec.align == '<' ? 0 : spec.align == '^' ? missing / 2 : missing;
    machine_.make(text.size() + missing * spec.fill.size(), out_.size());
    const auto space = [&](std::size_t times) {
      for (; times > 0; --times) out_.append(spec.fill, Source::literal);
    };
    const std::size_t front = spec.align == '=' ? inner : 0;
    out_.append(text, 0, front);
    space(left);
    out_.append(text, front, text.size() - front);
    space(missing - left);
  }

  void add_number(const Value& value, FormatSpec spec) {
    if (spec.precision.value_or(0) > 300) machine_.fail("format: a precision of ", *spec.precision, " is not supported");
    char type = spec.type;
    const bool whole =
        value.is_whole() && (type == 0 || type == 'd' || type == 'x' || type == 'X' || type == 'o' || type == 'b' || type == 'c');
    if (!whole && type != 0 && std::string_view("eEfFgG%").find(type) == std::string_view::npos)
      machine_.fail("format: the type ", quoted(std::string_view(&type, 1)), " is not supported for a ", Machine::type_name(value));
    std::string digits, prefix;
    bool negative = false;
    char buffer[700];
    if (whole) {
      const std::int64_t number = value.whole();
      if (type == 'c') {
        if (number < 0 || number > 0x10ffff || (number >= 0xd800 && number < 0xe000)) machine_.fail("format: ", number, " is no character");
        std::string character;
        append_utf8(character, static_cast<char32_t>(number));
        return pad(MarkedText(std::string_view(character), Source::literal), 1, 0, spec);
      }
      if (spec.precision) machine_.fail("format: a whole number takes no precision");
      negative = number < 0;
      const std::uint64_t size = negative ? 0 - static_cast<std::uint64_t>(number) : static_cast<std::uint64_t>(number);
      const int base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
      digits.assign(buffer, std::to_chars(buffer, buffer + sizeof buffer, size, base).ptr);
      if (type == 'X')
        for (char& c : digits) c = c >= 'a' ? static_cast<char>(c - 32) : c;
      if (spec.alternate && base != 10) prefix = std::string("0") + type;
    } else {
      if (spec.alternate) machine_.fail("format: # is not supported for a float");
      double number = value.number();
      negative = std::signbit(number) && !std::isnan(number);
      number = std::abs(number);
      if (type == '%') number *= 100;
      if (!std::isfinite(number)) {
        digits = std::isnan(number) ? "nan" : "inf";
      } else if (type == 0 && !spec.precision) {
        digits = python_float(number);
      } else if (type == 0) {
        machine_.fail("format: a precision without a type is not supported: add f");
      } else {
        const char low = type >= 'a' ? type : static_cast<char>(type + 32);
        const auto how = low == 'e' ? std::chars_format::scientific : low == 'g' ? std::chars_format::general : std::chars_format::fixed;
        std::size_t precision = spec.precision.value_or(6);
        if (low == 'g' && precision == 0) precision = 1;
        digits.assign(buffer, std::to_chars(buffer, buffer + sizeof buffer, number, how, static_cast<int>(precision)).ptr);
      }
      if (type == 'E' || type == 'G' || type == 'F')
        for (char& c : digits) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
      if (type == '%') digits.push_back('%');
    }
    if (spec.group != 0) {
      if (spec.align == '=' && spec.fill == "0") machine_.fail("format: groups of digits behind zeros are not supported");
      const std::size_t each = type == 'x' || type == 'X' || type == 'o' || type == 'b' ? 4 : 3;
      std::size_t end = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
      if (!whole) end = std::min(digits.find_first_not_of("0123456789"), digits.size());
      for (std::size_t at = end; at > each;) digits.insert(at -= each, 1, spec.group);
    }
    std::string all = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
    all += prefix;
    const std::size_t inner = all.size();
    all += digits;
    pad(MarkedText(std::string_view(all), Source::literal), all.size(), inner, spec);
  }

  Machine& machine_;
  const MarkedText& form_;
  MarkedText out_;
  std::size_t at_ = 0, next_ = 0;
  int numbering_ = 0;  // 1: fields without numbers, 2: with
};

}  // namespace plume::inline PLUME_ABI::jinja
#include "plume/tokenizer/template/text_methods.hpp"  // which the methods below use, and which uses what stands above
namespace plume::inline PLUME_ABI::jinja {

namespace method {
inline Value format(Machine& machine, const Value& self, Arguments& given) {
  return Formatter(machine, plain_text(machine, self, "format: the text")).braces(given, nullptr);
}
inline Value format_map(Machine& machine, const Value& self, Arguments& given) {
  const auto [names] = bind(machine, "format_map", given, {"mapping"}, 1);
  if (!names->is(Kind::dict)) machine.fail("format_map: a dict is required, not a ", Machine::type_name(*names));
  return Formatter(machine, plain_text(machine, self, "format_map: the text")).braces({}, names->dict);
}
}  // namespace method

}  // namespace plume::inline PLUME_ABI::jinja
#endif
