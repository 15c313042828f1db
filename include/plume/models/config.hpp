#pragma once
// Config: the architecture of a decoder, or of one stack of an encoder-decoder, as data. Every field is used by at least one family.
#include <cmath>
#include <limits>

#include "plume/base/limits.hpp"
#include "plume/models/task.hpp"
#include "plume/modules/blanks.hpp"
#include "plume/modules/block.hpp"
#include "plume/modules/relative_positions.hpp"

namespace plume::inline PLUME_ABI {

// The last two are those of encoder-decoders: a fixed table, sines then cosines, or learned biases by distance.
enum class PositionKind : std::uint8_t { learned, rotary, alibi, sinusoidal, relative };

// What differs from layer to layer.
struct LayerKind {
  AttentionScope scope = AttentionScope::global;
  bool rotates = true;   // false: a layer without rotary positions, in a model that has them
  bool experts = false;  // a mixture of experts in place of one feed-forward layer
  friend bool operator==(const LayerKind&, const LayerKind&) = default;
};

struct Config {
  std::string_view family = {};       // by whose layout it is saved; empty: the first that has a place for everything
  Index vocabulary = 0, context = 0;  // tokens known, tokens seen at once
  Index width = 0, layers = 0, hidden = 0;
  Index heads = 0, key_heads = 0, head_width = 0;
  NormKind norm = NormKind::rms;
  double norm_epsilon = 1e-5;
  double norm_offset = 0;  // gains are offset + weight
  Wiring wiring = Wiring::sequential;
  NormPlace norm_place = NormPlace::before;
  double residual_scale = 1;
  PositionKind position = PositionKind::rotary;
  Index first_position = 0;  // row of the first token in the table of learned positions, where rows before it are never read
  Rotary rotary = {};
  std::optional<Rotary> local_rotary = {};  // of layers of local scope, where it differs
  RelativeBuckets relative = {};
  Index window = 0;                         // keys that layers of local scope see
  std::vector<LayerKind> layer_kinds = {};  // one for each layer; empty: all are global
  QkvLayout qkv_layout = QkvLayout::separate;
  QkNorm qk_norm = QkNorm::none;
  double attention_scale = 0, attention_cap = 0;  // 0: 1 / sqrt(head width); no cap
  Activation activation = {};
  bool gated = true;
  GateLayout gate_layout = GateLayout::separate;
  ExpertsShape experts = {};  // of the layers that have them
  bool norm_bias = false, qkv_bias = false, output_bias = false, mlp_bias = false, head_bias = false;
  double embedding_scale = 1;
  bool embedding_norm = false, final_norm = true;
  double logit_cap = 0;          // 0: none
  bool tied_head = false;        // the output projection is the token embedding
  Task task = {};                // next tokens as a rule
  bool bidirectional = false;    // every token sees every other: an encoder
  bool cross_attention = false;  // blocks read an encoder's output too
  TokenId frozen_token = -1;     // its embedding does not learn from being read (padding); -1: none
  std::vector<TokenId> begin_tokens = {}, end_tokens = {};
  std::optional<Infilling> infilling = {};  // it fills blanks, and reads no other text

  LayerKind layer(Index index) const { return layer_kinds.empty() ? LayerKind{} : layer_kinds[static_cast<std::size_t>(index)]; }
  PLUME_FUNCTION BlockShape block(Index layer = 0) const;
  NormShape norm_shape() const { return {width, norm, norm_epsilon, norm_bias, norm_offset}; }
  KvCacheShape cache(Index capacity, DType dtype) const {
    return {layers, key_heads * head_width, key_heads * head_width, capacity, dtype};
  }

  // Ranges and divisibility; ConfigError names the field as this struct spells it. check() is for decoders that stand alone.
  PLUME_FUNCTION void check(const std::string& path = {}, const Limits& limits = {}) const;
  PLUME_FUNCTION void check_stack(const std::string& path = {}, const Limits& limits = {}) const;

