#pragma once
// A template as a tree in one array; and where in its source an error stands.
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/tokenizer/template/marked_text.hpp"

namespace plume::inline PLUME_ABI::jinja {

using NodeId = std::uint32_t;  // 0: none

enum class NodeKind : std::uint8_t {
  none,
  // statements
  sequence,    // children: statements
  data,        // value: index of a text
  output,      // children: expression
  condition,   // children: test, body, test, body, ... and a last body without a test
  loop,        // value: 1 if it may be called; children: target, iterable, test or none, body, else or none
  assign,      // children: target, expression
  capture,     // {% set x %}...{% endset %}; children: target, filters or none, body
  macro,       // value: symbol; children: parameters, body
  call,        // {% call %}; children: call expression, parameters, body
  filter,      // {% filter %}; children: filters, body
  generation,  // children: body
  with,        // children: body, target, expression, target, expression, ...
  leave,       // {% break %}
  next,        // {% continue %}
  parameters,  // value: what the body also asks for (Implicit); children: name, default or none, ...
  // targets
  target_name,       // value: symbol
  target_tuple,      // children: targets
  target_attribute,  // value: symbol of the namespace; children: one name node, the attribute
  // expressions
  text,         // value: index of a text
  integer,      // value
  real,         // value: bits of a double
  nothing,      // none
  truth,        // value: 0 or 1
  name,         // value: symbol
  list,         // children
  tuple,        // children
  dict,         // children: key, value, ...
  conditional,  // children: test, then, else or none
  any,          // or
  all,          // and
  negation,     // not
  compare,      // children: first, then operator (Operator as a number), operand, ...
  arithmetic,   // children: first, then operator, operand, ...
  concat,       // ~; children
  minus,
  plus,
  chain,      // children: start, then steps
  attribute,  // step .name; value: symbol
  item,       // step [expression]; children: expression
  slice,      // step [a:b:c]; children: three expressions or none
  arguments,  // step (...); value: how many are positional; children: those, then name, expression, ...
  pipe,       // step |name(...); value: index into the table of filters; children: arguments or none
  test,       // step is name; value: index into the table of tests; children: arguments or none
};

enum class Operator : std::uint32_t {
  equal,
  unequal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in,
  add,
  subtract,
  multiply,
  divide,
  floor,
  modulo,
  power
};

enum Implicit : std::int64_t { uses_caller = 1, uses_varargs = 2, uses_kwargs = 4 };

struct Node {
  NodeKind kind = NodeKind::none;
  std::uint32_t offset = 0;  // in the source
  std::int64_t value = 0;
  std::vector<NodeId> children = {};
};

struct Program {
  std::string name;    // of the template, for errors
  std::string source;  // line ends are \n
  std::vector<Node> nodes = std::vector<Node>(1);
  std::vector<std::string> symbols;
  std::vector<MarkedText> texts;
  NodeId root = 0;
  bool marks_generation = false;  // has {% generation %}

  Where where(std::uint32_t offset) const {
    Where place{.path = name};
    const std::string_view before = std::string_view(source).substr(0, offset);
    place.line = 1 + static_cast<std::uint64_t>(std::count(before.begin(), before.end(), '\n'));
    place.column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 == 0
    return place;
  }
};

}  // namespace plume::inline PLUME_ABI::jinja
