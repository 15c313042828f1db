#pragma once
// Qwen 2 and 2.5: LLaMA with biases on queries, keys and values. Qwen 3: norms of each query and key head instead.
#include "plume/models/families/llama_shape.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr LlamaDefaults qwen2_defaults{.context = 32768, .key_heads = 32};
inline constexpr LlamaDefaults qwen3_defaults{.context = 32768, .key_heads = 32, .head_width = 128};

// Layers from max_window_layers on see a window, where the file asks for one.
inline void read_qwen_window(const Json& json, Config& c) {
  const Json* const window = json.find("sliding_window");
  const bool none = !json.boolean("use_sliding_window", false) || (window && window->is_null());
  c.window = none ? 0 : config_json::positive(json, "sliding_window", 4096);
  const Index first = json.integer("max_window_layers", 28);
  read_layer_types(json, c, [&](Index layer) { return c.window > 0 && layer >= first; });
}
inline void write_qwen_window(const Config& c, Json& json) {
  json.set("use_sliding_window", c.window > 0).set("sliding_window", c.window > 0 ? Json(c.window) : Json());
  write_layer_types(c, json);
}

inline Config read_qwen2(const Json& json) {
  Config c = read_llama_shape(json, qwen2_defaults);
  if (c.head_width * c.heads != c.width && !json.find("head_dim"))
    config_json::fail(json, "hidden_size", concat(c.width, " does not divide into ", c.heads, " heads"));
  c.qkv_bias = true;
  read_qwen_window(json, c);
  return c;
}
inline void write_qwen2(const Config& c, Json& json) {
  write_llama_shape(c, json, qwen2_defaults);
  write_qwen_window(c, json);
}
inline constexpr Family qwen2{.name = "qwen2",
                              .architecture = "Qwen2ForCausalLM",
                              .read = read_qwen2,
                              .write = write_qwen2,
                              .names = llama_names,
                              .ignored = llama_ignored};

inline constexpr auto qwen3_names = joined(llama_frame_names, llama_attention_names, qk_norm_names, llama_norm_names, llama_mlp_names);

inline Config read_qwen3(const Json& json) {
  Config c = read_llama_shape(json, qwen3_defaults);
  c.qkv_bias = c.output_bias = json.boolean("attention_bias", false);
  c.qk_norm = QkNorm::head;
  read_qwen_window(json, c);
  return c;
}
inline void write_qwen3(const Config& c, Json& json) {
  write_llama_shape(c, json, qwen3_defaults);
  json.set("attention_bias", c.qkv_bias || c.output_bias);
  write_qwen_window(c, json);
}
inline constexpr Family qwen3{
    .name = "qwen3", .architecture = "Qwen3ForCausalLM", .read = read_qwen3, .write = write_qwen3, .names = qwen3_names};

}  // namespace plume::inline PLUME_ABI::families
