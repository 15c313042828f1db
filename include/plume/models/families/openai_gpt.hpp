#pragma once
// GPT-1 [Radford et al. 2018]: norms behind the sums, learned positions, no final norm, tied head.
#include "plume/models/family.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule openai_gpt_names[] = {
    {"embedding", "transformer.tokens_embed"},
    {"position", "transformer.positions_embed"},
    {"blocks.*.attention.qkv", "transformer.h.*.attn.c_attn", true},
    {"blocks.*.attention.output", "transformer.h.*.attn.c_proj", true},
    {"blocks.*.attention_norm", "transformer.h.*.ln_1"},
    {"blocks.*.mlp.up", "transformer.h.*.mlp.c_fc", true},
    {"blocks.*.mlp.down", "transformer.h.*.mlp.c_proj", true},
    {"blocks.*.mlp_norm", "transformer.h.*.ln_2"},
    {"head", "lm_head"},
};
inline constexpr std::string_view openai_gpt_ignored[] = {"transformer.h.*.attn.bias", "transformer.position_ids"};

inline Config read_openai_gpt(const Json& json) {
  using namespace config_json;
  Config c;
  c.vocabulary = positive(json, "vocab_size");
  c.context = positive(json, spelled(json, {"n_positions", "max_position_embeddings"}), 512);
  read_heads(json, c, spelled(json, {"n_embd", "hidden_size"}), spelled(json, {"n_head", "num_attention_heads"}));
  c.layers = positive(json, spelled(json, {"n_layer", "num_hidden_layers"}));
  c.hidden = read_hidden(json, c, "n_inner");
  c.norm = NormKind::layer;
  c.norm_epsilon = between(json, "layer_norm_epsilon", 1e-5, 0, 1);
  c.wiring = Wiring::post_norm;
  c.position = PositionKind::learned;
  c.qkv_layout = QkvLayout::contiguous;
  c.activation = activation(json, "afn", "gelu");
  if (c.activation.kind == ActivationKind::gelu_erf) c.activation = {ActivationKind::gelu_tanh};  // its "gelu" is the tanh form
  c.gated = c.final_norm = false;
  c.norm_bias = c.qkv_bias = c.output_bias = c.mlp_bias = true;
  c.tied_head = json.boolean("tie_word_embeddings", true);
  c.begin_tokens = tokens(json, "bos_token_id", c.vocabulary);
  c.end_tokens = tokens(json, "eos_token_id", c.vocabulary);
  return c;
}

inline void write_openai_gpt(const Config& c, Json& json) {
  const bool tanh_form = c.activation.kind == ActivationKind::gelu_tanh;
  json.set("vocab_size", c.vocabulary)
      .set("n_positions", c.context)
      .set("n_embd", c.width)
      .set("n_layer", c.layers)
      .set("n_head", c.heads)
      .set("layer_norm_epsilon", c.norm_epsilon)
      .set("afn", tanh_form ? "gelu" : config_json::activation_name(c.activation))
      .set("tie_word_embeddings", c.tied_head)
      .set("bos_token_id", config_json::tokens(c.begin_tokens))
      .set("eos_token_id", config_json::tokens(c.end_tokens));
}

inline constexpr Family openai_gpt{.name = "openai-gpt",
                                   .architecture = "OpenAIGPTLMHeadModel",
                                   .read = read_openai_gpt,
                                   .write = write_openai_gpt,
                                   .names = openai_gpt_names,
                                   .optional_prefix = "transformer.",
                                   .ignored = openai_gpt_ignored};

}  // namespace plume::inline PLUME_ABI::families
