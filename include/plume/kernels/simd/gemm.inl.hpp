// Included once per level by for_each_level.hpp: the tile of the matrix product, its packing, and products of a few rows.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

// What a panel holds at one lane and one step of the depth: a float (which is a bfloat16 value if `rounds`), or a word of two bfloat16
// values of successive depths. Sources are floats or bfloat16.
struct Source {
  const void* data;
  bool is_bf16, rounds;

  PLUME_INLINE V::Register load(Index at, Index count) const {
    return is_bf16 ? PLUME_LEVEL::load(static_cast<const Bfloat16*>(data) + at, count)
                   : PLUME_LEVEL::load(static_cast<const float*>(data) + at, count);
  }
};
struct SingleWord {
  static constexpr Index step = 1;
  PLUME_INLINE static V::Register across(const Source& source, Index at, Index, Index lanes, Index) { return along(source, at, lanes); }
  PLUME_INLINE static V::Register along(const Source& source, Index at, Index words) {
    const V::Register value = source.load(at, words);
    return source.rounds ? V::round_bf16(value) : value;
  }
  PLUME_INLINE static V::Register multiply(V::Register a, V::Register b, V::Register c) { return V::fma(a, b, c); }
};
#if PLUME_LEVEL_NUMBER >= 3
struct PairWord {
  static constexpr Index step = 2;
  // Words of `lanes` neighbours, from this depth and the next, which may lie outside.
  PLUME_INLINE static V::Register across(const Source& source, Index at, Index depth_stride, Index lanes, Index depth) {
    return V::pair_bf16(source.load(at, lanes), depth > 1 ? source.load(at + depth_stride, lanes) : V::zero());
  }
  // Words of one lane: pairs of neighbours.
  PLUME_INLINE static V::Register along(const Source& source, Index at, Index depth) {
    const V::Register first = source.load(at, depth < V::width ? depth : V::width);
    const V::Register second = depth > V::width ? source.load(at + V::width, depth - V::width) : V::zero();
    return V::neighbours_bf16(first, second);
  }
  PLUME_INLINE static V::Register multiply(V::Register a, V::Register b, V::Register c) { return V::dot_pairs(a, b, c); }
};
#endif

// The accumulators of N rows of a tile, two vectors wide. A recursive struct, because compilers leave an array of vectors in memory at -O2.
template <int N>
struct TileRows {
  V::Register left, right;
  TileRows<N - 1> below;

  PLUME_INLINE void clear() {
    left = right = V::zero();
    below.clear();
  }
  template <class Word>
  PLUME_INLINE void multiply(const float* a, V::Register b_left, V::Register b_right) {
    const V::Register x = V::set(*a);
    left = Word::multiply(x, b_left, left);
    right = Word::multiply(x, b_right, right);
    below.template multiply<Word>(a + 1, b_left, b_right);
  }
  PLUME_INLINE void store(float* c, Index stride) const {
    V::store(c, left);
    V::store(c + V::width, right);
    below.store(c + stride, stride);
  }
  PLUME_INLINE void store_sum(float* c, Index stride, const float* start, Index start_stride) const {
    V::store(c, V::add(left, V::load(start)));
    V::store(c + V::width, V::add(right, V::load(start + V::width)));
    below.store_sum(c + stride, stride, start + start_stride, start_stride);
  }
};
template <>
struct TileRows<0> {
  PLUME_INLINE void clear() {}
  template <class Word>
  PLUME_INLINE void multiply(const float*, V::Register, V::Register) {}
  PLUME_INLINE void store(float*, Index) const {}
  PLUME_INLINE void store_sum(float*, Index, const float*, Index) const {}
};

inline constexpr int tile_rows = PLUME_LEVEL_NUMBER >= 2 ? 14 : PLUME_LEVEL_NUMBER == 1 ? 6 : 4;
inline constexpr Index tile_columns = 2 * V::width;

// c (tile) = start + a panel (words, tile_rows) b panel (words, tile_columns); start may be absent, c itself, or a row with stride 0.
template <class Word>
inline void gemm_tile(float* c, Index c_stride, const float* start, Index start_stride, const float* a, const float* b, Index words) {
  TileRows<tile_rows> rows;
  rows.clear();
  for (Index k = 0; k < words; ++k) {
    rows.template multiply<Word>(a, V::load(b), V::load(b + V::width));
    a += tile_rows;
    b += tile_columns;
  }
  start ? rows.store_sum(c, c_stride, start, start_stride) : rows.store(c, c_stride);
}

// A vector of each step of the depth, where neighbours are lanes.
template <class T>
inline void pack_vectors(float* panel, Index width, const T* from, Index depth_stride, Index depth) {
  for (Index k = 0; k < depth; ++k) V::store(panel + k * width, V::load(from + k * depth_stride));
}

