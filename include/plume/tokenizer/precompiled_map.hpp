#pragma once
// The normaliser "Precompiled" of tokenizer.json: SentencePiece's character map (a double-array trie and the texts it leads to), applied as
// tokenizers does [huggingface/spm_precompiled src/lib.rs, tokenizers/src/normalizers/precompiled.rs]: a grapheme cluster of fewer than six
// bytes is looked up whole, others character by character, and the shortest key that begins there replaces all of it. SentencePiece itself
// takes the longest key.
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
  // u32 size of the trie in bytes, the trie, then texts that end with NUL. FormatError: a size beyond the rest or no multiple of four.
  PLUME_FUNCTION static PrecompiledMap read(std::string_view bytes, const Where& where);
  PLUME_FUNCTION AlignedText apply(const AlignedText& text) const;

 private:
  PLUME_FUNCTION std::optional<std::string_view> find(std::string_view key) const;

  std::shared_ptr<const std::vector<std::uint32_t>> trie_;
  std::shared_ptr<const std::string> texts_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
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
  PrecompiledMap map;
  map.trie_ = std::make_shared<const std::vector<std::uint32_t>>(std::move(trie));
  map.texts_ = std::make_shared<const std::string>(std::move(texts));
  return map;
}

// What the shortest key at the start of `key` leads to.
PLUME_FUNCTION std::optional<std::string_view> PrecompiledMap::find(std::string_view key) const {
  const std::vector<std::uint32_t>& trie = *trie_;
  const auto offset = [](std::uint32_t unit) { return std::size_t{unit >> 10} << ((unit & 0x200u) >> 6); };
  std::size_t node = offset(trie[0]);
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return std::nullopt;
    node ^= byte;
    if (node >= trie.size()) return std::nullopt;
    const std::uint32_t unit = trie[node];
    if ((unit & 0x800000ffu) != byte) return std::nullopt;
    node ^= offset(unit);
    if (((unit >> 8) & 1) == 0) continue;
    if (node >= trie.size()) return std::nullopt;
    const std::size_t begin = trie[node] & 0x7fffffffu;
    if (begin >= texts_->size()) return std::nullopt;
    return std::string_view(*texts_).substr(begin, texts_->find('\0', begin) - begin);
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
