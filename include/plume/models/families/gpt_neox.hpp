#pragma once
// GPT-NeoX and Pythia [Black et al. 2022; Biderman et al. 2023], of which Dolly 2 is made: attention and feed-forward layer side by side,
// each behind its norm; queries, keys and values of each head in turn; a quarter of each head turns.
#include "plume/models/family.hpp"
#include "plume/models/rotary_json.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule gpt_neox_names[] = {
    {"embedding", "gpt_neox.embed_in"},
    {"blocks.*.attention_norm", "gpt_neox.layers.*.input_layernorm"},
    {"blocks.*.attention.qkv", "gpt_neox.layers.*.attention.query_key_value"},
    {"blocks.*.attention.output", "gpt_neox.layers.*.attention.dense"},
    {"blocks.*.mlp_norm", "gpt_neox.layers.*.post_attention_layernorm"},
    {"blocks.*.mlp.up", "gpt_neox.layers.*.mlp.dense_h_to_4h"},
    {"blocks.*.mlp.down", "gpt_neox.layers.*.mlp.dense_4h_to_h"},
    {"norm", "gpt_neox.final_layer_norm"},
    {"head", "embed_out"},
};
inline constexpr std::string_view gpt_neox_ignored[] = {"gpt_neox.layers.*.attention.bias", "gpt_neox.layers.*.attention.masked_bias",
                                                        "gpt_neox.layers.*.attention.rotary_emb.inv_freq"};
inline constexpr RotaryKeys gpt_neox_rotary{.partial = 0.25, .base_key = "rotary_emb_base", .partial_key = "rotary_pct"};

inline Config read_gpt_neox(const Json& json) {
  using namespace config_json;
  Config c;
  c.vocabulary = positive(json, "vocab_size");
  c.context = positive(json, "max_position_embeddings", 2048);
  read_heads(json, c, "hidden_size", "num_attention_heads");
  c.layers = positive(json, "num_hidden_layers");
  c.hidden = positive(json, "intermediate_size", 24576);
  c.norm = NormKind::layer;
  c.norm_epsilon = between(json, "layer_norm_eps", 1e-5, 0, 1);
  c.wiring = json.boolean("use_parallel_residual", true) ? Wiring::parallel : Wiring::sequential;
  c.rotary = read_rotary(json, c, gpt_neox_rotary);
  c.qkv_layout = QkvLayout::grouped;
  c.activation = activation(json, "hidden_act", "gelu");
  c.gated = false;
  c.norm_bias = c.mlp_bias = true;
  c.qkv_bias = c.output_bias = json.boolean("attention_bias", true);
  c.tied_head = json.boolean("tie_word_embeddings", false);
  c.begin_tokens = tokens(json, "bos_token_id", c.vocabulary);
  c.end_tokens = tokens(json, "eos_token_id", c.vocabulary);
  return c;
}

inline void write_gpt_neox(const Config& c, Json& json) {
  json.set("vocab_size", c.vocabulary)
      .set("max_position_embeddings", c.context)
      .set("hidden_size", c.width)
      .set("num_attention_heads", c.heads)
      .set("num_hidden_layers", c.layers)
      .set("intermediate_size", c.hidden)
      .set("layer_norm_eps", c.norm_epsilon)
      .set("use_parallel_residual", c.wiring == Wiring::parallel)
      .set("hidden_act", config_json::activation_name(c.activation, "gelu"))
      .set("attention_bias", c.qkv_bias || c.output_bias)
      .set("tie_word_embeddings", c.tied_head)
      .set("bos_token_id", config_json::tokens(c.begin_tokens))
      .set("eos_token_id", config_json::tokens(c.end_tokens));
  config_json::write_rotary(c.rotary, c, json, gpt_neox_rotary);
}

inline constexpr Family gpt_neox{.name = "gpt_neox",
                                 .architecture = "GPTNeoXForCausalLM",
                                 .read = read_gpt_neox,
                                 .write = write_gpt_neox,
                                 .names = gpt_neox_names,
                                 .ignored = gpt_neox_ignored};

}  // namespace plume::inline PLUME_ABI::families
