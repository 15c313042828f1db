#pragma once
// Texts in a fixed template's form: a rendered chat spelled out, and a chat read back from such a text.
//
//   std::string text = spelled(render(chat, chat_template("koala")), chat_template("koala"));
//   std::optional<Chat> again = parse_chat(text, chat_template("koala"));
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/data/chat_templates.hpp"

namespace plume::inline PLUME_ABI {

// The pieces as one text. The begin token is left out, as it is by those who write such texts; the end is spelled as the template has it.
PLUME_FUNCTION std::string spelled(std::span<const ChatSegment> pieces, const ChatTemplate& chat_template);

// The chat that renders to this text, a prompt included; none where the text is not of this form. The template's standard system text
// becomes no message. Contents that hold the template's own separators cannot be told from them, nor can a system text without marks
// around it inside the first question (mistral, gemma): the chat then is another one that renders to the same text.
PLUME_FUNCTION std::optional<Chat> parse_chat(std::string_view text, const ChatTemplate& chat_template);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

namespace plume::inline PLUME_ABI {

namespace chat_detail {

class ChatParser {
 public:
  ChatParser(std::string_view text, const ChatTemplate& chat_template) : left_(text), template_(chat_template) {}

  std::optional<Chat> parse() {
    if (template_.repeats_earlier_turns()) return parse_one_prompt();
    if (template_.around_user.before.empty() || (template_.around_user.after.empty() && template_.answer_open.empty())) return std::nullopt;
    if (template_.system_place == SystemPlace::first && !system(concat(template_.around_system.after, template_.around_user.before)))
      return std::nullopt;
    bool first = true;
    while (!left_.empty()) {
      if (!first && !skip(template_.separator)) return std::nullopt;
      if (!first && left_.empty()) break;
      if (!skip(template_.around_user.before)) return std::nullopt;
      if (first && template_.system_place == SystemPlace::in_first_user && !template_.around_system.before.empty() &&
          left_.starts_with(template_.around_system.before) && !system(std::string(template_.around_system.after)))
        return std::nullopt;
      first = false;
      const auto question = up_to(template_.around_user.after, template_.answer_open);
      if (!question) return std::nullopt;
      user(*question);
      if (left_.empty()) break;
      if (!skip(template_.around_answer.before)) return std::nullopt;
      const auto answer = up_to(template_.around_answer.after, template_.end.empty() ? template_.end_text : template_.end);
      if (!answer) return std::nullopt;
      chat_.messages.push_back({Role::assistant, std::string(*answer)});
    }
    return chat_;
  }

