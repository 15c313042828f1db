#include "plume/data/chats.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "temporary_folder.hpp"
#include "test_data.hpp"

using namespace plume;
using plume_test::TemporaryFolder;

namespace {

const Message hi{Role::user, "Hi"}, hello{Role::assistant, "Hello!"}, brief{Role::system, "Be brief."};

ChatFile read(const std::string& name, const std::string& content, const ReadChatsOptions& options = {}) {
  const TemporaryFolder folder;
  return read_chats(folder.write(name, content), options);
}

struct Wrong {
  std::optional<std::uint64_t> line;
  std::string field, reason;  // reason: a part of it
};

// Reading throws exactly Error at this place.
template <class Error>
void refused(const std::string& name, const std::string& content, const Wrong& wrong, const ReadChatsOptions& options = {}) {
  const TemporaryFolder folder;
  const std::string path = folder.write(name, content);
  INFO(content.substr(0, 100));
  try {
    read_chats(path, options);
    FAIL_CHECK("not refused: ", wrong.reason);
  } catch (const Error& error) {
    INFO(std::string(error.what()));
    CHECK(error.where().path == path);
    CHECK(error.where().line == wrong.line);
    CHECK(error.where().field == wrong.field);
    CHECK(error.reason().find(wrong.reason) != std::string::npos);
  } catch (const plume::Error& error) {
    FAIL_CHECK("another type of error: ", std::string(error.what()));
  }
}

}  // namespace

TEST_CASE("alpaca: instruction, input, output, system and history") {
  const ChatFile file = read("a.jsonl",
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
  const ChatFile file = read("a.json", R"([
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
  const ChatFile file = read(
      "a.jsonl",
      R"({"messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}, {"role": "assistant", "content": "Hello!", "tool_calls": null}], "tools": []})");
  CHECK(file.schema == ChatSchema::messages);
  REQUIRE(file.chats.size() == 1);
  CHECK(file.chats[0].messages == std::vector{brief, hi, hello});
  CHECK(read("b.jsonl", dump(to_json(file.chats[0]))).chats == file.chats);
  CHECK(read("b.json", dump(to_json({{{Role::user, "Add.", "2 3"}}}), 2)).chats[0].messages[0].content == "Add.\n2 3");
}

TEST_CASE("text: whole, or cut at the mark before the answer; .txt by documents") {
  const std::string rows = "{\"text\": \"Q: A: 1\\nA: one\"}\n{\"text\": \"Q: x\\nA: \"}\n";
  ChatFile file = read("a.jsonl", rows);
  CHECK(file.schema == ChatSchema::text);
  CHECK(file.chats[0].messages == std::vector<Message>{{Role::assistant, "Q: A: 1\nA: one"}});
  file = read("a.jsonl", rows, {.answer_marker = "\nA: "});
  CHECK(file.chats[0].messages == std::vector<Message>{{Role::user, "Q: A: 1\nA: "}, {Role::assistant, "one"}});
  CHECK(file.chats[1].messages == std::vector<Message>{{Role::user, "Q: x\nA: "}, {Role::assistant, ""}});
  refused<ConfigError>("a.jsonl", rows + "\n{\"text\": \"no mark\"}", {4, "text", "does not hold the mark \"\\x0aA: \""},
                       {.answer_marker = "\nA: "});
  file = read("a.txt", "\xef\xbb\xbfone\ntwo\n\n<|endoftext|>\r\nthree <|endoftext|>\n<|endoftext|>\n<|endoftext|>\nfour");
  REQUIRE(file.chats.size() == 3);
  CHECK(file.chats[0].messages[0].content == "one\ntwo");
  CHECK(file.chats[1].messages[0].content == "three <|endoftext|>");
  CHECK(file.chats[2].messages[0].content == "four");
}

TEST_CASE("byte-order mark, CRLF and blank lines are no obstacle; blank lines are counted") {
  const ChatFile file = read("a.jsonl", "\xef\xbb\xbf{\"text\": \"a\"}\r\n\r\n  \n{\"text\": \"b\"}");
  CHECK(file.chats.size() == 2);
  CHECK(file.blank_lines == 2);
  CHECK(read("a.json", "\xef\xbb\xbf [{\"text\": \"a\"}]\r\n").chats.size() == 1);
}

