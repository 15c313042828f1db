// The malformed-input catalogue for Marian's directories: type, path, field and reason. The SentencePiece models are those of catalogue P.
#include "malformed/protobuf_writer.hpp"
#include "malformed/refused.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"

using namespace plume_test;

namespace {

// A sound directory: both models know "a"; vocab.json has ids for it and the special tokens.
struct Sound {
  TemporaryFolder folder;
  Sound() {
    const std::string model = pieces_bytes({{"\u2581a"}, {"a"}, {"<unk>", 0.0f, 2}});
    folder.write("source.spm", model);
    folder.write("target.spm", model);
    folder.write("vocab.json", R"({"</s>": 0, "<unk>": 1, "a": 2, "<pad>": 3})");
  }
};

template <class Error>
void rejects(const TemporaryFolder& folder, const std::string& name, const std::string& field, const std::string& reason) {
  CAPTURE(reason);
  try {
    plume::load_tokenizer(folder.path());
    FAIL_CHECK("accepted");
  } catch (const Error& error) {
    CAPTURE(std::string(error.what()));
    CHECK(error.where().path == folder / name);
    CHECK(error.where().field == field);
    CHECK(error.reason().find(reason) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("The sound directory of Marian loads; a piece that vocab.json lacks is unk") {
  const Sound sound;
  CHECK(plume::has_tokenizer(sound.folder.path()));
  const plume::Tokenizer tokenizer = plume::load_tokenizer(sound.folder.path());
  CHECK(tokenizer.encode("a aa") == std::vector<plume::TokenId>{1, 1, 2, 0});  // the piece with a space in front is missing
  CHECK(tokenizer.encode("?") == std::vector<plume::TokenId>{1, 0});
}

TEST_CASE("Each of Marian's files may be missing, empty, or no such file") {
  for (const char* name : {"source.spm", "target.spm", "vocab.json"}) {
    CAPTURE(name);
    const Sound missing, empty, other;
    std::filesystem::remove(missing.folder / name);
    try {
      plume::load_tokenizer(missing.folder.path());
      FAIL_CHECK("accepted");
    } catch (const plume::IoError& error) {
      CHECK(std::string(error.what()).find(missing.folder / name) != std::string::npos);
    }
    empty.folder.write(name, "");
    rejects<plume::FormatError>(empty.folder, name, "", std::string(name) == "vocab.json" ? "ends" : "empty");
    other.folder.write(name, "[]");
    CHECK_THROWS_AS(plume::load_tokenizer(other.folder.path()), plume::InputError);
  }
}

TEST_CASE("vocab.json of Marian: not an object, ids that leave gaps or come twice, no unk token") {
  const Sound sound;
  for (const auto& [text, field, reason] : {std::tuple("[1]", "", "expected an object"),
                                            {"{\"<unk>\": 0", "", "ends"},
                                            {R"({"<unk>": 0, "a": 2})", "a", "no gap"},
                                            {R"({"<unk>": 0, "a": -1})", "a", "outside 0 to 1"},
                                            {R"({"<unk>": 0, "a": 0})", "a", "duplicate id 0"},
                                            {R"({"<unk>": 0, "a": 1.0})", "a", "whole number"},
                                            {R"({"<unk>": 0, "a": 18446744073709551615})", "a", "outside"},
                                            {R"({"<unk>": 0, "a": "1"})", "a", "whole number"}}) {
    sound.folder.write("vocab.json", text);
    rejects<plume::FormatError>(sound.folder, "vocab.json", field, reason);
  }
  sound.folder.write("vocab.json", R"({"a": 0})");
  rejects<plume::ConfigError>(sound.folder, "vocab.json", "", "lacks the unk token, \"<unk>\"");
}

TEST_CASE("tokenizer_config.json of Marian: not JSON, wrong types, two vocabularies and one file, added tokens that do not fit") {
  const Sound sound;
  for (const auto& [text, field, reason] :
       {std::tuple("", "", "ends"),
        {R"({"unk_token": {"content": "<unk>"}, "added_tokens_decoder": {"x": {"content": "b"}}})", "added_tokens_decoder.x",
         "not a token id"},
        {R"({"added_tokens_decoder": {"": {"content": "b"}}})", R"(added_tokens_decoder[""])", "not a token id"},
        {R"({"added_tokens_decoder": {"99999999999999999999": {"content": "b"}}})", "added_tokens_decoder.99999999999999999999",
         "not a token id"},
        {R"({"added_tokens_decoder": {"9": {"content": "b"}}})", "added_tokens_decoder.9", "\"b\" has id 4"},
        {R"({"added_tokens_decoder": {"1": {"content": "a"}}})", "added_tokens_decoder.1", "\"a\" has id 2"},
        {R"({"added_tokens_decoder": {"4": {"content": ""}}})", "added_tokens_decoder.4.content", "is empty"}}) {
    sound.folder.write("tokenizer_config.json", text);
    rejects<plume::FormatError>(sound.folder, "tokenizer_config.json", field, reason);
  }
  for (const auto& [text, field, reason] : {std::tuple(R"({"unk_token": 3})", "unk_token", "expected a text"),
                                            {R"({"separate_vocabs": "yes"})", "separate_vocabs", "expected"},
                                            {R"({"separate_vocabs": true})", "separate_vocabs", "target_vocab.json is absent"}}) {
    sound.folder.write("tokenizer_config.json", text);
    rejects<plume::ConfigError>(sound.folder, "tokenizer_config.json", field, reason);
  }
  sound.folder.write("tokenizer_config.json", R"({"separate_vocabs": true})");
  sound.folder.write("target_vocab.json", "");
  rejects<plume::FormatError>(sound.folder, "target_vocab.json", "", "ends");
  sound.folder.write("target_vocab.json", R"({"<unk>": 0, "b": 5})");
  rejects<plume::FormatError>(sound.folder, "target_vocab.json", "b", "no gap");
}

TEST_CASE("Limits hold for Marian's files") {
  const Sound sound;
  const auto limited = [&](const plume::Limits& limits) {
    CHECK_THROWS_AS(plume::load_tokenizer(sound.folder.path(), {.limits = limits}), plume::LimitError);
  };
  plume::Limits limits;
  limits.max_vocabulary = 3;  // as many as the models have
  limited(limits);
  limits = {};
  limits.max_tokenizer_bytes = 20;
  limited(limits);
  limits = {};
  limits.max_token_text = 5;
  CHECK(plume::load_tokenizer(sound.folder.path(), {.limits = limits}));
  sound.folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {"4": {"content": "bcdefg"}}})");
  limited(limits);
  sound.folder.write("tokenizer_config.json", "{}");
  sound.folder.write("vocab.json", R"({"<unk>": 0, "bcdefg": 1})");
  limited(limits);
}
