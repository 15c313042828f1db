// Many ends at a time are those of the scanner that asks about one character after the other: random texts of what the expressions treat
// differently, pieces longer than a window, every edge of a window.
#include "plume/tokenizer/piece_ends.hpp"

#include <iterator>
#include <random>
#include <string>
#include <string_view>

#include "plume/base/text.hpp"
#include "sanitized.hpp"
#include "test_data.hpp"

using plume::PieceStyle;

namespace {

template <PieceStyle style>
std::size_t first_difference(std::string_view text) {
  plume::PieceEnds<style> ends(text);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = plume::piece_end<style>(text, at);
    if (ends.next(at) != end) return at;
    at = end;
  }
  return text.npos;
}

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text) out += plume::concat(static_cast<int>(static_cast<unsigned char>(c)), " ");
  return out;
}

template <PieceStyle style>
void check(std::string_view text) {
  const std::size_t at = first_difference<style>(text);
  if (at != text.npos) FAIL_CHECK("at byte ", at, ": ", shown(text.substr(at, 80)));
}

void check_all(std::string_view text) {
  using namespace plume::piece_styles;
  check<gpt2>(text), check<cl100k>(text), check<cl100k_any_digits>(text), check<llama3>(text), check<llama3_ascii>(text);
  check<qwen2>(text), check<o200k>(text), check<o200k_single_digits>(text), check<tekken>(text);
  CHECK(true);  // counts the texts
}

// Sanitizers look for reads outside a text and meet them in every seventh text as well (the rows of five count in twelves, so each atom
// still stands at each place); every other build compares the ends in all texts.
constexpr std::size_t stride = plume_test::is_sanitized ? 7 : 1;

// What the expressions tell apart, whole characters and not.
constexpr std::string_view atoms[] = {"a",
                                      "bc",
                                      "D",
                                      "E",
                                      "s",
                                      "t",
                                      "ll",
                                      "RE",
                                      "1",
                                      "23",
                                      " ",
                                      "\n",
                                      "\r",
                                      "\t",
                                      "'",
                                      ".",
                                      "-",
                                      "/",
                                      "\x0b",
                                      "\u00e9",
                                      "\u00c9",
                                      "\u4e2d",
                                      "\u9fa5",
                                      "\u3042",
                                      "\u01c5",
                                      "\u02b0",
                                      "\u0301",
                                      "\u094d",
                                      "\u0663",
                                      "\u2167",
                                      "\u00a0",
                                      "\u3000",
                                      "\u2028",
                                      "\u2014",
                                      "\uff0c",
                                      "\u3002",
                                      "\U0001f642",
                                      "\u017f",
                                      "\U00020000",
                                      "\x80",
                                      "\xe4",
                                      "\xe4\xb8",
                                      "\xff",
                                      "\xed\xa0\x80",
                                      std::string_view("\0", 1)};

}  // namespace

TEST_CASE("every row of five of what the expressions tell apart, before letters") {
  constexpr std::string_view few[] = {"a", "D", "1", " ", "\n", "\t", "'", ".", "/", "\u4e2d", "\u2014", "\u3000"};
  constexpr std::size_t count = std::size(few);
  std::string text;
  for (std::size_t row = 0; row < count * count * count * count * count; row += stride) {
    text.clear();
    for (std::size_t i = 0, rest = row; i < 5; ++i, rest /= count) text += few[rest % count];
    text += "s some words and 12345 numbers,\n   so that the window is filled";
    check_all(text);
  }
}

TEST_CASE("random texts of whole and broken characters, single and in runs") {
  std::mt19937 random(7);
  std::string text;
  for (std::size_t round = 0; round < 60'000; round += stride) {
    text.clear();
    const std::size_t kinds = 2 + random() % std::size(atoms), length = random() % 150, first = random() % std::size(atoms);
    for (std::size_t i = 0; i < length; ++i) {
      const std::string_view atom = atoms[(first + random() % kinds) % std::size(atoms)];
      for (std::size_t times = random() % 8 == 0 ? random() % 90 : 1; times > 0; --times) text += atom;
    }
    check_all(text);
  }
}

TEST_CASE("every byte pair and every code point between letters") {
  std::string text;
  for (unsigned first = 0; first < 256; ++first)
    for (unsigned second = 0; second < 256; ++second) text += "ab", text += static_cast<char>(first), text += static_cast<char>(second);
  check_all(text);
  text.clear();
  for (char32_t point = 0; point < 0x30000; ++point) {
    if (point >= 0xd800 && point < 0xe000) continue;
    text += point % 3 == 0 ? "a" : point % 3 == 1 ? " A" : ".";
    plume::append_utf8(text, point);
  }
  check_all(text);
}
