#pragma once
// The filters, tests and functions of templates, after jinja2's, with tojson as transformers defines it.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/sort_stably.hpp"
#include "plume/tokenizer/template/operations.hpp"

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::jinja {

struct Filter {
  std::string_view name;
  Value (*call)(Machine&, const Value& value, Arguments& arguments);
};
struct Test {
  std::string_view name;
  bool (*call)(Machine&, const Value& value, Arguments& arguments);
};
inline const Filter* find_filter(std::string_view name);
inline const Test* find_test(std::string_view name);

// "a.b.0" of a value, as filters take attributes.
inline Value path_of(Machine& machine, Value value, const Value& path) {
  if (path.is(Kind::none)) return value;
  if (!path.is(Kind::text)) return item(machine, value, path);
  const std::string& names = path.text->bytes;
  for (std::size_t begin = 0; begin <= names.size();) {
    const std::size_t end = std::min(names.find('.', begin), names.size());
    const std::string_view part = std::string_view(names).substr(begin, end - begin);
    std::int64_t index = 0;
    const auto [last, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool number = !part.empty() && error == std::errc() && last == part.data() + part.size() && part[0] != '-';
    value = item(machine, value, number ? Value::of(index) : machine.text(part));
    begin = end + 1;
  }
  return value;
}
inline Value without_case(Machine& machine, const Value& value) { return value.is(Kind::text) ? lower(machine, *value.text) : value; }

template <class Less>
void sort_values(Machine& machine, std::vector<std::pair<Value, Value>>& keyed, bool reverse, Less less) {
  std::size_t logarithm = 1;
  while ((keyed.size() >> logarithm) > 0) ++logarithm;
  machine.work(keyed.size() * logarithm);
  if (reverse) std::reverse(keyed.begin(), keyed.end());  // equal ones keep their order
  sort_stably(keyed, [&](const auto& a, const auto& b) { return less(a.first, b.first); });
  if (reverse) std::reverse(keyed.begin(), keyed.end());
}

namespace filter {

// soft_str: what is no text becomes one.
inline Value soft(Machine& machine, const Value& value) {
  const Value made = machine.string(value);
  plain_text(machine, made, "this filter");
  return made;
}
template <Value (*change)(Machine&, const MarkedText&)>
Value simple(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "this filter", given);
  return change(machine, *soft(machine, value).text);
}
inline Value title(Machine& machine, const MarkedText& text) {  // words begin after white space and - ( { [ <
  bool first = true;
  return mapped(machine, text, [&](std::string& out, std::size_t at) {
    const char32_t c = code_point_at(text.bytes, at).value;
    const bool between = is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    first && !between ? append_upper(out, c) : append_lower(out, text.bytes, at);
    first = between;
  });
}
inline Value trim(Machine& machine, const Value& value, Arguments& given) {
  const auto [characters] = bind(machine, "trim", given, {"chars"});
  return stripped(machine, *machine.string(value).text, characters, Side::both);
}
inline Value center(Machine& machine, const Value& value, Arguments& given) {
  const auto [width] = bind(machine, "center", given, {"width"});
  const std::int64_t wide = width ? machine.whole(*width, "center: the width") : 80;
  const Value text = soft(machine, value), space = machine.text(" ");
  const std::int64_t more = missing(*text.text, wide), left = more / 2 + (more & wide & 1);  // as CPython's str.center
  return join_texts(machine, {repeated(machine, space, left), text, repeated(machine, space, more - left)});
}
inline Value string(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "string", given);
  return machine.string(value);
}
inline Value safe(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "safe", given);
  MarkedText made = *machine.string(value).text;
  made.markup = true;
  return machine.text(std::move(made));
}
inline Value escape(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "escape", given);
  return escaped(machine, value);
}
inline Value replace(Machine& machine, const Value& value, Arguments& given) {
  const auto [from, to, count] = bind(machine, "replace", given, {"old", "new", "count"}, 2);
  const std::int64_t most = count && !count->is(Kind::none) ? machine.whole(*count, "the count") : -1;
  return replaced(machine, *soft(machine, value).text, *soft(machine, *from).text, *soft(machine, *to).text, most);
}
inline Value indent(Machine& machine, const Value& value, Arguments& given) {
  const auto [width, first, blank] = bind(machine, "indent", given, {"width", "first", "blank"});
  const MarkedText& text = plain_text(machine, value, "indent: the value");
  MarkedText space;
  if (width && width->is(Kind::text))
    space = *width->text;
  else
    space = *repeated(machine, machine.text(" "), width ? machine.whole(*width, "the width") : 4).text;
  MarkedText with_end = text;
  with_end.append("\n", Source::literal);
  const std::vector<Value> lines = split_lines(machine, with_end).list->items;
  MarkedText made;
  if (first && machine.truth(*first)) made.append(space);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const MarkedText& line = *lines[i].text;
    machine.make(line.size() + space.size() + 1, made.size());
    if (i > 0) made.append("\n", Source::literal);
    if (i > 0 && (line.size() > 0 || (blank && machine.truth(*blank)))) made.append(space);
    made.append(line);
  }
  return machine.text(std::move(made));
}

