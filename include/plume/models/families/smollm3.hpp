#pragma once
// SmolLM 3: LLaMA of which every fourth layer has no positions. (SmolLM 1 and 2 are LLaMA.)
#include "plume/models/families/llama_shape.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr LlamaDefaults smollm3_defaults{.context = 32768, .key_heads = 4, .tied_head = true, .rotary = {.base = 2e6}};

inline Config read_smollm3(const Json& json) {
  Config c = read_llama_shape(json, smollm3_defaults);
  c.qkv_bias = c.output_bias = json.boolean("attention_bias", false);
  c.mlp_bias = json.boolean("mlp_bias", false);

  const Json* const list = json.find("no_rope_layers");  // where 1 stands, positions are used
  const bool listed = list != nullptr && !list->is_null();
  const Index interval = config_json::positive(json, "no_rope_layer_interval", 4);
  if (listed && static_cast<Index>(list->size()) != c.layers)
    config_json::fail(json, "no_rope_layers", concat("names ", list->size(), " layers of ", c.layers));
  const auto rotates = [&](Index layer) {
    return listed ? list->at(static_cast<std::size_t>(layer)).as_integer() != 0 : (layer + 1) % interval != 0;
  };
  const Json* const window = json.find("sliding_window");
  const bool windowed = json.boolean("use_sliding_window", false) && window && !window->is_null();
  c.window = windowed ? config_json::positive(json, "sliding_window") : 0;
  read_layer_types(json, c, [&](Index layer) { return c.window > 0 && !rotates(layer); });
  c.layer_kinds.resize(c.layers <= 1 << 20 ? static_cast<std::size_t>(c.layers) : 0);
  for (std::size_t i = 0; i < c.layer_kinds.size(); ++i) c.layer_kinds[i].rotates = rotates(static_cast<Index>(i));
  return c;
}
inline void write_smollm3(const Config& c, Json& json) {
  write_llama_shape(c, json, smollm3_defaults);
  Json list = Json::array();
  for (Index i = 0; i < c.layers; ++i) list.push(c.layer(i).rotates ? 1 : 0);
  json.set("attention_bias", c.qkv_bias || c.output_bias)
      .set("mlp_bias", c.mlp_bias)
      .set("no_rope_layers", std::move(list))
      .set("use_sliding_window", c.window > 0)
      .set("sliding_window", c.window > 0 ? Json(c.window) : Json());
  write_layer_types(c, json);
}
inline constexpr Family smollm3{
    .name = "smollm3", .architecture = "SmolLM3ForCausalLM", .read = read_smollm3, .write = write_smollm3, .names = llama_names};

}  // namespace plume::inline PLUME_ABI::families
