#pragma once
// Chat templates as plain data, and one renderer that takes a conversation apart into pieces: what is the template's own, what somebody
// wrote, and what is trained. chat_encoder.hpp turns the pieces into tokens.
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

namespace plume::inline PLUME_ABI {

struct Around {
  std::string_view before = {}, after = {};
};

// before all turns; after the opening of the first one; before the last question
enum class SystemPlace : std::uint8_t { first, in_first_user, before_last_user };
enum class BeginToken : std::uint8_t { once, each_turn, never };   // for tokenizers that begin with one
enum class OuterSpace : std::uint8_t { keep, strip };              // white space around contents
enum class EmptyMessage : std::uint8_t { as_others, role_alone };  // role_alone: no separators, and an empty answer has no end
enum class OnlyTurn : std::uint8_t { as_others, bare };            // bare: nothing stands around the question of a chat with one turn
enum class EmptyInput : std::uint8_t { left_out, kept };           // what stands around an input that is empty

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
  EmptyInput empty_input = EmptyInput::left_out;
  // Templates of which only the last answer is trained and has an end: what stands around the turns before, which are part of the prompt.
  Around earlier_user = {}, earlier_answer = {};
  std::string_view before_earlier = {}, before_last = {};  // written even where nothing is earlier
  std::string_view answer_begin = {};                      // behind answer_open, trained with the answer
  std::uint8_t first_round = 0;                            // what {} around a user's text counts from
  OnlyTurn only_turn = OnlyTurn::as_others;
  // Without what introduces an answer among others.
  constexpr std::string_view bare_answer_open() const { return answer_open.substr(earlier_answer.before.size()); }
  constexpr bool repeats_earlier_turns() const { return !earlier_user.before.empty(); }
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
    // llama.cpp llama-chat.cpp, as are mistral (v1), gemma and phi3.
    ChatTemplate{.name = "llama3",
                 .around_system = {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
                 .around_user = {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
                 .answer_open = "<|start_header_id|>assistant<|end_header_id|>\n\n",
                 .end = "<|eot_id|>",
                 .end_text = "<|eot_id|>",
                 .outer_space = OuterSpace::strip},
    ChatTemplate{.name = "mistral",
                 .around_system = {"", "\n\n"},
                 .around_user = {" [INST] ", " [/INST]"},
                 .around_answer = {" ", ""},
                 .end_text = "</s>",
                 .system_place = SystemPlace::in_first_user},
    ChatTemplate{.name = "gemma",
                 .around_system = {"", "\n\n"},
                 .around_user = {"<start_of_turn>user\n", "<end_of_turn>\n"},
                 .answer_open = "<start_of_turn>model\n",
                 .end = "<end_of_turn>",
                 .end_text = "<end_of_turn>",
                 .separator = "\n",
                 .system_place = SystemPlace::in_first_user,
                 .outer_space = OuterSpace::strip},
    ChatTemplate{.name = "phi3",
                 .around_system = {"<|system|>\n", "<|end|>\n"},
                 .around_user = {"<|user|>\n", "<|end|>\n"},
                 .answer_open = "<|assistant|>\n",
                 .end = "<|end|>",
                 .end_text = "<|end|>",
                 .separator = "\n"},
    // The template of HuggingFaceH4/zephyr-7b-beta.
    ChatTemplate{.name = "zephyr",
                 .around_system = {"<|system|>\n", "</s>\n"},
                 .around_user = {"<|user|>\n", "</s>\n"},
                 .answer_open = "<|assistant|>\n",
                 .end_text = "</s>",
                 .separator = "\n"},
    // lm-sys/FastChat v0.1.10 conversation.py conv_v1, without its worked example.
    ChatTemplate{.name = "vicuna_v0",
                 .system =
                     "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
                     "and polite answers to the human's questions.",
                 .around_system = {"", "###"},
                 .around_user = {"Human: ", "###"},
                 .answer_open = "Assistant:",
                 .around_answer = {" ", ""},
                 .end = "###",
                 .end_text = "###"},
    // young-geng/EasyLM docs/koala.md.
    ChatTemplate{.name = "koala",
                 .system = "BEGINNING OF CONVERSATION:",
                 .around_system = {"", " "},
                 .around_user = {"USER: ", " "},
                 .answer_open = "GPT:",
                 .end_text = "</s>"},
    // FreedomIntelligence/LLMZoo llmzoo/utils.py.
    ChatTemplate{.name = "phoenix",
                 .system =
                     "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
                     "and polite answers to the human's questions.",
                 .around_system = {"", "\n\n"},
                 .around_user = {"Human: <s>", "</s>"},
                 .answer_open = "Assistant: <s>",
                 .end_text = "</s>"},
    // LianjiaTech/BELLE train/src/sample_generator.py.
    ChatTemplate{.name = "belle",
                 .around_user = {"Human: \n", "\n\n"},
                 .answer_open = "Assistant: \n",
                 .end_text = "</s>",
                 .begin = BeginToken::never},
    // yangjianxin1/Firefly component/template.py, default.
    ChatTemplate{.name = "firefly",
                 .around_system = {"System: ", "\n\n"},
                 .around_user = {"User: ", "\n"},
                 .answer_open = "Assistant: ",
                 .around_answer = {"", " "},
                 .end_text = "</s>"},
    // databrickslabs/dolly training/consts.py: "Input:" has no hashes there.
    ChatTemplate{.name = "dolly",
                 .system = "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
                 .around_system = {"", "\n\n"},
                 .around_user = {"### Instruction:\n", "\n\n"},
                 .around_input = {"\n\nInput:\n", ""},
                 .answer_open = "### Response:\n",
                 .around_answer = {"", "\n\n"},
                 .end = "### End",
                 .end_text = "### End",
                 .separator = "\n\n"},
    // project-baize/baize-chatbot preprocess.py: the next turn's tag ends an answer.
    ChatTemplate{.name = "baize",
                 .system = "The conversation between human and AI assistant.",
                 .around_system = {"", "\n[|Human|]"},
                 .around_user = {" ", "\n"},
                 .answer_open = "[|AI|]",
                 .around_answer = {" ", "\n"},
                 .end = "[|Human|]",
                 .end_text = "[|Human|]"},
    // OpenLMLab/MOSS, without plugins; the meta-instruction is the caller's system message.
    ChatTemplate{.name = "moss",
                 .around_user = {"<|Human|>: ", "<eoh>\n"},
                 .answer_open = "<|MOSS|>:",
                 .around_answer = {" ", ""},
                 .end = "<eom>",
                 .end_text = "<eom>",
                 .separator = "\n"},
    // Kent0n-Li/ChatDoctor chat.py.
    ChatTemplate{.name = "chatdoctor",
                 .system =
                     "If you are a doctor, please answer the medical questions based on the patient's description. \n\nChatDoctor: I am "
                     "ChatDoctor, what medical questions do you have?",
                 .around_system = {"", "\n\n"},
                 .around_user = {"Patient: ", "\n\n"},
                 .answer_open = "ChatDoctor: ",
                 .end_text = "</s>",
                 .separator = "\n\n"},
    // kbressem/medAlpaca prompt_templates/medalpaca.json: both blocks always.
    ChatTemplate{.name = "medalpaca",
                 .system = "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
                           "response that appropriately completes the request.",
                 .around_system = {"", "\n\n"},
                 .around_user = {"### Instruction:\n", "\n\n"},
                 .around_input = {"\n\n### Input:\n", ""},
                 .answer_open = "### Response:\n",
                 .end_text = "</s>",
                 .separator = "\n\n",
                 .empty_input = EmptyInput::kept},
    // THUDM/ChatGLM-6B ptuning/main.py and tokenization_chatglm.py: one question stands alone, several are rounds from 0.
    ChatTemplate{.name = "chatglm",
                 .around_system = {"", "\n"},
                 .around_user = {"[Round {}]\n\u95ee\uff1a", "\n"},
                 .answer_open = "\u7b54\uff1a[gMASK]",
                 .end = "<eop>",
                 .end_text = "<eop>",
                 .begin = BeginToken::never,
                 .earlier_user = {"[Round {}]\n\u95ee\uff1a", "\n"},
                 .earlier_answer = {"\u7b54\uff1a", "\n"},
                 .answer_begin = "<sop>",
                 .only_turn = OnlyTurn::bare},
    // THUDM/ChatGLM2-6B tokenization_chatglm.py build_prompt: rounds from 1, the two tokens in front.
    ChatTemplate{.name = "chatglm2",
                 .around_system = {"", "\n"},
                 .around_user = {"[Round {}]\n\n\u95ee\uff1a", "\n\n"},
                 .answer_open = "\u7b54\uff1a",
                 .end_text = "</s>",
                 .begin = BeginToken::never,
                 .earlier_user = {"[Round {}]\n\n\u95ee\uff1a", "\n\n"},
                 .earlier_answer = {"\u7b54\uff1a", "\n\n"},
                 .before_earlier = "[gMASK]sop",
                 .first_round = 1},
    // The card of the data set JosephusCheung/GuanacoDataset, in Alpaca's frame.
    ChatTemplate{.name = "guanaco",
                 .system = "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
                           "response that appropriately completes the request.",
                 .around_system = {"System: ", "\n"},
                 .around_user = {"User: ", "\n"},
                 .answer_open = "### Response:\n",
                 .end_text = "</s>",
                 .system_place = SystemPlace::before_last_user,
                 .earlier_user = {"User: ", "\n"},
                 .earlier_answer = {"Assistant: ", "\n"},
                 .before_earlier = "\n\n### Instruction:\n",
                 .before_last = "### Input:\n"},
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
