#pragma once
// The door of matrix products.
#include "plume/kernels/eigen/gemm.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/kernels/reference/gemm.hpp"

namespace plume::inline PLUME_ABI::kernels {

// One level's matrix products. Every entry computes c += a b on the block it is given.
template <class T>
struct GemmTable {
  void (*gemm)(View<T, 2> c, View<const T, 2> a, View<const T, 2> b);    // any shape
  void (*skinny)(View<T, 2> c, View<const T, 2> a, View<const T, 2> b);  // few rows of a: each element of b is used once or a few times
};

template <class T>
inline constexpr GemmTable<T> reference_gemm{reference::gemm<T>, reference::gemm<T>};
inline constexpr GemmTable<float> eigen_gemm{eigen::gemm, reference::gemm<float>};

template <class T>
const GemmTable<T>& gemm_table() {
  if constexpr (std::is_same_v<T, float>) {
    if (thread_slot.context == nullptr || thread_slot.context->gemm() == Gemm::automatic) return eigen_gemm;
  }
  return reference_gemm<T>;
}

// c (M, N) += a (M, K) b (K, N). Cut along the longer side of c by its extents alone.
template <class T>
void gemm(View<T, 2> c, View<const T, 2> a, View<const T, 2> b) {
  constexpr Index skinny_rows = 4;
  const bool is_skinny = c.rows() <= skinny_rows && b.stride(0) == 1;
  const auto multiply = is_skinny ? gemm_table<T>().skinny : gemm_table<T>().gemm;
  const bool by_rows = c.rows() >= c.columns();
  const Index extent = by_rows ? c.rows() : c.columns();
  const Index grain = std::clamp<Index>((extent / 8 + 15) / 16 * 16, 32, 256);
  parallel_for(extent, grain, c.rows() * c.columns() * a.columns(), [&](Index begin, Index end) {
    if (by_rows)
      multiply(c.rows(begin, end), a.rows(begin, end), b);
    else
      multiply(c.columns(begin, end), a, b.columns(begin, end));
  });
}

}  // namespace plume::inline PLUME_ABI::kernels
