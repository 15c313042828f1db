#pragma once
// Attention of floats by tiles: how the work is cut. The cut follows the shapes alone, so results do not depend on the number of threads.
//   forward, many queries   pack keys and values in blocks, once for each key head;  then a task for each head and tile of queries
//   forward, few queries    a task for each key head and chunk of keys, read where they lie;  partial results are combined in their order
//   backward                a task for each sequence, key head and slice of its keys;  gradients of q from several slices are added in
//   order
#include <atomic>

#include "plume/kernels/attention/level.hpp"
#include "plume/kernels/attention/sequences.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI::kernels {

namespace attention_detail {

// Up to this many queries of a sequence read keys where they lie: packing them would take longer.
inline constexpr Index few_queries = 8;
// The backward pass of fewer tasks than this is cut into slices of keys.
inline constexpr Index enough_tasks = 12, most_slices = 8;

// Memory for as many tasks as run at once.
class Scratch {
 public:
  Scratch(Index tasks, Index size)
      : size_(round_up(size, 16)),
        taken_(static_cast<std::size_t>(std::min(tasks, threads()))),
        memory_(Tensor::empty({static_cast<Index>(taken_.size()) * size_})),
        data_(memory_.writable<float>()) {}

  class Lease {
   public:
    explicit Lease(Scratch& owner) {
      for (std::size_t slot = 0;; slot = (slot + 1) % owner.taken_.size()) {
        if (owner.taken_[slot].exchange(true, std::memory_order_acquire)) continue;
        data = owner.data_ + static_cast<Index>(slot) * owner.size_;
        flag_ = &owner.taken_[slot];
        return;
      }
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { flag_->store(false, std::memory_order_release); }
    float* data;

   private:
    std::atomic<bool>* flag_;
  };

 private:
  static Index threads() { return thread_slot.context != nullptr ? thread_slot.context->threads() : 1; }
  Index size_;
  PoolVector<std::atomic<bool>> taken_;
  Tensor memory_;
  float* data_;
};

// The rules of the heads from `first_head` on, for rows of q from `row` on.
struct TaskRules {
  const HeadRules& heads;
  Index first_head, row, first_query;

  ScoreRule<float> operator()(Index head) const {
    ScoreRule<float> rule = heads(first_head + head);
    rule.first_query = first_query;
    rule.dropout_row += static_cast<std::uint64_t>(row);
    return rule;
  }
  HeadRules erased() const {
    return {this, [](const void* rules, Index head) { return (*static_cast<const TaskRules*>(rules))(head); }};
  }
};

inline View<const float, 2> head_of(View<const float, 2> x, Index head, Index width) { return x.columns(head * width, (head + 1) * width); }
inline View<float, 2> head_of(View<float, 2> x, Index head, Index width) { return x.columns(head * width, (head + 1) * width); }
inline View<float, 1> part_of_row(View<float, 2> x, Index row, Index begin, Index end) {
  return x ? View<float, 1>(x.row(row) + begin, {end - begin}) : View<float, 1>{};
}

// Where the tasks and the memory of a sequence begin.
struct ForwardPlan {
  Index packing = 0, tiles = 0, chunks = 0;  // tasks
  Index packed = 0, partial = 0;             // floats
  Index first_block = 0, blocks = 0, chunk_count = 0;
};

// The sequence that a task belongs to.
inline std::size_t find_task(const PoolVector<ForwardPlan>& plans, Index ForwardPlan::*member, Index task) {
  const auto after =
      std::upper_bound(plans.begin(), plans.end(), task, [&](Index wanted, const ForwardPlan& plan) { return wanted < plan.*member; });
  return static_cast<std::size_t>(after - plans.begin()) - 1;
}

}  // namespace attention_detail

// The formula stands with reference::attention. tiles: counts tiles of scores that were computed, for tests.
inline void attention_forward(const AttentionLevel& level, View<float, 2> y, View<float, 2> log_sum_exp, View<const float, 2> q,
                              std::span<const AttentionSequence<float>> sequences, const HeadShape& shape, const HeadRules& rules,
                              std::atomic<Index>* tiles = nullptr) {
  using namespace attention_detail;
  const Index depth = shape.head_width, width = shape.value_width, group = shape.group();
  const Index block_size = round_up(level.block_size(depth, width), 16), partial_size = attention_header + round_up(width, 16);
  PoolVector<ForwardPlan> plans(sequences.size() + 1);
  Index cost = 0;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const auto& s = sequences[i];
    const Index rows = s.end - s.begin;
    ForwardPlan &plan = plans[i], &next = plans[i + 1] = plan;
    if (rows <= few_queries) {
      plan.chunk_count = (s.mask->keys() + attention_chunk - 1) / attention_chunk;
      next.chunks += shape.key_heads * plan.chunk_count;
      next.partial += rows * shape.query_heads * plan.chunk_count * partial_size;
    } else {
      Index first = s.mask->keys();
      for (Index r = 0; r < rows; ++r)
        if (!s.mask->row(r).empty()) first = std::min<Index>(first, s.mask->row(r).front().begin);
      plan.first_block = first / attention_block;
      plan.blocks = (s.mask->keys() + attention_block - 1) / attention_block - plan.first_block;
      next.packing += shape.key_heads * plan.blocks;
      next.packed += shape.key_heads * plan.blocks * block_size;
      next.tiles += shape.query_heads * ((rows + level.query_rows - 1) / level.query_rows);
    }
    cost += rows * s.mask->keys() * q.columns();
  }
  const ForwardPlan& all = plans.back();
  const Tensor memory = Tensor::empty({all.packed + all.partial});
  float* const packed = memory.writable<float>();
  float* const partial = packed + all.packed;

