// The table of known words beside a map that forgets nothing: what it finds is what was put in for exactly that word, lines that are full
// lend from their neighbours, and a table that grows keeps all.
#include "plume/tokenizer/word_cache.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "plume/base/text.hpp"

using plume::TokenId, plume::WordCache;

namespace {

struct Value {
  std::vector<TokenId> ids;
  std::uint16_t note;
};

// A table and what was put into it.
class Pair {
 public:
  explicit Pair(std::size_t bytes) { cache_.expect(bytes); }

  // The key of a copy that is followed by `behind` more bytes, or by nothing that may be read.
  WordCache::Key key(std::string_view word, std::string_view behind) {
    copy_.assign(word), copy_ += behind;
    copy_.shrink_to_fit();
    return cache_.key(std::string_view(copy_).substr(0, word.size()), copy_.size());
  }
  void insert(std::string_view word, Value value) {
    cache_.insert(key(word, ""), word, value.ids, value.note);
    values_[std::string(word)] = std::move(value);
  }
  // Whether the word is there; that what is there is right is checked. The key is the same whatever stands behind the word.
  bool holds(std::string_view word) {
    const WordCache::Key bare = key(word, ""), among = key(word, "\xffwhatever comes next");
    REQUIRE(bare.first == among.first);
    REQUIRE(bare.second == among.second);
    REQUIRE(bare.line == among.line);
    const WordCache::Found found = cache_.find(among, word);
    if (found.ids == nullptr) return false;
    const auto known = values_.find(std::string(word));
    CAPTURE(std::string(word));
    REQUIRE(known != values_.end());
    REQUIRE(std::vector<TokenId>(found.ids, found.ids + found.count) == known->second.ids);
    REQUIRE(found.note == known->second.note);
    return true;
  }
  WordCache& cache() { return cache_; }
  const std::unordered_map<std::string, Value>& values() const { return values_; }

 private:
  WordCache cache_;
  std::string copy_;
  std::unordered_map<std::string, Value> values_;
};

Value random_value(std::mt19937& random) {
  Value value{{}, static_cast<std::uint16_t>(random() % 1000)};
  for (std::size_t count = random() % 4 != 0 ? random() % 4 : random() % 40; count > 0; --count)
    value.ids.push_back(static_cast<TokenId>(random() % 100'000));
  return value;
}

// Of few letters, so that many differ in one place alone, with and without NULs at the end.
std::string random_word(std::mt19937& random, std::size_t size) {
  std::string word;
  for (std::size_t i = 0; i < size; ++i) word += std::string_view("ab\0\xc3", 4)[random() % 4];
  return word;
}

}  // namespace

TEST_CASE("Words of every length: those are found that had room in their line or the one beside it, before and after the table grows") {
  std::mt19937 random(20261127);
  std::size_t beside = 0;
  for (int round = 0; round < 300; ++round) {
    Pair pair(1);                                                // the smallest table
    std::map<std::uint32_t, std::vector<std::string>> inserted;  // by pairs of lines
    const std::size_t count = 40 + random() % 120, least = random() % 2 != 0 ? 1 : 14, most = least + (random() % 2 != 0 ? 4 : 242);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string word = random_word(random, least + random() % (most - least));
      if (pair.holds(word)) continue;
      const auto of_line = pair.key(word, "").line / 2;
      if (round % 2 == 0 && inserted[of_line].size() == 4) continue;  // no word is pushed out
      if (pair.values().contains(word)) continue;
      pair.insert(word, random_value(random));
      inserted[of_line].push_back(word);
      REQUIRE(pair.holds(word));
    }
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{5000}, std::size_t{0}, std::size_t{1} << 15}) {
      pair.cache().expect(bytes);
      std::array<std::size_t, 2> found{};
      for (const auto& [line, words] : inserted) {
        std::size_t here = 0;
        std::array<std::size_t, 2> first{};
        for (const std::string& word : words) {
          here += pair.holds(word);
          ++first[pair.key(word, "").line % 2];
        }
        REQUIRE(here >= std::min<std::size_t>(words.size(), 2));
        if (words.size() <= 4) REQUIRE(here == words.size());
        beside += words.size() <= 4 && std::max(first[0], first[1]) > 2;
        found[0] += here, found[1] += words.size();
      }
      if (round % 2 == 0) REQUIRE(found[0] == found[1]);
    }
  }
  CHECK(beside > 1000);
}

