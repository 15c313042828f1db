#include "plume/tokenizer/template/jinja_template.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <sstream>

#include "plume/base/sha256.hpp"
#include "test_data.hpp"

using namespace plume;

namespace {

std::string short_hash(const std::string& text) { return plume::sha256(std::as_bytes(std::span(text))).substr(0, 16); }

Json file(const std::string& name) {
  const std::string path = plume_test::golden("chat_templates/" + name);
  return Json::parse(plume_test::read_all(path), {.path = path});
}

// tests/golden/chat_templates/families.txt: "==== name" before each template.
const std::map<std::string, std::string>& families() {
  static const auto all = [] {
    std::map<std::string, std::string> found;
    std::string* current = nullptr;
    std::istringstream lines(plume_test::read_all(plume_test::golden("chat_templates/families.txt")));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("==== "))
        current = &found[line.substr(5)];
      else if (current)
        current->append(line).append("\n");
    }
    for (auto& entry : found) entry.second.pop_back();
    return found;
  }();
  return all;
}

RenderOptions options_of(const Json& chat, const Json& variables, bool prompt) {
  RenderOptions options{.add_generation_prompt = prompt, .variables = variables};
  if (const Json* tools = chat.find("tools")) options.tools = *tools;
  if (const Json* documents = chat.find("documents")) options.documents = *documents;
  options.strftime_now = [](std::string_view format) { return format == "%d %b %Y" ? "26 Jul 2024" : concat("<", format, ">"); };
  return options;
}

std::string run(const std::string& text, const RenderOptions& options = {}) {
  return JinjaTemplate(text)
      .render(Json::parse(R"([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}])"), options)
      .text;
}

// The segments of a rendering cover it.
void check_segments(const RenderedChat& chat) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < chat.segments.size(); ++i) {
    CHECK(chat.segments[i].begin == at);
    CHECK(chat.segments[i].end > at);
    at = chat.segments[i].end;
    if (i > 0) CHECK(chat.segments[i].source != chat.segments[i - 1].source);
  }
  CHECK(at == chat.text.size());
}

}  // namespace

TEST_CASE("templates of the families render as jinja2 renders them, masks included") {
  const Json all = file("families.json");
  std::map<std::string, JinjaTemplate> templates;
  for (const auto& [name, text] : families()) templates.emplace(name, JinjaTemplate(text, {.name = name}));
  std::size_t rendered = 0, refused = 0, marked = 0;
  for (const Json& one : all.at("cases").items()) {
    const std::string name = one.text("template"), chat_name = one.text("chat");
    INFO(name << ", " << chat_name << ", prompt " << one.boolean("prompt"));
    const Json& chat = all.at("chats").at(chat_name);
    const RenderOptions options = options_of(chat, all.at("variables"), one.boolean("prompt"));
    if (!one.find("sha256")) {
      CHECK_THROWS_AS(templates.at(name).render(chat.at("messages"), options), ConfigError);
      ++refused;
      continue;
    }
    try {
      const RenderedChat made = templates.at(name).render(chat.at("messages"), options);
      INFO(made.text);
      CHECK(made.text.size() == static_cast<std::size_t>(one.integer("bytes")));
      CHECK(short_hash(made.text) == one.text("sha256"));
      check_segments(made);
      std::vector<std::pair<std::size_t, std::size_t>> ranges;
      if (const Json* given = one.find("generations"))
        for (const Json& range : given->items()) ranges.emplace_back(range.at(std::size_t{0}).as_unsigned(), range.at(1).as_unsigned());
      CHECK(made.generations == ranges);
      marked += ranges.size();
      ++rendered;
    } catch (const Error& error) {
      FAIL_CHECK(std::string(error.what()));
    }
  }
  CHECK(templates.size() >= 40);
  CHECK(all.at("chats").size() == 17);
  CHECK(rendered + refused == templates.size() * 17 * 2);
  CHECK(rendered > 1000);
  CHECK(marked > 100);
}

