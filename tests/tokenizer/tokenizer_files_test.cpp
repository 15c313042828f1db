// Loading and saving every kind of tokenizer; which file of a directory is taken.
#include "plume/tokenizer/tokenizer_files.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "plume/tokenizer/train_byte_bpe.hpp"
#include "test_data.hpp"

namespace fs = std::filesystem;
using Ids = std::vector<plume::TokenId>;

namespace {

struct Directory {
  std::string path = (fs::temp_directory_path() / "plume-tokenizer-XXXXXX").string();
  Directory() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~Directory() { fs::remove_all(path); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path + "/" + name, std::ios::binary) << content;
    return path + "/" + name;
  }
};

void check_same(const plume::Tokenizer& a, const plume::Tokenizer& b) {
  CHECK(a.kind() == b.kind());
  CHECK(a.vocabulary() == b.vocabulary());
  CHECK(a.bos() == b.bos());
  CHECK(a.eos() == b.eos());
  for (plume::TokenId id = 0; id < a.vocabulary(); ++id) REQUIRE(a.piece(id) == b.piece(id));
}

}  // namespace

TEST_CASE("A trained tokenizer comes back from its directory, and from one of its files") {
  const Directory directory;
  const auto tokenizer = plume::train_byte_bpe({"low lower lowest newer newest <|user|>wide\n\nwider"},
                                               {.vocabulary_size = 280, .special_tokens = {"<|endoftext|>", "<|user|>"}});
  const std::string model = directory.path + "/new/nested";
  plume::save_tokenizer(tokenizer, model);
  for (const std::string& path : {model, model + "/vocab.json", model + "/merges.txt"}) {
    const auto loaded = plume::load_tokenizer(path);
    check_same(tokenizer, loaded);
    CHECK(loaded.is_special(1));
    for (const std::string text : {"lowest 🙂<|user|> newer", "\n\n x  ", ""}) {
      CHECK(loaded.encode(text) == tokenizer.encode(text));
      CHECK(loaded.encode(text, {.special = plume::SpecialText::recognise}) ==
            tokenizer.encode(text, {.special = plume::SpecialText::recognise}));
    }
  }
  plume::save_tokenizer(plume::load_tokenizer(model), directory.path + "/again");
  for (const char* name : {"/vocab.json", "/merges.txt", "/tokenizer_config.json"})
    CHECK(plume_test::read_all(model + name) == plume_test::read_all(directory.path + "/again" + name));
}

TEST_CASE("Characters and bytes come back") {
  const Directory directory;
  plume::save_tokenizer(plume::character_tokenizer("a\"\\\né世"), directory.path);
  check_same(plume::character_tokenizer("a\"\\\né世"), plume::load_tokenizer(directory.path));
  plume::save_tokenizer(plume::byte_tokenizer(), directory.path);
  check_same(plume::byte_tokenizer(), plume::load_tokenizer(directory.path + "/plume-tokenizer.json"));
  directory.write("plume-tokenizer.json", R"({"kind": "words"})");
  CHECK_THROWS_AS(plume::load_tokenizer(directory.path), plume::ConfigError);
  directory.write("plume-tokenizer.json", R"({"kind": "characters", "characters": ["b", "a"]})");
  CHECK_THROWS_AS(plume::load_tokenizer(directory.path), plume::ConfigError);
  directory.write("plume-tokenizer.json", R"({"kind": "characters", "characters": ["ab"]})");
  CHECK_THROWS_AS(plume::load_tokenizer(directory.path), plume::ConfigError);
}

TEST_CASE("A tokenizer.json may have another name") {
  const Directory directory;
  const auto tokenizer = plume::train_byte_bpe({"abab"}, {.vocabulary_size = 258});
  check_same(tokenizer, plume::load_tokenizer(directory.write("mine.json", plume::write_tokenizer_json(tokenizer))));
}

TEST_CASE("The llama2.c file beside a model: tokenizer.bin, else the only tok*.bin") {
  const auto model = plume_test::test_data("stories260k/stories260K.bin");
  if (!model) return;
  const auto tokenizer = plume::load_tokenizer(plume::parent_path(*model));
  CHECK(tokenizer.vocabulary() == 512);
  const Directory directory;
  directory.write("model.bin", "weights");
  const std::string content = tokenizer.model().files().at(0).content;
  directory.write("tok512.bin", content);
  check_same(tokenizer, plume::load_tokenizer(directory.path));
  directory.write("tok4096.bin", content);
  CHECK_THROWS_AS(plume::load_tokenizer(directory.path), plume::ConfigError);
  check_same(tokenizer, plume::load_tokenizer(directory.write("mine.bin", content)));
  plume::save_tokenizer(tokenizer, directory.path);
  check_same(tokenizer, plume::load_tokenizer(directory.path));
  CHECK_THROWS_AS(plume::load_tokenizer(directory.path + "/model.bin"), plume::InputError);  // not what lies beside it
}

TEST_CASE("A named file of another kind is refused, whatever lies beside it") {
  const Directory directory;
  plume::save_tokenizer(plume::byte_tokenizer(), directory.path);
  for (const char* name : {"tokenizer.txt", "config.json", "text"}) {
    CAPTURE(name);
    const std::string path = directory.write(name, "{}");
    try {
      plume::load_tokenizer(path);
      FAIL("nothing thrown");
    } catch (const plume::ConfigError& error) {
      CHECK(error.where().path == path);
      CHECK(error.reason().find("vocab.json + merges.txt") != std::string::npos);
    }
  }
}

TEST_CASE("Where there is no tokenizer, the error names what was looked for") {
  const Directory directory;
  try {
    plume::load_tokenizer(directory.path);
    FAIL("nothing thrown");
  } catch (const plume::ConfigError& error) {
    CHECK(error.where().path == directory.path);
    CHECK(error.reason().find("vocab.json + merges.txt") != std::string::npos);
  }
  CHECK_THROWS_AS(plume::load_tokenizer(directory.path + "/absent"), plume::IoError);
  directory.write("vocab.json", "{}");
  CHECK_THROWS_AS(plume::load_tokenizer(directory.path), plume::IoError);  // merges.txt is absent
}

TEST_CASE("Special tokens as Hugging Face files declare them") {
  const Directory directory;
  const auto base = plume::train_byte_bpe({"low lower"}, {.vocabulary_size = 258, .special_tokens = {}});
  plume::save_tokenizer(base, directory.path);
  directory.write("tokenizer_config.json", R"({"bos_token": {"content": "<s>", "lstrip": false}, "add_bos_token": true})");
  directory.write("special_tokens_map.json", R"({"bos_token": "<x>", "eos_token": "</s>", "additional_special_tokens": ["<x>"]})");
  directory.write("added_tokens.json", R"({"</s>": 259, "<s>": 258, "<x>": 260})");
  const auto tokenizer = plume::load_tokenizer(directory.path);
  CHECK(tokenizer.vocabulary() == 261);
  CHECK(tokenizer.bos() == 258);  // tokenizer_config.json wins
  CHECK(tokenizer.eos() == 259);
  CHECK(tokenizer.encode("") == Ids{258});
  CHECK(tokenizer.decode(tokenizer.encode("low</s>")) == "low</s>");
}
