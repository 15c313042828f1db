#pragma once
// Random tensors and distances for tests.
#include <algorithm>
#include <cmath>
#include <vector>

#include "plume/base/random.hpp"
#include "plume/tensor/tensor.hpp"

namespace plume_test {

using plume::DType;
using plume::Index;
using plume::Shape;
using plume::Tensor;

// Normal numbers times `size`; the same for every dtype but for rounding.
inline Tensor random_tensor(const Shape& shape, std::uint64_t seed, DType dtype = DType::f64, double size = 1) {
  const Tensor tensor = Tensor::empty(shape, DType::f64);
  plume::Random random{.seed = seed};
  for (Index i = 0; i < tensor.size(); ++i) tensor.writable<double>()[i] = size * random.normal();
  return dtype == DType::f64 ? tensor : tensor.to(dtype);
}

// The elements in double, row by row.
inline std::vector<double> values_of(const Tensor& tensor) {
  const Tensor dense = tensor.to(DType::f64);
  return {dense.data<double>(), dense.data<double>() + dense.size()};
}

inline double largest(const Tensor& tensor) {
  double most = 0;
  for (const double value : values_of(tensor)) most = std::isnan(value) ? INFINITY : std::max(most, std::abs(value));
  return most;
}

// max |a - b|; infinite where shapes differ or something is not a number.
inline double distance(const Tensor& a, const Tensor& b) {
  if (!a || !b || a.size() != b.size()) return INFINITY;
  const auto left = values_of(a), right = values_of(b);
  double most = 0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    const double gap = std::abs(left[i] - right[i]);
    most = gap <= most ? most : std::isnan(gap) ? INFINITY : gap;
  }
  return most;
}

// max |a - b| / max |b|
inline double relative_distance(const Tensor& a, const Tensor& b) { return distance(a, b) / std::max(largest(b), 1e-300); }

// Same shape, dtype and bytes.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (static_cast<bool>(a) != static_cast<bool>(b)) return false;
  if (!a) return true;
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  const Tensor left = a.copy(), right = b.copy();
  return a.size() == 0 ||
         std::memcmp(left.storage()->data(), right.storage()->data(), static_cast<std::size_t>(a.size()) * plume::bytes_of(a.dtype())) == 0;
}

}  // namespace plume_test
