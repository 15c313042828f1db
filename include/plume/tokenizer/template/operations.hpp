#pragma once
// Operators, subscripts and JSON over the values of a template.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/sort_stably.hpp"
#include "plume/tokenizer/template/machine.hpp"

#if PLUME_BODIES
#include "plume/tokenizer/template/text_methods.hpp"

namespace plume::inline PLUME_ABI::jinja {

// Joins texts as + does: where one is marked as escaped, the others are escaped.
inline Value join_texts(Machine& machine, const std::vector<Value>& parts) {
  const bool markup = std::any_of(parts.begin(), parts.end(), [](const Value& part) { return part.is(Kind::text) && part.text->markup; });
  MarkedText made;
  for (const Value& part : parts) machine.append_string(made, markup ? escaped(machine, part) : part);
  made.markup = markup;
  return machine.text(std::move(made));
}

inline Value repeated(Machine& machine, const Value& value, std::int64_t times) {
  if (value.is(Kind::text)) {
    MarkedText made;
    made.markup = value.text->markup;
    if (value.text->size() > 0 && times > 0) {
      if (times > (std::int64_t{1} << 40)) times = std::int64_t{1} << 40;
      machine.make(static_cast<std::uint64_t>(times) * value.text->size());
      for (std::int64_t i = 0; i < times; ++i) made.append(*value.text);
    }
    return machine.text(std::move(made));
  }
  std::vector<Value> items;
  if (!value.list->items.empty() && times > 0) {
    if (times > (std::int64_t{1} << 40)) times = std::int64_t{1} << 40;
    machine.work(static_cast<std::uint64_t>(times) * value.list->items.size());
    for (std::int64_t i = 0; i < times; ++i) items.insert(items.end(), value.list->items.begin(), value.list->items.end());
  }
  return machine.list(std::move(items), value.list->kind);
}

inline Value whole_arithmetic(const Machine& machine, Operator sign, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool over = false;
  switch (sign) {
    case Operator::add:
      over = __builtin_add_overflow(a, b, &result);
      break;
    case Operator::subtract:
      over = __builtin_sub_overflow(a, b, &result);
      break;
    case Operator::multiply:
      over = __builtin_mul_overflow(a, b, &result);
      break;
    case Operator::divide:
      return Value::of(static_cast<double>(a) / static_cast<double>(b));
    case Operator::floor:
      if (b == -1) {
        over = __builtin_sub_overflow(std::int64_t{0}, a, &result);
        break;
      }
      result = a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
      break;
    case Operator::modulo:
      result = b == -1 ? 0 : a % b;
      if (result != 0 && (result < 0) != (b < 0)) result += b;
      break;
    default: {  // power
      if (b < 0) return Value::of(std::pow(static_cast<double>(a), static_cast<double>(b)));
      result = 1;
      if (a == 0 || a == 1 || a == -1) return Value::of(a == -1 ? (b % 2 == 0 ? std::int64_t{1} : std::int64_t{-1}) : b == 0 ? 1 : a);
      for (std::int64_t i = 0; i < b && !over; ++i) over = __builtin_mul_overflow(result, a, &result);
    }
  }
  if (over) machine.fail_overflow();
  return Value::of(result);
}

inline Value arithmetic(Machine& machine, Operator sign, const Value& a, const Value& b) {
  if (a.is_undefined()) machine.fail_undefined(a);
  if (b.is_undefined() && !(sign == Operator::modulo && a.is(Kind::text))) machine.fail_undefined(b);
  if (a.is_number() && b.is_number()) {
    const bool divides = sign == Operator::divide || sign == Operator::floor || sign == Operator::modulo;
    if ((divides && b.number() == 0) || (sign == Operator::power && a.number() == 0 && b.number() < 0)) machine.fail("division by zero");
    if (a.is_whole() && b.is_whole()) return whole_arithmetic(machine, sign, a.whole(), b.whole());
    const double x = a.number(), y = b.number();
    switch (sign) {
      case Operator::add:
        return Value::of(x + y);
      case Operator::subtract:
        return Value::of(x - y);
      case Operator::multiply:
        return Value::of(x * y);
      case Operator::divide:
        return Value::of(x / y);
      case Operator::power: {
        const double power = std::pow(x, y);
        if (x < 0 && y != std::floor(y)) machine.fail("a negative number to a broken power is not supported");
        if (std::isinf(power) && std::isfinite(x) && std::isfinite(y)) machine.fail_overflow();
        return Value::of(power);
      }
      default: {  // as CPython's float_divmod
        double rest = std::fmod(x, y), quotient = (x - rest) / y;
        if (rest != 0) {
          if ((y < 0) != (rest < 0)) {
            rest += y;
            quotient -= 1;
          }
        } else {
          rest = std::copysign(0.0, y);
        }
        if (sign == Operator::modulo) return Value::of(rest);
        if (quotient == 0) return Value::of(std::copysign(0.0, x / y));
        const double floor = std::floor(quotient);
        return Value::of(quotient - floor > 0.5 ? floor + 1 : floor);
      }
    }
  }
  const auto is_sequence = [](const Value& value) {
    return value.is(Kind::text) || (value.is(Kind::list) && value.list->kind <= ListKind::tuple);
  };
  if (sign == Operator::add && a.is(Kind::text) && b.is(Kind::text)) return join_texts(machine, {a, b});
  if (sign == Operator::add && a.is(Kind::list) && b.is(Kind::list) && is_sequence(a) && a.list->kind == b.list->kind) {
    std::vector<Value> items = a.list->items;
    items.insert(items.end(), b.list->items.begin(), b.list->items.end());
    return machine.list(std::move(items), a.list->kind);
  }
  if (sign == Operator::multiply && is_sequence(a) && b.is_whole()) return repeated(machine, a, b.whole());
  if (sign == Operator::multiply && is_sequence(b) && a.is_whole()) return repeated(machine, b, a.whole());
  if (sign == Operator::modulo && a.is(Kind::text)) return Formatter(machine, plain_text(machine, a, "%: the text")).percent(b);
  static constexpr std::string_view signs[] = {"+", "-", "*", "/", "//", "%", "**"};
  machine.fail("'", signs[static_cast<std::size_t>(sign) - static_cast<std::size_t>(Operator::add)], "' is not supported between ",
               Machine::type_name(a), " and ", Machine::type_name(b));
}

inline bool compares(Machine& machine, Operator sign, const Value& a, const Value& b) {
  switch (sign) {
    case Operator::equal:
      return machine.equal(a, b);
    case Operator::unequal:
      return !machine.equal(a, b);
    case Operator::in:
      return machine.contains(b, a);
    case Operator::not_in:
      return !machine.contains(b, a);
    default:
      break;
  }
  const int order = machine.order(a, b);
  if (order == 2) return false;
  return sign == Operator::less         ? order < 0
         : sign == Operator::less_equal ? order <= 0
         : sign == Operator::greater    ? order > 0
                                        : order >= 0;
}

// Where element `index` (from the end when negative) stands, or none.
inline std::optional<std::size_t> place_of(std::int64_t index, std::size_t size) {
  const auto count = static_cast<std::int64_t>(size);
  if (index < 0) index += count;
  if (index < 0 || index >= count) return std::nullopt;
  return static_cast<std::size_t>(index);
}

// The byte at which character `index` of a text begins; text.size() for the end.
inline std::size_t byte_of(std::string_view text, std::size_t index, std::size_t characters) {
  if (characters == text.size()) return index;
  std::size_t at = 0;
  for (; index > 0 && at < text.size(); --index) do
      ++at;
    while (at < text.size() && continues_character(text[at]));
  return at;
}

// value[key], as jinja2 reads it: what is not there is undefined.
inline Value item(Machine& machine, const Value& value, const Value& key) {
  if (value.is_undefined()) machine.fail_undefined(value);
  if (value.is(Kind::dict) && machine.is_hashable(key))
    if (const Value* found = machine.find(*value.dict, key)) return *found;
  if (key.is_whole() && value.is(Kind::text)) {
    const MarkedText& text = *value.text;
    machine.work(text.size() / 64);
    const std::size_t characters = count_characters(text.bytes);
    if (const auto place = place_of(key.whole(), characters)) {
      const std::size_t begin = byte_of(text.bytes, *place, characters);
      return machine.character(text, begin, code_point_at(text.bytes, begin).length);
    }
  }
  if (key.is_whole() && value.is(Kind::list) && value.list->kind <= ListKind::range)
    if (const auto place = place_of(key.whole(), value.list->items.size())) return value.list->items[*place];
  if (key.is(Kind::text)) {
    if (value.is(Kind::names))
      if (const Value* found = value.dict->find(key.text->bytes)) return *found;
    const bool inner = key.text->bytes.starts_with("__") && key.text->typed();
    if (const std::optional<Value> found = inner ? std::nullopt : method_of(machine, value, key.text->bytes)) return *found;
    return machine.undefined(key.text->bytes);
  }
  return machine.undefined(key.is_whole() ? concat(key.whole()) : std::string(Machine::type_name(key)));
}

// value.name: methods first, then what is stored under the name.
inline Value attribute(Machine& machine, const Value& value, std::string_view name) {
  if (value.is_undefined()) machine.fail_undefined(value);
  if (!value.is(Kind::names))
    if (const std::optional<Value> found = method_of(machine, value, name)) return *found;
  if (value.is(Kind::dict) || value.is(Kind::names))
    if (const Value* found = value.dict->find(name)) return *found;
  return machine.undefined(name);
}

inline Value slice(Machine& machine, const Value& value, const Value& first, const Value& last, const Value& by) {
  if (value.is_undefined()) machine.fail_undefined(value);
  const bool text = value.is(Kind::text);
  if (!text && !(value.is(Kind::list) && value.list->kind <= ListKind::range))
    machine.fail("a ", Machine::type_name(value), " has no slices");
  for (const Value* bound : {&first, &last, &by})
    if (!bound->is(Kind::none) && !bound->is_whole())
      machine.fail("the bounds of a slice are whole numbers, not ", Machine::type_name(*bound));
  const std::size_t characters = text ? count_characters(value.text->bytes) : value.list->items.size();
  machine.work(1 + (text ? value.text->size() / 64 : 0));
  const auto size = static_cast<std::int64_t>(characters);
  const std::int64_t step = by.is(Kind::none) ? 1 : by.whole();
  if (step == 0) machine.fail("the step of a slice is 0");
  const auto clamp = [&](const Value& given, std::int64_t otherwise) {
    if (given.is(Kind::none)) return otherwise;
    std::int64_t at = given.whole();
    const std::int64_t low = step < 0 ? -1 : 0, high = step < 0 ? size - 1 : size;
    if (at < 0) at = at < -size ? low : at + size;
    return std::max(low, std::min(at, high));
  };
  const std::int64_t begin = clamp(first, step < 0 ? size - 1 : 0), end = clamp(last, step < 0 ? -1 : size);
  if (text && step == 1) {
    const std::size_t from = byte_of(value.text->bytes, static_cast<std::size_t>(begin), characters);
    const std::size_t to = byte_of(value.text->bytes, static_cast<std::size_t>(std::max(begin, end)), characters);
    return machine.text(value.text->part(from, to - from));
  }
  std::vector<std::int64_t> places;
  for (std::int64_t at = begin; step > 0 ? at < end : at > end;) {
    machine.work(1);
    places.push_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  if (!text) {
    std::vector<Value> items;
    for (const std::int64_t at : places) items.push_back(value.list->items[static_cast<std::size_t>(at)]);
    const Value made = machine.list(std::move(items), value.list->kind);
    if (value.list->kind == ListKind::range) {
      made.list->step = value.list->step * step;
      made.list->start = value.list->start + begin * value.list->step;
      made.list->stop = value.list->start + end * value.list->step;
    }
    return made;
  }
  const std::vector<Value> all = machine.elements(value);
  MarkedText made;
  for (const std::int64_t at : places) made.append(*all[static_cast<std::size_t>(at)].text);
  return machine.text(std::move(made));
}

struct JsonFormat {
  bool ascii = false, sorted = false;
  std::optional<std::string> indent = {};
  std::string between_items = ", ", after_key = ": ";
};

inline void append_json_string(std::string& out, std::string_view text, bool ascii) {
  const auto unit = [&](std::uint32_t value) {
    out.append("\\u");
    for (int shift = 12; shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[(value >> shift) & 15]);
  };
  out.push_back('"');
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    constexpr std::string_view from = "\"\\\n\r\t\f\b", to = "\"\\nrtfb";
    if (const std::size_t found = c.value < 128 ? from.find(static_cast<char>(c.value)) : from.npos; found != from.npos) {
      out.push_back('\\');
      out.push_back(to[found]);
    } else if (c.value < 0x20 || (ascii && c.value >= 0x7f && c.value < 0x10000)) {
      if (c.value == 0x7f)
        out.push_back(text[at]);
      else
        unit(c.value);
    } else if (ascii && c.value >= 0x10000) {
      unit(0xd800 + ((c.value - 0x10000) >> 10));
      unit(0xdc00 + ((c.value - 0x10000) & 0x3ff));
    } else {
      out.append(text.substr(at, c.length));
    }
    at += c.length;
  }
  out.push_back('"');
}

// json.dumps; true: some of it is a user's.
inline bool append_json(Machine& machine, std::string& out, const Value& value, const JsonFormat& format, std::size_t level = 0) {
  const Machine::Deeper guard = machine.into_value();
  machine.work(1);
  const auto line = [&](std::size_t deep) {
    if (!format.indent) return;
    out.push_back('\n');
    for (std::size_t i = 0; i < deep; ++i) out.append(*format.indent);
  };
  const auto number = [](double real) {
    return std::isnan(real) ? std::string("NaN") : std::isinf(real) ? std::string(real > 0 ? "Infinity" : "-Infinity") : python_float(real);
  };
  machine.make(0, out.size());
  switch (value.kind) {
    case Kind::none:
      out.append("null");
      return false;
    case Kind::boolean:
      out.append(value.boolean ? "true" : "false");
      return false;
    case Kind::integer:
      append_text(out, value.integer);
      return false;
    case Kind::real:
      out.append(number(value.real));
      return false;
    case Kind::text:
      machine.make(value.text->size(), out.size());
      append_json_string(out, value.text->bytes, format.ascii);
      return value.text->typed();
    case Kind::list: {
      if (value.list->kind > ListKind::tuple) break;
      const auto& items = value.list->items;
      if (items.empty()) {
        out.append("[]");
        return false;
      }
      bool typed = false;
      out.push_back('[');
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (i > 0) out.append(format.between_items);
        line(level + 1);
        typed |= append_json(machine, out, items[i], format, level + 1);
      }
      line(level);
      out.push_back(']');
      return typed;
    }
    case Kind::dict: {
      if (value.dict->entries.empty()) {
        out.append("{}");
        return false;
      }
      std::vector<std::pair<Value, Value>> entries = value.dict->entries;
      if (format.sorted) sort_stably(entries, [&](const auto& a, const auto& b) { return machine.order(a.first, b.first) < 0; });
      bool typed = false;
      out.push_back('{');
      for (std::size_t i = 0; i < entries.size(); ++i) {
        if (i > 0) out.append(format.between_items);
        line(level + 1);
        const Value& key = entries[i].first;
        if (key.is(Kind::text)) {
          typed |= append_json(machine, out, key, format, level + 1);
        } else if (key.is(Kind::list) || key.is_undefined() || key.kind > Kind::text) {
          machine.fail("tojson: a ", Machine::type_name(key), " cannot be a key of JSON");
        } else {
          out.push_back('"');
          append_json(machine, out, key, format, level + 1);
          out.push_back('"');
        }
        out.append(format.after_key);
        typed |= append_json(machine, out, entries[i].second, format, level + 1);
      }
      line(level);
      out.push_back('}');
      return typed;
    }
    case Kind::undefined:
      machine.fail_undefined(value);
    default:
      break;
  }
  machine.fail("tojson: a ", Machine::type_name(value), " cannot be written as JSON");
}

}  // namespace plume::inline PLUME_ABI::jinja
#include "plume/tokenizer/template/filters.hpp"  // where what is declared above is defined
#endif
