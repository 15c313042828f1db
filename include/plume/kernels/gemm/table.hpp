#pragma once
// The door of matrix products.
#include "plume/kernels/gemm/blocked.hpp"
#include "plume/kernels/reference/gemm.hpp"

namespace plume::inline PLUME_ABI::kernels {

inline const GemmLevel& gemm_level() {
  static const GemmLevel& chosen = at_chosen_level(gemm_levels);
  return chosen;
}

namespace gemm_detail {

// Runs a product on blocks, cut along the longer side of c by its extents alone.
template <class T>
void in_blocks(GemmFunction<T> product, View<T, 2> c, View<const T, 2> a, View<const T, 2> b) {
  const bool by_rows = c.rows() >= c.columns();
  const Index extent = by_rows ? c.rows() : c.columns();
  const Index grain = std::clamp<Index>((extent / 8 + 15) / 16 * 16, 32, 256);
  // In floating point: blocks of huge extents have more products than an Index counts.
  const double products = static_cast<double>(c.rows()) * static_cast<double>(c.columns()) * static_cast<double>(a.columns());
  const Index cost = products < static_cast<double>(parallel_cost) ? 0 : parallel_cost;
  parallel_for(extent, grain, cost, [&](Index begin, Index end) {
    if (by_rows)
      product(c.rows(begin, end), a.rows(begin, end), b);
    else
      product(c.columns(begin, end), a, b.columns(begin, end));
  });
}

// c = start, for the products that add to c.
template <class T>
void begin_with(View<T, 2> c, View<const T, 2> matrix, View<const T, 1> row) {
  if (matrix.data() == c.data() && !row) return;
  if (!matrix && !row && c.stride(1) == 1) {
    for (Index r = 0; r < c.rows(); ++r) std::fill_n(c.row(r), c.columns(), T(0));
    return;
  }
  for (Index r = 0; r < c.rows(); ++r)
    for (Index s = 0; s < c.columns(); ++s) c(r, s) = (matrix ? matrix(r, s) : T(0)) + (row ? row[s] : T(0));
}

// c = start + a b of floats and bfloat16.
inline void gemm(View<float, 2> c, const GemmOperand& a, const GemmOperand& b, const GemmStart& start, const GemmPanels* panels,
                 const GemmFinish& finish) {
  constexpr Index few = 16;
  const GemmLevel& level = gemm_level();
  const Context* const context = thread_slot.context;
  const bool wants_bf16 = (context != nullptr && context->precision() == Precision::bf16) || (a.is_bf16 && b.is_bf16);
  const bool reads_rows = b.row_stride == 1 && b.column_stride >= b.rows;
  if (c.rows() > few || a.is_bf16 || a.column_stride != 1 || b.columns < 2) {
    const GemmTile& tile = wants_bf16 ? level.bf16 : level.single;
    return gemm_blocked(tile, c, a, b, start, panels != nullptr && panels->tile == &tile ? panels : nullptr, finish);
  }
  // A few rows: b is read where it lies, once.
  const View<const float, 2> x(static_cast<const float*>(a.data), {a.rows, a.columns}, {a.row_stride, 1});
  const Index cost = 4 * c.size() * a.columns;  // reading a weight costs more than its products
  // Chunks of at least 64 rows of a weight; of large ones a sixteenth, so that each of its streams is long.
  const Index grain = reads_rows ? std::max<Index>(64, (c.columns() / 16 + 3) / 4 * 4) : 128;
  parallel_for(c.columns(), grain, cost, [&](Index begin, Index end) {
    const View<float, 2> part = c.columns(begin, end);
    begin_with<float>(part, start.matrix ? start.matrix.columns(begin, end) : start.matrix,
                      start.row ? View<const float, 1>(start.row.data() + begin, {end - begin}) : start.row);
    if (reads_rows)
      level.few_rows_product[b.is_bf16](part, x, b.at(0, begin), b.column_stride);
    else
      level.few_rows_sum[b.is_bf16](part, x, b.at(0, begin), b.row_stride);
    if (finish) finish(0, c.rows(), begin, end);
  });
}

template <class T>
bool is_row_or_column_major(View<T, 2> x) {
  return x.stride(0) == 1 || x.stride(1) == 1;
}

}  // namespace gemm_detail

// c (M, N) = start + a (M, K) b (K, N); the start is matrix (M, N; may be c itself: then the product is added) and row (N), each may be
// absent. Rows of c are dense. T: float (a and b may be bfloat16) or double.
// `panels` may hold b, packed. `finish` is called for each block of rows and columns once they are complete, on the thread that made them.
// Under Precision::bf16 the operands are rounded to bfloat16; sums are float. Both operands bfloat16: the same.
template <class T, class A, class B>
void gemm(View<T, 2> c, View<A, 2> a, View<B, 2> b, View<const std::type_identity_t<T>, 2> matrix,
          View<const std::type_identity_t<T>, 1> row = {}, [[maybe_unused]] const GemmPanels* panels = nullptr,
          const GemmFinish& finish = {}) {
  if (c.size() == 0) return;
  const auto finish_all = [&] {
    if (finish) parallel_for(c.rows(), 16, c.size(), [&](Index i, Index j) { finish(i, j, 0, c.columns()); });
  };
  if constexpr (std::is_same_v<T, float>) {
    const GemmFunction<float> wish = thread_slot.context != nullptr ? thread_slot.context->gemm() : nullptr;
    if (a.columns() == 0) {
      gemm_detail::begin_with<T>(c, matrix, row);
      return finish_all();
    }
    if constexpr (std::is_same_v<std::remove_const_t<A>, float> && std::is_same_v<std::remove_const_t<B>, float>) {
      if (wish != nullptr || !gemm_detail::is_row_or_column_major(a) || !gemm_detail::is_row_or_column_major(b)) {
        gemm_detail::begin_with<T>(c, matrix, row);
        gemm_detail::in_blocks<T>(wish != nullptr ? wish : reference::gemm<T>, c, a, b);
        return finish_all();
      }
    }
    gemm_detail::gemm(c, View<const A, 2>(a), View<const B, 2>(b), {matrix, row}, panels, finish);
  } else {
    gemm_detail::begin_with<T>(c, matrix, row);
    gemm_detail::in_blocks<T>(reference::gemm<T>, c, a, b);
    finish_all();
  }
}

// c (M, N) += a (M, K) b (K, N)
template <class T>
void gemm(View<T, 2> c, View<const std::type_identity_t<T>, 2> a, View<const std::type_identity_t<T>, 2> b) {
  gemm<T>(c, a, b, c);
}

}  // namespace plume::inline PLUME_ABI::kernels
