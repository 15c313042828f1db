#pragma once
// Matrix products of the level avx2: tiles of 6 x 16 in twelve accumulators, b packed into panels of 16 columns once for all threads.
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/tensor/tensor.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

namespace plume::inline PLUME_ABI::kernels::avx2 {

inline constexpr Index tile_rows = 6, tile_columns = 16;
inline constexpr Index depth_block = 256;  // a panel of b, 256 x 16 floats, stays in the first-level cache

// The accumulators of N rows. A recursive struct, because compilers leave an array of vectors in memory at -O2.
template <int N>
struct Rows {
  __m256 left, right;
  Rows<N - 1> below;

  [[gnu::target("avx2,fma"), gnu::always_inline]] void clear() {
    left = right = _mm256_setzero_ps();
    below.clear();
  }
  [[gnu::target("avx2,fma"), gnu::always_inline]] void multiply(const float* a, Index row_stride, __m256 b_left, __m256 b_right) {
    const __m256 x = _mm256_broadcast_ss(a);
    left = _mm256_fmadd_ps(x, b_left, left);
    right = _mm256_fmadd_ps(x, b_right, right);
    below.multiply(a + row_stride, row_stride, b_left, b_right);
  }
  [[gnu::target("avx2,fma"), gnu::always_inline]] void add_to(float* c, Index stride) const {
    _mm256_storeu_ps(c, _mm256_add_ps(_mm256_loadu_ps(c), left));
    _mm256_storeu_ps(c + 8, _mm256_add_ps(_mm256_loadu_ps(c + 8), right));
    below.add_to(c + stride, stride);
  }
};
template <>
struct Rows<0> {
  [[gnu::target("avx2,fma"), gnu::always_inline]] void clear() {}
  [[gnu::target("avx2,fma"), gnu::always_inline]] void multiply(const float*, Index, __m256, __m256) {}
  [[gnu::target("avx2,fma"), gnu::always_inline]] void add_to(float*, Index) const {}
};

// c (N, 16) += a (N, depth) panel (depth, 16); a has any strides, the panel is dense.
template <int N>
[[gnu::target("avx2,fma")]] inline void tile(float* c, Index c_stride, const float* a, Index row_stride, Index depth_stride,
                                             const float* panel, Index depth) {
  Rows<N> rows;
  rows.clear();
  for (Index k = 0; k < depth; ++k) {
    rows.multiply(a, row_stride, _mm256_loadu_ps(panel), _mm256_loadu_ps(panel + 8));
    a += depth_stride;
    panel += tile_columns;
  }
  rows.add_to(c, c_stride);
}

using Tile = void (*)(float*, Index, const float*, Index, Index, const float*, Index);
inline constexpr Tile tiles[] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};

// Columns [first, first + 16) of b as a dense (K, 16) panel, zeros past the last column.
inline void pack(float* panel, View<const float, 2> b, Index first) {
  const Index columns = std::min(tile_columns, b.columns() - first);
  if (columns < tile_columns) std::fill_n(panel, b.rows() * tile_columns, 0.0f);
  if (b.stride(1) == 1) {
    for (Index k = 0; k < b.rows(); ++k) std::copy_n(b.row(k) + first, columns, panel + k * tile_columns);
  } else {
    for (Index j = 0; j < columns; ++j) {
      const float* column = b.data() + (first + j) * b.stride(1);
      for (Index k = 0; k < b.rows(); ++k) panel[k * tile_columns + j] = column[k * b.stride(0)];
    }
  }
}

// One block of c: rows of a against packed panels, `columns` of them valid.
inline void multiply_block(View<float, 2> c, View<const float, 2> a, const float* panels, Index panel_size) {
  for (Index k = 0; k < a.columns(); k += depth_block) {
    const Index depth = std::min(depth_block, a.columns() - k);
    for (Index j = 0; j < c.columns(); j += tile_columns) {
      const float* const panel = panels + j / tile_columns * panel_size + k * tile_columns;
      const Index width = std::min(tile_columns, c.columns() - j);
      for (Index i = 0; i < c.rows(); i += tile_rows) {
        const Index height = std::min(tile_rows, c.rows() - i);
        const float* const first = a.data() + i * a.stride(0) + k * a.stride(1);
        if (width == tile_columns) {
          tiles[height](c.row(i) + j, c.stride(0), first, a.stride(0), a.stride(1), panel, depth);
        } else {
          float edge[tile_rows * tile_columns] = {};
          tiles[height](edge, tile_columns, first, a.stride(0), a.stride(1), panel, depth);
          for (Index r = 0; r < height; ++r)
            for (Index s = 0; s < width; ++s) c(i + r, j + s) += edge[r * tile_columns + s];
        }
      }
    }
  }
}

// c (M, N) += a (M, K) b (K, N), any strides of a and b; c is row-major. b is packed in blocks of columns that fit a shared cache.
inline void gemm(View<float, 2> c, View<const float, 2> a, View<const float, 2> b) {
  constexpr Index packed_floats = 1 << 20, row_block = 48, column_block = 128;
  const Index depth = a.columns(), panel_size = depth * tile_columns;
  if (c.size() == 0 || depth == 0) return;
  const Index block = std::max(column_block, packed_floats / depth / column_block * column_block);
  const Tensor buffer = Tensor::empty({(std::min(block, c.columns()) + tile_columns - 1) / tile_columns * panel_size});
  float* const panels = buffer.writable<float>();
  for (Index begin = 0; begin < c.columns(); begin += block) {
    const Index end = std::min(c.columns(), begin + block), count = (end - begin + tile_columns - 1) / tile_columns;
    parallel_for(count, 8, count * panel_size, [&](Index i, Index j) {
      for (Index panel = i; panel < j; ++panel) pack(panels + panel * panel_size, b.columns(begin, end), panel * tile_columns);
    });
    const Index groups = (end - begin + column_block - 1) / column_block, rows = (c.rows() + row_block - 1) / row_block;
    parallel_for(rows * groups, 1, c.rows() * (end - begin) * depth, [&](Index task, Index) {
      const Index row = task / groups * row_block, column = task % groups * column_block;
      const Index last_row = std::min(c.rows(), row + row_block), last_column = std::min(end, begin + column + column_block);
      multiply_block(c.rows(row, last_row).columns(begin + column, last_column), a.rows(row, last_row),
                     panels + column / tile_columns * panel_size, panel_size);
    });
  }
}

// Sum of products in four chains of eight.
[[gnu::target("avx2,fma")]] inline float dot(const float* a, const float* b, Index count) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  Index i = 0;
  for (; i + 32 <= count; i += 32) {
    s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
    s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
    s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
    s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
  }
  for (; i + 8 <= count; i += 8) s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
  const __m256 sum = _mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3));
  float lanes[8];
  _mm256_storeu_ps(lanes, sum);
  float total = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
  for (; i < count; ++i) total += a[i] * b[i];
  return total;
}

// The same product for a few rows of a and a column-major b: each column of b is read once, where it lies.
inline void skinny(View<float, 2> c, View<const float, 2> a, View<const float, 2> b) {
  constexpr Index grain = 64;
  parallel_for(c.columns(), grain, c.size() * a.columns(), [&](Index begin, Index end) {
    for (Index n = begin; n < end; ++n)
      for (Index m = 0; m < c.rows(); ++m) c(m, n) += dot(a.row(m), b.data() + n * b.stride(1), a.columns());
  });
}

}  // namespace plume::inline PLUME_ABI::kernels::avx2
#endif
