#pragma once
// The matrix product of large operands: both are packed into panels, shared by all threads, and c is cut into blocks of tiles.
//
//             columns
//           +-----+-----+-----+     for each part of c, which stays in cache meanwhile, and each stretch of the depth:
//     rows  |task |task |     |       pack a, pack b      (parallel)
//           +-----+-----+-----+       part += a b         (parallel, by tasks; the last step finishes them)
#include <concepts>

#include "plume/kernels/gemm/panels.hpp"

namespace plume::inline PLUME_ABI::kernels {

// What the products are added to: a matrix (c itself to accumulate), a row, both or nothing.
struct GemmStart {
  View<const float, 2> matrix = {};
  View<const float, 1> row = {};
};

// What is still to be done with the rows and columns of c that a thread has completed, while they lie in its cache.
class GemmFinish {
 public:
  GemmFinish() = default;
  template <std::invocable<Index, Index, Index, Index> Body>
  GemmFinish(const Body& body)  // refers to body(row, row_end, column, column_end)
      : body_(&body), call_([](const void* object, Index row, Index row_end, Index column, Index column_end) {
          (*static_cast<const Body*>(object))(row, row_end, column, column_end);
        }) {}
  explicit operator bool() const { return body_ != nullptr; }
  void operator()(Index row, Index row_end, Index column, Index column_end) const { call_(body_, row, row_end, column, column_end); }

