#pragma once
// StableLM [Bellagente et al. 2024]: LLaMA with layer norms, a quarter of each head turning, and in some sizes one norm for both sublayers.
#include "plume/models/families/llama_shape.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr LlamaDefaults stablelm_defaults{
    .context = 4096, .key_heads = 32, .epsilon = 1e-5, .epsilon_key = "layer_norm_eps", .rotary = {.partial = 0.25}};

inline Config read_stablelm(const Json& json) {
  Config c = read_llama_shape(json, stablelm_defaults);
  c.norm = NormKind::layer;
  c.norm_bias = true;
  c.qkv_bias = json.boolean("use_qkv_bias", false);
  if (json.boolean("use_parallel_residual", false)) c.wiring = Wiring::parallel_one_norm;
  config_json::only(json, "qk_layernorm", false);
  return c;
}
inline void write_stablelm(const Config& c, Json& json) {
  write_llama_shape(c, json, stablelm_defaults);
  json.set("use_qkv_bias", c.qkv_bias).set("use_parallel_residual", c.wiring == Wiring::parallel_one_norm);
}
inline constexpr Family stablelm{.name = "stablelm",
                                 .architecture = "StableLmForCausalLM",
                                 .read = read_stablelm,
                                 .write = write_stablelm,
                                 .names = llama_names,
                                 .ignored = llama_ignored};

}  // namespace plume::inline PLUME_ABI::families
