#include "plume/generate/stop_strings.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

struct Shown {
  std::string text;
  bool stopped = false;
  bool operator==(const Shown&) const = default;
};

// By brute force over the whole text: the first byte that completes a stop string ends it; of several, the longest.
Shown oracle(const Strings& stops, const std::string& text) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops)
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0) longest = std::max(longest, stop.size());
    if (longest > 0) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

// Also by brute force: the longest end of the text that begins a stop string.
std::size_t must_hold(const Strings& stops, const std::string& text) {
  std::size_t longest = 0;
  for (const std::string& stop : stops)
    for (std::size_t size = 1; size < stop.size() && size <= text.size(); ++size)
      if (text.compare(text.size() - size, size, stop, 0, size) == 0) longest = std::max(longest, size);
  return longest;
}

// Streams `pieces`, checking after each that exactly what is safe has been shown.
Shown stream(plume::StopStrings& filter, const Strings& stops, const Strings& pieces) {
  std::string shown, fed;
  for (const std::string& piece : pieces) {
    const bool before = filter.stopped();
    const std::string now = filter.push(piece);
    if (before) REQUIRE(now.empty());
    shown += now;
    fed += piece;
    if (!filter.stopped()) {
      REQUIRE(!oracle(stops, fed).stopped);
      const std::size_t held = must_hold(stops, fed);
      REQUIRE(filter.held().size() == held);
      REQUIRE(shown == fed.substr(0, fed.size() - held));
    }
  }
  shown += filter.finish();
  return {shown, filter.stopped()};
}

void check_every_split(const Strings& stops, const std::string& text) {
  const Shown expected = oracle(stops, text);
  plume::StopStrings filter(stops);
  REQUIRE(text.size() < 15);
  const unsigned cuts = text.empty() ? 1u : 1u << (text.size() - 1);
  for (unsigned mask = 0; mask < cuts; ++mask) {  // bit i: a cut after byte i
    Strings pieces(1);
    for (std::size_t i = 0; i < text.size(); ++i) {
      pieces.back().push_back(text[i]);
      if (mask >> i & 1u) pieces.emplace_back();
    }
    filter.reset();
    CAPTURE(mask);
    CAPTURE(text);
    REQUIRE(stream(filter, stops, pieces) == expected);
  }
}

}  // namespace

TEST_CASE("what is shown, by hand") {
  plume::StopStrings filter({"aab", "\nUser:"});
  CHECK(filter.push("x") == "x");
  CHECK(filter.push("aa") == "");
  CHECK(filter.push("a") == "a");  // aaa: the last two may still begin "aab"
  CHECK(filter.held() == "aa");
  CHECK(!filter.stopped());
  CHECK(filter.push("b and more") == "");
  CHECK(filter.stopped());
  CHECK(filter.matched() == 0u);
  CHECK(filter.push("dropped") == "");
  CHECK(filter.finish() == "");
  filter.reset();
  CHECK(!filter.stopped());
  CHECK(filter.push("Hi\nUs") == "Hi");
  CHECK(filter.finish() == "\nUs");
  CHECK(filter.push("er:") == "er:");  // finish() ended that text
  filter.reset();
  CHECK(filter.push("Hi\nUser") == "Hi");
  CHECK(filter.push(": x") == "");
  CHECK(filter.matched() == 1u);
}

TEST_CASE("without stop strings the text passes through") {
  plume::StopStrings filter({});
  CHECK(filter.push("text") == "text");
  CHECK(filter.finish() == "");
  CHECK(!filter.stopped());
}

