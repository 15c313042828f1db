// Runs of characters that normalisation leaves alone are copied whole: beside the algorithm of [Unicode Standard Annex 15], step by step
// for every character, on the same tables.
#include "plume/tokenizer/unicode_normal_forms.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/json.hpp"
#include "plume/base/text.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/unicode.hpp"
#include "plume/tokenizer/unicode_mapping.hpp"
#include "test_data.hpp"

using plume::NormalForm;
using Points = std::vector<char32_t>;  // 0x110000 + a byte that is not well-formed

namespace {

namespace map = plume::unicode_mapping;
constexpr char32_t malformed = 0x110000;

Points points_of(std::string_view text) {
  Points out;
  for (std::size_t at = 0; at < text.size();) {
    const plume::CodePoint point = plume::code_point_at(text, at);
    out.push_back(point.value == 0xfffd && point.length == 1 ? malformed + static_cast<unsigned char>(text[at]) : point.value);
    at += point.length;
  }
  return out;
}

std::string text_of(const Points& points) {
  std::string out;
  for (const char32_t c : points)
    if (c >= malformed)
      out.push_back(static_cast<char>(c - malformed));
    else
      plume::append_utf8(out, c);
  return out;
}

// The annex's definitions, on tables that are looked up directly.
class Annex {
 public:
  Annex() : classes_(malformed + 256) {
    for (const auto& row : map::combining)
      for (char32_t c = row[0]; c <= row[1]; ++c) classes_[c] = static_cast<unsigned char>(row[2]);
    fill(canonical_, map::canonical_point, map::canonical_end, map::canonical_text);
    compatible_ = canonical_;
    fill(compatible_, map::compatible_point, map::compatible_end, map::compatible_text);
    for (char32_t syllable = 0; syllable < 11172; ++syllable) {
      const char32_t lead = 0x1100 + syllable / 588, vowel = 0x1161 + syllable / 28 % 21, trail = syllable % 28;
      Points parts{lead, vowel};
      if (trail > 0) parts.push_back(0x11a7 + trail);
      canonical_[0xac00 + syllable] = compatible_[0xac00 + syllable] = parts;
      if (trail == 0)
        composed_[{lead, vowel}] = 0xac00 + syllable;
      else
        composed_[{0xac00 + syllable - trail, 0x11a7 + trail}] = 0xac00 + syllable;
    }
    for (const auto& row : map::compose) composed_[{row[0], row[1]}] = row[2];
  }

  unsigned char class_of(char32_t c) const { return classes_[c]; }
  const std::map<std::pair<char32_t, char32_t>, char32_t>& composed() const { return composed_; }

  std::string normalised(std::string_view text, NormalForm form) const {
    const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
    const std::vector<Points>& parts = compatible ? compatible_ : canonical_;
    Points all;
    for (const char32_t c : points_of(text)) {
      if (parts[c].empty())
        all.push_back(c);
      else
        all.insert(all.end(), parts[c].begin(), parts[c].end());
    }
    for (std::size_t i = 1; i < all.size(); ++i)
      for (std::size_t k = i; k > 0 && class_of(all[k]) != 0 && class_of(all[k - 1]) > class_of(all[k]); --k) std::swap(all[k - 1], all[k]);
    if (form == NormalForm::nfd || form == NormalForm::nfkd) return text_of(all);
    Points out;
    std::size_t starter = all.size();  // none yet
    for (const char32_t c : all) {
      if (starter < out.size() && (starter + 1 == out.size() || class_of(out.back()) < class_of(c))) {
        if (const auto found = composed_.find({out[starter], c}); found != composed_.end()) {
          out[starter] = found->second;
          continue;
        }
      }
      out.push_back(c);
      if (class_of(c) == 0) starter = out.size() - 1;
    }
    return text_of(out);
  }

