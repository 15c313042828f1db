#pragma once
// ChatGLM-6B and GLM-130B [Zeng et al. 2023], models that fill blanks: the residual stream of each half of a block is its normed input,
// scaled up; queries, keys and values of each head in turn; positions of ChatGLM-6B have two dimensions.
#include "plume/models/family.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule chatglm_names[] = {
    {"embedding", "transformer.word_embeddings"},
    {"blocks.*.attention_norm", "transformer.layers.*.input_layernorm"},
    {"blocks.*.attention.qkv", "transformer.layers.*.attention.query_key_value"},
    {"blocks.*.attention.output", "transformer.layers.*.attention.dense"},
    {"blocks.*.mlp_norm", "transformer.layers.*.post_attention_layernorm"},
    {"blocks.*.mlp.up", "transformer.layers.*.mlp.dense_h_to_4h"},
    {"blocks.*.mlp.gate_up", "transformer.layers.*.mlp.dense_h_to_4h"},
    {"blocks.*.mlp.down", "transformer.layers.*.mlp.dense_4h_to_h"},
    {"norm", "transformer.final_layernorm"},
    {"head", "lm_head"},
};
inline constexpr std::string_view chatglm_ignored[] = {"transformer.layers.*.attention.rotary_emb.inv_freq"};

// A token that a key names, the fallback where there is no such key; null: none.
inline TokenId glm_token(const Json& json, std::string_view key, TokenId fallback, Index vocabulary) {
  const Json* const value = json.find(key);
  if (value && value->is_null()) return -1;
  const Index id = json.integer(key, fallback);
  if (id < 0 || id >= vocabulary) config_json::fail(json, key, concat("token ", id, " is not in a vocabulary of ", vocabulary));
  return static_cast<TokenId>(id);
}

// What the two have in common.
inline Config read_glm(const Json& json, bool two_streams) {
  using namespace config_json;
  for (const std::string_view later : {"padded_vocab_size", "multi_query_attention", "rmsnorm"})
    if (json.find(later)) fail(json, later, "is a key of ChatGLM2 and later, which are other architectures: only ChatGLM-6B is supported");
  Config c;
  c.vocabulary = positive(json, "vocab_size", 150528);
  c.context = positive(json, "max_sequence_length", 2048);  // what it was trained on
  read_heads(json, c, "hidden_size", "num_attention_heads");
  c.layers = positive(json, "num_layers");
  c.norm = NormKind::layer;
  c.norm_epsilon = between(json, "layernorm_epsilon", 1e-5, 0, 1);
  c.wiring = Wiring::normed_residual;
  two_streams = json.boolean("position_encoding_2d", two_streams);
  c.rotary = {.width = c.head_width, .two_streams = two_streams, .half_precision = true};
  if (c.head_width % (two_streams ? 4 : 2) != 0)
    fail(json, "hidden_size", concat("heads are ", c.head_width, " wide, expected a multiple of ", two_streams ? 4 : 2));
  c.qkv_layout = QkvLayout::grouped;
  c.norm_bias = c.qkv_bias = c.output_bias = c.mlp_bias = true;
  if (json.integer("quantization_bit", 0) != 0) fail(json, "quantization_bit", "quantised weights are not supported");
  if (const Json* const prefix = json.find("pre_seq_len"); prefix && !prefix->is_null())
    fail(json, "pre_seq_len", "a prefix of P-Tuning is not supported");
  c.infilling = {.continuation = glm_token(json, "gmask_token_id", 150001, c.vocabulary),
                 .continuation_counts = !two_streams,
                 .begin = glm_token(json, "bos_token_id", 150004, c.vocabulary)};
  if (c.infilling->begin < 0) fail(json, "bos_token_id", "is null, but it begins what fills a blank");
  c.begin_tokens = {c.infilling->begin};
  return c;
}
inline void write_glm(const Config& c, Json& json) {
  const Infilling none, &infilling = c.infilling ? *c.infilling : none;
  const auto token = [](TokenId id) { return id < 0 ? Json() : Json(id); };
  json.set("vocab_size", c.vocabulary)
      .set("max_sequence_length", c.context)
      .set("hidden_size", c.width)
      .set("num_attention_heads", c.heads)
      .set("num_layers", c.layers)
      .set("inner_hidden_size", c.hidden)
      .set("layernorm_epsilon", c.norm_epsilon)
      .set("position_encoding_2d", c.rotary.two_streams)
      .set("tie_word_embeddings", c.tied_head)
      .set("bos_token_id", token(infilling.begin))
      .set("eos_token_id", config_json::tokens(c.end_tokens))
      .set("gmask_token_id", token(infilling.continuation));
}

inline Config read_chatglm(const Json& json) {
  Config c = read_glm(json, true);
  c.hidden = config_json::read_hidden(json, c, "inner_hidden_size");
  c.residual_scale = std::sqrt(2.0 * 28);  // of the published model; its code takes it for any number of layers
  c.activation = {ActivationKind::gelu_tanh};
  c.gated = false;
  c.tied_head = json.boolean("tie_word_embeddings", false);
  const TokenId mask = glm_token(json, "mask_token_id", 150000, c.vocabulary);
  for (const TokenId kind : {c.infilling->continuation, mask})
    if (kind >= 0) c.infilling->masks.push_back(kind);
  c.end_tokens = json.find("eos_token_id") ? config_json::tokens(json, "eos_token_id", c.vocabulary)
                                           : std::vector{glm_token(json, "eos_token_id", 150005, c.vocabulary)};
  return c;
}
inline void write_chatglm(const Config& c, Json& json) {
  write_glm(c, json);
  json.set("mask_token_id", c.infilling && !c.infilling->masks.empty() && c.infilling->masks.back() != c.infilling->continuation
                                ? Json(c.infilling->masks.back())
                                : Json());
}

inline constexpr Family chatglm{.name = "chatglm",
                                .architecture = "ChatGLMModel",
                                .read = read_chatglm,
                                .write = write_chatglm,
                                .names = chatglm_names,
                                .ignored = chatglm_ignored,
                                .other_architecture = "ChatGLMForConditionalGeneration"};

}  // namespace plume::inline PLUME_ABI::families
