#include "plume/data/parse_chat.hpp"

#include <doctest/doctest.h>

#include <map>

using namespace plume;

namespace {

const Message q{Role::user, "q"}, a{Role::assistant, "a"}, r{Role::user, "r"}, with_input{Role::user, "q", "in"}, s{Role::system, "S"};

std::string text_of(std::string_view name, const Chat& chat) { return spelled(render(chat, chat_template(name)), chat_template(name)); }
std::string prompt_of(std::string_view name, const Chat& chat) {
  return spelled(render_prompt(chat, chat_template(name)), chat_template(name));
}

}  // namespace

// The expected texts are those of the publications that chat_templates.hpp names.
TEST_CASE("the recipes' formats, byte by byte") {
  const Chat turns{{q, a, r}};
  const std::string human =
      "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers "
      "to "
      "the human's questions.";
  const std::string below = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n";
  const std::string paired =
      "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that "
      "appropriately completes the request.\n\n";
  const std::map<std::string_view, std::string> expected = {
      {"chatml",
       "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n"},
      {"llama2", "[INST] q [/INST] a </s>[INST] r [/INST]"},
      {"llama3",
       "<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>"
       "<|start_header_id|>user<|end_header_id|>\n\nr<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
      {"mistral", " [INST] q [/INST] a</s> [INST] r [/INST]"},
      {"gemma",
       "<start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\na<end_of_turn>\n<start_of_turn>user\nr<end_of_turn>\n<start_of_turn>"
       "model\n"},
      {"phi3", "<|user|>\nq<|end|>\n<|assistant|>\na<|end|>\n<|user|>\nr<|end|>\n<|assistant|>\n"},
      {"zephyr", "<|user|>\nq</s>\n<|assistant|>\na</s>\n<|user|>\nr</s>\n<|assistant|>\n"},
      {"vicuna",
       "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers "
       "to "
       "the user's questions. USER: q ASSISTANT: a</s>USER: r ASSISTANT:"},
      {"vicuna_v0", human + "###Human: q###Assistant: a###Human: r###Assistant:"},
      {"koala", "BEGINNING OF CONVERSATION: USER: q GPT:a</s>USER: r GPT:"},
      {"phoenix", human + "\n\nHuman: <s>q</s>Assistant: <s>a</s>Human: <s>r</s>Assistant: <s>"},
      {"belle", "Human: \nq\n\nAssistant: \na</s>Human: \nr\n\nAssistant: \n"},
      {"firefly", "User: q\nAssistant: a </s>User: r\nAssistant: "},
      {"dolly", below + "### Instruction:\nq\n\n### Response:\na\n\n### End\n\n### Instruction:\nr\n\n### Response:\n"},
      {"baize", "The conversation between human and AI assistant.\n[|Human|] q\n[|AI|] a\n[|Human|] r\n[|AI|]"},
      {"moss", "<|Human|>: q<eoh>\n<|MOSS|>: a<eom>\n<|Human|>: r<eoh>\n<|MOSS|>:"},
      {"chatdoctor",
       "If you are a doctor, please answer the medical questions based on the patient's description. \n\nChatDoctor: I am ChatDoctor, what "
       "medical questions do you have?\n\nPatient: q\n\nChatDoctor: a</s>\n\nPatient: r\n\nChatDoctor: "},
      {"medalpaca",
       paired + "### Instruction:\nq\n\n### Input:\n\n\n### Response:\na</s>\n\n### Instruction:\nr\n\n### Input:\n\n\n### Response:\n"},
      {"chatglm", "[Round 0]\n\u95ee\uff1aq\n\u7b54\uff1aa\n[Round 1]\n\u95ee\uff1ar\n\u7b54\uff1a[gMASK]<sop>"},
      {"chatglm2", "[gMASK]sop[Round 1]\n\n\u95ee\uff1aq\n\n\u7b54\uff1aa\n\n[Round 2]\n\n\u95ee\uff1ar\n\n\u7b54\uff1a"},
      {"guanaco", paired + "### Instruction:\nUser: q\nAssistant: a\n### Input:\nUser: r\n### Response:\n"},
      {"alpaca", below + "### Instruction:\nq\n\n### Response:a</s>\n\n### Instruction:\nr\n\n### Response:"},
  };
  for (const ChatTemplate& entry : chat_templates) {
    INFO(std::string(entry.name));
    const auto found = expected.find(entry.name);
    CHECK((found != expected.end()) == (entry.name != "text" && entry.name != "plain"));
    if (found != expected.end()) CHECK(prompt_of(entry.name, turns) == found->second);
  }
  const Chat input{{with_input}};
  CHECK(prompt_of("alpaca", input) == paired + "### Instruction:\nq\n\n### Input:\nin\n\n### Response:");
  CHECK(prompt_of("dolly", input) == below + "### Instruction:\nq\n\nInput:\nin\n\n### Response:\n");
  CHECK(prompt_of("medalpaca", input) == paired + "### Instruction:\nq\n\n### Input:\nin\n\n### Response:\n");
  CHECK(prompt_of("koala", input) == "BEGINNING OF CONVERSATION: USER: q\nin GPT:");
  CHECK(prompt_of("chatglm", {{q}}) == "q[gMASK]<sop>");
  CHECK(text_of("chatglm", {{q, a}}) == "q[gMASK]<sop>a<eop>");
  CHECK(prompt_of("chatglm2", {{q}}) == "[gMASK]sop[Round 1]\n\n\u95ee\uff1aq\n\n\u7b54\uff1a");
  CHECK(text_of("guanaco", {{s, q, a, r, a}}) ==
        paired + "### Instruction:\nUser: q\nAssistant: a\n### Input:\nSystem: S\nUser: r\n### Response:\na</s>");
  const Chat system{{s, q}};
  CHECK(prompt_of("firefly", system) == "System: S\n\nUser: q\nAssistant: ");
  CHECK(prompt_of("mistral", system) == " [INST] S\n\nq [/INST]");
  CHECK(prompt_of("gemma", system) == "<start_of_turn>user\nS\n\nq<end_of_turn>\n<start_of_turn>model\n");
  CHECK(prompt_of("baize", system) == "S\n[|Human|] q\n[|AI|]");
  CHECK(prompt_of("zephyr", system) == "<|system|>\nS</s>\n<|user|>\nq</s>\n<|assistant|>\n");
  CHECK(prompt_of("llama2", system) == "[INST] <<SYS>>\nS\n<</SYS>>\n\nq [/INST]");
}

TEST_CASE("a rendered chat is read back") {
  const std::vector<Chat> chats = {
      {{q}},
      {{q, a}},
      {{q, a, r}},
      {{s, q, a, r, a}},
      {{{Role::user, "Was heißt 你好?\nZeile"}, {Role::assistant, "Hello 🙂 & <b>"}, {Role::user, "\"1 + 1\" = {}"}}}};
  for (const ChatTemplate& entry : chat_templates) {
    if (entry.name == "text") continue;
    const bool marked = entry.system_place == SystemPlace::first || !entry.around_system.before.empty();
    for (const Chat& chat : chats) {
      INFO(std::string(entry.name));
      const std::string text = text_of(entry.name, chat);
      INFO(text);
      // A chat that ends with a question is a prompt only with what opens the answer.
      const bool asks = chat.messages.back().role == Role::user;
      const std::string whole = asks ? prompt_of(entry.name, chat) : text;
      const auto again = parse_chat(whole, entry);
      REQUIRE(again);
      if (marked || chat.messages[0].role != Role::system) CHECK(*again == chat);
      CHECK((asks ? prompt_of(entry.name, *again) : text_of(entry.name, *again)) == whole);
    }
  }
  for (const char* name : {"alpaca", "dolly", "medalpaca"}) {
    const Chat chat{{with_input, a, r}};
    CHECK(parse_chat(prompt_of(name, chat), chat_template(name)) == chat);
  }
}

TEST_CASE("a text of another form is no chat") {
  for (const char* name : {"chatml", "llama2", "koala", "dolly", "moss"})
    for (const char* text : {"hello", "<|im_start|>user\nq", "USER: q", "[INST] q", "### Instruction:\nq"})
      CHECK(!parse_chat(text, chat_template(name)));
  CHECK(!parse_chat("q", chat_template("text")));
}
