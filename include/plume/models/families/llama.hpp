#pragma once
// LLaMA [Touvron et al. 2023]: RMSNorm, rotary positions (half-split), SwiGLU, grouped keys.
#include "plume/models/family.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule llama_names[] = {
    {"embedding", "model.embed_tokens"},
    {"blocks.*.attention_norm", "model.layers.*.input_layernorm"},
    {"blocks.*.attention.q", "model.layers.*.self_attn.q_proj"},
    {"blocks.*.attention.k", "model.layers.*.self_attn.k_proj"},
    {"blocks.*.attention.v", "model.layers.*.self_attn.v_proj"},
    {"blocks.*.attention.output", "model.layers.*.self_attn.o_proj"},
    {"blocks.*.mlp_norm", "model.layers.*.post_attention_layernorm"},
    {"blocks.*.mlp.gate", "model.layers.*.mlp.gate_proj"},
    {"blocks.*.mlp.up", "model.layers.*.mlp.up_proj"},
    {"blocks.*.mlp.down", "model.layers.*.mlp.down_proj"},
    {"norm", "model.norm"},
    {"head", "lm_head"},
};
inline constexpr std::string_view llama_ignored[] = {"model.layers.*.self_attn.rotary_emb.inv_freq"};

inline Config read_llama(const Json& json) {
  using namespace config_json;
  Config c;
  c.vocabulary = positive(json, "vocab_size");
  c.context = positive(json, "max_position_embeddings", 2048);
  c.width = positive(json, "hidden_size");
  c.hidden = positive(json, "intermediate_size");
  c.layers = positive(json, "num_hidden_layers");
  c.heads = positive(json, "num_attention_heads");
  c.key_heads = positive(json, "num_key_value_heads", c.heads);
  if (c.heads % c.key_heads != 0)
    fail(json, "num_key_value_heads", concat(c.heads, " attention heads cannot share ", c.key_heads, " key-value heads"));
  const Json* const head = json.find("head_dim");
  if ((head == nullptr || head->is_null()) && c.width % c.heads != 0)
    fail(json, "hidden_size", concat(c.width, " does not divide into ", c.heads, " heads, and there is no head_dim"));
  c.head_width = positive(json, "head_dim", c.width / c.heads);
  if (c.head_width % 2 != 0)
    fail(json, head ? "head_dim" : "hidden_size", concat("heads of ", c.head_width, " are odd, rotary positions need pairs"));
  c.norm_epsilon = between(json, "rms_norm_eps", 1e-6, 0, 1);

  // Older files: rope_theta and rope_scaling; newer ones: rope_parameters.
  constexpr double largest = 1e300;
  c.rotary = {between(json, "rope_theta", 10000, 0, largest), c.head_width, RotaryLayout::half_split};
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const Json* const rope = json.find(key);
    if (rope == nullptr || rope->is_null()) continue;
    const std::string type = rope->text("rope_type", rope->text("type", "default"));
    if (type != "default") fail(json, key, concat("unknown type ", quoted(type), " (known: default)"));
    c.rotary.base = between(*rope, "rope_theta", c.rotary.base, 0, largest);
    if (rope->number("partial_rotary_factor", 1) != 1) fail(*rope, "partial_rotary_factor", "only 1 is supported");
  }
  if (json.number("partial_rotary_factor", 1) != 1) fail(json, "partial_rotary_factor", "only 1 is supported");
  c.activation = activation(json, "hidden_act", "silu");
  c.qkv_bias = c.output_bias = json.boolean("attention_bias", false);
  c.mlp_bias = json.boolean("mlp_bias", false);
  c.tied_head = json.boolean("tie_word_embeddings", false);
  c.begin_tokens = tokens(json, "bos_token_id", c.vocabulary);
  c.end_tokens = tokens(json, "eos_token_id", c.vocabulary);
  return c;
}

inline void write_llama(const Config& c, Json& json) {
  json.set("vocab_size", c.vocabulary)
      .set("max_position_embeddings", c.context)
      .set("hidden_size", c.width)
      .set("intermediate_size", c.hidden)
      .set("num_hidden_layers", c.layers)
      .set("num_attention_heads", c.heads)
      .set("num_key_value_heads", c.key_heads)
      .set("head_dim", c.head_width)
      .set("rms_norm_eps", c.norm_epsilon)
      .set("rope_theta", c.rotary.base)
      .set("rope_scaling", nullptr)
      .set("hidden_act", config_json::activation_name(c.activation))
      .set("attention_bias", c.qkv_bias || c.output_bias)
      .set("mlp_bias", c.mlp_bias)
      .set("tie_word_embeddings", c.tied_head)
      .set("bos_token_id", config_json::tokens(c.begin_tokens))
      .set("eos_token_id", config_json::tokens(c.end_tokens));
}

inline bool fits_llama(const Config& c) {
  return c.norm == NormKind::rms && c.position == PositionKind::rotary && c.rotary.width == c.head_width && c.gated &&
         c.qkv_layout == QkvLayout::separate && !config_json::activation_name(c.activation).empty();
}

inline constexpr Family llama{.name = "llama",
                              .architecture = "LlamaForCausalLM",
                              .read = read_llama,
                              .write = write_llama,
                              .fits = fits_llama,
                              .names = llama_names,
                              .ignored = llama_ignored};

}  // namespace plume::inline PLUME_ABI::families
