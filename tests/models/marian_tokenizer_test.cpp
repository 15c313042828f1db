// A directory of Marian's: the model comes with the tokenizer that its two SentencePiece models and vocab.json make, and is saved with it.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "plume/models/encoder_decoder_files.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"

using namespace plume;

TEST_CASE("The files of Marian's tokenizer beside a model are its tokenizer, and are saved with it") {
  const plume_test::TemporaryFolder folder;
  for (const char* name : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(plume_test::golden("encoder_decoders/marian/") + name, folder / name);
  CHECK(!load_encoder_decoder(folder.path()).tokenizer);
  for (const char* name : {"source.spm", "target.spm"}) std::filesystem::copy_file(plume_test::golden("marian/") + name, folder / name);
  std::string vocabulary = R"({"</s>": 0, "<unk>": 1)";
  int id = 2;
  for (const char* piece : {"\u2581", "\u2581the", "\u2581a", "t", "e", "s", ">>zho<<", "<pad>"})
    vocabulary += ", \"" + std::string(piece) + "\": " + std::to_string(id++);
  folder.write("vocab.json", vocabulary + "}");
  const EncoderDecoder model = load_encoder_decoder(folder.path());
  REQUIRE(model.tokenizer);
  CHECK(model.tokenizer.kind() == "Marian");
  const std::vector<TokenId> ids = model.tokenizer.encode(">>zho<< the");
  CHECK(ids.front() == 8);
  CHECK(ids.back() == 0);
  CHECK(model.tokenizer.decode(ids).ends_with("the"));
  const plume_test::TemporaryFolder copy;
  save(model, copy.path());
  CHECK(load_encoder_decoder(copy.path()).tokenizer.encode(">>zho<< the") == ids);
  // more tokens than the model has rows: the files do not belong together
  std::string many = R"({"</s>": 0, "<unk>": 1)";
  for (int i = 2; i < 54; ++i) many += ", \"p" + std::to_string(i) + "\": " + std::to_string(i);
  folder.write("vocab.json", many + "}");
  CHECK_THROWS_AS(load_encoder_decoder(folder.path()), ConfigError);
}
