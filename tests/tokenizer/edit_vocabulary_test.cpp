// Editing vocabularies of every kind: added tokens, those of a corpus, those of another tokenizer; what was there before stays as it was.
#include "plume/tokenizer/edit_vocabulary.hpp"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/tiktoken.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"
#include "plume/tokenizer/train_unigram.hpp"
#include "string_generator.hpp"
#include "temporary.hpp"
#include "test_data.hpp"

using plume::SpecialText;
using plume::TokenId;
using plume::Tokenizer;
using Ids = std::vector<TokenId>;

namespace {

const std::vector<std::string> kinds{"byte_bpe", "char_bpe", "llama", "prefix_bpe", "suffix_bpe", "unigram", "bert", "word_level"};

Tokenizer kind(const std::string& name) {
  const std::string path = plume_test::golden("tokenizers/" + name + ".json");
  return plume::read_tokenizer_json(plume_test::read_all(path), {.path = path});
}

std::vector<std::string> texts() {
  std::vector<std::string> all{"",
                               "It was a dark and stormy night; the rain fell in torrents.",
                               "Because of an hereditary recklessness, I have been playing always a losing game since my childhood.",
                               "  two  spaces\tand a tab\nand lines\n\n",
                               "na\xc3\xafve \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\x99\x82 \xce\x95\xce\xbb\xce\xbb\xce\xac\xce\xb4\xce\xb1",
                               "x=y; for(i=0;i<10;++i) 1234567 <0x41> ##ing</w>"};
  for (int i = 0; i < 40; ++i)
    all.push_back(all[static_cast<std::size_t>(1 + i % 5)].substr(static_cast<std::size_t>(i % 16)) + " " + all[2]);
  return all;
}

// The tokenizer as it comes back from its files.
Tokenizer reopened(const Tokenizer& tokenizer) {
  const plume_test::TemporaryDirectory folder;
  plume::save_tokenizer(tokenizer, folder.path());
  return plume::load_tokenizer(folder.path());
}

}  // namespace

TEST_CASE("Added tokens get the next ids; every text keeps its ids, and control tokens need to be asked for") {
  for (const std::string& name : kinds) {
    CAPTURE(name);
    const Tokenizer old = kind(name);
    const auto first = static_cast<TokenId>(old.vocabulary());
    const std::vector<std::string> tokens{"<|user|>", "<|bot|>"};
    for (const Tokenizer& grown : {plume::add_tokens(old, tokens), reopened(plume::add_tokens(old, tokens))}) {
      REQUIRE(grown.vocabulary() == old.vocabulary() + 2);
      for (TokenId id = 0; id < first; ++id) REQUIRE(grown.piece(id) == old.piece(id));
      CHECK(grown.find("<|bot|>") == first + 1);
      CHECK(grown.is_special(first));
      for (const std::string& text : texts()) CHECK(grown.encode(text) == old.encode(text));
      const Ids asked = grown.encode("hello<|bot|>", {.special = SpecialText::recognise, .end = plume::End::nothing});
      CHECK(asked.back() == first + 1);
      for (const TokenId id : grown.encode("hello<|bot|> <|user|>")) CHECK(id < first);
    }
    const Tokenizer word = plume::add_tokens(old, {"zyzzyva"}, {.kind = plume::NewToken::text});
    const Ids plain = word.encode("a zyzzyva", {.end = plume::End::nothing});
    CHECK(plain.back() == first);
    CHECK(!word.is_special(first));
    // what is there already stays, and may become special
    CHECK(plume::add_tokens(word, {"zyzzyva"}).vocabulary() == word.vocabulary());
    CHECK(plume::add_tokens(word, {"zyzzyva"}).is_special(first));
    CHECK_THROWS_AS(plume::add_tokens(old, {""}), plume::ArgumentError);
  }
}

