// Byte-pair encoding by searching for a row of tokens, beside merging step by step as the definition says.
#include "plume/tokenizer/byte_pairs.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "plume/tokenizer/text_pattern.hpp"
#include "test_data.hpp"

using plume::TokenId;
using Ids = std::vector<TokenId>;

namespace {

struct Vocabulary {
  std::vector<std::string> bytes;
  std::vector<plume::Merge> merges;
};

// Merges over few letters, so that tokens overlap, repeat and are made in several ways.
Vocabulary random_vocabulary(std::mt19937& random, std::string_view letters, std::size_t merges) {
  Vocabulary made;
  std::map<std::string, TokenId> ids;
  for (int byte = 0; byte < 256; ++byte) made.bytes.emplace_back(1, static_cast<char>(byte)), ids[made.bytes.back()] = byte;
  std::vector<TokenId> used;
  for (const char letter : letters) used.push_back(ids.at(std::string(1, letter)));
  std::map<std::pair<TokenId, TokenId>, bool> paired;
  for (std::size_t i = 0; i < merges; ++i) {
    const auto any = [&] { return used[random() % used.size()]; };
    const TokenId left = any(), right = random() % 4 == 0 ? left : any();
    const std::string text = made.bytes[static_cast<std::size_t>(left)] + made.bytes[static_cast<std::size_t>(right)];
    if (text.size() > 12 || std::exchange(paired[{left, right}], true)) continue;
    const auto [at, fresh] = ids.try_emplace(text, static_cast<TokenId>(made.bytes.size()));
    if (fresh) made.bytes.push_back(text), used.push_back(at->second);
    made.merges.push_back({left, right, at->second});
  }
  return made;
}

Ids merged(const Vocabulary& vocabulary, std::string_view text) {
  std::map<std::pair<TokenId, TokenId>, std::size_t> ranks;
  for (std::size_t i = 0; i < vocabulary.merges.size(); ++i) ranks[{vocabulary.merges[i].left, vocabulary.merges[i].right}] = i;
  Ids ids;
  for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  for (;;) {
    std::size_t lowest = vocabulary.merges.size(), place = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i)
      if (const auto found = ranks.find({ids[i], ids[i + 1]}); found != ranks.end() && found->second < lowest)
        lowest = found->second, place = i;
    if (lowest == vocabulary.merges.size()) return ids;
    ids[place] = vocabulary.merges[lowest].result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

}  // namespace

TEST_CASE("The tokens of a piece are those that merging step by step leaves") {
  std::mt19937 random(20261126);
  for (int round = 0; round < 400; ++round) {
    const std::string letters = std::string("\0abcd", 5).substr(0, 2 + random() % 4);
    const Vocabulary vocabulary = random_vocabulary(random, letters, 1 + random() % 40);
    const plume::BytePairs pairs(vocabulary.bytes, vocabulary.merges, plume::WholePieces::if_merges_make_them);
    plume::BytePairs::Scratch scratch;
    for (int i = 0; i < 30; ++i) {
      std::string text;
      for (std::size_t length = 1 + random() % (i == 0 ? 300 : 20); length > 0; --length)
        text += random() % 3 == 0 && !text.empty() ? text.back() : letters[random() % letters.size()];
      Ids ids;
      scratch.known.expect(text.size());
      pairs.encode(text, text.size(), ids, scratch);
      CAPTURE(round);
      REQUIRE(ids == merged(vocabulary, text));
    }
  }
}

TEST_CASE("Long pieces are cut only where no token, and no part of a character in one, reaches across") {
  std::mt19937 random(20261129);
  const std::vector<std::string> characters{"a",        "\xe4\xb8\xad",     "\xe4\xb8\x81", "\xe2\x96\x81",
                                            "\xc3\xa9", "\xf0\x9f\x90\xa7", "\xe4\xb8",     "\xad"};
  std::size_t with_always = 0;
  for (int round = 0; round < 400; ++round) {
    std::string letters;
    std::vector<std::string> used;
    for (std::size_t i = 2 + random() % 5; i > 0; --i) used.push_back(characters[random() % (random() % 4 == 0 ? 8 : 6)]);
    for (const std::string& character : used) letters += character;
    std::sort(letters.begin(), letters.end());
    letters.erase(std::unique(letters.begin(), letters.end()), letters.end());
    const Vocabulary vocabulary = random_vocabulary(random, letters, 1 + random() % 60);
    const auto whole = round % 2 == 0 ? plume::WholePieces::if_merges_make_them : plume::WholePieces::always;
    const plume::BytePairs pairs(vocabulary.bytes, vocabulary.merges, whole);
    plume::BytePairs::Scratch scratch;
    for (int i = 0; i < 30; ++i) {
      std::string text;
      for (std::size_t length = 1 + random() % (i < 3 ? 100 : 14); length > 0; --length) text += used[random() % used.size()];
      Ids ids, expected = merged(vocabulary, text);
      const auto token = std::find(vocabulary.bytes.begin(), vocabulary.bytes.end(), text);
      if (whole == plume::WholePieces::always && token != vocabulary.bytes.end())
        expected = {static_cast<TokenId>(token - vocabulary.bytes.begin())}, ++with_always;
      scratch.known.expect(text.size());
      pairs.encode(text, text.size(), ids, scratch);
      CAPTURE(round);
      CAPTURE(i);
      REQUIRE(ids == expected);
    }
  }
  CHECK(with_always > 50);
}

TEST_CASE("A megabyte of one letter takes no longer than its length asks for") {
  std::mt19937 random(7);
  for (const std::string& letters : {std::string("\0", 1), std::string("ab")}) {
    const Vocabulary vocabulary = random_vocabulary(random, letters, 30);
    const plume::BytePairs pairs(vocabulary.bytes, vocabulary.merges, plume::WholePieces::if_merges_make_them);
    plume::BytePairs::Scratch scratch;
    std::string text(1 << 20, letters[0]);
    if (letters.size() > 1) text.back() = letters[1];  // what the last byte is tells how the first ones pair up, or nearly
    Ids ids;
    scratch.known.expect(text.size());
    pairs.encode(text, text.size(), ids, scratch);
    std::string back;
    for (const TokenId id : ids) back += vocabulary.bytes[static_cast<std::size_t>(id)];
    CHECK(back == text);
  }
}

TEST_CASE("every known way of cutting texts is found by its own name") {
  namespace styles = plume::piece_styles;
  for (const plume::PieceStyle& style : {styles::gpt2, styles::cl100k, styles::cl100k_any_digits, styles::llama3, styles::qwen2,
                                         styles::o200k, styles::o200k_single_digits, styles::tekken}) {
    bool itself = false;
    CHECK(plume::visit_style(style, [&]<plume::PieceStyle found>() { itself = found == style; }));
    CHECK(itself);
  }
  plume::PieceStyle other = styles::gpt2;
  other.digits = 7;
  CHECK(!plume::visit_style(other, []<plume::PieceStyle>() {}));
}
