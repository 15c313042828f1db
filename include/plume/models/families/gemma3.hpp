#pragma once
// Gemma 3, text [Gemma Team 2025]: Gemma 2 without caps, with norms of query and key heads; local layers have rotary angles of their own.
#include "plume/models/families/gemma2.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr RotaryKeys gemma3_rotary{.base = 1e6, .layer_type = "full_attention"};
inline constexpr RotaryKeys gemma3_local_rotary{.base_key = "rope_local_base_freq", .layer_type = "sliding_attention"};
inline constexpr LlamaDefaults gemma3_defaults{.context = 131072,
                                               .key_heads = 4,
                                               .head_width = 256,
                                               .activation = "gelu_pytorch_tanh",
                                               .activation_key = "hidden_activation",
                                               .tied_head = true,
                                               .rotary = gemma3_rotary};

inline constexpr auto gemma3_names = joined(llama_frame_names, llama_attention_names, qk_norm_names, four_norm_names, llama_mlp_names);

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
