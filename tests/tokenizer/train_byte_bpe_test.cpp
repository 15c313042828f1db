// The byte-BPE trainer against the reference of Stanford's CS336 (assignment 1) and by hand.
#include "plume/tokenizer/train_byte_bpe.hpp"

#include <string>
#include <vector>

#include "plume/base/json.hpp"
#include "test_data.hpp"

using plume::train_byte_bpe;
using Ids = std::vector<plume::TokenId>;

namespace {

std::string merges_of(const plume::Tokenizer& tokenizer) { return tokenizer.model().files().at(1).content; }

}  // namespace

TEST_CASE("CS336: the merges and the vocabulary of its reference") {
  const auto corpus = plume_test::test_data("cs336/fixtures/corpus.en");
  const auto merges = plume_test::test_data("cs336/fixtures/train-bpe-reference-merges.txt");
  const auto vocabulary = plume_test::test_data("cs336/fixtures/train-bpe-reference-vocab.json");
  if (!corpus || !merges || !vocabulary) return;
  const auto tokenizer = train_byte_bpe({plume_test::read_all(*corpus)}, {.vocabulary_size = 500, .special_tokens = {"<|endoftext|>"}});
  CHECK(merges_of(tokenizer) == "#version: 0.2\n" + plume_test::read_all(*merges));
  const plume::Json reference = plume::Json::parse(plume_test::read_all(*vocabulary));
  CHECK(tokenizer.vocabulary() == static_cast<plume::Index>(reference.size()));
  for (const auto& [piece, id] : reference.members()) CHECK(tokenizer.find(piece) == id.as_integer());
}

TEST_CASE("The most frequent pair first, the greater bytes among equals") {
  const auto tokenizer = train_byte_bpe({"ab ab ab xy xy"}, {.vocabulary_size = 256 + 5, .special_tokens = {}});
  // by hand: the pieces are "ab", " ab" twice, " xy" twice. (a b) 3; (x y), (' ' ab), (' ' x) 2: x is the greatest; (' ' xy) before (' '
  // ab)
  CHECK(merges_of(tokenizer) == "#version: 0.2\na b\nx y\nĠ xy\nĠ ab\n");
  CHECK(tokenizer.vocabulary() == 260);  // nothing is left to merge twice
  CHECK(!tokenizer.bos());
}

TEST_CASE("Overlapping pairs, and one token with two merges") {
  const auto runs = train_byte_bpe({"aaaaa aaaa"}, {.vocabulary_size = 258, .special_tokens = {}});
  CHECK(merges_of(runs) == "#version: 0.2\na a\naa aa\n");
  CHECK(runs.decode(runs.encode("aaaaaaa")) == "aaaaaaa");
  // "abc" as ab + c and as a + bc: pieces stay unique
  std::string text;
  for (int i = 0; i < 6; ++i) text += "ab abc xbc ybc zbc abcd ";
  const auto twice = train_byte_bpe({text}, {.vocabulary_size = 300, .special_tokens = {}});
  for (plume::TokenId id = 0; id < twice.vocabulary(); ++id) CHECK(twice.find(twice.piece(id)) == id);
}

TEST_CASE("Special tokens come first and no piece crosses them") {
  const auto tokenizer =
      train_byte_bpe({"one<|end|>one<|end|>one<|pad|>"}, {.vocabulary_size = 300, .special_tokens = {"<|end|>", "<|pad|>"}});
  CHECK(tokenizer.find("<|end|>") == 0);
  CHECK(tokenizer.find("<|pad|>") == 1);
  CHECK(tokenizer.find("!") == 2);
  CHECK(tokenizer.eos() == 0);
  CHECK(tokenizer.encode("one<|end|>", {.special = plume::SpecialText::recognise}) == Ids{*tokenizer.find("one"), 0});
  for (plume::TokenId id = 2; id < tokenizer.vocabulary(); ++id) CHECK(tokenizer.piece(id).find('|', 1) == std::string::npos);
}

TEST_CASE("Training twice, and with the texts in another order, gives the same files") {
  const std::vector<std::string> texts{"the cat sat on the mat, the rat ran", "a bat and a hat: that is that", "then the others"};
  const std::vector<std::string> turned{texts[2], texts[0], texts[1]};
  const auto first = train_byte_bpe(texts, {.vocabulary_size = 300}).model().files();
  for (const auto& other : {train_byte_bpe(texts, {.vocabulary_size = 300}).model().files(),
                            train_byte_bpe(turned, {.vocabulary_size = 300}).model().files()}) {
    REQUIRE(other.size() == first.size());
    for (std::size_t i = 0; i < first.size(); ++i) CHECK(other[i].content == first[i].content);
  }
}

TEST_CASE("What the trainer refuses, and cancelling") {
  CHECK_THROWS_WITH_AS(train_byte_bpe({"a"}, {.vocabulary_size = 256}),
                       "[train_byte_bpe] vocabulary_size is 256: 1 special tokens and 256 bytes need at least 257", plume::ArgumentError);
  CHECK_THROWS_AS(train_byte_bpe({"a"}, {.special_tokens = {"<a>", "<a>"}}), plume::ArgumentError);
  CHECK_THROWS_AS(train_byte_bpe({"a"}, {.special_tokens = {""}}), plume::ArgumentError);
  CHECK_THROWS_AS(train_byte_bpe({"a"}, {.special_tokens = {"Ġ"}}), plume::ArgumentError);
  CHECK_THROWS_AS(train_byte_bpe({"a"}, {.minimum_count = 0}), plume::ArgumentError);
  const plume::StopSource stop;
  stop.request();
  CHECK_THROWS_AS(train_byte_bpe({"abab"}, {.vocabulary_size = 300, .stop = stop.token()}), plume::Cancelled);
  CHECK(train_byte_bpe(std::vector<std::string>{}, {}).vocabulary() == 257);
}
