#pragma once
// LLaMA [Touvron et al. 2023; Dubey et al. 2024]: RMSNorm, rotary positions (half-split), SwiGLU, grouped keys. SmolLM 1 and 2, and what
// was tuned from it (Alpaca, Vicuna, Guanaco, Koala, BELLE ...), are LLaMA too.
#include "plume/models/families/llama_shape.hpp"

namespace plume::inline PLUME_ABI::families {

inline Config read_llama(const Json& json) {
  Config c = read_llama_shape(json, {});
  c.qkv_bias = c.output_bias = json.boolean("attention_bias", false);
  c.mlp_bias = json.boolean("mlp_bias", false);
  return c;
}
inline void write_llama(const Config& c, Json& json) {
  write_llama_shape(c, json);
  json.set("attention_bias", c.qkv_bias || c.output_bias).set("mlp_bias", c.mlp_bias);
}
inline constexpr Family llama{.name = "llama",
                              .architecture = "LlamaForCausalLM",
                              .read = read_llama,
                              .write = write_llama,
                              .names = llama_names,
                              .ignored = llama_ignored};

}  // namespace plume::inline PLUME_ABI::families
