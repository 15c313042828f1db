#pragma once
// What both sides of T5 have in common.
#include "plume/models/config_json.hpp"

namespace plume::inline PLUME_ABI::families {

inline bool is_gated_t5(const Json& json) { return json.text("feed_forward_proj", "relu").starts_with("gated-"); }

inline Config read_t5_stack(const Json& json) {
  using namespace config_json;
  Config c;
  c.vocabulary = positive(json, "vocab_size", 32128);
  c.context = 512;  // what it was trained on: positions have no end
  c.width = positive(json, "d_model", 512);
  c.hidden = positive(json, "d_ff", 2048);
  c.layers = positive(json, "num_layers", 6);
  c.heads = c.key_heads = positive(json, "num_heads", 8);
  c.head_width = positive(json, "d_kv", 64);
  c.norm_epsilon = between(json, "layer_norm_epsilon", 1e-6, 0, 1);
  c.position = PositionKind::relative;
  c.relative = {positive(json, "relative_attention_num_buckets", 32), positive(json, "relative_attention_max_distance", 128)};
  c.attention_scale = 1;
  const std::string projection = json.text("feed_forward_proj", "relu");
  c.gated = projection.starts_with("gated-");
  const std::string_view name = std::string_view(projection).substr(c.gated ? 6 : 0);
  const auto found = std::find_if(std::begin(activations), std::end(activations), [&](const auto& entry) { return entry.name == name; });
  if (found == std::end(activations)) fail(json, "feed_forward_proj", concat("unknown activation ", quoted(name)));
  c.activation = projection == "gated-gelu" ? Activation{ActivationKind::gelu_tanh} : found->activation;
  return c;
}

inline void write_t5_stack(const Config& c, Json& json) {
  const std::string_view name =
      c.activation.kind == ActivationKind::gelu_tanh && c.gated ? "gelu" : config_json::activation_name(c.activation);
  json.set("vocab_size", c.vocabulary)
      .set("d_model", c.width)
      .set("d_ff", c.hidden)
      .set("d_kv", c.head_width)
      .set("num_layers", c.layers)
      .set("num_heads", c.heads)
      .set("layer_norm_epsilon", c.norm_epsilon)
      .set("relative_attention_num_buckets", c.relative.count)
      .set("relative_attention_max_distance", c.relative.reach)
      .set("feed_forward_proj", c.gated ? concat("gated-", name) : std::string(name));
}

}  // namespace plume::inline PLUME_ABI::families
