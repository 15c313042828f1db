// Section J of the catalogue: files of chats.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "chat_files.hpp"
#include "plume/data/chat_dataset.hpp"
#include "plume/tokenizer/characters.hpp"

using namespace plume;
using plume_test::read_chat_text;
using plume_test::refused_chats;

namespace {

const std::string good = R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]})";
const std::string user = R"({"role": "user", "content": "x"})", assistant = R"({"role": "assistant", "content": "x"})",
                  system_message = R"({"role": "system", "content": "x"})";

// The bad row is line 3.
template <class Error>
void refused_line(const std::string& bad, const std::string& field, const std::string& reason, const Limits& limits = {}) {
  refused_chats<Error>("a.jsonl", good + "\n\n" + bad + "\n", {3, field, reason}, {.limits = limits});
}
template <class Error>
void refused_messages(const std::string& list, const std::string& field, const std::string& reason) {
  refused_line<Error>("{\"messages\": [" + list + "]}", field, reason);
}

ChatDataset dataset(const std::vector<Chat>& chats, LongChats policy) {
  return {chats, ChatEncoder(byte_tokenizer(), chat_template("plain")), {.sequence = 20, .long_chats = policy}};
}

}  // namespace

TEST_CASE("J1 an empty file") {
  refused_chats<ConfigError>("a.jsonl", "", {{}, "", "holds no chats"});
  refused_chats<ConfigError>("a.jsonl", "\n \n", {{}, "", "holds no chats"});
  refused_chats<ConfigError>("a.txt", "\n", {{}, "", "holds no chats"});
  refused_chats<ConfigError>("a.json", "[]", {{}, "", "holds no chats"});
  refused_chats<FormatError>("a.json", "", {1, "", "the text ends"});
}

TEST_CASE("J2 blank lines are skipped and counted") {
  const ChatFile file = read_chat_text("a.jsonl", "\n" + good + "\n \t\n" + good);
  CHECK(file.chats.size() == 2);
  CHECK(file.blank_lines == 2);
}

TEST_CASE("J3 a cut last line") {
  for (std::size_t size = 1; size < good.size(); ++size)
    CHECK_THROWS_AS(read_chat_text("a.jsonl", good + "\n" + good.substr(0, size)), FormatError);
  refused_line<FormatError>(good.substr(0, 40), "messages[0].content", "expected");
  refused_chats<FormatError>("a.json", "[" + good + ",\n", {2, "[1]", "the text ends"});
}

TEST_CASE("J4 invalid UTF-8") {
  refused_messages<FormatError>("{\"role\": \"user\", \"content\": \"\xff\"}", "messages[0].content", "UTF-8");
  refused_chats<FormatError>("a.txt", "abc\nd\xff", {{}, "", "UTF-8"});
}

TEST_CASE("J5 a byte-order mark and CRLF are fine") {
  CHECK(read_chat_text("a.jsonl", "\xef\xbb\xbf" + good + "\r\n" + good + "\r\n").chats.size() == 2);
  CHECK(read_chat_text("a.json", "\xef\xbb\xbf[" + good + "]\r\n").chats.size() == 1);
}

TEST_CASE("J6 a line that is no object") {
  refused_line<ConfigError>("[1]", "", "expected an object, found an array");
  refused_line<ConfigError>("3", "", "expected an object, found an integer 3");
  refused_line<ConfigError>("null", "", "found null");
  refused_chats<ConfigError>("a.json", "3", {1, "", "expected an object"});
}

TEST_CASE("J7 keys missing or of the wrong type") {
  refused_chats<ConfigError>("a.jsonl", R"({"prompt": "x"})", {1, "", "none of the keys"});
  refused_chats<ConfigError>("a.csv", good, {{}, "", "name it .jsonl"});
  refused_line<ConfigError>("{}", "messages", "missing");
  refused_messages<ConfigError>(R"({"role": "user"})", "messages[0].content", "missing");
  refused_messages<ConfigError>(R"({"content": "x"})", "messages[0].role", "missing");
  refused_messages<ConfigError>(R"({"role": "user", "content": null})", "messages[0].content", "expected a text, found null");
  refused_messages<ConfigError>(R"({"role": "user", "content": [{"type": "image_url"}]})", "messages[0].content[0].type", "\"image_url\"");
  refused_messages<ConfigError>(user + R"(, {"role": "assistant", "content": null, "tool_calls": [{}]})", "messages[1].tool_calls",
                                "not supported");
  refused_chats<ConfigError>("a.jsonl", R"({"instruction": 3, "output": "x"})", {1, "instruction", "expected a text, found an integer 3"});
  refused_chats<ConfigError>("a.jsonl", R"({"instruction": "x"})", {1, "output", "missing"});
  refused_chats<ConfigError>("a.jsonl", R"({"instruction": "x", "output": "y", "history": [["q"]]})", {1, "history[0]", "1 elements"});
  refused_chats<ConfigError>("a.jsonl", R"({"conversations": [{"from": "human"}]})", {1, "conversations[0].value", "missing"});
  refused_chats<ConfigError>("a.json", "[{\"text\": \"a\"},\n {\"text\": 1}]", {2, "[1].text", "expected a text"});
}

