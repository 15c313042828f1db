// Included once per level by for_each_level.hpp: rotary embeddings.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

// (a, b) -> (a cos - b sin, b cos + a sin), for pairs that lie `half` apart.
PLUME_INLINE void turn_halves(float* to, const float* from, const float* cosine, const float* sine, Index half, V::Register sign,
                              Write write) {
  for_lanes(
      half, [&](Index i, Index count) __attribute__((always_inline)) {
        const V::Register a = load(from + i, count), b = load(from + half + i, count), c = load(cosine + i, count),
                          s = V::mul(sign, load(sine + i, count));
        write_lanes(to + i, V::sub(V::mul(a, c), V::mul(b, s)), count, write);
        write_lanes(to + half + i, V::fma(b, c, V::mul(a, s)), count, write);
      });
}

// The same for neighbours: a vector holds pairs, each with its cosine twice and with -sine and sine.
PLUME_INLINE void turn_neighbours(float* to, const float* from, const float* cosine, const float* sine, Index half, V::Register sign,
                                  Write write) {
  for_lanes_in_one_loop(
      half, [&](Index i, Index count) __attribute__((always_inline)) {
        const V::Register c = load(cosine + i, count), s = V::mul(sign, load(sine + i, count)), minus = V::sub(V::zero(), s);
        const Index first = 2 * count < V::width ? 2 * count : V::width, second = 2 * count - first;
        const float* const x = from + 2 * i;
        const V::Register low = load(x, first);
        const V::Register turned = V::fma(low, V::zip_low(c, c), V::mul(V::swap_neighbours(low), V::zip_low(minus, s)));
        if (second > 0) {
          const V::Register high = load(x + V::width, second);
          write_lanes(to + 2 * i + V::width, V::fma(high, V::zip_high(c, c), V::mul(V::swap_neighbours(high), V::zip_high(minus, s))),
                      second, write);
        }
        write_lanes(to + 2 * i, turned, first, write);
      });
}

// The first 2 * cosine.columns() elements of each head are turned, the others copied.
inline void rope(View<float, 2> y, View<const float, 2> x, View<const float, 2> cosine, View<const float, 2> sine, Index head_width,
                 RotaryLayout layout, int direction, Write write) {
  const Index half = cosine.columns(), rest = head_width - 2 * half;
  const V::Register sign = V::set(static_cast<float>(direction));
  for (Index t = 0; t < x.rows(); ++t) {
    for (Index head = 0; head < x.columns(); head += head_width) {
      const float* const from = x.row(t) + head;
      float* const to = y.row(t) + head;
      if (layout == RotaryLayout::half_split)
        turn_halves(to, from, cosine.row(t), sine.row(t), half, sign, write);
      else
        turn_neighbours(to, from, cosine.row(t), sine.row(t), half, sign, write);
      for_lanes(
          rest, [&](Index i, Index count)
                    __attribute__((always_inline)) { write_lanes(to + 2 * half + i, load(from + 2 * half + i, count), count, write); });
    }
  }
}

inline constexpr RopeTable<float> rope_level{rope};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
