// Included once per level by for_each_level.hpp: attention of floats, forward and backward. All is row-major, and every product is of the
// form c (rows, columns) = a b, where a is read by strides and b has its columns side by side, padded to whole tiles:
//   scores = q K^T,  y = P V       and back       dP = dy V^T,  dq = dS K,  dvalues = P^T dy,  dkeys = dS^T q
// so only K^T, and V^T in the backward pass, are transposed, once for all queries that read them.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

// rows += column of a, at a stride, times a row of b.
template <int N>
PLUME_INLINE void multiply_rows(TileRows<N>& rows, const float* a, Index stride, V::Register b_left, V::Register b_right) {
  if constexpr (N > 0) {
    const V::Register x = V::set(*a);
    rows.left = V::fma(x, b_left, rows.left);
    rows.right = V::fma(x, b_right, rows.right);
    multiply_rows(rows.below, a + stride, stride, b_left, b_right);
  }
}
template <int N>
PLUME_INLINE void store_rows(const TileRows<N>& rows, float* c, Index stride, const float* keep) {
  if constexpr (N > 0) {
    const V::Register factor = V::set(*keep);
    V::store(c, V::fma(factor, V::load(c), rows.left));
    V::store(c + V::width, V::fma(factor, V::load(c + V::width), rows.right));
    store_rows(rows.below, c + stride, stride, keep + 1);
  }
}

// An operand read by strides.
struct Strided {
  const float* data;
  Index row, depth;
};

// c (tile) = keep[row] * c + a b; without keep c = a b.
[[gnu::noinline]] inline void product_tile(float* c, Index c_stride, const float* keep, Strided a, const float* b, Index b_stride,
                                           Index depth) {
  TileRows<tile_rows> rows;
  rows.clear();
  for (Index k = 0; k < depth; ++k) {
    multiply_rows(rows, a.data, a.row, V::load(b), V::load(b + V::width));
    a.data += a.depth;
    b += b_stride;
  }
  keep ? store_rows(rows, c, c_stride, keep) : rows.store(c, c_stride);
}

// c (tile_rows, columns) = keep[row] * c + a b
[[gnu::noinline]] inline void product_rows(float* c, Index c_stride, const float* keep, Strided a, const float* b, Index b_stride,
                                           Index depth, Index columns) {
  for (Index j = 0; j < columns; j += tile_columns) product_tile(c + j, c_stride, keep, a, b + j, b_stride, depth);
}

inline constexpr float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
inline constexpr Index query_rows = (attention_block + tile_rows - 1) / tile_rows * tile_rows;
inline constexpr Index block_rows = query_rows;  // of the gradients of a block's keys
static_assert(attention_block % tile_columns == 0 && query_rows <= attention_rows && block_rows <= attention_stride);

PLUME_INLINE Index padded(Index width) { return (width + tile_columns - 1) / tile_columns * tile_columns; }

[[gnu::noinline]] inline void clear(float* x, Index size) {
  for (Index i = 0; i < size; i += V::width) V::store(x + i, V::zero());
}

// copy (rows, stride) = factor * x, zeros past the columns, and rows of zeros up to `rows`. The stride is a whole number of vectors.
// Returns 0 if x is finite, else not a number.
[[gnu::noinline]] inline float copy_rows(float* copy, Index stride, View<const float, 2> x, Index rows, float factor) {
  const V::Register f = V::set(factor);
  V::Register check = V::zero();
  for (Index r = 0; r < x.rows(); ++r) {
    float* const to = copy + r * stride;
    const float* const from = x.row(r);
    for_lanes(
        x.columns(), [&](Index i, Index count) __attribute__((always_inline)) {
          const V::Register value = load(from + i, count);
          check = V::fma(value, V::zero(), check);
          V::store(to + i, V::mul(value, f));
        });
    const Index end = (x.columns() + V::width - 1) / V::width * V::width;
    clear(to + end, stride - end);
  }
  clear(copy + x.rows() * stride, (rows - x.rows()) * stride);
  return V::sum(check);
}

