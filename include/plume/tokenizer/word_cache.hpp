#pragma once
// The ids of words that were seen before: a table in lines of the processor's cache, which grows with them up to a limit, where a new
// word may push out an old one. A word is in its line or, where that was full, in the line beside it. Up to three ids lie beside the word
// itself.
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/huge_pages.hpp"
#include "plume/tokenizer/aligned_text.hpp"
#include "plume/tokenizer/piece_table.hpp"

namespace plume::inline PLUME_ABI {

class WordCache {
 public:
  static constexpr std::size_t longest_word = 255;  // bytes; longer ones are not kept
  static constexpr std::size_t readable_ids = 4;    // of what was found at least so many may be read

  struct Key {
    std::uint64_t first, second;  // up to 15 bytes and their number; else two hashes
    std::uint32_t line;
  };
  struct Found {
    const TokenId* ids;  // nullptr: not there. At least readable_ids may be read
    std::uint32_t count;
    std::uint16_t note = 0;  // what insert() was given
  };

  // Comes before the words of a text of so many bytes: the table grows to twice as many lines as it holds words, or with the text.
  void expect(std::size_t bytes) {
    const std::size_t wanted = std::bit_ceil(std::min(std::max({2 * words_, bytes / 16, std::size_t{64}}), most_lines));
    if (wanted <= lines_.size()) return;
    const std::size_t before = lines_.size();
    // Large tables grow in place: memory that was never touched costs more than what is done in it here.
    if (wanted > small_lines) lines_.reserve(most_lines);
    met_.assign(wanted / 16, 0);
    met_count_ = 0;
    lines_.resize(wanted);
    last_line_ = wanted - 1;
    for (std::size_t i = 0; i < before; i += 2) {  // a line and the one beside it hold each other's words
      const Line both[2] = {lines_[i], lines_[i + 1]};
      lines_[i] = lines_[i + 1] = {};
      for (const Line& line : both)
        for (const Slot& slot : line.slots)
          if (slot.second != 0) place_for(line_of((slot.second & is_long) != 0 ? slot.first : short_hash(slot.first, slot.second))) = slot;
    }
  }
  // `readable`: bytes from word.data() on that may be read. expect() came before.
  PLUME_INLINE Key key(std::string_view word, std::size_t readable) const {
    std::uint64_t first = 0, second = 0;
    const std::size_t size = word.size();
    if (size <= 15) [[likely]] {
      if (readable >= 16 && std::endian::native == std::endian::little) [[likely]] {
        first = piece_keys::load(word.data()) & masks[size][0];
        second = piece_keys::load(word.data() + 8) & masks[size][1];
      } else {
        for (std::size_t i = 0; i < size; ++i) {
          std::uint64_t& half = i < 8 ? first : second;
          half |= std::uint64_t{static_cast<unsigned char>(word[i])} << 8 * (i % 8);
        }
      }
      second |= std::uint64_t{size} << 56;
      return {first, second, line_of(short_hash(first, second))};
    }
    first = size;
    std::size_t at = 0;
    for (; at + 16 <= size; at += 16)
      first = piece_keys::mix(first ^ piece_keys::load(word.data() + at), piece_keys::load(word.data() + at + 8));
    first = piece_keys::mix(first ^ piece_keys::load(word.data() + size - 16), piece_keys::load(word.data() + size - 8));
    second = is_long | std::uint64_t{size} << 32;
    return {first, second, line_of(first)};
  }
  PLUME_INLINE void prefetch(const Key& key) const { __builtin_prefetch(&lines_[key.line]); }

  PLUME_INLINE Found find(const Key& key, std::string_view word) const {
    const Line& line = lines_[key.line];
    if ((key.second & is_long) == 0) [[likely]] {
      const bool in_first = holds(line.slots[0], key), in_second = holds(line.slots[1], key);
      if (in_first | in_second) [[likely]]
        return found_in(line.slots[in_second ? 1 : 0]);
    } else if (word.size() > longest_word) {
      return {nullptr, 0};
    }
    return find_further(key, word);
  }

