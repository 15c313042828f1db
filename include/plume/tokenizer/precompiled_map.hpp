#pragma once
// SentencePiece's character map: a double-array trie [Yata, darts-clone] and the texts it leads to. SentencePiece replaces the longest key
// that begins at a place: longest(). The normaliser "Precompiled" of tokenizer.json applies it as tokenizers does
// [huggingface/spm_precompiled src/lib.rs, tokenizers/src/normalizers/precompiled.rs]: a grapheme cluster of fewer than six bytes is looked
// up whole, others character by character, and the shortest key that begins there replaces all of it: apply().
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/tokenizer/aligned_text.hpp"

namespace plume::inline PLUME_ABI {

class PrecompiledMap {
 public:
  // u32 size of the trie in bytes, the trie, then texts that end with NUL. FormatError: a size beyond the rest or no multiple of four, a
  // trie that leads out of itself, beyond the texts, or round in circles.
  PLUME_FUNCTION static PrecompiledMap read(std::string_view bytes, const Where& where);
  PLUME_FUNCTION AlignedText apply(const AlignedText& text) const;

  struct Match {
    std::size_t length;  // bytes of the key; 0: none begins there
    std::string_view text;
  };
  PLUME_FUNCTION Match longest(std::string_view text, std::size_t at) const;
  // By byte: an ASCII character before another, where no key begins.
  const std::array<bool, 256>& kept_before_ascii() const { return known_->kept_before_ascii; }
  // Whether no key is or begins with this character, which is below U+10000.
  bool never_begins(char32_t character) const {
    const Known::Effects effects = known_->of[character >> 5];
    return ((effects.changed | effects.begins) >> (character & 31) & 1) == 0;
  }
  // Whether no key begins at text[at], where a character of `length` bytes is; false as well where that is not known without a search.
  bool surely_keeps(std::string_view text, std::size_t at, char32_t character, std::size_t length) const {
    const Known& known = *known_;
    if (character >= 0x10000) return false;
    const Known::Effects effects = known.of[character >> 5];
    if ((effects.changed >> (character & 31) & 1) != 0) return false;
    if ((effects.begins >> (character & 31) & 1) == 0) return true;
    return at + length == text.size() || !known.goes_on[static_cast<unsigned char>(text[at + length])];
  }

 private:
  struct Known {
    struct Effects {                  // a bit for each of 32 characters
      std::uint32_t changed, begins;  // it is a key; longer ones begin with it
    };
    std::array<Effects, 0x10000 / 32> of;
    std::array<bool, 256> goes_on;  // bytes with which longer keys go on behind their first character
    std::array<bool, 256> kept_before_ascii;
  };
  PLUME_FUNCTION Known known() const;
  PLUME_FUNCTION std::optional<std::string_view> find(std::string_view key) const;
  PLUME_FUNCTION static void check(const std::vector<std::uint32_t>& trie, std::size_t text_bytes, const Where& where);
  std::string_view text_at(std::size_t begin) const { return std::string_view(*texts_).substr(begin, texts_->find('\0', begin) - begin); }

  static constexpr std::size_t offset_of(std::uint32_t unit) { return std::size_t{unit >> 10} << ((unit & 0x200u) >> 6); }
  static constexpr std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000ffu; }
  static constexpr bool leads_to_text(std::uint32_t unit) { return ((unit >> 8) & 1) != 0; }

  std::shared_ptr<const std::vector<std::uint32_t>> trie_;
  std::shared_ptr<const std::string> texts_;
  std::shared_ptr<const Known> known_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <utility>

#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION PrecompiledMap PrecompiledMap::read(std::string_view bytes, const Where& where) {
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
  };
  if (bytes.size() < 4) throw FormatError(where, concat("a character map has at least 4 bytes, found ", bytes.size()));
  const std::uint32_t size = word(0);
  if (size % 4 != 0 || size == 0 || size > bytes.size() - 4)
    throw FormatError(
        where, concat("the trie's size is ", size, " bytes: must be a multiple of 4 and within the ", bytes.size() - 4, " that follow"));
  std::vector<std::uint32_t> trie;
  trie.reserve(size / 4);
  for (std::size_t at = 4; at < 4 + std::size_t{size}; at += 4) trie.push_back(word(at));
  std::string texts(bytes.substr(4 + std::size_t{size}));
  if (!texts.empty() && texts.back() != '\0') throw FormatError(where, "the last replacement has no NUL behind it");
  check(trie, texts.size(), where);
  PrecompiledMap map;
  map.trie_ = std::make_shared<const std::vector<std::uint32_t>>(std::move(trie));
  map.texts_ = std::make_shared<const std::string>(std::move(texts));
  map.known_ = std::make_shared<const Known>(map.known());
  return map;
}

PLUME_FUNCTION PrecompiledMap::Known PrecompiledMap::known() const {
  const std::vector<std::uint32_t>& trie = *trie_;
  Known result{};
  std::string character;
  for (char32_t c = 0; c < 0x10000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;  // no characters
    character.clear();
    append_utf8(character, c);
    std::size_t node = offset_of(trie[0]), done = 0;
    const auto leads_on = [&](unsigned char byte) {
      return byte != 0 && (node ^ byte) < trie.size() && label_of(trie[node ^ byte]) == byte;
    };
    bool changed = false;
    for (; done < character.size() && leads_on(static_cast<unsigned char>(character[done])); ++done) {
      node ^= static_cast<unsigned char>(character[done]);
      changed = changed || leads_to_text(trie[node]);
      node ^= offset_of(trie[node]);
    }
    if (changed) {
      result.of[c >> 5].changed |= std::uint32_t{1} << (c & 31);
      continue;
    }
    if (done < character.size()) {  // nor does a key begin like the others that have these bytes in common
      c |= (char32_t{1} << (6 * (character.size() - 1 - done))) - 1;
      continue;
    }
    result.of[c >> 5].begins |= std::uint32_t{1} << (c & 31);
    for (unsigned byte = 1; byte < 256; ++byte)
      if (leads_on(static_cast<unsigned char>(byte))) result.goes_on[byte] = true;
  }
  const bool goes_on_with_ascii = std::any_of(result.goes_on.begin(), result.goes_on.begin() + 0x80, [](bool goes_on) { return goes_on; });
  for (std::size_t c = 0; c < 0x80; ++c)
    result.kept_before_ascii[c] = ((result.of[c >> 5].changed | (goes_on_with_ascii ? result.of[c >> 5].begins : 0)) >> (c & 31) & 1) == 0;
  return result;
}