// Packs `lanes` lanes of `depth` elements as words: panel[word * width + lane], zeros in lanes past the last. One of the strides is 1.
// Writes up to V::width - 1 words past the panel's end.
template <class Word>
inline void gemm_pack(float* panel, Index width, const void* data, bool is_bf16, bool rounds, Index lane_stride, Index depth_stride,
                      Index lanes, Index depth) {
  const Source source{data, is_bf16, rounds};
  const bool is_plain = Word::step == 1 && !rounds;  // whole vectors then need no more than a conversion to float
  const auto* const floats = static_cast<const float*>(data);
  const auto* const halves = static_cast<const Bfloat16*>(data);
  const Index words = (depth + Word::step - 1) / Word::step;
  if (lane_stride == 1) {
    for (Index lane = 0; lane < width; lane += V::width) {
      const Index left = lanes - lane, count = left < V::width ? left : V::width;
      if (is_plain && count == V::width) {
        is_bf16 ? pack_vectors(panel + lane, width, halves + lane, depth_stride, words)
                : pack_vectors(panel + lane, width, floats + lane, depth_stride, words);
        continue;
      }
      for (Index word = 0; word < words; ++word) {
        const Index at = word * Word::step * depth_stride + lane;
        V::store(panel + word * width + lane,
                 count > 0 ? Word::across(source, at, depth_stride, count, depth - word * Word::step) : V::zero());
      }
    }
    return;
  }
  for (Index word = 0; word < words; word += V::width) {
    const Index count = words - word < V::width ? words - word : V::width;
    const Index left = depth - word * Word::step, elements = left < V::width * Word::step ? left : V::width * Word::step;
    for (Index lane = 0; lane < width; lane += V::width) {
      // Lanes past the panel's width are written over by the next word's.
      const Index needed = width - lane < V::width ? width - lane : V::width;
      float* const to = panel + word * width + lane;
      if (is_plain && count == V::width && lanes - lane >= needed) {
        const Index at = lane * lane_stride + word;
        is_bf16 ? transpose(to, width, halves + at, lane_stride, needed) : transpose(to, width, floats + at, lane_stride, needed);
        continue;
      }
      float rows[V::width * V::width], columns[V::width * V::width];
      for (Index i = 0; i < V::width; ++i) {
        const Index at = (lane + i) * lane_stride + word * Word::step;
        V::store(rows + i * V::width, lane + i < lanes ? Word::along(source, at, elements) : V::zero());
      }
      transpose(columns, V::width, rows, V::width, V::width);
      for (Index i = 0; i < count; ++i) V::store(to + i * width, V::load(columns + i * V::width));
    }
  }
}

// Sum of products in four chains.
template <class T>
inline float dot(const float* a, const T* b, Index size) {
  V::Register s0 = V::zero(), s1 = s0, s2 = s0, s3 = s0;
  Index i = 0;
  for (; i + 4 * V::width <= size; i += 4 * V::width) {
    s0 = V::fma(V::load(a + i), V::load(b + i), s0);
    s1 = V::fma(V::load(a + i + V::width), V::load(b + i + V::width), s1);
    s2 = V::fma(V::load(a + i + 2 * V::width), V::load(b + i + 2 * V::width), s2);
    s3 = V::fma(V::load(a + i + 3 * V::width), V::load(b + i + 3 * V::width), s3);
  }
  for (; i < size; i += V::width) {
    const Index count = size - i < V::width ? size - i : V::width;
    s0 = V::fma(load(a + i, count), load(b + i, count), s0);
  }
  return V::sum(V::add(V::add(s0, s1), V::add(s2, s3)));
}

// S vectors: of as many rows of a weight, or sums of products with them.
template <int S>
struct Vectors {
  V::Register first;
  Vectors<S - 1> rest;

  PLUME_INLINE void clear() {
    first = V::zero();
    rest.clear();
  }
  template <class T>
  PLUME_INLINE void load(const T* at, Index step, Index count) {
    first = PLUME_LEVEL::load(at, count);
    rest.load(at + step, step, count);
  }
  PLUME_INLINE void add_products(V::Register x, const Vectors& rows) {
    first = V::fma(x, rows.first, first);
    rest.add_products(x, rows.rest);
  }
  PLUME_INLINE void add_to(float* y, Index step) const {
    *y += V::sum(first);
    rest.add_to(y + step, step);
  }
};
template <>
struct Vectors<0> {
  PLUME_INLINE void clear() {}
  template <class T>
  PLUME_INLINE void load(const T*, Index, Index) {}
  PLUME_INLINE void add_products(V::Register, const Vectors&) {}
  PLUME_INLINE void add_to(float*, Index) const {}
};

// The products of N rows of x with S rows of a weight.
template <int N, int S>
struct Dots {
  Vectors<S> sums;
  Dots<N - 1, S> below;

