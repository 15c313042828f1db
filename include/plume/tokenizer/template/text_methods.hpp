#pragma once
// The methods of texts, lists and dicts, and how arguments meet parameters.
#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/template/machine.hpp"

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::jinja {

// The arguments in the order of the parameters' names; none where one is not given.
template <std::size_t N>
std::array<std::optional<Value>, N> bind(Machine& machine, std::string_view what, const Arguments& arguments,
                                         const std::string_view (&names)[N], std::size_t least = 0) {
  std::array<std::optional<Value>, N> bound;
  if (arguments.values.size() > N) machine.fail(what, " takes ", N, " arguments at most, ", arguments.values.size(), " are given");
  for (std::size_t i = 0; i < arguments.values.size(); ++i) bound[i] = arguments.values[i];
  for (const auto& [name, value] : arguments.named) {
    const std::size_t place = static_cast<std::size_t>(std::find(names, names + N, name) - names);
    if (place == N) machine.fail(what, " has no argument ", quoted(name));
    if (bound[place]) machine.fail(what, " is given its argument ", quoted(name), " twice");
    bound[place] = value;
  }
  for (std::size_t i = 0; i < least; ++i)
    if (!bound[i]) machine.fail(what, " needs its argument ", quoted(names[i]));
  return bound;
}
inline void bind_none(const Machine& machine, std::string_view what, const Arguments& arguments) {
  if (!arguments.values.empty() || !arguments.named.empty()) machine.fail(what, " takes no arguments");
}

// One more argument with a name; what stands behind * or ** in a call.
inline void add_named(const Machine& machine, Arguments& given, std::string_view name, const Value& value) {
  for (const auto& known : given.named)
    if (known.first == name) machine.fail("the argument ", quoted(name), " is given twice");
  given.named.emplace_back(name, value);
}
enum class Spread : std::uint8_t { values, names };
inline void spread(Machine& machine, Arguments& given, const Value& value, Spread what) {
  if (what == Spread::values) {
    for (const Value& one : machine.elements(value)) given.values.push_back(one);
    return;
  }
  if (!value.is(Kind::dict)) machine.fail("what stands behind ** must be a dict, not a ", Machine::type_name(value));
  for (const auto& [key, one] : value.dict->entries) {
    if (!key.is(Kind::text)) machine.fail("the names behind ** must be texts, not a ", Machine::type_name(key));
    add_named(machine, given, key.text->bytes, one);
  }
}

inline const MarkedText& text_of(const Machine& machine, const Value& value, std::string_view what) {
  if (value.is_undefined()) machine.fail_undefined(value);
  if (!value.is(Kind::text)) machine.fail(what, " must be a text, not a ", Machine::type_name(value));
  return *value.text;
}
// The same for a text that is changed: what is marked as escaped would have to stay so.
inline const MarkedText& plain_text(const Machine& machine, const Value& value, std::string_view what) {
  const MarkedText& text = text_of(machine, value, what);
  if (text.markup) machine.fail(what, " is not supported on a text that went through safe or escape");
  return text;
}

inline Value escaped(Machine& machine, const Value& value) {
  const Value string = machine.string(value);
  if (string.text->markup) return string;
  MarkedText made;
  const MarkedText& text = *string.text;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = std::min(text.bytes.find_first_of("&<>'\"", at), text.size());
    made.append(text, at, next - at);
    at = next;
    if (at == text.size()) break;
    const char c = text.bytes[at];
    const Source source = text.marks.empty() ? text.source : static_cast<Source>(text.marks[at]);
    made.append(c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&#34;" : "&#39;", source);
    ++at;
  }
  made.markup = true;
  return machine.text(std::move(made));
}

enum class Side : std::uint8_t { left = 1, right = 2, both = 3 };

inline Value stripped(Machine& machine, const MarkedText& text, const std::optional<Value>& characters, Side side) {
  std::size_t begin = 0, end = text.size();
  const bool left = side != Side::right, right = side != Side::left;
  if (!characters || characters->is(Kind::none)) {
    if (right) end = strip_end(text.bytes);
    if (left) begin = std::min(end, strip_begin(text.bytes));
  } else {
    const std::string& set = text_of(machine, *characters, "the characters to strip").bytes;
    const auto held = [&](std::size_t at, std::size_t length) {
      machine.work(1 + set.size() / 16);
      return set.find(text.bytes.substr(at, length)) != std::string::npos;
    };
    while (left && begin < end) {
      const std::size_t length = code_point_at(text.bytes, begin).length;
      if (!held(begin, length)) break;
      begin += length;
    }
    while (right && end > begin) {
      const std::size_t before = character_before(text.bytes, end);
      if (!held(before, end - before)) break;
      end = before;
    }
  }
  MarkedText made = text.part(begin, end - begin);
  made.markup = text.markup;
  return machine.text(std::move(made));
}

// Each character through a mapping of bytes; the marks follow.
template <class Map>
Value mapped(Machine& machine, const MarkedText& text, Map map) {
  MarkedText made;
  std::string piece;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = code_point_at(text.bytes, at).length;
    piece.clear();
    map(piece, at);
    made.append(piece, text.marks.empty() ? text.source : static_cast<Source>(text.marks[at]));
    at += length;
  }
  return machine.text(std::move(made));
}
inline Value upper(Machine& machine, const MarkedText& text) {
  return mapped(machine, text, [&](std::string& out, std::size_t at) { append_upper(out, code_point_at(text.bytes, at).value); });
}
inline Value lower(Machine& machine, const MarkedText& text) {
  return mapped(machine, text, [&](std::string& out, std::size_t at) { append_lower(out, text.bytes, at); });
}
inline Value capitalized(Machine& machine, const MarkedText& text) {
  return mapped(machine, text, [&](std::string& out, std::size_t at) {
    at == 0 ? append_title(out, code_point_at(text.bytes, 0).value) : append_lower(out, text.bytes, at);
  });
}
inline Value titled(Machine& machine, const MarkedText& text) {
  bool inside = false;
  return mapped(machine, text, [&](std::string& out, std::size_t at) {
    const char32_t c = code_point_at(text.bytes, at).value;
    inside ? append_lower(out, text.bytes, at) : append_title(out, c);
    inside = is_cased(c);
  });
}