 private:
  template <std::size_t count>
  static void fill(std::vector<Points>& to, const char32_t (&points)[count], const std::uint16_t (&ends)[count], std::string_view text) {
    to.resize(malformed + 256);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t begin = i == 0 ? 0 : ends[i - 1];
      to[points[i]] = points_of(text.substr(begin, ends[i] - begin));
    }
  }
  std::vector<unsigned char> classes_;
  std::vector<Points> canonical_, compatible_;
  std::map<std::pair<char32_t, char32_t>, char32_t> composed_;
};
const Annex& annex() {
  static const Annex one;
  return one;
}

std::string shown(std::string_view text) {
  std::string out;
  for (const char32_t c : points_of(text)) out += plume::concat(static_cast<unsigned>(c), " ");
  return out;
}

void check(std::string_view text, NormalForm form) {
  const plume::AlignedText given = plume::AlignedText::of(text, 0, plume::Spans::skip);
  const auto expected = annex().normalised(text, form);
  if (plume::is_surely_in(text, form) && expected != text) FAIL_CHECK("surely in form ", static_cast<int>(form), ": ", shown(text));
  if (plume::normal_form(given, form).text != expected)
    FAIL_CHECK("form ", static_cast<int>(form), ", code points ", shown(text), ": ", shown(plume::normal_form(given, form).text));
}

constexpr NormalForm forms[] = {NormalForm::nfc, NormalForm::nfd, NormalForm::nfkc, NormalForm::nfkd};

// What decomposes, composes or has a class, jamo, and what stands at an edge of those: sorted, each once.
Points interesting() {
  std::set<char32_t> out;
  const auto add = [&](char32_t c) {
    for (char32_t each = c == 0 ? 0 : c - 1; each <= c + 1; ++each)
      if (each < malformed && (each < 0xd800 || each >= 0xe000)) out.insert(each);
  };
  out.insert(std::begin(map::canonical_point), std::end(map::canonical_point));
  out.insert(std::begin(map::compatible_point), std::end(map::compatible_point));
  for (const auto& row : map::compose) out.insert(std::begin(row), std::end(row));
  for (const auto& row : map::combining) add(row[0]), add(row[1]);
  for (const unsigned c : {0x1100u, 0x1112u, 0x1161u, 0x1175u, 0x11a7u, 0x11a8u, 0x11c2u, 0xac00u, 0xac01u, 0xac1bu, 0xac1cu,
                           0xd788u, 0xd7a3u, 0xa960u, 0xd7b0u, 0xd7fbu, 0x4e00u, 0x9fffu, 0x300u,  0x7fu,   0x80u})
    add(c);
  return {out.begin(), out.end()};
}

// Of marks one for each class and those that compose; what composes with what is before it; jamo; others.
Points seconds() {
  std::set<char32_t> out{'a', 0xe9, 0x4e2d, 0x3042, 0x430, 0x2019, 0xff21, 0xac00, 0xac01, 0x1100, 0x1161, 0x11a7, 0x11a8, 0x11c2, 0xfffd};
  for (const auto& row : map::compose) out.insert(row[1]);
  std::set<char32_t> classes;
  for (const auto& row : map::combining)
    if (classes.insert(row[2]).second) out.insert(row[0]);
  return {out.begin(), out.end()};
}

}  // namespace

