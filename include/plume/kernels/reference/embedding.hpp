#pragma once
#include <span>

#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels::reference {

// embedding: ids (T), table (V, C) -> y (T, C);  y[t] = table[ids[t]]
template <class T>
void embedding(Output<T, 2> y, std::span<const TokenId> ids, Input<T, 2> table) {
  for (Index t = 0; t < y.rows(); ++t)
    for (Index c = 0; c < y.columns(); ++c) y.row(t)[c] = table.row(ids[static_cast<std::size_t>(t)])[c];
}

// dtable[ids[t]] += dy[t], in token order
template <class T>
void embedding_backward(Output<T, 2> dtable, std::span<const TokenId> ids, Input<T, 2> dy) {
  for (Index t = 0; t < dy.rows(); ++t)
    for (Index c = 0; c < dy.columns(); ++c) dtable.row(ids[static_cast<std::size_t>(t)])[c] += dy.row(t)[c];
}

}  // namespace plume::inline PLUME_ABI::kernels::reference