TEST_CASE("Pruned to a corpus: its texts keep their tokens, special tokens and bytes stay, the rest goes") {
  for (const std::string& name : kinds) {
    CAPTURE(name);
    const Tokenizer old = kind(name);
    plume::TokenUse use(old);
    for (const std::string& text : texts()) use.add(text);
    const plume::PrunedTokenizer pruned = plume::keep_tokens(old, use.used());
    CHECK(pruned.tokenizer.vocabulary() < old.vocabulary());
    REQUIRE(static_cast<plume::Index>(pruned.kept.size()) == pruned.tokenizer.vocabulary());
    std::vector<TokenId> now(static_cast<std::size_t>(old.vocabulary()), -1);
    for (std::size_t id = 0; id < pruned.kept.size(); ++id) {
      now[static_cast<std::size_t>(pruned.kept[id])] = static_cast<TokenId>(id);
      CHECK(pruned.tokenizer.piece(static_cast<TokenId>(id)) == old.piece(pruned.kept[id]));
      CHECK(pruned.tokenizer.is_special(static_cast<TokenId>(id)) == old.is_special(pruned.kept[id]));
    }
    for (TokenId id = 0; id < old.vocabulary(); ++id) {
      if (old.is_special(id) || old.piece(id).starts_with("<0x")) CHECK(now[static_cast<std::size_t>(id)] >= 0);
    }
    for (const Tokenizer& tokenizer : {pruned.tokenizer, reopened(pruned.tokenizer)})
      for (const std::string& text : texts()) {
        Ids expected = old.encode(text);
        for (TokenId& id : expected) id = now[static_cast<std::size_t>(id)];
        CHECK(tokenizer.encode(text) == expected);
      }
    if (name == "byte_bpe" || name == "llama") {  // other texts are spelled out in bytes
      const std::string other = "quixotic zebras \xed\x95\x9c";
      CHECK(pruned.tokenizer.decode(pruned.tokenizer.encode(other)) == old.decode(old.encode(other)));
    }
    CHECK_THROWS_AS(plume::keep_tokens(old, Ids{static_cast<TokenId>(old.vocabulary())}), plume::ArgumentError);
    // nothing used: what must stay, stays
    CHECK(plume::keep_tokens(old, Ids{}).tokenizer.vocabulary() >= static_cast<plume::Index>(old.model().vocabulary.special().size()));
  }
}

TEST_CASE("A corpus in a file of several blocks, and tokens that are seen too rarely") {
  const Tokenizer tokenizer = kind("byte_bpe");
  std::string text;
  while (text.size() < (std::size_t{9} << 19)) text += "It was a dark and stormy night.\n";
  text += "once";
  const plume_test::TemporaryDirectory folder;
  plume_test::write_all(folder / "corpus.txt", text);
  plume::TokenUse file(tokenizer), memory(tokenizer);
  file.add_file(folder / "corpus.txt");
  memory.add(text);
  CHECK(file.counts() == memory.counts());
  CHECK(file.used(2).size() < file.used().size());
  CHECK_THROWS_AS(file.add_file(folder / "absent"), plume::IoError);
}

TEST_CASE("Merged with another vocabulary: old ids on old text, one id for each new piece") {
  std::vector<std::string> corpus;
  for (int i = 0; i < 30; ++i)
    corpus.push_back(
        "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c, \xe4\xb8\x96\xe7\x95\x8c\xe4\xbd\xa0\xe5\xa5\xbd! stormy weather, stormy rain " +
        std::to_string(i));
  const Tokenizer bytes = plume::train_byte_bpe(corpus, {.vocabulary_size = 320}),
                  pieces = plume::train_unigram(corpus, {.vocabulary_size = 340, .character_coverage = 1});
  for (const std::string name : {"byte_bpe", "llama", "unigram"})
    for (const Tokenizer& other : {bytes, pieces}) {
      CAPTURE(name);
      CAPTURE(other.kind());
      const Tokenizer old = kind(name);
      const Tokenizer merged = reopened(plume::merge_tokenizers(old, other));
      REQUIRE(merged.vocabulary() > old.vocabulary());
      std::vector<std::string> fresh;           // texts of the new pieces
      std::size_t whole_words = 0, single = 0;  // pieces that a text can be, and those that are then one token
      for (TokenId id = 0; id < merged.vocabulary(); ++id) {
        if (id < old.vocabulary()) {
          REQUIRE(merged.piece(id) == old.piece(id));
          CHECK(merged.is_special(id) == old.is_special(id));
          continue;
        }
        fresh.push_back(merged.decode(Ids{id}));
        if (name != "byte_bpe" && !merged.piece(id).starts_with("\xe2\x96\x81")) continue;
        ++whole_words;
        if (merged.encode(fresh.back(), {.begin = plume::Begin::nothing}) == Ids{id}) ++single;
      }
      REQUIRE(whole_words > 5);
      if (name == "llama" || (name == "byte_bpe" && other.kind() != "Unigram")) CHECK(single == whole_words);
      CHECK(single * 10 >= whole_words * 7);  // a unigram piece may mix what byte-level pieces do not; likelier pieces may spell it
      std::size_t untouched = 0;
      for (const std::string& text : texts()) {
        const bool holds = std::any_of(fresh.begin(), fresh.end(), [&](const std::string& piece) { return text.find(piece) != text.npos; });
        if (holds) continue;
        ++untouched;
        CHECK(merged.encode(text) == old.encode(text));
      }
      CHECK(untouched >= 2);
      const std::string greeting = "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c";
      if (name != "unigram") CHECK(merged.encode(greeting).size() < old.encode(greeting).size());  // there it was unknown
      CHECK(merged.decode(merged.encode(greeting)) == greeting);
    }
  CHECK_THROWS_AS(plume::merge_tokenizers(kind("bert"), bytes), plume::ArgumentError);
  CHECK_THROWS_AS(plume::merge_tokenizers(kind("prefix_bpe"), bytes), plume::ArgumentError);
  CHECK(plume::merge_tokenizers(kind("bert"), kind("bert")).vocabulary() == kind("bert").vocabulary());
}

