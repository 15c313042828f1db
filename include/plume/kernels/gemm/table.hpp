#pragma once
// The door of matrix products.
#include "plume/kernels/eigen/gemm.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/kernels/reference/gemm.hpp"
#include "plume/kernels/simd/gemm_avx2.hpp"
#include "plume/kernels/simd/level.hpp"

namespace plume::inline PLUME_ABI::kernels {

// One level's matrix products, c (M, N) += a (M, K) b (K, N), each with its own way to share the work among threads.
template <class T>
struct GemmTable {
  void (*gemm)(View<T, 2> c, View<const T, 2> a, View<const T, 2> b);
  void (*skinny)(View<T, 2> c, View<const T, 2> a, View<const T, 2> b);  // few rows of a, b column-major (a weight's rows)
};

// Runs a serial kernel on blocks, cut along the longer side of c by its extents alone.
template <class T, void (*kernel)(View<T, 2>, View<const T, 2>, View<const T, 2>)>
void gemm_in_blocks(View<T, 2> c, View<const T, 2> a, View<const T, 2> b) {
  const bool by_rows = c.rows() >= c.columns();
  const Index extent = by_rows ? c.rows() : c.columns();
  const Index grain = std::clamp<Index>((extent / 8 + 15) / 16 * 16, 32, 256);
  // In floating point: blocks of huge extents have more products than an Index counts.
  const double products = static_cast<double>(c.rows()) * static_cast<double>(c.columns()) * static_cast<double>(a.columns());
  const Index cost = products < static_cast<double>(parallel_cost) ? 0 : parallel_cost;
  parallel_for(extent, grain, cost, [&](Index begin, Index end) {
    if (by_rows)
      kernel(c.rows(begin, end), a.rows(begin, end), b);
    else
      kernel(c.columns(begin, end), a, b.columns(begin, end));
  });
}

template <class T>
inline constexpr GemmTable<T> reference_gemm{gemm_in_blocks<T, reference::gemm<T>>, gemm_in_blocks<T, reference::gemm<T>>};
inline constexpr GemmTable<float> base_gemm{gemm_in_blocks<float, eigen::gemm>, gemm_in_blocks<float, reference::gemm<float>>};
#if defined(__x86_64__)
inline constexpr GemmTable<float> avx2_gemm{avx2::gemm, avx2::skinny};
#else
inline constexpr GemmTable<float> avx2_gemm = base_gemm;
#endif

template <class T>
const GemmTable<T>& gemm_table() {
  if constexpr (std::is_same_v<T, float>) {
    if (thread_slot.context == nullptr || thread_slot.context->gemm() == Gemm::automatic) {
      static const GemmTable<float>& best = chosen_level() == Level::avx2 ? avx2_gemm : base_gemm;
      return best;
    }
  }
  return reference_gemm<T>;
}

// c (M, N) += a (M, K) b (K, N)
template <class T>
void gemm(View<T, 2> c, View<const T, 2> a, View<const T, 2> b) {
  constexpr Index skinny_rows = 4;
  const GemmTable<T>& table = gemm_table<T>();
  c.rows() <= skinny_rows&& a.stride(1) == 1 && b.stride(0) == 1 ? table.skinny(c, a, b) : table.gemm(c, a, b);
}

}  // namespace plume::inline PLUME_ABI::kernels
