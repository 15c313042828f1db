#pragma once
// Which of many texts begin at a place: a double-array trie [Aoe 1989] over bytes, one memory access a byte, four bytes a unit so that the
// tries of large vocabularies stay near the processor.
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/huge_pages.hpp"

namespace plume::inline PLUME_ABI {

class ByteTrie {
 public:
  using Entry = std::pair<std::string_view, std::uint32_t>;
  static constexpr std::uint32_t none = 0xffffffff;

  ByteTrie() = default;
  // No text is empty; of equal texts the first counts.
  PLUME_FUNCTION explicit ByteTrie(std::vector<Entry> entries);

  bool empty() const { return root_ == 0; }

  // Calls found(end, value) for each of the texts that begins at text[at], shortest first.
  template <class Found>
  void each_at(std::string_view text, std::size_t at, Found&& found) const {
    std::uint32_t base = root_;
    for (std::size_t end = at; end < text.size();) {
      const auto byte = static_cast<unsigned char>(text[end]);
      const std::uint32_t place = base ^ byte, unit = units_[place];
      if ((unit & 255) != byte || unit < 256) return;
      ++end;
      if ((unit & has_value) != 0) found(end, values_[place]);
      base = unit >> base_shift;
      if (base == far) [[unlikely]]
        base = far_bases_.at(place);
    }
  }
  // The value of the longest of the texts that begins at text[at], or none.
  std::uint32_t longest_at(std::string_view text, std::size_t at) const {
    std::uint32_t longest = none;
    each_at(text, at, [&](std::size_t, std::uint32_t value) { longest = value; });
    return longest;
  }

 private:
  // From the lowest bit: the byte that leads here, whether a text ends here, and where the children are: that of a byte at base ^ byte. A
  // unit that is used has one or the other; units 0 to 255 are not, so that base 0 has no child.
  static constexpr std::uint32_t has_value = 256, base_shift = 9, far = 0xffffffff >> base_shift;
  TableVector<std::uint32_t> units_ = TableVector<std::uint32_t>(256);
  TableVector<std::uint32_t> values_ = {};                           // by unit
  std::unordered_map<std::uint32_t, std::uint32_t> far_bases_ = {};  // by unit: those that have no room in it
  std::uint32_t root_ = 0;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

#include "plume/tokenizer/double_array.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION ByteTrie::ByteTrie(std::vector<Entry> entries) {
  struct Units {
    ByteTrie& trie;
    void resize(std::size_t units) { trie.units_.resize(units), trie.values_.resize(units); }
    void set_root(std::uint32_t base) { trie.root_ = base; }
    void set_label(std::uint32_t unit, std::uint32_t label) { trie.units_[unit] |= label; }
    void set_base(std::uint32_t unit, std::uint32_t base) {
      if (base >= far) trie.far_bases_[unit] = base;
      trie.units_[unit] |= std::min(base, far) << base_shift;
    }
    void set_value(std::uint32_t unit, std::uint32_t value) {
      trie.units_[unit] |= has_value;
      trie.values_[unit] = value;
    }
  };
  double_arrays::lay_out(std::move(entries), 256, Units{*this});
}

}  // namespace plume::inline PLUME_ABI
#endif
