// BERT's vocab.txt with every switch of tokenizer_config.json: ids of transformers 5.24 (tests/golden/make_bert.py); files that are
// refused.
#include "plume/tokenizer/read_bert.hpp"

#include <string>
#include <tuple>
#include <vector>

#include "plume/tokenizer/tokenizer_files.hpp"
#include "temporary_folder.hpp"
#include "tokenizer/hashed_strings.hpp"

using namespace plume;
using Ids = std::vector<TokenId>;

TEST_CASE("vocab.txt: 5,000 strings have the ids that transformers gives them, with every configuration") {
  const std::string vocabulary = plume_test::read_all(plume_test::golden("bert/vocab.txt"));
  for (const auto& member : plume_test::hashes("bert/hashes.json").members()) {
    CAPTURE(std::string(member.key));
    const plume_test::TemporaryFolder folder;
    folder.write("vocab.txt", vocabulary);
    if (member.value.at("config").size() > 0) folder.write("tokenizer_config.json", dump(member.value.at("config")));
    REQUIRE(has_tokenizer(folder.path()));
    const Tokenizer tokenizer = load_tokenizer(folder.path());
    CHECK(tokenizer.kind() == "WordPiece");
    std::vector<std::string> pieces = plume_test::spelled(tokenizer);
    pieces.resize(600);  // without what the configuration adds
    plume_test::StringGenerator generator(pieces, {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"});
    for (std::size_t group = 0; group < 5; ++group) {
      plume_test::Crc32 sum;
      for (int i = 0; i < 1000; ++i) {
        for (const TokenId id : tokenizer.encode(generator.next(), {.special = SpecialText::recognise})) sum.add(id);
        sum.add(TokenId{-1});
      }
      CHECK(sum.text() == member.value.at("ids").at(group).as_text());
    }
    const plume_test::TemporaryFolder copy;
    save_tokenizer(tokenizer, copy.path());
    CHECK(load_tokenizer(copy.path()).encode("A n\u00e4ive \u4e16\u754c [MASK] test") ==
          tokenizer.encode("A n\u00e4ive \u4e16\u754c [MASK] test"));
  }
}

TEST_CASE("vocab.txt: lines may end in CR LF, special tokens that are missing come last, others are added as listed") {
  const plume_test::TemporaryFolder folder;
  const std::string path = folder.write("vocab.txt", "[UNK]\r\n[CLS]\r\na\r\n##b\r\n[SEP]");
  const Tokenizer tokenizer = load_tokenizer(path);
  CHECK(tokenizer.vocabulary() == 7);
  CHECK(tokenizer.piece(5) == "[PAD]");
  CHECK(tokenizer.piece(6) == "[MASK]");
  CHECK(tokenizer.encode("AB a") == Ids{1, 2, 3, 2, 4});
  CHECK(tokenizer.decode(Ids{1, 2, 3, 2, 4}) == "ab a");
  folder.write("tokenizer_config.json",
               R"({"do_lower_case": false, "added_tokens_decoder": {"7": {"content": "<new>"}, "0": {"content": "[UNK]", "special": true},
                                            "6": {"content": "[MASK]", "special": true, "lstrip": true}}})");
  const Tokenizer grown = load_tokenizer(path);
  CHECK(grown.encode("a<new>A") == Ids{1, 2, 7, 0, 4});
  CHECK(grown.encode("a [MASK]", {.special = SpecialText::recognise}) == Ids{1, 2, 6, 4});
  CHECK(grown.encode_with_spans("a [MASK]", {.special = SpecialText::recognise}).spans[2] == TokenSpan{1, 8});
}

TEST_CASE("vocab.txt that is empty, has an empty line, a token twice, no UTF-8, no unk token; a configuration that does not fit; limits") {
  const plume_test::TemporaryFolder folder;
  for (const auto& [text, line, reason] : {std::tuple("", 1u, "holds no token"),
                                           {"[UNK]\n\na", 2u, "is empty"},
                                           {"[UNK]\na\na\n", 3u, "that of line 2"},
                                           {"[UNK]\n\xff", 2u, "not UTF-8"}}) {
    folder.write("vocab.txt", text);
    try {
      load_tokenizer(folder.path());
      FAIL_CHECK("accepted");
    } catch (const FormatError& error) {
      CHECK(error.where().path == folder / "vocab.txt");
      CHECK(error.where().line == line);
      CHECK(error.reason().find(reason) != std::string::npos);
    }
  }
  folder.write("vocab.txt", "a\nb\n");
  folder.write("tokenizer_config.json", R"({"unk_token": "?"})");
  // transformers would add an unk token that no word ever becomes
  CHECK_THROWS_AS(load_tokenizer(folder.path()), ConfigError);
  folder.write("vocab.txt", "[UNK]\nb\n");
  for (const char* text :
       {"", "[]x", R"({"do_lower_case": 1})", R"({"cls_token": 3})", R"({"added_tokens_decoder": {"2": {"content": "b"}}})"}) {
    folder.write("tokenizer_config.json", text);
    if (*text != '\0') CHECK_THROWS_AS(load_tokenizer(folder.path()), InputError);
  }
  folder.write("tokenizer_config.json", "{}");
  CHECK(load_tokenizer(folder.path()).vocabulary() == 6);
  for (const auto change : {+[](Limits& limits) { limits.max_vocabulary = 1; }, +[](Limits& limits) { limits.max_token_text = 4; },
                            +[](Limits& limits) { limits.max_tokenizer_bytes = 3; }}) {
    Limits limits;
    change(limits);
    CHECK_THROWS_AS(load_tokenizer(folder.path(), {.limits = limits}), LimitError);
    CHECK_THROWS_AS(read_bert("[UNK]\nb\n", {.limits = limits}), LimitError);
  }
}
