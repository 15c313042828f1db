#pragma once
// Gemma [Gemma Team 2024]: LLaMA with gains of 1 + weight, embeddings times sqrt(width), GELU gates.
#include "plume/models/families/llama_shape.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr LlamaDefaults gemma_defaults{
    .context = 8192, .key_heads = 16, .head_width = 256, .activation = "gelu_pytorch_tanh", .tied_head = true};

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

}  // namespace plume::inline PLUME_ABI::families
