#pragma once
// Eigen's matrix product as an alternative: Context context({.gemm = plume::eigen_gemm}). Its speed is set by the flags of the program.
// Eigen starts no threads here: kernels/gemm/table.hpp cuts the work.
#include <Eigen/Core>

#include "plume/kernels/reference/gemm.hpp"

namespace plume::inline PLUME_ABI::kernels::eigen {

namespace detail {
// The transposed product, which is column-major as Eigen's kernel wants it: c^T += b^T a^T. The kernel is called directly because the
// expression a * b would also instantiate Eigen's small-matrix and vector products for each pair of orders.
template <int AOrder, int BOrder>
void multiply(View<float, 2> c, View<const float, 2> a, View<const float, 2> b) {
  using namespace Eigen::internal;
  constexpr int left = BOrder == Eigen::RowMajor ? Eigen::ColMajor : Eigen::RowMajor;
  constexpr int right = AOrder == Eigen::RowMajor ? Eigen::ColMajor : Eigen::RowMajor;
  gemm_blocking_space<Eigen::ColMajor, float, float, Eigen::Dynamic, Eigen::Dynamic, Eigen::Dynamic> blocking(c.columns(), c.rows(),
                                                                                                              a.columns(), 1, true);
  general_matrix_matrix_product<Index, float, left, false, float, right, false, Eigen::ColMajor, 1>::run(
      c.columns(), c.rows(), a.columns(), b.data(), BOrder == Eigen::RowMajor ? b.stride(0) : b.stride(1), a.data(),
      AOrder == Eigen::RowMajor ? a.stride(0) : a.stride(1), c.data(), 1, c.stride(0), 1.0f, blocking, nullptr);
}
}  // namespace detail

// c (M, N) += a (M, K) b (K, N); c is row-major, a and b are row- or column-major, not both column-major.
inline void gemm(View<float, 2> c, View<const float, 2> a, View<const float, 2> b) {
  constexpr int rows = Eigen::RowMajor, columns = Eigen::ColMajor;
  if (c.size() == 0 || a.columns() == 0) return;
  if (a.stride(1) == 1) {
    b.stride(1) == 1 ? detail::multiply<rows, rows>(c, a, b) : detail::multiply<rows, columns>(c, a, b);
  } else if (b.stride(1) == 1) {
    detail::multiply<columns, rows>(c, a, b);
  } else {
    reference::gemm<float>(c, a, b);
  }
}

}  // namespace plume::inline PLUME_ABI::kernels::eigen

namespace plume::inline PLUME_ABI {
inline constexpr auto eigen_gemm = &kernels::eigen::gemm;
}  // namespace plume::inline PLUME_ABI
