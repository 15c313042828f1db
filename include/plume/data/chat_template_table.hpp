#pragma once
// Chat templates as plain data; chat_templates.hpp renders them.
#include <array>
#include <string>
#include <string_view>

#include "plume/base/error.hpp"
#include "plume/base/text.hpp"

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

}  // namespace plume::inline PLUME_ABI
