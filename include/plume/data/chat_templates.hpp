#pragma once
// Chat templates: how a conversation becomes tokens, as plain data, and which of them are trained.
//
//   ChatEncoder encoder(model.tokenizer, chat_template("vicuna"));
//   EncodedChat example = encoder.encode(chat);                      // for training: labels of answers and their ends, -1 elsewhere
//   session.feed(encoder.prompt({{{Role::user, "Hello"}}}));         // for generation: the same ids up to where the answer begins
//   session.feed(encoder.next_prompt(session.tokens(), {Role::user, "And then?"}));   // what a next turn adds to them
//
// Prompt, answer and end are tokenised apart, so that generation continues exactly what training saw. The text of a message never becomes
// a special token, whatever it spells.
#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/text.hpp"
#include "plume/data/chat.hpp"
#include "plume/tokenizer/tokenizer.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

struct Around {
  std::string_view before = {}, after = {};
};

enum class SystemPlace : std::uint8_t { first, in_first_user };    // before all turns; after the opening of the first one
enum class BeginToken : std::uint8_t { once, each_turn };          // for tokenizers that begin with one
enum class OuterSpace : std::uint8_t { keep, strip };              // white space around contents
enum class EmptyMessage : std::uint8_t { as_others, role_alone };  // role_alone: no separators, and an empty answer has no end

// Special tokens are written as they are spelled; where the tokenizer has no such token the spelling is plain text.
struct ChatTemplate {
  std::string_view name = {};
  std::string_view system = {};             // for chats that bring none; empty: nothing
  std::string_view system_with_input = {};  // the same when the first user message has an input; empty: as `system`
  Around around_system = {}, around_user = {};
  Around around_input = {};           // empty: the input goes on the line after the instruction
  std::string_view answer_open = {};  // ends a prompt
  Around around_answer = {};          // trained with the answer
  std::string_view end = {};          // the special token that ends an answer, trained too; empty: the tokenizer's eos
  std::string_view end_text = {};     // what ends it when the tokenizer has no such token
  std::string_view separator = {};    // between the end of an answer and the next message
  SystemPlace system_place = SystemPlace::first;
  BeginToken begin = BeginToken::once;
  OuterSpace outer_space = OuterSpace::keep;
  EmptyMessage empty = EmptyMessage::as_others;
};

inline constexpr std::array chat_templates = {
    // tatsu-lab/stanford_alpaca train.py, made for one turn; a next one begins as the first did.
    ChatTemplate{.name = "alpaca",
                 .system = "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
                 .system_with_input = "Below is an instruction that describes a task, paired with an input that provides further context. "
                                      "Write a response that appropriately completes the request.",
                 .around_system = {"", "\n\n"},
                 .around_user = {"### Instruction:\n", "\n\n"},
                 .around_input = {"\n\n### Input:\n", ""},
                 .answer_open = "### Response:",
                 .end_text = "</s>",
                 .separator = "\n\n"},
    // OpenAI's ChatML as llama.cpp writes it.
    ChatTemplate{.name = "chatml",
                 .around_system = {"<|im_start|>system\n", "<|im_end|>\n"},
                 .around_user = {"<|im_start|>user\n", "<|im_end|>\n"},
                 .answer_open = "<|im_start|>assistant\n",
                 .end = "<|im_end|>",
                 .end_text = "<|im_end|>",
                 .separator = "\n"},
    // meta-llama/llama generation.py (chat_completion): every turn is a sequence of its own, with begin and end.
    ChatTemplate{.name = "llama2",
                 .around_system = {"<<SYS>>\n", "\n<</SYS>>\n\n"},
                 .around_user = {"[INST] ", " [/INST]"},
                 .around_answer = {" ", " "},
                 .end_text = "</s>",
                 .system_place = SystemPlace::in_first_user,
                 .begin = BeginToken::each_turn,
                 .outer_space = OuterSpace::strip},
    // lm-sys/FastChat conversation.py vicuna_v1.1, train/train.py.
    ChatTemplate{.name = "vicuna",
                 .system = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
                           "and polite answers to the user's questions.",
                 .around_system = {"", " "},
                 .around_user = {"USER: ", " "},
                 .answer_open = "ASSISTANT:",
                 .around_answer = {" ", ""},
                 .end_text = "</s>",
                 .empty = EmptyMessage::role_alone},
    // For models that know no special tokens.
    ChatTemplate{.name = "plain",
                 .around_system = {"", "\n"},
                 .around_user = {"User: ", "\n"},
                 .answer_open = "Assistant:",
                 .around_answer = {" ", ""},
                 .end_text = "\n\n"},
    // Nothing around the messages: texts, and questions that bring their own form.
    ChatTemplate{.name = "text"},
};

