#pragma once
// What the expressions of a template may do with values, as Python does it; and what a rendering may cost.
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/template/value.hpp"

#if PLUME_BODIES
#include "plume/base/text.hpp"
#include "plume/tokenizer/template/characters.hpp"

namespace plume::inline PLUME_ABI::jinja {

class Machine {
 public:
  Machine(const Program& program, const Limits& limits, std::uint64_t input_bytes)
      : program_(program),
        limits_(limits),
        steps_(limits.max_template_steps + input_bytes),
        bytes_(limits.max_template_output + input_bytes) {
    for (int c = 0; c < 128; ++c)
      for (const Source source : {Source::literal, Source::user}) ascii_.emplace_back(std::string(1, static_cast<char>(c)), source);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  Heap heap;
  std::uint32_t at = 0;  // offset of the construct that runs

  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw ConfigError(program_.where(at), concat(parts...));
  }
  void work(std::uint64_t steps) {
    if (steps > steps_ - done_) exceeded("max_template_steps", steps_, done_ + steps);
    done_ += steps;
  }
  // A text of so many bytes is about to be made, or one of `bytes` to get `more`.
  void make(std::uint64_t more, std::uint64_t bytes = 0) {
    if (bytes + more > bytes_) exceeded("max_template_output", bytes_, bytes + more);
    work(1 + more / 64);
  }

  // Guards recursion: into nested values, expressions, macros.
  class Deeper {
   public:
    Deeper(Machine& machine, std::uint64_t& depth, std::uint64_t most) : depth_(depth) {
      if (++depth_ > most) {
        --depth_;
        machine.exceeded("max_template_depth", machine.limits_.max_template_depth, machine.limits_.max_template_depth + 1);
      }
    }
    ~Deeper() { --depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    std::uint64_t& depth_;
  };
  std::uint64_t value_depth() const { return value_depth_; }
  Deeper into_value() { return {*this, value_depth_, limits_.max_template_depth}; }
  Deeper into_macro() { return {*this, macro_depth_, limits_.max_template_depth}; }
  Deeper into_node() { return {*this, node_depth_, 16 * limits_.max_template_depth}; }

  // Making values.
  Value text(MarkedText made) {
    make(made.size());
    return Value::of(&heap.texts.emplace_back(std::move(made)));
  }
  Value text(std::string_view bytes, Source source = Source::literal) { return text(MarkedText(bytes, source)); }
  Value character(const MarkedText& whole, std::size_t begin, std::size_t length) {
    const auto byte = static_cast<unsigned char>(whole.bytes[begin]);
    const Source source = whole.marks.empty() ? whole.source : static_cast<Source>(whole.marks[begin]);
    if (length == 1 && byte < 128) return Value::of(&ascii_[2u * byte + (source == Source::user ? 1 : 0)]);
    return text(whole.part(begin, length));
  }
  Value list(std::vector<Value> items, ListKind kind = ListKind::list) {
    work(1 + items.size());
    List& made = heap.lists.emplace_back();
    made.kind = kind;
    made.items = std::move(items);
    return Value::of(&made);
  }
  Dict& dict() {
    work(1);
    return heap.dicts.emplace_back();
  }
  Value undefined(std::string_view name) {
    Value made;
    made.name = &heap.names.emplace_back(name.substr(0, 80));
    return made;
  }

  static std::string_view type_name(const Value& value) {
    static constexpr std::string_view names[] = {"undefined", "None",  "bool",   "int",      "float", "str",    "list",  "dict",
                                                 "namespace", "macro", "method", "function", "loop",  "joiner", "cycler"};
    static constexpr std::string_view lists[] = {"list", "tuple", "range", "iterator", "dict_keys", "dict_values", "dict_items"};
    return value.is(Kind::list) ? lists[static_cast<std::size_t>(value.list->kind)] : names[static_cast<std::size_t>(value.kind)];
  }
  [[noreturn]] void fail_undefined(const Value& value) const {
    fail(value.name ? concat(quoted(*value.name), " is undefined") : std::string("the value is undefined"));
  }

  bool truth(const Value& value) const {
    switch (value.kind) {
      case Kind::undefined:
      case Kind::none:
        return false;
      case Kind::boolean:
        return value.boolean;
      case Kind::integer:
        return value.integer != 0;
      case Kind::real:
        return value.real != 0;
      case Kind::text:
        return value.text->size() > 0;
      case Kind::list:
        return value.list->kind == ListKind::iterator || !value.list->items.empty();
      case Kind::dict:
        return !value.dict->entries.empty();
      default:
        return true;
    }
  }