inline Value length(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "length", given);
  const auto found = machine.length(value);
  if (!found) machine.fail("length: a ", Machine::type_name(value), " has none");
  return Value::of(*found);
}
inline Value otherwise(Machine& machine, const Value& value, Arguments& given) {
  const auto [other, boolean] = bind(machine, "default", given, {"default_value", "boolean"});
  const bool takes = value.is_undefined() || (boolean && machine.truth(*boolean) && !machine.truth(value));
  return !takes ? value : other ? *other : machine.text("");
}
inline Value first(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "first", given);
  if (value.is(Kind::list) && value.list->kind == ListKind::iterator && value.list->read < value.list->items.size())
    return value.list->items[value.list->read++];
  const std::vector<Value> all = machine.elements(value);
  return all.empty() ? machine.undefined("first") : all.front();
}
inline bool is_reversible(const Value& value) {
  return value.is(Kind::text) || value.is(Kind::dict) || value.is_undefined() ||
         (value.is(Kind::list) && value.list->kind != ListKind::iterator);
}
inline Value last(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "last", given);
  if (!is_reversible(value)) machine.fail("last: a ", Machine::type_name(value), " has no end to begin at; add |list before");
  const std::vector<Value> all = machine.elements(value);
  return all.empty() ? machine.undefined("last") : all.back();
}
inline Value list(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "list", given);
  return machine.list(machine.elements(value));
}
inline Value reverse(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "reverse", given);
  std::vector<Value> all = machine.elements(value);
  std::reverse(all.begin(), all.end());
  if (value.is(Kind::text)) {
    plain_text(machine, value, "reverse");
    return joined(machine, {}, all);
  }
  return machine.list(std::move(all), is_reversible(value) ? ListKind::iterator : ListKind::list);
}
inline Value join(Machine& machine, const Value& value, Arguments& given) {
  const auto [separator, path] = bind(machine, "join", given, {"d", "attribute"});
  std::vector<Value> all = machine.elements(value);
  if (path && !path->is(Kind::none))
    for (Value& one : all) one = path_of(machine, one, *path);
  return joined(machine, separator ? *machine.string(*separator).text : MarkedText(), all);
}
inline Value items(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "items", given);
  if (value.is_undefined()) return machine.list({}, ListKind::iterator);
  if (!value.is(Kind::dict)) machine.fail("items: a ", Machine::type_name(value), " is no dict");
  const Value made = method::view<ListKind::items>(machine, value, given);
  made.list->kind = ListKind::iterator;
  return made;
}
inline Value dictsort(Machine& machine, const Value& value, Arguments& given) {
  const auto [exact, by, reversed] = bind(machine, "dictsort", given, {"case_sensitive", "by", "reverse"});
  if (!value.is(Kind::dict)) machine.fail("dictsort: a ", Machine::type_name(value), " is no dict");
  const std::string_view part = by ? std::string_view(text_of(machine, *by, "by").bytes) : "key";
  if (part != "key" && part != "value") machine.fail("dictsort: by is \"key\" or \"value\"");
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, held] : value.dict->entries) {
    const Value& sorted = part == "key" ? key : held;
    keyed.emplace_back(exact && machine.truth(*exact) ? sorted : without_case(machine, sorted), machine.list({key, held}, ListKind::tuple));
  }
  sort_values(machine, keyed, reversed && machine.truth(*reversed),
              [&](const Value& a, const Value& b) { return machine.order(a, b) == -1; });
  std::vector<Value> made;
  for (const auto& entry : keyed) made.push_back(entry.second);
  return machine.list(std::move(made));
}
inline Value sort(Machine& machine, const Value& value, Arguments& given) {
  const auto [reversed, exact, path] = bind(machine, "sort", given, {"reverse", "case_sensitive", "attribute"});
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& one : machine.elements(value)) {
    std::vector<Value> keys;
    std::string_view paths = path && path->is(Kind::text) ? std::string_view(path->text->bytes) : std::string_view();
    do {
      const std::size_t comma = std::min(paths.find(','), paths.size());
      const Value key = path && path->is(Kind::text) ? path_of(machine, one, machine.text(paths.substr(0, comma)))
                        : path                       ? path_of(machine, one, *path)
                                                     : one;
      keys.push_back(exact && machine.truth(*exact) ? key : without_case(machine, key));
      paths.remove_prefix(std::min(comma + 1, paths.size()));
    } while (!paths.empty());
    keyed.emplace_back(machine.list(std::move(keys)), one);
  }
  sort_values(machine, keyed, reversed && machine.truth(*reversed),
              [&](const Value& a, const Value& b) { return machine.order(a, b) == -1; });
  std::vector<Value> made;
  for (const auto& entry : keyed) made.push_back(entry.second);
  return machine.list(std::move(made));
}
template <bool greatest>
Value extreme(Machine& machine, const Value& value, Arguments& given) {  // min, max
  const auto [exact, path] = bind(machine, "min and max", given, {"case_sensitive", "attribute"});
  std::optional<std::pair<Value, Value>> best;
  for (const Value& one : machine.elements(value)) {
    Value key = path ? path_of(machine, one, *path) : one;
    if (!exact || !machine.truth(*exact)) key = without_case(machine, key);
    const int order = best ? machine.order(key, best->first) : 0;
    if (!best || order == (greatest ? 1 : -1)) best = {key, one};
  }
  return best ? best->second : machine.undefined("min or max");
}
inline Value unique(Machine& machine, const Value& value, Arguments& given) {
  const auto [exact, path] = bind(machine, "unique", given, {"case_sensitive", "attribute"});
  Dict& seen = machine.dict();
  std::vector<Value> made;
  for (const Value& one : machine.elements(value)) {
    Value key = path ? path_of(machine, one, *path) : one;
    if (!exact || !machine.truth(*exact)) key = without_case(machine, key);
    const std::size_t before = seen.entries.size();
    machine.work(seen.entries.size() - seen.index.size());
    machine.set(seen, key, key);
    if (seen.entries.size() > before) made.push_back(one);
  }
  return machine.list(std::move(made), ListKind::iterator);
}
inline Value sum(Machine& machine, const Value& value, Arguments& given) {
  const auto [path, start] = bind(machine, "sum", given, {"attribute", "start"});
  Value total = start ? *start : Value::of(std::int64_t{0});
  if (total.is(Kind::text)) machine.fail("sum: a text cannot be summed; use join");
  for (const Value& one : machine.elements(value))
    total = arithmetic(machine, Operator::add, total, path ? path_of(machine, one, *path) : one);
  return total;
}
inline Value batch(Machine& machine, const Value& value, Arguments& given) {
  const auto [size, fill] = bind(machine, "batch", given, {"linecount", "fill_with"}, 1);
  const std::int64_t count = machine.whole(*size, "batch: the size");
  if (count < 1) machine.fail("batch: the size is ", count, ", expected at least 1");
  std::vector<Value> rows;
  for (const Value& one : machine.elements(value)) {
    if (rows.empty() || static_cast<std::int64_t>(rows.back().list->items.size()) == count) rows.push_back(machine.list({}));
    rows.back().list->items.push_back(one);
  }
  if (fill && !fill->is(Kind::none) && !rows.empty()) {
    machine.work(static_cast<std::uint64_t>(count));
    rows.back().list->items.resize(static_cast<std::size_t>(count), *fill);
  }
  return machine.list(std::move(rows), ListKind::iterator);
}

