#pragma once
// Config: a decoder's architecture as data. Every field is used by at least one family.
#include <cmath>
#include <limits>

#include "plume/base/limits.hpp"
#include "plume/modules/block.hpp"

namespace plume::inline PLUME_ABI {

enum class PositionKind : std::uint8_t { learned, rotary };

struct Config {
  Index vocabulary = 0, context = 0;  // tokens known, tokens seen at once
  Index width = 0, layers = 0, hidden = 0;
  Index heads = 0, key_heads = 0, head_width = 0;
  NormKind norm = NormKind::rms;
  double norm_epsilon = 1e-5;
  PositionKind position = PositionKind::rotary;
  Rotary rotary = {};
  QkvLayout qkv_layout = QkvLayout::separate;
  Activation activation = {};
  bool gated = true;
  bool norm_bias = false, qkv_bias = false, output_bias = false, mlp_bias = false;
  bool tied_head = false;  // the output projection is the token embedding
  std::vector<TokenId> begin_tokens = {}, end_tokens = {};

  PLUME_FUNCTION BlockShape block() const;
  KvCacheShape cache(Index capacity, DType dtype) const {
    return {layers, key_heads * head_width, key_heads * head_width, capacity, dtype};
  }

  // Ranges and divisibility; ConfigError names the field as this struct spells it.
  PLUME_FUNCTION void check(const std::string& path = {}, const Limits& limits = {}) const;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION BlockShape Config::block() const {
  BlockShape shape;
  shape.norm = {width, norm, norm_epsilon, norm_bias};
  shape.attention = {width, {heads, key_heads, head_width, head_width}, qkv_layout, qkv_bias, output_bias, {}};
  if (position == PositionKind::rotary) shape.attention.rotary = rotary;
  shape.mlp = {width, hidden, activation, gated, mlp_bias};
  return shape;
}

PLUME_FUNCTION void Config::check(const std::string& path, const Limits& limits) const {
  const auto fail = [&](std::string_view field, std::string_view reason) {
    throw ConfigError({.path = path, .field = std::string(field)}, reason);
  };
  const auto within = [&](std::string_view field, std::string_view limit, Index value, std::uint64_t allowed) {
    if (value < 1) fail(field, concat("is ", value, ", expected at least 1"));
    if (static_cast<std::uint64_t>(value) > allowed)
      throw LimitError({.path = path, .field = std::string(field)}, limit, allowed, static_cast<std::uint64_t>(value));
  };
  constexpr std::uint64_t widest = 1u << 20;
  within("vocabulary", "max_vocabulary", vocabulary, limits.max_vocabulary);
  within("context", "max_context", context, limits.max_context);
  within("layers", "max_layers", layers, limits.max_layers);
  for (const auto& [field, value] :
       {std::pair{"width", width}, {"hidden", hidden}, {"heads", heads}, {"key_heads", key_heads}, {"head_width", head_width}})
    if (value < 1 || static_cast<std::uint64_t>(value) > widest) fail(field, concat("is ", value, ", expected 1 .. ", widest));
  if (heads % key_heads != 0) fail("key_heads", concat(heads, " heads cannot share ", key_heads, " key heads: the number must divide"));
  if (!(norm_epsilon > 0 && norm_epsilon < 1)) fail("norm_epsilon", concat("is ", norm_epsilon, ", expected a number in (0, 1)"));
  if (position == PositionKind::rotary) {
    if (!(rotary.base > 0 && std::isfinite(rotary.base))) fail("rotary.base", concat("is ", rotary.base, ", expected a positive number"));
    if (rotary.width < 2 || rotary.width % 2 != 0 || rotary.width > head_width)
      fail("rotary.width", concat("is ", rotary.width, " of a head of ", head_width, ", expected an even number up to it"));
  }
  for (const std::vector<TokenId>* tokens : {&begin_tokens, &end_tokens})
    for (const TokenId token : *tokens)
      if (token < 0 || token >= vocabulary)
        fail(tokens == &end_tokens ? "end_tokens" : "begin_tokens", concat("token ", token, " is not in a vocabulary of ", vocabulary));
}

}  // namespace plume::inline PLUME_ABI
#endif