// panels (D, tile_columns each) = the transpose of up to attention_block rows of x
[[gnu::noinline]] inline void transpose_block(float* panels, View<const float, 2> x) {
  for (Index c = 0; c < attention_block; c += tile_columns)
    gemm_pack<SingleWord>(panels + c * x.columns(), tile_columns, x.data() + c * x.stride(0), false, false, x.stride(0), 1, x.rows() - c,
                          x.columns());
}

// Whether no sum of squares of a row overflows, so that all is finite.
inline bool attention_all_finite(View<const float, 2> x) {
  float check = 0;
  for (Index r = 0; r < x.rows(); ++r) check += 0.0f * dot(x.row(r), x.row(r), x.columns());
  return check == 0.0f;
}

// Packed block: header, K^T in panels, V in rows.
inline Index attention_block_size(Index head_width, Index value_width) {
  return attention_header + attention_block * (head_width + padded(value_width));
}
inline void attention_pack(float* block, View<const float, 2> keys, View<const float, 2> values) {
  float* const rows = block + attention_header + attention_block * keys.columns();
  block[0] = copy_rows(rows, padded(values.columns()), values, attention_block, 1.0f);
  transpose_block(block + attention_header, keys);
}

// The scores of a row, from products of q and k, in place: soft cap and bias.
[[gnu::noinline]] inline void finish_scores(float* scores, Index begin, Index end, const ScoreRule<float>& rule, const float* bias) {
  if (rule.soft_cap > 0.0f) {
    const V::Register cap = V::set(rule.soft_cap);
    for (Index i = begin; i < end; i += V::width) V::store(scores + i, V::mul(cap, hyperbolic_tangent(V::div(V::load(scores + i), cap))));
  }
  if (bias != nullptr)
    for (Index i = begin; i < end; i += V::width) V::store(scores + i, V::add(V::load(scores + i), V::load(bias + i)));
}

inline Index attention_forward_scratch(Index head_width, Index value_width) {
  return query_rows * ((head_width + V::width - 1) / V::width * V::width + padded(value_width) + V::width) + tile_rows * attention_stride +
         attention_block + attention_rows + 2 * attention_stride;
}

