#pragma once
// Eigen's matrix product behind the signature of reference::gemm. kernels/gemm/table.hpp cuts the work.
#include <Eigen/Core>

#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels::eigen {

namespace detail {

// Eigen's blocked product, called below the layer that would start OpenMP threads: an expression a * b does so in a program compiled with
// -fopenmp whenever the calling thread is in no parallel region, and its threads wait for each other in busy loops.
template <int AOrder, int BOrder>
void multiply(View<float, 2> c, View<const float, 2> a, View<const float, 2> b) {
  using Eigen::Dynamic, Eigen::RowMajor;
  Eigen::internal::gemm_blocking_space<RowMajor, float, float, Dynamic, Dynamic, Dynamic> blocking(c.rows(), c.columns(), a.columns(), 1,
                                                                                                   true);
  Eigen::internal::general_matrix_matrix_product<Eigen::Index, float, AOrder, false, float, BOrder, false, RowMajor, 1>::run(
      c.rows(), c.columns(), a.columns(), a.data(), AOrder == RowMajor ? a.stride(0) : a.stride(1), b.data(),
      BOrder == RowMajor ? b.stride(0) : b.stride(1), c.data(), 1, c.stride(0), 1.0f, blocking);
}

}  // namespace detail

// c (M, N) += a (M, K) b (K, N); c is row-major, a and b are row- or column-major.
inline void gemm(View<float, 2> c, View<const float, 2> a, View<const float, 2> b) {
  if (c.rows() == 0 || c.columns() == 0 || a.columns() == 0) return;
  constexpr int rows = Eigen::RowMajor, columns = Eigen::ColMajor;
  if (a.stride(1) == 1) {
    b.stride(1) == 1 ? detail::multiply<rows, rows>(c, a, b) : detail::multiply<rows, columns>(c, a, b);
  } else {
    b.stride(1) == 1 ? detail::multiply<columns, rows>(c, a, b) : detail::multiply<columns, columns>(c, a, b);
  }
}

}  // namespace plume::inline PLUME_ABI::kernels::eigen