  bool equal(const Value& a, const Value& b) {
    const Deeper guard = into_value();
    work(1);
    if (a.is_number() && b.is_number()) return order_numbers(a, b) == 0;
    if (a.kind != b.kind) return false;
    switch (a.kind) {
      case Kind::undefined:
      case Kind::none:
        return true;
      case Kind::text:
        work(std::min(a.text->size(), b.text->size()) / 64);
        return a.text->bytes == b.text->bytes;
      case Kind::list: {
        if (a.list == b.list) return true;
        if (a.list->kind != b.list->kind || a.list->kind == ListKind::iterator || a.list->kind == ListKind::values) return false;
        if (a.list->kind > ListKind::iterator) fail("comparing views of dicts is not supported: make them lists");
        if (a.list->items.size() != b.list->items.size()) return false;
        for (std::size_t i = 0; i < a.list->items.size(); ++i)
          if (!equal(a.list->items[i], b.list->items[i])) return false;
        return true;
      }
      case Kind::dict:
        if (a.dict == b.dict) return true;
        if (a.dict->entries.size() != b.dict->entries.size()) return false;
        for (const auto& [key, value] : a.dict->entries) {
          const Value* other = find(*b.dict, key);
          if (!other || !equal(value, *other)) return false;
        }
        return true;
      default:
        return a.name == b.name;  // the same object
    }
  }

  // < 0, 0 or > 0; 2 where one is not a number.
  static int order_numbers(const Value& a, const Value& b) {
    if (a.is_whole() && b.is_whole()) return a.whole() < b.whole() ? -1 : a.whole() > b.whole();
    if (a.is(Kind::real) && b.is(Kind::real)) return a.real < b.real ? -1 : a.real > b.real ? 1 : a.real == b.real ? 0 : 2;
    if (a.is(Kind::real)) {
      const int other = order_numbers(b, a);
      return other == 2 ? 2 : -other;
    }
    const double y = b.real;
    if (std::isnan(y)) return 2;
    if (y >= 9223372036854775808.0) return -1;
    if (y < -9223372036854775808.0) return 1;
    const auto floor = static_cast<std::int64_t>(std::floor(y));
    if (a.whole() != floor) return a.whole() < floor ? -1 : 1;
    return y > static_cast<double>(floor) ? -1 : 0;
  }
  // Python's < and its kin; 2: not a number.
  int order(const Value& a, const Value& b) {
    const Deeper guard = into_value();
    work(1);
    if (a.is_number() && b.is_number()) return order_numbers(a, b);
    if (a.is(Kind::text) && b.is(Kind::text)) {
      const int found = a.text->bytes.compare(b.text->bytes);
      return found < 0 ? -1 : found > 0;
    }
    if (a.is(Kind::list) && b.is(Kind::list) && a.list->kind == b.list->kind && a.list->kind <= ListKind::tuple) {
      const auto &x = a.list->items, &y = b.list->items;
      for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i)
        if (!equal(x[i], y[i])) return order(x[i], y[i]);
      return x.size() < y.size() ? -1 : x.size() > y.size();
    }
    if (a.is_undefined()) fail_undefined(a);
    if (b.is_undefined()) fail_undefined(b);
    fail("'<' is not supported between ", type_name(a), " and ", type_name(b));
  }

  // What a dict holds under a key; null: nothing.
  const Value* find(const Dict& dict, const Value& key) {
    if (key.is(Kind::text)) return dict.find(key.text->bytes);
    if (dict.entries.size() > dict.index.size())
      for (const auto& [other, value] : dict.entries)
        if (!other.is(Kind::text) && equal(other, key)) return &value;
    return nullptr;
  }
  bool is_hashable(const Value& key) {
    const Deeper guard = into_value();
    if (key.is(Kind::dict)) return false;
    if (!key.is(Kind::list)) return true;
    if (key.list->kind != ListKind::tuple) return key.list->kind == ListKind::range || key.list->kind == ListKind::iterator;
    return std::all_of(key.list->items.begin(), key.list->items.end(), [&](const Value& item) { return is_hashable(item); });
  }
  void set(Dict& dict, const Value& key, const Value& value) {
    work(1);
    if (key.is(Kind::text)) return dict.set(key, value);
    if (!is_hashable(key)) fail("a ", type_name(key), " cannot be a key of a dict");
    for (auto& [other, old] : dict.entries)
      if (!other.is(Kind::text) && equal(other, key)) {
        old = value;
        return;
      }
    dict.entries.emplace_back(key, value);
  }

  // The elements of what can be looped over. An iterator is at its end then.
  std::vector<Value> elements(const Value& value) {
    std::vector<Value> items;
    switch (value.kind) {
      case Kind::undefined:
        return items;
      case Kind::text: {
        const MarkedText& text = *value.text;
        work(count_characters(text.bytes));
        for (std::size_t i = 0; i < text.size();) {
          const std::size_t length = code_point_at(text.bytes, i).length;
          items.push_back(character(text, i, length));
          i += length;
        }
        return items;
      }
      case Kind::list:
        work(value.list->items.size());
        if (value.list->kind != ListKind::iterator) return value.list->items;
        items.assign(value.list->items.begin() + static_cast<std::ptrdiff_t>(value.list->read), value.list->items.end());
        value.list->read = value.list->items.size();
        return items;
      case Kind::dict:
        work(value.dict->entries.size());
        for (const auto& entry : value.dict->entries) items.push_back(entry.first);
        return items;
      default:
        fail("a ", type_name(value), " cannot be looped over");
    }
  }
  // len(); none: it has no length.
  std::optional<std::size_t> length(const Value& value) const {
    if (value.is_undefined()) return 0;
    if (value.is(Kind::text)) return count_characters(value.text->bytes);
    if (value.is(Kind::list) && value.list->kind != ListKind::iterator) return value.list->items.size();
    if (value.is(Kind::dict)) return value.dict->entries.size();
    if (value.is(Kind::loop)) return value.loop->items.size();
    return std::nullopt;
  }