 private:
  const void* body_ = nullptr;
  void (*call_)(const void*, Index, Index, Index, Index) = nullptr;
};

namespace gemm_detail {

inline constexpr Index depth_block = 384;             // a panel of b, depth_block x tile columns, stays in the first-level cache
inline constexpr Index part_side = 4096;              // rows or columns, whichever are more
inline constexpr Index part_size = Index{2} << 20;    // floats of c
inline constexpr Index most_kept = Index{4} << 20;    // floats of an operand
inline constexpr Index most_packed = Index{3} << 20;  // floats of both operands in a stretch of the depth, which stay in the last cache
// A task is worth about 5 million products: enough for a thread's wake-up, and few enough for an even share.
inline constexpr Index rows_of_task = 48, columns_of_task = 128;

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

struct Part {
  Index rows, columns;
};
// Even parts of c, whole tasks each: ranges of columns where c is wide, of rows where it is high.
inline Part part_of(const GemmTile& tile, Index rows, Index columns) {
  const Index parts = std::max((rows * columns + part_size - 1) / part_size, (std::max(rows, columns) + part_side - 1) / part_side);
  if (parts <= 1) return {rows, columns};
  if (columns >= rows) return {rows, std::min(columns, round_up((columns + parts - 1) / parts, columns_of_task))};
  return {std::min(rows, round_up((rows + parts - 1) / parts, round_up(rows_of_task, tile.rows))), columns};
}

}  // namespace gemm_detail

// c (M, N) = start + a (M, K) b (K, N); rows of c are dense. `ready` may hold b in panels.
inline void gemm_blocked(const GemmTile& tile, View<float, 2> c, const GemmOperand& a, const GemmOperand& b, const GemmStart& start,
                         const GemmPanels* ready = nullptr, const GemmFinish& finish = {}) {
  using namespace gemm_detail;
  const Index depth = a.columns, depth_step = depth_block * tile.depth_step, steps = (depth + depth_step - 1) / depth_step;
  const Index most_words = (std::min(depth, depth_step) + tile.depth_step - 1) / tile.depth_step;
  const Part part = part_of(tile, c.rows(), c.columns());
  // Panels of the whole depth are kept where other parts of c use them again, unless that takes too much memory.
  const bool keeps_a = part.columns < c.columns() && part.rows == c.rows() && c.rows() * depth <= most_kept;
  const bool keeps_b = part.rows < c.rows() && part.columns * depth <= most_kept;
  const Index a_panels = (part.rows + tile.rows - 1) / tile.rows, b_panels = (part.columns + tile.columns - 1) / tile.columns;
  const Index a_panel = round_up(most_words * tile.rows + panel_slack, 16),
              b_panel = ready ? ready->stride : round_up(most_words * tile.columns + panel_slack, 16);
  const Index a_step = a_panels * a_panel, b_step = ready ? 0 : b_panels * b_panel;
  const Index stretch = std::clamp<Index>(most_packed / (a_step + b_step), 1, steps);  // steps whose panels exist at once
  const Tensor buffer = Tensor::empty({a_step * (keeps_a ? steps : stretch) + b_step * (keeps_b ? steps : stretch)});
  float* const all_a = buffer.writable<float>();
  float* const all_b = all_a + a_step * (keeps_a ? steps : stretch);

  for (Index column = 0; column < c.columns(); column += part.columns) {
    for (Index row = 0; row < c.rows(); row += part.rows) {
      const Index rows = std::min(part.rows, c.rows() - row), columns = std::min(part.columns, c.columns() - column);
      const View<float, 2> into = c.rows(row, row + rows).columns(column, column + columns);
      const Index pack_a = keeps_a && column > 0 ? 0 : (rows + tile.rows - 1) / tile.rows,
                  pack_b = ready || (keeps_b && row > 0) ? 0 : (columns + tile.columns - 1) / tile.columns;
      for (Index first = 0; first < steps; first += stretch) {
        const Index last = std::min(steps, first + stretch);
        const Index stretch_size = std::min(depth, last * depth_step) - first * depth_step;
        const auto size_of = [&](Index step) { return std::min(depth_step, depth - step * depth_step); };
        const auto a_at = [&](Index step) { return all_a + (keeps_a ? step : step - first) * a_step; };
        const auto b_at = [&](Index step) { return all_b + (keeps_b ? step : step - first) * b_step; };
        const Index packed = pack_a + pack_b;
        parallel_for(packed * (last - first), 4, 4 * stretch_size * ((pack_a > 0 ? rows : 0) + (pack_b > 0 ? columns : 0)),
                     [&](Index begin, Index end) {
                       for (Index i = begin; i < end; ++i) {
                         const Index step = first + i % (last - first), panel = i / (last - first), k = step * depth_step;
                         if (panel < pack_a) {
                           const Index at = panel * tile.rows;
                           tile.pack(a_at(step) + panel * a_panel, tile.rows, a.at(row + at, k), a.is_bf16, tile.rounds, a.row_stride,
                                     a.column_stride, std::min(tile.rows, rows - at), size_of(step));
                         } else {
                           const Index at = (panel - pack_a) * tile.columns;
                           tile.pack(b_at(step) + (panel - pack_a) * b_panel, tile.columns, b.at(k, column + at), b.is_bf16, tile.rounds,
                                     b.column_stride, b.row_stride, std::min(tile.columns, columns - at), size_of(step));
                         }
                       }
                     });
        // The first step of the depth starts from `start`, the others add to c.
        const auto part_of_start = [&](View<const float, 2> from) {
          return from ? from.rows(row, row + rows).columns(column, column + columns) : from;
        };
        const View<const float, 2> matrix = part_of_start(start.matrix);
        const View<const float, 1> row_from =
            start.row ? View<const float, 1>(start.row.data() + column, {columns}) : View<const float, 1>{};
        const View<const float, 2> start_from =
            matrix || !row_from ? matrix : View<const float, 2>(row_from.data(), {rows, columns}, {0, 1});
        const Index row_block = round_up(rows_of_task, tile.rows), row_blocks = (rows + row_block - 1) / row_block,
                    column_blocks = (columns + columns_of_task - 1) / columns_of_task;
        parallel_for(row_blocks * column_blocks, 1, rows * columns * std::min<Index>(stretch_size, 1 << 20), [&](Index task, Index) {
          const Index i = task % row_blocks * row_block, j = task / row_blocks * columns_of_task;
          const Block block{i, std::min(rows, i + row_block), j, std::min(columns, j + columns_of_task)};
          for (Index step = first; step < last; ++step) {
            const View<const float, 2> origin = step == 0 ? start_from : View<const float, 2>(into);
            const float* const b_words = ready ? ready->at(column, step * depth_step) : b_at(step);
            multiply_block(tile, into, origin, origin ? origin.stride(0) : 0, a_at(step), a_panel, b_words, b_panel,
                           (size_of(step) + tile.depth_step - 1) / tile.depth_step, block);
          }
          if (first == 0 && matrix && row_from) {  // both: the row is added to the finished start
            for (Index r = block.row; r < block.row_end; ++r)
              for (Index s = block.column; s < block.column_end; ++s) into(r, s) += row_from[s];
          }
          if (finish && last == steps) finish(row + block.row, row + block.row_end, column + block.column, column + block.column_end);
        });
      }
    }
  }
}

}  // namespace plume::inline PLUME_ABI::kernels
