#pragma once
#include <optional>

#include "plume/modules/linear.hpp"
#include "plume/modules/norm.hpp"
#include "plume/modules/pass.hpp"
#include "plume/modules/rotary.hpp"
#include "plume/ops/attention_weights.hpp"

namespace plume::inline PLUME_ABI {

// How queries, keys and values come out of the projections.
enum class QkvLayout : std::uint8_t {
  separate,    // three modules
  contiguous,  // one module: all queries, all keys, all values (GPT-2)
  grouped,     // one module: for each key head its queries, its key, its value (GPT-NeoX, BLOOM, Falcon)
  blocks       // one module: four blocks, each of a quarter of the queries, values and keys (CodeGen)
};

// Norms of queries and keys before they turn: none, one for all heads alike (Qwen 3), or one over the whole projection (OLMo 2).
enum class QkNorm : std::uint8_t { none, head, projection };

// Whose keys and values attention reads: those of its own sequence, or of the pass's memory (cross-attention).
enum class AttentionSource : std::uint8_t { self, memory };

struct AttentionShape {
  Index width = 0;  // of the residual stream
  HeadShape heads = {};
  QkvLayout layout = QkvLayout::separate;
  bool qkv_bias = false, output_bias = false;
  std::optional<Rotary> rotary = {};
  double scale = 0;                                // of scores; 0: 1 / sqrt(head width)
  double soft_cap = 0;                             // of scores; 0: none
  bool alibi = false;                              // a bias by distance      [Press et al. 2021]
  bool relative = false;                           // the stack's learned bias by distance, as the pass has it
  AttentionSource source = AttentionSource::self;  // memory: layout separate, without norms and rotary positions
  AttentionScope scope = AttentionScope::global;
  QkNorm qk_norm = QkNorm::none;
  NormShape norm = {};  // of queries and keys; their width is filled in

  // Columns of a fused projection that hold the queries, keys or values, in order of heads. Where two streams of positions turn the halves
  // of a head, its quarters come as 0, 2, 1, 3: then pairs of both halves are as far apart as those of one head that turns as a whole.
  enum class Part : std::uint8_t { queries, keys, values };
  PLUME_FUNCTION std::vector<ColumnRange> columns_of(Part part) const;
};

//   x -> q, k, v -> norm q, k -> rotate q, k -> softmax(scale q k^T) v -> output
struct Attention {
  Linear q, k, v;       // layout separate
  Linear qkv;           // the other layouts
  Norm q_norm, k_norm;  // absent without QkNorm
  Linear output;
  AttentionShape shape;
  std::vector<ColumnRange> order;  // of the columns of a fused projection whose parts do not lie in turn: queries, keys, values

  PLUME_FUNCTION static Attention described(const AttentionShape& shape, DType dtype = DType::f32);

  PLUME_FUNCTION Tensor operator()(const Tensor& x, Pass& pass) const;
  // Cross-attention: the keys and values that it makes of a memory's states.
  KvCache::Rows project(const Memory& memory, const AdaptedRows& of_pass) const {
    const AdaptedRows adapted = memory.adapted(of_pass);
    return {k(memory.states, adapted), v(memory.states, adapted)};
  }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("q", self.q);
    f("k", self.k);
    f("v", self.v);
    f("qkv", self.qkv);
    f("q_norm", self.q_norm);
    f("k_norm", self.k_norm);
    f("output", self.output);
  }
};

// Slopes of the bias by distance: 2^(-8i/n) for i = 1 ... n heads, n a power of two; heads beyond it get every second slope of 2n heads.
PLUME_FUNCTION PoolVector<double> alibi_slopes(Index heads);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <bit>

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION PoolVector<double> alibi_slopes(Index heads) {
  const auto whole = static_cast<double>(std::bit_floor(static_cast<std::uint64_t>(std::max<Index>(heads, 1))));
  PoolVector<double> slopes;
  for (Index i = 1; i <= heads; ++i) {
    const double n = static_cast<double>(i);
    slopes.push_back(n <= whole ? std::exp2(-8 * n / whole) : std::exp2(-4 * (2 * (n - whole) - 1) / whole));
  }
  return slopes;
}

PLUME_FUNCTION std::vector<ColumnRange> AttentionShape::columns_of(Part part) const {
  const Index key_heads = heads.key_heads, shared = heads.query_heads / heads.key_heads;  // query heads of a key head
  const Index q = heads.head_width, v = heads.value_width;
  std::vector<ColumnRange> ranges;
  switch (layout) {
    case QkvLayout::separate:
      break;
    case QkvLayout::contiguous: {
      const Index keys = heads.query_heads * q, values = keys + key_heads * q;
      const ColumnRange all[] = {{0, keys}, {keys, values}, {values, values + key_heads * v}};
      ranges.push_back(all[static_cast<std::size_t>(part)]);
      break;
    }
    case QkvLayout::grouped:
      for (Index head = 0; head < key_heads; ++head) {
        const Index begin = head * (shared * q + q + v), keys = begin + shared * q, values = keys + q;
        const ColumnRange all[] = {{begin, keys}, {keys, values}, {values, values + v}};
        ranges.push_back(all[static_cast<std::size_t>(part)]);
      }
      break;
    case QkvLayout::blocks:
      for (Index block = 0; block < 4; ++block) {
        const Index queries = heads.query_heads / 4 * q, values = key_heads / 4 * v, keys = key_heads / 4 * q;
        const Index begin = block * (queries + values + keys);
        const ColumnRange all[] = {{begin, begin + queries},
                                   {begin + queries + values, begin + queries + values + keys},
                                   {begin + queries, begin + queries + values}};
        ranges.push_back(all[static_cast<std::size_t>(part)]);
      }
      break;
  }
  if (!rotary || !rotary->two_streams || part == Part::values) return ranges;
  std::vector<ColumnRange> quarters;
  for (const ColumnRange& range : ranges)
    for (Index head = range.begin; head < range.end; head += q)
      for (const Index quarter : {0, 2, 1, 3}) quarters.push_back({head + quarter * q / 4, head + (quarter + 1) * q / 4});
  return quarters;
}

