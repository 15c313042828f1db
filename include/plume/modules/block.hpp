#pragma once
#include "plume/autograd/recompute.hpp"
#include "plume/modules/attention.hpp"
#include "plume/modules/experts.hpp"
#include "plume/modules/mlp.hpp"
#include "plume/modules/norm.hpp"
#include "plume/ops/add.hpp"

namespace plume::inline PLUME_ABI {

// How attention a, feed-forward layer m and norms n1, n2 meet the residual stream x:
enum class Wiring : std::uint8_t {
  sequential,         // h = x + a(n1 x);           y = h + m(n2 h)
  parallel,           // y = x + a(n1 x) + m(n2 x)                               GPT-NeoX
  parallel_one_norm,  // y = x + a(n1 x) + m(n1 x)                               GPT-J
  post_norm,          // h = n1(s x + a(x));        y = n2(s h + m(h))           GPT-1; s = sqrt(2 layers): DeepNorm
  normed_residual     // h = s n1 x + a(n1 x);      y = s n2 h + m(n2 h)         ChatGLM
};

// Where the sequential wiring has norms: before attention and feed-forward layer, behind them (OLMo 2), or both (Gemma 2).
enum class NormPlace : std::uint8_t { before, behind, both };

struct BlockShape {
  NormShape norm = {};
  AttentionShape attention = {};
  std::optional<AttentionShape> cross_attention = {};  // sequential and post-norm wirings have a place for it
  MlpShape mlp = {};
  std::optional<ExpertsShape> experts = {};  // in place of one feed-forward layer
  Wiring wiring = Wiring::sequential;
  NormPlace norm_place = NormPlace::before;
  double residual_scale = 1;  // s
};

//   x ──┬─ attention_norm ─ attention ─ (+) ──┬─ mlp_norm ─ mlp ─ (+) ── y          (the sequential wiring)
//       └──────────────────────────────┘      └──────────────────┘
// With cross-attention c and its norm there is a third such step between the two:  h = h + c(nc h);  post-norm  h = nc(s h + c(h)).
struct Block {
  Norm attention_norm, mlp_norm;  // absent where the wiring has none
  Norm attention_output_norm, mlp_output_norm;
  Attention attention;
  Norm cross_norm;  // absent, with the next, as a rule
  Attention cross_attention;
  Mlp mlp;          // absent where there are experts
  Experts experts;  // absent as a rule
  Wiring wiring = Wiring::sequential;
  double residual_scale = 1;

  PLUME_FUNCTION static Block described(const BlockShape& shape, DType dtype = DType::f32);
  PLUME_FUNCTION Tensor operator()(const Tensor& x, Pass& pass) const;

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("attention_norm", self.attention_norm);
    f("attention", self.attention);
    f("attention_output_norm", self.attention_output_norm);
    f("cross_norm", self.cross_norm);
    f("cross_attention", self.cross_attention);
    f("mlp_norm", self.mlp_norm);
    f("mlp", self.mlp);
    f("experts", self.experts);
    f("mlp_output_norm", self.mlp_output_norm);
  }