  parallel_for(all.packing, 4, all.packed, [&](Index begin, Index end) {
    for (Index task = begin; task < end; ++task) {
      const std::size_t i = find_task(plans, &ForwardPlan::packing, task);
      const auto& s = sequences[i];
      const Index at = task - plans[i].packing, key_head = at / plans[i].blocks;
      const Index first = (plans[i].first_block + at % plans[i].blocks) * attention_block;
      const Index last = std::min(s.mask->keys(), first + attention_block);
      level.pack(packed + plans[i].packed + at * block_size, head_of(s.keys, key_head, depth).rows(first, last),
                 head_of(s.values, key_head, width).rows(first, last));
    }
  });

  const Index tasks = all.tiles + all.chunks;
  if (tasks > 0) {
    Scratch scratch(tasks, std::max(level.forward_scratch(depth, width), group * (attention_chunk + attention_header)));
    parallel_for(tasks, 1, cost, [&](Index task, Index) {
      const Scratch::Lease lease(scratch);
      if (task >= all.tiles) {
        const Index chunk_task = task - all.tiles;
        const std::size_t i = find_task(plans, &ForwardPlan::chunks, chunk_task);
        const auto& s = sequences[i];
        const Index count = plans[i].chunk_count, at = chunk_task - plans[i].chunks, key_head = at / count, chunk = at % count;
        const TaskRules task_rules{rules, key_head * group, s.begin, s.first_query};
        for (Index row = 0; row < s.end - s.begin; ++row) {
          const Index first = (row * shape.query_heads + key_head * group) * count + chunk;
          level.chunk({.q = {q.row(s.begin + row) + key_head * group * depth, {group, depth}, {depth, 1}},
                       .keys = head_of(s.keys, key_head, depth),
                       .values = head_of(s.values, key_head, width),
                       .visible = s.mask->row(row),
                       .begin = chunk * attention_chunk,
                       .end = std::min((chunk + 1) * attention_chunk, s.mask->keys()),
                       .row = row,
                       .rules = task_rules.erased()},
                      partial + plans[i].partial + first * partial_size, count * partial_size, lease.data);
        }
        return;
      }
      const std::size_t i = find_task(plans, &ForwardPlan::tiles, task);
      const auto& s = sequences[i];
      const Index at = task - plans[i].tiles, head = at % shape.query_heads, row = at / shape.query_heads * level.query_rows;
      const Index from = s.begin + row, to = std::min(s.end, from + level.query_rows), key_head = head / group;
      const ScoreRule<float> rule = TaskRules{rules, head, from, s.first_query + row}(0);
      const View<float, 1> row_lse = part_of_row(log_sum_exp, head, from, to);
      const float* const blocks = packed + plans[i].packed + key_head * plans[i].blocks * block_size;
      float check = 0;
      for (Index block = 0; block < plans[i].blocks; ++block) check += blocks[block * block_size];
      if (!(check == 0.0f)) {  // a hidden value that is not finite would leak: 0 * infinity
        reference::attention<float>(head_of(y.rows(from, to), head, width), row_lse, head_of(q.rows(from, to), head, depth),
                                    head_of(s.keys, key_head, depth), head_of(s.values, key_head, width), *s.mask, row, rule);
        return;
      }
      const Index count = level.forward({.y = head_of(y.rows(from, to), head, width),
                                         .log_sum_exp = row_lse.data(),
                                         .q = head_of(q.rows(from, to), head, depth),
                                         .mask = s.mask,
                                         .first_row = row,
                                         .blocks = blocks,
                                         .block_size = block_size,
                                         .first_block = plans[i].first_block,
                                         .last_block = plans[i].first_block + plans[i].blocks,
                                         .rule = &rule},
                                        lease.data);
      if (tiles != nullptr) *tiles += count;
    });
  }

  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const auto& s = sequences[i];
    const Index rows = s.end - s.begin, chunks = plans[i].chunk_count;
    if (rows > few_queries) continue;
    parallel_for(rows * shape.query_heads, 8, rows * shape.query_heads * (chunks + 1) * width, [&](Index begin, Index end) {
      for (Index task = begin; task < end; ++task) {
        const Index row = task / shape.query_heads, head = task % shape.query_heads;
        level.combine(part_of_row(y, s.begin + row, head * width, (head + 1) * width),
                      part_of_row(log_sum_exp, head, s.begin + row, s.begin + row + 1).data(),
                      partial + plans[i].partial + task * chunks * partial_size, partial_size, chunks, !s.mask->row(row).empty());
      }
    });
  }
}

