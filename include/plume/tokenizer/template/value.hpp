#pragma once
// The values of a template: Python's, as far as templates see them. They live in the heap of one rendering and go with it.
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/template/marked_text.hpp"
#include "plume/tokenizer/template/syntax.hpp"

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::jinja {

enum class Kind : std::uint8_t {
  undefined,
  none,
  boolean,
  integer,
  real,
  text,
  list,
  dict,
  names,
  macro,
  method,
  function,
  loop,
  joiner,
  cycler
};

// iterator: what map, select, items and the like give: read once, without a length. The last three are views of a dict.
enum class ListKind : std::uint8_t { list, tuple, range, iterator, keys, values, items };

struct List;
struct Dict;
struct Macro;
struct Bound;
struct Function;
struct Loop;
struct Joiner;
struct Cycler;

struct Value {
  Kind kind = Kind::undefined;
  union {
    const std::string* name = nullptr;  // of what is undefined, for errors
    bool boolean;
    std::int64_t integer;
    double real;
    const MarkedText* text;
    List* list;
    Dict* dict;  // also of a namespace
    const Macro* macro;
    const Bound* method;
    const Function* function;
    Loop* loop;
    Joiner* joiner;
    Cycler* cycler;
  };

  Value() {}
  static Value nothing() { return of(Kind::none); }
  static Value of(bool value) {
    Value made = of(Kind::boolean);
    made.boolean = value;
    return made;
  }
  static Value of(std::int64_t value) {
    Value made = of(Kind::integer);
    made.integer = value;
    return made;
  }
  static Value of(std::size_t value) { return of(static_cast<std::int64_t>(value)); }
  static Value of(double value) {
    Value made = of(Kind::real);
    made.real = value;
    return made;
  }
  static Value of(const MarkedText* value) {
    Value made = of(Kind::text);
    made.text = value;
    return made;
  }
  static Value of(List* value) {
    Value made = of(Kind::list);
    made.list = value;
    return made;
  }
  static Value of(Dict* value, Kind kind = Kind::dict) {
    Value made = of(kind);
    made.dict = value;
    return made;
  }
  static Value of(Kind kind) {
    Value made;
    made.kind = kind;
    return made;
  }

  bool is(Kind wanted) const { return kind == wanted; }
  bool is_undefined() const { return kind == Kind::undefined; }
  bool is_whole() const { return kind == Kind::integer || kind == Kind::boolean; }  // a bool is an int
  bool is_number() const { return is_whole() || kind == Kind::real; }
  std::int64_t whole() const { return kind == Kind::boolean ? boolean : integer; }
  double number() const { return kind == Kind::real ? real : static_cast<double>(whole()); }
};

struct List {
  ListKind kind = ListKind::list;
  std::vector<Value> items = {};
  std::size_t read = 0;                        // of an iterator
  std::int64_t start = 0, stop = 0, step = 1;  // of a range
};

// Keys in the order in which they came. Texts are found through an index, other keys one by one.
struct Dict {
  std::vector<std::pair<Value, Value>> entries = {};
  std::unordered_map<std::string_view, std::size_t> index = {};

  const Value* find(std::string_view key) const {
    const auto found = index.find(key);
    return found == index.end() ? nullptr : &entries[found->second].second;
  }
  void set(Value key, Value value) {  // a text
    const auto [found, fresh] = index.emplace(key.text->bytes, entries.size());
    if (fresh)
      entries.emplace_back(key, value);
    else
      entries[found->second].second = value;
  }
};

struct Scope {
  const Scope* outer = nullptr;
  std::vector<std::pair<std::uint32_t, Value>> names = {};

  const Value* find(std::uint32_t symbol) const {
    for (const Scope* scope = this; scope; scope = scope->outer)
      for (auto entry = scope->names.rbegin(); entry != scope->names.rend(); ++entry)
        if (entry->first == symbol) return &entry->second;
    return nullptr;
  }
  void set(std::uint32_t symbol, Value value) {
    for (auto& entry : names)
      if (entry.first == symbol) {
        entry.second = value;
        return;
      }
    names.emplace_back(symbol, value);
  }
};

struct Macro {
  std::string_view name;
  NodeId parameters, body;
  const Scope* scope;  // where it was defined
};

struct Arguments {
  std::vector<Value> values = {};
  std::vector<std::pair<std::string_view, Value>> named = {};
};

class Machine;
using MethodCall = Value (*)(Machine&, const Value& self, Arguments& arguments);
struct Method {
  std::string_view name;
  MethodCall call;
};
struct Bound {
  Value self;
  const Method* method;
};
struct Function {
  std::string_view name;
  Value (*call)(Machine&, Arguments& arguments);
};
struct Loop {
  std::vector<Value> items = {};
  std::size_t index = 0;
  std::size_t depth = 1;
  std::vector<Value> changed = {};
  bool asked = false;               // whether `changed` holds an answer
  const Node* recursive = nullptr;  // what loop(...) runs again, and where
  Scope* scope = nullptr;
};
struct Joiner {
  Value separator;
  bool used = false;
};
struct Cycler {
  std::vector<Value> items = {};
  std::size_t at = 0;
};

struct Heap {
  std::deque<MarkedText> texts;
  std::deque<List> lists;
  std::deque<Dict> dicts;
  std::deque<Scope> scopes;
  std::deque<Macro> macros;
  std::deque<Bound> bounds;
  std::deque<Loop> loops;
  std::deque<Joiner> joiners;
  std::deque<Cycler> cyclers;
  std::deque<std::string> names;
};

}  // namespace plume::inline PLUME_ABI::jinja
#endif
