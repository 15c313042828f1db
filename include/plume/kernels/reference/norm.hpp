#pragma once
#include <cmath>

#include "plume/kernels/reference/sums.hpp"

namespace plume::inline PLUME_ABI::kernels::reference {

// rms_norm: x (T, C), weight (C) -> y (T, C), inverse_rms (T);  y = x / sqrt(mean(x^2) + epsilon) * weight      [Zhang & Sennrich 2019]
template <class T>
void rms_norm(Output<T, 2> y, Optional<T, 1> inverse_rms, Input<T, 2> x, Input<T, 1> weight, double epsilon) {
  using std::sqrt;
  for (Index r = 0; r < x.rows(); ++r) {
    const T* row = x.row(r);
    const T inverse = T(1) / sqrt(dot(row, row, x.columns()) / T(static_cast<double>(x.columns())) + T(epsilon));
    for (Index c = 0; c < x.columns(); ++c) y.row(r)[c] = row[c] * inverse * weight[c];
    if (inverse_rms) inverse_rms[r] = inverse;
  }
}

// dx += (g - x * inverse^2 * mean(g x)) * inverse  with g = dy * weight
template <class T>
void rms_norm_backward(Output<T, 2> dx, Input<T, 2> dy, Input<T, 2> x, Input<T, 1> weight, Input<T, 1> inverse_rms) {
  for (Index r = 0; r < x.rows(); ++r) {
    const T *row = x.row(r), *gradient = dy.row(r);
    const T inverse = inverse_rms[r];
    const T mean =
        sum_lanes<T>(x.columns(), [&](Index c) { return gradient[c] * weight[c] * row[c]; }) / T(static_cast<double>(x.columns()));
    const T pull = mean * inverse * inverse;
    for (Index c = 0; c < x.columns(); ++c) dx.row(r)[c] += (gradient[c] * weight[c] - row[c] * pull) * inverse;
  }
}

// dweight += sum over rows of dy * x * inverse, in row order
template <class T>
void rms_norm_weight_backward(Output<T, 1> dweight, Input<T, 2> dy, Input<T, 2> x, Input<T, 1> inverse_rms) {
  for (Index r = 0; r < x.rows(); ++r)
    for (Index c = 0; c < x.columns(); ++c) dweight[c] += dy.row(r)[c] * x.row(r)[c] * inverse_rms[r];
}

// layer_norm: x (T, C), weight (C), bias (C, may be absent) -> y (T, C), mean (T), inverse deviation (T);
// y = (x - mean) / sqrt(variance + epsilon) * weight + bias      [Ba, Kiros, Hinton 2016]
template <class T>
void layer_norm(Output<T, 2> y, Optional<T, 1> means, Optional<T, 1> inverse_deviations, Input<T, 2> x, Input<T, 1> weight,
                Input<T, 1> bias, double epsilon) {
  using std::sqrt;
  const T count = T(static_cast<double>(x.columns()));
  for (Index r = 0; r < x.rows(); ++r) {
    const T* row = x.row(r);
    const T mean = sum_lanes<T>(x.columns(), [&](Index c) { return row[c]; }) / count;
    const T variance = sum_lanes<T>(x.columns(), [&](Index c) { return (row[c] - mean) * (row[c] - mean); }) / count;
    const T inverse = T(1) / sqrt(variance + T(epsilon));
    for (Index c = 0; c < x.columns(); ++c) y.row(r)[c] = (row[c] - mean) * inverse * weight[c] + (bias ? bias[c] : T(0));
    if (means) means[r] = mean;
    if (inverse_deviations) inverse_deviations[r] = inverse;
  }
}

// dx += (g - mean(g) - n * mean(g n)) * inverse  with g = dy * weight, n = (x - mean) * inverse
template <class T>
void layer_norm_backward(Output<T, 2> dx, Input<T, 2> dy, Input<T, 2> x, Input<T, 1> weight, Input<T, 1> means,
                         Input<T, 1> inverse_deviations) {
  const T count = T(static_cast<double>(x.columns()));
  for (Index r = 0; r < x.rows(); ++r) {
    const T *row = x.row(r), *gradient = dy.row(r);
    const T mean = means[r], inverse = inverse_deviations[r];
    const T mean_g = sum_lanes<T>(x.columns(), [&](Index c) { return gradient[c] * weight[c]; }) / count;
    const T mean_gn = sum_lanes<T>(x.columns(), [&](Index c) { return gradient[c] * weight[c] * ((row[c] - mean) * inverse); }) / count;
    for (Index c = 0; c < x.columns(); ++c)
      dx.row(r)[c] += (gradient[c] * weight[c] - mean_g - (row[c] - mean) * inverse * mean_gn) * inverse;
  }
}

// dweight += sum over rows of dy * n, in row order (dbias is sum_rows of dy)
template <class T>
void layer_norm_weight_backward(Output<T, 1> dweight, Input<T, 2> dy, Input<T, 2> x, Input<T, 1> means, Input<T, 1> inverse_deviations) {
  for (Index r = 0; r < x.rows(); ++r)
    for (Index c = 0; c < x.columns(); ++c) dweight[c] += dy.row(r)[c] * ((x.row(r)[c] - means[r]) * inverse_deviations[r]);
}

}  // namespace plume::inline PLUME_ABI::kernels::reference
