#pragma once
// GPT-2 [Radford et al. 2019]: layer norm, learned positions, one fused query-key-value projection, GELU (tanh), tied head.
#include "plume/models/family.hpp"

namespace plume::inline PLUME_ABI::families {

// Conv1D modules store their weight (in, out).
inline constexpr NameRule gpt2_names[] = {
    {"embedding", "transformer.wte"},
    {"position", "transformer.wpe"},
    {"blocks.*.attention_norm", "transformer.h.*.ln_1"},
    {"blocks.*.attention.qkv", "transformer.h.*.attn.c_attn", true},
    {"blocks.*.attention.output", "transformer.h.*.attn.c_proj", true},
    {"blocks.*.mlp_norm", "transformer.h.*.ln_2"},
    {"blocks.*.mlp.up", "transformer.h.*.mlp.c_fc", true},
    {"blocks.*.mlp.down", "transformer.h.*.mlp.c_proj", true},
    {"norm", "transformer.ln_f"},
    {"head", "lm_head"},
};
inline constexpr std::string_view gpt2_ignored[] = {"transformer.h.*.attn.bias", "transformer.h.*.attn.masked_bias"};  // causal masks

inline Config read_gpt2(const Json& json) {
  using namespace config_json;
  Config c;
  c.vocabulary = positive(json, "vocab_size");
  c.context = positive(json, spelled(json, {"n_positions", "max_position_embeddings", "n_ctx"}));
  read_heads(json, c, spelled(json, {"n_embd", "hidden_size"}), spelled(json, {"n_head", "num_attention_heads"}));
  c.layers = positive(json, spelled(json, {"n_layer", "num_hidden_layers"}));
  c.hidden = read_hidden(json, c, "n_inner");
  c.norm = NormKind::layer;
  c.norm_epsilon = between(json, "layer_norm_epsilon", 1e-5, 0, 1);
  c.position = PositionKind::learned;
  c.qkv_layout = QkvLayout::contiguous;
  c.activation = activation(json, "activation_function", "gelu_new");
  c.gated = false;
  c.norm_bias = c.qkv_bias = c.output_bias = c.mlp_bias = true;
  c.tied_head = json.boolean("tie_word_embeddings", true);
  only(json, "scale_attn_weights", true);
  only(json, "scale_attn_by_inverse_layer_idx", false);
  only(json, "add_cross_attention", false);
  c.begin_tokens = tokens(json, "bos_token_id", c.vocabulary);
  c.end_tokens = tokens(json, "eos_token_id", c.vocabulary);
  return c;
}

inline void write_gpt2(const Config& c, Json& json) {
  json.set("vocab_size", c.vocabulary)
      .set("n_positions", c.context)
      .set("n_embd", c.width)
      .set("n_layer", c.layers)
      .set("n_head", c.heads)
      .set("n_inner", c.hidden)
      .set("layer_norm_epsilon", c.norm_epsilon)
      .set("activation_function", config_json::activation_name(c.activation))
      .set("tie_word_embeddings", c.tied_head)
      .set("bos_token_id", config_json::tokens(c.begin_tokens))
      .set("eos_token_id", config_json::tokens(c.end_tokens));
}

inline constexpr Family gpt2{.name = "gpt2",
                             .architecture = "GPT2LMHeadModel",
                             .read = read_gpt2,
                             .write = write_gpt2,
                             .names = gpt2_names,
                             .optional_prefix = "transformer.",
                             .ignored = gpt2_ignored};

}  // namespace plume::inline PLUME_ABI::families