  bool contains(const Value& whole, const Value& part) {
    if (whole.is(Kind::text)) {
      if (!part.is(Kind::text)) fail("'in' a text needs a text, not a ", type_name(part));
      work(whole.text->size() / 16);
      return whole.text->bytes.find(part.text->bytes) != std::string::npos;
    }
    if (whole.is(Kind::dict) || (whole.is(Kind::list) && whole.list->kind == ListKind::keys)) {
      if (!is_hashable(part)) fail("a ", type_name(part), " cannot be a key of a dict");
      if (whole.is(Kind::dict)) return find(*whole.dict, part) != nullptr;
    }
    if (whole.is(Kind::list) && whole.list->kind == ListKind::iterator) {
      while (whole.list->read < whole.list->items.size())
        if (equal(whole.list->items[whole.list->read++], part)) return true;
      return false;
    }
    if (!whole.is(Kind::list) && !whole.is_undefined()) fail("'in' is not supported for a ", type_name(whole));
    if (whole.is(Kind::list))
      for (const Value& item : whole.list->items)
        if (equal(item, part)) return true;
    return false;
  }

  // str(), as a text of its own.
  Value string(const Value& value) {
    if (value.is(Kind::text)) return value;
    MarkedText made;
    append_string(made, value);
    return text(std::move(made));
  }
  // str() at the end of a text.
  void append_string(MarkedText& out, const Value& value) {
    if (value.is(Kind::text)) {
      make(value.text->size(), out.size());
      return out.append(*value.text);
    }
    if (value.is_undefined()) return;
    std::string written;
    const bool typed = represent(written, value);
    make(written.size(), out.size());
    out.append(written, typed ? Source::user : Source::literal);
  }
  // repr(); true: some of it is a user's.
  bool represent(std::string& out, const Value& value) {
    const Deeper guard = into_value();
    work(1);
    switch (value.kind) {
      case Kind::undefined:
        out.append("Undefined");
        return false;
      case Kind::none:
        out.append("None");
        return false;
      case Kind::boolean:
        out.append(value.boolean ? "True" : "False");
        return false;
      case Kind::integer:
        append_text(out, value.integer);
        return false;
      case Kind::real:
        out.append(python_float(value.real));
        return false;
      case Kind::text:
        if (value.text->markup) fail("writing an escaped text inside a list or dict is not supported");
        make(value.text->size(), out.size());
        append_python_text(out, value.text->bytes);
        return value.text->typed();
      case Kind::list:
        return represent_list(out, *value.list);
      case Kind::dict: {
        bool typed = false;
        out.push_back('{');
        for (std::size_t i = 0; i < value.dict->entries.size(); ++i) {
          if (i > 0) out.append(", ");
          typed |= represent(out, value.dict->entries[i].first);
          out.append(": ");
          typed |= represent(out, value.dict->entries[i].second);
        }
        out.push_back('}');
        return typed;
      }
      default:
        fail("a ", type_name(value), " cannot be written: write what it holds");
    }
  }

  // Numbers.
  std::int64_t whole(const Value& value, std::string_view what) const {
    if (!value.is_whole()) fail(what, " must be an int, not ", type_name(value));
    return value.whole();
  }
  [[noreturn]] void fail_overflow() const { fail("the number does not fit 64 bits"); }

  const Program& program() const { return program_; }
  const Limits& limits() const { return limits_; }

 private:
  [[noreturn]] void exceeded(std::string_view limit, std::uint64_t allowed, std::uint64_t asked) const {
    throw LimitError(program_.where(at), limit, allowed, asked);
  }
  bool represent_list(std::string& out, const List& list) {
    static constexpr std::string_view names[] = {"", "", "range", "", "dict_keys", "dict_values", "dict_items"};
    if (list.kind == ListKind::iterator) fail("an iterator cannot be written: add |list or |join");
    const bool tuple = list.kind == ListKind::tuple, view = list.kind >= ListKind::keys;
    if (list.kind == ListKind::range) {
      out.append(concat("range(", list.start, ", ", list.stop));
      if (list.step != 1) out.append(concat(", ", list.step));
      out.push_back(')');
      return false;
    }
    bool typed = false;
    out.append(names[static_cast<std::size_t>(list.kind)]).append(view ? "([" : tuple ? "(" : "[");
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out.append(", ");
      typed |= represent(out, list.items[i]);
    }
    if (tuple && list.items.size() == 1) out.push_back(',');
    out.append(view ? "])" : tuple ? ")" : "]");
    return typed;
  }

  const Program& program_;
  const Limits& limits_;
  const std::uint64_t steps_, bytes_;
  std::uint64_t done_ = 0, value_depth_ = 0, macro_depth_ = 0, node_depth_ = 0;
  std::deque<MarkedText> ascii_;  // each twice: literal, user
};

}  // namespace plume::inline PLUME_ABI::jinja
#endif
