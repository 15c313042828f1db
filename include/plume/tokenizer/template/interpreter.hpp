#pragma once
// Runs the tree of a template.
#include <bit>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/json_value.hpp"
#include "plume/tokenizer/template/tests.hpp"

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::jinja {

class Interpreter : public Machine {
 public:
  using Clock = std::function<std::string(std::string_view format)>;

  Interpreter(const Program& program, const Limits& limits, std::uint64_t input_bytes, const Clock& clock)
      : Machine(program, limits, input_bytes), clock_(clock), scope_(&heap.scopes.emplace_back()) {
    for (std::size_t i = 0; i < program.symbols.size(); ++i) {
      const std::string_view name = program.symbols[i];
      if (name == "loop") loop_ = static_cast<std::int64_t>(i);
      if (name == "caller") caller_ = static_cast<std::uint32_t>(i);
      if (name == "varargs") varargs_ = static_cast<std::uint32_t>(i);
      if (name == "kwargs") kwargs_ = static_cast<std::uint32_t>(i);
    }
  }

  // A variable of the template.
  void define(std::string_view name, const Value& value) {
    for (std::size_t i = 0; i < program().symbols.size(); ++i)
      if (program().symbols[i] == name) scope_->set(static_cast<std::uint32_t>(i), value);
  }
  // JSON as values, its texts of one source. `trusted`: says of a text under a key whether it is literal all the same.
  template <class Trusted>
  Value value_of(const Json& json, Source source, const Trusted& trusted) {
    const Deeper guard = into_value();
    switch (json.kind()) {
      case Json::Kind::null:
        return Value::nothing();
      case Json::Kind::boolean:
        return Value::of(json.as_boolean());
      case Json::Kind::integer:
        if (json.is_unsigned_only()) fail("a number of the input does not fit 64 signed bits");
        return Value::of(json.as_integer());
      case Json::Kind::real:
        return Value::of(json.as_number());
      case Json::Kind::text:
        return Value::of(&heap.texts.emplace_back(json.as_text(), source));
      case Json::Kind::array: {
        List& list = heap.lists.emplace_back();
        for (const Json& entry : json.items()) list.items.push_back(value_of(entry, source, trusted));
        return Value::of(&list);
      }
      case Json::Kind::object:
        break;
    }
    Dict& dict = heap.dicts.emplace_back();
    for (const Json::Member& member : json.members()) {
      const bool literal = member.value.is_text() && trusted(value_depth(), member.key, member.value.as_text());
      dict.set(Value::of(&heap.texts.emplace_back(member.key, source)),
               value_of(member.value, literal ? Source::literal : source, trusted));
    }
    return Value::of(&dict);
  }

  MarkedText run() {
    MarkedText output;
    out_ = root_ = &output;
    execute(program().root);
    return output;
  }
  std::vector<std::pair<std::size_t, std::size_t>> generations;  // what {% generation %} wrote, as ranges of bytes

 private:
  enum class Flow : std::uint8_t { on, leave, next };

  const Node& node(NodeId id) const { return program().nodes[id]; }

  template <class Run>
  MarkedText captured(Run run) {
    MarkedText text;
    MarkedText* const before = std::exchange(out_, &text);
    run();
    out_ = before;
    return text;
  }
  template <class Run>
  auto scoped(Scope* scope, Run run) {
    Scope* const before = std::exchange(scope_, scope);
    struct Back {
      Scope *&now, *before;
      ~Back() { now = before; }
    } back{scope_, before};
    return run();
  }
  Scope* inner_scope(const Scope* outer) { return &heap.scopes.emplace_back(Scope{outer}); }
  Scope* inner_scope() { return inner_scope(scope_); }

  Flow execute(NodeId id) {
    const Deeper guard = into_node();
    const Node& node = this->node(id);
    const auto& children = node.children;
    at = node.offset;
    work(1);
    switch (node.kind) {
      case NodeKind::sequence:
        for (const NodeId child : children)
          if (const Flow flow = execute(child); flow != Flow::on) return flow;
        return Flow::on;
      case NodeKind::data: {
        const MarkedText& text = program().texts[static_cast<std::size_t>(node.value)];
        make(text.size(), out_->size());
        out_->append(text);
        return Flow::on;
      }
      case NodeKind::output: {
        const Value value = evaluate(children[0]);
        at = node.offset;
        append_string(*out_, value);
        return Flow::on;
      }
      case NodeKind::condition:
        for (std::size_t i = 0; i + 1 < children.size(); i += 2)
          if (truth(evaluate(children[i]))) return execute(children[i + 1]);
        return children.size() % 2 == 1 ? execute(children.back()) : Flow::on;
      case NodeKind::loop:
        return loop(node, evaluate(children[1]), 1);
      case NodeKind::assign: {
        const Value value = evaluate(children[1]);
        assign(children[0], value, *scope_);
        return Flow::on;
      }
      case NodeKind::capture: {
        Scope* const inner = inner_scope();
        Value value = text(captured([&] { scoped(inner, [&] { return execute(children[2]); }); }));
        if (children[1] != 0) value = scoped(inner, [&] { return chain(this->node(children[1]), value); });
        assign(children[0], value, *scope_);
        return Flow::on;
      }
      case NodeKind::macro: {
        Value made = Value::of(Kind::macro);
        made.macro =
            &heap.macros.emplace_back(Macro{program().symbols[static_cast<std::size_t>(node.value)], children[0], children[1], scope_});
        scope_->set(static_cast<std::uint32_t>(node.value), made);
        return Flow::on;
      }
      case NodeKind::call: {
        Value caller = Value::of(Kind::macro);
        caller.macro = &heap.macros.emplace_back(Macro{"caller", children[1], children[2], scope_});
        const Node& call = this->node(children[0]);
        append_string(*out_, chain(call, evaluate(call.children[0]), &caller));
        return Flow::on;
      }
      case NodeKind::filter: {
        Scope* const inner = inner_scope();
        const Value value = text(captured([&] { scoped(inner, [&] { return execute(children[1]); }); }));
        append_string(*out_, scoped(inner, [&] { return chain(this->node(children[0]), value); }));
        return Flow::on;
      }
      case NodeKind::generation: {
        const MarkedText made = captured([&] { scoped(inner_scope(), [&] { return execute(children[0]); }); });
        generations.emplace_back(root_->size(), root_->size() + made.size());
        make(made.size(), out_->size());
        out_->append(made);
        return Flow::on;
      }
      case NodeKind::with: {
        Scope* const inner = inner_scope();
        for (std::size_t i = 1; i + 1 < children.size(); i += 2) {
          const Value value = evaluate(children[i + 1]);
          assign(children[i], value, *inner);
        }
        return scoped(inner, [&] { return execute(children[0]); });
      }
      case NodeKind::leave:
        return Flow::leave;
      default:  // next: no other part is a statement
        return Flow::next;
    }
  }

  Flow loop(const Node& node, const Value& iterable, std::size_t depth) {
    const auto& children = node.children;
    std::vector<Value> items = elements(iterable);
    if (children[2] != 0) {
      std::vector<Value> kept;
      for (const Value& item : items) {
        Scope* const inner = inner_scope();
        work(1);
        assign(children[0], item, *inner);
        if (scoped(inner, [&] { return truth(evaluate(children[2])); })) kept.push_back(item);
      }
      items = std::move(kept);
    }
    Value value = Value::of(Kind::loop);
    Loop& loop = *(value.loop = &heap.loops.emplace_back());
    bool completed = false;  // as in jinja2, else also follows when no round came to its end
    loop.items = std::move(items), loop.depth = depth;
    if (node.value != 0) loop.recursive = &node, loop.scope = scope_;
    for (; loop.index < loop.items.size(); ++loop.index) {
      at = node.offset;
      work(1);
      Scope* const inner = inner_scope();
      if (loop_ >= 0) inner->set(static_cast<std::uint32_t>(loop_), value);
      assign(children[0], loop.items[loop.index], *inner);
      const Flow flow = scoped(inner, [&] { return execute(children[3]); });
      if (flow == Flow::leave) break;
      completed |= flow == Flow::on;
    }
    if (completed || children[4] == 0) return Flow::on;
    return scoped(inner_scope(), [&] { return execute(children[4]); });
  }

  void assign(NodeId id, const Value& value, Scope& scope) {
    const Node& node = this->node(id);
    if (node.kind == NodeKind::target_name) return scope.set(static_cast<std::uint32_t>(node.value), value);
    if (node.kind == NodeKind::target_attribute) {
      const Value whole = lookup(static_cast<std::uint32_t>(node.value));
      at = node.offset;
      if (!whole.is(Kind::names)) fail("cannot assign to an attribute of a ", type_name(whole), ": only namespaces have such");
      whole.dict->set(text(program().symbols[static_cast<std::size_t>(this->node(node.children[0]).value)]), value);
      return;
    }
    at = node.offset;
    const std::vector<Value> all = elements(value);
    if (all.size() != node.children.size()) fail("cannot take ", all.size(), " values apart into ", node.children.size(), " names");
    for (std::size_t i = 0; i < all.size(); ++i) assign(node.children[i], all[i], scope);
  }

  Value lookup(std::uint32_t symbol) {
    if (const Value* found = scope_->find(symbol)) return *found;
    const std::string& name = program().symbols[symbol];
    Value made = Value::of(Kind::function);
    for (const Function& entry : function::all)
      if (entry.name == name) {
        made.function = &entry;
        return made;
      }
    if (clock_ && name == "strftime_now") {
      made.function = &now;
      return made;
    }
    return undefined(name);
  }
  static Value strftime_now(Machine& machine, Arguments& given) {
    const auto [format] = bind(machine, "strftime_now", given, {"format"}, 1);
    return machine.text(static_cast<Interpreter&>(machine).clock_(text_of(machine, *format, "strftime_now: the format").bytes));
  }
  static constexpr Function now = {"strftime_now", strftime_now};

  Value evaluate(NodeId id) {
    const Deeper guard = into_node();
    const Node& node = this->node(id);
    const auto& children = node.children;
    at = node.offset;
    work(1);
    switch (node.kind) {
      case NodeKind::text:
        return Value::of(&program().texts[static_cast<std::size_t>(node.value)]);
      case NodeKind::integer:
        return Value::of(node.value);
      case NodeKind::real:
        return Value::of(std::bit_cast<double>(node.value));
      case NodeKind::nothing:
        return Value::nothing();
      case NodeKind::truth:
        return Value::of(node.value != 0);
      case NodeKind::name:
        return lookup(static_cast<std::uint32_t>(node.value));
      case NodeKind::list:
      case NodeKind::tuple: {
        std::vector<Value> items;
        for (const NodeId child : children) items.push_back(evaluate(child));
        return list(std::move(items), node.kind == NodeKind::list ? ListKind::list : ListKind::tuple);
      }
      case NodeKind::dict: {
        Dict& made = dict();
        for (std::size_t i = 0; i < children.size(); i += 2) {
          const Value key = evaluate(children[i]), value = evaluate(children[i + 1]);
          set(made, key, value);
        }
        return Value::of(&made);
      }
      case NodeKind::conditional: {
        if (truth(evaluate(children[0]))) return evaluate(children[1]);
        return children[2] != 0 ? evaluate(children[2]) : undefined("the inline if without an else");
      }
      case NodeKind::any:
      case NodeKind::all: {
        Value value;
        for (const NodeId child : children) {
          value = evaluate(child);
          if (truth(value) == (node.kind == NodeKind::any)) break;
        }
        return value;
      }
      case NodeKind::negation:
        return Value::of(!truth(evaluate(children[0])));
      case NodeKind::compare: {
        Value left = evaluate(children[0]);
        for (std::size_t i = 1; i < children.size(); i += 2) {
          const Value right = evaluate(children[i + 1]);
          at = node.offset;
          if (!compares(*this, static_cast<Operator>(children[i]), left, right)) return Value::of(false);
          left = right;
        }
        return Value::of(true);
      }
      case NodeKind::arithmetic: {
        Value left = evaluate(children[0]);
        for (std::size_t i = 1; i < children.size(); i += 2) {
          const Value right = evaluate(children[i + 1]);
          at = node.offset;
          left = arithmetic(*this, static_cast<Operator>(children[i]), left, right);
        }
        return left;
      }
      case NodeKind::concat: {
        MarkedText made;
        for (const NodeId child : children) {
          const Value part = evaluate(child);
          at = node.offset;
          append_string(made, part);
        }
        return text(std::move(made));
      }
      case NodeKind::minus:
      case NodeKind::plus: {
        const Value value = evaluate(children[0]);
        at = node.offset;
        if (value.is_undefined()) fail_undefined(value);
        if (!value.is_number()) fail("a ", type_name(value), " has no sign");
        if (value.is(Kind::real)) return Value::of(node.kind == NodeKind::minus ? -value.real : value.real);
        return whole_arithmetic(*this, node.kind == NodeKind::minus ? Operator::subtract : Operator::add, 0, value.whole());
      }
      default:  // chain: no other part is an expression
        return chain(node, evaluate(children[0]));
    }
  }

  // A value through the steps of a chain. `caller`: what the last of them, a call, gets beside its arguments.
  Value chain(const Node& node, Value value, const Value* caller = nullptr) {
    for (std::size_t i = 1; i < node.children.size(); ++i) {
      const Node& step = this->node(node.children[i]);
      work(1);
      switch (step.kind) {
        case NodeKind::attribute:
          at = step.offset;
          value = attribute(*this, value, program().symbols[static_cast<std::size_t>(step.value)]);
          break;
        case NodeKind::item: {
          const Value key = evaluate(step.children[0]);
          at = step.offset;
          value = item(*this, value, key);
          break;
        }
        case NodeKind::slice: {
          Value bounds[3];
          for (std::size_t b = 0; b < 3; ++b) bounds[b] = step.children[b] != 0 ? evaluate(step.children[b]) : Value::nothing();
          at = step.offset;
          value = slice(*this, value, bounds[0], bounds[1], bounds[2]);
          break;
        }
        case NodeKind::arguments: {
          Arguments given = arguments(node.children[i]);
          if (caller && i + 1 == node.children.size()) given.named.emplace_back("caller", *caller);
          at = step.offset;
          value = call(value, given);
          break;
        }
        case NodeKind::pipe: {
          Arguments given = arguments(step.children[0]);
          at = step.offset;
          value = filter::all[static_cast<std::size_t>(step.value)].call(*this, value, given);
          break;
        }
        default: {
          Arguments given = arguments(step.children[0]);
          at = step.offset;
          value = Value::of(test::all[static_cast<std::size_t>(step.value) / 2].call(*this, value, given) != (step.value % 2 == 1));
        }
      }
    }
    return value;
  }
  Arguments arguments(NodeId id) {
    Arguments given;
    if (id == 0) return given;
    const Node& node = this->node(id);
    const auto positional = static_cast<std::size_t>(node.value);
    for (std::size_t i = 0; i < positional; ++i) given.values.push_back(evaluate(node.children[i]));
    for (std::size_t i = positional; i + 1 < node.children.size(); i += 2) {
      const Node& name = this->node(node.children[i]);
      const Value value = evaluate(node.children[i + 1]);
      at = name.offset;
      if (name.value >= 0)
        add_named(*this, given, program().symbols[static_cast<std::size_t>(name.value)], value);
      else
        spread(*this, given, value, name.value == -1 ? Spread::values : Spread::names);
    }
    return given;
  }

  Value call(const Value& value, Arguments& given) {
    switch (value.kind) {
      case Kind::undefined:
        fail_undefined(value);
      case Kind::method:
        return value.method->method->call(*this, value.method->self, given);
      case Kind::function:
        return value.function->call(*this, given);
      case Kind::macro:
        return call_macro(*value.macro, given);
      case Kind::joiner:
        bind_none(*this, "a joiner", given);
        return std::exchange(value.joiner->used, true) ? value.joiner->separator : text("");
      case Kind::loop: {
        const Loop& outer = *value.loop;
        if (!outer.recursive) fail("this loop is not marked as recursive, so it cannot be called");
        const auto [iterable] = bind(*this, "loop", given, {"iterable"}, 1);
        const Deeper guard = into_macro();
        return text(
            captured([&, &items = *iterable] { scoped(outer.scope, [&] { return loop(*outer.recursive, items, outer.depth + 1); }); }));
      }
      default:
        fail("a ", type_name(value), " cannot be called");
    }
  }
  Value call_macro(const Macro& macro, Arguments& given) {
    const Deeper guard = into_macro();
    const Node& parameters = node(macro.parameters);
    const std::size_t count = parameters.children.size() / 2;
    Scope* const inner = inner_scope(macro.scope);
    std::vector<bool> used(given.named.size());
    const auto named = [&](std::string_view name) -> const Value* {
      for (std::size_t i = 0; i < given.named.size(); ++i)
        if (given.named[i].first == name) {
          used[i] = true;
          return &given.named[i].second;
        }
      return nullptr;
    };
    // Given ones first: a default may use those before it.
    for (std::size_t i = 0; i < count; ++i) {
      const auto symbol = static_cast<std::uint32_t>(node(parameters.children[2 * i]).value);
      const std::string& name = program().symbols[symbol];
      if (i < given.values.size()) {
        inner->set(symbol, given.values[i]);
      } else if (const Value* value = named(name)) {
        inner->set(symbol, *value);
      } else if (const NodeId otherwise = parameters.children[2 * i + 1]; otherwise != 0) {
        const Value standard = scoped(inner, [&] { return evaluate(otherwise); });
        inner->set(symbol, standard);
      } else {
        inner->set(symbol, undefined(name));
      }
    }
    const auto declared = [&](std::uint32_t symbol) {
      return std::any_of(inner->names.begin(), inner->names.end(), [&](const auto& entry) { return entry.first == symbol; });
    };
    if ((parameters.value & uses_caller) != 0 && !declared(caller_)) {
      const Value* value = named("caller");
      inner->set(caller_, value ? *value : undefined("caller"));
    }
    if (given.values.size() > count && (parameters.value & uses_varargs) == 0)
      fail("macro ", quoted(macro.name), " takes ", count, " arguments, ", given.values.size(), " are given");
    if ((parameters.value & uses_varargs) != 0 && !declared(varargs_)) {
      const auto from = static_cast<std::ptrdiff_t>(std::min(count, given.values.size()));
      inner->set(varargs_, list({given.values.begin() + from, given.values.end()}, ListKind::tuple));
    }
    if ((parameters.value & uses_kwargs) != 0 && !declared(kwargs_)) {
      Dict& rest = dict();
      for (std::size_t i = 0; i < given.named.size(); ++i)
        if (!used[i]) rest.set(text(given.named[i].first), given.named[i].second);
      inner->set(kwargs_, Value::of(&rest));
    } else {
      for (std::size_t i = 0; i < given.named.size(); ++i)
        if (!used[i]) fail("macro ", quoted(macro.name), " has no argument ", quoted(given.named[i].first));
    }
    return text(captured([&] { scoped(inner, [&] { return execute(macro.body); }); }));
  }

  const Clock& clock_;
  Scope* scope_;
  MarkedText *out_ = nullptr, *root_ = nullptr;
  std::int64_t loop_ = -1;
  std::uint32_t caller_ = 0, varargs_ = 0, kwargs_ = 0;
};

}  // namespace plume::inline PLUME_ABI::jinja
#endif
