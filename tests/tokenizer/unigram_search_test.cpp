// Unigram with texts cut into words that are remembered, and where texts may be cut, beside the best path of the whole text.
#include "plume/tokenizer/unigram_search.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using plume::TokenId, plume::word_models::ScoreType, plume::word_models::Unigram;

namespace {

const std::string characters[] = {"\xe2\x96\x81",     "a", "b",    "c",        "\xe4\xb8\xad", "\xe6\x96\x87", "\xc3\xa9", "\n",
                                  "\xf0\x9f\x90\xa7", "z", "\xff", "\xe4\xb8", "\xef\xbf\xbd"};

std::string random_text(std::mt19937& random, std::size_t kinds, std::size_t most) {
  std::string text;
  for (std::size_t length = 1 + random() % most; length > 0; --length) text += characters[random() % kinds];
  return text;
}

// Pieces of some characters, many scores close to each other.
Unigram random_model(std::mt19937& random, bool has_bytes) {
  Unigram model;
  std::map<std::string, TokenId> ids;
  const double scale = std::vector<double>{1, 40, 700}[random() % 3];
  const std::size_t count = 3 + random() % 40;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string text = random_text(random, i % 5 == 4 ? std::size(characters) : 8, i < 6 ? 1 : 4);
    if (!ids.emplace(text, static_cast<TokenId>(model.scores.size())).second) continue;
    model.pieces.add(text, static_cast<std::uint32_t>(model.scores.size()));
    const auto steps = static_cast<float>(random() % 7);
    model.scores.push_back(
        static_cast<double>(static_cast<float>(-scale) * (random() % 2 ? steps : steps + 0.005f * static_cast<float>(random() % 9))));
    model.lowest = std::min(model.lowest, model.scores.back());
  }
  if (random() % 3 == 0) {  // no float, as those of user-defined pieces
    model.pieces.add("ab", static_cast<std::uint32_t>(model.scores.size()));
    model.scores.push_back(0.1 * scale);
  }
  model.unknown = static_cast<TokenId>(model.scores.size());
  model.scores.push_back(0);
  if (has_bytes) {
    model.bytes.emplace();
    for (int byte = 0; byte < 256; ++byte)
      (*model.bytes)[static_cast<std::size_t>(byte)] = static_cast<TokenId>(model.scores.size()), model.scores.push_back(-1);
    if (random() % 3 == 0) (*model.bytes)[0x9f] = -1;  // of the penguin: its bytes are not all there
  }
  model.sums = random() % 4 == 0 ? ScoreType::real64 : ScoreType::real32;
  if (random() % 3 == 0) model.behind_space = -3.25f;
  return model;
}

std::vector<TokenId> whole(const Unigram& model, std::string_view text) {
  std::vector<plume::WordToken> tokens;
  plume::encode_word(model, text, tokens);
  std::vector<TokenId> ids;
  for (const plume::WordToken& token : tokens) ids.push_back(token.id);
  return ids;
}

}  // namespace