inline Value replaced(Machine& machine, const MarkedText& text, const MarkedText& from, const MarkedText& to, std::int64_t count) {
  MarkedText made;
  const auto most = count < 0 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(count);
  std::size_t at = 0;
  machine.work(1 + text.size() / 16);
  for (std::uint64_t done = 0; done < most; ++done) {
    std::size_t found = std::string::npos;
    if (!from.bytes.empty()) {
      found = text.bytes.find(from.bytes, at);
    } else if (done == 0) {
      found = 0;
    } else if (at < text.size()) {
      found = at + code_point_at(text.bytes, at).length;
    }
    if (found == std::string::npos) break;
    machine.make(found - at + to.size(), made.size());
    made.append(text, at, found - at);
    made.append(to);
    at = found + from.size();
  }
  made.append(text, at, text.size() - at);
  return machine.text(std::move(made));
}

inline Value split_lines(Machine& machine, const MarkedText& text) {
  std::vector<Value> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin, length = 0;
    while (end < text.size() && (length = line_end_at(text.bytes, end)) == 0) end += code_point_at(text.bytes, end).length;
    lines.push_back(machine.text(text.part(begin, end - begin)));
    begin = end + length;
  }
  return machine.list(std::move(lines));
}

inline Value split(Machine& machine, const MarkedText& text, const std::optional<Value>& separator, std::int64_t most, Side from) {
  const std::string& whole = text.bytes;
  std::vector<Value> parts;
  const auto left = [&] { return most < 0 || static_cast<std::int64_t>(parts.size()) < most; };
  const auto add = [&](std::size_t begin, std::size_t end) { parts.push_back(machine.text(text.part(begin, end - begin))); };
  machine.work(whole.size() / 16);
  if (!separator || separator->is(Kind::none)) {
    const std::string_view view = whole;
    if (from == Side::left) {
      for (std::size_t at = strip_begin(view); at < view.size(); at += strip_begin(view.substr(at))) {
        std::size_t end = at;
        if (left())
          while (end < view.size() && !is_space(code_point_at(view, end).value)) end += code_point_at(view, end).length;
        else
          end = view.size();
        add(at, end);
        if (!left() && static_cast<std::int64_t>(parts.size()) > most) break;
        at = end;
      }
    } else {
      for (std::size_t end = strip_end(view); end > 0; end = strip_end(view.substr(0, end))) {
        std::size_t begin = end;
        if (left())
          while (begin > 0 && !is_space(code_point_at(view, character_before(view, begin)).value)) begin = character_before(view, begin);
        else
          begin = 0;
        add(begin, end);
        if (!left() && static_cast<std::int64_t>(parts.size()) > most) break;
        end = begin;
      }
      std::reverse(parts.begin(), parts.end());
    }
    return machine.list(std::move(parts));
  }
  const std::string& mark = text_of(machine, *separator, "the separator").bytes;
  if (mark.empty()) machine.fail("split: the separator is empty");
  if (from == Side::left) {
    std::size_t at = 0;
    for (std::size_t found; left() && (found = whole.find(mark, at)) != whole.npos; at = found + mark.size()) add(at, found);
    add(at, whole.size());
  } else {
    std::size_t end = whole.size();
    for (std::size_t found; left() && end >= mark.size() && (found = whole.rfind(mark, end - mark.size())) != whole.npos; end = found)
      add(found + mark.size(), end);
    add(0, end);
    std::reverse(parts.begin(), parts.end());
  }
  return machine.list(std::move(parts));
}

