#pragma once
// The door of softmax and cross-entropy.
#include <limits>

#include "plume/kernels/elementwise/table.hpp"
#include "plume/kernels/reference/softmax.hpp"

namespace plume::inline PLUME_ABI::kernels {

using reference::ignored_target;

template <class T>
struct SoftmaxTable {
  void (*softmax)(View<T, 2> y, View<const T, 2> x);
  void (*softmax_backward)(View<T, 2> dx, View<const T, 2> dy, View<const T, 2> y);
  void (*cross_entropy)(View<T, 2> logits, std::span<const TokenId> targets, View<T, 1> losses, const T* gradient_scale);
};

}  // namespace plume::inline PLUME_ABI::kernels

#define PLUME_KERNELS "plume/kernels/simd/softmax.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS

namespace plume::inline PLUME_ABI::kernels {

PLUME_LEVELS(SoftmaxTable<float>, softmax_levels, softmax_level);

template <class T>
const SoftmaxTable<T>& softmax_table() {
  if constexpr (std::is_same_v<T, float>) {
    static const SoftmaxTable<T>& chosen = at_chosen_level(softmax_levels);
    return chosen;
  } else {
    static constexpr SoftmaxTable<T> reference_level{reference::softmax<T>, reference::softmax_backward<T>, reference::cross_entropy<T>};
    return reference_level;
  }
}

template <class T>
void softmax(View<T, 2> y, View<const T, 2> x) {
  for_rows(y, [&](Index i, Index j) { softmax_table<T>().softmax(y.rows(i, j), x.rows(i, j)); });
}
template <class T>
void softmax_backward(View<T, 2> dx, View<const T, 2> dy, View<const T, 2> y) {
  for_rows(dx, [&](Index i, Index j) { softmax_table<T>().softmax_backward(dx.rows(i, j), dy.rows(i, j), y.rows(i, j)); });
}
// logits become gradient_scale * (softmax - onehot) when a scale is given.
template <class T>
void cross_entropy(View<T, 2> logits, std::span<const TokenId> targets, View<T, 1> losses, const T* gradient_scale) {
  for_rows(logits, [&](Index i, Index j) {
    softmax_table<T>().cross_entropy(logits.rows(i, j), targets.subspan(static_cast<std::size_t>(i), static_cast<std::size_t>(j - i)),
                                     part(losses, i, j), gradient_scale);
  });
}

}  // namespace plume::inline PLUME_ABI::kernels
