#pragma once
// The door of rotary embeddings.
#include "plume/kernels/elementwise/table.hpp"
#include "plume/kernels/reference/rope.hpp"

namespace plume::inline PLUME_ABI::kernels {

template <class T>
struct RopeTable {
  void (*rope)(View<T, 2> y, View<const T, 2> x, View<const T, 2> cosine, View<const T, 2> sine, Index head_width, RotaryLayout layout,
               int direction);
};

template <class T>
const RopeTable<T>& rope_table() {
  static constexpr RopeTable<T> reference_level{reference::rope<T>};
  return reference_level;
}

// y += x turned by direction (+1 or -1).
template <class T>
void rope(View<T, 2> y, View<const T, 2> x, View<const T, 2> cosine, View<const T, 2> sine, Index head_width, RotaryLayout layout,
          int direction) {
  for_rows(y, [&](Index i, Index j) {
    rope_table<T>().rope(y.rows(i, j), x.rows(i, j), cosine.rows(i, j), sine.rows(i, j), head_width, layout, direction);
  });
}

}  // namespace plume::inline PLUME_ABI::kernels