TEST_CASE("a schema may be forced, and is known by name") {
  const std::string both = R"({"text": "t", "instruction": "Hi", "output": "Hello!"})";
  CHECK(read("a.jsonl", both).schema == ChatSchema::alpaca);
  CHECK(read("a.jsonl", both, {.schema = ChatSchema::text}).chats[0].messages[0].content == "t");
  CHECK(read("notes.md", "# a", {.schema = ChatSchema::text}).chats.size() == 1);
  for (const ChatSchema schema : {ChatSchema::detect, ChatSchema::alpaca, ChatSchema::sharegpt, ChatSchema::messages, ChatSchema::text})
    CHECK(chat_schema(name_of(schema)) == schema);
  CHECK_THROWS_WITH_AS(chat_schema("csv"), doctest::Contains("known: auto, alpaca"), ArgumentError);
  refused<ConfigError>("a.jsonl", both, {1, "messages", "missing"}, {.schema = ChatSchema::messages});
  refused<ConfigError>("a.txt", both, {{}, "", "plain text"}, {.schema = ChatSchema::messages});
}

TEST_CASE("malformed files: type, path, line, field, reason") {
  const std::string good = R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]})";
  const auto line = [&](const std::string& bad) { return good + "\n\n" + bad + "\n"; };
  const auto message = [&](const std::string& list) { return line("{\"messages\": [" + list + "]}"); };
  refused<ConfigError>("a.jsonl", "", {{}, "", "no chats"});
  refused<ConfigError>("a.jsonl", "\n \n", {{}, "", "no chats"});
  refused<ConfigError>("a.json", "[]", {{}, "", "no chats"});
  refused<ConfigError>("a.csv", good, {{}, "", "name it .jsonl"});
  refused<FormatError>("a.jsonl", line(good.substr(0, 40)), {3, "messages[0].content", "expected"});
  refused<FormatError>("a.jsonl", line(good + good), {3, "", "more text after"});
  refused<FormatError>("a.jsonl", line("{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}"),
                       {3, "messages[0].content", "UTF-8"});
  refused<FormatError>("a.jsonl", line(R"({"messages": [], "messages": []})"), {3, "messages", "duplicate key"});
  refused<FormatError>("a.jsonl", line(R"({"text": NaN})"), {3, "text", "expected"});
  refused<FormatError>("a.jsonl", line(R"({"text": "\ud800"})"), {3, "text", "surrogate"});
  refused<FormatError>("a.jsonl", line(std::string("{\"text\": \"\0\"}", 13)), {3, "text", ""});
  refused<ConfigError>("a.jsonl", line("[1]"), {3, "", "expected an object, found an array"});
  refused<ConfigError>("a.jsonl", line("null"), {3, "", "found null"});
  refused<ConfigError>("a.jsonl", R"({"prompt": "x"})", {1, "", "none of the keys"});
  refused<ConfigError>("a.jsonl", line("{}"), {3, "messages", "missing"});
  refused<ConfigError>("a.jsonl", message(R"({"role": "sytem", "content": "x"})"),
                       {3, "messages[0].role", "unknown role \"sytem\" (known: system"});
  refused<ConfigError>("a.jsonl", message(R"({"role": "user"})"), {3, "messages[0].content", "missing"});
  refused<ConfigError>("a.jsonl", message(R"({"role": "user", "content": null})"),
                       {3, "messages[0].content", "expected a text, found null"});
  refused<ConfigError>("a.jsonl", message(R"({"role": "user", "content": [{"type": "image_url"}]})"),
                       {3, "messages[0].content[0].type", "\"image_url\""});
  refused<ConfigError>("a.jsonl", message(""), {3, "messages", "no message of a user"});
  refused<ConfigError>("a.jsonl", message(R"({"role": "system", "content": "x"})"), {3, "messages", "no message of a user"});
  const std::string user = R"({"role": "user", "content": "x"})", assistant = R"({"role": "assistant", "content": "x"})",
                    system = R"({"role": "system", "content": "x"})";
  refused<ConfigError>("a.jsonl", message(user + "," + user), {3, "messages[1].role", "\"user\" follows user"});
  refused<ConfigError>("a.jsonl", message(assistant + "," + user), {3, "messages[0].role", "\"assistant\" comes first"});
  refused<ConfigError>("a.jsonl", message(user + "," + system), {3, "messages[1].role", "\"system\" follows user"});
  refused<ConfigError>("a.jsonl", message(user + "," + R"({"role": "assistant", "content": null, "tool_calls": [{}]})"),
                       {3, "messages[1].tool_calls", "not supported"});
  refused<ConfigError>("a.jsonl", R"({"instruction": 3, "output": "x"})", {1, "instruction", "expected a text, found an integer 3"});
  refused<ConfigError>("a.jsonl", R"({"instruction": "x"})", {1, "output", "missing"});
  refused<ConfigError>("a.jsonl", R"({"instruction": "x", "output": "y", "history": [["q"]]})", {1, "history[0]", "1 elements"});
  refused<ConfigError>("a.json", "[{\"text\": \"a\"},\n {\"text\": 1}]", {2, "[1].text", "expected a text"});
  refused<ConfigError>("a.json", "3", {1, "", "expected an object"});
  refused<FormatError>("a.json", "[{\"text\": \"a\"},\n", {2, "[1]", "the text ends"});
  refused<FormatError>("a.txt", "abc\nd\xff", {{}, "", "UTF-8"});
}

