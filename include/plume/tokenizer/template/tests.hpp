#pragma once
// The tests of templates (value is name) and their functions: range, namespace, raise_exception and the like.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/template/filters.hpp"

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::jinja {

namespace test {

template <class Ask>
bool plainly(Machine& machine, Arguments& given, Ask ask) {
  bind_none(machine, "this test", given);
  return ask();
}
inline const Value& other(Machine& machine, const Arguments& given) {
  if (given.values.size() != 1 || !given.named.empty()) machine.fail("this test needs one argument");
  return given.values[0];
}
template <Operator sign>
bool compare(Machine& machine, const Value& value, Arguments& given) {
  return compares(machine, sign, value, other(machine, given));
}
template <Kind kind>
bool is(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] { return value.is(kind); });
}
inline bool defined(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] { return !value.is_undefined(); });
}
template <bool wanted>
bool truth(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] { return value.is(Kind::boolean) && value.boolean == wanted; });
}
inline bool number(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] { return value.is_number(); });
}
inline bool sequence(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] {
    return value.is(Kind::text) || value.is(Kind::dict) || value.is_undefined() ||
           (value.is(Kind::list) && value.list->kind <= ListKind::range);
  });
}
inline bool iterable(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] {
    return value.is(Kind::text) || value.is(Kind::dict) || value.is_undefined() || value.is(Kind::list) || value.is(Kind::loop);
  });
}
inline bool callable(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] {
    return value.is_undefined() || value.is(Kind::macro) || value.is(Kind::method) || value.is(Kind::function) || value.is(Kind::joiner) ||
           value.is(Kind::loop);
  });
}
inline bool escaped(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] { return value.is(Kind::text) && value.text->markup; });
}
// Some letters have a case and all of them the wanted one.
template <bool wants_upper>
bool cased(Machine& machine, const Value& value, Arguments& given) {
  bind_none(machine, "this test", given);
  const std::string text = machine.string(value).text->bytes;
  machine.work(1 + text.size() / 16);
  bool some = false;
  for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
    const CodePoint c = code_point_at(text, at);
    length = c.length;
    if (!is_cased(c.value)) continue;
    const std::string_view own = std::string_view(text).substr(at, length);
    std::string upper, lower;
    append_upper(upper, c.value);
    append_lower(lower, own, 0);
    const bool is_lower = upper != own, is_upper = lower != own;  // both: title case
    if (!is_lower && !is_upper) machine.fail("the case of ", quoted(own), ", which has no other one, is not supported");
    if (is_upper != wants_upper || is_lower == wants_upper) return false;
    some = true;
  }
  return some;
}
inline double rest(Machine& machine, const Value& value, const Value& by) {
  if (!by.is_number() || (!value.is_number() && !value.is_undefined()))
    machine.fail("this test needs numbers, not a ", Machine::type_name(value));
  return arithmetic(machine, Operator::modulo, value, by).number();
}
inline bool odd(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] { return rest(machine, value, Value::of(std::int64_t{2})) == 1; });
}
inline bool even(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] { return rest(machine, value, Value::of(std::int64_t{2})) == 0; });
}
inline bool divisible(Machine& machine, const Value& value, Arguments& given) { return rest(machine, value, other(machine, given)) == 0; }
inline bool same(Machine& machine, const Value& value, Arguments& given) {
  const Value& against = other(machine, given);
  if (value.kind != against.kind) return false;
  if (value.is(Kind::none)) return true;
  if (value.is(Kind::boolean)) return value.boolean == against.boolean;
  if (value.kind >= Kind::list) return value.name == against.name;
  machine.fail("sameas is not supported for a ", Machine::type_name(value), ": use ==");
}
inline bool a_filter(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] { return value.is(Kind::text) && find_filter(value.text->bytes) != nullptr; });
}
inline bool a_test(Machine& machine, const Value& value, Arguments& given) {
  return plainly(machine, given, [&] { return value.is(Kind::text) && find_test(value.text->bytes) != nullptr; });
}

inline constexpr Test all[] = {{"!=", compare<Operator::unequal>},
                               {"<", compare<Operator::less>},
                               {"<=", compare<Operator::less_equal>},
                               {"==", compare<Operator::equal>},
                               {">", compare<Operator::greater>},
                               {">=", compare<Operator::greater_equal>},
                               {"boolean", is<Kind::boolean>},
                               {"callable", callable},
                               {"defined", defined},
                               {"divisibleby", divisible},
                               {"eq", compare<Operator::equal>},
                               {"equalto", compare<Operator::equal>},
                               {"escaped", escaped},
                               {"even", even},
                               {"false", truth<false>},
                               {"filter", a_filter},
                               {"float", is<Kind::real>},
                               {"ge", compare<Operator::greater_equal>},
                               {"greaterthan", compare<Operator::greater>},
                               {"gt", compare<Operator::greater>},
                               {"in", compare<Operator::in>},
                               {"integer", is<Kind::integer>},
                               {"iterable", iterable},
                               {"le", compare<Operator::less_equal>},
                               {"lessthan", compare<Operator::less>},
                               {"lower", cased<false>},
                               {"lt", compare<Operator::less>},
                               {"mapping", is<Kind::dict>},
                               {"ne", compare<Operator::unequal>},
                               {"none", is<Kind::none>},
                               {"number", number},
                               {"odd", odd},
                               {"sameas", same},
                               {"sequence", sequence},
                               {"string", is<Kind::text>},
                               {"test", a_test},
                               {"true", truth<true>},
                               {"undefined", is<Kind::undefined>},
                               {"upper", cased<true>}};

}  // namespace test

inline const Test* find_test(std::string_view name) {
  for (const Test& entry : test::all)
    if (entry.name == name) return &entry;
  return nullptr;
}