TEST_CASE("Every code point alone has the normal forms that its parts give") {
  std::string text;
  for (char32_t c = 0; c < malformed; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    if (c >= 0x32000 && c % 97 != 0) continue;
    text.clear();
    plume::append_utf8(text, c);
    for (const NormalForm form : forms) check(text, form);
  }
  CHECK(annex().composed().size() > 11'000);
}

TEST_CASE("A quick look tells of ordinary texts that they are in NFC") {
  for (const std::string_view text :
       {"", "plain text", "caf\u00e9 \u2013 \u201cquoted\u201d", "\u4e2d\u6587\uff0c\uff08\u2192\uff09\u3002\u3000",
        "\u304c\u304e \u30ab\u30bf", "\uac00\uac01", "\u0440\u0443\u0441\u0441\u043a\u0438\u0439"})
    CHECK(plume::is_surely_in(text, NormalForm::nfc));
  for (const std::string_view text :
       {"cafe\u0301", "plain text and e\u0301 behind it", "\u304b\u3099", "\u212b", "\u2000", "\u2329", "\u2adc", "\x80"})
    CHECK(!plume::is_surely_in(text, NormalForm::nfc));
  CHECK(plume::is_surely_in("\u4e2d\u6587 text", NormalForm::nfkd));
  CHECK(!plume::is_surely_in("\uff0c", NormalForm::nfkc));
}

TEST_CASE("Every pair of a code point that changes and one that changes what is before it, both ways round") {
  const Points firsts = interesting(), others = seconds();
  CHECK(firsts.size() > 5000);
  CHECK(others.size() > 100);
  std::string text;
  for (const char32_t first : firsts) {
    text.clear();
    for (const char32_t second : others) {
      plume::append_utf8(text, first), plume::append_utf8(text, second);
      text += '\n';
      plume::append_utf8(text, second), plume::append_utf8(text, first);
      text += '.';
    }
    check(text, NormalForm::nfc);
    if (first % 3 == 0) check(text, NormalForm::nfkc);  // whose plain characters are few
  }
}

TEST_CASE("Random texts of plain runs, marks and malformed bytes") {
  const Points points = interesting(), others = seconds();
  std::mt19937 random(20261127);
  std::string text;
  for (int round = 0; round < 40'000; ++round) {
    text.clear();
    for (std::size_t parts = 1 + random() % 12; parts > 0; --parts) {
      const std::size_t kind = random() % 8;
      if (kind == 0)
        text.append(random() % 20, 'e');
      else if (kind == 1)
        for (std::size_t i = random() % 6; i > 0; --i)
          plume::append_utf8(text, static_cast<char32_t>(random() % 2 != 0 ? 0x4e00 + random() % 0x5200 : 0x3000 + random() % 0x100));
      else if (kind == 2 && random() % 4 == 0)
        text += static_cast<char>(0x80 + random() % 0x80);
      else if (kind < 5)
        plume::append_utf8(text, points[random() % points.size()]);
      else
        plume::append_utf8(text, others[random() % others.size()]);
    }
    for (const NormalForm form : forms) check(text, form);
    if (round % 8 == 0)
      for (const NormalForm form : forms) {
        const plume::AlignedText kept = plume::normal_form(plume::AlignedText::of(text, 0, plume::Spans::keep), form);
        REQUIRE(kept.text == plume::normal_form(plume::AlignedText::of(text, 0, plume::Spans::skip), form).text);
        REQUIRE(kept.from.size() == kept.text.size());
      }
  }
}

TEST_CASE("Characters whose marks change places come from the bytes that tokenizers 0.23.3 names (tests/golden/make_mark_spans.py)") {
  const std::string path = plume_test::golden("tokenizers/mark_spans.json");
  const plume::Json file = plume::Json::parse(plume_test::read_all(path), {.path = path});
  const std::pair<const char*, NormalForm> names[] = {
      {"NFC", NormalForm::nfc}, {"NFD", NormalForm::nfd}, {"NFKC", NormalForm::nfkc}, {"NFKD", NormalForm::nfkd}};
  for (const auto& each : names) {
    const NormalForm form = each.second;
    CAPTURE(std::string(each.first));
    const plume::Json& rows = file.at(each.first);
    CHECK(rows.size() == 150);
    for (const plume::Json& row : rows.items()) {
      const plume::AlignedText got = plume::normal_form(plume::AlignedText::of(row.at(0).as_text(), 0, plume::Spans::keep), form);
      CAPTURE(shown(row.at(0).as_text()));
      REQUIRE(got.text == row.at(1).as_text());
      std::vector<std::size_t> places, expected;
      for (std::size_t at = 0, length = 0; at < got.text.size(); at += length) {
        length = plume::code_point_at(got.text, at).length;
        const plume::TokenSpan span = got.span(at, at + length);
        places.push_back(span.begin), places.push_back(span.end);
      }
      for (const plume::Json& place : row.at(2).items()) expected.push_back(static_cast<std::size_t>(place.as_integer()));
      CHECK(places == expected);
    }
  }
}
