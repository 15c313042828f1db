#pragma once
// Which of many texts begin at a place: a double-array trie [Aoe 1989] over bytes, one memory access a byte, four bytes a unit so that the
// tries of large vocabularies stay near the processor.
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"

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
  std::vector<std::uint32_t> units_ = std::vector<std::uint32_t>(256);
  std::vector<std::uint32_t> values_ = {};                           // by unit
  std::unordered_map<std::uint32_t, std::uint32_t> far_bases_ = {};  // by unit: those that have no room in it
  std::uint32_t root_ = 0;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <array>
#include <bit>

#include "plume/base/sort_stably.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION ByteTrie::ByteTrie(std::vector<Entry> entries) {
  sort_stably(entries, [](const Entry& a, const Entry& b) { return a.first < b.first; });
  entries.erase(std::unique(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.first == b.first; }),
                entries.end());
  if (entries.empty()) return;
  std::vector<char> used(256, 1), base_taken(256, 1);
  std::array<std::size_t, 4> first_free = {256, 256, 256, 256};  // where to look, by the number of children: many are hard to place
  const auto grow_to = [&](std::size_t size) {
    if (used.size() >= size) return;
    used.resize(std::max(size, used.size() + used.size() / 2));
    base_taken.resize(used.size()), units_.resize(used.size()), values_.resize(used.size());
  };
  const auto set_base = [&](std::uint32_t unit, std::uint32_t base) {
    if (base >= far) far_bases_[unit] = base;
    units_[unit] |= std::min(base, far) << base_shift;
  };
  struct Node {
    std::uint32_t unit;  // 0: the root
    std::size_t begin, end, depth;
  };
  struct Child {
    unsigned char label;
    std::size_t begin, end;
  };
  std::vector<Node> open = {{0, 0, entries.size(), 0}};
  std::vector<Child> children;
  while (!open.empty()) {
    const Node node = open.back();
    open.pop_back();
    children.clear();
    for (std::size_t i = node.begin; i < node.end; ++i) {
      const std::string_view text = entries[i].first;
      if (text.size() == node.depth) {
        units_[node.unit] |= has_value;
        values_[node.unit] = entries[i].second;
        continue;
      }
      const auto label = static_cast<unsigned char>(text[node.depth]);
      if (children.empty() || children.back().label != label) children.push_back({label, i, i});
      children.back().end = i + 1;
    }
    if (children.empty()) continue;
    std::size_t base = 0, tried = 0;
    std::size_t& first = first_free[std::min(static_cast<std::size_t>(std::bit_width(children.size())), first_free.size()) - 1];
    while (first < used.size() && used[first] != 0) ++first;
    for (std::size_t at = first;; ++at) {  // the first place that has room for all
      grow_to(at + 512);
      if (used[at] != 0) continue;
      base = at ^ children[0].label;
      if (base_taken[base] == 0 &&
          std::all_of(children.begin(), children.end(), [&](const Child& child) { return used[base ^ child.label] == 0; }))
        break;
      if (++tried % 16 == 0) first = at + 1;  // a crowded stretch is not searched again and again
    }
    base_taken[base] = 1;
    if (node.depth == 0)
      root_ = static_cast<std::uint32_t>(base);
    else
      set_base(node.unit, static_cast<std::uint32_t>(base));
    for (const Child& child : children) {
      const auto unit = static_cast<std::uint32_t>(base ^ child.label);
      used[unit] = 1;
      units_[unit] = child.label;
      open.push_back({unit, child.begin, child.end, node.depth + 1});
    }
  }
  units_.resize((units_.size() + 255) / 256 * 256);
}

}  // namespace plume::inline PLUME_ABI
#endif
