#include "plume/data/chats.hpp"

#include "chat_files.hpp"
#include "test_data.hpp"

using namespace plume;
using plume_test::read_chat_text;
using plume_test::refused_chats;

namespace {

const Message hi{Role::user, "Hi"}, hello{Role::assistant, "Hello!"}, brief{Role::system, "Be brief."};

}  // namespace

TEST_CASE("alpaca: instruction, input, output, system and history") {
  const ChatFile file = read_chat_text("a.jsonl",
                                       R"({"instruction": "Hi", "output": "Hello!"}
{"instruction": "Add.", "input": "2 3", "output": "5", "extra": [1]}
{"instruction": "Hi", "input": "", "output": "Hello!", "system": "Be brief.", "history": [["a", "b"], ["c", "d"]]}
{"instruction": "Hi", "input": null, "output": "", "system": null, "history": null}
)");
  CHECK(file.schema == ChatSchema::alpaca);
  REQUIRE(file.chats.size() == 4);
  CHECK(file.chats[0].messages == std::vector{hi, hello});
  CHECK(file.chats[1].messages == std::vector<Message>{{Role::user, "Add.", "2 3"}, {Role::assistant, "5"}});
  CHECK(file.chats[2].messages ==
        std::vector<Message>{brief, {Role::user, "a"}, {Role::assistant, "b"}, {Role::user, "c"}, {Role::assistant, "d"}, hi, hello});
  CHECK(file.chats[3].messages == std::vector<Message>{hi, {Role::assistant, ""}});
}

TEST_CASE("sharegpt: roles by all their names, a leading answer is dropped and counted") {
  const ChatFile file = read_chat_text("a.json", R"([
{"id": "x", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]},
{"system": "Be brief.", "conversations": [{"from": "user", "value": "Hi"}, {"from": "chatgpt", "value": "Hello!"}]},
{"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hi"}, {"from": "bing", "value": "Hello!"}]},
{"conversations": [{"from": "gpt", "value": "Welcome"}, {"from": "human", "value": "Hi"}]}])");
  CHECK(file.schema == ChatSchema::sharegpt);
  REQUIRE(file.chats.size() == 4);
  CHECK(file.chats[0].messages == std::vector{hi, hello});
  CHECK(file.chats[1].messages == std::vector{brief, hi, hello});
  CHECK(file.chats[2].messages == std::vector{brief, hi, hello});
  CHECK(file.chats[3].messages == std::vector{hi});
  CHECK(file.dropped_messages == 1);
}

TEST_CASE("messages: OpenAI's roles, content as text or as parts; what to_json writes is read back") {
  const ChatFile file = read_chat_text(
      "a.jsonl",
      R"({"messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}, {"role": "assistant", "content": "Hello!", "tool_calls": null}], "tools": []})");
  CHECK(file.schema == ChatSchema::messages);
  REQUIRE(file.chats.size() == 1);
  CHECK(file.chats[0].messages == std::vector{brief, hi, hello});
  CHECK(read_chat_text("b.jsonl", dump(to_json(file.chats[0]))).chats == file.chats);
  CHECK(read_chat_text("b.json", dump(to_json({{{Role::user, "Add.", "2 3"}}}), 2)).chats[0].messages[0].content == "Add.\n2 3");
}

TEST_CASE("text: whole, or cut at the mark before the answer; .txt by documents") {
  const std::string rows = "{\"text\": \"Q: \\nA: 1\\nA: one\"}\n{\"text\": \"Q: x\\nA: \"}\n";
  ChatFile file = read_chat_text("a.jsonl", rows);
  CHECK(file.schema == ChatSchema::text);
  CHECK(file.chats[0].messages == std::vector<Message>{{Role::assistant, "Q: \nA: 1\nA: one"}});
  file = read_chat_text("a.jsonl", rows, {.answer_marker = "\nA: "});
  CHECK(file.chats[0].messages == std::vector<Message>{{Role::user, "Q: \nA: 1\nA: "}, {Role::assistant, "one"}});
  CHECK(file.chats[1].messages == std::vector<Message>{{Role::user, "Q: x\nA: "}, {Role::assistant, ""}});
  refused_chats<ConfigError>("a.jsonl", rows + "\n{\"text\": \"no mark\"}", {4, "text", "does not hold the mark \"\\x0aA: \""},
                             {.answer_marker = "\nA: "});
  file = read_chat_text("a.txt", "\xef\xbb\xbfone\ntwo\n\n<|endoftext|>\r\nthree <|endoftext|>\n<|endoftext|>\n<|endoftext|>\nfour");
  REQUIRE(file.chats.size() == 3);
  CHECK(file.chats[0].messages[0].content == "one\ntwo");
  CHECK(file.chats[1].messages[0].content == "three <|endoftext|>");
  CHECK(file.chats[2].messages[0].content == "four");
}