inline Value joined(Machine& machine, const MarkedText& separator, const std::vector<Value>& items) {
  MarkedText made;
  for (std::size_t i = 0; i < items.size(); ++i) {
    machine.make(separator.size(), made.size());
    if (i > 0) made.append(separator);
    machine.append_string(made, items[i]);
  }
  return machine.text(std::move(made));
}

inline Value repeated(Machine& machine, const Value& value, std::int64_t times);  // operations.hpp

// How many characters a text lacks to a width; 0 where it is that wide.
inline std::int64_t missing(const MarkedText& text, std::int64_t width) {
  const auto characters = static_cast<std::int64_t>(count_characters(text.bytes));
  return width > characters ? width - characters : 0;
}

namespace method {

inline const MarkedText& self_text(Machine& machine, const Value& self) { return plain_text(machine, self, "this method"); }

template <Side side>
Value strip(Machine& machine, const Value& self, Arguments& given) {
  const auto [characters] = bind(machine, "strip", given, {"chars"});
  return stripped(machine, text_of(machine, self, "strip"), characters, side);
}
template <Value (*change)(Machine&, const MarkedText&)>
Value simple(Machine& machine, const Value& self, Arguments& given) {
  bind_none(machine, "this method", given);
  return change(machine, self_text(machine, self));
}
template <Side side>
Value affix(Machine& machine, const Value& self, Arguments& given) {  // startswith, endswith
  const auto [wanted] = bind(machine, side == Side::left ? "startswith" : "endswith", given, {"affix"}, 1);
  const std::string_view text = self_text(machine, self).bytes;
  const auto fits = [&](const Value& value) {
    const std::string& affix = text_of(machine, value, "startswith and endswith: what is looked for").bytes;
    return side == Side::left ? text.starts_with(affix) : text.ends_with(affix);
  };
  if (!wanted->is(Kind::list) || wanted->list->kind != ListKind::tuple) return Value::of(fits(*wanted));
  machine.work(wanted->list->items.size());
  return Value::of(std::any_of(wanted->list->items.begin(), wanted->list->items.end(), fits));
}
template <Side side>
Value remove_affix(Machine& machine, const Value& self, Arguments& given) {
  const auto [wanted] = bind(machine, "removeprefix and removesuffix", given, {"affix"}, 1);
  const MarkedText& text = self_text(machine, self);
  const std::string& affix = text_of(machine, *wanted, "removeprefix and removesuffix: the argument").bytes;
  const bool fits = side == Side::left ? text.bytes.starts_with(affix) : text.bytes.ends_with(affix);
  if (!fits) return self;
  return machine.text(text.part(side == Side::left ? affix.size() : 0, text.size() - affix.size()));
}
template <Side side>
Value split(Machine& machine, const Value& self, Arguments& given) {
  const auto [separator, most] = bind(machine, "split", given, {"sep", "maxsplit"});
  return jinja::split(machine, self_text(machine, self), separator, most ? machine.whole(*most, "maxsplit") : -1, side);
}
inline Value splitlines(Machine& machine, const Value& self, Arguments& given) {
  bind_none(machine, "splitlines", given);
  return split_lines(machine, self_text(machine, self));
}
inline Value replace(Machine& machine, const Value& self, Arguments& given) {
  const auto [from, to, count] = bind(machine, "replace", given, {"old", "new", "count"}, 2);
  return replaced(machine, self_text(machine, self), text_of(machine, *from, "replace: the old text"),
                  text_of(machine, *to, "replace: the new text"), count ? machine.whole(*count, "the count") : -1);
}
// find, rfind, index, rindex: the place as a number of characters.
template <Side side, bool must>
Value find(Machine& machine, const Value& self, Arguments& given) {
  const auto [wanted] = bind(machine, "find and index", given, {"sub"}, 1);
  const std::string& text = self_text(machine, self).bytes;
  const std::string& part = text_of(machine, *wanted, "find and index: the argument").bytes;
  machine.work(1 + text.size() / 16);
  const std::size_t found = side == Side::left ? text.find(part) : text.rfind(part);
  if (found == text.npos && must) machine.fail("index: the text does not hold it");
  return Value::of(found == text.npos ? std::int64_t{-1}
                                      : static_cast<std::int64_t>(count_characters(std::string_view(text).substr(0, found))));
}
inline Value count(Machine& machine, const Value& self, Arguments& given) {
  const auto [wanted] = bind(machine, "count", given, {"sub"}, 1);
  const std::string& text = self_text(machine, self).bytes;
  const std::string& part = text_of(machine, *wanted, "count: the argument").bytes;
  machine.work(1 + text.size() / 16);
  if (part.empty()) return Value::of(count_characters(text) + 1);
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++found;
  return Value::of(found);
}
inline Value zfill(Machine& machine, const Value& self, Arguments& given) {  // zeros go behind a sign
  const auto [width] = bind(machine, "zfill", given, {"width"}, 1);
  const MarkedText& text = self_text(machine, self);
  const std::size_t sign = text.bytes.starts_with('+') || text.bytes.starts_with('-') ? 1 : 0;
  MarkedText made = text.part(0, sign);
  made.append(*repeated(machine, machine.text("0"), missing(text, machine.whole(*width, "zfill: the width"))).text);
  machine.make(text.size(), made.size());
  made.append(text.part(sign, text.size() - sign));
  return machine.text(std::move(made));
}
inline Value join(Machine& machine, const Value& self, Arguments& given) {
  const auto [items] = bind(machine, "join", given, {"iterable"}, 1);
  const std::vector<Value> all = machine.elements(*items);
  for (const Value& one : all) plain_text(machine, one, "join: each element");
  return joined(machine, self_text(machine, self), all);
}

inline Value get(Machine& machine, const Value& self, Arguments& given) {
  const auto [key, otherwise] = bind(machine, "get", given, {"key", "default"}, 1);
  if (!machine.is_hashable(*key)) machine.fail("get: a ", Machine::type_name(*key), " cannot be a key of a dict");
  const Value* found = machine.find(*self.dict, *key);
  return found ? *found : otherwise.value_or(Value::nothing());
}
template <ListKind kind>
Value view(Machine& machine, const Value& self, Arguments& given) {  // keys, values, items
  bind_none(machine, "keys, values and items", given);
  std::vector<Value> all;
  machine.work(self.dict->entries.size());
  for (const auto& [key, value] : self.dict->entries)
    all.push_back(kind == ListKind::keys ? key : kind == ListKind::values ? value : machine.list({key, value}, ListKind::tuple));
  return machine.list(std::move(all), kind);
}
inline Value copy_dict(Machine& machine, const Value& self, Arguments& given) {
  bind_none(machine, "copy", given);
  machine.work(self.dict->entries.size());
  return Value::of(&(machine.heap.dicts.emplace_back() = *self.dict));
}
inline Value copy_list(Machine& machine, const Value& self, Arguments& given) {
  bind_none(machine, "copy", given);
  return machine.list(self.list->items);
}
inline Value count_items(Machine& machine, const Value& self, Arguments& given) {
  const auto [wanted] = bind(machine, "count", given, {"value"}, 1);
  std::size_t found = 0;
  for (const Value& item : self.list->items) found += machine.equal(item, *wanted) ? 1u : 0u;
  return Value::of(found);
}
inline Value index_of(Machine& machine, const Value& self, Arguments& given) {
  const auto [wanted] = bind(machine, "index", given, {"value"}, 1);
  for (std::size_t i = 0; i < self.list->items.size(); ++i)
    if (machine.equal(self.list->items[i], *wanted)) return Value::of(i);
  machine.fail("index: the list does not hold it");
}

inline Value format(Machine& machine, const Value& self, Arguments& given);  // formatting.hpp
inline Value format_map(Machine& machine, const Value& self, Arguments& given);
inline constexpr Method of_text[] = {{"strip", strip<Side::both>},
                                     {"lstrip", strip<Side::left>},
                                     {"rstrip", strip<Side::right>},
                                     {"upper", simple<upper>},
                                     {"lower", simple<lower>},
                                     {"title", simple<titled>},
                                     {"capitalize", simple<capitalized>},
                                     {"startswith", affix<Side::left>},
                                     {"endswith", affix<Side::right>},
                                     {"split", split<Side::left>},
                                     {"rsplit", split<Side::right>},
                                     {"splitlines", splitlines},
                                     {"replace", replace},
                                     {"find", find<Side::left, false>},
                                     {"rfind", find<Side::right, false>},
                                     {"index", find<Side::left, true>},
                                     {"rindex", find<Side::right, true>},
                                     {"count", count},
                                     {"join", join},
                                     {"removeprefix", remove_affix<Side::left>},
                                     {"removesuffix", remove_affix<Side::right>},
                                     {"zfill", zfill},
                                     {"format", format},
                                     {"format_map", format_map}};
inline constexpr Method of_dict[] = {{"get", get},
                                     {"items", view<ListKind::items>},
                                     {"keys", view<ListKind::keys>},
                                     {"values", view<ListKind::values>},
                                     {"copy", copy_dict}};
inline constexpr Method of_list[] = {{"count", count_items}, {"index", index_of}, {"copy", copy_list}};

// What Python has and templates could ask for, but plume does not do.
inline constexpr std::string_view unknown_of_text[] = {"casefold",    "center",    "encode",     "expandtabs",   "isalnum",  "isalpha",
                                                       "isascii",     "isdecimal", "isdigit",    "isidentifier", "islower",  "isnumeric",
                                                       "isprintable", "isspace",   "istitle",    "isupper",      "ljust",    "maketrans",
                                                       "partition",   "rjust",     "rpartition", "swapcase",     "translate"};
inline constexpr std::string_view unknown_of_number[] = {"as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator",
                                                         "from_bytes",       "fromhex",   "hex",        "imag",      "is_integer",
                                                         "numerator",        "real",      "to_bytes"};

}  // namespace method

