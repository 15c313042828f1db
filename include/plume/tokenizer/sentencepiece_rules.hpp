#pragma once
// What SentencePiece does to a text before it is cut [google/sentencepiece src/normalizer.cc]: the character map, spaces put in front,
// taken away and spelled as U+2581.
#include <optional>
#include <string>
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/tokenizer/aligned_text.hpp"
#include "plume/tokenizer/precompiled_map.hpp"
#include "plume/tokenizer/text_matcher.hpp"

namespace plume::inline PLUME_ABI {

struct SentencePieceRules {
  static constexpr std::string_view block = "\xe2\x96\x81";  // U+2581

  std::optional<PrecompiledMap> map = {};  // the longest key that begins at a place is replaced
  TextMatcher kept = {};                   // user-defined symbols, which no rule changes
  bool add_dummy_prefix = true;            // a space before a text (behind it with whitespace_as_suffix) that stands at the start
  bool remove_extra_whitespaces = true;    // spaces at both ends, and all but one of a run
  bool escape_whitespaces = true;          // a space becomes U+2581
  bool whitespace_as_suffix = false;
  bool keep_malformed = false;  // else each malformed byte becomes U+FFFD
  // transformers' slow tokenizers with legacy = false [transformers models/llama/tokenization_llama.py]: U+2581 counts as a space, and a
  // text's leading spaces stay.
  bool keep_leading_space = false;

  PLUME_FUNCTION AlignedText apply(const AlignedText& text) const;

