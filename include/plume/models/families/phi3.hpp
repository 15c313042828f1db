#pragma once
// Phi-3 [Abdin et al. 2024]: LLaMA with one projection for queries, keys and values, one for gates and ups, and long rotary contexts.
#include "plume/models/families/llama_shape.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr LlamaDefaults phi3_defaults{.context = 4096, .epsilon = 1e-5, .rotary = {.trained_context = 4096}};

inline constexpr NameRule phi3_layer_names[] = {
    {"blocks.*.attention.qkv", "model.layers.*.self_attn.qkv_proj"},
    {"blocks.*.attention.output", "model.layers.*.self_attn.o_proj"},
    {"blocks.*.mlp.gate_up", "model.layers.*.mlp.gate_up_proj"},
    {"blocks.*.mlp.down", "model.layers.*.mlp.down_proj"},
};
inline constexpr auto phi3_names = joined(llama_frame_names, phi3_layer_names, llama_norm_names);

inline Config read_phi3(const Json& json) {
  Config c = read_llama_shape(json, phi3_defaults);
  c.qkv_layout = QkvLayout::contiguous;
  c.gate_layout = GateLayout::fused;
  if (const RotaryScaling scaling = c.rotary.scaling; scaling != RotaryScaling::none && scaling != RotaryScaling::longrope)
    config_json::fail(json, json.find("rope_scaling") ? "rope_scaling" : "rope_parameters", "the type of this family is longrope");
  const Json* const window = json.find("sliding_window");
  c.window = window && !window->is_null() ? config_json::positive(json, "sliding_window") : 0;
  read_layer_types(json, c, [&](Index) { return c.window > 0; });
  return c;
}
inline void write_phi3(const Config& c, Json& json) {
  write_llama_shape(c, json, phi3_defaults);
  json.set("sliding_window", c.window > 0 ? Json(c.window) : Json());
}
inline constexpr Family phi3{.name = "phi3",
                             .architecture = "Phi3ForCausalLM",
                             .read = read_phi3,
                             .write = write_phi3,
                             .names = phi3_names,
                             .ignored = llama_ignored};

}  // namespace plume::inline PLUME_ABI::families