TEST_CASE("Words that are remembered have the tokens that the whole text gives them, however sums are rounded") {
  std::mt19937 random(20261126);
  for (int round = 0; round < 300; ++round) {
    const Unigram model = random_model(random, round % 2 == 0);
    const plume::UnigramSearch search(model);
    plume::UnigramSearch::Scratch scratch;
    plume::WordCache known;
    std::vector<std::string> words;
    for (int i = 0; i < 40; ++i) words.push_back(random_text(random, 4 + random() % 10, i == 0 ? 120 : 6));
    for (const std::size_t length : {1u, 7u, 60u, round % 10 == 0 ? 20'000u : 1500u}) {
      std::string text;
      for (std::size_t i = 0; i < length; ++i) text += words[random() % words.size()];
      std::vector<TokenId> ids;
      known.expect(text.size());
      search.encode(model, text, {0, text.size()}, ids, known, scratch);
      CAPTURE(round);
      REQUIRE(ids == whole(model, text));
    }
  }
}

TEST_CASE("A word of many characters without a border, with and without places that all paths share") {
  std::mt19937 random(20261127);
  for (const bool shares : {false, true}) {
    Unigram model;
    const std::vector<std::string_view> pairs{"a",  "b",  "c",  "aa", "ab",  "ac",  "ba",   "bb",
                                              "bc", "ca", "cb", "cc", "aba", "bab", "abba", "baab"},
        triples{"a", "b", "c", "aab", "bba", "ccb", "aca", "bac", "acc", "cbc", "bbb"};
    for (const std::string_view text : shares ? triples : pairs) {
      model.pieces.add(text, static_cast<std::uint32_t>(model.scores.size()));
      model.scores.push_back(-0.37 * static_cast<double>(1 + random() % 11));
    }
    model.lowest = -9;
    model.unknown = static_cast<TokenId>(model.scores.size());
    model.scores.push_back(0);
    model.sums = shares ? ScoreType::real32 : ScoreType::real64;
    const plume::UnigramSearch search(model);
    for (int round = 0; round < 20; ++round) {
      std::string text;
      for (int i = 0; i < 30'000; ++i) text += "abc"[random() % 3];
      plume::UnigramSearch::Scratch scratch;
      plume::WordCache known;
      known.expect(text.size());
      std::vector<TokenId> ids;
      search.encode(model, text, {0, text.size()}, ids, known, scratch);
      CHECK(ids == whole(model, text));
    }
  }
}

TEST_CASE("Words with two paths that hardly differ, met where sums are small, where they are large, and again elsewhere") {
  std::mt19937 random(20261129);
  const auto fraction = [&] { return static_cast<float>(random() % 1'000'003) / 1'000'003.0f; };
  for (int round = 0; round < 12; ++round) {
    Unigram model;
    std::vector<std::string> words;
    const auto add = [&](std::string_view text, float score) {
      model.pieces.add(text, static_cast<std::uint32_t>(model.scores.size()));
      model.scores.push_back(double{score});
      model.lowest = std::min(model.lowest, model.scores.back());
      return score;
    };
    for (char left = 'a'; left <= 'z'; ++left) {  // pairs of a small letter and a capital: between words there are borders
      const char right = static_cast<char>(left - 'a' + 'A');
      words.push_back({left, right});
      const float one = add({&left, 1}, -1 - 20 * fraction()), other = add({&right, 1}, -1 - 20 * fraction());
      add(words.back(), one + other + std::ldexp(fraction() - 0.5f, -static_cast<int>(random() % 12)));
    }
    model.unknown = static_cast<TokenId>(model.scores.size());
    model.scores.push_back(0);
    model.sums = round % 4 == 3 ? ScoreType::real64 : ScoreType::real32;
    const plume::UnigramSearch search(model);
    plume::UnigramSearch::Scratch scratch;
    plume::WordCache known;
    for (const std::size_t length : {100u, 6000u, 50'000u, 100u}) {
      const bool begins_anew = length == 50'000;  // most words come late, where sums are large
      if (begins_anew) known = {};
      std::string text;
      for (std::size_t i = 0; i < length; ++i) text += words[begins_anew && i < 4000 ? i % 2 : random() % words.size()];
      std::vector<TokenId> ids;
      known.expect(text.size());
      search.encode(model, text, {0, text.size()}, ids, known, scratch);
      CAPTURE(round);
      CAPTURE(length);
      CHECK((ids == whole(model, text)));
    }
  }
}

TEST_CASE("A score that is no float is added before the sum is rounded") {
  Unigram model;
  const std::vector<std::pair<std::string_view, double>> pieces{{"x", -65536}, {"a", 0}, {"b", 0}, {"ab", -0.00390625 - 1e-10}};
  for (const auto& [text, score] : pieces) {
    model.pieces.add(text, static_cast<std::uint32_t>(model.scores.size()));
    model.scores.push_back(score);
  }
  model.lowest = -65536;
  model.unknown = static_cast<TokenId>(model.scores.size());
  model.scores.push_back(0);
  model.sums = ScoreType::real32;
  const plume::UnigramSearch search(model);
  plume::UnigramSearch::Scratch scratch;
  plume::WordCache known;
  known.expect(3);
  std::vector<TokenId> ids;
  search.encode(model, "xab", {0, 3}, ids, known, scratch);
  CHECK(ids == std::vector<TokenId>{0, 1, 2});  // rounded to a float first, the last piece would cost nothing
  CHECK(ids == whole(model, "xab"));
}

TEST_CASE("Scores whose sums could be infinite are left to the plain search") {
  Unigram model;
  model.pieces.add("a", 0);
  model.scores = {-1e39, 0};
  model.unknown = 1;
  CHECK(!plume::UnigramSearch(model));
  model.scores[0] = std::numeric_limits<double>::quiet_NaN();
  CHECK(!plume::UnigramSearch(model));
  model.scores = {-2, -1e300};  // what is no piece costs nothing
  CHECK(plume::UnigramSearch(model));
}

TEST_CASE("No token reaches across a border, and there is one wherever two characters stand in no token") {
  using Unknown = plume::PieceBorders::Unknown;
  const std::vector<std::string_view> tokens{"a", "b", "ab", "\xe4\xb8\xad", "\xe4\xb8\xad\xe6\x96\x87", "b\xc3\xa9", ""};
  const plume::PieceBorders bytes(tokens, Unknown::bytes), shared(tokens, Unknown::shared);
  const auto cuts = [](const plume::PieceBorders& borders, std::string_view text) {
    std::vector<std::size_t> ends;
    plume::PieceBorders::Cursor cursor(borders, text, 0);
    while (ends.empty() || ends.back() < text.size()) ends.push_back(cursor.next());
    return ends;
  };
  using Ends = std::vector<std::size_t>;
  CHECK(cuts(bytes, "abba") == Ends{2, 3, 4});
  CHECK(cuts(bytes, "azz") == Ends{1, 2, 3});
  CHECK(cuts(shared, "azz") == Ends{3});  // unknown characters may share a token with what stands before them
  CHECK(cuts(shared, "azza") == Ends{3, 4});
  CHECK(cuts(bytes, "\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad") == Ends{6, 9});
  CHECK(cuts(bytes,
             "b\xc3\xa9"
             "b") == Ends{3, 4});
  CHECK(cuts(shared,
             "\xe4\xb8\xad"
             "a\xf0\x9f\x90\xa7") == Ends{3, 8});
  CHECK(cuts(bytes,
             "ba\xf0\x9f\x90\xa7"
             "ba") == Ends{1, 7, 8});  // beyond U+FFFF: none on either side
  CHECK(cuts(bytes,
             "\xf0\x9f\x90\xa7"
             "baba") == Ends{5, 7, 8});
  // What malformed bytes belong to, the next three bytes at most, is not for borders to say.
  CHECK(cuts(bytes,
             "ba\xe4z"
             "baba") == Ends{1, 7, 8});
  CHECK(cuts(bytes, "\xff") == Ends{1});
  CHECK(cuts(bytes, "a\xc2\x80z") == Ends{1, 3, 4});
  CHECK(plume::PieceBorders().empty());
  CHECK(cuts(plume::PieceBorders(), "a b") == Ends{3});
}

TEST_CASE("Borders of long texts are where two characters stand in no token, and nearly everywhere there") {
  const std::string rare[] = {"\ud7ff", "\uffbf", "\u0800", "\uffff",   "\ufffd",       "\xe4",         "\xe4\xb8",
                              "\xff",   "\x80",   "\xc3",   "\xf0\x9f", "\xed\xa0\x80", "\xe0\x80\x80", "\xef\xbf"};
  std::mt19937 random(20261128);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> tokens;
    for (std::size_t i = 0; i < 4; ++i) tokens.push_back(random_text(random, 8, 1));
    for (std::size_t i = 0; i < 12; ++i) tokens.push_back(random_text(random, 9, 4));
    for (std::size_t i = 0; i < 4; ++i) tokens.emplace_back(rare[i]);
    // Where most pairs of lower-case letters stand in tokens, there may be no border between any.
    const bool joins_lower = round % 3 == 0;
    const auto is_lower = [](char32_t c) { return c >= 'a' && c <= 'z'; };
    if (joins_lower)
      for (int pair = 0; pair < 26 * 26; ++pair)
        if (pair % 3 != 0) tokens.push_back({static_cast<char>('a' + pair / 26), static_cast<char>('a' + pair % 26)});
    const auto shared = round % 2 == 0 ? plume::PieceBorders::Unknown::shared : plume::PieceBorders::Unknown::bytes;
    const plume::PieceBorders borders(std::vector<std::string_view>(tokens.begin(), tokens.end()), shared);
    std::string text;
    // Of one and three bytes a character, which are looked at many at a time, and of others; few that are rare or malformed.
    const bool is_wide = round % 2 == 0;
    for (std::size_t i = 0; i < 1500; ++i)
      text += random() % (is_wide ? 50 : 200) == 0 ? rare[random() % std::size(rare)] : random_text(random, is_wide ? 10 : 6, 3);
    plume::PieceBorders::Cursor cursor(borders, text, 0);
    std::size_t at = 0, left_begin = 0, safe = 0, given = 0, expected = 0;
    std::vector<std::size_t> ends;
    while (ends.empty() || ends.back() < text.size()) ends.push_back(cursor.next());
    plume::CodePoint left = plume::code_point_at(text, 0);
    if (left.value == 0xfffd) safe = left.length + 3;
    for (at = left.length; at < text.size();) {
      const plume::CodePoint right = plume::code_point_at(text, at);
      const std::string both = text.substr(left_begin, at + right.length - left_begin), second = text.substr(at, right.length);
      const auto holds = [](const std::string& token, const std::string& part) { return token.find(part) != token.npos; };
      bool may = left.value < 0xfffd && right.value < 0xfffd && at >= safe;
      may = may && std::none_of(tokens.begin(), tokens.end(), [&](const std::string& token) { return holds(token, both); });
      if (shared == plume::PieceBorders::Unknown::shared) may = may && std::find(tokens.begin(), tokens.end(), second) != tokens.end();
      const bool is = std::binary_search(ends.begin(), ends.end(), at);
      CAPTURE(at);
      REQUIRE((!is || may));
      if (!joins_lower || !is_lower(left.value) || !is_lower(right.value)) given += is, expected += may;
      left_begin = at;
      at += right.length;
      if (right.value == 0xfffd) safe = at + 3;
      left = right;
    }
    CHECK(100 * given >= 85 * expected);
  }
}