  PLUME_INLINE void clear() {
    sums.clear();
    below.clear();
  }
  PLUME_INLINE void multiply(const float* x, Index stride, Index count, const Vectors<S>& rows) {
    sums.add_products(load(x, count), rows);
    below.multiply(x + stride, stride, count, rows);
  }
  PLUME_INLINE void add_to(float* y, Index row_stride, Index step) const {
    sums.add_to(y, step);
    below.add_to(y + row_stride, row_stride, step);
  }
};
template <int S>
struct Dots<0, S> {
  PLUME_INLINE void clear() {}
  PLUME_INLINE void multiply(const float*, Index, Index, const Vectors<S>&) {}
  PLUME_INLINE void add_to(float*, Index, Index) const {}
};
template <int N, int S, class T>
inline void dots(float* y, Index y_stride, const float* x, Index x_stride, const T* w, Index w_step, Index size, Index step) {
  Dots<N, S> all;
  all.clear();
  Vectors<S> rows;
  Index i = 0;
  for (; i + V::width <= size; i += V::width) {
    rows.load(w + i, w_step, V::width);
    all.multiply(x + i, x_stride, V::width, rows);
  }
  if (i < size) {
    rows.load(w + i, w_step, size - i);
    all.multiply(x + i, x_stride, size - i, rows);
  }
  all.add_to(y, y_stride, step);
}

// y (M, N) += x (M, K) w^T. The weight is read as S streams, one a part of its rows: processors fetch ahead of several streams at once.
template <int S, class T>
inline void product_in_streams(View<float, 2> y, View<const float, 2> x, const T* w, Index w_stride) {
  const Index size = x.columns(), step = y.columns() / S, w_step = step * w_stride;
  for (Index n = 0; n < step; ++n) {
    const T* const rows = w + n * w_stride;
    Index m = 0;
    for (; m + 4 <= x.rows(); m += 4) dots<4, S>(y.row(m) + n, y.stride(0), x.row(m), x.stride(0), rows, w_step, size, step);
    for (; m + 2 <= x.rows(); m += 2) dots<2, S>(y.row(m) + n, y.stride(0), x.row(m), x.stride(0), rows, w_step, size, step);
    if (m < x.rows()) dots<1, S>(y.row(m) + n, y.stride(0), x.row(m), x.stride(0), rows, w_step, size, step);
  }
  for (Index n = S * step; n < y.columns(); ++n)
    for (Index m = 0; m < x.rows(); ++m) y.row(m)[n] += dot(x.row(m), w + n * w_stride, size);
}

// y (M, N) += x (M, K) w^T for a few rows of x and w (N, K) of floats or bfloat16: each row of w is read once, where it lies.
// Four rows of x times four of the weight need 21 registers.
template <class T>
inline void few_rows_product(View<float, 2> y, View<const float, 2> x, const void* weight, Index w_stride) {
  constexpr int most = V::width >= 16 ? 4 : 3;
  const T* const w = static_cast<const T*>(weight);
  x.rows() < 4 ? product_in_streams<4>(y, x, w, w_stride) : product_in_streams<most>(y, x, w, w_stride);
}

// c (M, N) += a (M, K) b (K, N) for a few rows of a, b row-major: each row of b is read once.
template <class T>
inline void few_rows_sum(View<float, 2> c, View<const float, 2> a, const void* rows, Index b_stride) {
  const T* b = static_cast<const T*>(rows);
  Index k = 0;
  for (; k + 4 <= a.columns(); k += 4, b += 4 * b_stride) {
    for (Index m = 0; m < c.rows(); ++m) {
      float* const to = c.row(m);
      const float* const factor = a.row(m) + k;
      const V::Register f0 = V::set(factor[0]), f1 = V::set(factor[1]), f2 = V::set(factor[2]), f3 = V::set(factor[3]);
      for (Index i = 0; i < c.columns(); i += V::width) {
        const Index count = c.columns() - i < V::width ? c.columns() - i : V::width;
        V::Register sum = V::fma(f0, load(b + i, count), load(to + i, count));
        sum = V::fma(f1, load(b + b_stride + i, count), sum);
        sum = V::fma(f2, load(b + 2 * b_stride + i, count), sum);
        store(to + i, V::fma(f3, load(b + 3 * b_stride + i, count), sum), count);
      }
    }
  }
  for (; k < a.columns(); ++k, b += b_stride) {
    for (Index m = 0; m < c.rows(); ++m)
      for (Index i = 0; i < c.columns(); ++i) c.row(m)[i] += a.row(m)[k] * static_cast<float>(b[i]);
  }
}

#if PLUME_LEVEL_NUMBER >= 3
inline constexpr GemmTile bf16_tile{tile_rows, tile_columns, PairWord::step, false, gemm_tile<PairWord>, gemm_pack<PairWord>};
#else
inline constexpr GemmTile bf16_tile{tile_rows, tile_columns, 1, true, gemm_tile<SingleWord>, gemm_pack<SingleWord>};
#endif
inline constexpr GemmLevel gemm_level{{tile_rows, tile_columns, 1, false, gemm_tile<SingleWord>, gemm_pack<SingleWord>},
                                      bf16_tile,
                                      {few_rows_product<float>, few_rows_product<Bfloat16>},
                                      {few_rows_sum<float>, few_rows_sum<Bfloat16>}};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
