#pragma once
// The chat templates of model repositories: Jinja programs, run as transformers runs them (jinja2's immutable sandbox with trim_blocks,
// lstrip_blocks and loop controls), but by plume, within bounds, and with an account of who wrote what.
//
//   JinjaTemplate chat_template(text);                                    // the field chat_template, or the file chat_template.jinja
//   RenderedChat chat = chat_template.render(messages, {.add_generation_prompt = true, .variables = names});
//   for (const RenderedSegment& part : chat.segments) ...                 // part.source: the template's own text, or somebody's
//
// A template sees only what it is given. What it asks for and plume does not know is a ConfigError that names it and its line. Known to
// differ from jinja2: a variable that is given and set again later on is readable before that inside loops too; jinja2 has it undefined
// there unless it was read outside of them. A literal that has no slices, none[1:], is an error anywhere; jinja2 prints nothing for it.
// From transformers: {% generation %} in a recursive loop is where its text stands; theirs all begin where the loop does.
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/json.hpp"
#include "plume/base/limits.hpp"

namespace plume::inline PLUME_ABI {

namespace jinja {
struct Program;
}

struct JinjaOptions {
  std::string name = "chat_template";  // in errors
  Limits limits = {};                  // max_template_bytes, _steps, _output, _depth
};

struct RenderOptions {
  bool add_generation_prompt = false;  // end where the answer begins
  Json tools = {};                     // an array of descriptions, or null
  Json documents = {};                 // an array, or null
  Json variables = Json::object();     // further names, such as bos_token and eos_token; their texts count as the template's own
  // Roles that count as the template's own text, so that "<|" + role + "|>" can be a control token. Other roles are somebody's text.
  std::vector<std::string> roles = {"system", "user", "assistant", "tool", "developer", "function", "model", "ipython", "observation"};
  std::function<std::string(std::string_view format)> strftime_now = {};  // the time now; absent: the template knows no clock
};

// literal: the template's own text, in which special tokens count. user: from messages, tools or documents, whatever was done to it.
enum class RenderedSource : std::uint8_t { literal, user };
struct RenderedSegment {
  RenderedSource source;
  std::size_t begin, end;  // bytes of RenderedChat::text
  friend bool operator==(const RenderedSegment&, const RenderedSegment&) = default;
};
struct RenderedChat {
  std::string text;
  std::vector<RenderedSegment> segments;                         // all of the text, in order; neighbours differ
  std::vector<std::pair<std::size_t, std::size_t>> generations;  // what stood in {% generation %}, as bytes [begin, end)

  std::string_view part(const RenderedSegment& segment) const {
    return std::string_view(text).substr(segment.begin, segment.end - segment.begin);
  }
};

// A template that was read. A cheap immutable value: any number of threads may use it.
class JinjaTemplate {
 public:
  // FormatError: not well-formed. ConfigError: a construct that plume does not know. LimitError: too long, nested too deeply.
  PLUME_FUNCTION explicit JinjaTemplate(std::string_view text, const JinjaOptions& options = {});

  // messages: an array of objects such as {"role": "user", "content": "Hello"}. Time is linear in what the template does; the steps of
  // a rendering are counted. ConfigError: the template fails or refuses the chat. LimitError: it takes too much.
  PLUME_FUNCTION RenderedChat render(const Json& messages, const RenderOptions& options = {}) const;

  // Whether it says by {% generation %} what the assistant writes.
  PLUME_FUNCTION bool marks_generation() const;
  PLUME_FUNCTION const std::string& text() const;
  const std::string& name() const { return options_->name; }

 private:
  std::shared_ptr<const jinja::Program> program_;
  std::shared_ptr<const JinjaOptions> options_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/template/interpreter.hpp"
#include "plume/tokenizer/template/parser.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION JinjaTemplate::JinjaTemplate(std::string_view text, const JinjaOptions& options)
    : options_(std::make_shared<const JinjaOptions>(options)) {
  if (text.size() > options.limits.max_template_bytes)
    throw LimitError({.path = options.name}, "max_template_bytes", options.limits.max_template_bytes, text.size());
  auto program = std::make_shared<jinja::Program>();
  program->name = options.name;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\r') {
      program->source.push_back(text[at]);
    } else {
      program->source.push_back('\n');
      if (at + 1 < text.size() && text[at + 1] == '\n') ++at;
    }
  }
  if (program->source.ends_with('\n')) program->source.pop_back();  // as jinja2 does
  const std::size_t wrong = utf8_error(program->source);
  if (wrong < program->source.size()) throw FormatError(program->where(static_cast<std::uint32_t>(wrong)), "invalid UTF-8");
  jinja::Parser(*program, options_->limits);
  program_ = std::move(program);
}

PLUME_FUNCTION RenderedChat JinjaTemplate::render(const Json& messages, const RenderOptions& options) const {
  require(messages.is_array(), "[JinjaTemplate] messages must be an array of objects");
  const std::uint64_t input = dump(messages).size() + dump(options.tools).size() + dump(options.documents).size();
  jinja::Interpreter interpreter(*program_, options_->limits, input, options.strftime_now);
  const auto never = [](std::uint64_t, std::string_view, std::string_view) { return false; };
  const auto is_role = [&](std::uint64_t depth, std::string_view key, std::string_view role) {
    return depth == 2 && key == "role" && std::find(options.roles.begin(), options.roles.end(), role) != options.roles.end();
  };
  using jinja::Source;
  interpreter.define("messages", interpreter.value_of(messages, Source::user, is_role));
  interpreter.define("tools", interpreter.value_of(options.tools, Source::user, never));
  interpreter.define("documents", interpreter.value_of(options.documents, Source::user, never));
  interpreter.define("add_generation_prompt", jinja::Value::of(options.add_generation_prompt));
  for (const Json::Member& member : options.variables.members())
    interpreter.define(member.key, interpreter.value_of(member.value, Source::literal, never));

  jinja::MarkedText made = interpreter.run();
  RenderedChat chat{.text = std::move(made.bytes), .segments = {}, .generations = std::move(interpreter.generations)};
  const auto source = [](jinja::Source from) { return from == Source::user ? RenderedSource::user : RenderedSource::literal; };
  if (!chat.text.empty() && made.marks.empty()) chat.segments.push_back({source(made.source), 0, chat.text.size()});
  for (std::size_t at = 0; at < made.marks.size();) {
    const std::size_t end = std::min(made.marks.find_first_not_of(made.marks[at], at), made.marks.size());
    chat.segments.push_back({source(static_cast<Source>(made.marks[at])), at, end});
    at = end;
  }
  return chat;
}

PLUME_FUNCTION bool JinjaTemplate::marks_generation() const { return program_->marks_generation; }
PLUME_FUNCTION const std::string& JinjaTemplate::text() const { return program_->source; }

}  // namespace plume::inline PLUME_ABI
#endif
