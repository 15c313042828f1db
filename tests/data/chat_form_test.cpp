#include "plume/data/chat_form.hpp"

#include <doctest/doctest.h>

#include "plume/data/chat_encoder.hpp"
#include "plume/data/chat_template_file.hpp"
#include "plume/formats/write_gguf.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"

using namespace plume;
using Ids = std::vector<TokenId>;

namespace {

const Tokenizer& small() {
  static const Tokenizer tokenizer = load_tokenizer(plume_test::golden("chats"));
  return tokenizer;
}
RepositoryTemplate own(const std::string& text) {
  return {JinjaTemplate(text), Json::object().set("bos_token", "<s>").set("eos_token", "</s>")};
}
// ChatML as plume's fixed template has it, with the begin token.
const std::string turns =
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}BODY{% else %}"
    "{{ m.content + '<|im_end|>' }}{% endif %}{{ '\\n' if not loop.last or m.role == 'user' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
std::string with_body(const std::string& body) {
  std::string text = turns;
  return text.replace(text.find("BODY"), 4, body);
}

std::vector<Chat> chats() {
  const std::string path = plume_test::golden("chats/cases.json");
  const Json file = Json::parse(plume_test::read_all(path), {.path = path});
  std::vector<Chat> all;
  for (const Json::Member& member : file.at("chats").members()) {
    Chat chat;
    for (const Json& message : member.value.items()) {
      const std::string role = message.text("role");
      chat.messages.push_back({role == "user"     ? Role::user
                               : role == "system" ? Role::system
                                                  : Role::assistant,
                               message.text("content"), message.text("input", "")});
    }
    all.push_back(std::move(chat));
  }
  return all;
}

}  // namespace

TEST_CASE("a repository's ChatML gives the ids and labels of the fixed one, with and without {% generation %}") {
  const ChatEncoder fixed(small(), chat_template("chatml"));
  for (const char* body : {"{{ m.content + '<|im_end|>' }}", "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"}) {
    const ChatEncoder encoder(small(), own(with_body(body)));
    CHECK(encoder.form().name == "model");
    CHECK(encoder.end_token() == small().find("<|im_end|>"));
    CHECK(!encoder.adds_turns());
    CHECK_THROWS_AS(encoder.next_prompt(Ids{1}, {Role::user, "x"}), ArgumentError);
    std::size_t prompts = 0, trained = 0;
    for (const Chat& chat : chats()) {
      const EncodedChat a = encoder.encode(chat), b = fixed.encode(chat);
      CHECK(a.ids == b.ids);
      CHECK(a.labels == b.labels);
      trained += static_cast<std::size_t>(std::count_if(a.labels.begin(), a.labels.end(), [](TokenId id) { return id >= 0; }));
      if (chat.messages.back().role != Role::user) continue;
      CHECK(encoder.prompt(chat) == fixed.prompt(chat));
      ++prompts;
    }
    CHECK(prompts > 0);
    CHECK(trained > 100);
  }
}

TEST_CASE("white space after an answer's end is not trained; a template that rewrites old answers trains the last one") {
  const std::string text =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('|')[-1] }}{% "
      "else %}{{ m.content }}{% endif %}"
      "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  const Chat chat{{{Role::user, "q"}, {Role::assistant, "thought|a"}, {Role::user, "r"}, {Role::assistant, "other|b"}}};
  std::string trained;
  for (const ChatSegment& piece : render(chat, ChatForm(own(text))))
    if (piece.kind == ChatSegmentKind::answer || piece.kind == ChatSegmentKind::trained_literal) trained += piece.text;
  CHECK(trained == "other|b<|im_end|>");
  CHECK_THROWS_WITH_AS(render(chat, ChatForm(own("{{ messages | length }}{% if add_generation_prompt %}x{% endif %}"))),
                       doctest::Contains("cannot be told apart"), ConfigError);
  CHECK_THROWS_WITH_AS(render(chat, ChatForm(own("{{ raise_exception('no chats') }}"))), doctest::Contains("no chats"), ConfigError);
  CHECK_THROWS_AS(render_prompt(chat, ChatForm(own("x"))), ArgumentError);
}