PLUME_FUNCTION Attention Attention::described(const AttentionShape& shape, DType dtype) {
  const HeadShape& heads = shape.heads;
  const Index q_width = heads.query_heads * heads.head_width, k_width = heads.key_heads * heads.head_width,
              v_width = heads.key_heads * heads.value_width;
  Attention module;
  module.shape = shape;
  if (shape.layout == QkvLayout::separate) {
    module.q = Linear::described({shape.width, q_width, shape.qkv_bias}, dtype);
    module.k = Linear::described({shape.width, k_width, shape.qkv_bias}, dtype);
    module.v = Linear::described({shape.width, v_width, shape.qkv_bias}, dtype);
  } else {
    module.qkv = Linear::described({shape.width, q_width + k_width + v_width, shape.qkv_bias}, dtype);
    if (shape.layout != QkvLayout::contiguous || (shape.rotary && shape.rotary->two_streams))
      for (const auto part : {AttentionShape::Part::queries, AttentionShape::Part::keys, AttentionShape::Part::values})
        for (const ColumnRange& range : shape.columns_of(part)) module.order.push_back(range);
  }
  if (shape.qk_norm != QkNorm::none) {
    NormShape norm = shape.norm;
    norm.width = shape.qk_norm == QkNorm::head ? heads.head_width : q_width;
    module.q_norm = Norm::described(norm, dtype);
    norm.width = shape.qk_norm == QkNorm::head ? heads.head_width : k_width;
    module.k_norm = Norm::described(norm, dtype);
  }
  module.output = Linear::described({heads.query_heads * heads.value_width, shape.width, shape.output_bias}, dtype);
  return module;
}

PLUME_FUNCTION Tensor Attention::operator()(const Tensor& x, Pass& pass) const {
  const HeadShape& heads = shape.heads;
  const bool from_memory = shape.source == AttentionSource::memory;
  Tensor queries, keys, values;
  if (from_memory) {
    require(pass.memory != nullptr, "[attention] cross-attention needs a memory: encode the source first");
    queries = q(x, pass.adapted);
    // Kept ones serve where nothing is differentiated.
    const bool kept = thread_slot.tape == nullptr && !pass.memory->layers.empty();
    const KvCache::Rows rows = kept ? pass.memory->layers.at(static_cast<std::size_t>(pass.layer)) : project(*pass.memory, pass.adapted);
    keys = rows.keys, values = rows.values;
  } else if (shape.layout == QkvLayout::separate) {
    queries = q(x, pass.adapted);
    keys = k(x, pass.adapted);
    values = v(x, pass.adapted);
  } else {
    Tensor all = qkv(x, pass.adapted);
    if (!order.empty()) all = gather_columns(all, order);
    const Index k_begin = heads.query_heads * heads.head_width, v_begin = k_begin + heads.key_heads * heads.head_width;
    queries = all.columns(0, k_begin);
    keys = all.columns(k_begin, v_begin);
    values = all.columns(v_begin, all.columns());
  }
  if (shape.qk_norm != QkNorm::none) {
    const auto normed = [&](const Norm& norm, const Tensor& heads_of) {
      if (shape.qk_norm == QkNorm::projection) return norm(heads_of);
      const ColumnRange whole[] = {{0, heads_of.columns()}};
      const Tensor dense = heads_of.is_dense() ? heads_of : gather_columns(heads_of, whole);
      return norm(dense.reshape({dense.size() / heads.head_width, heads.head_width})).reshape(dense.shape());
    };
    queries = normed(q_norm, queries);
    keys = normed(k_norm, keys);
  }
  if (shape.rotary) {
    const RotaryAngles& angles = pass.angles_of(shape.scope);
    queries = rope(queries, angles, heads.head_width, shape.rotary->layout);
    keys = rope(keys, angles, heads.head_width, shape.rotary->layout);
  }
  AttentionOptions options;
  options.heads = heads;
  options.scale = shape.scale != 0 ? shape.scale : 1 / std::sqrt(static_cast<double>(heads.head_width));
  options.soft_cap = shape.soft_cap;
  if (shape.alibi) options.slopes = alibi_slopes(heads.query_heads);
  if (shape.relative) options.relative = pass.relative;
  options.dropout = pass.dropout_at(from_memory ? 3 : 0);
  const PoolVector<AttentionSegment> segments = from_memory ? pass.recall(keys, values) : pass.remember(keys, values, shape.scope);
  const Tensor context = attention(queries, segments, options);
  if (const Tap tap = pass.tap(); tap.taps) {
    const std::string name = from_memory ? "cross_attention." : "attention.";
    tap(name + "queries", queries), tap(name + "keys", keys), tap(name + "values", values), tap(name + "context", context);
    const bool wanted = tap.want(name + "weights");
    tap.taps->keep(tap.layer, name + "weights", wanted ? attention_weights(queries, segments, options) : std::vector<Tensor>{});
  }
  return output(context, pass.adapted);
}

}  // namespace plume::inline PLUME_ABI
#endif