TEST_CASE("The tokenizers that plume trains can be edited and written in every form") {
  const Tokenizer trained = plume::train_byte_bpe({"low lower lowest <|endoftext|> low slow slowest"}, {.vocabulary_size = 262});
  const std::string text = "slowest lows \xc3\xa9";
  for (const Tokenizer& same : {plume::read_tokenizer_json(plume::write_tokenizer_json(trained)), plume::add_tokens(trained, {"<|x|>"})}) {
    CHECK(same.encode(text) == trained.encode(text));
    CHECK(same.eos() == trained.eos());
  }
  // vocab.json and merges.txt of what came from a tokenizer.json
  const Tokenizer edited = plume::add_tokens(trained, {"<|x|>"});
  const plume_test::TemporaryDirectory folder;
  for (const plume::TokenizerFile& file : plume::write_byte_bpe(edited)) plume_test::write_all(folder / file.name, file.content);
  const Tokenizer back = plume::load_byte_bpe(folder / "vocab.json", folder / "merges.txt");
  CHECK(back.encode(text) == trained.encode(text));
  CHECK(back.find("<|x|>") == edited.find("<|x|>"));
  CHECK(back.is_special(*back.find("<|x|>")));
  CHECK_THROWS_AS(plume::write_byte_bpe(kind("llama")), plume::ArgumentError);
}

TEST_CASE("Vocabularies of vocab.json + merges.txt and of tiktoken: edited, and written as what they were") {
  const auto merges = plume_test::test_data("tokenizers/gpt2/encoder.json"),
             ranks = plume_test::test_data("tokenizers/tiktoken/gpt2.tiktoken");
  if (!merges || !ranks) return;
  const plume_test::TemporaryDirectory folder;
  for (const std::string& path : {*merges, *ranks}) {
    CAPTURE(path);
    const Tokenizer old = plume::load_tokenizer(path);
    const auto reread = [&](const Tokenizer& tokenizer, const Tokenizer& names) {
      if (path == *merges) {
        for (const plume::TokenizerFile& file : plume::write_byte_bpe(tokenizer)) plume_test::write_all(folder / file.name, file.content);
        return plume::load_byte_bpe(folder / "vocab.json", folder / "merges.txt");
      }
      std::vector<std::pair<std::string, TokenId>> special;
      for (const TokenId id : names.model().vocabulary.special()) special.emplace_back(names.piece(id), id);
      return plume::read_tiktoken(plume::write_tiktoken(tokenizer), {.path = "edited.tiktoken", .encoding = "gpt2", .special = special});
    };
    const Tokenizer grown = plume::add_tokens(old, {"<|user|>"});
    const Tokenizer grown_back = reread(grown, grown);
    plume::TokenUse use(old);
    for (const std::string& text : texts()) use.add(text);
    const auto pruned = plume::keep_tokens(old, use.used());
    const Tokenizer pruned_back = reread(pruned.tokenizer, pruned.tokenizer);
    CHECK(pruned.tokenizer.vocabulary() < 1000);
    CHECK(pruned_back.vocabulary() == pruned.tokenizer.vocabulary());
    CHECK(grown_back.vocabulary() == old.vocabulary() + 1);
    for (const std::string& text : texts()) {
      const Ids ids = old.encode(text);
      CHECK(grown_back.encode(text) == ids);
      CHECK(grown_back.encode(text + "<|user|>") == grown.encode(text + "<|user|>"));
      Ids fewer = pruned_back.encode(text);
      for (TokenId& id : fewer) id = pruned.kept[static_cast<std::size_t>(id)];
      CHECK(fewer == ids);
    }
    const Ids meant = grown_back.encode("a<|user|>", {.special = SpecialText::recognise});
    CHECK(meant.back() == old.vocabulary());
  }
}

