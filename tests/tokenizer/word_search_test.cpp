// Models prepared for speed beside encode_word(), which merges step by step: runs of spaces that merge last, and vocabularies that break
// the rules of that.
#include "plume/tokenizer/word_search.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using plume::TokenId, plume::word_models::ScoredBpe;

namespace {

enum class Spaces { merge_last, merge_among_others, stand_in_words, stand_behind_letters };

// LLaMA's shape: single characters, pieces with one space in front, runs of spaces that share the worst score, bytes.
ScoredBpe random_model(std::mt19937& random, Spaces spaces) {
  const std::string block = "\xe2\x96\x81";
  std::vector<std::pair<std::string, float>> pieces;
  const auto add = [&](const std::string& text, float score) {
    if (std::none_of(pieces.begin(), pieces.end(), [&](const auto& piece) { return piece.first == text; }))
      pieces.emplace_back(text, score);
  };
  if (random() % 8 != 0) add(block, -1e9f);
  for (const char* one : {"a", "b", "c", "\xc3\xa9"}) add(one, -1e9f);
  float score = -1;
  std::vector<std::string> made{"a", "b", "c", "\xc3\xa9", block};
  for (int i = 0; i < 25; ++i) {
    const std::string left = made[random() % made.size()],
                      right = made[random() % 4 + (random() % 3 == 0 ? 0 : random() % (made.size() - 3))];
    const std::string whole = left + right;
    const std::size_t inner = whole.find(block, 1);
    if (whole.size() > 12 || (inner != whole.npos && spaces != Spaces::stand_behind_letters)) continue;
    add(whole, score -= 1);
    made.push_back(whole);
  }
  for (int length = 2; length < 9; ++length) {
    if (random() % 3 == 0) continue;
    std::string run;
    for (int i = 0; i < length; ++i) run += block;
    add(run, spaces == Spaces::merge_among_others ? -1 - static_cast<float>(random() % 25) - (random() % 2 ? 0.5f : 0) : -1e9f);
    if (spaces == Spaces::stand_in_words) add(run + "a", score -= 1);
  }
  ScoredBpe model;
  model.table = plume::PieceTable(pieces.size() + 256);
  for (const auto& [text, value] : pieces) {
    model.table.insert(plume::piece_key(text, text.size()), static_cast<std::uint32_t>(model.pieces.size()));
    model.pieces.push_back(text);
    model.scores.push_back(value);
    model.kinds.push_back(ScoredBpe::Kind::normal);
    model.longest = std::max(model.longest, text.size());
  }
  model.bytes.emplace();
  for (int byte = 0; byte < 256; ++byte) {
    (*model.bytes)[static_cast<std::size_t>(byte)] = static_cast<TokenId>(model.pieces.size());
    model.pieces.emplace_back();
    model.scores.push_back(0);
    model.kinds.push_back(ScoredBpe::Kind::absent);
  }
  model.joins_unknown = false;
  model.space = block;
  return model;
}

}  // namespace

TEST_CASE("Words behind runs of spaces have the tokens that merging gives them") {
  std::mt19937 random(20261127);
  for (const Spaces spaces : {Spaces::merge_last, Spaces::merge_among_others, Spaces::stand_in_words, Spaces::stand_behind_letters}) {
    std::size_t found = 0, runs = 0;
    for (int round = 0; round < 200; ++round) {
      const ScoredBpe scored = random_model(random, spaces);
      const plume::WordModel model = scored;
      const plume::WordSearch search(model, scored.pieces);
      plume::WordSearch::Scratch scratch;
      for (int i = 0; i < 100; ++i) {
        std::string word;
        const std::size_t before = i % 9 == 0 ? 60 + random() % 30 : random() % 7;
        for (std::size_t n = 0; n < before; ++n) word += "\xe2\x96\x81";
        for (std::size_t n = random() % 9; n > 0; --n)
          word += std::vector<std::string>{"a", "b", "c", "\xc3\xa9", "z", random() % 6 == 0 ? "\xe2\x96\x81" : "a"}[random() % 6];
        if (word.empty()) continue;
        std::vector<TokenId> ids{-7}, expected{-7};
        if (!search.encode(model, word, ids, scratch)) continue;
        std::vector<plume::WordToken> tokens;
        plume::encode_word(model, word, tokens);
        for (const plume::WordToken& token : tokens) expected.push_back(token.id);
        CAPTURE(word);
        CAPTURE(round);
        REQUIRE(ids == expected);
        ++found;
        runs += before > 1;
      }
    }
    CHECK(found > 2000);
    if (spaces == Spaces::merge_last) CHECK(runs > 10'000);
  }
}
