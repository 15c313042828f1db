#pragma once
// GPT-3 [Brown et al. 2020]: GPT-2 whose layers are dense and locally banded in turn. Nobody published its files and transformers has no
// such class: these are GPT-2's, and which layers are banded is spelled as in GPT-Neo's.
#include "plume/models/families/gpt2.hpp"

namespace plume::inline PLUME_ABI::families {

inline Config read_gpt3(const Json& json) {
  using namespace config_json;
  Config c = read_gpt2(json);
  const Json& layers = json.at("attention_layers");
  if (static_cast<Index>(layers.size()) != c.layers) layers.fail(concat("has ", layers.size(), " entries for ", c.layers, " layers"));
  for (const Json& layer : layers.items()) {
    const std::string& scope = layer.as_text();
    if (scope != "global" && scope != "local") layer.fail(concat("is ", quoted(scope), ", expected global or local"));
    c.layer_kinds.push_back({.scope = scope == "local" ? AttentionScope::local : AttentionScope::global});
  }
  c.window = positive(json, "window_size");
  return c;
}

inline void write_gpt3(const Config& c, Json& json) {
  write_gpt2(c, json);
  Json layers = Json::array();
  for (Index i = 0; i < c.layers; ++i) layers.push(c.layer(i).scope == AttentionScope::local ? "local" : "global");
  json.set("attention_layers", std::move(layers)).set("window_size", c.window);
}

inline constexpr Family gpt3{.name = "gpt3",
                             .architecture = "GPT3LMHeadModel",
                             .read = read_gpt3,
                             .write = write_gpt3,
                             .names = gpt2_names,
                             .optional_prefix = "transformer.",
                             .ignored = gpt2_ignored};

}  // namespace plume::inline PLUME_ABI::families
