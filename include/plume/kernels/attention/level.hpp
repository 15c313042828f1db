#pragma once
// What each level offers to attention of floats.
#include "plume/kernels/gemm/level.hpp"
#include "plume/kernels/reference/attention.hpp"

namespace plume::inline PLUME_ABI::kernels {

using reference::ScoreRule;

inline constexpr Index attention_block = 64;   // keys of a block
inline constexpr Index attention_stride = 80;  // of rows of scores: a block, and the rows of a tile that reach past it
inline constexpr Index attention_rows = 80;    // at most this many queries are a tile
inline constexpr Index attention_chunk = 256;  // keys of a chunk, where few queries read them in place
inline constexpr Index attention_header = 16;  // floats before a packed block, and before a partial result
inline constexpr Index attention_range = 256;  // keys of one call of the backward kernel

// The rule of a head, whose dropout_row and first_query belong to query row 0 of the problem.
struct HeadRules {
  const void* context;
  ScoreRule<float> (*get)(const void* context, Index head);
  ScoreRule<float> operator()(Index head) const { return get(context, head); }
};

// A tile of queries of one head, over packed blocks of keys and values.
struct AttentionForward {
  View<float, 2> y;          // (R, E)
  float* log_sum_exp;        // (R), or absent
  View<const float, 2> q;    // (R, D)
  const IntervalMask* mask;  // its row first_row is that of query row 0
  Index first_row;
  const float* blocks;  // packed, first_block and those after it
  Index block_size, first_block, last_block;
  const ScoreRule<float>* rule;
};

// One query row, all heads of a group, over a chunk of keys that are read where they lie.
struct AttentionChunk {
  View<const float, 2> q;             // (heads, D)
  View<const float, 2> keys, values;  // (S, D), (S, E)
  std::span<const KeyInterval> visible;
  Index begin, end;  // the chunk
  Index row;         // of the query, in its sequence
  HeadRules rules;
};

// All query heads of a group over a range of keys. Gradients are added to; any may be absent.
struct AttentionBackward {
  View<float, 2> dq, dkeys, dvalues, drelative;  // (R, heads * D), (n, D), (n, E), (heads, buckets)
  View<const float, 2> dy, y, log_sum_exp, q;    // (R, heads * E) twice, (heads, R), (R, heads * D)
  View<const float, 2> keys, values;             // (n, D), (n, E): from first_key on
  Index first_key, heads;
  const IntervalMask* mask;
  HeadRules rules;
};

struct AttentionLevel {
  Index tile_rows, tile_columns, query_rows;  // query_rows: queries of a forward tile
  // Floats of a packed block, and of scratch memory.
  Index (*block_size)(Index head_width, Index value_width);
  Index (*forward_scratch)(Index head_width, Index value_width);
  Index (*backward_scratch)(Index head_width, Index value_width, Index keys);
  // Packs up to attention_block keys and values. The first float is 0 if all values are finite, else not a number.
  void (*pack)(float* block, View<const float, 2> keys, View<const float, 2> values);
  // Returns the number of tiles of scores that were computed, each tile_rows x tile_columns.
  Index (*forward)(const AttentionForward& problem, float* scratch);
  Index (*backward)(const AttentionBackward& problem, float* scratch);
  // A partial result of a head: its largest score, its sum, and from attention_header on its weighted sum of values. Scratch: heads rows of
  // attention_chunk + attention_header.
  void (*chunk)(const AttentionChunk& problem, float* partial, Index partial_stride, float* scratch);
  // y (E) of one head from its partial results in order; a row that sees no key gives 0.
  void (*combine)(View<float, 1> y, float* log_sum_exp, const float* partial, Index partial_stride, Index chunks, bool sees_keys);
  bool (*all_finite)(View<const float, 2> x);
};

// What kernels of all levels share: compiled once, not into each of them.
namespace attention_detail {

inline Index round_up(Index value, Index step) { return (value + step - 1) / step * step; }

// The visible part [begin, end) of keys [first, first + size), counted from `first`. The cursor passes intervals that end before.
struct Visible {
  Index begin = attention_block, end = 0;
  bool has_holes = false;
  bool covers(Index from, Index to) const { return !has_holes && begin <= from && end >= to; }
};
[[gnu::noinline]] inline Visible visible_part(std::span<const KeyInterval> row, Index& cursor, Index first, Index size) {
  const auto count = static_cast<Index>(row.size());
  while (cursor < count && row[static_cast<std::size_t>(cursor)].end <= first) ++cursor;
  Visible part;
  for (Index i = cursor; i < count; ++i) {
    const KeyInterval interval = row[static_cast<std::size_t>(i)];
    if (interval.begin >= first + size) break;
    if (i == cursor) part.begin = std::max<Index>(0, interval.begin - first);
    part.has_holes = i > cursor;
    part.end = std::min<Index>(size, interval.end - first);
  }
  return part;
}

// Fills x[from .. to) where keys first + i are not visible.
[[gnu::noinline]] inline void fill_hidden(float* x, std::span<const KeyInterval> row, Index first, Index from, Index to, float value) {
  for (const KeyInterval interval : row) {
    if (interval.end <= first + from) continue;
    for (const Index stop = std::min<Index>(to, interval.begin - first); from < stop; ++from) x[from] = value;
    from = std::max<Index>(from, interval.end - first);
    if (from >= to) return;
  }
  for (; from < to; ++from) x[from] = value;
}

inline bool has_bias(const ScoreRule<float>& rule) { return rule.slope != 0.0f || rule.relative; }

// The bias of distances key - query from `first` on.
[[gnu::noinline]] inline void fill_bias(float* bias, const ScoreRule<float>& rule, Index first, Index count) {
  for (Index i = 0; i < count; ++i) {
    bias[i] = rule.slope * static_cast<float>(first + i);
    if (rule.relative) bias[i] += rule.relative[rule.bucket(0, first + i)];
  }
}

// Dropout factors of query row `row` for keys from `first` on, a multiple of four.
[[gnu::noinline]] inline void fill_dropout(float* factors, const ScoreRule<float>& rule, Index row, Index first, Index count) {
  rule.dropout.factors(factors, ((rule.dropout_row + static_cast<std::uint64_t>(row)) << 32) + static_cast<std::uint64_t>(first), count);
}

// drelative += the gradients of scores of one query over visible keys.
[[gnu::noinline]] inline void add_relative(View<float, 1> drelative, const ScoreRule<float>& rule, const float* dscore,
                                           std::span<const KeyInterval> row, Index position, Index first, Index size) {
  for (const KeyInterval interval : row)
    for (Index key = std::max<Index>(first, interval.begin); key < std::min<Index>(first + size, interval.end); ++key)
      drelative[rule.bucket(position, key)] += dscore[key - first];
}

}  // namespace attention_detail
}  // namespace plume::inline PLUME_ABI::kernels

#define PLUME_KERNELS "plume/kernels/simd/attention.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS
#define PLUME_KERNELS "plume/kernels/simd/attention_backward.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS

namespace plume::inline PLUME_ABI::kernels {
PLUME_LEVELS(AttentionLevel, attention_levels, attention_level);
}  // namespace plume::inline PLUME_ABI::kernels
