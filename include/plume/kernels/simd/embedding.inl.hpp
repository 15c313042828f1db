// Included once per level by for_each_level.hpp: embedding look-ups.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

// y[t] = table[ids[t]]
inline void embedding(View<float, 2> y, std::span<const TokenId> ids, View<const float, 2> table) {
  for (Index t = 0; t < y.rows(); ++t)
    std::memcpy(y.row(t), table.row(ids[static_cast<std::size_t>(t)]), static_cast<std::size_t>(y.columns()) * sizeof(float));
}

// dtable[ids[t]] += dy[t], in token order
inline void embedding_backward(View<float, 2> dtable, std::span<const TokenId> ids, View<const float, 2> dy) {
  for (Index t = 0; t < dy.rows(); ++t) {
    float* const to = dtable.row(ids[static_cast<std::size_t>(t)]);
    const float* const from = dy.row(t);
    for_lanes(
        dy.columns(), [&](Index i, Index count)
                          __attribute__((always_inline)) { store(to + i, V::add(load(to + i, count), load(from + i, count)), count); });
  }
}

inline constexpr EmbeddingTable<float> embedding_level{embedding, embedding_backward};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