inline Value map(Machine& machine, const Value& value, Arguments& given) {
  std::vector<Value> made;
  if (!machine.truth(value)) return machine.list({}, ListKind::iterator);
  std::vector<Value> all = machine.elements(value);
  if (given.values.empty()) {
    const auto [path, other] = bind(machine, "map", given, {"attribute", "default"}, 1);
    for (const Value& one : all) {
      Value found = path_of(machine, one, *path);
      if (found.is_undefined() && other && !other->is(Kind::none)) found = *other;
      made.push_back(found);
    }
  } else {
    const std::string& name = text_of(machine, given.values[0], "map: the name of a filter").bytes;
    const Filter* found = find_filter(name);
    if (!found) machine.fail("unknown filter ", quoted(name));
    given.values.erase(given.values.begin());
    for (const Value& one : all) {
      Arguments again = given;
      machine.work(1);
      made.push_back(found->call(machine, one, again));
    }
  }
  return machine.list(std::move(made), ListKind::iterator);
}
// select, reject, selectattr, rejectattr
template <bool wanted, bool by_attribute>
Value choose(Machine& machine, const Value& value, Arguments& given) {
  if (!machine.truth(value)) return machine.list({}, ListKind::iterator);
  Value path = Value::nothing();
  if (by_attribute) {
    if (given.values.empty()) machine.fail("selectattr and rejectattr need the name of an attribute");
    path = given.values[0];
    given.values.erase(given.values.begin());
  }
  const Test* test = nullptr;
  if (!given.values.empty()) {
    const std::string& name = text_of(machine, given.values[0], "the name of a test").bytes;
    test = find_test(name);
    if (!test) machine.fail("unknown test ", quoted(name));
    given.values.erase(given.values.begin());
  }
  std::vector<Value> made;
  for (const Value& one : machine.elements(value)) {
    machine.work(1);
    const Value asked = by_attribute ? path_of(machine, one, path) : one;
    if ((test ? test->call(machine, asked, given) : machine.truth(asked)) == wanted) made.push_back(one);
  }
  return machine.list(std::move(made), ListKind::iterator);
}

