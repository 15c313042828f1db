#pragma once
// The door of embedding look-ups.
#include "plume/kernels/elementwise/table.hpp"
#include "plume/kernels/reference/embedding.hpp"

namespace plume::inline PLUME_ABI::kernels {

template <class T>
struct EmbeddingTable {
  void (*embedding)(View<T, 2> y, std::span<const TokenId> ids, View<const T, 2> table);
  void (*embedding_backward)(View<T, 2> dtable, std::span<const TokenId> ids, View<const T, 2> dy);
};

}  // namespace plume::inline PLUME_ABI::kernels

#define PLUME_KERNELS "plume/kernels/simd/embedding.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS

namespace plume::inline PLUME_ABI::kernels {

PLUME_LEVELS(EmbeddingTable<float>, embedding_levels, embedding_level);

template <class T>
const EmbeddingTable<T>& embedding_table() {
  if constexpr (std::is_same_v<T, float>) {
    static const EmbeddingTable<T>& chosen = at_chosen_level(embedding_levels);
    return chosen;
  } else {
    static constexpr EmbeddingTable<T> reference_level{reference::embedding<T>, reference::embedding_backward<T>};
    return reference_level;
  }
}

inline constexpr Index column_grain = 64;

template <class T>
void embedding(View<T, 2> y, std::span<const TokenId> ids, View<const T, 2> table) {
  for_rows(y, [&](Index i, Index j) {
    embedding_table<T>().embedding(y.rows(i, j), ids.subspan(static_cast<std::size_t>(i), static_cast<std::size_t>(j - i)), table);
  });
}
// Cut by columns: two tokens of a batch may share a row of the table.
template <class T>
void embedding_backward(View<T, 2> dtable, std::span<const TokenId> ids, View<const T, 2> dy) {
  parallel_for(dtable.columns(), column_grain, dy.size(),
               [&](Index i, Index j) { embedding_table<T>().embedding_backward(dtable.columns(i, j), ids, dy.columns(i, j)); });
}

}  // namespace plume::inline PLUME_ABI::kernels