TEST_CASE("generated templates give what jinja2 gives, and fail where it fails") {
  const Json all = file("generated.json");
  const Json& data = all.at("data");
  RenderOptions options;
  for (const Json::Member& member : data.members())
    if (member.key != "messages") options.variables.set(member.key, member.value);
  std::size_t same = 0, failed = 0;
  for (const Json& one : all.at("cases").items()) {
    const std::string& text = one.at(std::size_t{0}).as_text();
    const Json& wanted = one.at(1);
    INFO(text);
    std::optional<std::string> made;
    std::string reason;
    try {
      made = JinjaTemplate(text).render(data.at("messages"), options).text;
    } catch (const InputError& error) {
      reason = error.what();
    }
    if (wanted.is_null()) {
      CHECK_MESSAGE(!made, "jinja2 fails, here: ", made.value_or(""));
      ++failed;
      continue;
    }
    CHECK_MESSAGE(made, reason);
    if (!made) continue;
    if (wanted.as_text().starts_with("#"))
      CHECK_MESSAGE("#" + short_hash(*made) == wanted.as_text(), *made);
    else
      CHECK(*made == wanted.as_text());
    ++same;
  }
  CHECK(same + failed == 5000);
  CHECK(failed > 500);
}

TEST_CASE("Spread arguments, recursive loops, slices, texts filled by %, format, zfill and center, and case, as jinja2 has them") {
  const Json all = file("calls.json");
  RenderOptions options{.variables = all.at("data")};
  std::size_t failed = 0;
  for (const Json& one : all.at("cases").items()) {
    const std::string& text = one.at(std::size_t{0}).as_text();
    INFO(text);
    if (one.at(1).is_null()) {
      CHECK_THROWS_AS(JinjaTemplate(text).render(Json::array(), options), InputError);
      ++failed;
    } else {
      CHECK(JinjaTemplate(text).render(Json::array(), options).text == one.at(1).as_text());
    }
  }
  CHECK(all.at("cases").size() == 96);
  CHECK(failed == 53);
}

TEST_CASE("What a user typed stays typed through % and format") {
  const Json messages = Json::parse(R"([{"role": "user", "content": "<|im_end|>"}])");
  for (const char* text :
       {"{{ '<%s>' % messages[0].content }}", "{{ '<{}>'.format(messages[0].content) }}", "{{ '<{0:>10}>'.format(messages[0].content) }}",
        "{{ '<%(content)s>' % messages[0] }}", "{{ '<{m.content}>'.format(m=messages[0]) }}", "{{ '<{!r}>'.format(messages[0].content) }}",
        "{{ messages[0].content.format() ~ '<' }}", "{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f(*[messages[0].content]) }}"}) {
    INFO(text);
    const RenderedChat chat = JinjaTemplate(text).render(messages);
    std::string literal;
    for (const RenderedSegment& part : chat.segments)
      if (part.source == RenderedSource::literal) literal += chat.part(part);
    CHECK(chat.text.find("im_end") != std::string::npos);
    CHECK(literal.find("im_end") == std::string::npos);
    CHECK(literal.find('<') != std::string::npos);
  }
}

TEST_CASE("every special token that somebody typed is user text, whatever the template does to it") {
  const std::set<std::string> specials = {"<|im_start|>", "<|im_end|>",      "<s>",     "</s>", "[INST]",
                                          "<|eot_id|>",   "<start_of_turn>", "<|user|>"};
  std::string typed;
  for (const std::string& one : specials) typed += one;
  const std::string marker = "\xe2\x98\x85";  // stands in every typed text, nowhere else
  Json messages = Json::array();
  for (const char* role : {"user", "assistant", "user"})
    messages.push(Json::object().set("role", role).set("content", concat(marker, typed, marker, role == std::string("user") ? "u" : "a")));
  Json tool = Json::object();
  tool.set("type", "function")
      .set("function",
           Json::object()
               .set("name", concat(marker, typed))
               .set("description", concat(marker, typed))
               .set("parameters", Json::object()
                                      .set("type", "object")
                                      .set("properties", Json::object()
                                                             .set(concat(marker, typed), Json::object().set("type", "string"))
                                                             .set("y", Json::object().set("type", "string").set("description", typed)))));
  Json plain = Json::array();
  for (const char* role : {"user", "assistant", "user"}) plain.push(Json::object().set("role", role).set("content", "x"));
  Json plain_tool = Json::object();
  plain_tool.set("type", "function")
      .set("function",
           Json::object()
               .set("name", "n")
               .set("description", "d")
               .set("parameters", Json::object()
                                      .set("type", "object")
                                      .set("properties", Json::object()
                                                             .set("z", Json::object().set("type", "string"))
                                                             .set("y", Json::object().set("type", "string").set("description", "d")))));
  const auto count = [&](const RenderedChat& chat, RenderedSource source) {
    std::size_t found = 0;
    for (const RenderedSegment& segment : chat.segments)
      if (segment.source == source)
        for (const std::string& one : specials)
          for (std::size_t at = chat.part(segment).find(one); at != std::string_view::npos; at = chat.part(segment).find(one, at + 1))
            ++found;
    return found;
  };
  std::size_t rendered = 0;
  for (const auto& family : families()) {
    const auto& [name, text] = family;
    INFO(family.first);
    RenderOptions options{.add_generation_prompt = true, .variables = Json::object().set("bos_token", "<s>").set("eos_token", "</s>")};
    options.strftime_now = [](std::string_view) { return std::string("now"); };
    const JinjaTemplate form(text, {.name = name});
    const RenderedChat with = form.render(messages, options), without = form.render(plain, options);
    CHECK(count(with, RenderedSource::literal) == count(without, RenderedSource::literal));
    CHECK(with.text.find(marker) != std::string::npos);
    for (const RenderedSegment& segment : with.segments)
      if (segment.source == RenderedSource::literal) CHECK(with.part(segment).find(marker) == std::string_view::npos);
    options.tools = Json::array().push(tool);
    RenderOptions other = options;
    other.tools = Json::array().push(plain_tool);
    CHECK(count(form.render(messages, options), RenderedSource::literal) == count(form.render(plain, other), RenderedSource::literal));
    ++rendered;
  }
  CHECK(rendered == families().size());
}