// ArgumentError: no such template.
inline const ChatTemplate& chat_template(std::string_view name) {
  std::string known;
  for (const ChatTemplate& entry : chat_templates) {
    if (entry.name == name) return entry;
    known.append(known.empty() ? "" : ", ").append(entry.name);
  }
  throw ArgumentError(concat("[chat_template] unknown template ", quoted(name), " (known: ", known, ")"));
}

// A piece of a rendered chat. literal: the template's own text, in which special tokens count. text: somebody's message, always plain.
// answer: plain and trained. begin, end: the tokens around a sequence and after an answer.
enum class ChatSegmentKind : std::uint8_t { begin, literal, text, answer, end };

struct ChatSegment {
  ChatSegmentKind kind;
  std::string text = {};
  friend bool operator==(const ChatSegment&, const ChatSegment&) = default;
};

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

  void begin() { segments_.push_back({ChatSegmentKind::begin}); }

  void chat(const Chat& chat) {
    check(chat);
    begin();
    std::span<const Message> rest = chat.messages;
    const Message* system = nullptr;
    if (!rest.empty() && rest.front().role == Role::system) {
      system = &rest.front();
      rest = rest.subspan(1);
    }
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
    if (!message.input.empty() && place_for_input) {
      add(ChatSegmentKind::literal, template_.around_input.before);
      add(ChatSegmentKind::text, message.input);
      add(ChatSegmentKind::literal, template_.around_input.after);
    }
    add(ChatSegmentKind::literal, template_.around_user.after);
  }

  void open() { add(ChatSegmentKind::literal, template_.answer_open); }

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
};

}  // namespace chat_detail

// A whole chat in pieces. ArgumentError: roles out of turn.
inline std::vector<ChatSegment> render(const Chat& chat, const ChatTemplate& chat_template) {
  chat_detail::Renderer renderer(chat_template);
  renderer.chat(chat);
  return renderer.take();
}

// A chat whose last message is a user's, up to where the answer begins.
inline std::vector<ChatSegment> render_prompt(const Chat& chat, const ChatTemplate& chat_template) {
  require(!chat.messages.empty() && chat.messages.back().role == Role::user, "[render_prompt] the last message must be of the user");
  chat_detail::Renderer renderer(chat_template);
  renderer.chat(chat);
  renderer.open();
  return renderer.take();
}

// The ids of a chat; labels hold the same ids where they are trained and -1 elsewhere. Not shifted: ids before i predict label i.
struct EncodedChat {
  std::vector<TokenId> ids, labels;
};

// A template with a tokenizer. A cheap immutable value: any number of threads may use it.
class ChatEncoder {
 public:
  ChatEncoder(Tokenizer tokenizer, const ChatTemplate& chat_template) : tokenizer_(std::move(tokenizer)), template_(chat_template) {
    std::optional<TokenId> end = tokenizer_.eos();
    if (!template_.end.empty()) {
      end = tokenizer_.find(template_.end);
      if (end && !tokenizer_.is_special(*end)) end = std::nullopt;
    }
    end_is_token_ = end.has_value();
    if (end)
      end_.push_back(*end);
    else if (!template_.end_text.empty())
      tokenizer_.model().encode(template_.end_text, TextPart::later, end_);
  }

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const ChatTemplate& chat_template() const { return template_; }

