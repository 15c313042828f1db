#pragma once
// Eigen's matrix product behind the signature of reference::gemm. Eigen starts no threads here: kernels/gemm/table.hpp cuts the work.
#include <Eigen/Core>

#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels::eigen {

namespace detail {
using Strides = Eigen::OuterStride<>;
template <int Order>
using Operand = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Order>, Eigen::Unaligned, Strides>;
using Result = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, Eigen::Unaligned, Strides>;

template <int AOrder, int BOrder>
void multiply(View<float, 2> c, View<const float, 2> a, View<const float, 2> b) {
  Result(c.data(), c.rows(), c.columns(), Strides(c.stride(0))).noalias() +=
      Operand<AOrder>(a.data(), a.rows(), a.columns(), Strides(AOrder == Eigen::RowMajor ? a.stride(0) : a.stride(1))) *
      Operand<BOrder>(b.data(), b.rows(), b.columns(), Strides(BOrder == Eigen::RowMajor ? b.stride(0) : b.stride(1)));
}
}  // namespace detail

// c (M, N) += a (M, K) b (K, N); c is row-major, a and b are row- or column-major.
inline void gemm(View<float, 2> c, View<const float, 2> a, View<const float, 2> b) {
  constexpr int rows = Eigen::RowMajor, columns = Eigen::ColMajor;
  if (a.stride(1) == 1) {
    b.stride(1) == 1 ? detail::multiply<rows, rows>(c, a, b) : detail::multiply<rows, columns>(c, a, b);
  } else {
    b.stride(1) == 1 ? detail::multiply<columns, rows>(c, a, b) : detail::multiply<columns, columns>(c, a, b);
  }
}

}  // namespace plume::inline PLUME_ABI::kernels::eigen
