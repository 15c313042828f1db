#pragma once
// Mixtral [Jiang et al. 2024]: Mistral whose feed-forward layers are mixtures of experts.
#include "plume/models/families/llama_shape.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule mixtral_experts_names[] = {
    {"blocks.*.experts.router", "model.layers.*.block_sparse_moe.gate"},
    {"blocks.*.experts.experts.*.gate", "model.layers.*.block_sparse_moe.experts.*.w1"},
    {"blocks.*.experts.experts.*.down", "model.layers.*.block_sparse_moe.experts.*.w2"},
    {"blocks.*.experts.experts.*.up", "model.layers.*.block_sparse_moe.experts.*.w3"},
};
inline constexpr auto mixtral_names = joined(llama_frame_names, llama_attention_names, llama_norm_names, mixtral_experts_names);

inline constexpr LlamaDefaults mixtral_defaults{.context = 131072, .key_heads = 8, .epsilon = 1e-5, .rotary = {.base = 1e6}};

// A window that all layers have.
inline void read_one_window(const Json& json, Config& c, bool asked) {
  const Json* const window = json.find("sliding_window");
  c.window = asked && window && !window->is_null() ? config_json::positive(json, "sliding_window") : 0;
  read_layer_types(json, c, [&](Index) { return c.window > 0; });
}
// How many experts there are and are chosen. The number of layers that have them may be less than all.
inline void read_experts(const Json& json, Config& c, std::string_view count_key, Index count, Index chosen) {
  c.experts.count = config_json::positive(json, count_key, count);
  c.experts.chosen = config_json::positive(json, "num_experts_per_tok", chosen);
  if (c.experts.chosen > c.experts.count)
    config_json::fail(json, "num_experts_per_tok", concat("is ", c.experts.chosen, " of ", c.experts.count, " experts"));
  config_json::only(json, "output_router_logits", false);
  c.layer_kinds.resize(c.layers <= 1 << 20 ? static_cast<std::size_t>(c.layers) : 0);
  for (LayerKind& kind : c.layer_kinds) kind.experts = true;
}

inline Config read_mixtral(const Json& json) {
  Config c = read_llama_shape(json, mixtral_defaults);
  read_one_window(json, c, true);
  read_experts(json, c, config_json::spelled(json, {"num_local_experts", "num_experts"}), 8, 2);
  c.experts.hidden = c.hidden;
  return c;
}
inline void write_mixtral(const Config& c, Json& json) {
  write_llama_shape(c, json, mixtral_defaults);
  json.set("num_local_experts", c.experts.count)
      .set("num_experts_per_tok", c.experts.chosen)
      .set("sliding_window", c.window > 0 ? Json(c.window) : Json());
}
inline constexpr Family mixtral{
    .name = "mixtral", .architecture = "MixtralForCausalLM", .read = read_mixtral, .write = write_mixtral, .names = mixtral_names};

}  // namespace plume::inline PLUME_ABI::families