  EncodedChat encode(std::span<const ChatSegment> segments) const { return encode(segments, TextPart::first); }
  EncodedChat encode(const Chat& chat) const { return encode(render(chat, template_)); }
  // The ids after which the model answers the last message of a chat.
  std::vector<TokenId> prompt(const Chat& chat) const { return encode(render_prompt(chat, template_)).ids; }

  // What to feed for the next user message to a session that holds `held` and ends with an answer. An answer that was cut off gets its end.
  std::vector<TokenId> next_prompt(std::span<const TokenId> held, const Message& message) const {
    require(!held.empty(), "[next_prompt] the session holds nothing: feed prompt() first");
    require(message.role == Role::user, "[next_prompt] the message must be of the user");
    chat_detail::Renderer renderer(template_);
    renderer.between();
    renderer.user(message, [] { return false; });
    renderer.open();
    std::vector<TokenId> ids;
    const bool ended =
        held.size() >= end_.size() && std::equal(end_.begin(), end_.end(), held.end() - static_cast<std::ptrdiff_t>(end_.size()));
    if (!ended) ids = end_;
    const std::vector<TokenId> more = encode(renderer.take(), TextPart::later).ids;
    ids.insert(ids.end(), more.begin(), more.end());
    return ids;
  }

  // What follows an answer: one special token, or the ids of a plain text, or nothing.
  const std::vector<TokenId>& end() const { return end_; }
  // How generation stops: at this token ...
  std::optional<TokenId> end_token() const { return end_is_token_ ? std::optional(end_.front()) : std::nullopt; }
  // ... or, when the end is plain text, at this text.
  std::vector<std::string> stop_strings() const {
    if (end_is_token_ || template_.end_text.empty()) return {};
    return {std::string(template_.end_text)};
  }

 private:
  EncodedChat encode(std::span<const ChatSegment> segments, TextPart part) const {
    const Vocabulary& vocabulary = tokenizer_.model().vocabulary;
    EncodedChat result;
    std::string run;  // of text between tokens
    bool trained = false;
    const auto label = [&] {
      const auto known = static_cast<std::ptrdiff_t>(result.labels.size());
      if (trained) result.labels.insert(result.labels.end(), result.ids.begin() + known, result.ids.end());
      result.labels.resize(result.ids.size(), -1);
    };
    const auto flush = [&] {
      if (run.empty()) return;
      tokenizer_.model().encode(run, part, result.ids);
      run.clear();
      part = TextPart::later;
      label();
    };
    const auto add_tokens = [&](std::span<const TokenId> ids) {
      result.ids.insert(result.ids.end(), ids.begin(), ids.end());
      label();
    };
    for (const ChatSegment& segment : segments) {
      const bool answers = segment.kind == ChatSegmentKind::answer || segment.kind == ChatSegmentKind::end;
      if (answers != trained || segment.kind == ChatSegmentKind::end) flush();
      trained = answers;
      switch (segment.kind) {
        case ChatSegmentKind::begin:
          flush();
          if (!vocabulary.begins_with_bos) break;
          add_tokens({&*vocabulary.bos, 1});
          part = TextPart::first;
          break;
        case ChatSegmentKind::literal: {
          std::string_view rest = segment.text;
          while (const auto found = vocabulary.find_special(rest)) {
            run.append(rest.substr(0, found->begin));
            flush();
            add_tokens({&found->id, 1});
            part = TextPart::later;
            rest.remove_prefix(found->end);
          }
          run.append(rest);
          break;
        }
        case ChatSegmentKind::text:
        case ChatSegmentKind::answer:
          run.append(segment.text);
          break;
        case ChatSegmentKind::end:
          add_tokens(end_);
          part = TextPart::later;
          break;
      }
    }
    flush();
    return result;
  }

  Tokenizer tokenizer_;
  ChatTemplate template_;
  std::vector<TokenId> end_;
  bool end_is_token_ = false;
};

}  // namespace plume::inline PLUME_ABI
