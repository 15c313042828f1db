#pragma once
// The merging loop of byte-pair encoding [Sennrich, Haddow, Birch 2016], shared by the byte-level and the SentencePiece kind.
#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

// A run of bytes [begin, end) of the text that is one token for now; the runs form a doubly linked list.
struct Symbol {
  TokenId id;
  std::uint32_t begin, end;
  std::uint32_t previous, next;  // no_symbol at the ends
};
inline constexpr std::uint32_t no_symbol = std::numeric_limits<std::uint32_t>::max();
inline constexpr TokenId absorbed_symbol = -1;  // id of a symbol that its left neighbour swallowed

template <class Priority>
struct MergeCandidate {
  Priority priority;  // the lowest merges first
  TokenId result;
  std::uint32_t left, right;                           // symbols
  std::uint32_t end;                                   // of the right one when the candidate was found: tells whether it has grown since
  bool operator<(const MergeCandidate& other) const {  // reversed: the standard heaps keep the largest in front
    return priority != other.priority ? priority > other.priority : left > other.left;
  }
};

template <class Priority>
struct FoundMerge {
  Priority priority;
  TokenId result;
};

// Merges neighbours, lowest priority first and leftmost first among equals, until find(left, right), a
// std::optional<FoundMerge<Priority>>, knows no merge for any neighbours. n symbols take O(n log n). `heap` is scratch space.
template <class Priority, class Find>
void merge_symbols(std::vector<Symbol>& symbols, std::vector<MergeCandidate<Priority>>& heap, Find&& find) {
  heap.clear();
  const auto consider = [&](std::uint32_t left, std::uint32_t right) {
    if (left == no_symbol || right == no_symbol) return false;
    const std::optional<FoundMerge<Priority>> found = find(symbols[left], symbols[right]);
    if (found) heap.push_back({found->priority, found->result, left, right, symbols[right].end});
    return found.has_value();
  };
  for (std::uint32_t i = 0; i + 1 < symbols.size(); ++i) consider(i, i + 1);
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    const MergeCandidate<Priority> best = heap.front();
    std::pop_heap(heap.begin(), heap.end());
    heap.pop_back();
    Symbol& left = symbols[best.left];
    Symbol& right = symbols[best.right];
    if (left.id == absorbed_symbol || left.next != best.right || right.end != best.end) continue;  // overtaken by another merge
    left.id = best.result;
    left.end = right.end;
    left.next = right.next;
    if (left.next != no_symbol) symbols[left.next].previous = best.left;
    right.id = absorbed_symbol;
    if (consider(left.previous, best.left)) std::push_heap(heap.begin(), heap.end());
    if (consider(best.left, left.next)) std::push_heap(heap.begin(), heap.end());
  }
}

}  // namespace plume::inline PLUME_ABI
