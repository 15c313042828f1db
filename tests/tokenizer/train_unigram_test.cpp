// The unigram trainer beside sentencepiece's on the same text (tests/golden/make_trainers.py), its parts by hand, and what it refuses.
#include "plume/tokenizer/train_unigram.hpp"

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/unigram_seeds.hpp"
#include "test_data.hpp"

using plume::Index;
using plume::UnigramPieces;
using plume::WordCount;

namespace {

std::vector<std::string> lines_of(const std::string& path) {
  const std::string text = plume_test::read_all(path);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::size_t size = end - at - (end > at && text[end - 1] == '\r' ? 1 : 0);
    if (size > 0) lines.push_back(text.substr(at, size));
    at = end + 1;
  }
  return lines;
}

std::vector<double> scores_of(const plume::Tokenizer& tokenizer) {
  const plume::Json file = plume::Json::parse(tokenizer.model().files().at(0).content, {.size = plume::JsonSize::table});
  std::vector<double> scores;
  for (const plume::Json& entry : file.at("model").at("vocab").items()) scores.push_back(entry.at(1).as_number());
  return scores;
}

}  // namespace

TEST_CASE("Botchan: as likely and as short as with sentencepiece's trainer, far from the baselines") {
  const auto path = plume_test::test_data("tokenizers/sentencepiece/botchan.txt");
  if (!path) return;
  const plume::Json golden = plume::Json::parse(plume_test::read_all(plume_test::golden("trainers/unigram.json")));
  const std::vector<std::string> lines = lines_of(*path);
  REQUIRE(static_cast<Index>(lines.size()) == golden.integer("lines"));
  const auto tokenizer = plume::train_unigram(lines, {.vocabulary_size = golden.integer("vocabulary"), .character_coverage = 1});
  CHECK(tokenizer.vocabulary() == golden.integer("vocabulary"));
  const std::vector<double> scores = scores_of(tokenizer);
  double nats = 0, tokens = 0;
  for (const std::string& line : lines)
    for (const plume::TokenId id : tokenizer.encode(line)) nats -= scores[static_cast<std::size_t>(id)], ++tokens;
  const plume::Json& theirs = golden.at("sentencepiece");
  MESSAGE("nats ", nats, " (sentencepiece ", theirs.number("nats"), "), tokens ", tokens, " (", theirs.integer("tokens"), ")");
  CHECK(nats < 1.01 * theirs.number("nats"));
  CHECK(tokens < 1.01 * static_cast<double>(theirs.integer("tokens")));
  CHECK(nats < 0.8 * golden.at("frequent_substrings").number("nats"));
  double total = 0;
  for (std::size_t id = 3 + 256; id < scores.size(); ++id) total += std::exp(scores[id]);
  CHECK(total == doctest::Approx(1).epsilon(0.01));  // the digamma of the maximisation step takes a little from rare pieces
}

TEST_CASE("What is encoded decodes to the same text: lines, unknown characters as bytes, spelled byte and special tokens") {
  const auto tokenizer = plume::train_unigram({"the cat sat on the mat\nand the rat ran to the cat\n"}, {.vocabulary_size = 320});
  for (const std::string text : {"the cat", "and\n\nthe  mat", "\xe7\x8c\xab sat", "<0x41> </s><s><unk>", "q\xc3\xa9\xf0\x9f\x99\x82"}) {
    CAPTURE(text);
    const auto ids = tokenizer.encode(text);
    CHECK(tokenizer.decode(ids) == text);
    for (const plume::TokenId id : ids) CHECK(id > 2);
  }
  CHECK(tokenizer.piece(0) == "<unk>");
  CHECK(tokenizer.bos() == 1);
  CHECK(tokenizer.eos() == 2);
  CHECK(tokenizer.kind() == "Unigram");
  // without bytes the first special token stands for what is unknown; compatibility forms become one where that is asked for
  const auto plain = plume::train_unigram({"a b a b"}, {.vocabulary_size = 20, .byte_fallback = plume::ByteFallback::no});
  CHECK(plain.encode("a\xe7\x8c\xab").back() == 0);
  const auto compatible =
      plume::train_unigram({"\xef\xac\x81ne fine"}, {.vocabulary_size = 300, .normalization = plume::TextNormalization::nfkc});
  CHECK(compatible.encode("\xef\xac\x81ne") == compatible.encode("fine"));
}

TEST_CASE("No piece crosses a space or two scripts; kana and ideographs may stand together, a mark stands with its letter") {
  std::string text;
  for (int i = 0; i < 50; ++i)
    text +=
        "abc123 \xe7\x8c\xab\xe3\x81\xaf\xe7\x8c\xab, xe\xcc\x81y \xd0\xb0\xd0\xb1"
        "ab ";
  const auto tokenizer = plume::train_unigram({text}, {.vocabulary_size = 400, .character_coverage = 1});
  CHECK(
      tokenizer.find("\xe2\x96\x81"
                     "abc"));
  CHECK(tokenizer.find("123"));
  CHECK(
      !tokenizer.find("\xe2\x96\x81"
                      "abc123"));
  CHECK(tokenizer.find("\xe2\x96\x81\xe7\x8c\xab\xe3\x81\xaf\xe7\x8c\xab"));
  CHECK(tokenizer.find("\xe2\x96\x81xe\xcc\x81y"));
  CHECK(tokenizer.find("\xe2\x96\x81\xd0\xb0\xd0\xb1"));
  CHECK(
      !tokenizer.find("\xd0\xb1"
                      "a"));
}

