#pragma once
#include <algorithm>

#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// embedding: ids (T), table (V, C) -> y (T, C);  y[t] = table[ids[t]]. A bf16 table gives f32. Row `frozen` has no gradient; -1: none.
PLUME_FUNCTION Tensor embedding(std::span<const TokenId> ids, const Tensor& table, TokenId frozen = -1);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/embedding/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tensor embedding(std::span<const TokenId> ids, const Tensor& table, TokenId frozen) {
  for (std::size_t t = 0; t < ids.size(); ++t)
    require(ids[t] >= 0 && ids[t] < table.rows(), "[embedding] id ", ids[t], " at position ", t, " is not in a table of ", table.rows(),
            " rows");
  const Tensor y = Tensor::empty({static_cast<Index>(ids.size()), table.columns()}, compute_type(table.dtype()));
  if (table.dtype() == DType::bf16) {
    for (Index t = 0; t < y.rows(); ++t) {
      const Index id = ids[static_cast<std::size_t>(t)];
      y.rows(t, t + 1).assign(table.rows(id, id + 1).to(DType::f32));
    }
    return y;  // a table that learns is f32
  }
  visit_float(table.dtype(), [&]<class T>() { kernels::embedding<T>(y.view<T, 2>(), ids, table.view<const T, 2>()); });
  if (Tape::current() == nullptr) return y;
  return traced("embedding", y, {table},
                [table, frozen, kept = PoolVector<TokenId>(ids.begin(), ids.end())](Gradients& d, const Tensor& dy) {
                  Tensor flow = dy;
                  if (std::find(kept.begin(), kept.end(), frozen) != kept.end()) {
                    flow = dy.copy();
                    for (std::size_t t = 0; t < kept.size(); ++t)
                      if (kept[t] == frozen) flow.rows(static_cast<Index>(t), static_cast<Index>(t) + 1).fill(0);
                  }
                  visit_float(dy.dtype(), [&]<class T>() {
                    if (const Tensor dtable = d[table]) kernels::embedding_backward<T>(dtable.view<T, 2>(), kept, flow.view<const T, 2>());
                  });
                });
}

}  // namespace plume::inline PLUME_ABI
#endif