TEST_CASE("what is made of typed text stays typed: trim, case, replace, split, slices, joins, tojson, formatting, loops") {
  Json messages = Json::array();
  messages.push(Json::object().set("role", "user").set("content", " <|im_end|> ").set("list", Json::array().push("<|im_").push("end|>")));
  const auto user = [&](const std::string& expression) {  // the text with typed bytes in braces
    const RenderedChat chat = JinjaTemplate("A{{ " + expression + " }}B").render(messages);
    check_segments(chat);
    std::string all;
    for (const RenderedSegment& segment : chat.segments)
      all += segment.source == RenderedSource::user ? "{" + std::string(chat.part(segment)) + "}" : std::string(chat.part(segment));
    return all;
  };
  CHECK(user("messages[0].content") == "A{ <|im_end|> }B");
  CHECK(user("messages[0].content | trim") == "A{<|im_end|>}B");
  CHECK(user("messages[0].content.strip()") == "A{<|im_end|>}B");
  CHECK(user("messages[0].content | upper") == "A{ <|IM_END|> }B");
  CHECK(user("messages[0].content | title") == "A{ <|im_end|> }B");
  CHECK(user("messages[0].content | replace('<', '[')") == "A{ }[{|im_end|> }B");
  CHECK(user("'xyz' | replace('y', messages[0].content | trim)") == "Ax{<|im_end|>}zB");
  CHECK(user("messages[0].content[1:5]") == "A{<|im}B");
  CHECK(user("messages[0].content[5:1:-1]") == "A{_mi|}B");
  CHECK(user("messages[0].content[1]") == "A{<}B");
  CHECK(user("messages[0].content.split('_')[1]") == "A{end|> }B");
  CHECK(user("messages[0].content.split()[0] ~ '<|x|>'") == "A{<|im_end|>}<|x|>B");
  CHECK(user("'<|x|>' + messages[0].content + '!'") == "A<|x|>{ <|im_end|> }!B");
  CHECK(user("messages[0].list | join") == "A{<|im_end|>}B");
  CHECK(user("messages[0].list | join('-')") == "A{<|im_}-{end|>}B");
  CHECK(user("messages[0].list | reverse | list") == "A{['end|>', '<|im_']}B");
  CHECK(user("messages[0].list | tojson") == "A{[\"<|im_\", \"end|>\"]}B");
  CHECK(user("{'k': messages[0].list}") == "A{{'k': ['<|im_', 'end|>']}}B");
  CHECK(user("{'k': [1, 'x']} | tojson") == "A{\"k\": [1, \"x\"]}B");
  CHECK(user("messages[0].content | trim | list | join('')") == "A{<|im_end|>}B");
  CHECK(user("('x' ~ messages[0].content * 2)[3:9]") == "A{|im_en}B");
  CHECK(user("messages[0].content | indent(2, true)") == "A  { <|im_end|> }B");
  CHECK(user("messages[0].list[1] | center(7)") == "A {end|>} B");
  CHECK(user("messages[0].list[1].zfill(7)") == "A00{end|>}B");
  CHECK(user("messages[0].content | e") == "A{ &lt;|im_end|&gt; }B");
  CHECK(user("messages[0] | items | list | first | first") == "A{role}B");
  CHECK(user("'<|' ~ messages[0].role ~ '|>'") == "A<|user|>B");
  CHECK(user("messages[0].content | length") == "A12B");
  CHECK(user("messages | map(attribute='content') | join") == "A{ <|im_end|> }B");
  CHECK(user("messages[0].content | default('x')") == "A{ <|im_end|> }B");
  CHECK(user("messages[0].content | capitalize | string") == "A{ <|im_end|> }B");

  const auto statement = [&](const std::string& text) {
    const RenderedChat chat = JinjaTemplate(text).render(messages);
    std::string all;
    for (const RenderedSegment& segment : chat.segments)
      all += segment.source == RenderedSource::user ? "{" + std::string(chat.part(segment)) + "}" : std::string(chat.part(segment));
    return all;
  };
  CHECK(statement("{% set a %}<{{ messages[0].list[0] }}>{% endset %}{{ a | upper }}") == "<{<|IM_}>");
  CHECK(statement("{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f(messages[0].list[1]) }}") == "[{end|>}]");
  CHECK(statement("{% filter upper %}a{{ messages[0].list[1] }}{% endfilter %}") == "A{END|>}");
  CHECK(statement("{% for c in messages[0].list[0] %}{{ c }}.{% endfor %}") == "{<}.{|}.{i}.{m}.{_}.");
  // A role that nobody knows is somebody's text; one that is given as known is not.
  const JinjaTemplate roles("<|{{ messages[0].role }}|>");
  const Json other = Json::array().push(Json::object().set("role", "end").set("content", ""));
  CHECK(roles.render(other).segments.size() == 3);
  CHECK(roles.render(other, {.roles = {"end"}}).segments.size() == 1);
}

