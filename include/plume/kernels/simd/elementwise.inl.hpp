// Included once per level by for_each_level.hpp: sums and products of rows.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

PLUME_INLINE void write_lanes(float* p, V::Register x, Index count, Write write) {
  store(p, write == Write::add ? V::add(load(p, count), x) : x, count);
}

// y = a + b
inline void add(View<float, 2> y, View<const float, 2> a, View<const float, 2> b) {
  for (Index r = 0; r < y.rows(); ++r) {
    float* const to = y.row(r);
    const float *const left = a.row(r), *const right = b.row(r);
    for_lanes(
        y.columns(), [&](Index i, Index count)
                         __attribute__((always_inline)) { store(to + i, V::add(load(left + i, count), load(right + i, count)), count); });
  }
}

// y = factor * x, or y += factor * x
inline void scale(View<float, 2> y, View<const float, 2> x, float factor, Write write) {
  const V::Register by = V::set(factor);
  for (Index r = 0; r < y.rows(); ++r) {
    float* const to = y.row(r);
    const float* const from = x.row(r);
    for_lanes(
        y.columns(), [&](Index i, Index count)
                         __attribute__((always_inline)) { write_lanes(to + i, V::mul(by, load(from + i, count)), count, write); });
  }
}

// y = a * b, or y += a * b
inline void multiply(View<float, 2> y, View<const float, 2> a, View<const float, 2> b, Write write) {
  for (Index r = 0; r < y.rows(); ++r) {
    float* const to = y.row(r);
    const float *const left = a.row(r), *const right = b.row(r);
    for_lanes(
        y.columns(), [&](Index i, Index count) __attribute__((always_inline)) {
          write_lanes(to + i, V::mul(load(left + i, count), load(right + i, count)), count, write);
        });
  }
}

// sums (C) += the rows of x (T, C), in row order: four rows a pass.
inline void sum_rows(View<float, 1> sums, View<const float, 2> x) {
  float* const to = sums.data();
  const Index stride = x.stride(0);
  Index r = 0;
  for (; r + 4 <= x.rows(); r += 4) {
    const float* const from = x.row(r);
    for_lanes(
        x.columns(), [&](Index i, Index count) __attribute__((always_inline)) {
          const float* const p = from + i;
          const V::Register two = V::add(V::add(load(to + i, count), load(p, count)), load(p + stride, count));
          store(to + i, V::add(V::add(two, load(p + 2 * stride, count)), load(p + 3 * stride, count)), count);
        });
  }
  const View<float, 2> line(to, {1, x.columns()});
  for (; r < x.rows(); ++r) add(line, line, x.rows(r, r + 1));
}

// y = x rounded to bfloat16
inline void round_bf16(View<Bfloat16, 1> y, View<const float, 1> x) {
  Bfloat16* const to = y.data();
  const float* const from = x.data();
  for_lanes(
      x.size(), [&](Index i, Index count) __attribute__((always_inline)) {
        if (count == V::width) return V::store(to + i, V::load(from + i));
        Bfloat16 last[V::width];
        V::store(last, load(from + i, count));
        std::memcpy(to + i, last, static_cast<std::size_t>(count) * sizeof(Bfloat16));
      });
}

// y = x
inline void widen_bf16(View<float, 1> y, View<const Bfloat16, 1> x) {
  float* const to = y.data();
  const Bfloat16* const from = x.data();
  for_lanes(
      x.size(), [&](Index i, Index count) __attribute__((always_inline)) { store(to + i, load(from + i, count), count); });
}

inline constexpr ElementwiseTable<float> elementwise_level{add, scale, multiply, sum_rows, round_bf16, widen_bf16};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
