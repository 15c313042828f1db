#include "plume/data/chat_template_file.hpp"

#include <doctest/doctest.h>

#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "temporary.hpp"

using namespace plume;

TEST_CASE("a template is noted beside a model and found again, also from the model's file") {
  const plume_test::TemporaryDirectory directory;
  const std::string model = directory.path() + "/deep/model";
  CHECK(!saved_chat_template(model));
  save_chat_template(chat_template("vicuna"), model);
  CHECK(saved_chat_template(model)->name == "vicuna");
  CHECK(saved_chat_template(model + "/")->name == "vicuna");
  CHECK(saved_chat_template(model + "/model.bin")->name == "vicuna");
  CHECK(!saved_chat_template(directory.path()));
  save_chat_template(chat_template("llama2"), model);
  CHECK(saved_chat_template(model)->name == "llama2");
}

TEST_CASE("a file that names no known template says which there are") {
  const plume_test::TemporaryDirectory directory;
  const auto note = [&](const std::string& text) {
    atomic_save(directory.path() + "/plume_chat.json", [&](FileWriter& out) { out.write(text); });
  };
  for (const char* text : {R"({"template": "mine"})", R"({"template": 3})", R"({})", R"([])"}) {
    note(text);
    CAPTURE(text);
    CHECK_THROWS_AS(saved_chat_template(directory.path()), ConfigError);
  }
  note(R"({"template": "mine"})");
  CHECK_THROWS_WITH_AS(saved_chat_template(directory.path()), doctest::Contains("known: alpaca, chatml"), ConfigError);
  note("{");
  CHECK_THROWS_AS(saved_chat_template(directory.path()), FormatError);
}

TEST_CASE("ChatML is usual for a tokenizer that has its tokens, plain for others") {
  CHECK(usual_chat_template(load_tokenizer(PLUME_TEST_SOURCE_DIR "/golden/chats")).name == "chatml");
  CHECK(usual_chat_template(byte_tokenizer()).name == "plain");
}