inline Value to_json(Machine& machine, const Value& value, Arguments& given) {
  const auto [ascii, indent, separators, sorted] = bind(machine, "tojson", given, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonFormat format{.ascii = ascii && machine.truth(*ascii), .sorted = sorted && machine.truth(*sorted)};
  if (indent && !indent->is(Kind::none)) {
    format.between_items = ",";
    if (indent->is(Kind::text)) {
      format.indent = indent->text->bytes;
    } else {
      const std::int64_t width = std::max<std::int64_t>(0, machine.whole(*indent, "indent"));
      machine.make(static_cast<std::uint64_t>(width));
      format.indent = std::string(static_cast<std::size_t>(width), ' ');
    }
  }
  if (separators && !separators->is(Kind::none)) {
    const std::vector<Value> both = machine.elements(*separators);
    if (both.size() != 2) machine.fail("tojson: separators are two texts");
    format.between_items = text_of(machine, both[0], "a separator").bytes;
    format.after_key = text_of(machine, both[1], "a separator").bytes;
  }
  std::string out;
  const bool typed = append_json(machine, out, value, format);
  return machine.text(MarkedText(std::move(out), typed ? Source::user : Source::literal));
}

// int() and float() of a text; none where Python raises ValueError.
inline std::optional<std::string> figures(std::string_view text) {
  text.remove_suffix(text.size() - strip_end(text));
  text.remove_prefix(strip_begin(text));
  std::string out;
  const auto digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out.push_back(text[i]);
    } else if (i == 0 || !digit(i - 1) || !digit(i + 1)) {
      return std::nullopt;
    }
  }
  if (out.starts_with('+') && !out.starts_with("+-")) out.erase(0, 1);
  return out;
}
inline std::optional<double> parsed_real(std::string_view text) {
  const auto plain = figures(text);
  if (!plain || plain->empty() || plain->find("nan(") != plain->npos) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(plain->data(), plain->data() + plain->size(), value);
  if (end != plain->data() + plain->size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) {  // huge or tiny: by the sign of the exponent
    const bool tiny = plain->find("e-") != plain->npos || plain->find("E-") != plain->npos;
    value = (plain->starts_with('-') ? -1 : 1) * (tiny ? 0.0 : HUGE_VAL);
  }
  return value;
}
inline Value integer(Machine& machine, const Value& value, Arguments& given) {
  const auto [otherwise, base] = bind(machine, "int", given, {"default", "base"});
  if (base && machine.whole(*base, "base") != 10) machine.fail("int: only base 10 is supported");
  const Value fallback = otherwise ? *otherwise : Value::of(std::int64_t{0});
  std::optional<double> real;
  if (value.is_undefined()) machine.fail_undefined(value);
  if (value.is_whole()) return Value::of(value.whole());
  if (value.is(Kind::real)) real = value.real;
  if (value.is(Kind::text)) {
    if (const auto plain = figures(value.text->bytes); plain && !plain->empty()) {
      std::int64_t whole = 0;
      const auto [end, error] = std::from_chars(plain->data(), plain->data() + plain->size(), whole);
      if (end == plain->data() + plain->size() && error == std::errc()) return Value::of(whole);
      if (end == plain->data() + plain->size() && error == std::errc::result_out_of_range) machine.fail_overflow();
    }
    real = parsed_real(value.text->bytes);
    if (real && std::isinf(*real)) return fallback;
  }
  if (!real || std::isnan(*real)) return fallback;
  if (!(std::abs(*real) < 9223372036854775808.0)) machine.fail_overflow();
  return Value::of(static_cast<std::int64_t>(*real));
}
inline Value real(Machine& machine, const Value& value, Arguments& given) {
  const auto [otherwise] = bind(machine, "float", given, {"default"});
  if (value.is_undefined()) machine.fail_undefined(value);
  if (value.is_number()) return Value::of(value.number());
  if (value.is(Kind::text))
    if (const auto found = parsed_real(value.text->bytes)) return Value::of(*found);
  return otherwise ? *otherwise : Value::of(0.0);
}
inline Value absolute(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "abs", given);
  if (value.is(Kind::real)) return Value::of(std::abs(value.real));
  const std::int64_t whole = machine.whole(value, "abs: the value");
  return whole < 0 ? whole_arithmetic(machine, Operator::subtract, 0, whole) : Value::of(whole);
}
inline Value round(Machine& machine, const Value& value, Arguments& given) {
  const auto [precision, method] = bind(machine, "round", given, {"precision", "method"});
  const std::int64_t digits = precision ? machine.whole(*precision, "the precision") : 0;
  if (digits < 0 || digits > 300) machine.fail("round: a precision of ", digits, " is not supported");
  if (!value.is_number()) machine.fail("round: the value must be a number, not ", Machine::type_name(value));
  const std::string_view how = method ? std::string_view(text_of(machine, *method, "the method").bytes) : "common";
  if (how == "common") {
    if (value.is_whole() || !std::isfinite(value.real)) return value.is_whole() ? Value::of(value.whole()) : value;
    char buffer[700];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value.real, std::chars_format::fixed, static_cast<int>(digits)).ptr;
    double rounded = 0;
    std::from_chars(buffer, end, rounded);
    return Value::of(rounded);
  }
  if (how != "ceil" && how != "floor") machine.fail("round: the method is \"common\", \"ceil\" or \"floor\"");
  const Value ten = whole_arithmetic(machine, Operator::power, 10, digits);
  const double scaled = arithmetic(machine, Operator::multiply, value, ten).number();
  const double whole = how == "ceil" ? std::ceil(scaled) : std::floor(scaled);
  if (!std::isfinite(whole)) machine.fail_overflow();
  return Value::of(whole == 0 ? 0.0 : whole / ten.number());  // never -0.0: Python has an int there
}