 private:
  PLUME_FUNCTION static std::size_t append_spaced(std::string_view text, std::size_t at, std::string_view space, std::string& out);
  PLUME_FUNCTION std::size_t append_kept(std::string_view text, std::size_t at, std::string_view space, bool& behind_space,
                                         std::string& out) const;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "plume/base/utf8.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

// Appends the text from `at` on with other spaces, up to its end or a byte that is not well-formed; returns that place.
PLUME_FUNCTION std::size_t SentencePieceRules::append_spaced(std::string_view text, std::size_t at, std::string_view space,
                                                             std::string& out) {
  constexpr std::uint64_t each = 0x0101010101010101, high = 0x80 * each;
  std::array<char, 4096 + 16> buffer;
  for (bool goes_on = true; goes_on && at < text.size();) {
    char* to = buffer.data();
    while (to < buffer.data() + 4096 && at < text.size()) {
      if (text.size() - at >= 8) [[likely]] {  // eight bytes at once, of which those count that are ASCII and no space
        std::uint64_t bytes;
        std::memcpy(&bytes, text.data() + at, 8);
        std::memcpy(to, &bytes, 8);
        if constexpr (std::endian::native == std::endian::little) {
          const std::uint64_t differs = bytes ^ ' ' * each;
          const auto plain = static_cast<std::size_t>(std::countr_zero(((differs - each) & ~differs & high) | (bytes & high)) / 8);
          at += plain;
          to += plain;
          if (plain == 8) continue;
          // three bytes that spell one character, as most of what is not ASCII
          const char* const first = to;
          for (std::uint32_t four = 0; text.size() - at >= 4 && to < buffer.data() + 4096; at += 3, to += 3) {
            std::memcpy(&four, text.data() + at, 4);
            if (!utf8_three::begins(four)) break;
            std::memcpy(to, &four, 4);
          }
          if (to > first) continue;
        }
      }
      const std::size_t length = text[at] == ' ' ? 1 : utf8_length(text, at);
      if (length == 0) {
        goes_on = false;
        break;
      }
      const std::string_view part = text[at] == ' ' ? space : text.substr(at, length);
      to = std::copy(part.begin(), part.end(), to);
      at += length;
    }
    out.append(buffer.data(), to);
  }
  return at;
}

// The same up to a character that the map may change; extra spaces are left out. No symbols are kept.
PLUME_FUNCTION std::size_t SentencePieceRules::append_kept(std::string_view text, std::size_t at, std::string_view space,
                                                           bool& behind_space, std::string& out) const {
  static constexpr auto ascii = [] {
    std::array<bool, 256> rows{};
    std::fill_n(rows.begin(), 0x80, true);
    return rows;
  }();
  const std::array<bool, 256>& kept_before_ascii = map ? map->kept_before_ascii() : ascii;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::uint32_t space_bytes = 0;
  std::memcpy(&space_bytes, space.data(), space.size());
  std::array<char, 4096 + 4> buffer;
  const char* const full = buffer.data() + 4096;
  for (bool goes_on = true; goes_on && at < text.size();) {
    char* to = buffer.data();
    while (to < full && at < text.size()) {
      const std::size_t before = at;
      for (; to < full && text.size() - at >= 2 && kept_before_ascii[byte(at)] && byte(at + 1) < 0x80; ++at) {
        const bool is_space = text[at] == ' ';  // hard to foresee: nothing branches on it
        const std::uint32_t put = is_space ? space_bytes : byte(at);
        std::memcpy(to, &put, 4);
        to += is_space ? (behind_space ? 0 : space.size()) : 1;
        behind_space = is_space & remove_extra_whitespaces;
      }
      for (std::uint32_t four = 0; to < full && text.size() - at >= 4; at += 3, to += 3) {
        std::memcpy(&four, text.data() + at, 4);
        if (!utf8_three::begins(four) || (map && !map->never_begins(utf8_three::value(four)))) break;
        std::memcpy(to, &four, 4);
        behind_space = false;
      }
      if (at > before) continue;
      const CodePoint point = code_point_at(text, at);
      if ((point.value == 0xfffd && point.length == 1) || (map && !map->surely_keeps(text, at, point.value, point.length))) {
        goes_on = false;
        break;
      }
      if (point.value != ' ') {
        to = std::copy_n(text.data() + at, point.length, to);
        behind_space = false;
      } else if (!behind_space) {
        to = std::copy(space.begin(), space.end(), to);
        behind_space = remove_extra_whitespaces;
      }
      at += point.length;
    }
    out.append(buffer.data(), to);
  }
  return at;
}

PLUME_FUNCTION AlignedText SentencePieceRules::apply(const AlignedText& given) const {
  const AlignedText* source = &given;
  AlignedText spaced;
  bool prefix = add_dummy_prefix && given.starts;
  if (keep_leading_space) {
    spaced = given.empty_copy();
    if (prefix) spaced.append(block, given, 0, 0);
    prefix = false;
    std::size_t at = 0;
    for (std::size_t next = given.text.find(block); next != given.text.npos; next = given.text.find(block, at)) {
      spaced.copy(given, at, next);
      spaced.append(" ", given, next, next + block.size());
      at = next + block.size();
    }
    spaced.copy(given, at, given.text.size());
    source = &spaced;
  }
  const std::string_view text = source->text;
  // behind a special token the first space is the text's own
  const bool keeps_first = (keep_leading_space || !given.starts) && (text.starts_with(' ') || text.starts_with(block));
  struct Step {
    std::string_view text;
    std::size_t length;
  };
  const auto step = [&](std::size_t at) -> Step {
    if (!kept.empty())
      if (const std::size_t length = kept.longest_at(text, at); length > 0) return {text.substr(at, length), length};
    if (map)
      if (const PrecompiledMap::Match match = map->longest(text, at); match.length > 0) return {match.text, match.length};
    const std::size_t length = utf8_length(text, at);
    if (length > 0) return {text.substr(at, length), length};
    return {keep_malformed ? text.substr(at, 1) : std::string_view("\xef\xbf\xbd"), 1};
  };
  AlignedText out = source->empty_copy();
  std::size_t at = 0;
  if (remove_extra_whitespaces && !keeps_first)
    for (Step next{" ", 0}; at < text.size(); at += next.length) {
      next = step(at);
      if (next.text != " ") break;
    }
  if (at == text.size()) return out;
  const std::string_view space = escape_whitespaces ? block : std::string_view(" ");
  if (prefix && !whitespace_as_suffix) out.append(space, *source, at, at);
  bool behind_space = remove_extra_whitespaces && !keeps_first;
  const bool plain = !map && kept.empty() && !remove_extra_whitespaces;  // only spaces and malformed bytes change
  while (at < text.size()) {
    if (plain && !out.aligned) {
      at = append_spaced(text, at, space, out.text);
      if (at == text.size()) break;
    } else if (kept.empty() && !out.aligned) {
      at = append_kept(text, at, space, behind_space, out.text);
      if (at == text.size()) break;
    } else if (plain) {
      std::size_t end = at;
      while (end < text.size() && text[end] != ' ' && static_cast<unsigned char>(text[end]) < 0x80) ++end;
      out.copy(*source, at, end);
      at = end;
      if (at == text.size()) break;
    }
    const Step next = step(at);
    std::string_view part = next.text;
    while (behind_space && part.starts_with(' ')) part.remove_prefix(1);
    if (!part.empty()) behind_space = remove_extra_whitespaces && part.ends_with(' ');
    for (std::size_t i = 0; i < part.size();) {
      const std::size_t run = std::min(part.find(' ', i), part.size());
      if (run > i) out.append(part.substr(i, run - i), *source, at, at + next.length);
      if (run < part.size()) out.append(space, *source, at, at + next.length);
      i = run + 1;
    }
    at += next.length;
  }
  if (remove_extra_whitespaces)
    while (out.text.ends_with(space)) {
      out.text.resize(out.text.size() - space.size());
      if (out.aligned) out.from.resize(out.text.size());
    }
  if (prefix && whitespace_as_suffix) out.append(space, *source, text.size(), text.size());
  return out;
}

}  // namespace plume::inline PLUME_ABI
#endif