// Methods and properties of loops and cyclers, in filters.hpp.
inline std::optional<Value> property_of(Machine& machine, const Value& value, std::string_view name);

// value.name where it is a method or a property; none: no such thing. Methods that change a value do not exist, as in jinja2's immutable
// sandbox.
inline std::optional<Value> method_of(Machine& machine, const Value& value, std::string_view name) {
  if (name.starts_with("__")) machine.fail("attribute ", quoted(name), " is not for templates");
  const auto bound = [&](const Method& found) {
    Value made = Value::of(Kind::method);
    made.method = &machine.heap.bounds.emplace_back(Bound{value, &found});
    return made;
  };
  const auto among = [&](const auto& methods) -> std::optional<Value> {
    for (const Method& entry : methods)
      if (entry.name == name) return bound(entry);
    return std::nullopt;
  };
  const auto refuse = [&](const auto& names) {
    if (std::find(std::begin(names), std::end(names), name) != std::end(names))
      machine.fail("method ", quoted(name), " of a ", Machine::type_name(value), " is not supported");
  };
  switch (value.kind) {
    case Kind::text:
      refuse(method::unknown_of_text);
      return among(method::of_text);
    case Kind::dict:
      if (name == "fromkeys") machine.fail("method \"fromkeys\" of a dict is not supported");
      if (auto found = among(method::of_dict)) return found;
      if (name == "pop" || name == "popitem" || name == "clear" || name == "update" || name == "setdefault") return machine.undefined(name);
      return std::nullopt;
    case Kind::list:
      if (value.list->kind > ListKind::tuple || (name == "copy" && value.list->kind == ListKind::tuple)) {
        if (value.list->kind == ListKind::range &&
            (name == "start" || name == "stop" || name == "step" || name == "index" || name == "count"))
          machine.fail("attribute ", quoted(name), " of a range is not supported");
        return std::nullopt;
      }
      return among(method::of_list);
    case Kind::boolean:
    case Kind::integer:
    case Kind::real:
      refuse(method::unknown_of_number);
      return std::nullopt;
    case Kind::loop:
    case Kind::cycler:
      return property_of(machine, value, name);
    default:
      return std::nullopt;
  }
}

}  // namespace plume::inline PLUME_ABI::jinja
#include "plume/tokenizer/template/formatting.hpp"  // where what is declared above is defined
#include "plume/tokenizer/template/operations.hpp"
#endif
