// What the trainers write opens in Hugging Face tokenizers, where it gives the ids that it gives here (tests/golden/check_trained.py).
#include <string>
#include <vector>

#include "plume/base/json.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"
#include "plume/tokenizer/train_word_piece.hpp"
#include "string_generator.hpp"
#include "test_data.hpp"

TEST_CASE("Trained tokenizers give the ids of Python's tokenizers") {
  const auto path = plume_test::test_data("tokenizers/sentencepiece/botchan.txt");
  if (!path) return;
  const std::string book = plume_test::read_all(*path);
  std::vector<std::string> texts;
  for (std::size_t at = 0; at <= book.size();) {
    const std::size_t end = std::min(book.find('\n', at), book.size());
    texts.push_back(book.substr(at, end - at));
    at = end + 1;
  }
  for (const char* text : {"", " ", "  two  spaces", "tab\tand\nlines\n\n", "na\xc3\xafve caf\xc3\xa9 \xe4\xb8\x96\xe7\x95\x8c",
                           "\xf0\x9f\x99\x82\xcc\x81 x\xcc\x81", "1234567 <0x41> ##ing </w> \xe2\x96\x81", "I'VE we'll"})
    texts.emplace_back(text);
  const plume::Json sums = plume::Json::parse(plume_test::read_all(plume_test::golden("trainers/from_plume/ids.json")));
  for (const std::string kind : {"bpe", "unigram", "wordpiece"}) {
    CAPTURE(kind);
    const std::string file = plume_test::read_all(plume_test::golden("trainers/from_plume/" + kind + ".json"));
    const plume::Tokenizer tokenizer = plume::read_tokenizer_json(file);
    plume_test::Crc32 crc;
    for (const std::string& text : texts) {
      for (const plume::TokenId id : tokenizer.encode(text)) crc.add(id);
      crc.add(plume::TokenId{-1});
    }
    CHECK(crc.text() == sums.text(kind));
    // counts alone decide these two, so every machine writes the same bytes; unigram's numbers depend on the mathematics library
    if (kind == "bpe") CHECK(plume::write_tokenizer_json(plume::train_byte_bpe({book}, {.vocabulary_size = 700})) == file);
    if (kind == "wordpiece") CHECK(plume::train_word_piece({book}, {.vocabulary_size = 700}).model().files().at(0).content == file);
  }
}
