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
  void (*rms_norm_backward)(Rows dx, Line dweight, InRows dy, InRows x, InLine weight, InLine inverse_rms);
  void (*layer_norm)(Rows y, Line means, Line inverse_deviations, InRows x, InLine weight, InLine bias, double epsilon);
  void (*layer_norm_backward)(Rows dx, Line dweight, Line dbias, InRows dy, InRows x, InLine weight, InLine means,
                              InLine inverse_deviations);
};

}  // namespace plume::inline PLUME_ABI::kernels

#define PLUME_KERNELS "plume/kernels/simd/norm.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS

namespace plume::inline PLUME_ABI::kernels {

PLUME_LEVELS(NormTable<float>, norm_levels, norm_level);

template <class T>
const NormTable<T>& norm_table() {
  if constexpr (std::is_same_v<T, float>) {
    static const NormTable<T>& chosen = at_chosen_level(norm_levels);
    return chosen;
  } else {
    using Table = NormTable<T>;
    static constexpr Table reference_level{reference::rms_norm<T>,
                                           [](typename Table::Rows dx, typename Table::Line dweight, typename Table::InRows dy,
                                              typename Table::InRows x, typename Table::InLine weight, typename Table::InLine inverse_rms) {
                                             if (dx) reference::rms_norm_backward<T>(dx, dy, x, weight, inverse_rms);
                                             if (dweight) reference::rms_norm_weight_backward<T>(dweight, dy, x, inverse_rms);
                                           },
                                           reference::layer_norm<T>,
                                           [](typename Table::Rows dx, typename Table::Line dweight, typename Table::Line dbias,
                                              typename Table::InRows dy, typename Table::InRows x, typename Table::InLine weight,
                                              typename Table::InLine means, typename Table::InLine inverse_deviations) {
                                             if (dx) reference::layer_norm_backward<T>(dx, dy, x, weight, means, inverse_deviations);
                                             if (dweight)
                                               reference::layer_norm_weight_backward<T>(dweight, dy, x, means, inverse_deviations);
                                             if (dbias) reference::sum_rows<T>(dbias, dy);
                                           }};
    return reference_level;
  }
}

template <class T>
void rms_norm(View<T, 2> y, View<T, 1> inverse_rms, View<const T, 2> x, View<const T, 1> weight, double epsilon) {
  for_rows(y, [&](Index i, Index j) { norm_table<T>().rms_norm(y.rows(i, j), part(inverse_rms, i, j), x.rows(i, j), weight, epsilon); });
}
// Adds to dx (T, C) and dweight (C); either may be absent.
template <class T>
void rms_norm_backward(View<T, 2> dx, View<T, 1> dweight, View<const T, 2> dy, View<const T, 2> x, View<const T, 1> weight,
                       View<const T, 1> inverse_rms) {
  for_rows_with_sums<T>(x.rows(), x.columns(), dweight, {}, [&](Index i, Index j, View<T, 1> dweight_of_chunk, View<T, 1>) {
    norm_table<T>().rms_norm_backward(dx ? dx.rows(i, j) : dx, dweight_of_chunk, dy.rows(i, j), x.rows(i, j), weight,
                                      part(inverse_rms, i, j));
  });
}
template <class T>
void layer_norm(View<T, 2> y, View<T, 1> means, View<T, 1> inverse_deviations, View<const T, 2> x, View<const T, 1> weight,
                View<const T, 1> bias, double epsilon) {
  for_rows(y, [&](Index i, Index j) {
    norm_table<T>().layer_norm(y.rows(i, j), part(means, i, j), part(inverse_deviations, i, j), x.rows(i, j), weight, bias, epsilon);
  });
}
// Adds to dx (T, C), dweight (C) and dbias (C); each may be absent.
template <class T>
void layer_norm_backward(View<T, 2> dx, View<T, 1> dweight, View<T, 1> dbias, View<const T, 2> dy, View<const T, 2> x,
                         View<const T, 1> weight, View<const T, 1> means, View<const T, 1> inverse_deviations) {
  for_rows_with_sums<T>(x.rows(), x.columns(), dweight, dbias,
                        [&](Index i, Index j, View<T, 1> dweight_of_chunk, View<T, 1> dbias_of_chunk) {
                          norm_table<T>().layer_norm_backward(dx ? dx.rows(i, j) : dx, dweight_of_chunk, dbias_of_chunk, dy.rows(i, j),
                                                              x.rows(i, j), weight, part(means, i, j), part(inverse_deviations, i, j));
                        });
}

}  // namespace plume::inline PLUME_ABI::kernels
