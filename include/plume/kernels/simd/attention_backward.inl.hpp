// Included once per level by for_each_level.hpp, after attention.inl.hpp: the backward pass, and the level's table.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

// Where the parts of the backward pass lie in its scratch memory.
struct BackwardPlan {
  Index depth, width, blocks, q_width, y_width;  // q_width, y_width: padded
  Index key_panels, value_panels, key_rows, dkeys, dvalues, q, dy, dq, weights, dscores, work, size;

  PLUME_INLINE BackwardPlan(Index head_width, Index value_width, Index keys)
      : depth(head_width),
        width(value_width),
        blocks((keys + attention_block - 1) / attention_block),
        q_width(padded(head_width)),
        y_width(padded(value_width)),
        key_panels(0),
        value_panels(key_panels + blocks * attention_block * depth),
        key_rows(value_panels + blocks * attention_block * width),
        dkeys(key_rows + blocks * attention_block * q_width),
        dvalues(dkeys + blocks * block_rows * q_width),
        q(dvalues + blocks * block_rows * y_width),
        dy(q + query_rows * q_width),
        dq(dy + query_rows * y_width),
        weights(dq + query_rows * q_width),
        dscores(weights + query_rows * attention_stride),
        work(dscores + query_rows * attention_stride),
        size(work + attention_block + attention_rows + 2 * attention_stride) {}
};

inline Index attention_backward_scratch(Index head_width, Index value_width, Index keys) {
  return BackwardPlan(head_width, value_width, keys).size;
}

// Probabilities and gradients of scores of one row, in place of products q k and dy v; both before the soft cap's own slope.
//   flow: dy.y of the row
[[gnu::noinline]] inline void score_gradients(float* weights, float* dscores, Index begin, Index end, float log_sum_exp, float flow,
                                              const float* factors) {
  const V::Register shift = V::set(log_sum_exp), drain = V::set(flow);
  for (Index i = begin; i < end; i += V::width) {
    const V::Register probability = exponential(V::sub(V::load(weights + i), shift)), dprobability = V::load(dscores + i);
    if (factors != nullptr) {
      const V::Register factor = V::load(factors + i);
      V::store(weights + i, V::mul(probability, factor));
      V::store(dscores + i, V::mul(probability, V::sub(V::mul(factor, dprobability), drain)));
    } else {
      V::store(weights + i, probability);
      V::store(dscores + i, V::mul(probability, V::sub(dprobability, drain)));
    }
  }
}

// slopes = 1 - tanh(raw / cap)^2 of products q k
[[gnu::noinline]] inline void cap_slopes(float* slopes, const float* raw, Index begin, Index end, float soft_cap) {
  const V::Register cap = V::set(soft_cap), one = V::set(1.0f);
  for (Index i = begin; i < end; i += V::width) {
    const V::Register t = hyperbolic_tangent(V::div(V::load(raw + i), cap));
    V::store(slopes + i, V::sub(one, V::mul(t, t)));
  }
}

