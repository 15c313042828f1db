// The texts that begin at a place, beside asking each text in turn; also of a trie too large for the short form of its units.
#include "plume/tokenizer/byte_trie.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "test_data.hpp"

using plume::ByteTrie;
using Found = std::vector<std::pair<std::size_t, std::uint32_t>>;

namespace {

Found found_at(const ByteTrie& trie, std::string_view text, std::size_t at) {
  Found found;
  trie.each_at(text, at, [&](std::size_t end, std::uint32_t value) { found.emplace_back(end, value); });
  return found;
}

std::string random_text(std::mt19937& random, std::string_view letters, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += letters[random() % letters.size()];
  return text;
}

}  // namespace

TEST_CASE("random texts over few bytes, zeros among them: those that begin at each place, shortest first; of equal ones the first") {
  std::mt19937 random(3);
  const std::string_view letters(
      "\0\xff"
      "a\x01",
      4);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < 1 + random() % 60; ++i) texts.push_back(random_text(random, letters, 1 + random() % 6));
    std::vector<ByteTrie::Entry> entries;
    for (std::size_t i = 0; i < texts.size(); ++i) entries.emplace_back(texts[i], static_cast<std::uint32_t>(i));
    const ByteTrie trie(entries);
    const std::string text = random_text(random, letters, 40);
    for (std::size_t at = 0; at < text.size(); ++at) {
      Found expected;
      for (std::size_t i = 0; i < texts.size(); ++i)
        if (std::find(texts.begin(), texts.end(), texts[i]) == texts.begin() + static_cast<std::ptrdiff_t>(i) &&
            std::string_view(text).substr(at).starts_with(texts[i]))
          expected.emplace_back(at + texts[i].size(), i);
      std::sort(expected.begin(), expected.end());
      CHECK(found_at(trie, text, at) == expected);
    }
  }
  CHECK(ByteTrie().empty());
  CHECK(found_at(ByteTrie(), "a", 0).empty());
}

TEST_CASE("nine million units") {
  std::mt19937 random(4);
  std::vector<std::string> texts;
  for (int i = 0; i < 300'000; ++i) {
    std::string text(32, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
    texts.push_back(std::move(text));
  }
  std::vector<ByteTrie::Entry> entries;
  for (std::size_t i = 0; i < texts.size(); ++i) entries.emplace_back(texts[i], static_cast<std::uint32_t>(i));
  const ByteTrie trie(std::move(entries));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    wrong += found_at(trie, texts[i], 0) != Found{{32, static_cast<std::uint32_t>(i)}};
    wrong += !found_at(trie, texts[i], 1).empty();
  }
  CHECK(wrong == 0);
}
