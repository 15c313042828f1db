#pragma once
// Mistral [Jiang et al. 2023]: LLaMA whose layers see a window of keys.
#include "plume/models/families/llama_shape.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr LlamaDefaults mistral_defaults{.context = 131072, .key_heads = 8};

inline Config read_mistral(const Json& json) {
  Config c = read_llama_shape(json, mistral_defaults);
  const Json* const window = json.find("sliding_window");
  c.window = window && window->is_null() ? 0 : config_json::positive(json, "sliding_window", 4096);
  if (json.find("layer_types")) config_json::fail(json, "layer_types", "is not supported here: all layers are alike");
  read_layer_types(json, c, [&](Index) { return c.window > 0; });
  return c;
}
inline void write_mistral(const Config& c, Json& json) {
  write_llama_shape(c, json, mistral_defaults);
  json.set("sliding_window", c.window > 0 ? Json(c.window) : Json());
}
inline constexpr Family mistral{.name = "mistral",
                                .architecture = "MistralForCausalLM",
                                .read = read_mistral,
                                .write = write_mistral,
                                .names = llama_names,
                                .ignored = llama_ignored};

}  // namespace plume::inline PLUME_ABI::families
