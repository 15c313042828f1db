// Section V of the catalogue: chat templates.
#include <doctest/doctest.h>

#include <algorithm>

#include "malformed/refused.hpp"
#include "plume/data/chat_encoder.hpp"
#include "plume/tokenizer/template/jinja_template.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"

using namespace plume;

namespace {

const Json hello = Json::parse(R"([{"role": "user", "content": "Hi"}])");

struct Place {
  std::uint64_t line, column;
  std::string word;
};

// Reading and rendering the template throws exactly Error at a place, with a word in its reason; memory stays bounded.
template <class Error>
void refused(const std::string& text, const Place& place, const Json& messages = hello, const JinjaOptions& options = {.name = "t.jinja"}) {
  const long before = plume_test::resident_bytes();
  INFO(text.substr(0, 200));
  try {
    const RenderedChat chat = JinjaTemplate(text, options).render(messages);
    FAIL_CHECK("not refused: ", chat.text.substr(0, 200));
  } catch (const Error& error) {
    INFO(std::string(error.what()));
    CHECK(error.where().path == options.name);
    CHECK(error.where().line.value_or(0) == place.line);
    if (place.column > 0) CHECK(error.where().column.value_or(0) == place.column);
    CHECK(error.reason().find(place.word) != std::string::npos);
  } catch (const plume::Error& error) {
    FAIL_CHECK("another type of error: ", std::string(error.what()));
  }
  CHECK(plume_test::resident_bytes() - before < 64 << 20);
}
std::string run(const std::string& text, const Json& messages = hello) { return JinjaTemplate(text).render(messages).text; }
std::string times(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("V1 a template beyond its limit") {
  refused<LimitError>(std::string(10 << 20, 'x'), {0, 0, "max_template_bytes"});
  CHECK(run(std::string(1 << 20, 'x')).size() == 1 << 20);
}

TEST_CASE("V2 endless loops") {
  refused<LimitError>("\n{{ range(10**9) | length }}", {2, 0, "max_template_steps"});
  refused<LimitError>("{% for a in range(2000) %}{% for b in range(2000) %}{% endfor %}{% endfor %}", {1, 0, "max_template_steps"});
  refused<LimitError>("{% for a in range(90000) %}{% for b in 'abcdefghijklmnopqrstuvwxyz' %}x{% endfor %}{% endfor %}",
                      {1, 0, "max_template"});
  refused<LimitError>("{{ [1] * 9999999999 }}", {1, 0, "max_template_steps"});
}

TEST_CASE("V3 output that grows by repetition or doubling") {
  refused<LimitError>("{{ 'x' * 9999999 }}", {1, 0, "max_template_output"});
  refused<LimitError>("{{ 'x' | center(9999999) }}", {1, 0, "max_template_output"});
  refused<LimitError>("{{ 'x'.zfill(2 ** 62) }}", {1, 0, "max_template_output"});
  refused<LimitError>("{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
                      {1, 0, "max_template_output"});
  refused<LimitError>("{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = [n.s, n.s] | join %}{% endfor %}",
                      {1, 0, "max_template_output"});
  refused<LimitError>("{% set n = namespace(s=[1]) %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
                      {1, 0, "max_template_steps"});
  refused<LimitError>("{% for i in range(90000) %}0123456789abcdef{% endfor %}", {1, 0, "max_template_output"});
  refused<LimitError>("{% set n = namespace(s='aa') %}{% for i in range(60) %}{% set n.s = n.s | replace('a', 'aa') %}{% endfor %}",
                      {1, 0, "max_template"});
  refused<LimitError>("{% set n = namespace(s='\\n') %}{% for i in range(60) %}{% set n.s = n.s | tojson %}{% endfor %}",
                      {1, 0, "max_template_output"});
  refused<LimitError>("{{ 'a' | indent(999999999, true) }}", {1, 0, "max_template_output"});
  refused<LimitError>("{{ [1] | tojson(indent=999999999) }}", {1, 0, "max_template_output"});
}

TEST_CASE("V4 nesting: macros that call themselves, brackets, tags, operators") {
  refused<LimitError>("{% macro f() %}{{ f() }}{% endmacro %}\n{{ f() }}", {1, 0, "max_template_depth"});
  refused<LimitError>("{{ " + times(10000, "(") + "1" + times(10000, ")") + " }}", {1, 0, "max_template_depth"});
  refused<LimitError>("{{ " + times(10000, "[") + times(10000, "]") + " }}", {1, 0, "max_template_depth"});
  refused<LimitError>("{{ " + times(10000, "-") + "1 }}", {1, 0, "max_template_depth"});
  refused<LimitError>("{{ " + times(10000, "{1:") + "1" + times(10000, "}") + " }}", {1, 0, "max_template_depth"});
  refused<LimitError>("{{ " + times(10000, "1 if 1 else ") + "1 }}", {1, 0, "max_template_depth"});
  refused<LimitError>("{{ " + times(10000, "1 if ") + "1 }}", {1, 0, "max_template_depth"});
  refused<LimitError>("{{ " + times(10000, "f(") + times(10000, ")") + " }}", {1, 0, "max_template_depth"});
  refused<LimitError>("{{ " + times(10000, "a[") + "1" + times(10000, "]") + " }}", {1, 0, "max_template_depth"});
  refused<LimitError>(times(10000, "{% if 1 %}\n") + times(10000, "{% endif %}"), {65, 0, "max_template_depth"});
  refused<LimitError>(times(10000, "{% for a in b %}"), {1, 0, "max_template_depth"});
  refused<LimitError>("{% set " + times(10000, "(") + "a = 1 %}", {1, 0, "max_template_depth"});
  // Chains are no nesting.
  CHECK(run("{{ 0" + times(5000, " + 1") + " }}") == "5000");
  CHECK(run("{{ 'a'" + times(5000, " | upper") + " }}") == "A");
  CHECK(run("{{ " + times(5000, "not ") + "1 }}") == "True");
  CHECK(run("{{ 0" + times(5000, " or 0") + " }}") == "0");
  CHECK(run("{% if 0 %}" + times(5000, "{% elif 0 %}") + "{% else %}x{% endif %}") == "x");
}

TEST_CASE("V5 unknown tags, filters, tests, functions and methods are named with their place") {
  refused<ConfigError>("a\n  {% include 'x' %}", {2, 6, "unknown tag {% include %}"});
  refused<ConfigError>("{% extends 'x' %}", {1, 4, "extends"});
  refused<ConfigError>("{% block x %}{% endblock %}", {1, 4, "block"});
  refused<ConfigError>("{% import 'x' as y %}", {1, 4, "import"});
  refused<ConfigError>("{% do x %}", {1, 4, "do"});
  refused<ConfigError>("{% autoescape true %}{% endautoescape %}", {1, 4, "autoescape"});
  refused<ConfigError>("{% for a in [1] %}{{ loop([2]) }}{% endfor %}", {1, 26, "not marked as recursive"});
  refused<ConfigError>("\n\n{{ x | urlize }}", {3, 8, "unknown filter \"urlize\""});
  refused<ConfigError>("{% if 0 %}{{ x|nope }}{% endif %}", {1, 16, "unknown filter \"nope\""});
  refused<ConfigError>("{{ x is nope }}", {1, 9, "unknown test \"nope\""});
  refused<ConfigError>("{{ [1] | map('nope') | list }}", {1, 10, "unknown filter \"nope\""});
  refused<ConfigError>("{{ [1] | select('nope') | list }}", {1, 10, "unknown test \"nope\""});
  refused<ConfigError>("{{ lipsum() }}", {1, 0, "\"lipsum\" is undefined"});
  refused<ConfigError>("{{ 'a'.ljust(1) }}", {1, 7, "method \"ljust\" of a str is not supported"});
  refused<ConfigError>("{{ 'a'.isdigit() }}", {1, 7, "isdigit"});
  refused<ConfigError>("{{ 'a' % 1 }}", {1, 0, "not all values are in the text"});
  refused<ConfigError>("{{ range(**3) }}", {1, 10, "must be a dict"});
  refused<FormatError>("{{ range(**x, **x) }}", {1, 15, "spreads one list and one dict at most"});
  refused<ConfigError>("{{ '{0.__class__}'.format('a') }}", {1, 26, "__class__"});
  refused<ConfigError>("{{ x[1, 2] }}", {1, 7, "several subscripts"});
  refused<ConfigError>("{{ 'a' | trim(nope=1) }}", {1, 10, "\"nope\""});
  refused<ConfigError>("{{ '\\N{DASH}' }}", {1, 5, "\\N"});
}

TEST_CASE("V6 what is not closed or closes nothing") {
  refused<FormatError>("ab\n{% if x", {2, 1, "write %}"});
  refused<FormatError>("ab\n {{ x", {2, 2, "write }}"});
  refused<FormatError>("ab\n {{ 'x }}", {2, 5, "close its quote"});
  refused<FormatError>("ab\n {{ 'x\\", {2, 5, "close its quote"});
  refused<FormatError>("ab {# x", {1, 4, "write #}"});
  refused<FormatError>("{% raw %} x", {1, 1, "endraw"});
  refused<FormatError>("{% endfor %}", {1, 4, "unexpected {% endfor %}"});
  refused<FormatError>("{% if 1 %}{% endfor %}", {1, 14, "unexpected {% endfor %}"});
  refused<FormatError>("{% else %}", {1, 4, "unexpected {% else %}"});
  refused<FormatError>("a\n{% if 1 %}\nx", {2, 1, "{% endif %} is missing"});
  refused<FormatError>("{% for a in b %}", {1, 1, "{% endfor %} is missing"});
  refused<FormatError>("{% macro f() %}", {1, 1, "{% endmacro %} is missing"});
  refused<FormatError>("{% set a %}", {1, 1, "{% endset %} is missing"});
  refused<FormatError>("{% generation %}", {1, 1, "{% endgeneration %} is missing"});
  refused<FormatError>("{{ (1 }}", {1, 0, "}"});
  refused<FormatError>("{{ 1) }}", {1, 5, "unexpected"});
  refused<FormatError>("{{ [1) }}", {1, 6, "expected \"]\""});
  refused<FormatError>("{{ }}", {1, 4, "expected an expression"});
  refused<FormatError>("{{ 1 2 }}", {1, 6, "expected }}"});
  refused<FormatError>("{{ a. }}", {1, 7, "a name after the dot"});
  refused<FormatError>("{{ a | }}", {1, 8, "a name"});
  refused<FormatError>("{% %}", {1, 4, "the name of a tag"});
  refused<FormatError>("{% set 1 = 2 %}", {1, 8, "a name to assign to"});
  refused<FormatError>("{% set none = 2 %}", {1, 8, "cannot assign"});
  refused<FormatError>("{% for a b %}", {1, 10, "\"in\""});
  refused<FormatError>("{{ f(a=1, 2) }}", {1, 11, "without a name"});
  refused<FormatError>("{{ a is defined is none }}", {1, 17, "cannot follow"});
  refused<FormatError>("{% break %}", {1, 4, "stands in no loop"});
  refused<FormatError>("{{ a ? b }}", {1, 6, "unexpected"});
  refused<FormatError>("{{ '\\xg0' }}", {1, 7, "hexadecimal"});
  refused<FormatError>("{{ '\\ud800' }}", {1, 7, "no character"});
  refused<ConfigError>("{{ 99999999999999999999 }}", {1, 4, "64 bits"});
  // Every prefix of a template is read or refused, nothing else.
  const std::string whole =
      "{%- for m in messages -%}{# c #}{% if m['role'] == \"user\" %}{{ m.content | trim | default('x', true) }}{% else %}{% raw %}r{% "
      "endraw %}{% endif %}{%- endfor %}";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    try {
      run(whole.substr(0, size));
    } catch (const InputError& error) {
      CHECK(!error.reason().empty());
    }
  }
}

TEST_CASE("V7 nothing of the host can be reached") {
  refused<ConfigError>("{{ ''.__class__ }}", {1, 6, "\"__class__\" is not for templates"});
  refused<ConfigError>("{{ messages.__class__.__mro__ }}", {1, 12, "__class__"});
  refused<ConfigError>("{{ ''['__class__'] }}", {1, 6, "__class__"});
  refused<ConfigError>("{{ range.__globals__ }}", {1, 9, "__globals__"});
  refused<ConfigError>("{{ messages | map(attribute='__class__') | list }}", {1, 15, "__class__"});
  refused<ConfigError>("{{ namespace.__init__.__globals__ }}", {1, 13, "__init__"});
  refused<ConfigError>("{{ [].append(1) }}", {1, 0, "\"append\" is undefined"});
  refused<ConfigError>("{{ {}.update({}) }}", {1, 0, "\"update\" is undefined"});
  refused<ConfigError>("{% set messages.x = 1 %}", {1, 8, "cannot assign to an attribute of a list"});
  refused<ConfigError>("{% set m = messages[0] %}{% set m.x = 1 %}", {1, 0, "only namespaces"});
}

TEST_CASE("V8 raise_exception carries the template's text") {
  refused<ConfigError>("\n {{ raise_exception('Roles must ' ~ 'alternate!') }}", {2, 20, "Roles must alternate!"});
  refused<ConfigError>("{{ raise_exception() }}", {1, 0, "message"});
}

TEST_CASE("V9 undefined variables, null content, content as parts") {
  CHECK(run("{{ x }}{{ x is defined }}{{ messages[0].nope }}{{ messages[7] }}{% for a in x %}{% endfor %}{{ x | length }}") == "False0");
  refused<ConfigError>("{{ x.y }}", {1, 5, "\"x\" is undefined"});
  refused<ConfigError>("{{ x + 1 }}", {1, 4, "\"x\" is undefined"});
  refused<ConfigError>("{{ messages[0].a.b }}", {1, 17, "\"a\" is undefined"});
  refused<ConfigError>("{{ x() }}", {1, 5, "\"x\" is undefined"});
  const Json null = Json::parse(R"([{"role": "assistant", "content": null}])"),
             parts = Json::parse(R"([{"role": "user", "content": [{"type": "text", "text": "a"}]}])");
  CHECK(run("{{ messages[0].content }}", null) == "None");
  CHECK(run("{{ messages[0].content | trim }}", parts) == "[{'type': 'text', 'text': 'a'}]");
  refused<ConfigError>("{{ 'x' + messages[0].content }}", {1, 4, "'+' is not supported between str and None"}, null);
  refused<ConfigError>("{{ 'x' + messages[0].content }}", {1, 4, "'+' is not supported between str and list"}, parts);
}

TEST_CASE("V10 templates in user text are text") {
  const Json typed = Json::parse(R"([{"role": "user", "content": "{{ messages }}{% for a in b %}{# x #}"}])");
  CHECK(run("{{ messages[0].content }}", typed) == "{{ messages }}{% for a in b %}{# x #}");
}

// The control ids of a chat whose user text is `text`, under a template with a place for CONTENT.
static std::size_t control_ids(const std::string& content, const std::string& text) {
  static const Tokenizer tokenizer = load_tokenizer(PLUME_TEST_SOURCE_DIR "/golden/chats");
  const std::string form = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ " + content + " }}<|im_end|>{% endfor %}";
  const ChatEncoder encoder(tokenizer, RepositoryTemplate{JinjaTemplate(form)});
  const std::vector<TokenId> ids = encoder.prompt({{{Role::user, text, text}}});
  return static_cast<std::size_t>(std::count_if(ids.begin(), ids.end(), [&](TokenId id) { return tokenizer.is_special(id); }));
}

TEST_CASE("V11 special tokens in somebody's text are no control ids") {
  CHECK(control_ids("m.content", "<s></s><|im_start|><|im_end|>") == 2);
  CHECK(control_ids("m.content", "x") == 2);
}

TEST_CASE("V12 nor after trim, upper, replace, split, slices, joins and tojson") {
  for (const char* content :
       {"m.content | trim", "m.content | upper | lower", "m.content | replace('x', '<')", "m.content.split()[0]", "m.content[0:]",
        "'' ~ m.content ~ ''", "[m.content] | join('\n')", "m | tojson", "m", "m.content | list | join", "m.content | reverse | reverse"})
    CHECK_MESSAGE(control_ids(content, "<s></s><|im_start|><|im_end|>") == 2, content);
}

TEST_CASE("V13 nor when they are put together from two pieces") {
  CHECK(control_ids("m.content.split('-') | join", "<|im_-end|>") == 2);
  CHECK(control_ids("'<|im_' ~ m.content", "end|>") == 2);
  CHECK(control_ids("m.content ~ 'end|>'", "<|im_") == 2);
}

TEST_CASE("V14 arithmetic that has no answer") {
  for (const char* text : {"{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ 1.5 % 0 }}", "{{ 0 ** -1 }}"})
    refused<ConfigError>(text, {1, 4, "division by zero"});
  for (const char* text : {"{{ 9223372036854775807 + 1 }}", "{{ 2 ** 64 }}", "{{ 4611686018427387904 * 2 }}",
                           "{{ -9223372036854775807 - 2 }}", "{{ (-9223372036854775807 - 1) // -1 }}"})
    refused<ConfigError>(text, {1, 4, "64 bits"});
  CHECK(run("{{ (-9223372036854775807 - 1) % -1 }}") == "0");
  refused<ConfigError>("{{ 'abc'[::0] }}", {1, 9, "step of a slice is 0"});
  refused<ConfigError>("{{ range(1, 5, 0) | list }}", {1, 9, "step is 0"});
  CHECK(run("{{ 'abc'[-9:9:2] }}{{ [1][9] }}{{ 'abc'[-9] }}{{ [1, 2, 3][::-9223372036854775807] }}") == "ac[3]");
  CHECK(run("{{ 'abc'[9223372036854775807:-9223372036854775807:-1] }}") == "cba");
  CHECK(run("{{ 2 ** 62 }}{{ 1 ** 999999999999 }}{{ 0 ** 0 }}") == "461168601842738790411");
}

TEST_CASE("V15 invalid UTF-8 and NUL") {
  refused<FormatError>("ab\n\xff", {2, 1, "UTF-8"});
  CHECK(run(std::string("a\0b", 3)) == std::string("a\0b", 3));
  CHECK(run("{{ messages[0].content | upper }}|{{ messages[0].content[1:] }}",
            Json::array().push(Json::object().set("role", "user").set("content", "a\xff\xe4z")))
            .size() > 0);
}

TEST_CASE("V16 loops over long texts and what grows meanwhile") {
  const auto with = [](std::size_t size) {
    return Json::array().push(Json::object().set("role", "user").set("content", std::string(size, 'x')));
  };
  CHECK(run("{% for c in messages[0].content %}{% endfor %}{{ messages[0].content | length }}", with(100'000)) == "100000");
  CHECK(run("{% set n = namespace(c=0) %}{% for c in messages[0].content | reverse %}{% set n.c = n.c + 1 %}{% endfor %}{{ n.c }}",
            with(20'000)) == "20000");
  CHECK(run("{% set n = namespace(l=[1]) %}{% for c in n.l %}{% set n.l = n.l + [c] %}{% endfor %}{{ n.l | length }}") == "2");
  refused<LimitError>("{% for c in messages[0].content %}{{ messages[0].content.count('y') }}{% endfor %}", {1, 0, "max_template_steps"},
                      with(1 << 20));
}

TEST_CASE("V17 comparisons of unequal lengths") {
  CHECK(run("{{ [1, 2] == [1] }}{{ [1] < [1, 2] }}{{ (1, 2) <= (1,) }}{{ {'a': 1} == {'a': 1, 'b': 2} }}{{ [] == [1] }}") ==
        "FalseTrueFalseFalseFalse");
}

TEST_CASE("V18 values nested too deeply, and namespaces that hold themselves") {
  const std::string deep = "{% set n = namespace(v=[]) %}{% for i in range(70) %}{% set n.v = [n.v] %}{% endfor %}";
  refused<LimitError>(deep + "{{ n.v | tojson }}", {1, 0, "max_template_depth"});
  refused<LimitError>(deep + "{{ n.v }}", {1, 0, "max_template_depth"});
  refused<LimitError>(deep + "{{ n.v == [n.v] }}", {1, 0, "max_template_depth"});
  refused<ConfigError>("{% set n = namespace() %}{% set n.n = n %}{{ n | tojson }}", {1, 0, "namespace cannot be written"});
  refused<ConfigError>("{% set n = namespace() %}{% set n.n = n %}{{ n }}", {1, 0, "namespace cannot be written"});
  CHECK(run("{% set n = namespace() %}{% set n.n = n %}{{ n.n.n == n }}") == "True");
}

TEST_CASE("whatever a template asks of a value that cannot do it is refused at its place") {
  struct Case {
    const char *text, *word;
  };
  for (const Case& each : std::initializer_list<Case>{
           {"{{ [1] | map('string') | last }}", "has no end to begin at"},
           {"{{ 5 | items }}", "items: a int is no dict"},
           {"{{ [1] | dictsort }}", "dictsort: a list is no dict"},
           {"{{ {'a': 1} | dictsort(by='size') }}", "by is \"key\" or \"value\""},
           {"{{ ['a'] | sum(start='') }}", "use join"},
           {"{{ [1] | batch(0) }}", "the size is 0, expected at least 1"},
           {"{{ [1] | selectattr }}", "need the name of an attribute"},
           {"{{ 1 | tojson(separators=[',']) }}", "separators are two texts"},
           {"{{ '11' | int(base=2) }}", "only base 10"},
           {"{{ nothing | int }}", "\"nothing\" is undefined"},
           {"{{ '9999999999999999999' | int }}", "does not fit 64 bits"},
           {"{{ 1e30 | int }}", "does not fit 64 bits"},
           {"{{ nothing | float }}", "\"nothing\" is undefined"},
           {"{{ 1.5 | round(-1) }}", "a precision of -1"},
           {"{{ 1.5 | round(301) }}", "a precision of 301"},
           {"{{ 'a' | round }}", "must be a number, not str"},
           {"{{ 1.5 | round(0, 'up') }}", "the method is \"common\""},
           {"{{ 1.5 | round(0, nothing) }}", "\"nothing\" is undefined"},
           {"{{ 1e308 | round(18, 'ceil') }}", "does not fit 64 bits"},
           {"{% for a, b in [[1]] %}{% endfor %}", "cannot take 1 values apart into 2 names"},
           {"{{ -nothing }}", "\"nothing\" is undefined"},
           {"{{ -'a' }}", "a str has no sign"},
           {"{% for a in [1] %}{{ loop(a) }}{% endfor %}", "not marked as recursive"},
           {"{% set f = 5 %}{{ f() }}", "a int cannot be called"},
           {"{{ {'a': 1}.keys() == {'a': 2}.keys() }}", "comparing views"},
           {"{% for a in 5 %}{% endfor %}", "a int cannot be looped over"},
           {"{{ 5 in 'abc' }}", "'in' a text needs a text, not a int"},
           {"{{ [1] in {'a': 1} }}", "a list cannot be a key of a dict"},
           {"{{ 1 in 5 }}", "'in' is not supported for a int"},
           {"{{ [('a' | safe)] }}", "escaped text inside a list"},
           {"{{ range('a') }}", "must be an int, not str"},
           {"{{ [1] | map('string') }}", "an iterator cannot be written"},
           {"{{ 1 + nothing }}", "\"nothing\" is undefined"},
           {"{{ (-2.0) ** 0.5 }}", "to a broken power"},
           {"{{ 10.0 ** 400 }}", "does not fit 64 bits"},
           {"{{ nothing[1:2] }}", "\"nothing\" is undefined"},
           {"{{ {(1, 2): 1} | tojson }}", "a tuple cannot be a key of JSON"},
           {"{{ 1 is divisibleby }}", "needs one argument"},
           {"{{ '\u00aa' is upper }}", "which has no other one, is not supported"},
           {"{{ 1 is sameas 1 }}", "sameas is not supported for a int"},
           {"{{ range() }}", "one to three numbers"},
           {"{{ range(1, 2, 3, 4) }}", "one to three numbers"},
           {"{{ dict([], []) }}", "takes one dict and named values"},
           {"{{ dict([[1]]) }}", "an element is no pair"},
           {"{{ cycler() }}", "cycler needs the values"},
           {"{% for a in [1] %}{{ loop.cycle() }}{% endfor %}", "loop.cycle needs the values"},
           {"{{ 'a'.upper(1) }}", "takes no arguments"},
           {"{{ 'a'.replace('a', 'b', 1, 2) }}", "takes 3 arguments at most, 4 are given"},
           {"{{ [1] | join(',', d=';') }}", "is given its argument \"d\" twice"},
           {"{{ 'a'.split(5) }}", "the separator must be a text, not a int"},
           {"{{ ('a' | safe).upper() }}", "went through safe or escape"},
           {"{{ 'a'.split('') }}", "the separator is empty"},
           {"{{ {'a': 1}.get([1]) }}", "a list cannot be a key of a dict"},
           {"{{ [1].index(2) }}", "the list does not hold it"},
           {"{{ {'a': 1}.fromkeys([1]) }}", "\"fromkeys\" of a dict is not supported"},
           {"{{ range(3).start }}", "of a range is not supported"},
           {"{{ (5).bit_length() }}", "\"bit_length\" of a int is not supported"},
       })
    refused<ConfigError>(each.text, {1, 0, each.word});
  for (const Case& each : std::initializer_list<Case>{
           {"{{ \"\\x4", "this text has no end"},
           {"{% macro m(a=1, b) %}{% endmacro %}", "follows one with a default"},
           {"{% call 5 %}{% endcall %}", "expected a call of a macro"},
           {"{{ * }}", "expected an expression"},
           {"{{ [1][1:2:3:4] }}", "expected \"]\""},
           {"{{ [1][1 2] }}", "expected \"]\""},
       })
    refused<FormatError>(each.text, {1, 0, each.word});
  refused<ConfigError>("{{ messages }}", {1, 0, "does not fit 64 signed bits"}, Json::parse("[18446744073709551615]"));
  CHECK_THROWS_WITH_AS(JinjaTemplate("x").render(Json::object()), doctest::Contains("an array of objects"), ArgumentError);
}

TEST_CASE("formats that end too early, ask for what is not there, or for what plume does not know") {
  const auto fails = [](const std::string& expression, const std::string& word) {
    refused<ConfigError>("\n{{ " + expression + " }}", {2, 0, word});
  };
  fails("'%s %s' % ('a',)", "%: not enough values for the text");
  fails("'%s %s' % 'a'", "%: not enough values for the text");
  fails("'%(name' % {'name': 1}", "%: a name in parentheses does not end");
  fails("'%(name)s' % 1", "%: the text names its values, which must be a dict");
  fails("'%(other)s' % {'name': 1}", "other");
  fails("'%*d' % (-1, 2)", "%: * wants a whole number, at least 0");
  fails("'%*d' % ('a', 2)", "%: * wants a whole number, at least 0");
  fails("'%' % 1", "%: the text ends behind a %");
  fails("'%q' % 1", "%: the conversion \"q\" is not supported");
  fails("'%d' % nothing", "nothing");
  fails("'%d' % 'a'", "%: a number is required, not a");
  fails("'%.3d' % 5", "%: a precision of whole numbers is not supported");
  fails("'%x' % 1.5", "%: a whole number is required, not a float");
  fails("'%d' % 1e300", "");
  fails("'%s' % ('a', 'b')", "%: not all values are in the text");
  fails("'{:{:{}}}'.format(1, 2, 3)", "format: fields inside fields inside fields");
  fails("'{.}'.format(1)", "format: an empty attribute in the text");
  fails("'{0[a'.format({'a': 1})", "format: a field does not end");
  fails("'{!a}'.format(1)", "format: the conversion \"a\" is not supported");
  fails("'{0:5'.format(1)", "format: a field does not end with }");
  fails("'{0'.format(1)", "format: a field does not end with }");
  fails("'}'.format(1)", "format: a single } in the text");
  fails("'{:.f}'.format(1.5)", "format: a precision is missing in");
  fails("'{:5dd}'.format(1)", "format: \"5dd\" is no format");
  fails("'{:5}'.format(nothing)", "nothing");
  fails("'{:d}'.format('a')", "format: this format is none for a text");
  fails("'{:5}'.format([1])", "takes no format");
  fails("'{:.301f}'.format(1.5)", "format: a precision of 301 is not supported");
  fails("'{:c}'.format(55296)", "format: 55296 is no character");
  fails("'{:c}'.format(-1)", "format: -1 is no character");
  fails("'{:#f}'.format(1.5)", "format: # is not supported for a float");
  fails("'{:.3}'.format(1.5)", "format: a precision without a type is not supported: add f");
  fails("'{:05,}'.format(1234)", "format: groups of digits behind zeros are not supported");
  fails("'{} {0}'.format(1)", "format: numbered and unnumbered fields in one text");
  fails("'{1}'.format(1)", "format: the text asks for value 1, 1 are given");
  fails("'{a}'.format(b=1)", "format: there is no value \"a\"");
  fails("'{a}'.format_map(1)", "format_map: a dict is required, not a");
  fails("dict(**{1: 2})", "the names behind ** must be texts, not a");
  refused<FormatError>("\n{{ dict(**{'a': 2}, b=1) }}", {2, 0, "an argument with a name follows a dict that is spread"});
  refused<LimitError>("\n{{ '{:9999999}'.format(1) }}", {2, 0, "max_template_output"});
}