 private:
  // The residual stream behind cross-attention, where there is one.
  PLUME_FUNCTION Tensor crossed(const Tensor& x, Pass& pass) const;
  // The feed-forward half: what `norm` (null: none), the layer and its output norm make of `input`.
  PLUME_FUNCTION Tensor feed_forward(const Tensor& input, const Norm* norm, const Pass& pass) const;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Block Block::described(const BlockShape& shape, DType dtype) {
  Block block;
  const bool sequential = shape.wiring == Wiring::sequential;
  const auto norm = [&](bool present) { return present ? Norm::described(shape.norm, dtype) : Norm{}; };
  block.attention_norm = norm(!sequential || shape.norm_place != NormPlace::behind);
  block.mlp_norm = norm(shape.wiring != Wiring::parallel_one_norm && (!sequential || shape.norm_place != NormPlace::behind));
  block.attention_output_norm = norm(sequential && shape.norm_place != NormPlace::before);
  block.mlp_output_norm = norm(sequential && shape.norm_place != NormPlace::before);
  block.attention = Attention::described(shape.attention, dtype);
  if (shape.cross_attention) {
    require(sequential || shape.wiring == Wiring::post_norm, "[block] cross-attention needs the sequential or the post-norm wiring");
    require(shape.norm_place == NormPlace::before, "[block] cross-attention has no output norm");
    block.cross_norm = norm(true);
    block.cross_attention = Attention::described(*shape.cross_attention, dtype);
  }
  if (shape.experts)
    block.experts = Experts::described(*shape.experts, shape.mlp, dtype);
  else
    block.mlp = Mlp::described(shape.mlp, dtype);
  block.wiring = shape.wiring;
  block.residual_scale = shape.residual_scale;
  return block;
}

PLUME_FUNCTION Tensor Block::feed_forward(const Tensor& input, const Norm* norm, const Pass& pass) const {
  const auto half = [this, norm, adapted = pass.adapted, shown = pass.tap(),
                     recomputes = pass.recompute == Recompute::mlp](const Tensor& x) {
    // What runs again shows nothing: the taps may be gone by then.
    const Tap tap = recomputes && Tape::current() && !NotingTape::is_in_force() ? Tap{} : shown;
    const Tensor input_of_layer = norm ? (*norm)(x) : x;
    const bool has_experts = static_cast<bool>(experts.router.weight);
    tap(has_experts ? "experts.input" : "mlp.input", input_of_layer);
    const Tensor y = has_experts ? experts(input_of_layer, adapted, tap) : mlp(input_of_layer, adapted, tap);
    tap(has_experts ? "experts" : "mlp", y);
    return mlp_output_norm.weight ? tap("mlp_output_norm", mlp_output_norm(y)) : y;
  };
  return dropout(pass.recompute == Recompute::mlp ? recompute(input, half) : half(input), pass.dropout_at(2));
}

PLUME_FUNCTION Tensor Block::crossed(const Tensor& x, Pass& pass) const {
  if (!cross_norm.weight) return x;
  const bool post_norm = wiring == Wiring::post_norm;
  const Tensor y = dropout(cross_attention(post_norm ? x : cross_norm(x), pass), pass.dropout_at(4));
  if (!post_norm) return x + y;
  return cross_norm((residual_scale == 1 ? x : scale(x, residual_scale)) + y);
}

PLUME_FUNCTION Tensor Block::operator()(const Tensor& x, Pass& pass) const {
  const auto attended = [&](const Tensor& input) {
    const Tap tap = pass.tap();
    const Tensor y = tap("attention", attention(tap("attention.input", input), pass));
    return dropout(attention_output_norm.weight ? tap("attention_output_norm", attention_output_norm(y)) : y, pass.dropout_at(1));
  };
  const auto scaled = [&](const Tensor& residual) { return residual_scale == 1 ? residual : scale(residual, residual_scale); };
  switch (wiring) {
    case Wiring::sequential:
      break;
    case Wiring::parallel:
      return x + attended(attention_norm(x)) + feed_forward(x, &mlp_norm, pass);
    case Wiring::parallel_one_norm: {
      const Tensor normed = attention_norm(x);
      return x + attended(normed) + feed_forward(normed, nullptr, pass);
    }
    case Wiring::post_norm: {
      const Tensor h = crossed(attention_norm(scaled(x) + attended(x)), pass);
      return mlp_norm(scaled(h) + feed_forward(h, nullptr, pass));
    }
    case Wiring::normed_residual: {
      const Tensor a = attention_norm(x), h = scaled(a) + attended(a), m = mlp_norm(h);
      return scaled(m) + feed_forward(m, nullptr, pass);
    }
  }
  const Tensor h = crossed(x + attended(attention_norm.weight ? attention_norm(x) : x), pass);
  return h + feed_forward(h, mlp_norm.weight ? &mlp_norm : nullptr, pass);
}

}  // namespace plume::inline PLUME_ABI
#endif
