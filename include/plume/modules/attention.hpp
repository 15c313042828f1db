#pragma once
#include <optional>

#include "plume/modules/linear.hpp"
#include "plume/modules/pass.hpp"

namespace plume::inline PLUME_ABI {

// How queries, keys and values come out of the projections: three modules, or one whose columns are Q, K, V in turn (GPT-2).
enum class QkvLayout : std::uint8_t { separate, contiguous };

struct Rotary {
  double base = 10000;
  Index width = 0;  // elements of a head that turn
  RotaryLayout layout = RotaryLayout::half_split;
};

struct AttentionShape {
  Index width = 0;  // of the residual stream
  HeadShape heads = {};
  QkvLayout layout = QkvLayout::separate;
  bool qkv_bias = false, output_bias = false;
  std::optional<Rotary> rotary = {};

  // Where the keys lie in a fused projection: queries before them, values behind.
  OutputRange key_outputs() const {
    const Index begin = heads.query_heads * heads.head_width;
    return {begin, begin + heads.key_heads * heads.head_width};
  }
};

//   x -> q, k, v -> rotate q, k -> softmax(q k^T / sqrt(head width)) v -> output
struct Attention {
  Linear q, k, v;  // layout separate
  Linear qkv;      // layout contiguous
  Linear output;
  AttentionShape shape;

  PLUME_FUNCTION static Attention described(const AttentionShape& shape, DType dtype = DType::f32);

  PLUME_FUNCTION Tensor operator()(const Tensor& x, Pass& pass) const;

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("q", self.q);
    f("k", self.k);
    f("v", self.v);
    f("qkv", self.qkv);
    f("output", self.output);
  }
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Attention Attention::described(const AttentionShape& shape, DType dtype) {
  const HeadShape& heads = shape.heads;
  const Index q_width = heads.query_heads * heads.head_width, k_width = heads.key_heads * heads.head_width,
              v_width = heads.key_heads * heads.value_width;
  Attention module;
  module.shape = shape;
  if (shape.layout == QkvLayout::contiguous) {
    module.qkv = Linear::described({shape.width, q_width + k_width + v_width, shape.qkv_bias}, dtype);
  } else {
    module.q = Linear::described({shape.width, q_width, shape.qkv_bias}, dtype);
    module.k = Linear::described({shape.width, k_width, shape.qkv_bias}, dtype);
    module.v = Linear::described({shape.width, v_width, shape.qkv_bias}, dtype);
  }
  module.output = Linear::described({heads.query_heads * heads.value_width, shape.width, shape.output_bias}, dtype);
  return module;
}

PLUME_FUNCTION Tensor Attention::operator()(const Tensor& x, Pass& pass) const {
  const HeadShape& heads = shape.heads;
  Tensor queries, keys, values;
  if (shape.layout == QkvLayout::contiguous) {
    const Tensor all = qkv(x, pass.adapted);
    const Index k_begin = shape.key_outputs().begin, v_begin = shape.key_outputs().end;
    queries = all.columns(0, k_begin);
    keys = all.columns(k_begin, v_begin);
    values = all.columns(v_begin, all.columns());
  } else {
    queries = q(x, pass.adapted);
    keys = k(x, pass.adapted);
    values = v(x, pass.adapted);
  }
  if (shape.rotary) {
    queries = rope(queries, pass.angles, heads.head_width, shape.rotary->layout);
    keys = rope(keys, pass.angles, heads.head_width, shape.rotary->layout);
  }
  AttentionOptions options;
  options.heads = heads;
  options.scale = 1 / std::sqrt(static_cast<double>(heads.head_width));
  options.dropout = pass.dropout_at(0);
  return output(attention(queries, pass.remember(keys, values), options), pass.adapted);
}

}  // namespace plume::inline PLUME_ABI
#endif