// What check_edited.py opens in Python: with PLUME_EDITED_OUTPUT naming a folder the files stay there.
TEST_CASE("Files of edited tokenizers give the ids that Python's tokenizers gave, and are the files that it read") {
  const char* const wish = std::getenv("PLUME_EDITED_OUTPUT");
  const plume_test::TemporaryDirectory folder;
  const std::string place = wish && *wish ? wish : folder.path();
  const plume::Json read = plume::Json::parse(plume_test::read_all(plume_test::golden("tokenizers/edited.json")));
  plume::Json list = plume::Json::array();
  std::vector<std::string> all = texts();
  for (const char* text : {"<|user|>", "a zyzzyva <|bot|>zyzzyvas", "zyzzyva"}) all.emplace_back(text);
  std::erase_if(all, [](const std::string& text) { return plume::utf8_error(text) != text.size(); });  // Python has no such texts
  for (const std::string& text : all) list.push(text);
  plume_test::write_all(place + "/texts.json", plume::dump(list));
  const auto check = [&](const std::string& name, const Tokenizer& tokenizer) {
    CAPTURE(name);
    const std::string file = plume::write_tokenizer_json(tokenizer);
    plume_test::write_all(place + "/" + name + ".json", file);
    const plume::Json* const record = read.find(name);
    CHECK(record != nullptr);
    if (record == nullptr) return;
    plume_test::Crc32 sum, ids;
    sum.add(file);
    CHECK(sum.text() == record->text("file"));
    const Tokenizer again = plume::read_tokenizer_json(file);
    for (const std::string& text : all) {
      for (const TokenId id : again.encode(text, {.special = SpecialText::recognise})) ids.add(id);
      ids.add(TokenId{-1});
    }
    CHECK(ids.text() == record->text("ids"));
  };
  for (const std::string& name : kinds) {
    const Tokenizer old = kind(name);
    check(name + "_grown",
          plume::add_tokens(plume::add_tokens(old, {"<|user|>", "<|bot|>"}), {"zyzzyva"}, {.kind = plume::NewToken::text}));
    plume::TokenUse use(old);
    for (const std::string& text : texts()) use.add(text);
    check(name + "_pruned", plume::keep_tokens(old, use.used()).tokenizer);
  }
  const Tokenizer bytes = kind("byte_bpe"), pieces = kind("llama");
  check("bytes_and_pieces", plume::merge_tokenizers(bytes, pieces));
  check("pieces_and_bytes", plume::merge_tokenizers(pieces, bytes));
  check("unigram_and_pieces", plume::merge_tokenizers(kind("unigram"), pieces));
}

TEST_CASE("What has no tokenizer.json cannot be edited, and says so") {
  const Tokenizer pieces = plume::load_tokenizer(plume_test::golden("sentencepiece/unigram_map.model"));
  for (const auto& edit :
       std::vector<std::function<void()>>{[&] { plume::add_tokens(pieces, {"<x>"}); }, [&] { plume::keep_tokens(pieces, Ids{1}); },
                                          [&] { plume::merge_tokenizers(pieces, pieces); }}) {
    try {
      edit();
      FAIL("edited");
    } catch (const plume::ArgumentError& error) {
      CHECK(std::string(error.what()).find("tokenizer.json") != std::string::npos);
      CHECK(std::string(error.what()).find("SentencePiece Unigram") != std::string::npos);
    }
  }
}