inline Index attention_forward(const AttentionForward& p, float* scratch) {
  using namespace attention_detail;
  const ScoreRule<float>& rule = *p.rule;
  const Index rows = p.q.rows(), depth = p.q.columns(), width = padded(p.y.columns());
  const Index q_stride = (depth + V::width - 1) / V::width * V::width;
  float* const q = scratch;                            // (query_rows, q_stride), times the scale
  float* const out = q + query_rows * q_stride;        // (query_rows, width), weighted sums of values
  float* const sums = out + query_rows * width;        // (query_rows, V::width), sums of weights, lane by lane
  float* const scores = sums + query_rows * V::width;  // (tile_rows, attention_stride)
  float* const bias = scores + tile_rows * attention_stride;
  float* const factors = bias + attention_block + attention_rows;
  float largest[attention_rows];
  Index cursor[attention_rows];
  const Index whole_rows = round_up(rows, tile_rows);
  copy_rows(q, q_stride, p.q, whole_rows, rule.scale);
  clear(out, whole_rows * width);
  clear(sums, whole_rows * V::width);
  for (Index r = 0; r < whole_rows; ++r) {
    largest[r] = -__FLT_MAX__;  // finite, so that differences of two are
    cursor[r] = 0;
  }

  Index tiles = 0;
  for (Index block = p.first_block; block < p.last_block; ++block) {
    const float* const keys = p.blocks + (block - p.first_block) * p.block_size + attention_header;
    const float* const values = keys + attention_block * depth;
    const Index first = block * attention_block;
    bool needs_bias = has_bias(rule);
    for (Index panel = 0; panel < whole_rows; panel += tile_rows) {
      Visible part[tile_rows];
      Index begin = attention_block, end = 0;
      for (Index i = 0; i < tile_rows && panel + i < rows; ++i) {
        part[i] = visible_part(p.mask->row(p.first_row + panel + i), cursor[panel + i], first, attention_block);
        begin = std::min(begin, part[i].begin);
        end = std::max(end, part[i].end);
      }
      if (begin >= end) continue;
      const Index from = begin / tile_columns * tile_columns, to = padded(end);
      for (Index c = from; c < to; c += tile_columns)
        product_tile(scores + c, attention_stride, nullptr, {q + panel * q_stride, q_stride, 1}, keys + c * depth, tile_columns, depth);
      tiles += (to - from) / tile_columns;
      if (needs_bias) {  // distances of all rows of the problem to the block
        fill_bias(bias, rule, first - (rule.first_query + rows - 1), attention_block + rows);
        needs_bias = false;
      }
      float change[16], keep[16];
      for (Index i = 0; i < tile_rows; ++i) {
        float* const row = scores + i * attention_stride;
        const Index r = panel + i;
        if (r < rows) finish_scores(row, from, to, rule, has_bias(rule) ? bias + rows - 1 - r : nullptr);
        if (!part[i].covers(from, to))
          fill_hidden(row, r < rows ? p.mask->row(p.first_row + r) : std::span<const KeyInterval>{}, first, from, to, -__builtin_inff());
        V::Register top = V::set(largest[r]);
        for (Index c = from; c < to; c += V::width) top = V::max(top, V::load(row + c));
        const float after = V::largest(top);
        change[i] = largest[r] - after;
        largest[r] = after;
      }
      for (Index i = 0; i < tile_rows; i += V::width) {
        const Index count = tile_rows - i < V::width ? tile_rows - i : V::width;
        V::store(keep + i, exponential(load(change + i, count)));
      }
      for (Index i = 0; i < tile_rows; ++i) {
        float* const row = scores + i * attention_stride;
        float* const lanes = sums + (panel + i) * V::width;
        const V::Register top = V::set(largest[panel + i]);
        V::Register sum = V::mul(V::load(lanes), V::set(keep[i]));
        for (Index c = from; c < to; c += V::width) {
          const V::Register weight = exponential(V::sub(V::load(row + c), top));
          sum = V::add(sum, weight);
          V::store(row + c, weight);
        }
        V::store(lanes, sum);
        if (rule.dropout.rate > 0 && panel + i < rows) {
          fill_dropout(factors, rule, panel + i, first + from, to - from);
          for (Index c = from; c < to; c += V::width) V::store(row + c, V::mul(V::load(row + c), V::load(factors + c - from)));
        }
      }
      product_rows(out + panel * width, width, keep, {scores + begin, attention_stride, 1}, values + begin * width, width, end - begin,
                   width);
    }
  }

  for (Index r = 0; r < rows; ++r) {
    float* const y = p.y.row(r);
    const float* const sum = out + r * width;
    const bool sees_keys = !p.mask->row(p.first_row + r).empty();
    const float total = V::sum(V::load(sums + r * V::width));
    const V::Register divisor = V::set(sees_keys ? total : 1.0f);
    for_lanes(
        p.y.columns(), [&](Index i, Index count)
                           __attribute__((always_inline)) { store(y + i, V::div(V::load(sum + i), divisor), count); });
    if (p.log_sum_exp == nullptr) continue;
    p.log_sum_exp[r] = !sees_keys      ? -__builtin_inff()
                       : total == 0.0f ? __builtin_nanf("")  // scores of minus infinity alone
                                       : __builtin_logf(total) + largest[r];
  }
  return tiles;
}

