#pragma once
// Normalisation forms NFC, NFD, NFKC and NFKD [Unicode Standard Annex 15], lower case, and the sets that tokenizers' components ask for.
// The tables are those of Hugging Face tokenizers (unicode_mapping.hpp says which).
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/base/sort_stably.hpp"
#include "plume/tokenizer/aligned_text.hpp"

namespace plume::inline PLUME_ABI {

enum class NormalForm : std::uint8_t { nfc, nfd, nfkc, nfkd };
enum class CharacterSet : std::uint8_t { punctuation, bert_accent, accent, control, numeric, word };

PLUME_FUNCTION AlignedText normal_form(const AlignedText& text, NormalForm form);
// Whether a quick look tells that a text is in the form.
PLUME_FUNCTION bool is_surely_in(std::string_view text, NormalForm form);
PLUME_FUNCTION AlignedText lower_case(const AlignedText& text);
PLUME_FUNCTION bool in_set(char32_t c, CharacterSet set);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "plume/base/utf8.hpp"
#include "plume/tokenizer/unicode.hpp"
#include "plume/tokenizer/unicode_mapping.hpp"

namespace plume::inline PLUME_ABI {

namespace normal_forms {

template <std::size_t count>
std::string_view find(const char32_t (&points)[count], const std::uint16_t (&ends)[count], const char* text, char32_t c) {
  const auto found = std::lower_bound(std::begin(points), std::end(points), c);
  if (found == std::end(points) || *found != c) return {};
  const std::size_t at = static_cast<std::size_t>(found - std::begin(points)), begin = at == 0 ? 0 : ends[at - 1];
  return {text + begin, ends[at] - begin};
}

inline std::uint8_t combining_class(char32_t c) {
  if (c < 0x300) return 0;
  const auto after = std::upper_bound(std::begin(unicode_mapping::combining), std::end(unicode_mapping::combining), c,
                                      [](char32_t value, const char32_t(&row)[3]) { return value < row[0]; });
  if (after == std::begin(unicode_mapping::combining)) return 0;
  const auto& row = *(after - 1);
  return c <= row[1] ? static_cast<std::uint8_t>(row[2]) : std::uint8_t{0};
}

// Hangul syllables are composed by arithmetic.
inline constexpr char32_t hangul = 0xac00, lead = 0x1100, vowel = 0x1161, trail = 0x11a7, vowels = 21, trails = 28, syllables = 11172;

inline char32_t compose(char32_t first, char32_t second) {
  if (first - lead < 19 && second - vowel < vowels) return hangul + ((first - lead) * vowels + (second - vowel)) * trails;
  if (first - hangul < syllables && (first - hangul) % trails == 0 && second > trail && second - trail < trails)
    return first + (second - trail);
  const auto found =
      std::lower_bound(std::begin(unicode_mapping::compose), std::end(unicode_mapping::compose), std::pair(first, second),
                       [](const char32_t(&row)[3], std::pair<char32_t, char32_t> key) { return std::pair(row[0], row[1]) < key; });
  if (found == std::end(unicode_mapping::compose) || (*found)[0] != first || (*found)[1] != second) return 0;
  return (*found)[2];
}

// A character that stays as it is where no mark follows, and neither orders nor composes with what is before.
inline bool is_plain(char32_t c, NormalForm form) {
  if (c < 0x80 || (c >= 0x4e00 && c <= 0x9fff)) return true;
  if (form != NormalForm::nfc) return false;  // blocks whose composed characters stay composed
  return c < 0x300 || (c >= 0x400 && c < 0x480) || (c >= 0x2010 && c < 0x20d0) || (c >= 0x2100 && c < 0x2126) ||
         (c >= 0x212c && c < 0x2329) || (c >= 0x232b && c < 0x2adc) || (c >= 0x3000 && c < 0x302a) || (c >= 0x3030 && c < 0x3099) ||
         (c >= 0x309b && c < 0x4e00) || (c >= hangul && c < hangul + syllables) || (c >= 0xff00 && c < 0xfff0);
}

// The end of the plain characters at `at`, but for the last one where others follow.
inline std::size_t plain_end(std::string_view text, std::size_t at, NormalForm form) {
  std::size_t last = at, length = 0;
  for (; at < text.size(); at += length) {
    if (std::uint64_t bytes = 0; at + sizeof bytes < text.size()) {
      std::memcpy(&bytes, text.data() + at, sizeof bytes);
      if ((bytes & 0x8080808080808080u) == 0) {
        length = sizeof bytes;
        last = at + length - 1;
        continue;
      }
      if constexpr (std::endian::native == std::endian::little)
        if (const auto four = static_cast<std::uint32_t>(bytes); utf8_three::begins(four) && is_plain(utf8_three::value(four), form)) {
          length = 3;
          last = at;
          continue;
        }
    }
    const CodePoint point = code_point_at(text, at);
    if ((point.length == 1 && point.value >= 0x80) || !is_plain(point.value, form)) return last;
    length = point.length;
    last = at;
  }
  return at;
}

struct Mark {
  char32_t value;
  std::uint8_t combining;
  int more;  // 1: a second or later part of a character of the source; 0: a first part; below: joined from so many more first parts
};

}  // namespace normal_forms

PLUME_FUNCTION bool in_set(char32_t c, CharacterSet set) {
  namespace map = unicode_mapping;
  const unsigned bit = 1u << static_cast<unsigned>(set);
  if (c >= unicode_table::end) return set == CharacterSet::control && category_of(c) == Category::Co;
  return (map::properties[map::property[std::size_t{map::property_block[c >> 8]} * 256 + (c & 255)] - '`'] & bit) != 0;
}

PLUME_FUNCTION bool is_surely_in(std::string_view text, NormalForm form) { return normal_forms::plain_end(text, 0, form) == text.size(); }

PLUME_FUNCTION AlignedText normal_form(const AlignedText& source, NormalForm form) {
  namespace nf = normal_forms;
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd,
             composes = form == NormalForm::nfc || form == NormalForm::nfkc;
  AlignedText out = source.empty_copy();
  std::vector<nf::Mark> run;  // a starter and the marks behind it, or the starters it may compose with
  // Where the source's characters of the run are. As in tokenizers, characters take them in the order in which they come out; one that is
  // more than those of the source shares the place before it.
  std::vector<TokenSpan> places;
  TokenSpan last_place{};
  std::string bytes;
  const auto flush = [&] {
    if (composes && !run.empty()) {
      std::size_t starter = 0, kept = 1;
      bool has_starter = run[0].combining == 0;
      std::uint8_t last = 0;  // class of the last mark kept since the starter
      for (std::size_t i = 1; i < run.size(); ++i) {
        const nf::Mark mark = run[i];
        const bool blocked = kept > starter + 1 && last >= mark.combining;
        const char32_t composed = has_starter && !blocked ? nf::compose(run[starter].value, mark.value) : 0;
        if (composed != 0) {
          run[starter].value = composed;
          run[starter].more += mark.more - 1;
          continue;
        }
        run[kept] = mark;
        if (mark.combining == 0)
          starter = kept, has_starter = true, last = 0;
        else
          last = mark.combining;
        ++kept;
      }
      run.resize(kept);
    }
    std::size_t next = 0;
    for (const nf::Mark& mark : run) {
      bytes.clear();
      append_utf8(bytes, mark.value);
      TokenSpan place = last_place;
      if (source.aligned && mark.more <= 0) {  // of several the first
        place = places[next];
        next += static_cast<std::size_t>(1 - mark.more);
        last_place = places[next - 1];
      }
      out.append(bytes, source, place.begin, place.end);
    }
    run.clear();
    places.clear();
  };
  const std::string_view text = source.text;
  const auto add = [&](char32_t value, std::size_t begin, std::size_t end, bool first) {
    const std::uint8_t combining = nf::combining_class(value);
    // a starter that can be the second part of a composition stays with what is before it
    const bool second = (value >= 0x9be && value < 0x1b36) || (value >= 0x11000 && value < 0x12000);
    if (combining == 0 && !run.empty() && !(composes && second)) flush();
    run.push_back({value, combining, first ? 0 : 1});
    if (first && source.aligned) places.push_back({begin, end});
  };
  const auto settle = [&] {  // canonical order of the last marks
    std::size_t first = run.size();
    while (first > 0 && run[first - 1].combining != 0) --first;
    const auto before = [](const nf::Mark& a, const nf::Mark& b) { return a.combining < b.combining; };
    if (!std::is_sorted(run.begin() + static_cast<std::ptrdiff_t>(first), run.end(), before)) sort_stably(run, before, first);
  };
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t plain = nf::plain_end(text, at, form); plain > at) {
      settle(), flush();
      out.copy(source, at, plain);
      at = plain;
      continue;
    }
    const CodePoint point = code_point_at(text, at);
    const std::size_t end = at + point.length;
    if (point.value == 0xfffd && point.length == 1) {  // a malformed byte stays as it is
      settle(), flush();
      out.copy(source, at, end);
      at = end;
      continue;
    }
    std::string_view mapped;
    char32_t parts[4];
    std::size_t count = 0;
    if (point.value - nf::hangul < nf::syllables) {
      const char32_t index = point.value - nf::hangul;
      parts[count++] = nf::lead + index / (nf::vowels * nf::trails);
      parts[count++] = nf::vowel + index / nf::trails % nf::vowels;
      if (index % nf::trails != 0) parts[count++] = nf::trail + index % nf::trails;
    } else {
      namespace map = unicode_mapping;
      if (compatible) mapped = nf::find(map::compatible_point, map::compatible_end, map::compatible_text, point.value);
      if (mapped.empty()) mapped = nf::find(map::canonical_point, map::canonical_end, map::canonical_text, point.value);
      if (mapped.empty()) parts[count++] = point.value;
    }
    const auto add_settled = [&](char32_t value, bool first) {
      if (nf::combining_class(value) == 0) settle();
      add(value, at, end, first);
    };
    for (std::size_t i = 0; i < count; ++i) add_settled(parts[i], i == 0);
    for (std::size_t i = 0; i < mapped.size();) {
      const CodePoint part = code_point_at(mapped, i);
      add_settled(part.value, i == 0);
      i += part.length;
    }
    at = end;
  }
  settle(), flush();
  return out;
}

PLUME_FUNCTION AlignedText lower_case(const AlignedText& source) {
  namespace map = unicode_mapping;
  AlignedText out = source.empty_copy();
  const std::string_view text = source.text;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t plain = at;  // ASCII that stays as it is
    while (plain < text.size() && static_cast<unsigned char>(text[plain]) < 0x80 && !(text[plain] >= 'A' && text[plain] <= 'Z')) ++plain;
    if (plain > at) {
      out.copy(source, at, plain);
      at = plain;
      continue;
    }
    if (text[at] >= 'A' && text[at] <= 'Z') {
      const char low = static_cast<char>(text[at] + 32);
      out.append({&low, 1}, source, at, at + 1);
      ++at;
      continue;
    }
    const CodePoint point = code_point_at(text, at);
    const std::string_view mapped = normal_forms::find(map::lower_point, map::lower_end, map::lower_text, point.value);
    if (mapped.empty())
      out.copy(source, at, at + point.length);
    else
      out.append(mapped, source, at, at + point.length);
    at += point.length;
  }
  return out;
}

}  // namespace plume::inline PLUME_ABI
#endif