// The formula stands with reference::attention_backward; log_sum_exp is (heads, T), drelative (heads, buckets).
inline void attention_backward(const AttentionLevel& level, View<float, 2> dq, View<float, 2> drelative, View<const float, 2> dy,
                               View<const float, 2> y, View<const float, 2> log_sum_exp, View<const float, 2> q,
                               std::span<const AttentionSequence<float>> sequences, const HeadShape& shape, const HeadRules& rules,
                               std::atomic<Index>* tiles = nullptr) {
  using namespace attention_detail;
  const Index depth = shape.head_width, width = shape.value_width, group = shape.group();
  const Index count = static_cast<Index>(sequences.size());
  Index most_keys = 0, cost = 0;
  for (const auto& s : sequences) {
    most_keys = std::max(most_keys, s.mask->keys());
    cost += (s.end - s.begin) * s.mask->keys() * q.columns();
  }
  if (most_keys == 0) return;
  // Sequences that add to the same keys are one task.
  const bool in_turn = share_keys(sequences);
  const Index units = in_turn ? shape.key_heads : count * shape.key_heads;
  Index range = attention_range, slices = 1;
  if (units < enough_tasks && !in_turn) {
    while (range > attention_block && units * ((most_keys + range - 1) / range) < enough_tasks) range /= 2;
    slices = std::min((most_keys + range - 1) / range, std::min(most_slices, (enough_tasks + units - 1) / units));
  }
  // Slices add to a dq of their own, and every slice of every sequence to a drelative of its own.
  const Index rows = dq.rows(), columns = dq.columns();
  const bool has_parts = dq && slices > 1;
  const Tensor parts = has_parts ? Tensor::zeros({slices * rows, columns}) : Tensor{};
  const Tensor tables = drelative ? Tensor::zeros({slices * count * drelative.rows(), drelative.columns()}) : Tensor{};
  const View<float, 2> dq_parts = view_or_none<float, 2>(parts), relative_parts = view_or_none<float, 2>(tables);
  Scratch scratch(units * slices, level.backward_scratch(depth, width, std::min(range, most_keys)));

  const auto one = [&](Index sequence, Index key_head, Index slice, float* memory) {
    const auto& s = sequences[static_cast<std::size_t>(sequence)];
    const Index head = key_head * group;
    const TaskRules task_rules{rules, head, s.begin, s.first_query};
    const auto heads_of = [&](auto x, Index head_width) {
      return x ? x.rows(s.begin, s.end).columns(head * head_width, (head + group) * head_width) : x;
    };
    const auto keys_of = [&](auto x, Index head_width, Index first, Index last) {
      return x ? x.rows(first, last).columns(key_head * head_width, (key_head + 1) * head_width) : x;
    };
    const View<float, 2> dq_rows = has_parts ? dq_parts.rows(slice * rows, (slice + 1) * rows) : dq;
    const Index table = (slice * count + sequence) * drelative.rows() + head;
    AttentionBackward problem{.dq = heads_of(dq_rows, depth),
                              .dkeys = {},
                              .dvalues = {},
                              .drelative = drelative ? relative_parts.rows(table, table + group) : View<float, 2>{},
                              .dy = heads_of(dy, width),
                              .y = heads_of(y, width),
                              .log_sum_exp = log_sum_exp.rows(head, head + group).columns(s.begin, s.end),
                              .q = heads_of(q, depth),
                              .keys = {},
                              .values = {},
                              .first_key = 0,
                              .heads = group,
                              .mask = s.mask,
                              .rules = task_rules.erased()};
    const bool is_finite = level.all_finite(problem.q) && level.all_finite(problem.dy);
    for (Index first = slice * range; first < s.mask->keys(); first += slices * range) {
      const Index last = std::min(s.mask->keys(), first + range);
      problem.dkeys = keys_of(s.dkeys, depth, first, last);
      problem.dvalues = keys_of(s.dvalues, width, first, last);
      problem.keys = keys_of(s.keys, depth, first, last);
      problem.values = keys_of(s.values, width, first, last);
      problem.first_key = first;
      if (is_finite && level.all_finite(problem.keys)) {
        const Index visited = level.backward(problem, memory);
        if (tiles != nullptr) *tiles += visited;
        continue;
      }
      // Something hidden that is not finite would leak: 0 * infinity.
      const IntervalMask visible = s.mask->clipped(first, last);
      for (Index h = 0; h < group; ++h) {
        const auto of_head = [&](auto x, Index head_width) { return x ? head_of(x, h, head_width) : x; };
        const reference::AttentionGradients<float> gradients{
            .q = of_head(problem.dq, depth),
            .keys = keys_of(s.dkeys, depth, 0, s.keys.rows()),
            .values = keys_of(s.dvalues, width, 0, s.keys.rows()),
            .relative = drelative ? part_of_row(problem.drelative, h, 0, drelative.columns()) : View<float, 1>{}};
        reference::attention_backward<float>(
            gradients, head_of(problem.dy, h, width), head_of(problem.y, h, width), {problem.log_sum_exp.row(h), {s.end - s.begin}},
            head_of(problem.q, h, depth), head_of(s.keys, key_head, depth), head_of(s.values, key_head, width), visible, 0, task_rules(h));
      }
    }
  };
  parallel_for(units * slices, 1, cost, [&](Index task, Index) {
    const Scratch::Lease lease(scratch);
    const Index unit = task / slices, slice = task % slices;
    if (in_turn) {
      for (Index sequence = 0; sequence < count; ++sequence) one(sequence, unit, slice, lease.data);
    } else {
      one(unit / shape.key_heads, unit % shape.key_heads, slice, lease.data);
    }
  });

  if (has_parts) {
    parallel_for(rows, 16, slices * rows * columns, [&](Index begin, Index end) {
      const View<float, 2> sum = dq.rows(begin, end);
      for (Index slice = 0; slice < slices; ++slice)
        reference::add<float>(sum, sum, dq_parts.rows(slice * rows + begin, slice * rows + end));
    });
  }
  for (Index part = 0; drelative && part < slices * count; ++part)
    reference::add<float>(drelative, drelative, relative_parts.rows(part * drelative.rows(), (part + 1) * drelative.rows()));
}

}  // namespace plume::inline PLUME_ABI::kernels