inline Value format(Machine& machine, const Value& value, Arguments& given) {
  if (!given.values.empty() && !given.named.empty()) machine.fail("format takes values with names or without, not both");
  Value values = machine.list(given.values, ListKind::tuple);
  if (!given.named.empty()) {
    Dict& names = machine.dict();
    for (const auto& [name, one] : given.named) names.set(machine.text(name), one);
    values = Value::of(&names);
  }
  const Value form = machine.string(value);
  return Formatter(machine, plain_text(machine, form, "format: the text")).percent(values);
}
inline constexpr Filter all[] = {{"abs", absolute},
                                 {"batch", batch},
                                 {"capitalize", simple<capitalized>},
                                 {"center", center},
                                 {"count", length},
                                 {"d", otherwise},
                                 {"default", otherwise},
                                 {"dictsort", dictsort},
                                 {"e", escape},
                                 {"escape", escape},
                                 {"first", first},
                                 {"format", format},
                                 {"float", real},
                                 {"indent", indent},
                                 {"int", integer},
                                 {"items", items},
                                 {"join", join},
                                 {"last", last},
                                 {"length", length},
                                 {"list", list},
                                 {"lower", simple<lower>},
                                 {"map", map},
                                 {"max", extreme<true>},
                                 {"min", extreme<false>},
                                 {"reject", choose<false, false>},
                                 {"rejectattr", choose<false, true>},
                                 {"replace", replace},
                                 {"reverse", reverse},
                                 {"round", round},
                                 {"safe", safe},
                                 {"select", choose<true, false>},
                                 {"selectattr", choose<true, true>},
                                 {"sort", sort},
                                 {"string", string},
                                 {"sum", sum},
                                 {"title", simple<title>},
                                 {"tojson", to_json},
                                 {"trim", trim},
                                 {"unique", unique},
                                 {"upper", simple<upper>}};

}  // namespace filter

inline const Filter* find_filter(std::string_view name) {
  for (const Filter& entry : filter::all)
    if (entry.name == name) return &entry;
  return nullptr;
}

}  // namespace plume::inline PLUME_ABI::jinja
#include "plume/tokenizer/template/tests.hpp"  // where what is declared above is defined
#endif
