// Included once per level by for_each_level.hpp: the tile of the matrix product, its packing, and products of a few rows.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

// What a panel holds at one lane and one step of the depth: a float, a float that is a bfloat16 value, or a word of two bfloat16 values of
// successive depths.
struct SingleWord {
  static constexpr Index step = 1;
  template <class T>
  PLUME_INLINE static V::Register across(const T* p, Index, Index lanes, Index) {
    return load(p, lanes);
  }
  template <class T>
  PLUME_INLINE static V::Register along(const T* p, Index words) {
    return load(p, words);
  }
  PLUME_INLINE static V::Register multiply(V::Register a, V::Register b, V::Register c) { return V::fma(a, b, c); }
};
struct RoundedWord {
  static constexpr Index step = 1;
  template <class T>
  PLUME_INLINE static V::Register across(const T* p, Index, Index lanes, Index) {
    return V::round_bf16(load(p, lanes));
  }
  template <class T>
  PLUME_INLINE static V::Register along(const T* p, Index words) {
    return V::round_bf16(load(p, words));
  }
  PLUME_INLINE static V::Register multiply(V::Register a, V::Register b, V::Register c) { return V::fma(a, b, c); }
};
#if PLUME_LEVEL_NUMBER >= 3
struct PairWord {
  static constexpr Index step = 2;
  // Words of `lanes` neighbours, from this depth and the next, which may lie outside.
  template <class T>
  PLUME_INLINE static V::Register across(const T* p, Index depth_stride, Index lanes, Index depth) {
    return V::pair_bf16(load(p, lanes), depth > 1 ? load(p + depth_stride, lanes) : V::zero());
  }
  // Words of one lane: pairs of neighbours.
  template <class T>
  PLUME_INLINE static V::Register along(const T* p, Index depth) {
    const V::Register first = load(p, depth < V::width ? depth : V::width);
    const V::Register second = depth > V::width ? load(p + V::width, depth - V::width) : V::zero();
    return V::neighbours_bf16(first, second);
  }
  PLUME_INLINE static V::Register multiply(V::Register a, V::Register b, V::Register c) { return V::dot_pairs(a, b, c); }
};
using Bf16Word = PairWord;
#else
using Bf16Word = RoundedWord;
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

// Packs `lanes` lanes of `depth` elements as words: panel[word * width + lane], zeros in lanes past the last. One of the strides is 1.
// Writes up to V::width - 1 words past the panel's end.
template <class Word, class T>
inline void gemm_pack(float* panel, Index width, const void* source, Index lane_stride, Index depth_stride, Index lanes, Index depth) {
  const T* const first = static_cast<const T*>(source);
  const Index words = (depth + Word::step - 1) / Word::step;
  if (lane_stride == 1) {
    for (Index word = 0; word < words; ++word) {
      const T* const from = first + word * Word::step * depth_stride;
      for (Index lane = 0; lane < width; lane += V::width) {
        const Index count = lanes - lane < V::width ? lanes - lane : V::width;
        V::store(panel + word * width + lane,
                 count > 0 ? Word::across(from + lane, depth_stride, count, depth - word * Word::step) : V::zero());
      }
    }
    return;
  }
  for (Index word = 0; word < words; word += V::width) {
    const Index count = words - word < V::width ? words - word : V::width;
    const Index left = depth - word * Word::step, elements = left < V::width * Word::step ? left : V::width * Word::step;
    for (Index lane = 0; lane < width; lane += V::width) {
      const T* const from = first + lane * lane_stride + word * Word::step;
      Square square;
#pragma GCC unroll 16
      for (Index i = 0; i < V::width; ++i) square.row[i] = lane + i < lanes ? Word::along(from + i * lane_stride, elements) : V::zero();
      transpose(square);
#pragma GCC unroll 16
      for (Index i = 0; i < V::width; ++i)
        if (i < count) V::store(panel + (word + i) * width + lane, square.row[i]);
    }
  }
}

