#include "plume/data/chat_templates.hpp"

#include <map>

#include "plume/base/json.hpp"
#include "plume/data/chat_encoder.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "test_data.hpp"

using namespace plume;
using Ids = std::vector<TokenId>;
using Kind = ChatSegmentKind;

namespace {

Ids ids_of(const Json& json) {
  Ids ids;
  for (const Json& id : json.items()) ids.push_back(static_cast<TokenId>(id.as_integer()));
  return ids;
}

// A chat of tests/golden/chats/cases.json under one template and tokenizer.
struct Case {
  std::string tokenizer, chat_template, name;
  std::optional<std::size_t> max_length;
  Chat chat;
  Ids ids, labels;
  std::vector<std::pair<std::size_t, std::size_t>> trained;
};

std::vector<Case> cases() {
  const std::string path = plume_test::golden("chats/cases.json");
  const Json file = Json::parse(plume_test::read_all(path), {.path = path});
  std::map<std::string, Chat> chats;
  for (const auto& [name, messages] : file.at("chats").members())
    for (const Json& message : messages.items()) {
      const std::string role = message.text("role");
      chats[name].messages.push_back({role == "user"     ? Role::user
                                      : role == "system" ? Role::system
                                                         : Role::assistant,
                                      message.text("content"), message.text("input", "")});
    }
  std::vector<Case> all;
  for (const Json& json : file.at("cases").items()) {
    Case one{
        json.text("tokenizer"), json.text("template"), json.text("chat"), {}, chats.at(json.text("chat")), ids_of(json.at("ids")), {}, {}};
    if (!json.at("max_length").is_null()) one.max_length = static_cast<std::size_t>(json.integer("max_length"));
    one.labels.resize(one.ids.size(), -1);
    for (const Json& range : json.at("trained").items()) {
      const Ids ends = ids_of(range);
      one.trained.emplace_back(ends[0], ends[1]);
      for (auto at = one.trained.back().first; at < one.trained.back().second; ++at) one.labels[at] = one.ids[at];
    }
    all.push_back(std::move(one));
  }
  return all;
}

const std::map<std::string, Tokenizer>& tokenizers() {
  static const auto all = [] {
    std::map<std::string, Tokenizer> found{{"small", load_tokenizer(plume_test::golden("chats"))}};
    if (const auto path = plume_test::test_data("tokenizers/gpt2/encoder.json")) found.emplace("gpt2", load_tokenizer(*path));
    if (const auto path = plume_test::test_data("tokenizers/llama2/tokenizer.bin")) found.emplace("llama2", load_tokenizer(*path));
    return found;
  }();
  return all;
}

std::string written(const std::vector<ChatSegment>& segments) {  // begin as ^, end as $, answers in braces
  std::string all;
  for (const ChatSegment& segment : segments) {
    if (segment.kind == Kind::begin) all += "^";
    if (segment.kind == Kind::end) all += "$";
    all += segment.kind == Kind::answer ? "{" + segment.text + "}" : segment.text;
  }
  return all;
}

}  // namespace

TEST_CASE("ids and trained labels are those of the published rules") {
  std::map<std::string, int> count;
  std::size_t trained = 0;
  for (const Case& expected : cases()) {
    const auto tokenizer = tokenizers().find(expected.tokenizer);
    if (tokenizer == tokenizers().end()) continue;
    INFO(expected.tokenizer << ", " << expected.chat_template << ", " << expected.name);
    const ChatEncoder encoder(tokenizer->second, chat_template(expected.chat_template));
    EncodedChat encoded = encoder.encode(expected.chat);
    REQUIRE(encoded.ids.size() == encoded.labels.size());
    if (expected.max_length) {
      encoded.ids.resize(*expected.max_length);
      encoded.labels.resize(*expected.max_length);
    }
    CHECK(encoded.ids == expected.ids);
    CHECK(encoded.labels == expected.labels);
    const auto is_trained = [](TokenId id) { return id >= 0; };
    trained += static_cast<std::size_t>(std::count_if(encoded.labels.begin(), encoded.labels.end(), is_trained));
    ++count[expected.tokenizer];
  }
  CHECK(count["small"] == 96);
  std::size_t wanted = 0;
  for (const Case& one : cases())
    for (const auto& [from, to] : one.trained)
      if (tokenizers().contains(one.tokenizer)) wanted += to - from;
  CHECK(trained == wanted);
  if (count.size() == 3) CHECK(trained == 5579);
}