TEST_CASE("The table grows with the words that it holds, however short the texts are") {
  Pair pair(1);
  for (std::size_t i = 0; i < 20'000; ++i) {
    pair.cache().expect(i % 10);
    pair.insert(plume::concat(i, std::string(i % 20, '-')), {{static_cast<TokenId>(i)}, 0});
  }
  std::size_t there = 0;
  for (const auto& [word, value] : pair.values()) there += pair.holds(word);
  CHECK(there > 19'500);
}

TEST_CASE("Words are spread over the whole table") {
  Pair pair(1 << 14);
  for (const std::size_t size : {3u, 9u, 16u, 40u}) {
    std::map<std::uint32_t, std::size_t> lines;
    for (std::size_t i = 0; i < 16'384; ++i) {
      std::string word = plume::concat(i, std::string(size, ' '));
      word.resize(std::max(size, std::to_string(i).size()));
      ++lines[pair.key(word, "").line];
    }
    const std::size_t all = std::bit_ceil(std::size_t{lines.rbegin()->first} + 1);
    CHECK(all >= 1024);
    CHECK(lines.size() * 100 > all * 98);
    for (const auto& [line, words] : lines) CHECK(words * all < 4 * 16'384);
  }
}

TEST_CASE("A full table: words push out others, and each that is found has what was put in for it") {
  std::mt19937 random(7);
  Pair pair(1);
  std::vector<std::string> words;
  std::size_t found = 0;
  for (std::size_t size = 1; size <= 260; ++size)
    for (std::size_t i = 0; i < 12; ++i) words.push_back(random_word(random, size));
  for (int round = 0; round < 4; ++round) {
    std::shuffle(words.begin(), words.end(), random);
    for (std::size_t i = 0; i < words.size(); ++i) {
      const bool known = pair.holds(words[i]);
      found += known;
      if (!known) {
        if (const auto value = pair.values().find(words[i]); value != pair.values().end()) {
          pair.insert(words[i], Value(value->second));
        } else {
          pair.insert(words[i], random_value(random));
        }
      }
      REQUIRE(pair.holds(words[i]) == (words[i].size() <= WordCache::longest_word));
      REQUIRE(!pair.holds(words[i] + "!"));
    }
    pair.cache().expect(round == 1 ? 4096 : 1);
  }
  CHECK(found > 200);
}

TEST_CASE("Words of which every bit of the key is the same are told apart by their bytes") {
  const auto word = [](std::uint64_t a, std::uint64_t b, std::string_view end) {
    std::string out(16, '\0');
    std::memcpy(out.data(), &a, 8), std::memcpy(out.data() + 8, &b, 8);
    return out + std::string(end);
  };
  // The hash of 32 bytes begins with mix(32 ^ a, b): b makes up for a.
  const auto part = [](std::uint64_t a) { return std::rotl((32 ^ a ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu, 29); };
  Pair pair(1);
  std::vector<std::string> words;
  for (std::uint64_t a = 1; a < 5; ++a) words.push_back(word(a, 77 ^ part(1) ^ part(a), "the same sixteen"));
  for (const std::string& each : words) {
    const WordCache::Key first = pair.key(words[0], ""), key = pair.key(each, "");
    CHECK(first.first == key.first);
    CHECK(first.second == key.second);
    CHECK(!pair.holds(each));
    pair.insert(each, {{static_cast<TokenId>(each[0])}, 0});
  }
  for (const std::string& each : words) CHECK(pair.holds(each));
}

TEST_CASE("More text or ids than the table keeps: all is forgotten, nothing is mixed up") {
  std::mt19937 random(9);
  for (const bool long_words : {true, false}) {
    Pair pair(1 << 20);
    std::size_t there = 0;
    std::vector<std::string> words;
    for (std::size_t i = 0; i < (long_words ? 80'000u : 250u); ++i) {
      words.push_back(random_word(random, long_words ? 255 : 12));
      Value value = random_value(random);
      if (!long_words) value.ids.resize(i % 3 == 0 ? 0x10000 : 0xffff, static_cast<TokenId>(i));
      if (pair.values().contains(words.back())) continue;
      pair.insert(words.back(), std::move(value));
      if (long_words || i % 3 != 0) REQUIRE(pair.holds(words.back()));
    }
    for (const std::string& word : words) there += pair.holds(word);
    CHECK(there > words.size() / 20);  // those since it was full
    CHECK(there < words.size() - words.size() / 5);
  }
}

TEST_CASE("A word that takes room for speed alone is kept when it comes again, as long as most of the room is for others") {
  std::mt19937 random(13);
  const auto extra = [](WordCache& cache, std::string_view word, const std::vector<TokenId>& ids) {
    const WordCache::Key key = cache.key(word, word.size());
    if (cache.find(key, word).ids == nullptr) cache.insert_extra(key, word, ids);
    const WordCache::Found found = cache.find(key, word);
    if (found.ids != nullptr) REQUIRE(std::vector<TokenId>(found.ids, found.ids + found.count) == ids);
    return found.ids != nullptr;
  };
  SUBCASE("few words: at the second time") {
    WordCache cache;
    cache.expect(1 << 20);
    std::size_t at_once = 0, later = 0;
    std::vector<std::string> words;
    for (std::size_t i = 0; i < 2000; ++i) words.push_back(plume::concat("a piece of several words, number ", i));
    for (const std::string& word : words) at_once += extra(cache, word, {1, 2, static_cast<TokenId>(word.size()), 4});
    for (const std::string& word : words) later += extra(cache, word, {1, 2, static_cast<TokenId>(word.size()), 4});
    CHECK(at_once < 30);  // seemed to come again
    CHECK(later == words.size());
  }
  SUBCASE("many that come once: few are kept, however many came before") {
    WordCache cache;
    cache.expect(1);  // the smallest table
    std::size_t kept = 0;
    for (std::size_t i = 0; i < 100'000; ++i) kept += extra(cache, plume::concat("it comes only once, this piece, ", random(), i), {7});
    CHECK(kept <= 64);  // one for each line, and the notes are forgotten in time
    WordCache large;
    large.expect(1 << 17);
    kept = 0;
    for (std::size_t i = 0; i < 8000; ++i) kept += extra(large, plume::concat("it comes only once, this piece, ", random(), i), {7});
    CHECK(kept < 1200);
  }
  SUBCASE("words that come again behind many that came once") {
    WordCache cache;
    cache.expect(1 << 20);
    for (std::size_t i = 0; i < 250'000; ++i) extra(cache, plume::concat("it comes only once, this piece, ", random(), i), {7});
    std::size_t at_once = 0, later = 0;
    for (std::size_t i = 0; i < 200; ++i) {
      const std::string word = plume::concat("a piece of several words, number ", i);
      at_once += extra(cache, word, {static_cast<TokenId>(i)});
      later += extra(cache, word, {static_cast<TokenId>(i)});
    }
    CHECK(at_once < 100);
    CHECK(later == 200);
  }
  SUBCASE("long ones that come again and again leave what is kept already") {
    WordCache cache;
    cache.expect(1 << 24);
    const std::string first = "the first of all words";
    cache.insert(cache.key(first, first.size()), first, std::vector<TokenId>{1, 2, 3, 4, 5});
    std::size_t kept = 0;
    for (int round = 0; round < 4; ++round)
      for (std::size_t i = 0; i < 100'000; ++i) {
        std::string word = plume::concat(i, " ");
        word.resize(250, 'x');
        kept += extra(cache, word, {1, 2, 3, 4, static_cast<TokenId>(i)});
      }
    CHECK(kept > 100'000);
    CHECK(cache.find(cache.key(first, first.size()), first).count == 5);
  }
}

TEST_CASE("Words one after the other give all their ids, whatever number each has") {
  std::mt19937 random(11);
  for (std::size_t round = 0; round < 400; ++round) {
    // Where rooms fill to the last place, and beyond: 1,024 ids, 32 words.
    const std::vector<std::size_t> sizes = round % 4 == 0   ? std::vector<std::size_t>{0, 1, 2, 3, 925, 926, 927, 928, 929, 1024, 2000}
                                           : round % 4 == 1 ? std::vector<std::size_t>{3, 4, 300, 310, 316}
                                           : round % 4 == 2 ? std::vector<std::size_t>{0, 1, 3, 30, 31, 90}
                                                            : std::vector<std::size_t>{0, 1, 2, 3};
    std::vector<std::string> words;
    std::vector<std::vector<TokenId>> values;
    for (std::size_t i = 0; i < 60; ++i) {
      words.push_back(plume::concat(i + 100, std::string(random() % 20, 'x'), ' '));
      values.emplace_back();
      for (std::size_t count = sizes[random() % sizes.size()]; count > 0; --count)
        values.back().push_back(static_cast<TokenId>(random() % 1000));
    }
    std::string text(round % 5, '-');
    const std::size_t begin = text.size();
    std::vector<TokenId> expected{-1}, ids{-1};
    for (std::size_t i = 0; i < 150; ++i) {
      const std::size_t which = random() % words.size();
      text += words[which];
      expected.insert(expected.end(), values[which].begin(), values[which].end());
    }
    const std::size_t end = text.size();
    text += "100 101 ";
    WordCache known;
    known.expect(text.size());
    std::vector<TokenId> made;
    std::size_t refused = 0;
    plume::encode_known_words(
        text, begin, end, known, ids,
        [&](std::size_t at) {
          return plume::Piece{at, text.find(' ', at) + 1};
        },
        [&](const WordCache::Found& found) { return found.note == 0 || ++refused % 2 == 0; },
        [&](const WordCache::Key& key, std::string_view word, bool is_known) -> WordCache::Found {
          const std::size_t which = static_cast<std::size_t>(std::stoi(std::string(word))) - 100;
          made = values[which];
          if (!is_known) known.insert(key, word, made, static_cast<std::uint16_t>(which % 2));
          made.reserve(WordCache::readable_ids);
          return {made.data(), static_cast<std::uint32_t>(made.size())};
        });
    REQUIRE(ids == expected);
  }
}
