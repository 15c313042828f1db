#pragma once
// The door of element-wise kernels, row sums and dropout.
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/kernels/reference/elementwise.hpp"
#include "plume/kernels/simd/vector.hpp"
#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI::kernels {

using reference::Dropout;

// What a kernel does with the output's old values: writes over them, or adds to them.
enum class Write : std::uint8_t { over, add };

template <class T>
struct ElementwiseTable {
  void (*add)(View<T, 2> y, View<const T, 2> a, View<const T, 2> b);
  void (*scale)(View<T, 2> y, View<const T, 2> x, T factor, Write write);
  void (*multiply)(View<T, 2> y, View<const T, 2> a, View<const T, 2> b, Write write);
  void (*sum_rows)(View<T, 1> sums, View<const T, 2> x);
  void (*round_bf16)(View<Bfloat16, 1> y, View<const T, 1> x);
  void (*widen_bf16)(View<T, 1> y, View<const Bfloat16, 1> x);
};

}  // namespace plume::inline PLUME_ABI::kernels

#define PLUME_KERNELS "plume/kernels/simd/elementwise.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS

namespace plume::inline PLUME_ABI::kernels {

PLUME_LEVELS(ElementwiseTable<float>, elementwise_levels, elementwise_level);

template <class T>
void fill_with_zeros(View<T, 2> y) {
  for (Index r = 0; r < y.rows(); ++r) std::fill(y.row(r), y.row(r) + y.columns(), T(0));
}

template <class T>
const ElementwiseTable<T>& elementwise_table() {
  if constexpr (std::is_same_v<T, float>) {
    static const ElementwiseTable<T>& chosen = at_chosen_level(elementwise_levels);
    return chosen;
  } else {
    static constexpr ElementwiseTable<T> reference_level{reference::add<T>,
                                                         [](View<T, 2> y, View<const T, 2> x, T factor, Write write) {
                                                           write == Write::over ? reference::scale<T>(y, x, factor)
                                                                                : reference::accumulate<T>(y, x, factor);
                                                         },
                                                         [](View<T, 2> y, View<const T, 2> a, View<const T, 2> b, Write write) {
                                                           write == Write::over ? reference::multiply<T>(y, a, b)
                                                                                : reference::multiply_backward<T>(y, a, b);
                                                         },
                                                         reference::sum_rows<T>,
                                                         reference::round_bf16<T>,
                                                         reference::widen_bf16<T>};
    return reference_level;
  }
}

// Rows a chunk holds when each costs about `cost` element operations: enough work to be worth a thread.
inline Index row_grain(Index cost) { return std::max<Index>(1, 16384 / std::max<Index>(1, cost)); }

template <class T, class Body>
void for_rows(View<T, 2> y, Body&& body) {
  parallel_for(y.rows(), row_grain(y.columns()), y.size(), body);
}

template <class T>
View<T, 1> part(View<T, 1> row, Index begin, Index end) {
  return row ? View<T, 1>(row.data() + begin, {end - begin}) : row;  // an absent output stays absent
}

// y = a + b
template <class T>
void add(View<T, 2> y, View<const T, 2> a, View<const T, 2> b) {
  for_rows(y, [&](Index i, Index j) { elementwise_table<T>().add(y.rows(i, j), a.rows(i, j), b.rows(i, j)); });
}
// y = factor * x, or y += factor * x; y may be x
template <class T>
void scale(View<T, 2> y, View<const T, 2> x, std::type_identity_t<T> factor, Write write) {
  for_rows(y, [&](Index i, Index j) { elementwise_table<T>().scale(y.rows(i, j), x.rows(i, j), factor, write); });
}
// y += factor * x; also the backward of add, scale and copies
template <class T>
void accumulate(View<T, 2> y, View<const T, 2> x, T factor) {
  scale<T>(y, x, factor, Write::add);
}
// y = a * b, or y += a * b: the backward with dy for a
template <class T>
void multiply(View<T, 2> y, View<const T, 2> a, View<const T, 2> b, Write write) {
  for_rows(y, [&](Index i, Index j) { elementwise_table<T>().multiply(y.rows(i, j), a.rows(i, j), b.rows(i, j), write); });
}
// y = x rounded to the nearest bfloat16, of two to the even one
template <class T>
void round_bf16(View<Bfloat16, 1> y, View<const T, 1> x) {
  constexpr Index grain = 1 << 15;
  parallel_for(x.size(), grain, x.size(), [&](Index i, Index j) { elementwise_table<T>().round_bf16(part(y, i, j), part(x, i, j)); });
}
// y = x
template <class T>
void widen_bf16(View<T, 1> y, View<const Bfloat16, 1> x) {
  constexpr Index grain = 1 << 15;
  parallel_for(x.size(), grain, x.size(), [&](Index i, Index j) { elementwise_table<T>().widen_bf16(part(y, i, j), part(x, i, j)); });
}
// y (T, C) += bias (C)
template <class T>
void add_row(View<T, 2> y, View<const T, 1> bias) {
  add<T>(y, y, View<const T, 2>(bias.data(), y.extents(), {0, 1}));
}

// Sums over rows: chunks of rows have sums of their own, which are added in the order of the chunks; the cut follows the extents alone.
// body(begin, end, first, second) adds the rows' share; sums that are absent stay absent.
template <class T, class Body>
void for_rows_with_sums(Index rows, Index columns, View<T, 1> first, View<T, 1> second, Body&& body) {
  constexpr Index most_chunks = 32;
  const Index grain = std::max(row_grain(columns), (rows + most_chunks - 1) / most_chunks), chunks = (rows + grain - 1) / grain;
  if (chunks <= 1 || !(first || second)) {
    return parallel_for(rows, grain, rows * columns, [&](Index begin, Index end) { body(begin, end, first, second); });
  }
  const Tensor sums = Tensor::zeros({chunks, columns * (first && second ? 2 : 1)}, dtype_of<T>);
  const View<T, 2> all = sums.view<T, 2>(), of_first = all.columns(0, first ? columns : 0),
                   of_second = second ? all.columns(all.columns() - columns, all.columns()) : View<T, 2>{};
  const auto line = [&](View<T, 1> wanted, View<T, 2> of_chunks, Index chunk) {
    return wanted ? View<T, 1>(of_chunks.row(chunk), {columns}) : wanted;
  };
  parallel_for(rows, grain, rows * columns, [&](Index begin, Index end) {
    body(begin, end, line(first, of_first, begin / grain), line(second, of_second, begin / grain));
  });
  if (first) elementwise_table<T>().sum_rows(first, of_first);
  if (second) elementwise_table<T>().sum_rows(second, of_second);
}

// sums (C) += sum over the rows of x (T, C)
template <class T>
void sum_rows(View<T, 1> sums, View<const T, 2> x) {
  for_rows_with_sums<T>(x.rows(), x.columns(), sums, {}, [&](Index i, Index j, View<T, 1> of_chunk, View<T, 1>) {
    elementwise_table<T>().sum_rows(of_chunk, x.rows(i, j));
  });
}

// y = x * mask / (1 - rate), or y += it; the backward with dy for x.
template <class T>
void dropout(View<T, 2> y, View<const T, 2> x, const Dropout& rule, Write write) {
  constexpr Index drawing_cost = 8, block = 256;  // a draw is worth about 8 element operations
  const Index padded = (x.columns() + 3) / 4 * 4;
  parallel_for(y.rows(), row_grain(drawing_cost * y.columns()), drawing_cost * y.size(), [&](Index i, Index j) {
    T factors[block];
    for (Index r = i; r < j; ++r) {
      for (Index c = 0; c < y.columns(); c += block) {
        const Index end = std::min(y.columns(), c + block);
        rule.factors(factors, static_cast<std::uint64_t>(r * padded + c), end - c);
        elementwise_table<T>().multiply(y.rows(r, r + 1).columns(c, end), x.rows(r, r + 1).columns(c, end),
                                        View<const T, 2>(factors, {1, end - c}), write);
      }
    }
  });
}

}  // namespace plume::inline PLUME_ABI::kernels