TEST_CASE("byte-order mark, CRLF and blank lines are no obstacle; blank lines are counted") {
  const ChatFile file = read_chat_text("a.jsonl", "\xef\xbb\xbf{\"text\": \"a\"}\r\n\r\n  \n{\"text\": \"b\"}");
  CHECK(file.chats.size() == 2);
  CHECK(file.blank_lines == 2);
  CHECK(read_chat_text("a.json", "\xef\xbb\xbf [{\"text\": \"a\"}]\r\n").chats.size() == 1);
}

TEST_CASE("a schema may be forced, and is known by name") {
  const std::string both = R"({"text": "t", "instruction": "Hi", "output": "Hello!"})";
  CHECK(read_chat_text("a.jsonl", both).schema == ChatSchema::alpaca);
  CHECK(read_chat_text("a.jsonl", both, {.schema = ChatSchema::text}).chats[0].messages[0].content == "t");
  CHECK(read_chat_text("notes.md", "# a", {.schema = ChatSchema::text}).chats.size() == 1);
  for (const ChatSchema schema : {ChatSchema::detect, ChatSchema::alpaca, ChatSchema::sharegpt, ChatSchema::messages, ChatSchema::text})
    CHECK(chat_schema(name_of(schema)) == schema);
  CHECK_THROWS_WITH_AS(chat_schema("csv"), doctest::Contains("known: auto, alpaca"), ArgumentError);
  refused_chats<ConfigError>("a.jsonl", both, {1, "messages", "missing"}, {.schema = ChatSchema::messages});
  refused_chats<ConfigError>("a.txt", both, {{}, "", "plain text"}, {.schema = ChatSchema::messages});
}

TEST_CASE("bad rows may be left out up to a number, and are told") {
  const std::string rows = "{\"text\": \"a\"}\n{\"text\": 1}\n{\"text\": \"b\"}\n{\n";
  ChatFile file = read_chat_text("a.jsonl", rows, {.max_bad_rows = 2});
  CHECK(file.chats.size() == 2);
  CHECK(file.bad_rows == 2);
  REQUIRE(file.bad.size() == 2);
  CHECK(file.bad[0].find("a.jsonl:2:10: text: expected a text, found an integer 1") != std::string::npos);
  CHECK(file.bad[1].find("a.jsonl:4:") != std::string::npos);
  refused_chats<FormatError>("a.jsonl", rows, {4, "", "expected"}, {.max_bad_rows = 1});
  file = read_chat_text("a.json", R"([{"text": "a"}, 3, {"text": "b"}])", {.max_bad_rows = 1});
  CHECK(file.chats.size() == 2);
  CHECK(file.bad_rows == 1);
}

TEST_CASE("split_chats keeps every chat once, the last part for validation") {
  std::vector<Chat> chats;
  for (int i = 0; i < 10; ++i) chats.push_back({{{Role::user, concat(i)}}});
  const auto [training, validation] = split_chats(chats, 0.3);
  REQUIRE(training.size() == 7);
  REQUIRE(validation.size() == 3);
  CHECK(training.back().messages[0].content == "6");
  CHECK(validation.front().messages[0].content == "7");
  CHECK(split_chats(chats, 0).second.empty());
  CHECK_THROWS_AS(split_chats(chats, 1), ArgumentError);
}

TEST_CASE("real files: FastChat's dialogues, WikiSQL, identity; tool calls are refused with their place") {
  if (const auto path = plume_test::test_data("sft/fastchat_dummy_conversation.json")) {
    const ChatFile file = read_chats(*path);
    CHECK(file.schema == ChatSchema::sharegpt);
    CHECK(file.chats.size() == 500);
    CHECK(file.chats[0].messages[1].content ==
          "I am Vicuna, a language model trained by researchers from Large Model Systems Organization (LMSYS).");
  }
  if (const auto path = plume_test::test_data("sft/wikisql/train.jsonl")) {
    const ChatFile file = read_chats(*path, {.answer_marker = "\nA: "});
    CHECK(file.schema == ChatSchema::text);
    CHECK(file.chats.size() == 1000);
    CHECK(file.chats[0].messages[1].content == "SELECT Notes FROM 1-1000181-1 WHERE Current slogan = 'SOUTH AUSTRALIA'");
  }
  if (const auto path = plume_test::test_data("sft/llamafactory/identity.json")) {
    const ChatFile file = read_chats(*path);
    CHECK(file.schema == ChatSchema::alpaca);
    CHECK(file.chats.size() == 91);
  }
  if (const auto path = plume_test::test_data("sft/llamafactory/glaive_toolcall_en_demo.json"))
    CHECK_THROWS_WITH_AS(read_chats(*path), doctest::Contains(":17:17: [0].conversations[3].from: unknown role \"function_call\""),
                         ConfigError);
  if (const auto path = plume_test::test_data("sft/self-instruct_seed_tasks.jsonl"))
    CHECK_THROWS_WITH_AS(read_chats(*path), doctest::Contains(":1:1: output: this key is missing"), ConfigError);
}
