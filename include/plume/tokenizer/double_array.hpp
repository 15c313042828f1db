#pragma once
// How tries are laid out in an array [Aoe 1989]: the child of a unit for a label lies at base ^ label, one memory access a label. Shared by
// the trie over bytes and that over characters.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/sort_stably.hpp"

namespace plume::inline PLUME_ABI::double_arrays {

// A row of labels and its value.
template <class Label>
using Entry = std::pair<std::basic_string_view<Label>, std::uint32_t>;

// Lays out the trie of some rows, none of them empty; of equal rows the first counts. Labels are below `labels`, a power of two; the units
// below `labels` stay unused, so that a unit with base 0 has no child. Tells what it finds, in any order:
//   layout.resize(units)               there are so many; more than before
//   layout.set_root(base)
//   layout.set_label(unit, label)      the unit is used
//   layout.set_base(unit, base)        it has children
//   layout.set_value(unit, value)      a row ends there
template <class Label, class Layout>
void lay_out(std::vector<Entry<Label>> entries, std::size_t labels, Layout&& layout) {
  using Row = Entry<Label>;
  sort_stably(entries, [](const Row& a, const Row& b) { return a.first < b.first; });
  entries.erase(std::unique(entries.begin(), entries.end(), [](const Row& a, const Row& b) { return a.first == b.first; }), entries.end());
  layout.resize(labels);
  if (entries.empty()) return;
  std::vector<char> used(labels, 1), base_taken(labels, 1);
  std::array<std::size_t, 4> first_free;  // where to look, by the number of children: many are hard to place
  first_free.fill(labels);
  const auto grow_to = [&](std::size_t size) {
    if (used.size() >= size) return;
    used.resize((std::max(size, used.size() + used.size() / 2) + labels - 1) / labels * labels);
    base_taken.resize(used.size());
    layout.resize(used.size());
  };
  struct Node {
    std::uint32_t unit;  // 0: the root
    std::size_t begin, end, depth;
  };
  struct Child {
    std::uint32_t label;
    std::size_t begin, end;
  };
  std::vector<Node> open = {{0, 0, entries.size(), 0}};
  std::vector<Child> children;
  while (!open.empty()) {
    const Node node = open.back();
    open.pop_back();
    children.clear();
    for (std::size_t i = node.begin; i < node.end; ++i) {
      const std::basic_string_view<Label> row = entries[i].first;
      if (row.size() == node.depth) {
        layout.set_value(node.unit, entries[i].second);
        continue;
      }
      const auto label = static_cast<std::uint32_t>(static_cast<std::make_unsigned_t<Label>>(row[node.depth]));
      if (children.empty() || children.back().label != label) children.push_back({label, i, i});
      children.back().end = i + 1;
    }
    if (children.empty()) continue;
    std::size_t base = 0, tried = 0;
    std::size_t& first = first_free[std::min(static_cast<std::size_t>(std::bit_width(children.size())), first_free.size()) - 1];
    while (first < used.size() && used[first] != 0) ++first;
    for (std::size_t at = first;; ++at) {  // the first place that has room for all
      grow_to(at + 2 * labels);
      if (used[at] != 0) continue;
      base = at ^ children[0].label;
      if (base_taken[base] == 0 &&
          std::all_of(children.begin(), children.end(), [&](const Child& child) { return used[base ^ child.label] == 0; }))
        break;
      if (++tried % 16 == 0) first = at + 1;  // a crowded stretch is not searched again and again
    }
    base_taken[base] = 1;
    if (node.depth == 0)
      layout.set_root(static_cast<std::uint32_t>(base));
    else
      layout.set_base(node.unit, static_cast<std::uint32_t>(base));
    for (const Child& child : children) {
      const auto unit = static_cast<std::uint32_t>(base ^ child.label);
      used[unit] = 1;
      layout.set_label(unit, child.label);
      open.push_back({unit, child.begin, child.end, node.depth + 1});
    }
  }
}

}  // namespace plume::inline PLUME_ABI::double_arrays
