#pragma once
// GPT-J [Wang and Komatsuzaki 2021], of which Dolly 1 is made, and CodeGen [Nijkamp et al. 2022], whose architecture MOSS has: one norm for
// both sublayers, which run side by side; interleaved rotary positions on a part of each head; a head with a bias. CodeGen fuses queries,
// values and keys in four blocks.
#include "plume/models/family.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule gptj_frame_names[] = {
    {"embedding", "transformer.wte"},
    {"blocks.*.attention_norm", "transformer.h.*.ln_1"},
    {"blocks.*.attention.output", "transformer.h.*.attn.out_proj"},
    {"blocks.*.mlp.up", "transformer.h.*.mlp.fc_in"},
    {"blocks.*.mlp.down", "transformer.h.*.mlp.fc_out"},
    {"norm", "transformer.ln_f"},
    {"head", "lm_head"},
};
inline constexpr NameRule gptj_qkv_names[] = {
    {"blocks.*.attention.q", "transformer.h.*.attn.q_proj"},
    {"blocks.*.attention.k", "transformer.h.*.attn.k_proj"},
    {"blocks.*.attention.v", "transformer.h.*.attn.v_proj"},
};
inline constexpr NameRule codegen_qkv_names[] = {{"blocks.*.attention.qkv", "transformer.h.*.attn.qkv_proj"}};
inline constexpr auto gptj_names = joined(gptj_frame_names, gptj_qkv_names);
inline constexpr auto codegen_names = joined(gptj_frame_names, codegen_qkv_names);
inline constexpr std::string_view gptj_ignored[] = {"transformer.h.*.attn.bias", "transformer.h.*.attn.masked_bias",
                                                    "transformer.h.*.attn.causal_mask"};

inline Config read_gptj(const Json& json) {
  using namespace config_json;
  Config c;
  c.vocabulary = positive(json, "vocab_size");
  c.context = positive(json, spelled(json, {"n_positions", "max_position_embeddings"}), 2048);
  read_heads(json, c, spelled(json, {"n_embd", "hidden_size"}), spelled(json, {"n_head", "num_attention_heads"}));
  c.layers = positive(json, spelled(json, {"n_layer", "num_hidden_layers"}));
  c.hidden = read_hidden(json, c, "n_inner");
  c.norm = NormKind::layer;
  c.norm_epsilon = between(json, "layer_norm_epsilon", 1e-5, 0, 1);
  c.wiring = Wiring::parallel_one_norm;
  const Json* const turned = json.find("rotary_dim");
  c.rotary.width = turned && turned->is_null() ? c.head_width : positive(json, "rotary_dim", 64);
  c.rotary.layout = RotaryLayout::interleaved;
  if (c.rotary.width > c.head_width || c.rotary.width % 2 != 0)
    fail(json, "rotary_dim", concat("is ", c.rotary.width, ", expected an even number up to the head's width, ", c.head_width));
  c.activation = activation(json, "activation_function", "gelu_new");
  c.gated = false;
  c.norm_bias = c.mlp_bias = c.head_bias = true;
  c.tied_head = json.boolean("tie_word_embeddings", false);
  c.begin_tokens = tokens(json, "bos_token_id", c.vocabulary);
  c.end_tokens = tokens(json, "eos_token_id", c.vocabulary);
  return c;
}
inline Config read_codegen(const Json& json) {
  Config c = read_gptj(json);
  c.qkv_layout = QkvLayout::blocks;
  if (c.heads % 4 != 0) config_json::fail(json, "n_head", concat("is ", c.heads, ", expected a multiple of 4"));
  return c;
}
inline void write_gptj(const Config& c, Json& json) {
  json.set("vocab_size", c.vocabulary)
      .set("n_positions", c.context)
      .set("n_embd", c.width)
      .set("n_layer", c.layers)
      .set("n_head", c.heads)
      .set("n_inner", c.hidden)
      .set("rotary_dim", c.rotary.width)
      .set("layer_norm_epsilon", c.norm_epsilon)
      .set("activation_function", config_json::activation_name(c.activation, "gelu_new"))
      .set("tie_word_embeddings", c.tied_head)
      .set("bos_token_id", config_json::tokens(c.begin_tokens))
      .set("eos_token_id", config_json::tokens(c.end_tokens));
}

inline constexpr Family gptj{.name = "gptj",
                             .architecture = "GPTJForCausalLM",
                             .read = read_gptj,
                             .write = write_gptj,
                             .names = gptj_names,
                             .ignored = gptj_ignored};
inline constexpr Family codegen{.name = "codegen",
                                .architecture = "CodeGenForCausalLM",
                                .read = read_codegen,
                                .write = write_gptj,
                                .names = codegen_names,
                                .ignored = gptj_ignored};
inline constexpr Family moss{.name = "moss",
                             .architecture = "MossForCausalLM",
                             .read = read_codegen,
                             .write = write_gptj,
                             .names = codegen_names,
                             .ignored = gptj_ignored};

}  // namespace plume::inline PLUME_ABI::families
