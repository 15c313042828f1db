// The texts, and beginnings of texts, that begin at a place of a row of characters, beside asking each text in turn.
#include "plume/tokenizer/character_trie.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

using plume::CharacterTrie;
using Found = std::vector<std::pair<std::size_t, std::uint32_t>>;

namespace {

const std::string letters[] = {
    "a", std::string(1, '\0'), "\xc3\xa9", "\xe4\xb8\xad", "\xef\xbf\xbd", "\xf0\x9f\x90\xa7", "\xff", "\xe4", "\x80", "z"};

std::string random_text(std::mt19937& random, std::size_t kinds, std::size_t characters) {
  std::string text;
  for (std::size_t i = 0; i < characters; ++i) text += letters[random() % kinds];
  return text;
}

}  // namespace

TEST_CASE("Random texts of characters and of bytes that are none: what begins at each place, shortest first; of equal ones the first") {
  std::mt19937 random(5);
  constexpr std::uint32_t otherwise = 77;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < 1 + random() % 60; ++i) texts.push_back(random_text(random, 8, 1 + random() % 5));
    std::vector<CharacterTrie::Entry> entries;
    for (std::size_t i = 0; i < texts.size(); ++i) entries.emplace_back(texts[i], static_cast<std::uint32_t>(i));
    const CharacterTrie trie(entries, otherwise);
    const std::string text = random_text(random, 10, 40);
    std::vector<CharacterTrie::Number> numbers;
    std::vector<std::size_t> begins;
    for (std::size_t at = 0; at < text.size();) {
      const auto [number, length] = trie.number_at(text, at);
      REQUIRE(length == plume::code_point_at(text, at).length);
      numbers.push_back(number);
      begins.push_back(at);
      at += length;
    }
    begins.push_back(text.size());
    for (std::size_t at = 0; at < numbers.size(); ++at) {
      Found expected, found;
      for (std::size_t end = at + 1; end < begins.size(); ++end) {
        const std::string part = text.substr(begins[at], begins[end] - begins[at]);
        const auto same = std::find(texts.begin(), texts.end(), part);
        // a text that goes on within this row of characters
        const bool goes_on = std::any_of(texts.begin(), texts.end(), [&](const std::string& one) {
          if (!one.starts_with(part)) return false;
          std::size_t place = 0;
          while (place < part.size()) place += plume::code_point_at(one, place).length;
          std::size_t own = 0;
          while (own < part.size()) own += plume::code_point_at(part, own).length;
          return place == part.size() && own == part.size();
        });
        if (same != texts.end())
          expected.emplace_back(end - at, same - texts.begin());
        else if (goes_on)
          expected.emplace_back(end - at, otherwise);
      }
      trie.each_at(numbers.data(), at, numbers.size(),
                   [&](std::size_t characters, std::uint32_t value) { found.emplace_back(characters, value); });
      CAPTURE(round);
      CHECK(found == expected);
    }
  }
}

TEST_CASE("More characters than fit into a small block of numbers") {
  std::vector<std::string> texts;
  for (int c = 0x4e00; c < 0x9fa0; ++c) {
    std::string one;
    one += static_cast<char>(0xe0 | c >> 12);
    one += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    one += static_cast<char>(0x80 | (c & 0x3f));
    texts.push_back(c % 3 == 0 ? one + "a" : one);
  }
  std::vector<CharacterTrie::Entry> entries;
  for (std::size_t i = 0; i < texts.size(); ++i) entries.emplace_back(texts[i], static_cast<std::uint32_t>(i));
  const CharacterTrie trie(entries, 0xffffffff);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::vector<CharacterTrie::Number> numbers;
    for (std::size_t at = 0; at < texts[i].size();) {
      const auto [number, length] = trie.number_at(texts[i], at);
      numbers.push_back(number);
      at += length;
    }
    std::uint32_t last = 0;
    trie.each_at(numbers.data(), 0, numbers.size(), [&](std::size_t, std::uint32_t value) { last = value; });
    REQUIRE(last == i);
  }
}
