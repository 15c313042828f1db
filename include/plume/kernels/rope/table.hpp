#pragma once
// The door of rotary embeddings.
#include "plume/kernels/elementwise/table.hpp"
#include "plume/kernels/reference/rope.hpp"

namespace plume::inline PLUME_ABI::kernels {

template <class T>
struct RopeTable {
  void (*rope)(View<T, 2> y, View<const T, 2> x, View<const T, 2> cosine, View<const T, 2> sine, Index head_width, RotaryLayout layout,
               int direction, Write write);
};

}  // namespace plume::inline PLUME_ABI::kernels

#define PLUME_KERNELS "plume/kernels/simd/rope.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS

namespace plume::inline PLUME_ABI::kernels {

PLUME_LEVELS(RopeTable<float>, rope_levels, rope_level);

template <class T>
const RopeTable<T>& rope_table() {
  if constexpr (std::is_same_v<T, float>) {
    static const RopeTable<T>& chosen = at_chosen_level(rope_levels);
    return chosen;
  } else {
    static constexpr RopeTable<T> reference_level{[](View<T, 2> y, View<const T, 2> x, View<const T, 2> cosine, View<const T, 2> sine,
                                                     Index head_width, RotaryLayout layout, int direction, Write write) {
      if (write == Write::over) fill_with_zeros(y);
      reference::rope<T>(y, x, cosine, sine, head_width, layout, direction);
    }};
    return reference_level;
  }
}

// y = x turned by direction (+1 or -1), or y += it.
template <class T>
void rope(View<T, 2> y, View<const T, 2> x, View<const T, 2> cosine, View<const T, 2> sine, Index head_width, RotaryLayout layout,
          int direction, Write write) {
  for_rows(y, [&](Index i, Index j) {
    rope_table<T>().rope(y.rows(i, j), x.rows(i, j), cosine.rows(i, j), sine.rows(i, j), head_width, layout, direction, write);
  });
}

}  // namespace plume::inline PLUME_ABI::kernels
