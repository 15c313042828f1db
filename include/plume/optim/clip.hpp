#pragma once
#include <cmath>

#include "plume/autograd/gradients.hpp"
#include "plume/kernels/optimizer/table.hpp"
#include "plume/modules/visit.hpp"

namespace plume::inline PLUME_ABI {

// Euclidean norm over the gradients of all parameters; the same for any number of threads.
inline double gradient_norm(const std::vector<NamedParameter>& parameters, const Gradients& gradients) {
  double sum = 0;
  for (const NamedParameter& parameter : parameters) {
    if (const Tensor gradient = gradients.find(parameter.tensor))
      sum += visit_float(gradient.dtype(), [&]<class T>() { return kernels::sum_of_squares<T>(gradient.view<const T, 1>()); });
  }
  return std::sqrt(sum);
}

// The factor that brings a gradient norm down to `limit` (1 when it is below, or when limit is 0).
inline double clip_factor(double norm, double limit) { return limit > 0 && norm > limit ? limit / (norm + 1e-6) : 1.0; }

}  // namespace plume::inline PLUME_ABI