TEST_CASE("Seeds by hand: every repeated substring that is the longest at its places, and the best of those that end words") {
  const std::vector<WordCount> words{{"abab_", 2}, {"xab_", 1}, {"z\xc3\xa9\xc3\xa8_", 1}, {"z\xc3\xa9\xc3\xaa_", 1}};
  const auto listed = [&](const plume::UnigramSeedOptions& options) {
    std::string lines;
    for (const plume::UnigramSeed& seed : plume::unigram_seeds(words, options)) lines += plume::concat(seed.text, " ", seed.count, "\n");
    return lines;
  };
  // "ba" always goes on as "bab", which ends with its word, as "abab" does; "z\xc3\xa9" stands there twice, and no half of a character
  CHECK(listed({}) == "ab 5\nabab 2\nbab 2\nz\xc3\xa9 2\n");
  CHECK(listed({.most_endings = 1}) == "ab 5\nabab 2\nz\xc3\xa9 2\n");
  CHECK(listed({.most_endings = 0}) == "ab 5\nz\xc3\xa9 2\n");
  CHECK(listed({.most = 1}) == "ab 5\n");  // 5 x 2 characters
  CHECK(listed({.longest = 2}) == "ab 5\nz\xc3\xa9 2\n");
  CHECK(listed({.longest = 3}) == "ab 5\nbab 2\nz\xc3\xa9 2\n");
  CHECK(plume::unigram_seeds({}, {}).empty());
}

TEST_CASE("A text that comes twice has as few tokens as if it came once: pieces are parts of rare words, not those words") {
  std::mt19937 random(20261127);
  std::string text;
  for (int i = 0; i < 3000; ++i) {
    for (std::size_t length = 5 + random() % 5; length > 0; --length) text += static_cast<char>('a' + random() % 20);
    text += std::vector<std::string>{"vyw", "wzv", "zyv"}[random() % 3] + std::vector<std::string>{" ", ", ", ".\n"}[random() % 3];
  }
  const auto tokens = [&](const std::string& seen) {
    const auto tokenizer = plume::train_unigram({seen}, {.vocabulary_size = 500, .character_coverage = 1});
    return static_cast<double>(tokenizer.encode(text).size());
  };
  CHECK(tokens(text + text) / tokens(text) == doctest::Approx(1).epsilon(0.02));
}

TEST_CASE("Expected uses by hand, on short words and on long ones, and digamma") {
  // "aa" = a a with probability .25, or aa with .5: Z = .75
  const UnigramPieces pieces{{"a", "aa"}, {std::log(0.5), std::log(0.5)}};
  const std::vector<WordCount> words{{"aa", 3}};
  const plume::UnigramEm em(words, {});
  const plume::PieceUses expected = em.expected(pieces);
  CHECK(static_cast<double>(expected.uses[0]) / expected.scale == doctest::Approx(3 * 2 * 0.25 / 0.75));
  CHECK(static_cast<double>(expected.uses[1]) / expected.scale == doctest::Approx(3 * 0.5 / 0.75));
  CHECK(expected.nats == doctest::Approx(-3 * std::log(0.75)));
  const plume::PieceUses best = em.best(pieces);
  CHECK(best.uses == std::vector<std::int64_t>{0, 3});
  CHECK(best.nats == doctest::Approx(-3 * std::log(0.5)));
  CHECK(em.replacements(pieces).pieces[1] == std::vector<std::uint32_t>{0, 0});
  CHECK(em.replacements({{"a", "aa"}, {std::log(0.5), std::log(0.2)}}).useless[1] == 1);

  // Z of a^n: z(n) = z(n - 1) / 2 + z(n - 2) / 2 tends to 2/3; the long word needs logarithms (0.5^2000 underflows)
  const std::string longest(2000, 'a');
  const std::vector<WordCount> one{{longest, 1}};
  const plume::PieceUses all = plume::UnigramEm(one, {}).expected(pieces);
  CHECK(all.nats == doctest::Approx(-std::log(2.0 / 3)));
  CHECK(static_cast<double>(all.uses[0] + 2 * all.uses[1]) / all.scale == doctest::Approx(2000));

  CHECK(plume::unigram_em::digamma(1) == doctest::Approx(-0.57721566490153286));  // -Euler's constant
  CHECK(plume::unigram_em::digamma(0.5) == doctest::Approx(-1.9635100260214235));
  CHECK(plume::unigram_em::digamma(1000) == doctest::Approx(6.9072551956488121));
}

TEST_CASE("What the unigram trainer refuses, and cancelling") {
  const std::vector<std::string> texts{"a b c"};
  CHECK_THROWS_AS(plume::train_unigram(texts, {.special_tokens = {}}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::train_unigram(texts, {.special_tokens = {"<s>", "<s>"}}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::train_unigram(texts, {.character_coverage = 0}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::train_unigram(texts, {.shrinking_factor = 1}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::train_unigram(texts, {.rounds = 0}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::train_unigram(texts, {.longest_piece = 0}), plume::ArgumentError);
  CHECK_THROWS_WITH_AS(plume::train_unigram(texts, {.vocabulary_size = 6, .byte_fallback = plume::ByteFallback::no}),
                       doctest::Contains("vocabulary_size is 6"), plume::ArgumentError);
  const plume::StopSource stop;
  stop.request();
  CHECK_THROWS_AS(plume::train_unigram(texts, {.stop = stop.token()}), plume::Cancelled);
  CHECK(plume::train_unigram(std::vector<std::string>{}, {}).vocabulary() > 259);
}
