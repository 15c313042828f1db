#pragma once
// OLMo 2 [OLMo Team 2025]: LLaMA whose norms stand behind the sublayers, with norms over all queries and all keys.
#include "plume/models/families/llama_shape.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr LlamaDefaults olmo2_defaults{.epsilon = 1e-5};

inline constexpr NameRule olmo2_norm_names[] = {
    {"blocks.*.attention_output_norm", "model.layers.*.post_attention_layernorm"},
    {"blocks.*.mlp_output_norm", "model.layers.*.post_feedforward_layernorm"},
};
inline constexpr auto olmo2_names = joined(llama_frame_names, llama_attention_names, qk_norm_names, olmo2_norm_names, llama_mlp_names);

inline Config read_olmo2(const Json& json) {
  Config c = read_llama_shape(json, olmo2_defaults);
  c.norm_place = NormPlace::behind;
  c.qk_norm = QkNorm::projection;
  c.qkv_bias = c.output_bias = json.boolean("attention_bias", false);
  return c;
}
inline void write_olmo2(const Config& c, Json& json) {
  write_llama_shape(c, json, olmo2_defaults);
  json.set("attention_bias", c.qkv_bias || c.output_bias);
}
inline constexpr Family olmo2{
    .name = "olmo2", .architecture = "Olmo2ForCausalLM", .read = read_olmo2, .write = write_olmo2, .names = olmo2_names};

}  // namespace plume::inline PLUME_ABI::families
