#pragma once
// The door of normalisation.
#include "plume/kernels/elementwise/table.hpp"
#include "plume/kernels/reference/norm.hpp"

namespace plume::inline PLUME_ABI::kernels {

template <class T>
struct NormTable {
  using Rows = View<T, 2>;
  using InRows = View<const T, 2>;
  using Line = View<T, 1>;
  using InLine = View<const T, 1>;
  void (*rms_norm)(Rows y, Line inverse_rms, InRows x, InLine weight, double epsilon);
  void (*rms_norm_backward)(Rows dx, InRows dy, InRows x, InLine weight, InLine inverse_rms);
  void (*rms_norm_weight_backward)(Line dweight, InRows dy, InRows x, InLine inverse_rms);
  void (*layer_norm)(Rows y, Line means, Line inverse_deviations, InRows x, InLine weight, InLine bias, double epsilon);
  void (*layer_norm_backward)(Rows dx, InRows dy, InRows x, InLine weight, InLine means, InLine inverse_deviations);
  void (*layer_norm_weight_backward)(Line dweight, InRows dy, InRows x, InLine means, InLine inverse_deviations);
};

template <class T>
const NormTable<T>& norm_table() {
  static constexpr NormTable<T> reference_level{
      reference::rms_norm<T>,   reference::rms_norm_backward<T>,   reference::rms_norm_weight_backward<T>,
      reference::layer_norm<T>, reference::layer_norm_backward<T>, reference::layer_norm_weight_backward<T>};
  return reference_level;
}

template <class T>
void rms_norm(View<T, 2> y, View<T, 1> inverse_rms, View<const T, 2> x, View<const T, 1> weight, double epsilon) {
  for_rows(y, [&](Index i, Index j) { norm_table<T>().rms_norm(y.rows(i, j), part(inverse_rms, i, j), x.rows(i, j), weight, epsilon); });
}
template <class T>
void rms_norm_backward(View<T, 2> dx, View<T, 1> dweight, View<const T, 2> dy, View<const T, 2> x, View<const T, 1> weight,
                       View<const T, 1> inverse_rms) {
  if (dx) {
    for_rows(dx, [&](Index i, Index j) {
      norm_table<T>().rms_norm_backward(dx.rows(i, j), dy.rows(i, j), x.rows(i, j), weight, part(inverse_rms, i, j));
    });
  }
  if (dweight) {
    parallel_for(dweight.size(), column_grain, dy.size(), [&](Index i, Index j) {
      norm_table<T>().rms_norm_weight_backward(part(dweight, i, j), dy.columns(i, j), x.columns(i, j), inverse_rms);
    });
  }
}
template <class T>
void layer_norm(View<T, 2> y, View<T, 1> means, View<T, 1> inverse_deviations, View<const T, 2> x, View<const T, 1> weight,
                View<const T, 1> bias, double epsilon) {
  for_rows(y, [&](Index i, Index j) {
    norm_table<T>().layer_norm(y.rows(i, j), part(means, i, j), part(inverse_deviations, i, j), x.rows(i, j), weight, bias, epsilon);
  });
}
template <class T>
void layer_norm_backward(View<T, 2> dx, View<T, 1> dweight, View<T, 1> dbias, View<const T, 2> dy, View<const T, 2> x,
                         View<const T, 1> weight, View<const T, 1> means, View<const T, 1> inverse_deviations) {
  if (dx) {
    for_rows(dx, [&](Index i, Index j) {
      norm_table<T>().layer_norm_backward(dx.rows(i, j), dy.rows(i, j), x.rows(i, j), weight, part(means, i, j),
                                          part(inverse_deviations, i, j));
    });
  }
  if (dweight) {
    parallel_for(dweight.size(), column_grain, dy.size(), [&](Index i, Index j) {
      norm_table<T>().layer_norm_weight_backward(part(dweight, i, j), dy.columns(i, j), x.columns(i, j), means, inverse_deviations);
    });
  }
  if (dbias) sum_rows(dbias, dy);
}

}  // namespace plume::inline PLUME_ABI::kernels
