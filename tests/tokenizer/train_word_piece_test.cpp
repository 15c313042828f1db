// The WordPiece trainer beside that of Hugging Face tokenizers (tests/golden/make_trainers.py), by hand, and what it refuses.
#include "plume/tokenizer/train_word_piece.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "test_data.hpp"

TEST_CASE("Botchan: the vocabulary of tokenizers' trainer, up to the ties that it leaves to chance") {
  const auto path = plume_test::test_data("tokenizers/sentencepiece/botchan.txt");
  if (!path) return;
  const plume::Json golden = plume::Json::parse(plume_test::read_all(plume_test::golden("trainers/word_piece.json")));
  plume::WordPieceTrainer trainer({.vocabulary_size = golden.integer("vocabulary")});
  trainer.add_file(*path);
  const plume::Tokenizer tokenizer = trainer.train();
  CHECK(tokenizer.vocabulary() == golden.integer("vocabulary"));
  plume::Index found = 0;
  for (const plume::Json& piece : golden.at("always").items()) {
    CAPTURE(piece.as_text());
    CHECK(tokenizer.find(piece.as_text()));
    ++found;
  }
  for (const plume::Json& piece : golden.at("sometimes").items()) found += tokenizer.find(piece.as_text()) ? 1 : 0;
  CHECK(found == tokenizer.vocabulary());  // and nothing else
}

TEST_CASE("The most frequent pair first, the lower ids among equals, words cut and cleaned as BERT does") {
  const auto tokenizer = plume::train_word_piece({"Caf\xc3\xa9, caf\xc3\xa9! cab cab ab ab [SEP] ab"}, {.vocabulary_size = 20});
  std::string pieces;
  for (plume::TokenId id = 5; id < tokenizer.vocabulary(); ++id) pieces += tokenizer.piece(id) + " ";
  // c ##a: 4 times; a ##b: 3; ##f ##e, ca ##b and ca ##f: 2 each, and ids in this order
  CHECK(pieces == "! , a b c e f ##a ##b ##e ##f ca ab ##fe cab ");
  CHECK(tokenizer.encode("CAFE cab").size() == 5);
  CHECK(tokenizer.piece(tokenizer.encode("x").at(1)) == "[UNK]");
  CHECK(tokenizer.decode(tokenizer.encode("cafe cab")) == "cafe cab");
  // cased, without the tokens around a text, and a small alphabet
  const auto cased =
      plume::train_word_piece({"aA aA bB bB bB c"}, {.special_tokens = {"[UNK]"}, .letter_case = plume::LetterCase::keep, .alphabet = 4});
  CHECK(cased.find("aA"));
  CHECK(!cased.find("c"));
  CHECK(cased.encode("bB").size() == 1);
}

TEST_CASE("What the WordPiece trainer refuses, and cancelling") {
  const std::vector<std::string> texts{"ab ab"};
  CHECK_THROWS_AS(plume::train_word_piece(texts, {.special_tokens = {"[PAD]"}}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::train_word_piece(texts, {.special_tokens = {"[UNK]", "[UNK]"}}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::train_word_piece(texts, {.alphabet = 0}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::train_word_piece(texts, {.minimum_count = 0}), plume::ArgumentError);
  CHECK_THROWS_WITH_AS(plume::train_word_piece(texts, {.vocabulary_size = 7}), doctest::Contains("vocabulary_size is 7"),
                       plume::ArgumentError);
  const plume::StopSource stop;
  stop.request();
  CHECK_THROWS_AS(plume::train_word_piece(texts, {.stop = stop.token()}), plume::Cancelled);
  CHECK(plume::train_word_piece(std::vector<std::string>{}, {}).vocabulary() == 5);
}
