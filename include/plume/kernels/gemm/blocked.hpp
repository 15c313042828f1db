#pragma once
// The matrix product of large operands: both are packed into panels, shared by all threads, and c is cut into blocks of tiles.
//
//             columns, in groups            depth, in blocks:   for each block of the depth
//           +-----+-----+-----+               pack a, pack b      (parallel)
//     rows  |task |task |     |               c block += a b      (parallel)
//           +-----+-----+-----+
#include "plume/kernels/gemm/panels.hpp"

namespace plume::inline PLUME_ABI::kernels {

// What the products are added to: a matrix (c itself to accumulate), a row, both or nothing.
struct GemmStart {
  View<const float, 2> matrix = {};
  View<const float, 1> row = {};
};

namespace gemm_detail {

inline constexpr Index depth_block = 384;    // a panel of b, depth_block x tile columns, stays in the first-level cache
inline constexpr Index column_limit = 4096;  // of b packed at once

struct Block {
  Index row, row_end, column, column_end;
};

// One block of c, from panels that lie `a_panel` and `b_panel` floats apart.
inline void multiply_block(const GemmTile& tile, View<float, 2> c, View<const float, 2> start, Index start_stride, const float* a,
                           Index a_panel, const float* b, Index b_panel, Index words, const Block& block) {
  for (Index j = block.column; j < block.column_end; j += tile.columns) {
    const Index width = std::min(tile.columns, block.column_end - j);
    for (Index i = block.row; i < block.row_end; i += tile.rows) {
      const Index height = std::min(tile.rows, block.row_end - i);
      const float* const a_words = a + i / tile.rows * a_panel;
      const float* const b_words = b + j / tile.columns * b_panel;
      const float* const from = start ? start.data() + i * start_stride + j : nullptr;
      if (height == tile.rows && width == tile.columns) {
        tile.multiply(c.row(i) + j, c.stride(0), from, start_stride, a_words, b_words, words);
        continue;
      }
      float edge[16 * 32];
      tile.multiply(edge, tile.columns, nullptr, 0, a_words, b_words, words);
      for (Index r = 0; r < height; ++r) {
        float* const to = c.row(i + r) + j;
        for (Index s = 0; s < width; ++s) to[s] = edge[r * tile.columns + s] + (from ? from[r * start_stride + s] : 0.0f);
      }
    }
  }
}

inline Index round_up(Index value, Index step) { return (value + step - 1) / step * step; }

}  // namespace gemm_detail

// c (M, N) = start + a (M, K) b (K, N); rows of c are dense. `ready` may hold b in panels.
inline void gemm_blocked(const GemmTile& tile, View<float, 2> c, const GemmOperand& a, const GemmOperand& b, const GemmStart& start,
                         const GemmPanels* ready = nullptr) {
  using namespace gemm_detail;
  const Index depth = a.columns, rows = c.rows();
  // A block of c is worth about 5 million products: enough for a thread's wake-up, and few enough for an even share.
  const Index row_block = round_up(48, tile.rows), column_block = 128;
  const Index depth_step = depth_block * tile.depth_step;
  const Index most_words = (std::min(depth, depth_step) + tile.depth_step - 1) / tile.depth_step;
  const Index a_panels = (rows + tile.rows - 1) / tile.rows;
  const Index most_b_panels = ready ? 0 : (std::min(c.columns(), column_limit) + tile.columns - 1) / tile.columns;
  const Index a_panel = round_up(most_words * tile.rows + panel_slack, 16),
              b_panel = ready ? ready->stride : round_up(most_words * tile.columns + panel_slack, 16);
  const Tensor buffer = Tensor::empty({a_panels * a_panel + most_b_panels * b_panel});
  float* const a_words = buffer.writable<float>();
  float* const packed_b = a_words + a_panels * a_panel;

  for (Index first = 0; first < c.columns(); first += column_limit) {
    const Index last = std::min(c.columns(), first + column_limit), b_panels = (last - first + tile.columns - 1) / tile.columns;
    for (Index k = 0; k < depth; k += depth_step) {
      const Index size = std::min(depth_step, depth - k), words = (size + tile.depth_step - 1) / tile.depth_step;
      const bool needs_a = first == 0 || depth > depth_step;
      const Index skipped = needs_a ? 0 : a_panels, packed = ready ? 0 : b_panels;
      const float* const b_words = ready ? ready->at(first, k) : packed_b;
      parallel_for(a_panels - skipped + packed, 4, 4 * size * ((ready ? 0 : last - first) + (needs_a ? rows : 0)),
                   [&](Index begin, Index end) {
                     for (Index panel = begin; panel < end; ++panel) {
                       if (panel < a_panels - skipped) {
                         const Index row = panel * tile.rows;
                         tile.pack(a_words + panel * a_panel, tile.rows, a.at(row, k), a.is_bf16, tile.rounds, a.row_stride,
                                   a.column_stride, std::min(tile.rows, rows - row), size);
                       } else {
                         const Index index = panel - (a_panels - skipped), column = first + index * tile.columns;
                         tile.pack(packed_b + index * b_panel, tile.columns, b.at(k, column), b.is_bf16, tile.rounds, b.column_stride,
                                   b.row_stride, std::min(tile.columns, last - column), size);
                       }
                     }
                   });
      // The first block of the depth starts from `start`, the others add to c.
      const bool is_first = k == 0;
      const View<const float, 2> from = is_first ? start.matrix : View<const float, 2>(c);
      const View<const float, 2> row_from =
          is_first && start.row ? View<const float, 2>(start.row.data(), {rows, c.columns()}, {0, 1}) : View<const float, 2>{};
      const View<const float, 2> origin = from ? from : row_from;
      const Index row_blocks = (rows + row_block - 1) / row_block, column_blocks = (last - first + column_block - 1) / column_block;
      parallel_for(row_blocks * column_blocks, 1, rows * (last - first) * std::min<Index>(size, 1 << 20), [&](Index task, Index) {
        const Index row = task % row_blocks * row_block, column = task / row_blocks * column_block;
        const Block block{row, std::min(rows, row + row_block), column, std::min(last - first, column + column_block)};
        const auto columns = [&](auto view) { return view ? view.columns(first, last) : view; };
        multiply_block(tile, columns(c), columns(origin), origin ? origin.stride(0) : 0, a_words, a_panel, b_words, b_panel, words, block);
        if (from && row_from) {  // both: the row is added to the finished start
          for (Index r = block.row; r < block.row_end; ++r)
            for (Index s = first + block.column; s < first + block.column_end; ++s) c(r, s) += start.row[s];
        }
      });
    }
  }
}

}  // namespace plume::inline PLUME_ABI::kernels