TEST_CASE("limits: a long line, a deep line, a long file") {
  Limits small;
  small.max_json_bytes = 40;
  refused<LimitError>("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"" + std::string(40, 'x') + "\"}", {2, "", "max_json_bytes"},
                      {.limits = small});
  std::string deep = "{\"text\": \"a\"}\n{\"text\": ";
  refused<LimitError>("a.jsonl", deep + std::string(10000, '['),
                      {2,
                       "text" +
                           [] {
                             std::string s;
                             for (int i = 0; i < 63; ++i) s += "[0]";
                             return s;
                           }(),
                       "max_json_depth"});
  small = {};
  small.max_text_bytes = 10;
  refused<LimitError>("a.json", "[{\"text\": \"a\"}]", {{}, "", ""}, {.limits = small});
  refused<LimitError>("a.txt", "hello world", {{}, "", "max_text_bytes"}, {.limits = small});
}

TEST_CASE("bad rows may be left out up to a number, and are told") {
  const std::string rows = "{\"text\": \"a\"}\n{\"text\": 1}\n{\"text\": \"b\"}\n{\n";
  ChatFile file = read("a.jsonl", rows, {.max_bad_rows = 2});
  CHECK(file.chats.size() == 2);
  CHECK(file.bad_rows == 2);
  REQUIRE(file.bad.size() == 2);
  CHECK(file.bad[0].find("a.jsonl:2:10: text: expected a text, found an integer 1") != std::string::npos);
  CHECK(file.bad[1].find("a.jsonl:4:") != std::string::npos);
  refused<FormatError>("a.jsonl", rows, {4, "", "expected"}, {.max_bad_rows = 1});
  file = read("a.json", R"([{"text": "a"}, 3, {"text": "b"}])", {.max_bad_rows = 1});
  CHECK(file.chats.size() == 2);
  CHECK(file.bad_rows == 1);
}

TEST_CASE("what is no regular file, and a stop") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(read_chats(folder.path()), IoError);
  CHECK_THROWS_AS(read_chats(folder / "absent.jsonl"), IoError);
  REQUIRE(::mkfifo((folder / "fifo.jsonl").c_str(), 0600) == 0);
  CHECK_THROWS_AS(read_chats(folder / "fifo.jsonl"), IoError);
  const StopSource source;
  source.request();
  CHECK_THROWS_AS(read("a.jsonl", "{\"text\": \"a\"}", {.stop = source.token()}), Cancelled);
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
