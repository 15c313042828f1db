#pragma once
// The door of element-wise kernels, row sums and dropout.
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/kernels/reference/elementwise.hpp"
#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI::kernels {

using reference::Dropout;

template <class T>
struct ElementwiseTable {
  void (*add)(View<T, 2> y, View<const T, 2> a, View<const T, 2> b);
  void (*accumulate)(View<T, 2> y, View<const T, 2> x, T factor);
  void (*multiply)(View<T, 2> y, View<const T, 2> a, View<const T, 2> b);
  void (*multiply_backward)(View<T, 2> da, View<const T, 2> dy, View<const T, 2> b);
  void (*add_row)(View<T, 2> y, View<const T, 1> bias);
  void (*sum_rows)(View<T, 1> dbias, View<const T, 2> dy);
  void (*dropout)(View<T, 2> y, View<const T, 2> x, const Dropout& rule, Index first_row);
};

template <class T>
const ElementwiseTable<T>& elementwise_table() {
  static constexpr ElementwiseTable<T> reference_level{
      reference::add<T>,     reference::accumulate<T>, reference::multiply<T>, reference::multiply_backward<T>,
      reference::add_row<T>, reference::sum_rows<T>,   reference::dropout<T>};
  return reference_level;
}

// Rows a chunk holds when each costs about `cost` element operations: enough work to be worth a thread.
inline Index row_grain(Index cost) { return std::max<Index>(1, 16384 / std::max<Index>(1, cost)); }

template <class T, class Body>
void for_rows(View<T, 2> y, Body&& body) {
  parallel_for(y.rows(), row_grain(y.columns()), y.size(), body);
}

template <class T>
void add(View<T, 2> y, View<const T, 2> a, View<const T, 2> b) {
  for_rows(y, [&](Index i, Index j) { elementwise_table<T>().add(y.rows(i, j), a.rows(i, j), b.rows(i, j)); });
}
template <class T>
void accumulate(View<T, 2> y, View<const T, 2> x, T factor) {
  for_rows(y, [&](Index i, Index j) { elementwise_table<T>().accumulate(y.rows(i, j), x.rows(i, j), factor); });
}
template <class T>
void multiply(View<T, 2> y, View<const T, 2> a, View<const T, 2> b) {
  for_rows(y, [&](Index i, Index j) { elementwise_table<T>().multiply(y.rows(i, j), a.rows(i, j), b.rows(i, j)); });
}
template <class T>
void multiply_backward(View<T, 2> da, View<const T, 2> dy, View<const T, 2> b) {
  for_rows(da, [&](Index i, Index j) { elementwise_table<T>().multiply_backward(da.rows(i, j), dy.rows(i, j), b.rows(i, j)); });
}
template <class T>
void add_row(View<T, 2> y, View<const T, 1> bias) {
  for_rows(y, [&](Index i, Index j) { elementwise_table<T>().add_row(y.rows(i, j), bias); });
}
// Sums over rows are cut by columns, so that each sum runs in row order whatever the number of threads.
inline constexpr Index column_grain = 64;
template <class T>
View<T, 1> part(View<T, 1> row, Index begin, Index end) {
  return row ? View<T, 1>(row.data() + begin, {end - begin}) : row;  // an absent output stays absent
}
template <class T>
void sum_rows(View<T, 1> dbias, View<const T, 2> dy) {
  parallel_for(dbias.size(), column_grain, dy.size(),
               [&](Index i, Index j) { elementwise_table<T>().sum_rows(part(dbias, i, j), dy.columns(i, j)); });
}
template <class T>
void dropout(View<T, 2> y, View<const T, 2> x, const Dropout& rule) {
  for_rows(y, [&](Index i, Index j) { elementwise_table<T>().dropout(y.rows(i, j), x.rows(i, j), rule, i); });
}

}  // namespace plume::inline PLUME_ABI::kernels
