#pragma once
// GLM-130B [Zeng et al. 2023]: ChatGLM's block with a gated feed-forward layer, positions of one dimension and a tied head. It has no
// files in the layout of Hugging Face: here they have the names of its published code (SwissArmyTransformer), and config.json its
// arguments.
#include "plume/models/families/chatglm.hpp"

namespace plume::inline PLUME_ABI::families {

inline Config read_glm_130b(const Json& json) {
  using namespace config_json;
  Config c = read_glm(json, false);
  c.hidden = positive(json, "inner_hidden_size");
  c.residual_scale = std::sqrt(2.0 * static_cast<double>(c.layers));
  c.gated = !json.boolean("no_glu", false);
  c.gate_layout = c.gated ? GateLayout::fused_gate_last : GateLayout::separate;
  c.activation = {c.gated ? ActivationKind::gelu_erf : ActivationKind::gelu_tanh};
  c.tied_head = json.boolean("tie_word_embeddings", true);
  if (json.text("layernorm_order", "post") != "post") fail(json, "layernorm_order", "only \"post\" is supported");
  c.infilling->masks = {};
  for (const auto& [key, fallback] : {std::pair{"mask_token_id", 150000}, {"smask_token_id", 150002}, {"gmask_token_id", 150001}})
    if (const TokenId mask = glm_token(json, key, fallback, c.vocabulary); mask >= 0) c.infilling->masks.push_back(mask);
  c.infilling->end_of_text = glm_token(json, "end_of_text_token_id", 20002, c.vocabulary);
  c.end_tokens = json.find("eos_token_id") ? tokens(json, "eos_token_id", c.vocabulary) : std::vector<TokenId>{150005, 20002};
  return c;
}
inline void write_glm_130b(const Config& c, Json& json) {
  write_glm(c, json);
  json.set("no_glu", !c.gated).set("layernorm_order", "post").set("mask_token_id", nullptr).set("smask_token_id", nullptr);
  std::string_view key = "mask_token_id";
  for (const TokenId mask : c.infilling ? c.infilling->masks : std::vector<TokenId>{})
    if (mask != c.infilling->continuation) json.set(std::exchange(key, "smask_token_id"), mask);
  json.set("end_of_text_token_id", c.infilling && c.infilling->end_of_text >= 0 ? Json(c.infilling->end_of_text) : Json());
}

inline constexpr Family glm_130b{.name = "glm-130b",
                                 .architecture = "GLM130B",
                                 .read = read_glm_130b,
                                 .write = write_glm_130b,
                                 .names = chatglm_names,
                                 .ignored = chatglm_ignored};

}  // namespace plume::inline PLUME_ABI::families
