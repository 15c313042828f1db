#pragma once
// A stable sort that is safe with any comparison, also one that contradicts itself, as those of templates may. std::stable_sort is not
// used: libstdc++ 12's warns under clang 19.
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

// Sorts values[first ...] by merging; equal ones stay in their order. O(n log n) comparisons; what less() throws leaves the values in
// no particular order, some of them moved from.
template <class T, class Less>
void sort_stably(std::vector<T>& values, Less less, std::size_t first = 0) {
  const std::size_t size = values.size() - first;
  std::vector<T> other(size);
  T *from = values.data() + first, *to = other.data();
  for (std::size_t width = 1; width < size; width *= 2) {
    for (std::size_t begin = 0; begin < size; begin += 2 * width) {
      const std::size_t middle = std::min(size, begin + width), end = std::min(size, begin + 2 * width);
      std::merge(std::move_iterator(from + begin), std::move_iterator(from + middle), std::move_iterator(from + middle),
                 std::move_iterator(from + end), to + begin, less);
    }
    std::swap(from, to);
  }
  if (from != values.data() + first) std::move(from, from + size, to);
}

}  // namespace plume::inline PLUME_ABI