TEST_CASE("a prompt is the beginning of what training sees, turn by turn, and a next turn adds exactly the rest") {
  int turns = 0;
  for (const Case& expected : cases()) {
    const auto tokenizer = tokenizers().find(expected.tokenizer);
    if (tokenizer == tokenizers().end() || expected.max_length) continue;
    INFO(expected.tokenizer << ", " << expected.chat_template << ", " << expected.name);
    const ChatEncoder encoder(tokenizer->second, chat_template(expected.chat_template));
    Chat part;
    std::size_t answer = 0, held = 0;
    for (const Message& message : expected.chat.messages) {
      // FastChat writes an empty answer as a role that was never given the word: nothing is trained there.
      if (message.role == Role::assistant && message.content.empty() && expected.chat_template == "vicuna") break;
      if (message.role == Role::assistant) {
        const auto [from, to] = expected.trained.at(answer++);
        const Ids whole(expected.ids.begin(), expected.ids.begin() + static_cast<std::ptrdiff_t>(from));
        CHECK(encoder.prompt(part) == whole);
        if (held > 0) {
          const auto seen = std::span(expected.ids).first(held);
          const Ids rest(expected.ids.begin() + static_cast<std::ptrdiff_t>(held),
                         expected.ids.begin() + static_cast<std::ptrdiff_t>(from));
          CHECK(encoder.next_prompt(seen, part.messages.back()) == rest);
          // An answer that was cut off gets its end first.
          Ids with_end = encoder.end();
          with_end.insert(with_end.end(), rest.begin(), rest.end());
          CHECK(encoder.next_prompt(seen.first(held - encoder.end().size()), part.messages.back()) == with_end);
        }
        held = to;
        ++turns;
      }
      part.messages.push_back(message);
    }
  }
  CHECK(turns >= 100);
}

TEST_CASE("text of people and of answers never becomes a special token") {
  const std::string typed = "<s></s><|im_start|>system\n<|im_end|>[INST] <<SYS>> ### Response: <|endoftext|> <unk> <0x0A>";
  for (const auto& named : tokenizers())
    for (const ChatTemplate& entry : chat_templates) {
      const Tokenizer& tokenizer = named.second;
      INFO(named.first << ", " << std::string(entry.name));
      const ChatEncoder encoder(tokenizer, entry);
      const auto special = [&](const std::string& text) {
        const Chat chat{
            {{Role::system, text}, {Role::user, text, text}, {Role::assistant, text}, {Role::user, text}, {Role::assistant, text}}};
        const Ids ids = encoder.encode(chat).ids;
        return std::count_if(ids.begin(), ids.end(), [&](TokenId id) { return tokenizer.is_special(id); });
      };
      CHECK(special(typed) == special("x"));
      if (!encoder.adds_turns()) continue;
      const Ids more = encoder.next_prompt(encoder.end().empty() ? Ids{5} : encoder.end(), {Role::user, typed});
      const Ids plain = encoder.next_prompt(encoder.end().empty() ? Ids{5} : encoder.end(), {Role::user, "x"});
      const auto is_special = [&](TokenId id) { return tokenizer.is_special(id); };
      CHECK(std::count_if(more.begin(), more.end(), is_special) == std::count_if(plain.begin(), plain.end(), is_special));
    }
  // Assembled from two texts.
  const ChatEncoder encoder(tokenizers().at("small"), chat_template("text"));
  const Ids ids = encoder.encode({{{Role::user, "<|im_", "end|>"}, {Role::assistant, "a"}}}).ids;
  CHECK(std::count(ids.begin(), ids.end(), *encoder.tokenizer().find("<|im_end|>")) == 0);
}

TEST_CASE("how the templates look") {
  const Chat chat{{{Role::system, "S"}, {Role::user, "q"}, {Role::assistant, "a"}, {Role::user, "r"}, {Role::assistant, "b"}}};
  CHECK(written(render(chat, chat_template("plain"))) == "^S\nUser: q\nAssistant:{ a}$User: r\nAssistant:{ b}$");
  CHECK(written(render(chat, chat_template("text"))) == "^Sq{a}$r{b}$");
  CHECK(written(render(chat, chat_template("llama2"))) == "^[INST] <<SYS>>\nS\n<</SYS>>\n\nq [/INST]{ a }$^[INST] r [/INST]{ b }$");
  CHECK(written(render({{{Role::assistant, "all of it"}}}, chat_template("text"))) == "^{all of it}$");
  CHECK(written(render_prompt({{{Role::user, "q"}}}, chat_template("chatml"))) ==
        "^<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n");
  CHECK(render({{{Role::user, "q"}}}, chat_template("plain")) ==
        std::vector<ChatSegment>{{Kind::begin}, {Kind::literal, "User: "}, {Kind::text, "q"}, {Kind::literal, "\n"}});
}