inline void attention_chunk_forward(const AttentionChunk& p, float* partial, Index partial_stride, float* scores) {
  using namespace attention_detail;
  const Index heads = p.q.rows(), size = p.end - p.begin, end = (size + V::width - 1) / V::width * V::width;
  constexpr Index pitch = attention_chunk + attention_header;
  float work[pitch];
  // Keys [from, to) of the chunk that are in an interval.
  const auto for_visible = [&](auto&& body) __attribute__((always_inline)) {
    for (const KeyInterval interval : p.visible) {
      const Index from = std::max<Index>(p.begin, interval.begin), to = std::min<Index>(p.end, interval.end);
      if (from < to) body(from, to);
    }
  };
  for (Index h = 0; h < heads; ++h) clear(scores + h * pitch, pitch);
  for_visible([&](Index from, Index to) {
    few_rows_product<float>({scores + (from - p.begin), {heads, to - from}, {pitch, 1}}, p.q, p.keys.row(from), p.keys.stride(0));
  });
  for (Index h = 0; h < heads; ++h) {
    const ScoreRule<float> rule = p.rules(h);
    float* const row = scores + h * pitch;
    const V::Register scale = V::set(rule.scale);
    for (Index i = 0; i < end; i += V::width) V::store(row + i, V::mul(scale, V::load(row + i)));
    if (has_bias(rule)) fill_bias(work, rule, p.begin - (rule.first_query + p.row), end);
    finish_scores(row, 0, end, rule, has_bias(rule) ? work : nullptr);
    fill_hidden(row, p.visible, p.begin, 0, end, -__builtin_inff());
    for (Index i = size; i < end; ++i) row[i] = -__builtin_inff();
    V::Register most = V::set(-__FLT_MAX__), sum = V::zero();
    for (Index i = 0; i < end; i += V::width) most = V::max(most, V::load(row + i));
    const float largest = V::largest(most);
    const V::Register top = V::set(largest);
    for (Index i = 0; i < end; i += V::width) {
      const V::Register weight = exponential(V::sub(V::load(row + i), top));
      sum = V::add(sum, weight);
      V::store(row + i, weight);
    }
    float* const result = partial + h * partial_stride;
    clear(result, attention_header + round_up(p.values.columns(), 16));
    result[0] = largest;
    result[1] = V::sum(sum);
    if (rule.dropout.rate > 0) {
      fill_dropout(work, rule, p.row, p.begin, end);
      for (Index i = 0; i < end; i += V::width) V::store(row + i, V::mul(V::load(row + i), V::load(work + i)));
    }
  }
  for_visible([&](Index from, Index to) {
    few_rows_sum<float>({partial + attention_header, {heads, p.values.columns()}, {partial_stride, 1}},
                        {scores + (from - p.begin), {heads, to - from}, {pitch, 1}}, p.values.row(from), p.values.stride(0));
  });
}

inline void attention_combine(View<float, 1> y, float* log_sum_exp, const float* partial, Index partial_stride, Index chunks,
                              bool sees_keys) {
  float largest = -__FLT_MAX__, total = 0;
  for (Index c = 0; c < chunks; ++c) largest = partial[c * partial_stride] > largest ? partial[c * partial_stride] : largest;
  const auto factor = [&](Index c) __attribute__((always_inline)) { return exponential(V::set(partial[c * partial_stride] - largest)); };
  for (Index c = 0; c < chunks; ++c) {
    float weight[V::width];
    V::store(weight, factor(c));
    total += weight[0] * partial[c * partial_stride + 1];
  }
  const V::Register divisor = V::set(sees_keys ? total : 1.0f);
  for_lanes(
      y.extent(0), [&](Index i, Index count) __attribute__((always_inline)) {
        V::Register sum = V::zero();
        for (Index c = 0; c < chunks; ++c) sum = V::fma(factor(c), V::load(partial + c * partial_stride + attention_header + i), sum);
        store(y.data() + i, V::div(sum, divisor), count);
      });
  if (log_sum_exp != nullptr)
    *log_sum_exp = !sees_keys ? -__builtin_inff() : total == 0.0f ? __builtin_nanf("") : __builtin_logf(total) + largest;
}

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
