#pragma once
#include <algorithm>

#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// Columns [begin, end).
struct ColumnRange {
  Index begin = 0, end = 0;
};

// gather_columns: x (T, C) -> y (T, sum of the ranges' widths), the columns of each range in turn
PLUME_FUNCTION Tensor gather_columns(const Tensor& x, std::span<const ColumnRange> ranges);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tensor gather_columns(const Tensor& x, std::span<const ColumnRange> ranges) {
  Index width = 0;
  for (const ColumnRange& range : ranges) {
    require(range.begin >= 0 && range.begin <= range.end && range.end <= x.columns(), "[gather_columns] [", range.begin, ", ", range.end,
            ") of x ", x.shape());
    width += range.end - range.begin;
  }
  const Tensor y = like(x, {x.rows(), width});
  visit_float(x.dtype(), [&]<class T>() {
    const auto into = y.view<T, 2>();
    const auto from = x.view<const T, 2>();
    kernels::for_rows(into, [&](Index i, Index j) {
      for (Index r = i; r < j; ++r) {
        T* out = into.row(r);
        for (const ColumnRange& range : ranges) out = std::copy(from.row(r) + range.begin, from.row(r) + range.end, out);
      }
    });
  });
  if (Tape::current() == nullptr) return y;
  return traced("gather_columns", y, {x},
                [to_x = gradient_key(x), kept = PoolVector<ColumnRange>(ranges.begin(), ranges.end())](Gradients& d, const Tensor& dy) {
                  const Tensor dx = d[to_x];
                  if (!dx) return;
                  Index at = 0;
                  for (const ColumnRange& range : kept) {
                    const Index width_of_range = range.end - range.begin;
                    if (width_of_range == 0) continue;
                    visit_float(dy.dtype(), [&]<class T>() {
                      kernels::accumulate<T>(dx.columns(range.begin, range.end).view<T, 2>(),
                                             dy.columns(at, at + width_of_range).view<const T, 2>(), T(1));
                    });
                    at += width_of_range;
                  }
                });
}

}  // namespace plume::inline PLUME_ABI
#endif