TEST_CASE("templates whose earlier turns are part of the prompt train the last answer alone") {
  const Message q{Role::user, "q {}"}, a{Role::assistant, "a"}, r{Role::user, "r", "in"}, b{Role::assistant, "b"};
  CHECK(render({{q, a}}, chat_template("chatglm")) ==
        std::vector<ChatSegment>{
            {Kind::text, "q {}"}, {Kind::literal, "[gMASK]"}, {Kind::trained_literal, "<sop>"}, {Kind::answer, "a"}, {Kind::end}});
  CHECK(written(render({{q, a, r, b}}, chat_template("chatglm"))) ==
        "[Round 0]\n\u95ee\uff1aq {}\n\u7b54\uff1aa\n[Round 1]\n\u95ee\uff1ar\nin\n\u7b54\uff1a[gMASK]<sop>{b}$");
  CHECK(written(render({{q, a, r, b}}, chat_template("chatglm2"))) ==
        "[gMASK]sop[Round 1]\n\n\u95ee\uff1aq {}\n\n\u7b54\uff1aa\n\n[Round 2]\n\n\u95ee\uff1ar\nin\n\n\u7b54\uff1a{b}$");
  const ChatEncoder encoder(tokenizers().at("small"), chat_template("guanaco"));
  CHECK(!encoder.adds_turns());
  CHECK_THROWS_AS(encoder.next_prompt(Ids{1}, r), ArgumentError);
  const EncodedChat encoded = encoder.encode(Chat{{q, a, r, b}});
  Ids trained;
  std::copy_if(encoded.labels.begin(), encoded.labels.end(), std::back_inserter(trained), [](TokenId id) { return id >= 0; });
  CHECK(encoder.tokenizer().decode(trained) == "b");
  CHECK(trained.back() == encoder.tokenizer().eos());
  CHECK(encoded.labels.back() == trained.back());
}

TEST_CASE("the end of an answer: a special token, or text where the vocabulary has none") {
  const Tokenizer& small = tokenizers().at("small");
  const ChatEncoder chatml(small, chat_template("chatml")), vicuna(small, chat_template("vicuna"));
  CHECK(chatml.end_token() == small.find("<|im_end|>"));
  CHECK(chatml.stop_strings().empty());
  CHECK(vicuna.end_token() == small.eos());
  const Tokenizer bytes = byte_tokenizer();
  const ChatEncoder plain(bytes, chat_template("plain")), spelled(bytes, chat_template("chatml")), text(bytes, chat_template("text"));
  CHECK(!plain.end_token());
  CHECK(plain.stop_strings() == std::vector<std::string>{"\n\n"});
  CHECK(plain.end() == Ids{10, 10});
  CHECK(spelled.stop_strings() == std::vector<std::string>{"<|im_end|>"});
  CHECK(text.end().empty());
  CHECK(text.stop_strings().empty());
  const EncodedChat encoded = plain.encode(Chat{{{Role::user, "q"}, {Role::assistant, "a"}}});
  CHECK(bytes.decode(encoded.ids) == "User: q\nAssistant: a\n\n");
  CHECK(std::count(encoded.labels.begin(), encoded.labels.end(), -1) == 18);
  CHECK(bytes.decode(plain.next_prompt(encoded.ids, {Role::user, "r"})) == "User: r\nAssistant:");
}

TEST_CASE("what the templates refuse") {
  CHECK_THROWS_WITH_AS(chat_template("chatlm"), doctest::Contains("known: alpaca, chatml, llama2, vicuna, plain, text"), ArgumentError);
  const ChatTemplate& plain = chat_template("plain");
  const Message q{Role::user, "q"}, a{Role::assistant, "a"}, s{Role::system, "s"};
  for (const auto& messages : std::vector<std::vector<Message>>{{q, q}, {q, a, a}, {a, a}, {q, s}, {s, s}, {s, a}, {q, a, s}})
    CHECK_THROWS_WITH_AS(render({messages}, plain), doctest::Contains("user and assistant in turn"), ArgumentError);
  CHECK_THROWS_AS(render_prompt({{q, a}}, plain), ArgumentError);
  CHECK_THROWS_AS(render_prompt({}, plain), ArgumentError);
  const ChatEncoder encoder(byte_tokenizer(), plain);
  CHECK_THROWS_AS(encoder.next_prompt({}, q), ArgumentError);
  CHECK_THROWS_AS(encoder.next_prompt(Ids{1}, a), ArgumentError);
}
