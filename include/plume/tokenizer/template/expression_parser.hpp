#pragma once
// Tokens into the expressions of a template. What is not known is an error that names it and its place.
#include <bit>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/template/lexer.hpp"
#include "plume/tokenizer/template/tests.hpp"

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::jinja {

class ExpressionParser {
 protected:
  ExpressionParser(Program& program, const Limits& limits) : program_(program), limits_(limits), lexer_(program) { take(); }
  ~ExpressionParser() = default;

  enum class Allow : std::uint8_t { no, yes };  // inline ifs, attributes of namespaces, filters
  enum class First : std::uint8_t { with_sign, without_sign };

  [[noreturn]] void fail(const Token& token, std::string_view reason) const { throw FormatError(program_.where(token.offset), reason); }
  [[noreturn]] void unsupported(std::uint32_t offset, std::string_view reason) const {
    throw ConfigError(program_.where(offset), concat(reason, "; --template names one of plume's own forms instead"));
  }

  // Tokens.
  Token take() {
    Token old = std::move(current_);
    if (ahead_.empty()) {
      current_ = lexer_.next();
    } else {
      current_ = std::move(ahead_.front());
      ahead_.pop_front();
    }
    return old;
  }
  const Token& look() {
    if (ahead_.empty()) ahead_.push_back(lexer_.next());
    return ahead_.front();
  }
  bool is(TokenKind kind) const { return current_.kind == kind; }
  bool is_sign(std::string_view sign) const { return is(TokenKind::sign) && current_.text == sign; }
  bool is_word(std::string_view word) const { return is(TokenKind::name) && current_.text == word; }
  bool skip_sign(std::string_view sign) { return is_sign(sign) && (take(), true); }
  bool skip_word(std::string_view word) { return is_word(word) && (take(), true); }
  static std::string described(const Token& token) {
    switch (token.kind) {
      case TokenKind::data:
        return "text";
      case TokenKind::output_begin:
        return "{{";
      case TokenKind::output_end:
        return "}}";
      case TokenKind::block_begin:
        return "{%";
      case TokenKind::block_end:
        return "%}";
      case TokenKind::text:
        return "a text";
      case TokenKind::integer:
      case TokenKind::real:
        return "a number";
      case TokenKind::end:
        return "the end of the template";
      default:
        return quoted(token.text);
    }
  }
  [[noreturn]] void expected(std::string_view what) const { fail(current_, concat("expected ", what, ", found ", described(current_))); }
  void expect_sign(std::string_view sign) {
    if (!skip_sign(sign)) expected(quoted(sign));
  }
  std::string expect_name(std::string_view what) {
    if (!is(TokenKind::name)) expected(what);
    return take().text;
  }
  void end_tag() {
    if (!is(TokenKind::block_end)) expected("%}");
    take();
  }

  // Nodes.
  NodeId add(NodeKind kind, std::uint32_t offset, std::int64_t value = 0, std::vector<NodeId> children = {}) {
    program_.nodes.push_back({kind, offset, value, std::move(children)});
    return static_cast<NodeId>(program_.nodes.size() - 1);
  }
  std::int64_t symbol(std::string_view name) {
    const auto [found, fresh] = symbols_.emplace(name, program_.symbols.size());
    if (fresh) program_.symbols.emplace_back(name);
    return static_cast<std::int64_t>(found->second);
  }
  NodeId text(std::uint32_t offset, std::string bytes, NodeKind kind = NodeKind::text) {
    program_.texts.emplace_back(std::move(bytes), Source::literal);
    return add(kind, offset, static_cast<std::int64_t>(program_.texts.size() - 1));
  }
  class Deeper {
   public:
    explicit Deeper(ExpressionParser& parser) : parser_(parser) {
      if (++parser.depth_ > parser.limits_.max_template_depth)
        throw LimitError(parser.program_.where(parser.current_.offset), "max_template_depth", parser.limits_.max_template_depth,
                         parser.depth_);
    }
    ~Deeper() { --parser_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    ExpressionParser& parser_;
  };

  // Expressions; with commas a tuple. `end` is a word that ends it.
  NodeId expressions(Allow condition, std::string_view end) {
    const std::uint32_t offset = current_.offset;
    std::vector<NodeId> all;
    bool tuple = false;
    do {
      if (is(TokenKind::output_end) || is(TokenKind::block_end) || is_sign(")") || (!end.empty() && is_word(end))) break;
      all.push_back(condition == Allow::yes ? expression() : either());
      tuple |= is_sign(",");
    } while (skip_sign(","));
    if (all.empty()) expected("an expression");
    return tuple ? add(NodeKind::tuple, offset, 0, std::move(all)) : all[0];
  }
  NodeId expression() {
    const Deeper guard(*this);
    NodeId value = either();
    std::uint64_t links = 0;
    for (; is_word("if"); ++links) {  // each hangs below the next
      const std::uint32_t offset = take().offset;
      if (++depth_ > limits_.max_template_depth)
        throw LimitError(program_.where(offset), "max_template_depth", limits_.max_template_depth, depth_);
      const NodeId test = either();
      const NodeId otherwise = skip_word("else") ? expression() : 0;
      value = add(NodeKind::conditional, offset, 0, {test, value, otherwise});
    }
    depth_ -= links;
    return value;
  }
  template <class Operand>
  NodeId series(NodeKind kind, std::string_view word, Operand operand) {
    const std::uint32_t offset = current_.offset;
    std::vector<NodeId> all = {operand()};
    while (skip_word(word)) all.push_back(operand());
    return all.size() == 1 ? all[0] : add(kind, offset, 0, std::move(all));
  }
  NodeId either() {
    return series(NodeKind::any, "or", [&] { return series(NodeKind::all, "and", [&] { return negation(); }); });
  }
  NodeId negation() {
    std::uint32_t offset = current_.offset;
    std::size_t times = 0;
    while (skip_word("not")) ++times;
    const NodeId value = comparison();
    if (times == 0) return value;
    const NodeId one = add(NodeKind::negation, offset, 0, {value});
    return times % 2 == 1 ? one : add(NodeKind::negation, offset, 0, {one});
  }
  NodeId comparison() {
    const std::uint32_t offset = current_.offset;
    std::vector<NodeId> all = {sum()};
    while (true) {
      Operator sign;
      if (is_sign("=="))
        sign = Operator::equal;
      else if (is_sign("!="))
        sign = Operator::unequal;
      else if (is_sign("<"))
        sign = Operator::less;
      else if (is_sign("<="))
        sign = Operator::less_equal;
      else if (is_sign(">"))
        sign = Operator::greater;
      else if (is_sign(">="))
        sign = Operator::greater_equal;
      else if (is_word("in"))
        sign = Operator::in;
      else if (is_word("not") && look().kind == TokenKind::name && look().text == "in")
        sign = Operator::not_in;
      else
        break;
      if (sign == Operator::not_in) take();
      take();
      all.push_back(static_cast<NodeId>(sign));
      all.push_back(sum());
    }
    return all.size() == 1 ? all[0] : add(NodeKind::compare, offset, 0, std::move(all));
  }
  template <class Operand>
  NodeId chain_of(std::initializer_list<std::pair<std::string_view, Operator>> signs, Operand operand) {
    const std::uint32_t offset = current_.offset;
    std::vector<NodeId> all = {operand()};
    while (true) {
      const auto found = std::find_if(signs.begin(), signs.end(), [&](const auto& entry) { return is_sign(entry.first); });
      if (found == signs.end()) break;
      take();
      all.push_back(static_cast<NodeId>(found->second));
      all.push_back(operand());
    }
    return all.size() == 1 ? all[0] : add(NodeKind::arithmetic, offset, 0, std::move(all));
  }
  NodeId sum() {
    return chain_of({{"+", Operator::add}, {"-", Operator::subtract}}, [&] { return joined(); });
  }
  NodeId joined() {
    const std::uint32_t offset = current_.offset;
    std::vector<NodeId> all = {product()};
    while (skip_sign("~")) all.push_back(product());
    return all.size() == 1 ? all[0] : add(NodeKind::concat, offset, 0, std::move(all));
  }
  NodeId product() {
    return chain_of({{"*", Operator::multiply}, {"/", Operator::divide}, {"//", Operator::floor}, {"%", Operator::modulo}}, [&] {
      return chain_of({{"**", Operator::power}}, [&] { return unary(Allow::yes); });
    });
  }
  NodeId unary(Allow filters) {
    const std::uint32_t offset = current_.offset;
    NodeId value;
    if (is_sign("-") || is_sign("+")) {
      const Deeper guard(*this);
      const bool minus = take().text == "-";
      value = add(minus ? NodeKind::minus : NodeKind::plus, offset, 0, {unary(Allow::no)});
    } else {
      value = primary();
    }
    std::vector<NodeId> steps = {value};
    while (is_sign(".") || is_sign("[") || is_sign("(")) steps.push_back(postfix());
    while (filters == Allow::yes && (is_sign("|") || is_word("is") || is_sign("("))) {
      if (is_sign("("))
        steps.push_back(arguments());
      else if (skip_sign("|"))
        steps.push_back(pipe());
      else
        steps.push_back(test());
    }
    return steps.size() == 1 ? value : add(NodeKind::chain, offset, 0, std::move(steps));
  }
  NodeId primary() {
    const Token token = take();
    const std::uint32_t offset = token.offset;
    switch (token.kind) {
      case TokenKind::name:
        if (token.text == "true" || token.text == "True") return add(NodeKind::truth, offset, 1);
        if (token.text == "false" || token.text == "False") return add(NodeKind::truth, offset, 0);
        if (token.text == "none" || token.text == "None") return add(NodeKind::nothing, offset);
        if (token.text == "caller") implicit_ |= uses_caller;
        if (token.text == "varargs") implicit_ |= uses_varargs;
        if (token.text == "kwargs") implicit_ |= uses_kwargs;
        return add(NodeKind::name, offset, symbol(token.text));
      case TokenKind::text: {
        std::string all = token.text;
        while (is(TokenKind::text)) all.append(take().text);
        return text(offset, std::move(all));
      }
      case TokenKind::integer:
        return add(NodeKind::integer, offset, token.integer);
      case TokenKind::real:
        return add(NodeKind::real, offset, std::bit_cast<std::int64_t>(token.real));
      default:
        break;
    }
    if (token.kind == TokenKind::sign && (token.text == "(" || token.text == "[" || token.text == "{")) {
      const Deeper guard(*this);
      if (token.text == "(") {
        if (skip_sign(")")) return add(NodeKind::tuple, offset);
        const NodeId inner = expressions(Allow::yes, "");
        expect_sign(")");
        return inner;
      }
      const bool dict = token.text == "{";
      const std::string_view end = dict ? "}" : "]";
      std::vector<NodeId> all;
      while (!is_sign(end)) {
        if (!all.empty()) {
          expect_sign(",");
          if (is_sign(end)) break;
        }
        all.push_back(expression());
        if (dict) {
          expect_sign(":");
          all.push_back(expression());
        }
      }
      take();
      return add(dict ? NodeKind::dict : NodeKind::list, offset, 0, std::move(all));
    }
    fail(token, concat("expected an expression, found ", described(token)));
  }
  NodeId postfix() {
    const std::uint32_t offset = current_.offset;
    if (is_sign("(")) return arguments();
    if (skip_sign(".")) {
      if (is(TokenKind::integer)) return add(NodeKind::item, offset, 0, {add(NodeKind::integer, offset, take().integer)});
      const std::string name = expect_name("a name after the dot");
      if (name.starts_with("__")) unsupported(offset, concat("attribute ", quoted(name), " is not for templates"));
      return add(NodeKind::attribute, offset, symbol(name));
    }
    take();
    const Deeper guard(*this);
    NodeId parts[3] = {0, 0, 0};
    std::size_t at = 0;
    bool slice = false;
    while (!is_sign("]")) {
      if (skip_sign(":")) {
        slice = true;
        if (++at > 2) expected("\"]\"");
      } else if (is_sign(",")) {
        unsupported(current_.offset, "several subscripts at once are not supported");
      } else if (parts[at] != 0) {
        expected("\"]\"");
      } else {
        parts[at] = expression();
      }
    }
    if (!slice && parts[0] == 0) expected("an expression");
    take();
    return slice ? add(NodeKind::slice, offset, 0, {parts[0], parts[1], parts[2]}) : add(NodeKind::item, offset, 0, {parts[0]});
  }
  NodeId arguments() {
    const Deeper guard(*this);
    const std::uint32_t offset = current_.offset;
    expect_sign("(");
    std::vector<NodeId> all;
    std::int64_t positional = 0;
    bool named = false, comma = false, spread = false, spread_names = false;
    while (!is_sign(")")) {
      if (comma) {
        expect_sign(",");
        if (is_sign(")")) break;
      }
      comma = true;
      if (is_sign("*") || is_sign("**")) {  // a name of -1 or -2 stands before what is spread
        const bool names = is_sign("**");
        if (spread_names || (spread && !names)) fail(current_, "a call spreads one list and one dict at most, in this order");
        (names ? spread_names : spread) = true;
        all.push_back(add(NodeKind::name, current_.offset, names ? -2 : -1));
        take();
        all.push_back(expression());
        continue;
      }
      if (is(TokenKind::name) && look().kind == TokenKind::sign && look().text == "=") {
        named = true;
        if (spread_names) fail(current_, "an argument with a name follows a dict that is spread");
        all.push_back(add(NodeKind::name, current_.offset, symbol(current_.text)));
        take();
        take();
      } else if (named || spread || spread_names) {
        fail(current_, named ? "an argument without a name follows one with a name" : "an argument without a name follows what is spread");
      } else {
        ++positional;
      }
      all.push_back(expression());
    }
    take();
    return add(NodeKind::arguments, offset, positional, std::move(all));
  }
  std::string dotted() {
    std::string name = expect_name("a name");
    while (skip_sign(".")) name.append(".").append(expect_name("a name after the dot"));
    return name;
  }
  NodeId pipe() {
    const std::uint32_t offset = current_.offset;
    const std::string name = dotted();
    const Filter* found = find_filter(name);
    if (!found) unsupported(offset, concat("unknown filter ", quoted(name)));
    return add(NodeKind::pipe, offset, found - filter::all, {is_sign("(") ? arguments() : 0});
  }
  NodeId pipes(NodeId start, std::uint32_t offset, First first) {
    std::vector<NodeId> steps = {start};
    if (first == First::without_sign) steps.push_back(pipe());
    while (skip_sign("|")) steps.push_back(pipe());
    return add(NodeKind::chain, offset, 0, std::move(steps));
  }
  NodeId test() {
    take();
    const bool negated = skip_word("not");
    const std::uint32_t offset = current_.offset;
    const std::string name = dotted();
    const Test* found = find_test(name);
    if (!found) unsupported(offset, concat("unknown test ", quoted(name)));
    NodeId given = 0;
    const bool value =
        is(TokenKind::name) || is(TokenKind::text) || is(TokenKind::integer) || is(TokenKind::real) || is_sign("[") || is_sign("{");
    if (is_sign("(")) {
      given = arguments();
    } else if (value && !is_word("else") && !is_word("or") && !is_word("and")) {
      if (is_word("is")) fail(current_, "tests cannot follow each other with is");
      const std::uint32_t begin = current_.offset;
      std::vector<NodeId> steps = {primary()};
      while (is_sign(".") || is_sign("[") || is_sign("(")) steps.push_back(postfix());
      const NodeId argument = steps.size() == 1 ? steps[0] : add(NodeKind::chain, begin, 0, steps);
      given = add(NodeKind::arguments, begin, 1, {argument});
    }
    return add(NodeKind::test, offset, 2 * (found - test::all) + (negated ? 1 : 0), {given});
  }

  Program& program_;
  const Limits& limits_;
  Lexer lexer_;
  Token current_;
  std::deque<Token> ahead_;
  std::unordered_map<std::string, std::size_t> symbols_;
  std::uint64_t depth_ = 0;
  std::int64_t implicit_ = 0;  // what the macro at hand asks for
};

}  // namespace plume::inline PLUME_ABI::jinja
#endif
