#pragma once
// Which of many texts begin at a place of a row of characters: a double-array trie over characters, the most frequent ones numbered first
// [Kanda, Akabe, Oda 2023, "Engineering faster double-array Aho-Corasick automata"]. Of scripts with three bytes a character it takes a
// third of the steps that a trie over bytes takes.
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/huge_pages.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

class CharacterTrie {
 public:
  using Entry = std::pair<std::string_view, std::uint32_t>;
  using Number = std::uint32_t;  // of a character; 0: of all that are in no text

  CharacterTrie() = default;  // for assignment only
  // No text is empty; of equal texts the first counts. `otherwise`: the value of what is the beginning of a text, and none.
  PLUME_FUNCTION CharacterTrie(const std::vector<Entry>& entries, std::uint32_t otherwise);

  // The number of the character that begins at text[at], and its length in bytes. Bytes that are not well-formed are characters of their
  // own.
  std::pair<Number, std::uint32_t> number_at(std::string_view text, std::size_t at) const {
    if (const auto byte = static_cast<unsigned char>(text[at]); byte < 0x80) return {numbers_[byte], 1};
    const CodePoint point = code_point_at(text, at);
    if (point.value < few && point.value != 0xfffd) [[likely]]
      return {numbers_[point.value], point.length};
    const auto found = further_.find(key_of(point, text[at]));
    return {found == further_.end() ? 0 : found->second, point.length};
  }

  // Calls found(characters, value) for each of the texts, and beginnings of texts, that begins at numbers[at], shortest first; `end`: where
  // the numbers end. Which of them end a text is hard to foresee: nothing branches on it here.
  template <class Found>
  void each_at(const Number* numbers, std::size_t at, std::size_t end, Found&& found) const {
    std::uint32_t base = root_;
    for (std::size_t i = at; i < end; ++i) {
      const Unit& unit = units_[base ^ numbers[i]];
      if (unit.label != numbers[i]) return;
      found(i + 1 - at, unit.value);
      base = unit.base;
    }
  }

 private:
  static constexpr char32_t few = 0x10000;
  static constexpr Number unused = 0xffffffff;
  struct Unit {
    Number label = unused;
    std::uint32_t base = 0, value = 0;
  };
  static char32_t key_of(const CodePoint& point, char byte) {
    return point.value == 0xfffd && point.length == 1 ? 0x110000 + static_cast<unsigned char>(byte) : point.value;
  }

  TableVector<Unit> units_;
  TableVector<Number> numbers_;                        // by code point
  std::unordered_map<char32_t, Number> further_ = {};  // U+FFFD, those beyond U+FFFF, and bytes
  std::uint32_t root_ = 0;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <bit>

#include "plume/tokenizer/double_array.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION CharacterTrie::CharacterTrie(const std::vector<Entry>& entries, std::uint32_t otherwise) : numbers_(few) {
  const auto each_character = [&](auto&& visit) {
    for (const auto& [text, value] : entries)
      for (std::size_t at = 0; at < text.size();) {
        const CodePoint point = code_point_at(text, at);
        visit(key_of(point, text[at]));
        at += point.length;
      }
  };
  std::unordered_map<char32_t, std::uint32_t> times;
  each_character([&](char32_t key) { ++times[key]; });
  std::vector<std::pair<char32_t, std::uint32_t>> by_times(times.begin(), times.end());
  std::sort(by_times.begin(), by_times.end(),
            [](const auto& a, const auto& b) { return a.second != b.second ? a.second > b.second : a.first < b.first; });
  Number last = 0;
  for (const auto& [key, count] : by_times) (key < few && key != 0xfffd ? numbers_[key] : further_[key]) = ++last;

  std::vector<char32_t> labels;
  each_character([&](char32_t key) { labels.push_back(key < few && key != 0xfffd ? numbers_[key] : further_[key]); });
  std::vector<double_arrays::Entry<char32_t>> rows;
  std::size_t begin = 0;
  for (const auto& [text, value] : entries) {
    std::size_t size = 0;
    for (std::size_t at = 0; at < text.size(); at += code_point_at(text, at).length) ++size;
    rows.emplace_back(std::u32string_view(labels.data() + begin, size), value);
    begin += size;
  }
  struct Units {
    CharacterTrie& trie;
    std::uint32_t otherwise;
    void resize(std::size_t units) { trie.units_.resize(units, {unused, 0, otherwise}); }
    void set_root(std::uint32_t base) { trie.root_ = base; }
    void set_label(std::uint32_t unit, std::uint32_t label) { trie.units_[unit].label = label; }
    void set_base(std::uint32_t unit, std::uint32_t base) { trie.units_[unit].base = base; }
    void set_value(std::uint32_t unit, std::uint32_t value) { trie.units_[unit].value = value; }
  };
  double_arrays::lay_out(std::move(rows), std::bit_ceil(std::size_t{last} + 1), Units{*this, otherwise});
}

}  // namespace plume::inline PLUME_ABI
#endif