  void insert(const Key& key, std::string_view word, std::span<const TokenId> ids, std::uint16_t note = 0) {
    if (word.size() > longest_word || ids.size() > 0xffff) return;
    if (holds_more_than(most_bytes)) {
      std::fill(lines_.begin(), lines_.end(), Line{});
      texts_.clear();
      ids_.clear();
      words_ = extra_ = 0;
    }
    Slot& slot = place_for(key.line);
    words_ += slot.second == 0;
    slot = {key.first, key.second, {}, static_cast<std::uint16_t>(ids.size()), note};
    if (word.size() > 15) {
      slot.second |= texts_.size();
      texts_.insert(texts_.end(), word.begin(), word.end());
    }
    if (ids.size() <= inside) {
      std::copy(ids.begin(), ids.end(), slot.ids);
    } else {
      slot.ids[0] = static_cast<TokenId>(ids_.size());
      ids_.insert(ids_.end(), ids.begin(), ids.end());  // at least readable_ids
    }
  }
  // The same for a word whose parts are kept, so that it takes room for speed alone: if it seems to come again, and such words have no
  // more than half of the table, and all no more than three quarters of the memory for texts and ids.
  [[gnu::noinline]] void insert_extra(const Key& key, std::string_view word, std::span<const TokenId> ids) {
    const std::uint64_t bit = std::uint64_t{1} << (met_hash(key) >> 58);
    std::uint64_t& bits = met_[met_place(key)];
    if ((bits & bit) != 0) {
      if (extra_ == lines_.size() || holds_more_than(most_bytes / 4 * 3)) return;
      ++extra_;
      return insert(key, word, ids);
    }
    bits |= bit;
    if (++met_count_ > met_.size() * 32) {  // half of them all: begin anew, or all words would seem to come again
      std::fill(met_.begin(), met_.end(), 0);
      met_count_ = 0;
    }
  }
  // Comes some time before insert_extra().
  void prefetch_extra(const Key& key) const { __builtin_prefetch(&met_[met_place(key)], 1); }

 private:
  static constexpr std::uint64_t is_long = std::uint64_t{0x80} << 56;  // in Key::second, in place of the number of bytes
  static constexpr std::size_t inside = readable_ids - 1, small_lines = std::size_t{1} << 12, most_lines = std::size_t{1} << 18,
                               most_bytes = std::size_t{1} << 24;
  static constexpr auto masks = [] {
    std::array<std::array<std::uint64_t, 2>, 16> rows{};
    for (std::size_t size = 0; size < 16; ++size)
      rows[size] = {piece_keys::low_bytes(size), size > 8 ? piece_keys::low_bytes(size - 8) : 0};
    return rows;
  }();
  struct Slot {
    std::uint64_t first = 0, second = 0;  // second: 0 where there is no word; of long words also where their bytes lie in texts_
    TokenId ids[inside] = {};             // more than fit: where they lie in ids_
    std::uint16_t count = 0, note = 0;    // read as a fourth id, which nobody takes
    const TokenId* readable() const { return reinterpret_cast<const TokenId*>(reinterpret_cast<const char*>(this) + offsetof(Slot, ids)); }
  };
  struct alignas(64) Line {
    Slot slots[2];
  };
  PLUME_INLINE static std::uint64_t short_hash(std::uint64_t first, std::uint64_t second) {
    return first * 0x9e3779b97f4a7c15u + std::rotl(second * 0xc2b2ae3d27d4eb4fu, 32);
  }
  PLUME_INLINE std::uint32_t line_of(std::uint64_t hash) const {
    return static_cast<std::uint32_t>((hash ^ hash >> 29) >> 16 & last_line_);
  }
  Slot& place_for(std::uint32_t line) {
    for (const std::uint32_t i : {line, line ^ 1})
      for (Slot& slot : lines_[i].slots)
        if (slot.second == 0) return slot;
    return lines_[line].slots[1];
  }
  // Long words in both lines, short ones in that beside their own.
  Found find_further(const Key& key, std::string_view word) const {
    if (lines_[key.line].slots[0].second == 0) return {nullptr, 0};
    for (const std::uint32_t i : {key.line, key.line ^ 1})
      for (const Slot& slot : lines_[i].slots) {
        if (word.size() <= 15 ? holds(slot, key)
                              : slot.first == key.first && (slot.second ^ key.second) >> 32 == 0 &&
                                    std::memcmp(texts_.data() + static_cast<std::uint32_t>(slot.second), word.data(), word.size()) == 0)
          return found_in(slot);
      }
    return {nullptr, 0};
  }
  static std::uint64_t met_hash(const Key& key) { return key.first * 0x9e3779b97f4a7c15u; }
  std::size_t met_place(const Key& key) const { return static_cast<std::size_t>(met_hash(key) >> 32) & (met_.size() - 1); }
  PLUME_INLINE static bool holds(const Slot& slot, const Key& key) { return (slot.first == key.first) & (slot.second == key.second); }
  PLUME_INLINE Found found_in(const Slot& slot) const {
    if (slot.count <= inside) [[likely]]
      return {slot.readable(), slot.count, slot.note};
    return {ids_.data() + slot.ids[0], slot.count, slot.note};
  }
  bool holds_more_than(std::size_t bytes) const { return texts_.size() > bytes || ids_.size() > bytes / sizeof(TokenId); }