TEST_CASE("special tokens that somebody typed stay plain under a repository's template") {
  const std::string typed = "<s></s><|im_start|>system\n<|im_end|>";
  for (const char* body : {"{{ m.content | trim }}<|im_end|>", "{{ m.content | upper | lower }}<|im_end|>",
                           "{{ '<|im_end|>' ~ m.content[0:] ~ '<|im_end|>' }}"}) {
    const ChatEncoder encoder(small(), own(with_body(body)));
    const auto special = [&](const std::string& text) {
      const Ids ids =
          encoder
              .encode(
                  Chat{{{Role::system, text}, {Role::user, text}, {Role::assistant, text}, {Role::user, text}, {Role::assistant, text}}})
              .ids;
      return std::count_if(ids.begin(), ids.end(), [&](TokenId id) { return small().is_special(id); });
    };
    CHECK(special(typed) == special("x"));
    CHECK(special(typed) >= 11);
  }
}

TEST_CASE("templates of a directory: chat_template.jinja, tokenizer_config.json, plume_chat.json") {
  const plume_test::TemporaryFolder folder;
  const std::string config =
      folder.write("tokenizer_config.json", R"({"bos_token": {"content": "<b>"}, "eos_token": "</b>", "pad_token": null})");
  const std::string directory = config.substr(0, config.rfind('/'));
  CHECK(!repository_template(directory));
  CHECK(!saved_chat_form(directory));
  folder.write(
      "tokenizer_config.json",
      R"({"bos_token": {"content": "<b>"}, "eos_token": "</b>", "pad_token": null, "chat_template": "{{ bos_token ~ eos_token ~ pad_token }}1"})");
  const auto text = [&](std::string_view name) {
    return repository_template(directory, name)
        ->program.render(Json::array(), {.variables = repository_template(directory, name)->variables})
        .text;
  };
  CHECK(text("default") == "<b></b>1");
  CHECK(!repository_template(directory, "tool_use"));
  folder.write("tokenizer_config.json",
               R"({"chat_template": [{"name": "default", "template": "2"}, {"name": "tool_use", "template": "3"}]})");
  CHECK(text("default") == "2");
  CHECK(text("tool_use") == "3");
  CHECK_THROWS_WITH_AS(repository_template(directory, "rag"), doctest::Contains("has no template \"rag\" (it has: default, tool_use)"),
                       ConfigError);
  folder.write("chat_template.jinja", "4\n");
  CHECK(text("default") == "4");
  CHECK(saved_chat_form(directory)->own);
  save_chat_template(chat_template("vicuna"), directory);
  CHECK(saved_chat_form(directory)->name == "vicuna");
  save_chat_form(own("5"), directory);
  CHECK(text("default") == "5");
  CHECK(saved_chat_form(directory)->own);
  CHECK(!saved_chat_template(directory));
  folder.write("chat_template.jinja", "a\n{% include 'x' %}");
  CHECK_THROWS_WITH_AS(repository_template(directory), doctest::Contains("chat_template.jinja:2:4: unknown tag {% include %}"),
                       ConfigError);
  folder.write("tokenizer_config.json", R"({"chat_template": 3})");
  CHECK_THROWS_AS(repository_template(directory), ConfigError);
}

TEST_CASE("the template inside a GGUF file, with the names of its special tokens") {
  const plume_test::TemporaryFolder folder;
  const std::string path = folder.path() + "/model.gguf";
  GgufKeyValues keys{{"general.architecture", "llama"},
                     {"tokenizer.ggml.tokens", std::vector<std::string>{"<unk>", "<s>", "</s>"}},
                     {"tokenizer.ggml.bos_token_id", 1u},
                     {"tokenizer.ggml.eos_token_id", 9u}};  // no token: it has no name
  write_gguf(path, keys, {});
  CHECK(!repository_template(path));
  keys.emplace_back("tokenizer.chat_template", "{{ bos_token }}{{ eos_token is defined }}{{ messages[0].content }}");
  keys.emplace_back("tokenizer.chat_template.tool_use", "with tools");
  write_gguf(path, keys, {});
  folder.write("chat_template.jinja", "beside the file");
  const Json hello = Json::parse(R"([{"role": "user", "content": "Hi"}])");
  const auto inside = repository_template(path);
  REQUIRE(inside);
  CHECK(inside->program.render(hello, {.variables = inside->variables}).text == "<s>FalseHi");
  CHECK(repository_template(path, "tool_use")->program.text() == "with tools");
  CHECK(saved_chat_form(path)->own);
}
