#pragma once
// Gemma 2 [Gemma Team 2024]: Gemma with norms on both sides of each sublayer, capped scores and logits, a window in every second layer.
#include "plume/models/families/gemma.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr LlamaDefaults gemma2_defaults{.context = 8192,
                                               .key_heads = 4,
                                               .head_width = 256,
                                               .activation = "gelu_pytorch_tanh",
                                               .activation_key = "hidden_activation",
                                               .tied_head = true};

inline constexpr NameRule four_norm_names[] = {
    {"blocks.*.attention_norm", "model.layers.*.input_layernorm"},
    {"blocks.*.attention_output_norm", "model.layers.*.post_attention_layernorm"},
    {"blocks.*.mlp_norm", "model.layers.*.pre_feedforward_layernorm"},
    {"blocks.*.mlp_output_norm", "model.layers.*.post_feedforward_layernorm"},
};
inline constexpr auto gemma2_names = joined(llama_frame_names, llama_attention_names, four_norm_names, llama_mlp_names);

// A number whose absence has a meaning of its own: a null is none.
inline double cap(const Json& json, std::string_view key, double fallback) {
  const Json* const value = json.find(key);
  return value && value->is_null() ? 0 : value ? config_json::between(json, key, fallback, 0, 1e30) : fallback;
}
inline void read_gemma_block(const Json& json, Config& c, double usual_cap) {
  c.norm_place = NormPlace::both;
  c.attention_scale = 1 / std::sqrt(config_json::between(json, "query_pre_attn_scalar", 256, 0, 1e30));
  c.logit_cap = cap(json, "final_logit_softcapping", usual_cap);
  c.window = config_json::positive(json, "sliding_window", 4096);
}
inline void write_gemma_block(const Config& c, Json& json) {
  json.set("attention_bias", c.qkv_bias || c.output_bias)
      .set("query_pre_attn_scalar", std::round(1 / (c.attention_scale * c.attention_scale) * 1e6) / 1e6)
      .set("final_logit_softcapping", c.logit_cap > 0 ? Json(c.logit_cap) : Json());
  if (c.window > 0) json.set("sliding_window", c.window);
  write_layer_types(c, json);
}

inline Config read_gemma2(const Json& json) {
  Config c = read_gemma_shape(json, gemma2_defaults);
  read_gemma_block(json, c, 30);
  c.attention_cap = cap(json, "attn_logit_softcapping", 50);
  read_layer_types(json, c, [](Index layer) { return layer % 2 == 0; });
  return c;
}
inline void write_gemma2(const Config& c, Json& json) {
  write_llama_shape(c, json, gemma2_defaults);
  write_gemma_block(c, json);
  json.set("attn_logit_softcapping", c.attention_cap > 0 ? Json(c.attention_cap) : Json());
}
inline constexpr Family gemma2{
    .name = "gemma2", .architecture = "Gemma2ForCausalLM", .read = read_gemma2, .write = write_gemma2, .names = gemma2_names};

}  // namespace plume::inline PLUME_ABI::families
