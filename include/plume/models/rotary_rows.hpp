#pragma once
// Query and key projections lie differently for the two rotary layouts: the same head, its rows in another order.
#include "plume/models/decoder.hpp"

namespace plume::inline PLUME_ABI {

// Rows of a query or key projection, (heads * head_width, in) or (heads * head_width), reordered from one rotary layout to the other: row
// (2i, 2i+1) of the turned part of a head, interleaved, is row (i, i + width/2), half-split.      [young-geng/EasyLM:
// convert_easylm_to_hf.py]
inline Tensor reorder_rotary_rows(const Tensor& rows, Index head_width, Index rotary_width, RotaryLayout from, RotaryLayout to) {
  if (from == to) return rows;
  const Index count = rows.shape()[0], columns = rows.size() / std::max<Index>(count, 1);
  const Tensor source = rows.copy().reshape({count, columns}), target = Tensor::empty({count, columns}, rows.dtype());
  for (Index row = 0; row < count; ++row) {
    const Index head = row / head_width * head_width, i = row - head;
    Index there = i;
    if (i < rotary_width)
      there = to == RotaryLayout::half_split ? i / 2 + i % 2 * (rotary_width / 2) : i % (rotary_width / 2) * 2 + i / (rotary_width / 2);
    target.rows(head + there, head + there + 1).assign(source.rows(row, row + 1));
  }
  return target.reshape(rows.shape());
}

inline bool is_rotated(std::string_view path) { return path.find(".attention.q.") != path.npos || path.find(".attention.k.") != path.npos; }

}  // namespace plume::inline PLUME_ABI
