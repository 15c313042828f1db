#pragma once
// The tags of a template into its tree. What is not known is an error that names it and its place; nothing is skipped.
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/template/expression_parser.hpp"

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::jinja {

class Parser : private ExpressionParser {
 public:
  Parser(Program& program, const Limits& limits) : ExpressionParser(program, limits) { program_.root = statements({}); }

 private:
  using Words = std::initializer_list<std::string_view>;

  // Statements up to a tag of `ends`, which stays: its name is the current token. No ends: up to the end of the template.
  NodeId statements(Words ends) {
    const Deeper guard(*this);
    const NodeId all = add(NodeKind::sequence, current_.offset);
    std::vector<NodeId> children;
    const std::uint32_t begin = opened_;
    while (!is(TokenKind::end)) {
      const std::uint32_t offset = current_.offset;
      if (is(TokenKind::data)) {
        children.push_back(text(offset, take().text, NodeKind::data));
      } else if (is(TokenKind::output_begin)) {
        take();
        children.push_back(add(NodeKind::output, offset, 0, {expressions(Allow::yes, "")}));
        if (!is(TokenKind::output_end)) expected("}}");
        take();
      } else {
        take();
        opened_ = offset;
        if (!is(TokenKind::name)) expected("the name of a tag");
        for (const std::string_view end : ends)
          if (current_.text == end) {
            program_.nodes[all].children = std::move(children);
            return all;
          }
        children.push_back(statement(offset));
        end_tag();
      }
    }
    if (ends.size() > 0)
      throw FormatError(program_.where(begin), concat("this tag is never closed: {% ", *(ends.end() - 1), " %} is missing"));
    program_.nodes[all].children = std::move(children);
    return all;
  }
  // The body of a tag, from its %} to the name of an end tag.
  NodeId body(Words ends) {
    skip_sign(":");
    end_tag();
    return statements(ends);
  }
  // A body in which a surrounding loop cannot be left, up to and with its end tag's name.
  NodeId closed_body(Words ends) {
    const auto loops = std::exchange(loops_, 0u);
    const NodeId made = body(ends);
    loops_ = loops;
    take();
    return made;
  }

  NodeId statement(std::uint32_t offset) {
    const Token tag = take();
    const std::string& name = tag.text;
    if (name == "if") return condition(offset);
    if (name == "for") return loop(offset);
    if (name == "set") return assignment(offset);
    if (name == "macro") return macro(offset);
    if (name == "call") return call_block(offset);
    if (name == "filter") {
      const NodeId filters = pipes(0, offset, First::without_sign);
      return add(NodeKind::filter, offset, 0, {filters, closed_body({"endfilter"})});
    }
    if (name == "generation") {
      program_.marks_generation = true;
      return add(NodeKind::generation, offset, 0, {closed_body({"endgeneration"})});
    }
    if (name == "with") return with(offset);
    if (name == "break" || name == "continue") {
      if (loops_ == 0) fail(tag, concat("{% ", name, " %} stands in no loop, or in a block inside one"));
      return add(name == "break" ? NodeKind::leave : NodeKind::next, offset);
    }
    if (name == "print") {
      const NodeId all = add(NodeKind::sequence, offset);
      do {
        if (is(TokenKind::block_end)) break;
        const NodeId one = add(NodeKind::output, current_.offset, 0, {expression()});
        program_.nodes[all].children.push_back(one);
      } while (skip_sign(","));
      return all;
    }
    if (name.starts_with("end") || name == "else" || name == "elif")
      fail(tag, concat("unexpected {% ", name, " %}: nothing to close here"));
    unsupported(tag.offset, concat("unknown tag {% ", name, " %}"));
  }

  NodeId condition(std::uint32_t offset) {
    std::vector<NodeId> parts;
    while (true) {
      parts.push_back(expressions(Allow::no, ""));
      parts.push_back(body({"elif", "else", "endif"}));
      const std::string word = take().text;
      if (word == "elif") continue;
      if (word == "else") {
        parts.push_back(body({"endif"}));
        take();
      }
      return add(NodeKind::condition, offset, 0, std::move(parts));
    }
  }
  NodeId loop(std::uint32_t offset) {
    const NodeId goal = target(Allow::no, "in");
    if (!skip_word("in")) expected("\"in\"");
    const NodeId iterable = expressions(Allow::no, "recursive");
    const NodeId test = skip_word("if") ? expression() : 0;
    const bool recursive = skip_word("recursive");
    ++loops_;
    const NodeId inner = body({"else", "endfor"});
    --loops_;
    NodeId otherwise = 0;
    if (take().text == "else") {
      otherwise = body({"endfor"});
      take();
    }
    return add(NodeKind::loop, offset, recursive ? 1 : 0, {goal, iterable, test, inner, otherwise});
  }
  NodeId assignment(std::uint32_t offset) {
    const NodeId goal = target(Allow::yes, "");
    if (skip_sign("=")) return add(NodeKind::assign, offset, 0, {goal, expressions(Allow::yes, "")});
    const NodeId filters = is_sign("|") ? pipes(0, offset, First::with_sign) : 0;
    return add(NodeKind::capture, offset, 0, {goal, filters, closed_body({"endset"})});
  }
  NodeId with(std::uint32_t offset) {
    std::vector<NodeId> parts = {0};
    while (!is(TokenKind::block_end)) {
      if (parts.size() > 1) expect_sign(",");
      parts.push_back(target(Allow::no, ""));
      expect_sign("=");
      parts.push_back(expression());
    }
    parts[0] = body({"endwith"});
    take();
    return add(NodeKind::with, offset, 0, std::move(parts));
  }

  // Names, one or several; a namespace's attribute where it is allowed.
  NodeId target(Allow attributes, std::string_view end) {
    const std::uint32_t offset = current_.offset;
    std::vector<NodeId> all;
    bool several = false;
    do {
      if (!all.empty() && (is_sign("=") || is(TokenKind::block_end) || is_sign(")") || (!end.empty() && is_word(end)))) break;
      all.push_back(one_target(attributes));
      several |= is_sign(",");
    } while (skip_sign(","));
    return several ? add(NodeKind::target_tuple, offset, 0, std::move(all)) : all[0];
  }
  NodeId one_target(Allow attributes) {
    const std::uint32_t offset = current_.offset;
    if (skip_sign("(")) {
      const Deeper guard(*this);
      const NodeId inner = target(attributes, "");
      expect_sign(")");
      return inner;
    }
    const Token token = current_;
    const std::string name = expect_name("a name to assign to");
    for (const std::string_view constant : {"true", "false", "none", "True", "False", "None"})
      if (name == constant) fail(token, concat("cannot assign to ", quoted(name)));
    if (attributes == Allow::yes && skip_sign(".")) {
      const NodeId inner = add(NodeKind::name, current_.offset, symbol(current_.text));
      expect_name("the name of an attribute");
      return add(NodeKind::target_attribute, offset, symbol(name), {inner});
    }
    return add(NodeKind::target_name, offset, symbol(name));
  }

  NodeId parameters() {
    const std::uint32_t offset = current_.offset;
    expect_sign("(");
    std::vector<NodeId> all;
    while (!is_sign(")")) {
      if (!all.empty()) expect_sign(",");
      const Token token = current_;
      all.push_back(add(NodeKind::target_name, token.offset, symbol(expect_name("the name of a parameter"))));
      const bool given = skip_sign("=");
      if (!given && all.size() > 1 && all[all.size() - 2] != 0) fail(token, "a parameter without a default follows one with a default");
      all.push_back(given ? expression() : 0);
    }
    take();
    return add(NodeKind::parameters, offset, 0, std::move(all));
  }
  // The body of a macro; what it asks for beside its parameters is noted.
  NodeId macro_body(NodeId given, std::string_view end) {
    const std::int64_t before = std::exchange(implicit_, 0);
    const NodeId made = closed_body({end});
    program_.nodes[given].value = std::exchange(implicit_, before);
    return made;
  }
  NodeId macro(std::uint32_t offset) {
    const std::string name = expect_name("the name of a macro");
    const NodeId given = parameters();
    return add(NodeKind::macro, offset, symbol(name), {given, macro_body(given, "endmacro")});
  }
  NodeId call_block(std::uint32_t offset) {
    const NodeId given = is_sign("(") ? parameters() : add(NodeKind::parameters, offset);
    const Token token = current_;
    const NodeId call = expression();
    const Node& node = program_.nodes[call];
    if (node.kind != NodeKind::chain || program_.nodes[node.children.back()].kind != NodeKind::arguments)
      fail(token, "expected a call of a macro");
    return add(NodeKind::call, offset, 0, {call, given, macro_body(given, "endcall")});
  }

  std::uint32_t opened_ = 0;  // where the latest tag begins
  std::uint32_t loops_ = 0;   // that break can leave here
};

}  // namespace plume::inline PLUME_ABI::jinja
#endif