TEST_CASE("variables are the template's own text, a clock only is there when given") {
  CHECK(run("{{ bos_token }}{{ x.y }}", {.variables = Json::object().set("bos_token", "<s>").set("x", Json::object().set("y", 3))}) ==
        "<s>3");
  CHECK(run("{{ strftime_now is defined }}") == "False");
  CHECK(run("{{ strftime_now('%Y') }}", {.strftime_now = [](std::string_view format) { return concat("at ", format); }}) == "at %Y");
  CHECK_THROWS_WITH_AS(run("a\n {{ strftime_now('%Y') }}"), doctest::Contains("chat_template:2:17: \"strftime_now\" is undefined"),
                       ConfigError);
  CHECK(run("{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}") == "TrueTrueFalse");
  CHECK(JinjaTemplate("{% generation %}x{% endgeneration %}").marks_generation());
  CHECK(!JinjaTemplate("generation").marks_generation());
}

TEST_CASE("a slice of what has none names its line and what it is") {
  const RenderOptions options{.variables = Json::parse(R"({"no": null, "s": "abc", "half": 0.5})")};
  CHECK_THROWS_WITH_AS(run("a\n {{ no[1:] }}", options), doctest::Contains("chat_template:2:7: a None has no slices"), ConfigError);
  CHECK_THROWS_WITH_AS(run("{{ s[half:] }}", options), doctest::Contains("the bounds of a slice are whole numbers, not float"),
                       ConfigError);
}

TEST_CASE("else of a loop follows when no round came to its end, as in jinja2 3.1.6") {
  CHECK(run("{% for a in [1, 2] %}{% continue %}{% else %}e{% endfor %}") == "e");
  CHECK(run("{% for a in [1, 2] %}{{ a }}{% break %}{% else %}e{% endfor %}") == "1e");
  CHECK(run("{% for a in [1, 2] %}{% if a == 2 %}{% break %}{% endif %}{{ a }}{% else %}e{% endfor %}") == "1");
}

TEST_CASE("a rendering's steps are linear in its input") {
  // Twice the turns take at most 2.1 times the steps: found by the smallest limit that is enough.
  const auto steps = [&](const std::string& text, int turns) {
    Json messages = Json::array();
    for (int i = 0; i < turns; ++i) messages.push(Json::object().set("role", i % 2 == 0 ? "user" : "assistant").set("content", ""));
    std::uint64_t low = 0, high = 1 << 20;
    while (low + 1 < high) {
      JinjaOptions options;
      options.limits.max_template_steps = (low + high) / 2;
      try {
        JinjaTemplate(text, options).render(messages, {.variables = Json::object().set("bos_token", "<s>").set("eos_token", "</s>")});
        high = (low + high) / 2;
      } catch (const LimitError&) {
        low = (low + high) / 2;
      }
    }
    return high;
  };
  for (const char* name : {"chatml", "llama 2", "zephyr", "phi 4", "chatml, mask"}) {
    INFO(name);
    const std::string& text = families().at(name);
    CHECK(static_cast<double>(steps(text, 400)) < 2.1 * static_cast<double>(steps(text, 200)));
  }
}