TEST_CASE("J8 a line, a document or a text beyond its limit") {
  Limits limits;
  limits.max_json_bytes = 100;
  refused_line<LimitError>("{\"text\": \"" + std::string(100, 'x') + "\"}", "", "max_json_bytes = 100", limits);
  limits = {};
  limits.max_text_bytes = 10;
  refused_chats<LimitError>("a.json", "[" + good + "]", {{}, "", "max_text_bytes = 10"}, {.limits = limits});
  refused_chats<LimitError>("a.txt", "hello world", {{}, "", "max_text_bytes = 10"}, {.limits = limits});
  CHECK(read_chat_text("a.jsonl", good, {.limits = limits}).chats.size() == 1);  // line by line
}

TEST_CASE("J9 nesting 10,000 deep") {
  std::string field = "messages";
  for (int i = 0; i < 63; ++i) field += "[0]";
  refused_line<LimitError>("{\"messages\": " + std::string(10000, '['), field, "max_json_depth");
}

TEST_CASE("J10 a duplicate key") { refused_line<FormatError>(R"({"messages": [], "messages": []})", "messages", "duplicate key"); }

TEST_CASE("J11 NaN, Infinity, 1e999") {
  for (const std::string number : {"NaN", "Infinity", "-Infinity", "1e999"})
    CHECK_THROWS_AS(read_chat_text("a.jsonl", "{\"text\": \"a\", \"score\": " + number + "}"), FormatError);
  refused_line<FormatError>(R"({"score": NaN})", "score", "expected");
}

TEST_CASE("J12 lone surrogates and raw NUL bytes") {
  refused_messages<FormatError>(R"({"role": "user", "content": "\ud800"})", "messages[0].content", "surrogate");
  refused_line<FormatError>(std::string("{\"text\": \"\0\"}", 13), "text", "");
}

TEST_CASE("J13 two objects on a line") { refused_line<FormatError>(good + good, "", "more text after"); }

TEST_CASE("J14 empty conversations, unknown roles, roles out of turn") {
  refused_messages<ConfigError>("", "messages", "no message of a user");
  refused_messages<ConfigError>(system_message, "messages", "no message of a user");
  refused_messages<ConfigError>(R"({"role": "sytem", "content": "x"})", "messages[0].role", "unknown role \"sytem\" (known: system");
  refused_messages<ConfigError>(user + "," + user, "messages[1].role", "\"user\" follows user");
  refused_messages<ConfigError>(user + "," + assistant + "," + assistant, "messages[2].role", "\"assistant\" follows assistant");
  refused_messages<ConfigError>(assistant + "," + user, "messages[0].role", "\"assistant\" comes first");
  refused_messages<ConfigError>(system_message + "," + assistant, "messages[1].role", "\"assistant\" follows system");
  refused_messages<ConfigError>(user + "," + system_message, "messages[1].role", "\"system\" follows user");
  refused_chats<ConfigError>("a.jsonl", R"({"conversations": [{"from": "gpt", "value": "x"}]})",
                             {1, "conversations", "no message of a user"});
}

TEST_CASE("J15 chats longer than a row: cut, left out or refused, and counted") {
  const std::vector<Chat> chats{{{{Role::user, "q"}, {Role::assistant, "a long answer"}}}};
  CHECK(dataset(chats, LongChats::truncate).statistics().truncated_chats == 1);
  CHECK(dataset(chats, LongChats::drop).statistics().dropped_chats == 1);
  CHECK_THROWS_AS(dataset(chats, LongChats::refuse), ArgumentError);
}

TEST_CASE("J16 chats without a trained token: left out and counted; none left is an error") {
  const ChatDataset data =
      dataset({{{{Role::user, "q"}}}, {{{Role::user, "longer than a row"}, {Role::assistant, "a"}}}}, LongChats::truncate);
  CHECK(data.statistics().untrained_chats == 2);
  CHECK_THROWS_WITH_AS(PackedChats(ChatDataset(data)), doctest::Contains("no chat is left"), ArgumentError);
}

TEST_CASE("J17 special-token text in a message is text") {
  const ChatFile file = read_chat_text("a.jsonl", R"({"text": "<|endoftext|></s><|im_end|>\u0000"})");
  CHECK(file.chats[0].messages[0].content == std::string("<|endoftext|></s><|im_end|>\0", 28));
}

TEST_CASE("J18 a directory, a FIFO, no file, and a stop on the way") {
  const plume_test::TemporaryFolder folder;
  CHECK_THROWS_AS(read_chats(folder.path()), IoError);
  CHECK_THROWS_AS(read_chats(folder / "absent.jsonl"), IoError);
  REQUIRE(::mkfifo((folder / "fifo.jsonl").c_str(), 0600) == 0);
  CHECK_THROWS_AS(read_chats(folder / "fifo.jsonl"), IoError);
  const StopSource source;
  source.request();
  CHECK_THROWS_AS(read_chat_text("a.jsonl", good, {.stop = source.token()}), Cancelled);
}

TEST_CASE("any changed byte gives chats or an error that says why") {
  const std::string valid =
      good + "\n" +
      R"({"messages": [{"role": "system", "content": [{"type": "text", "text": "\u00e9"}]}, {"role": "user", "content": "x"}]})";
  int read = 0;
  for (std::size_t at = 0; at < valid.size(); ++at)
    for (const unsigned change : {0x01u, 0x80u, 0xffu}) {
      std::string bytes = valid;
      bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ change);
      try {
        read += read_chat_text("a.jsonl", bytes).chats.empty() ? 0 : 1;
      } catch (const InputError& error) {
        CHECK(!error.reason().empty());
      }
    }
  CHECK(read > 0);
}
