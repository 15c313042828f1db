#pragma once
// The door of activations and gated units.
#include "plume/kernels/elementwise/table.hpp"
#include "plume/kernels/reference/activation.hpp"

namespace plume::inline PLUME_ABI::kernels {

template <class T>
struct ActivationTable {
  using Rows = View<T, 2>;
  using InRows = View<const T, 2>;
  void (*activation)(Rows y, InRows x, const Activation& rule);
  void (*activation_backward)(Rows dx, InRows dy, InRows x, const Activation& rule);
  void (*gated)(Rows y, InRows gate, InRows up, const Activation& rule);
  void (*gated_backward)(Rows dgate, Rows dup, InRows dy, InRows gate, InRows up, const Activation& rule);
};

}  // namespace plume::inline PLUME_ABI::kernels

#define PLUME_KERNELS "plume/kernels/simd/activation.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS

namespace plume::inline PLUME_ABI::kernels {

PLUME_LEVELS(ActivationTable<float>, activation_levels, activation_level);

template <class T>
const ActivationTable<T>& activation_table() {
  if constexpr (std::is_same_v<T, float>) {
    static const ActivationTable<T>& chosen = at_chosen_level(activation_levels);
    return chosen;
  } else {
    static constexpr ActivationTable<T> reference_level{reference::activation<T>, reference::activation_backward<T>, reference::gated<T>,
                                                        reference::gated_backward<T>};
    return reference_level;
  }
}

inline constexpr Index activation_cost = 4;  // element operations an exponential is worth

template <class T>
void activation(View<T, 2> y, View<const T, 2> x, const Activation& rule) {
  parallel_for(y.rows(), row_grain(activation_cost * y.columns()), activation_cost * y.size(),
               [&](Index i, Index j) { activation_table<T>().activation(y.rows(i, j), x.rows(i, j), rule); });
}
template <class T>
void activation_backward(View<T, 2> dx, View<const T, 2> dy, View<const T, 2> x, const Activation& rule) {
  parallel_for(dx.rows(), row_grain(activation_cost * dx.columns()), activation_cost * dx.size(),
               [&](Index i, Index j) { activation_table<T>().activation_backward(dx.rows(i, j), dy.rows(i, j), x.rows(i, j), rule); });
}
template <class T>
void gated(View<T, 2> y, View<const T, 2> gate, View<const T, 2> up, const Activation& rule) {
  parallel_for(y.rows(), row_grain(activation_cost * y.columns()), activation_cost * y.size(),
               [&](Index i, Index j) { activation_table<T>().gated(y.rows(i, j), gate.rows(i, j), up.rows(i, j), rule); });
}
template <class T>
void gated_backward(View<T, 2> dgate, View<T, 2> dup, View<const T, 2> dy, View<const T, 2> gate, View<const T, 2> up,
                    const Activation& rule) {
  parallel_for(dy.rows(), row_grain(activation_cost * dy.columns()), activation_cost * dy.size(), [&](Index i, Index j) {
    activation_table<T>().gated_backward(dgate ? dgate.rows(i, j) : dgate, dup ? dup.rows(i, j) : dup, dy.rows(i, j), gate.rows(i, j),
                                         up.rows(i, j), rule);
  });
}

}  // namespace plume::inline PLUME_ABI::kernels
