#pragma once
// Gemma 1, 2 and 3 (text): gains of 1 + weight, embeddings times sqrt(width), GELU gates. Gemma 2 has norms on both sides of each sublayer,
// capped scores and logits, and a window in every second layer; Gemma 3 has norms of query and key heads, and local layers with rotary
// angles of their own.      [Gemma Team 2024, 2025]
#include "plume/models/families/qwen.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr LlamaDefaults gemma_defaults{
    .context = 8192, .key_heads = 16, .head_width = 256, .activation = "gelu_pytorch_tanh", .tied_head = true};
inline constexpr LlamaDefaults gemma2_defaults{.context = 8192,
                                               .key_heads = 4,
                                               .head_width = 256,
                                               .activation = "gelu_pytorch_tanh",
                                               .activation_key = "hidden_activation",
                                               .tied_head = true};
inline constexpr RotaryKeys gemma3_rotary{.base = 1e6, .layer_type = "full_attention"};
inline constexpr RotaryKeys gemma3_local_rotary{.base_key = "rope_local_base_freq", .layer_type = "sliding_attention"};
inline constexpr LlamaDefaults gemma3_defaults{.context = 131072,
                                               .key_heads = 4,
                                               .head_width = 256,
                                               .activation = "gelu_pytorch_tanh",
                                               .activation_key = "hidden_activation",
                                               .tied_head = true,
                                               .rotary = gemma3_rotary};

inline Config read_gemma_shape(const Json& json, const LlamaDefaults& defaults) {
  Config c = read_llama_shape(json, defaults);
  c.norm_offset = 1;
  c.embedding_scale = std::sqrt(static_cast<double>(c.width));
  c.qkv_bias = c.output_bias = json.boolean("attention_bias", false);
  config_json::only(json, "use_bidirectional_attention", false);
  return c;
}

inline Config read_gemma(const Json& json) {
  Config c = read_gemma_shape(json, gemma_defaults);
  // "gelu" in "hidden_act" is a mistake of the first files: the tanh form was meant; "hidden_activation" came to set it right.
  if (json.text("hidden_act", "") == "gelu") c.activation = {ActivationKind::gelu_tanh};
  if (json.find("hidden_activation")) c.activation = config_json::activation(json, "hidden_activation", "gelu_pytorch_tanh");
  return c;
}
inline void write_gemma(const Config& c, Json& json) {
  write_llama_shape(c, json, gemma_defaults);
  json.set("attention_bias", c.qkv_bias || c.output_bias);
}
inline constexpr Family gemma{
    .name = "gemma", .architecture = "GemmaForCausalLM", .read = read_gemma, .write = write_gemma, .names = llama_names};

inline constexpr NameRule four_norm_names[] = {
    {"blocks.*.attention_norm", "model.layers.*.input_layernorm"},
    {"blocks.*.attention_output_norm", "model.layers.*.post_attention_layernorm"},
    {"blocks.*.mlp_norm", "model.layers.*.pre_feedforward_layernorm"},
    {"blocks.*.mlp_output_norm", "model.layers.*.post_feedforward_layernorm"},
};
inline constexpr auto gemma2_names = joined(llama_frame_names, llama_attention_names, four_norm_names, llama_mlp_names);
inline constexpr auto gemma3_names = joined(llama_frame_names, llama_attention_names, qk_norm_names, four_norm_names, llama_mlp_names);

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

inline Config read_gemma3(const Json& json) {
  Config c = read_gemma_shape(json, gemma3_defaults);
  read_gemma_block(json, c, 0);
  c.qk_norm = QkNorm::head;
  if (cap(json, "attn_logit_softcapping", 0) != 0) config_json::fail(json, "attn_logit_softcapping", "only null is supported");
  // A flat rope_scaling is for the global layers alone.
  Json local = Json::object();
  if (const Json* const base = json.find("rope_local_base_freq")) local.set("rope_local_base_freq", *base);
  if (const Json* const nested = json.find("rope_parameters"); nested && nested->is_object() && nested->find("sliding_attention"))
    local.set("rope_parameters", *nested);
  c.local_rotary = config_json::read_rotary(local, c, gemma3_local_rotary);
  const Index pattern = config_json::positive(json, "sliding_window_pattern", 6);
  read_layer_types(json, c, [&](Index layer) { return (layer + 1) % pattern != 0; });
  if (c.layer_kinds.empty()) c.local_rotary.reset();
  return c;
}
inline void write_gemma3(const Config& c, Json& json) {
  write_llama_shape(c, json, gemma3_defaults);
  write_gemma_block(c, json);
  if (!c.local_rotary) return;
  Json local = Json::object();
  config_json::write_rotary(*c.local_rotary, c, local, gemma3_local_rotary);
  json.set("rope_local_base_freq", local.at("rope_local_base_freq"));
}
inline constexpr Family gemma3{
    .name = "gemma3_text", .architecture = "Gemma3ForCausalLM", .read = read_gemma3, .write = write_gemma3, .names = gemma3_names};

}  // namespace plume::inline PLUME_ABI::families
