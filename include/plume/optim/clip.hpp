#pragma once
#include <cmath>

#include "plume/autograd/gradients.hpp"
#include "plume/kernels/reference/optimizer.hpp"
#include "plume/modules/visit.hpp"

namespace plume::inline PLUME_ABI {

// Sum of the squares of all elements; the same for any number of threads.
PLUME_FUNCTION double sum_of_squares(const Tensor& x);

// Euclidean norm over the gradients of all parameters; the same for any number of threads.
PLUME_FUNCTION double gradient_norm(const std::vector<NamedParameter>& parameters, const Gradients& gradients);

// The factor that brings a gradient norm down to `limit` (1 when it is below, or when limit is 0).
inline double clip_factor(double norm, double limit) { return limit > 0 && norm > limit ? limit / (norm + 1e-6) : 1.0; }

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/optimizer/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION double sum_of_squares(const Tensor& x) {
  return visit_float(x.dtype(), [&]<class T>() { return kernels::sum_of_squares<T>(x.view<const T, 1>()); });
}

PLUME_FUNCTION double gradient_norm(const std::vector<NamedParameter>& parameters, const Gradients& gradients) {
  double sum = 0;
  for (const NamedParameter& parameter : parameters)
    if (const Tensor gradient = gradients.find(parameter.tensor)) sum += sum_of_squares(gradient);
  return std::sqrt(sum);
}

}  // namespace plume::inline PLUME_ABI
#endif