// Every state that can be reached, once; states may share what follows them, but a path never comes back to its own.
PLUME_FUNCTION void PrecompiledMap::check(const std::vector<std::uint32_t>& trie, std::size_t text_bytes, const Where& where) {
  if (leads_to_text(trie[0]) || (trie[0] >> 31) != 0) throw FormatError(where, "the trie's root leads to a text");
  enum : char { unseen, on_path, done };
  struct Step {
    std::size_t base;
    std::uint32_t next_byte;
  };
  std::vector<char> state(trie.size());
  std::vector<Step> path;
  const auto enter = [&](std::size_t base) {
    if (base >= trie.size()) throw FormatError(where, concat("the trie leads to unit ", base, " of ", trie.size()));
    if (state[base] == on_path) throw FormatError(where, concat("the trie leads round in a circle at unit ", base));
    if (state[base] == done) return;
    state[base] = on_path;
    path.push_back({base, 1});
  };
  enter(offset_of(trie[0]));
  while (!path.empty()) {
    Step& step = path.back();
    if (step.next_byte > 255) {
      state[step.base] = done;
      path.pop_back();
      continue;
    }
    const std::uint32_t byte = step.next_byte++;
    const std::size_t node = step.base ^ byte;
    if (node >= trie.size() || label_of(trie[node]) != byte) continue;
    const std::size_t base = node ^ offset_of(trie[node]);
    if (leads_to_text(trie[node])) {
      if (base >= trie.size()) throw FormatError(where, concat("the trie leads to unit ", base, " of ", trie.size()));
      if (const std::size_t begin = trie[base] & 0x7fffffffu; begin >= text_bytes)
        throw FormatError(where, concat("the trie leads to byte ", begin, " of ", text_bytes, " bytes of replacements"));
    }
    enter(base);
  }
}

PLUME_FUNCTION PrecompiledMap::Match PrecompiledMap::longest(std::string_view text, std::size_t at) const {
  const std::vector<std::uint32_t>& trie = *trie_;
  Match match{0, {}};
  std::size_t found = 0, node = offset_of(trie[0]);
  for (std::size_t end = at; end < text.size();) {
    const auto byte = static_cast<unsigned char>(text[end]);
    if (byte == 0) break;
    node ^= byte;
    if (node >= trie.size() || label_of(trie[node]) != byte) break;
    ++end;
    const std::uint32_t unit = trie[node];
    node ^= offset_of(unit);
    if (!leads_to_text(unit)) continue;
    match.length = end - at;
    found = trie[node] & 0x7fffffffu;
  }
  if (match.length > 0) match.text = text_at(found);
  return match;
}

// What the shortest key at the start of `key` leads to.
PLUME_FUNCTION std::optional<std::string_view> PrecompiledMap::find(std::string_view key) const {
  const std::vector<std::uint32_t>& trie = *trie_;
  std::size_t node = offset_of(trie[0]);
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return std::nullopt;
    node ^= byte;
    if (node >= trie.size()) return std::nullopt;
    const std::uint32_t unit = trie[node];
    if (label_of(unit) != byte) return std::nullopt;
    node ^= offset_of(unit);
    if (leads_to_text(unit)) return text_at(trie[node] & 0x7fffffffu);
  }
  return std::nullopt;
}

PLUME_FUNCTION AlignedText PrecompiledMap::apply(const AlignedText& source) const {
  using enum Category;
  // what stays with the character before it; only clusters of up to five bytes matter, so jamo, flags and emoji sequences do not
  const auto extends = [](char32_t c) {
    if (c == 0x200c || c == 0x200d || c == 0xe33 || c == 0xeb3 || c == 0xff9e || c == 0xff9f || (c >= 0x1f3fb && c <= 0x1f3ff)) return true;
    return c >= 0x300 && (category_bit(c) & category_sets::mark) != 0;
  };
  AlignedText out = source.empty_copy();
  const std::string_view text = source.text;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint first = code_point_at(text, at);
    std::size_t end = at + first.length;
    const bool control = category_of(first.value) == Cc || category_of(first.value) == control_space || category_of(first.value) == Cf;
    if (first.value == '\r' && end < text.size() && text[end] == '\n') {
      ++end;
    } else if (!control) {
      while (end < text.size()) {
        const CodePoint next = code_point_at(text, end);
        if (!extends(next.value)) break;
        end += next.length;
      }
    }
    if (end - at < 6)
      if (const auto whole = find(text.substr(at, end - at))) {
        out.append(*whole, source, at, end);
        at = end;
        continue;
      }
    for (std::size_t length = 0; at < end; at += length) {
      length = code_point_at(text, at).length;
      if (const auto mapped = find(text.substr(at, length)))
        out.append(*mapped, source, at, at + length);
      else
        out.copy(source, at, at + length);
    }
  }
  return out;
}

}  // namespace plume::inline PLUME_ABI
#endif
