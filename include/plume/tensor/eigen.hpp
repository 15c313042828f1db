#pragma once
// Zero-copy interop with Eigen: a Tensor seen as an Eigen matrix, an Eigen matrix or array seen as a Tensor.
#include <Eigen/Core>

#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI {

template <class T>
using EigenMap = Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
using EigenConstMap =
    Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, Eigen::Unaligned, Eigen::OuterStride<>>;

// (rows, columns) of the tensor, writable; as_eigen_const for reading.
template <class T>
EigenMap<T> as_eigen(const Tensor& tensor) {
  return {tensor.writable<T>(), tensor.rows(), tensor.columns(), Eigen::OuterStride<>(tensor.row_stride())};
}
template <class T>
EigenConstMap<T> as_eigen_const(const Tensor& tensor) {
  return {tensor.data<T>(), tensor.rows(), tensor.columns(), Eigen::OuterStride<>(tensor.row_stride())};
}

// A row-major Eigen matrix (or array) as a tensor on its memory; the matrix must outlive it.
template <class Derived>
Tensor borrow(Eigen::PlainObjectBase<Derived>& matrix) {
  static_assert(Derived::IsRowMajor || Derived::ColsAtCompileTime == 1,
                "plume: tensors are row-major; declare the Eigen matrix with Eigen::RowMajor");
  return borrow(std::span(matrix.data(), static_cast<std::size_t>(matrix.size())), {matrix.rows(), matrix.cols()});
}

}  // namespace plume::inline PLUME_ABI