 private:
  // Templates whose earlier turns are part of the prompt: the last question ends where the answer opens.
  std::optional<Chat> parse_one_prompt() {
    const bool framed = template_.system_place == SystemPlace::before_last_user;
    if (framed && !skip(template_.system)) return std::nullopt;
    if (!template_.before_earlier.empty() && !skip(template_.before_earlier)) return std::nullopt;
    std::size_t round = template_.first_round;
    const auto earlier = [&](std::size_t number) { return numbered(template_.earlier_user.before, number); };
    const bool several = template_.only_turn == OnlyTurn::as_others || left_.find(earlier(round)) != left_.npos;
    const std::string mark = several ? concat(template_.around_user.after, template_.answer_open, template_.answer_begin)
                                     : concat(template_.bare_answer_open(), template_.answer_begin);
    const std::size_t open = left_.rfind(mark);
    if (open == left_.npos) return std::nullopt;
    std::string_view prompt = left_.substr(0, open), answer = left_.substr(open + mark.size());
    if (several && !framed) {
      const std::size_t first = prompt.find(earlier(round));
      if (first == prompt.npos) return std::nullopt;
      if (first > 0) {
        if (!prompt.substr(0, first).ends_with(template_.around_system.after)) return std::nullopt;
        chat_.messages.push_back({Role::system, std::string(prompt.substr(0, first - template_.around_system.after.size()))});
        prompt.remove_prefix(first);
      }
    }
    const std::string between = concat(template_.earlier_user.after, template_.earlier_answer.before);
    const auto is_last = [&](std::string_view rest) { return !template_.before_last.empty() && rest.starts_with(template_.before_last); };
    for (; several && !is_last(prompt); ++round) {
      const std::string opening = earlier(round), next = concat(template_.earlier_answer.after, earlier(round + 1)),
                        last = concat(template_.earlier_answer.after, template_.before_last);
      if (!prompt.starts_with(opening)) return std::nullopt;
      const std::size_t middle = prompt.find(between, opening.size());
      if (middle == prompt.npos) break;  // the last question
      const std::size_t begin = middle + between.size();
      std::size_t end = prompt.find(next, begin);
      if (!template_.before_last.empty()) end = std::min(end, prompt.find(last, begin));
      if (end == prompt.npos) return std::nullopt;
      chat_.messages.push_back({Role::user, std::string(prompt.substr(opening.size(), middle - opening.size()))});
      chat_.messages.push_back({Role::assistant, std::string(prompt.substr(begin, end - begin))});
      prompt.remove_prefix(end + template_.earlier_answer.after.size());
    }
    if (!template_.before_last.empty()) {
      if (!is_last(prompt)) return std::nullopt;
      prompt.remove_prefix(template_.before_last.size());
    }
    const std::string opening = several ? numbered(template_.around_user.before, round) : std::string();
    if (framed && prompt.starts_with(template_.around_system.before)) {
      const std::size_t end = prompt.find(concat(template_.around_system.after, opening));
      if (end == prompt.npos) return std::nullopt;
      const std::size_t begin = template_.around_system.before.size();
      chat_.messages.insert(chat_.messages.begin(), {Role::system, std::string(prompt.substr(begin, end - begin))});
      prompt.remove_prefix(end + template_.around_system.after.size());
    }
    if (!prompt.starts_with(opening)) return std::nullopt;
    chat_.messages.push_back({Role::user, std::string(prompt.substr(opening.size()))});
    if (answer.empty()) return chat_;
    const std::string_view end = template_.end.empty() ? template_.end_text : template_.end;
    if (!answer.ends_with(end)) return std::nullopt;
    chat_.messages.push_back({Role::assistant, std::string(answer.substr(0, answer.size() - end.size()))});
    return chat_;
  }
  bool skip(std::string_view part) {
    if (!left_.starts_with(part)) return false;
    left_.remove_prefix(part.size());
    return true;
  }
  std::optional<std::string_view> up_to(std::string_view one, std::string_view two) {
    const std::string mark = concat(one, two);
    const std::size_t found = left_.find(mark);
    if (found == left_.npos) return std::nullopt;
    const std::string_view part = left_.substr(0, found);
    left_.remove_prefix(found + mark.size());
    return part;
  }
  // A system text, up to `mark`; the part of it behind what stands after a system text is left.
  bool system(const std::string& mark) {
    const Around& around = template_.around_system;
    if (!left_.starts_with(around.before)) return true;
    if (around.before.empty() && template_.system.empty() && left_.starts_with(template_.around_user.before)) return true;
    const std::size_t found = left_.find(mark, around.before.size());
    if (found == left_.npos) return left_.starts_with(template_.around_user.before);
    const std::string_view content = left_.substr(around.before.size(), found - around.before.size());
    if (content != template_.system && (template_.system_with_input.empty() || content != template_.system_with_input))
      chat_.messages.push_back({Role::system, std::string(content)});
    left_.remove_prefix(found + around.after.size());
    return true;
  }
  void user(std::string_view question) {
    const std::size_t found = template_.around_input.before.empty() ? question.npos : question.find(template_.around_input.before);
    Message message{Role::user, std::string(question.substr(0, found))};
    if (found != question.npos) {
      question.remove_prefix(found + template_.around_input.before.size());
      question.remove_suffix(std::min(question.size(), template_.around_input.after.size()));
      message.input = question;
    }
    chat_.messages.push_back(std::move(message));
  }

  std::string_view left_;
  const ChatTemplate& template_;
  Chat chat_;
};

}  // namespace chat_detail

PLUME_FUNCTION std::string spelled(std::span<const ChatSegment> pieces, const ChatTemplate& chat_template) {
  std::string text;
  for (const ChatSegment& piece : pieces)
    text.append(piece.kind != ChatSegmentKind::end ? std::string_view(piece.text)
                : chat_template.end.empty()        ? chat_template.end_text
                                                   : chat_template.end);
  return text;
}

PLUME_FUNCTION std::optional<Chat> parse_chat(std::string_view text, const ChatTemplate& chat_template) {
  return chat_detail::ChatParser(text, chat_template).parse();
}

}  // namespace plume::inline PLUME_ABI
#endif
