// Included once per level by math_test: the functions of vectors on arrays.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

inline void array_of_exponentials(float* y, const float* x, Index size) {
  for_lanes_in_one_loop(
      size, [&](Index i, Index count) __attribute__((always_inline)) { store(y + i, exponential(load(x + i, count)), count); });
}
inline void array_of_sigmoids(float* y, const float* x, Index size) {
  for_lanes_in_one_loop(
      size, [&](Index i, Index count) __attribute__((always_inline)) { store(y + i, sigmoid(load(x + i, count)), count); });
}
inline void array_of_tangents(float* y, const float* x, Index size) {
  for_lanes_in_one_loop(
      size, [&](Index i, Index count) __attribute__((always_inline)) { store(y + i, hyperbolic_tangent(load(x + i, count)), count); });
}
inline void array_of_distributions(float* y, const float* x, Index size) {
  for_lanes_in_one_loop(
      size, [&](Index i, Index count) __attribute__((always_inline)) { store(y + i, normal_distribution(load(x + i, count)), count); });
}
inline void array_with_neighbours_swapped(float* y, const float* x, Index size) {
  for_lanes_in_one_loop(
      size, [&](Index i, Index count) __attribute__((always_inline)) { store(y + i, V::swap_neighbours(load(x + i, count)), count); });
}
// y[0]: the sum of x. The lanes past the end count as `other` in y[1].
inline void sums(float* y, const float* x, Index size, float other) {
  y[0] = sum_lanes(
      size, [&](Index i, Index count, V::Register sum) __attribute__((always_inline)) { return V::add(sum, load(x + i, count)); });
  y[1] = sum_lanes(
      size, [&](Index i, Index count, V::Register sum)
                __attribute__((always_inline)) { return V::add(sum, load_or(x + i, count, other)); });
}

inline constexpr MathTable math_level{
    V::width, array_of_exponentials, array_of_sigmoids, array_of_tangents, array_of_distributions, array_with_neighbours_swapped, sums};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
