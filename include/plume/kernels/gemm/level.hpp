#pragma once
// What each level offers to the matrix product.
#include "plume/kernels/simd/vector.hpp"

namespace plume::inline PLUME_ABI::kernels {

// Products of panels: dense arrays of words, all lanes of a depth side by side. A word holds depth_step elements of the depth.
struct GemmTile {
  Index rows, columns, depth_step;
  bool rounds;  // operands are rounded to bfloat16 while they are packed as floats
  // c (rows, columns) = start + a panel * b panel; start may be absent, c itself, or one row with stride 0.
  void (*multiply)(float* c, Index c_stride, const float* start, Index start_stride, const float* a, const float* b, Index words);
  // Packs lanes of float or bfloat16; writes up to panel_slack words past the panel.
  void (*pack)(float* panel, Index width, const void* source, bool is_bf16, bool rounds, Index lane_stride, Index depth_stride, Index lanes,
               Index depth);
};
inline constexpr Index panel_slack = 16;

struct GemmLevel {
  GemmTile single, bf16;  // arithmetic of the products; sums are float
  // y (M, N) += x (M, K) w^T, w (N, K) of float or bfloat16 with a row stride: for a few rows of x.
  using FewRows = void (*)(View<float, 2> y, View<const float, 2> x, const void* w, Index w_stride);
  FewRows few_rows_product[2];
  // c (M, N) += a (M, K) b, b (K, N) of float or bfloat16 with a row stride: for a few rows of a.
  FewRows few_rows_sum[2];
};

}  // namespace plume::inline PLUME_ABI::kernels

#define PLUME_KERNELS "plume/kernels/simd/gemm.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS

namespace plume::inline PLUME_ABI::kernels {
PLUME_LEVELS(GemmLevel, gemm_levels, gemm_level);
}  // namespace plume::inline PLUME_ABI::kernels
