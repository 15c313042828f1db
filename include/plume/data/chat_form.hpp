#pragma once
// What stands around the messages of a chat: one of plume's fixed templates, or the Jinja template of a model's own repository.
//
//   ChatForm form = chat_template("vicuna");
//   ChatForm own = RepositoryTemplate{JinjaTemplate(text), Json::object().set("bos_token", "<s>")};
//   std::vector<ChatSegment> pieces = render_prompt(chat, own);
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/json.hpp"
#include "plume/data/chat_templates.hpp"
#include "plume/tokenizer/template/jinja_template.hpp"

namespace plume::inline PLUME_ABI {

struct RepositoryTemplate {
  JinjaTemplate program;
  Json variables = Json::object();                                        // bos_token, eos_token and the like
  std::function<std::string(std::string_view format)> strftime_now = {};  // the time now, if templates may know it
};

struct ChatForm {
  std::string_view name;  // of a fixed template; "model" for a repository's own
  ChatTemplate fixed = {};
  std::shared_ptr<const RepositoryTemplate> own = {};

  ChatForm(const ChatTemplate& chat_template) : name(chat_template.name), fixed(chat_template) {}
  ChatForm(RepositoryTemplate chat_template)
      : name("model"), fixed{.name = "model"}, own(std::make_shared<const RepositoryTemplate>(std::move(chat_template))) {}
};

// A chat as the messages of a Jinja template: an array of {"role", "content"}; an input stands on the line after the instruction.
PLUME_FUNCTION Json template_messages(const Chat& chat);

// A whole chat in pieces. What is trained are the answers: where the template has {% generation %}, what stands in it; else what the chat
// up to an answer adds to the prompt for it, without the white space after its end. ConfigError: the template refuses the chat, or changes
// what stands before an answer, so that it cannot be told apart.
PLUME_FUNCTION std::vector<ChatSegment> render(const Chat& chat, const ChatForm& form);

// A chat whose last message is a user's, up to where the answer begins.
PLUME_FUNCTION std::vector<ChatSegment> render_prompt(const Chat& chat, const ChatForm& form);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <span>

namespace plume::inline PLUME_ABI {

namespace chat_detail {

inline RenderedChat render_own(const RepositoryTemplate& own, std::span<const Message> messages, bool prompt) {
  return own.program.render(template_messages({{messages.begin(), messages.end()}}),
                            {.add_generation_prompt = prompt, .variables = own.variables, .strftime_now = own.strftime_now});
}

// The ranges of bytes of a rendered chat that its answers take.
inline std::vector<std::pair<std::size_t, std::size_t>> answers_of(const RepositoryTemplate& own, const Chat& chat,
                                                                   const RenderedChat& whole) {
  if (own.program.marks_generation()) return whole.generations;
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  const std::span<const Message> messages = chat.messages;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != Role::assistant || i == 0) continue;
    const std::string before = render_own(own, messages.first(i), true).text, after = render_own(own, messages.first(i + 1), false).text;
    // Templates that drop the reasoning of earlier turns and the like: only answers that stand as the model wrote them are trained.
    std::size_t end =
        static_cast<std::size_t>(std::mismatch(after.begin(), after.end(), whole.text.begin(), whole.text.end()).first - after.begin());
    if (!after.starts_with(before) || end <= before.size()) continue;
    const std::size_t written = after.find_last_not_of(" \t\r\n") + 1;  // npos + 1 == 0
    if (end < written) continue;
    end = std::max(written, before.size());
    if (end > before.size()) ranges.emplace_back(before.size(), end);
  }
  return ranges;
}

inline std::vector<ChatSegment> pieces_of(const RenderedChat& chat, std::span<const std::pair<std::size_t, std::size_t>> answers) {
  std::vector<ChatSegment> pieces;
  std::size_t next = 0;
  for (const RenderedSegment& segment : chat.segments) {
    const bool typed = segment.source == RenderedSource::user;
    for (std::size_t at = segment.begin; at < segment.end;) {
      while (next < answers.size() && answers[next].second <= at) ++next;
      const bool trained = next < answers.size() && answers[next].first <= at;
      const std::size_t stop =
          next == answers.size() ? segment.end : std::min(segment.end, trained ? answers[next].second : answers[next].first);
      pieces.push_back({trained ? (typed ? ChatSegmentKind::answer : ChatSegmentKind::trained_literal)
                                : (typed ? ChatSegmentKind::text : ChatSegmentKind::literal),
                        chat.text.substr(at, stop - at)});
      at = stop;
    }
  }
  return pieces;
}

}  // namespace chat_detail

PLUME_FUNCTION Json template_messages(const Chat& chat) {
  Json messages = Json::array();
  for (const Message& message : chat.messages) {
    const std::string content = message.input.empty() ? message.content : concat(message.content, "\n", message.input);
    messages.push(Json::object().set("role", name_of(message.role)).set("content", content));
  }
  return messages;
}

PLUME_FUNCTION std::vector<ChatSegment> render(const Chat& chat, const ChatForm& form) {
  if (!form.own) return render(chat, form.fixed);
  const RenderedChat whole = chat_detail::render_own(*form.own, chat.messages, false);
  const auto answers = chat_detail::answers_of(*form.own, chat, whole);
  const bool answered =
      std::any_of(chat.messages.begin(), chat.messages.end(), [](const Message& message) { return message.role == Role::assistant; });
  if (answered && answers.empty())
    throw ConfigError(
        {.path = form.own->program.name()},
        "the template changes what stands before each answer, so that answers cannot be told apart; --template names one of plume's "
        "own forms, or mark the answers with {% generation %}");
  return chat_detail::pieces_of(whole, answers);
}

PLUME_FUNCTION std::vector<ChatSegment> render_prompt(const Chat& chat, const ChatForm& form) {
  if (!form.own) return render_prompt(chat, form.fixed);
  require(!chat.messages.empty() && chat.messages.back().role == Role::user, "[render_prompt] the last message must be of the user");
  return chat_detail::pieces_of(chat_detail::render_own(*form.own, chat.messages, true), {});
}

}  // namespace plume::inline PLUME_ABI
#endif