// Sum of products in four chains.
template <class T>
PLUME_INLINE float dot(const float* a, const T* b, Index size) {
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

// The products of N rows of x with two rows of a weight.
template <int N>
struct DotRows {
  V::Register first, second;
  DotRows<N - 1> below;

  PLUME_INLINE void clear() {
    first = second = V::zero();
    below.clear();
  }
  PLUME_INLINE void multiply(const float* x, Index stride, Index count, V::Register w_first, V::Register w_second) {
    const V::Register value = load(x, count);
    first = V::fma(value, w_first, first);
    second = V::fma(value, w_second, second);
    below.multiply(x + stride, stride, count, w_first, w_second);
  }
  PLUME_INLINE void add_to(float* y, Index stride) const {
    y[0] += V::sum(first);
    y[1] += V::sum(second);
    below.add_to(y + stride, stride);
  }
};
template <>
struct DotRows<0> {
  PLUME_INLINE void clear() {}
  PLUME_INLINE void multiply(const float*, Index, Index, V::Register, V::Register) {}
  PLUME_INLINE void add_to(float*, Index) const {}
};
template <int N, class T>
inline void dot_rows(float* y, Index y_stride, const float* x, Index x_stride, const T* w, Index w_stride, Index size) {
  DotRows<N> rows;
  rows.clear();
  for_lanes(
      size, [&](Index i, Index count) __attribute__((always_inline)) {
        rows.multiply(x + i, x_stride, count, load(w + i, count), load(w + w_stride + i, count));
      });
  rows.add_to(y, y_stride);
}

// y (M, N) += x (M, K) w^T for a few rows of x and w (N, K) of floats or bfloat16: each row of w is read once, where it lies.
template <class T>
inline void few_rows_product(View<float, 2> y, View<const float, 2> x, const void* weight, Index w_stride) {
  const T* const first = static_cast<const T*>(weight);
  const Index size = x.columns(), xs = x.stride(0), ys = y.stride(0);
  if (x.rows() == 1) {
    for (Index n = 0; n < y.columns(); ++n) y.data()[n] += dot(x.data(), first + n * w_stride, size);
    return;
  }
  for (Index n = 0; n < y.columns(); n += 2) {
    const T* const w = first + n * w_stride;
    if (n + 1 == y.columns()) {
      for (Index m = 0; m < x.rows(); ++m) y.row(m)[n] += dot(x.row(m), w, size);
      return;
    }
    Index m = 0;
    for (; m + 4 <= x.rows(); m += 4) dot_rows<4>(y.row(m) + n, ys, x.row(m), xs, w, w_stride, size);
    if (m + 2 <= x.rows()) dot_rows<2>(y.row(m) + n, ys, x.row(m), xs, w, w_stride, size), m += 2;
    if (m < x.rows()) dot_rows<1>(y.row(m) + n, ys, x.row(m), xs, w, w_stride, size);
  }
}

// c (M, N) += a (M, K) b (K, N) for a few rows of a, b row-major: four rows of b at a time, each read once.
template <class T>
inline void few_rows_sum(View<float, 2> c, View<const float, 2> a, const void* rows, Index b_stride) {
  const T* b = static_cast<const T*>(rows);
  for (Index k = 0; k < a.columns(); k += 4, b += 4 * b_stride) {
    const Index depth = a.columns() - k < 4 ? a.columns() - k : 4;
    for (Index m = 0; m < c.rows(); ++m) {
      float* const to = c.row(m);
      V::Register factor[4];
      for (Index q = 0; q < 4; ++q) factor[q] = V::set(q < depth ? a(m, k + q) : 0.0f);
      for_lanes(
          c.columns(), [&](Index i, Index count) __attribute__((always_inline)) {
            V::Register sum = V::fma(factor[0], load(b + i, count), load(to + i, count));
            if (depth > 1) sum = V::fma(factor[1], load(b + b_stride + i, count), sum);
            if (depth > 2) sum = V::fma(factor[2], load(b + 2 * b_stride + i, count), sum);
            if (depth > 3) sum = V::fma(factor[3], load(b + 3 * b_stride + i, count), sum);
            store(to + i, sum, count);
          });
    }
  }
}

inline constexpr GemmLevel gemm_level{
    {tile_rows, tile_columns, SingleWord::step, gemm_tile<SingleWord>, {gemm_pack<SingleWord, float>, gemm_pack<SingleWord, Bfloat16>}},
    {tile_rows, tile_columns, Bf16Word::step, gemm_tile<Bf16Word>, {gemm_pack<Bf16Word, float>, gemm_pack<Bf16Word, Bfloat16>}},
    {few_rows_product<float>, few_rows_product<Bfloat16>},
    {few_rows_sum<float>, few_rows_sum<Bfloat16>}};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
