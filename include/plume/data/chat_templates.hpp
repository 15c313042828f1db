#pragma once
// One renderer for all chat templates (chat_template_table.hpp), which takes a conversation apart into pieces: what is the template's own,
// what somebody wrote, and what is trained. chat_encoder.hpp turns the pieces into tokens.
//
//   std::vector<ChatSegment> pieces = render(chat, chat_template("vicuna"));
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/text.hpp"
#include "plume/data/chat.hpp"
#include "plume/data/chat_template_table.hpp"

namespace plume::inline PLUME_ABI {

// A piece of a rendered chat. literal: the template's own text, in which special tokens count. text: somebody's message, always plain.
// answer: plain and trained. begin, end: the tokens around a sequence and after an answer. trained_literal: the template's own, trained.
enum class ChatSegmentKind : std::uint8_t { begin, literal, text, answer, end, trained_literal };

struct ChatSegment {
  ChatSegmentKind kind;
  std::string text = {};
  friend bool operator==(const ChatSegment&, const ChatSegment&) = default;
};

// A whole chat in pieces. ArgumentError: roles out of turn.
PLUME_FUNCTION std::vector<ChatSegment> render(const Chat& chat, const ChatTemplate& chat_template);

// A chat whose last message is a user's, up to where the answer begins.
PLUME_FUNCTION std::vector<ChatSegment> render_prompt(const Chat& chat, const ChatTemplate& chat_template);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

namespace chat_detail {

// As Python's str.strip: White_Space and the four separators of ASCII.
inline bool is_space_at(std::string_view text, std::size_t at) {
  const char32_t c = code_point_at(text, at).value;
  return code_point_class(c) == CodePointClass::space || (c >= 0x1c && c <= 0x1f);
}
inline std::string_view strip_front(std::string_view text) {
  while (!text.empty() && is_space_at(text, 0)) text.remove_prefix(code_point_at(text, 0).length);
  return text;
}
inline std::string_view strip_back(std::string_view text) {
  while (!text.empty()) {
    std::size_t at = text.size() - 1;
    while (at > 0 && text.size() - at < 4 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
    if (code_point_at(text, at).length != text.size() - at || !is_space_at(text, at)) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

// The number of a round in place of {}.
inline std::string numbered(std::string_view text, std::size_t round) {
  const std::size_t at = text.find("{}");
  return at == text.npos ? std::string(text) : concat(text.substr(0, at), round, text.substr(at + 2));
}

class Renderer {
 public:
  explicit Renderer(const ChatTemplate& chat_template) : template_(chat_template) {}

  // Perhaps a system message, then user and assistant in turn; a text alone may stand for the first answer.
  static void check(const Chat& chat) {
    const auto& messages = chat.messages;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const Role role = messages[i].role;
      const bool starts = i == 0 || messages[i - 1].role == Role::system;
      const bool fits = role == Role::system ? i == 0 : (i == 0 || (starts ? role == Role::user : role != messages[i - 1].role));
      require(fits, "[chat] message ", i, " is of the ", name_of(role), ", after the ", i == 0 ? "" : name_of(messages[i - 1].role),
              ": expected a system message at most at the beginning, then user and assistant in turn");
    }
  }

  void begin() {
    if (template_.begin != BeginToken::never) segments_.push_back({ChatSegmentKind::begin});
  }

  void chat(const Chat& chat) {
    check(chat);
    begin();
    std::span<const Message> rest = chat.messages;
    const Message* system = nullptr;
    if (!rest.empty() && rest.front().role == Role::system) {
      system = &rest.front();
      rest = rest.subspan(1);
    }
    if (template_.repeats_earlier_turns()) return in_one_prompt(system, rest);
    const bool asks = !rest.empty() && rest.front().role == Role::user;
    const std::string_view standard =
        asks && !rest.front().input.empty() && !template_.system_with_input.empty() ? template_.system_with_input : template_.system;
    const auto add_system = [&] {
      if (!system && (standard.empty() || !asks)) return false;
      add(ChatSegmentKind::literal, template_.around_system.before);
      if (system)
        add(ChatSegmentKind::text, system->content);
      else
        add(ChatSegmentKind::literal, standard);
      add(ChatSegmentKind::literal, template_.around_system.after);
      return true;
    };
    const bool inside = asks && template_.system_place == SystemPlace::in_first_user;
    if (!inside) add_system();
    for (std::size_t i = 0; i < rest.size(); ++i) {
      if (rest[i].role == Role::assistant) {
        open();
        answer(rest[i]);
        continue;
      }
      if (i > 0) between();
      if (i == 0 && inside)
        user(rest[i], add_system);
      else
        user(rest[i], [] { return false; });
    }
  }

  // Of repeats_earlier_turns(): all but the last question and answer are the template's prompt, with rounds counted.
  void in_one_prompt(const Message* system, std::span<const Message> rest) {
    std::size_t last = rest.size(), questions = 0;  // the last question
    for (std::size_t i = 0; i < rest.size(); ++i)
      if (rest[i].role == Role::user) last = i, ++questions;
    bare_ = template_.only_turn == OnlyTurn::bare && questions <= 1;
    const auto add_system = [&] {
      if (!system) return;
      add(ChatSegmentKind::literal, template_.around_system.before);
      add(ChatSegmentKind::text, system->content);
      add(ChatSegmentKind::literal, template_.around_system.after);
    };
    const bool framed = template_.system_place == SystemPlace::before_last_user;
    if (framed)
      add(ChatSegmentKind::literal, template_.system);
    else if (template_.before_earlier.empty())
      add_system();
    add(ChatSegmentKind::literal, template_.before_earlier);
    if (!framed && !template_.before_earlier.empty()) add_system();
    round_ = template_.first_round;
    for (std::size_t i = 0; i < rest.size(); ++i) {
      const bool earlier = i < last && last < rest.size();
      if (i == last) {
        add(ChatSegmentKind::literal, template_.before_last);
        if (framed) add_system();
      }
      if (rest[i].role == Role::assistant) {
        if (earlier) {
          add(ChatSegmentKind::literal, template_.earlier_answer.before);
          add(ChatSegmentKind::text, rest[i].content);
          add(ChatSegmentKind::literal, template_.earlier_answer.after);
          ++round_;
          continue;
        }
        open();
        segments_.back().kind = template_.answer_begin.empty() ? segments_.back().kind : ChatSegmentKind::trained_literal;
        answer(rest[i]);
        continue;
      }
      const Around around = bare_ ? Around{} : earlier ? template_.earlier_user : template_.around_user;
      add(ChatSegmentKind::literal, numbered(around.before, round_));
      const Message& question = rest[i];
      add(ChatSegmentKind::text, question.input.empty() ? question.content : concat(question.content, '\n', question.input));
      add(ChatSegmentKind::literal, around.after);
    }
  }

  // What stands between the end of an answer and the next message.
  void between() {
    add(ChatSegmentKind::literal, template_.separator);
    if (template_.begin == BeginToken::each_turn) begin();
  }

  // `inner` adds what stands before the content, and says whether it did.
  template <class Inner>
  void user(const Message& message, Inner inner) {
    const bool place_for_input = !template_.around_input.before.empty();
    std::string content = message.content;
    if (!message.input.empty() && !place_for_input) content.append("\n").append(message.input);
    if (content.empty() && template_.empty == EmptyMessage::role_alone)
      return add(ChatSegmentKind::literal, strip_back(template_.around_user.before));
    add(ChatSegmentKind::literal, template_.around_user.before);
    const bool after_something = inner();
    std::string_view stripped = content;
    if (template_.outer_space == OuterSpace::strip) {
      stripped = strip_back(after_something ? stripped : strip_front(stripped));
      if (stripped.empty() && after_something) {
        std::string& last = segments_.back().text;
        last.resize(strip_back(last).size());
      }
    }
    add(ChatSegmentKind::text, stripped);
    if (place_for_input && (!message.input.empty() || template_.empty_input == EmptyInput::kept)) {
      add(ChatSegmentKind::literal, template_.around_input.before);
      add(ChatSegmentKind::text, message.input);
      add(ChatSegmentKind::literal, template_.around_input.after);
    }
    add(ChatSegmentKind::literal, template_.around_user.after);
  }

  void open() {
    add(ChatSegmentKind::literal, bare_ ? template_.bare_answer_open() : template_.answer_open);
    add(ChatSegmentKind::literal, template_.answer_begin);
  }

  void answer(const Message& message) {
    std::string_view content = message.content;
    if (template_.outer_space == OuterSpace::strip) content = strip_back(strip_front(content));
    if (content.empty() && template_.empty == EmptyMessage::role_alone) return;
    add(ChatSegmentKind::answer, concat(template_.around_answer.before, content, template_.around_answer.after));
    segments_.push_back({ChatSegmentKind::end});
  }

  std::vector<ChatSegment> take() { return std::move(segments_); }

 private:
  void add(ChatSegmentKind kind, std::string_view text) {
    if (!text.empty()) segments_.push_back({kind, std::string(text)});
  }

  const ChatTemplate& template_;
  std::vector<ChatSegment> segments_;
  std::size_t round_ = 0;
  bool bare_ = false;
};

}  // namespace chat_detail

PLUME_FUNCTION std::vector<ChatSegment> render(const Chat& chat, const ChatTemplate& chat_template) {
  chat_detail::Renderer renderer(chat_template);
  renderer.chat(chat);
  return renderer.take();
}

PLUME_FUNCTION std::vector<ChatSegment> render_prompt(const Chat& chat, const ChatTemplate& chat_template) {
  require(!chat.messages.empty() && chat.messages.back().role == Role::user, "[render_prompt] the last message must be of the user");
  chat_detail::Renderer renderer(chat_template);
  renderer.chat(chat);
  renderer.open();
  return renderer.take();
}

}  // namespace plume::inline PLUME_ABI
#endif