  friend bool operator==(const Config&, const Config&) = default;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION BlockShape Config::block(Index index) const {
  const LayerKind kind = layer(index);
  BlockShape shape;
  shape.norm = norm_shape();
  shape.wiring = wiring;
  shape.norm_place = norm_place;
  shape.residual_scale = residual_scale;
  AttentionShape& attention = shape.attention;
  attention = {.width = width,
               .heads = {heads, key_heads, head_width, head_width},
               .layout = qkv_layout,
               .qkv_bias = qkv_bias,
               .output_bias = output_bias,
               .scale = attention_scale,
               .soft_cap = attention_cap,
               .alibi = position == PositionKind::alibi,
               .relative = position == PositionKind::relative,
               .scope = kind.scope,
               .qk_norm = qk_norm,
               .norm = norm_shape()};
  if (position == PositionKind::rotary && kind.rotates)
    attention.rotary = kind.scope == AttentionScope::local && local_rotary ? *local_rotary : rotary;
  if (cross_attention) {
    shape.cross_attention = attention;
    shape.cross_attention->relative = false;
    shape.cross_attention->source = AttentionSource::memory;
  }
  shape.mlp = {width, hidden, activation, gated, mlp_bias, gate_layout};
  if (kind.experts) shape.experts = experts;
  return shape;
}

PLUME_FUNCTION void Config::check(const std::string& path, const Limits& limits) const {
  check_stack(path, limits);
  if (bidirectional || cross_attention || position == PositionKind::sinusoidal || position == PositionKind::relative)
    throw ConfigError({.path = path, .field = "position"}, "this is a stack of an encoder-decoder, not a decoder that stands alone");
}

PLUME_FUNCTION void Config::check_stack(const std::string& path, const Limits& limits) const {
  const auto fail = [&](std::string_view field, std::string_view reason) {
    throw ConfigError({.path = path, .field = std::string(field)}, reason);
  };
  const auto within = [&](std::string_view field, std::string_view limit, Index value, std::uint64_t allowed) {
    if (value < 1) fail(field, concat("is ", value, ", expected at least 1"));
    if (static_cast<std::uint64_t>(value) > allowed)
      throw LimitError({.path = path, .field = std::string(field)}, limit, allowed, static_cast<std::uint64_t>(value));
  };
  const auto positive = [&](std::string_view field, double value) {
    if (!(value > 0 && std::isfinite(value))) fail(field, concat("is ", value, ", expected a positive number"));
  };
  constexpr std::uint64_t widest = 1u << 20;
  within("vocabulary", "max_vocabulary", vocabulary, limits.max_vocabulary);
  within("context", "max_context", context, limits.max_context);
  within("layers", "max_layers", layers, limits.max_layers);
  if (first_position < 0 || static_cast<std::uint64_t>(first_position) > limits.max_context - static_cast<std::uint64_t>(context))
    fail("first_position", concat("is ", first_position, " before ", context, " positions"));
  if (first_position != 0 && (position != PositionKind::learned || !bidirectional))
    fail("first_position", "only encoders with learned positions skip rows of their table");
  for (const auto& [field, value] :
       {std::pair{"width", width}, {"hidden", hidden}, {"heads", heads}, {"key_heads", key_heads}, {"head_width", head_width}})
    if (value < 1 || static_cast<std::uint64_t>(value) > widest) fail(field, concat("is ", value, ", expected 1 .. ", widest));
  if (heads % key_heads != 0) fail("key_heads", concat(heads, " heads cannot share ", key_heads, " key heads: the number must divide"));
  if (qkv_layout == QkvLayout::blocks && (heads % 4 != 0 || key_heads % 4 != 0))
    fail("heads", concat("is ", heads, ": four blocks of queries, values and keys need a multiple of 4"));
  if (!(norm_epsilon > 0 && norm_epsilon < 1)) fail("norm_epsilon", concat("is ", norm_epsilon, ", expected a number in (0, 1)"));
  positive("residual_scale", residual_scale);
  positive("embedding_scale", embedding_scale);
  for (const auto& [field, value] :
       {std::pair{"attention_scale", attention_scale}, {"attention_cap", attention_cap}, {"logit_cap", logit_cap}})
    if (value != 0) positive(field, value);
  const auto check_rotary = [&](const std::string& field, const Rotary& turn) {
    positive(field + ".base", turn.base);
    positive(field + ".factor", turn.factor);
    positive(field + ".amplitude", turn.amplitude);
    if (turn.width < 2 || turn.width % 2 != 0 || turn.width > head_width)
      fail(field + ".width", concat("is ", turn.width, " of a head of ", head_width, ", expected an even number up to it"));
    if (turn.two_streams &&
        (turn.width % 4 != 0 || turn.width != head_width || qkv_layout == QkvLayout::separate || turn.depends_on_length()))
      fail(field + ".two_streams", "two streams turn the halves of a whole head, a multiple of 4 wide, of a fused projection");
    if (turn.scaling == RotaryScaling::dynamic && turn.width < 4)
      fail(field + ".width", concat("is ", turn.width, ", dynamic scaling needs at least 4"));
    const bool has_context = turn.scaling != RotaryScaling::none && turn.scaling != RotaryScaling::linear;
    if (has_context) within(field + ".trained_context", "max_context", turn.trained_context, limits.max_context);
    if (turn.scaling == RotaryScaling::llama3 && !(turn.fast > turn.slow))
      fail(field + ".fast", concat("is ", turn.fast, ", expected more than slow, ", turn.slow));
    if (turn.scaling == RotaryScaling::yarn && !(turn.base > 1 && turn.fast > 0 && turn.slow > 0))
      fail(field + ".fast", "the base must be over 1, fast and slow positive");
    if (turn.scaling == RotaryScaling::longrope) {
      for (const auto& [name, factors] : {std::pair{".short_factors", &turn.short_factors}, {".long_factors", &turn.long_factors}}) {
        if (static_cast<Index>(factors->size()) != turn.width / 2)
          fail(field + name, concat("there are ", factors->size(), ", expected ", turn.width / 2));
        for (const double factor : *factors) positive(field + name, factor);
      }
    }
  };
  if (position == PositionKind::rotary) {
    check_rotary("rotary", rotary);
    if (local_rotary) check_rotary("local_rotary", *local_rotary);
  }
  if (position == PositionKind::relative) {
    if (relative.count < 4 || relative.count > 4096) fail("relative.count", concat("is ", relative.count, ", expected 4 .. 4096"));
    if (relative.reach <= relative.count / 2 || relative.reach > 1 << 20)
      fail("relative.reach",
           concat("is ", relative.reach, ", expected more than half of the ", relative.count, " buckets, up to ", 1 << 20));
  }
  if (cross_attention && qkv_layout != QkvLayout::separate) fail("qkv_layout", "cross-attention has separate projections");
  if (frozen_token < -1 || frozen_token >= vocabulary)
    fail("frozen_token", concat("token ", frozen_token, " is not in a vocabulary of ", vocabulary));
  if (!layer_kinds.empty() && static_cast<Index>(layer_kinds.size()) != layers)
    fail("layer_kinds", concat("there are ", layer_kinds.size(), " for ", layers, " layers"));
  for (const LayerKind& kind : layer_kinds) {
    if (kind.scope == AttentionScope::local && window < 1) fail("window", concat("is ", window, ", but there are layers of local scope"));
    if (!kind.experts) continue;
    for (const auto& [field, value] : {std::pair{"experts.count", experts.count}, {"experts.hidden", experts.hidden}})
      if (value < 1 || static_cast<std::uint64_t>(value) > widest) fail(field, concat("is ", value, ", expected 1 .. ", widest));
    if (experts.chosen < 1 || experts.chosen > experts.count)
      fail("experts.chosen", concat("is ", experts.chosen, " of ", experts.count, " experts"));
    if (experts.shared_hidden < 0 || static_cast<std::uint64_t>(experts.shared_hidden) > widest)
      fail("experts.shared_hidden", concat("is ", experts.shared_hidden, ", expected 0 .. ", widest));
  }
  if (task.has_labels()) {
    within("task.labels", "max_vocabulary", task.labels, limits.max_vocabulary);
    if (task.kind == TaskKind::double_heads && task.labels != 1) fail("task.labels", "double heads have one score for each option");
    if (task.kind == TaskKind::sequence_labels && task.bias) fail("task.bias", "the head of a sequence's labels has none");
    if (!task.names.empty() && static_cast<Index>(task.names.size()) != task.labels)
      fail("task.names", concat("there are ", task.names.size(), " for ", task.labels, " labels"));
    if (task.padding < -1 || task.padding >= vocabulary)
      fail("task.padding", concat("token ", task.padding, " is not in a vocabulary of ", vocabulary));
  }
  if (infilling) {
    const auto known = [&](std::string_view field, TokenId token, TokenId least) {
      if (token < least || token >= vocabulary) fail(field, concat("token ", token, " is not in a vocabulary of ", vocabulary));
    };
    known("infilling.begin", infilling->begin, 0);
    known("infilling.continuation", infilling->continuation, -1);
    known("infilling.end_of_text", infilling->end_of_text, -1);
    if (infilling->masks.empty()) fail("infilling.masks", "there are none: no text can have a blank");
    for (const TokenId mask : infilling->masks) {
      known("infilling.masks", mask, 0);
      if (mask == infilling->begin) fail("infilling.begin", concat("token ", mask, " is a mask token as well"));
    }
  } else if (rotary.two_streams) {
    fail("rotary.two_streams", "only texts with blanks have the second stream");
  }
  for (const std::vector<TokenId>* tokens : {&begin_tokens, &end_tokens})
    for (const TokenId token : *tokens)
      if (token < 0 || token >= vocabulary)
        fail(tokens == &end_tokens ? "end_tokens" : "begin_tokens", concat("token ", token, " is not in a vocabulary of ", vocabulary));
}

}  // namespace plume::inline PLUME_ABI
#endif