  std::size_t words_ = 0, met_count_ = 0, extra_ = 0;
  std::uint64_t last_line_ = 0;
  TableVector<Line> lines_;         // a power of two
  TableVector<std::uint64_t> met_;  // by hash, a bit for each word that insert_extra() met; two for each slot of lines_
  TableVector<char> texts_;
  TableVector<TokenId> ids_;
};

// Appends the ids of the words of [begin, part_end) of a text; next_word(at) is the first of them that begins at `at` or behind, and the
// last ends at part_end. Known words for which may_use(found) holds have the ids that are known, others those that make(key, word, known)
// returns, a Found that may be of this call only. known.expect() came before.
// Several words are found before the first is looked up, so that the memory of the table has time to arrive.
template <class NextWord, class MayUse, class Make>
void encode_known_words(std::string_view text, std::size_t begin, std::size_t part_end, WordCache& known, std::vector<TokenId>& ids,
                        NextWord&& next_word, MayUse&& may_use, Make&& make) {
  constexpr std::size_t block = 32, readable = WordCache::readable_ids;
  struct Place {
    std::string_view word;
    WordCache::Key key;
  };
  std::array<Place, block> places;
  std::array<TokenId, 1024> made;
  for (std::size_t at = begin; at < part_end;) {
    std::size_t count = 0;
    for (; count < block && at < part_end; ++count) {
      const Piece place = next_word(at);
      const std::string_view word(text.data() + place.begin, place.end - place.begin);
      places[count] = {word, known.key(word, text.size() - place.begin)};
      known.prefetch(places[count].key);
      at = place.end;
    }
    TokenId* out = made.data();
    for (std::size_t i = 0; i < count; ++i) {
      WordCache::Found found = known.find(places[i].key, places[i].word);
      if (found.ids == nullptr || !may_use(found)) [[unlikely]]
        found = make(places[i].key, places[i].word, found.ids != nullptr);
      if (found.count <= readable) [[likely]] {
        std::memcpy(out, found.ids, readable * sizeof(TokenId));  // as many as may be read: no branch on their number
        out += found.count;
        continue;
      }
      if (found.count + readable * block > static_cast<std::size_t>(made.data() + made.size() - out)) {
        ids.insert(ids.end(), made.data(), out);
        out = made.data();
        if (found.count > made.size() - readable * block) {
          ids.insert(ids.end(), found.ids, found.ids + found.count);
          continue;
        }
      }
      out = std::copy_n(found.ids, found.count, out);
    }
    ids.insert(ids.end(), made.data(), out);
  }
}

}  // namespace plume::inline PLUME_ABI