TEST_CASE("every split of adversarial texts gives the text of brute force") {
  check_every_split({"aab"}, "aaab");
  check_every_split({"aab"}, "aaaaaaaabaab");
  check_every_split({"abcabd"}, "abcabcabd");
  check_every_split({"abab"}, "aabbabaabab");
  check_every_split({"ab", "abab"}, "xaabab");       // one is the beginning of another
  check_every_split({"abcd", "bc"}, "xabcd");        // one inside another: "bc" is complete first
  check_every_split({"cd", "abcd", "d"}, "xabcdx");  // complete at the same byte: the longest
  check_every_split({"abcx", "bcd"}, "abcabcd");     // a failed candidate holds the beginning of another
  check_every_split({"aaaa"}, "aaabaaabaaa");        // never complete
  check_every_split({"a"}, "bbbbab");                // one byte
  check_every_split({"\n\n", "\nQ:"}, "A: x\n\nQ: y");
  check_every_split({std::string("\0b", 2)}, std::string("a\0\0b\0", 5));
  check_every_split({"ab", "ab"}, "cab");      // the same twice
  check_every_split({"。", "终止"}, "终。x");  // shared lead bytes: E7 BB 88 E6 AD A2, E3 80 82
  check_every_split({"é"}, "è é");             // C3 A9 after C3 A8
  check_every_split({"😀"}, "😁😀");              // four bytes, the last differs
}

TEST_CASE("pieces of whole code points are shown in whole code points") {
  const Strings stops = {"終了", "…」"};
  const Strings characters = {"終", "。", "…", "a", "」", "了"};
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    plume::StopStrings filter(stops);
    for (int i = 0; i < 20 && !filter.stopped(); ++i) {
      const std::string now = filter.push(characters[random() % characters.size()]);
      if (!now.empty()) CHECK((static_cast<unsigned char>(now.front()) & 0xC0u) != 0x80u);  // begins with no continuation byte
      if (!filter.held().empty()) CHECK((static_cast<unsigned char>(filter.held().front()) & 0xC0u) != 0x80u);
    }
  }
}

TEST_CASE("random texts, stop strings and splits agree with brute force") {
  std::mt19937 random(20240601);
  int stopped = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::size_t letters = 2 + random() % 2;
    const auto word = [&](std::size_t size) {
      std::string text;
      for (std::size_t i = 0; i < size; ++i) text.push_back(static_cast<char>('a' + random() % letters));
      return text;
    };
    Strings stops;
    for (std::size_t i = 0, count = 1 + random() % 4; i < count; ++i) stops.push_back(word(1 + random() % 8));
    Strings pieces;
    std::string text;
    for (std::size_t i = 0, count = 1 + random() % 12; i < count; ++i) text += pieces.emplace_back(word(random() % 5));
    plume::StopStrings filter(stops);
    const Shown expected = oracle(stops, text), got = stream(filter, stops, pieces);
    REQUIRE(got == expected);
    stopped += expected.stopped;
    if (got.stopped) {
      REQUIRE(filter.matched());
      CHECK(text.compare(got.text.size(), stops[*filter.matched()].size(), stops[*filter.matched()]) == 0);
    }
  }
  CHECK(stopped > 5'000);  // both outcomes are common
  CHECK(stopped < 19'000);
}

TEST_CASE("a million bytes that always nearly match take linear time") {
  const std::string stop = std::string(1023, 'a') + 'b';  // a rescan per byte would take 10^9 steps
  plume::StopStrings filter({stop});
  std::size_t shown = 0;
  for (int i = 0; i < 1'000'000; ++i) shown += filter.push("a").size();
  CHECK(shown == 1'000'000 - 1023);
  CHECK(filter.finish() == std::string(1023, 'a'));
}

TEST_CASE("bad lists of stop strings are refused") {
  CHECK_THROWS_AS(plume::StopStrings({"a", ""}), plume::ArgumentError);
  CHECK_NOTHROW(plume::StopStrings(Strings(16, std::string(1024, 'x'))));
  try {
    plume::StopStrings filter(Strings(17, "x"));
    FAIL("no exception");
  } catch (const plume::LimitError& error) {
    CHECK(error.limit() == "max_stop_strings");
    CHECK(error.allowed() == 16);
    CHECK(error.asked() == 17);
  }
  try {
    plume::StopStrings filter({"x", std::string(1025, 'x')});
    FAIL("no exception");
  } catch (const plume::LimitError& error) {
    CHECK(error.limit() == "max_stop_string");
    CHECK(error.asked() == 1025);
    CHECK(error.where().field == "[1]");
  }
  plume::Limits limits;
  limits.max_stop_string = 2000;
  limits.max_stop_strings = 1;
  CHECK_NOTHROW(plume::StopStrings({std::string(1025, 'x')}, limits));
  CHECK_THROWS_AS(plume::StopStrings({"a", "b"}, limits), plume::LimitError);
}
