#pragma once
// The door of optimiser updates and gradient norms.
#include "plume/kernels/elementwise/table.hpp"
#include "plume/kernels/reference/optimizer.hpp"

namespace plume::inline PLUME_ABI::kernels {

template <class T>
struct OptimizerTable {
  void (*adamw)(View<T, 1> weight, View<T, 1> first, View<T, 1> second, View<const T, 1> gradient, const AdamWStep& step,
                Index first_element);
  // With moments of bfloat16; absent where T is not float.
  void (*adamw_bf16)(View<T, 1> weight, View<Bfloat16, 1> first, View<Bfloat16, 1> second, View<const T, 1> gradient, const AdamWStep& step,
                     Index first_element);
  double (*sum_of_squares)(View<const T, 1> x);
};

}  // namespace plume::inline PLUME_ABI::kernels

#define PLUME_KERNELS "plume/kernels/simd/optimizer.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS

namespace plume::inline PLUME_ABI::kernels {

PLUME_LEVELS(OptimizerTable<float>, optimizer_levels, optimizer_level);

template <class T>
const OptimizerTable<T>& optimizer_table() {
  if constexpr (std::is_same_v<T, float>) {
    static const OptimizerTable<T>& chosen = at_chosen_level(optimizer_levels);
    return chosen;
  } else {
    static constexpr OptimizerTable<T> reference_level{reference::adamw<T, T>, nullptr, reference::sum_of_squares<T>};
    return reference_level;
  }
}

inline constexpr Index optimizer_grain = 4096;  // a multiple of 32, see rounding_words()

template <class T>
void adamw(View<T, 1> weight, View<T, 1> first, View<T, 1> second, View<const T, 1> gradient, const AdamWStep& step) {
  parallel_for(weight.size(), optimizer_grain, weight.size() * 16, [&](Index i, Index j) {
    optimizer_table<T>().adamw(part(weight, i, j), part(first, i, j), part(second, i, j), part(gradient, i, j), step, i);
  });
}
inline void adamw(View<float, 1> weight, View<Bfloat16, 1> first, View<Bfloat16, 1> second, View<const float, 1> gradient,
                  const AdamWStep& step) {
  parallel_for(weight.size(), optimizer_grain, weight.size() * 32, [&](Index i, Index j) {
    optimizer_table<float>().adamw_bf16(part(weight, i, j), part(first, i, j), part(second, i, j), part(gradient, i, j), step, i);
  });
}
template <class T>
void sgd(View<T, 1> weight, View<T, 1> velocity, View<const T, 1> gradient, double learning_rate, double momentum, double decay,
         double gradient_scale) {
  parallel_for(weight.size(), optimizer_grain, [&](Index i, Index j) {
    reference::sgd<T>(part(weight, i, j), part(velocity, i, j), part(gradient, i, j), learning_rate, momentum, decay, gradient_scale);
  });
}
// Partial sums of fixed chunks, added in chunk order.
template <class T>
double sum_of_squares(View<const T, 1> x) {
  PoolVector<double> sums(static_cast<std::size_t>((x.size() + optimizer_grain - 1) / optimizer_grain));
  parallel_for(x.size(), optimizer_grain, x.size() * 2, [&](Index i, Index j) {
    sums[static_cast<std::size_t>(i / optimizer_grain)] = optimizer_table<T>().sum_of_squares(part(x, i, j));
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace plume::inline PLUME_ABI::kernels