namespace function {

inline Value range(Machine& machine, Arguments& given) {
  if (!given.named.empty() || given.values.empty() || given.values.size() > 3) machine.fail("range takes one to three numbers");
  std::int64_t bounds[3] = {0, 0, 1};
  for (std::size_t i = 0; i < given.values.size(); ++i)
    bounds[given.values.size() == 1 ? 1 : i] = machine.whole(given.values[i], "an argument of range");
  const auto [start, stop, step] = bounds;
  if (step == 0) machine.fail("range: the step is 0");
  std::vector<Value> items;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    machine.work(1);
    items.push_back(Value::of(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  const Value made = machine.list(std::move(items), ListKind::range);
  made.list->start = start;
  made.list->stop = stop;
  made.list->step = step;
  return made;
}
inline Dict& named(Machine& machine, Arguments& given, std::string_view what) {
  if (given.values.size() > 1) machine.fail(what, " takes one dict and named values");
  Dict& made = machine.dict();
  for (const Value& first : given.values) {
    if (first.is(Kind::dict)) {
      machine.work(first.dict->entries.size());
      for (const auto& [key, value] : first.dict->entries) machine.set(made, key, value);
      continue;
    }
    for (const Value& pair : machine.elements(first)) {
      const std::vector<Value> both = machine.elements(pair);
      if (both.size() != 2) machine.fail(what, ": an element is no pair");
      machine.set(made, both[0], both[1]);
    }
  }
  for (const auto& [name, value] : given.named) machine.set(made, machine.text(name), value);
  return made;
}
inline Value dict(Machine& machine, Arguments& given) { return Value::of(&named(machine, given, "dict")); }
inline Value names(Machine& machine, Arguments& given) { return Value::of(&named(machine, given, "namespace"), Kind::names); }
inline Value joiner(Machine& machine, Arguments& given) {
  const auto [separator] = bind(machine, "joiner", given, {"sep"});
  Value made = Value::of(Kind::joiner);
  made.joiner = &machine.heap.joiners.emplace_back(Joiner{separator ? *separator : machine.text(", ")});
  return made;
}
inline Value cycler(Machine& machine, Arguments& given) {
  if (given.values.empty() || !given.named.empty()) machine.fail("cycler needs the values to go through");
  Value made = Value::of(Kind::cycler);
  made.cycler = &machine.heap.cyclers.emplace_back(Cycler{given.values});
  return made;
}
inline Value raise_exception(Machine& machine, Arguments& given) {
  const auto [message] = bind(machine, "raise_exception", given, {"message"}, 1);
  std::string reason = machine.string(*message).text->bytes;
  if (reason.size() > 500) reason.resize(500);
  for (char& c : reason)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  machine.fail("the template refuses this chat: ", reason);
}

inline constexpr Function all[] = {{"range", range},   {"dict", dict},     {"namespace", names},
                                   {"joiner", joiner}, {"cycler", cycler}, {"raise_exception", raise_exception}};

}  // namespace function

namespace property {

inline Value cycle(Machine& machine, const Value& self, Arguments& given) {
  if (given.values.empty() || !given.named.empty()) machine.fail("loop.cycle needs the values to go through");
  return given.values[self.loop->index % given.values.size()];
}
inline Value changed(Machine& machine, const Value& self, Arguments& given) {
  Loop& loop = *self.loop;
  bool same = loop.asked && loop.changed.size() == given.values.size();
  for (std::size_t i = 0; same && i < given.values.size(); ++i) same = machine.equal(loop.changed[i], given.values[i]);
  loop.asked = true;
  loop.changed = given.values;
  return Value::of(!same);
}
inline Value next(Machine& machine, const Value& self, Arguments& given) {
  bind_none(machine, "next", given);
  Cycler& cycler = *self.cycler;
  const Value value = cycler.items[cycler.at];
  cycler.at = (cycler.at + 1) % cycler.items.size();
  return value;
}
inline Value reset(Machine& machine, const Value& self, Arguments& given) {
  bind_none(machine, "reset", given);
  self.cycler->at = 0;
  return Value::nothing();
}
inline constexpr Method of_loop[] = {{"cycle", cycle}, {"changed", changed}}, of_cycler[] = {{"next", next}, {"reset", reset}};

}  // namespace property

inline std::optional<Value> property_of(Machine& machine, const Value& value, std::string_view name) {
  const auto bound = [&](const Method& found) {
    Value made = Value::of(Kind::method);
    made.method = &machine.heap.bounds.emplace_back(Bound{value, &found});
    return made;
  };
  if (value.is(Kind::cycler)) {
    if (name == "current") return value.cycler->items[value.cycler->at];
    for (const Method& entry : property::of_cycler)
      if (entry.name == name) return bound(entry);
    return std::nullopt;
  }
  const Loop& loop = *value.loop;
  const std::size_t index = loop.index, size = loop.items.size();
  if (name == "index") return Value::of(index + 1);
  if (name == "index0") return Value::of(index);
  if (name == "revindex") return Value::of(size - index);
  if (name == "revindex0") return Value::of(size - index - 1);
  if (name == "length") return Value::of(size);
  if (name == "first") return Value::of(index == 0);
  if (name == "last") return Value::of(index + 1 == size);
  if (name == "previtem") return index == 0 ? machine.undefined("loop.previtem") : loop.items[index - 1];
  if (name == "nextitem") return index + 1 == size ? machine.undefined("loop.nextitem") : loop.items[index + 1];
  if (name == "depth") return Value::of(loop.depth);
  if (name == "depth0") return Value::of(loop.depth - 1);
  for (const Method& entry : property::of_loop)
    if (entry.name == name) return bound(entry);
  return std::nullopt;
}

}  // namespace plume::inline PLUME_ABI::jinja
#endif
