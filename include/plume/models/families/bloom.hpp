#pragma once
// BLOOM and BLOOMZ [BigScience 2022], which BELLE, Phoenix and Firefly tune: a norm on the embeddings, ALiBi in place of positions,
// queries, keys and values of each head in turn.
#include "plume/models/family.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule bloom_names[] = {
    {"embedding", "transformer.word_embeddings"},
    {"embedding_norm", "transformer.word_embeddings_layernorm"},
    {"blocks.*.attention_norm", "transformer.h.*.input_layernorm"},
    {"blocks.*.attention.qkv", "transformer.h.*.self_attention.query_key_value"},
    {"blocks.*.attention.output", "transformer.h.*.self_attention.dense"},
    {"blocks.*.mlp_norm", "transformer.h.*.post_attention_layernorm"},
    {"blocks.*.mlp.up", "transformer.h.*.mlp.dense_h_to_4h"},
    {"blocks.*.mlp.down", "transformer.h.*.mlp.dense_4h_to_h"},
    {"norm", "transformer.ln_f"},
    {"head", "lm_head"},
};

inline Config read_bloom(const Json& json) {
  using namespace config_json;
  Config c;
  c.vocabulary = positive(json, "vocab_size");
  c.context = positive(json, "seq_length", 2048);  // what it was trained on: ALiBi itself knows no end
  read_heads(json, c, spelled(json, {"n_embed", "hidden_size"}), spelled(json, {"n_head", "num_attention_heads"}));
  c.layers = positive(json, spelled(json, {"n_layer", "num_hidden_layers"}));
  c.hidden = read_hidden(json, c, "n_inner");
  c.norm = NormKind::layer;
  c.norm_epsilon = between(json, "layer_norm_epsilon", 1e-5, 0, 1);
  c.position = PositionKind::alibi;
  c.qkv_layout = QkvLayout::grouped;
  c.activation = {ActivationKind::gelu_tanh};
  c.gated = false;
  c.norm_bias = c.qkv_bias = c.output_bias = c.mlp_bias = c.embedding_norm = true;
  c.tied_head = json.boolean("tie_word_embeddings", true);
  only(json, "apply_residual_connection_post_layernorm", false);
  c.begin_tokens = tokens(json, "bos_token_id", c.vocabulary);
  c.end_tokens = tokens(json, "eos_token_id", c.vocabulary);
  return c;
}

inline void write_bloom(const Config& c, Json& json) {
  json.set("vocab_size", c.vocabulary)
      .set("seq_length", c.context)
      .set("hidden_size", c.width)
      .set("n_layer", c.layers)
      .set("n_head", c.heads)
      .set("layer_norm_epsilon", c.norm_epsilon)
      .set("tie_word_embeddings", c.tied_head)
      .set("bos_token_id", config_json::tokens(c.begin_tokens))
      .set("eos_token_id", config_json::tokens(c.end_tokens));
}

inline constexpr Family bloom{.name = "bloom",
                              .architecture = "BloomForCausalLM",
                              .read = read_bloom,
                              .write = write_bloom,
                              .names = bloom_names,
                              .optional_prefix = "transformer."};

}  // namespace plume::inline PLUME_ABI::families
