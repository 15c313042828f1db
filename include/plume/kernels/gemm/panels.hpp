#pragma once
// A weight's second layout: packed panels, so that products of many rows need not pack it again. Bfloat16 panels are the working copy of an
// f32 weight under Precision::bf16.
#include "plume/kernels/gemm/level.hpp"
#include "plume/kernels/gemm/operand.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI::kernels {

// The right operand b (K, N) of a product, whole: panel after panel, each with all of the depth.
struct GemmPanels {
  const GemmTile* tile = nullptr;  // what they are packed for
  Index depth = 0, columns = 0, stride = 0;
  Tensor words = {};

  const float* at(Index column, Index depth_from) const {
    return words.data<float>() + column / tile->columns * stride + depth_from / tile->depth_step * tile->columns;
  }
};

inline GemmPanels pack_panels(const GemmTile& tile, const GemmOperand& b) {
  GemmPanels panels{&tile, b.rows, b.columns};
  const Index count = (b.columns + tile.columns - 1) / tile.columns, words = (b.rows + tile.depth_step - 1) / tile.depth_step;
  panels.stride = words * tile.columns + panel_slack;
  panels.words = Tensor::empty({count * panels.stride});
  float* const first = panels.words.writable<float>();
  parallel_for(count, 4, b.rows * b.columns, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index column = i * tile.columns;
      tile.pack(first + i * panels.stride, tile.columns, b.at(0, column), b.is_bf16, tile.rounds, b.column_stride, b.row_stride,
                std::min(tile.columns, b.columns - column), b.rows);
    }
  });
  return panels;
}

}  // namespace plume::inline PLUME_ABI::kernels

namespace plume::inline PLUME_ABI {

// What Storage::panels() of a weight (out, in) holds.
struct WeightPanels {
  Index offset = 0;
  Shape shape = {};
  kernels::GemmPanels forward, backward;  // of y = x w^T, and of dx = dy w; a tile of null: not made
};

}  // namespace plume::inline PLUME_ABI