inline Index attention_backward(const AttentionBackward& p, float* scratch) {
  using namespace attention_detail;
  const BackwardPlan at(p.q.columns() / p.heads, p.y.columns() / p.heads, p.keys.rows());
  const Index rows = p.q.rows(), keys = p.keys.rows(), depth = at.depth, width = at.width;
  float *const q = scratch + at.q, *const dy = scratch + at.dy, *const dq = scratch + at.dq;
  float *const weights = scratch + at.weights, *const dscores = scratch + at.dscores;
  float *const bias = scratch + at.work, *const factors = bias + attention_block + attention_rows,
               *const slopes = factors + attention_stride;
  for (Index block = 0; block < at.blocks; ++block) {
    const Index first = block * attention_block, last = std::min(keys, first + attention_block);
    transpose_block(scratch + at.key_panels + first * depth, p.keys.rows(first, last));
    transpose_block(scratch + at.value_panels + first * width, p.values.rows(first, last));
    copy_rows(scratch + at.key_rows + first * at.q_width, at.q_width, p.keys.rows(first, last), attention_block, 1.0f);
  }
  clear(scratch + at.dkeys, at.blocks * block_rows * at.q_width);
  clear(scratch + at.dvalues, at.blocks * block_rows * at.y_width);
  clear(weights, query_rows * attention_stride);
  clear(dscores, query_rows * attention_stride);

  Index tiles = 0;
  for (Index head = 0; head < p.heads; ++head) {
    const ScoreRule<float> rule = p.rules(head);
    for (Index row = 0; row < rows; row += query_rows) {
      const Index count = std::min(query_rows, rows - row), whole = round_up(count, tile_rows);
      Index cursor[attention_rows];
      float flow[attention_rows];
      bool sees_keys = false;
      for (Index r = 0; r < count; ++r) {
        cursor[r] = 0;
        const auto intervals = p.mask->row(row + r);
        visible_part(intervals, cursor[r], p.first_key, keys);
        sees_keys = sees_keys || (cursor[r] < static_cast<Index>(intervals.size()) &&
                                  intervals[static_cast<std::size_t>(cursor[r])].begin < p.first_key + keys);
      }
      if (!sees_keys) continue;
      const auto part_of = [&](View<const float, 2> x, Index columns) __attribute__((always_inline)) {
        return x.rows(row, row + count).columns(head * columns, (head + 1) * columns);
      };
      copy_rows(q, at.q_width, part_of(p.q, depth), whole, rule.scale);
      copy_rows(dy, at.y_width, part_of(p.dy, width), whole, 1.0f);
      clear(dq, whole * at.q_width);
      for (Index r = 0; r < count; ++r) flow[r] = dot(dy + r * at.y_width, part_of(p.y, width).row(r), width);

      for (Index block = 0; block < at.blocks; ++block) {
        const float* const key_panels = scratch + at.key_panels + block * attention_block * depth;
        const float* const value_panels = scratch + at.value_panels + block * attention_block * width;
        const float* const key_rows = scratch + at.key_rows + block * attention_block * at.q_width;
        const Index first = p.first_key + block * attention_block;
        bool needs_bias = has_bias(rule);
        // The keys that each panel of rows sees.
        Index begins[attention_rows], ends[attention_rows], first_panel = whole, last_panel = 0;
        for (Index panel = 0; panel < whole; panel += tile_rows) {
          Visible part[tile_rows];
          Index begin = attention_block, end = 0;
          for (Index i = 0; i < tile_rows && panel + i < count; ++i) {
            part[i] = visible_part(p.mask->row(row + panel + i), cursor[panel + i], first, attention_block);
            begin = std::min(begin, part[i].begin);
            end = std::max(end, part[i].end);
          }
          begins[panel / tile_rows] = begin;
          ends[panel / tile_rows] = end;
          float *const panel_weights = weights + panel * attention_stride, *const panel_dscores = dscores + panel * attention_stride;
          if (begin >= end) {
            clear(panel_weights, tile_rows * attention_stride);
            clear(panel_dscores, tile_rows * attention_stride);
            continue;
          }
          first_panel = std::min(first_panel, panel);
          last_panel = panel;
          const Index from = begin / tile_columns * tile_columns, to = padded(end);
          for (Index c = from; c < to; c += tile_columns) {
            product_tile(panel_weights + c, attention_stride, nullptr, {q + panel * at.q_width, at.q_width, 1}, key_panels + c * depth,
                         tile_columns, depth);
            product_tile(panel_dscores + c, attention_stride, nullptr, {dy + panel * at.y_width, at.y_width, 1}, value_panels + c * width,
                         tile_columns, width);
          }
          tiles += (to - from) / tile_columns;
          if (needs_bias) {
            fill_bias(bias, rule, first - (rule.first_query + row + count - 1), attention_block + count);
            needs_bias = false;
          }
          for (Index i = 0; i < tile_rows; ++i) {
            float *const w = panel_weights + i * attention_stride, *const d = panel_dscores + i * attention_stride;
            const Index r = panel + i;
            const auto visible = r < count ? p.mask->row(row + r) : std::span<const KeyInterval>{};
            if (r < count) {
              const float* const factor = rule.dropout.rate > 0 ? factors : nullptr;
              if (factor != nullptr) fill_dropout(factors + from, rule, row + r, first + from, to - from);
              if (rule.soft_cap > 0.0f) cap_slopes(slopes, w, from, to, rule.soft_cap);
              finish_scores(w, from, to, rule, has_bias(rule) ? bias + count - 1 - r : nullptr);
              score_gradients(w, d, from, to, p.log_sum_exp(head, row + r), flow[r], factor);
              if (p.drelative)
                add_relative({p.drelative.row(head), {p.drelative.columns()}}, rule, d, visible, rule.first_query + row + r, first,
                             attention_block);
              if (rule.soft_cap > 0.0f)
                for (Index c = from; c < to; c += V::width) V::store(d + c, V::mul(V::load(d + c), V::load(slopes + c)));
            }
            if (!part[i].covers(0, attention_block)) {
              fill_hidden(w, visible, first, 0, attention_block, 0.0f);
              fill_hidden(d, visible, first, 0, attention_block, 0.0f);
            }
          }
          if (p.dq)
            product_rows(dq + panel * at.q_width, at.q_width, ones, {panel_dscores + begin, attention_stride, 1},
                         key_rows + begin * at.q_width, at.q_width, end - begin, at.q_width);
        }
        // The gradients of keys and values, from the rows that see them.
        for (Index key = 0; key < attention_block; key += tile_rows) {
          Index top = first_panel, bottom = last_panel;
          const auto sees = [&](Index panel) { return begins[panel / tile_rows] < key + tile_rows && ends[panel / tile_rows] > key; };
          while (top <= bottom && !sees(top)) top += tile_rows;
          while (bottom >= top && !sees(bottom)) bottom -= tile_rows;
          if (top > bottom) continue;
          const Index seen = std::min(bottom + tile_rows, count) - top;
          if (p.dvalues)
            product_rows(scratch + at.dvalues + (block * block_rows + key) * at.y_width, at.y_width, ones,
                         {weights + top * attention_stride + key, 1, attention_stride}, dy + top * at.y_width, at.y_width, seen,
                         at.y_width);
          if (p.dkeys)
            product_rows(scratch + at.dkeys + (block * block_rows + key) * at.q_width, at.q_width, ones,
                         {dscores + top * attention_stride + key, 1, attention_stride}, q + top * at.q_width, at.q_width, seen, at.q_width);
        }
      }
      if (p.dq) {
        const V::Register scale = V::set(rule.scale);
        for (Index r = 0; r < count; ++r) {
          float* const to = p.dq.row(row + r) + head * depth;
          const float* const from = dq + r * at.q_width;
          for_lanes(
              depth, [&](Index i, Index lanes) __attribute__((always_inline)) {
                store(to + i, V::fma(scale, load(from + i, lanes), load(to + i, lanes)), lanes);
              });
        }
      }
    }
  }
  const auto add_rows = [&](View<float, 2> to, const float* from, Index stride) {
    for (Index key = 0; to && key < keys; ++key) {
      float* const row = to.row(key);
      const float* const sum = from + (key / attention_block * block_rows + key % attention_block) * stride;
      for_lanes(
          to.columns(), [&](Index i, Index lanes)
                            __attribute__((always_inline)) { store(row + i, V::add(load(row + i, lanes), load(sum + i, lanes)), lanes); });
    }
  };
  add_rows(p.dkeys, scratch + at.dkeys, at.q_width);
  add_rows(p.dvalues, scratch + at.dvalues, at.y_width);
  return tiles;
}

inline constexpr AttentionLevel attention_level{
    tile_rows,      tile_columns,      query_rows,         attention_block_size,    attention_forward_scratch, attention_backward_scratch,
    attention_pack, attention_forward, attention_backward, attention_chunk_forward, attention_combine,         attention_all_finite};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
