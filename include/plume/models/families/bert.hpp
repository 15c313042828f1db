#pragma once
// BERT [Devlin et al. 2018]: an encoder with learned positions, token types and norms behind the sums. RoBERTa [Liu et al. 2019] and XLM-R
// [Conneau et al. 2020] count positions from behind the padding token's id on.
#include "plume/models/families/encoder_family.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule bert_names[] = {
    {"embedding", "embeddings.word_embeddings"},
    {"token_type", "embeddings.token_type_embeddings"},
    {"stack.position", "embeddings.position_embeddings"},
    {"stack.embedding_norm", "embeddings.LayerNorm"},
    {"stack.blocks.*.attention.q", "encoder.layer.*.attention.self.query"},
    {"stack.blocks.*.attention.k", "encoder.layer.*.attention.self.key"},
    {"stack.blocks.*.attention.v", "encoder.layer.*.attention.self.value"},
    {"stack.blocks.*.attention.output", "encoder.layer.*.attention.output.dense"},
    {"stack.blocks.*.attention_norm", "encoder.layer.*.attention.output.LayerNorm"},
    {"stack.blocks.*.mlp.up", "encoder.layer.*.intermediate.dense"},
    {"stack.blocks.*.mlp.down", "encoder.layer.*.output.dense"},
    {"stack.blocks.*.mlp_norm", "encoder.layer.*.output.LayerNorm"},
    {"pooler", "pooler.dense"},
};
// Tables of numbers; what pre-training had beside the head of masked tokens; a pooler that RoBERTa's head of sequences does not read.
inline constexpr std::string_view bert_ignored[] = {
    "embeddings.position_ids",   "bert.embeddings.position_ids", "roberta.embeddings.position_ids", "cls.seq_relationship.weight",
    "cls.seq_relationship.bias", "roberta.pooler.dense.weight",  "roberta.pooler.dense.bias"};
inline constexpr NameRule bert_copies[] = {{"bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"},
                                           {"cls.predictions.bias", "cls.predictions.decoder.bias"},
                                           {"roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"},
                                           {"lm_head.bias", "lm_head.decoder.bias"}};

inline EncoderConfig read_bert(const Json& json, Index vocabulary, TokenId padding_token) {
  using namespace config_json;
  EncoderConfig config;
  Config& c = config.stack;
  c.vocabulary = positive(json, "vocab_size", vocabulary);
  c.context = positive(json, "max_position_embeddings", 512);
  read_heads(json, c, "hidden_size", "num_attention_heads");
  c.layers = positive(json, "num_hidden_layers", 12);
  c.hidden = positive(json, "intermediate_size", 3072);
  c.norm = NormKind::layer;
  c.norm_epsilon = between(json, "layer_norm_eps", 1e-12, 0, 1);
  c.wiring = Wiring::post_norm;
  c.position = PositionKind::learned;
  c.activation = activation(json, "hidden_act", "gelu");
  c.gated = c.final_norm = false;
  c.embedding_norm = c.bidirectional = true;
  c.norm_bias = c.qkv_bias = c.output_bias = c.mlp_bias = true;
  if (const std::vector<TokenId> padding = tokens(json, "pad_token_id", c.vocabulary); !padding.empty()) c.frozen_token = padding.front();
  if (!json.find("pad_token_id")) c.frozen_token = padding_token;
  config.mask_activation = c.activation;
  config.token_types = positive(json, "type_vocab_size", 2);
  only(json, "is_decoder", false);
  only(json, "add_cross_attention", false);
  if (json.text("position_embedding_type", "absolute") != "absolute")
    fail(json, "position_embedding_type", "only \"absolute\" is supported");
  return config;
}
inline EncoderConfig read_bert(const Json& json) { return read_bert(json, 30522, 0); }
inline EncoderConfig read_roberta(const Json& json) {
  EncoderConfig config = read_bert(json, 50265, 1);
  Config& c = config.stack;
  if (c.frozen_token < 0) config_json::fail(json, "pad_token_id", "is null, but positions count from behind it");
  c.first_position = Index{c.frozen_token} + 1;
  if (c.context <= c.first_position)
    config_json::fail(json, "max_position_embeddings", concat("is ", c.context, ", of which ", c.first_position, " are never read"));
  c.context -= c.first_position;
  config.mask_activation = {ActivationKind::gelu_erf};
  return config;
}

inline void write_bert(const EncoderConfig& config, Json& json) {
  const Config& c = config.stack;
  json.set("vocab_size", c.vocabulary)
      .set("max_position_embeddings", c.first_position + c.context)
      .set("hidden_size", c.width)
      .set("num_attention_heads", c.heads)
      .set("num_hidden_layers", c.layers)
      .set("intermediate_size", c.hidden)
      .set("layer_norm_eps", c.norm_epsilon)
      .set("hidden_act", config_json::activation_name(c.activation))
      .set("type_vocab_size", config.token_types)
      .set("pad_token_id", c.frozen_token < 0 ? Json() : Json(c.frozen_token));
}

inline constexpr EncoderFamily bert{.name = "bert",
                                    .architecture = "BertModel",
                                    .read = read_bert,
                                    .write = write_bert,
                                    .names = bert_names,
                                    .ignored = bert_ignored,
                                    .copies = bert_copies};

inline constexpr EncoderFamily roberta{.name = "roberta",
                                       .architecture = "RobertaModel",
                                       .read = read_roberta,
                                       .write = write_bert,
                                       .names = bert_names,
                                       .ignored = bert_ignored,
                                       .copies = bert_copies};
inline constexpr EncoderFamily xlm_roberta{.name = "xlm-roberta",
                                           .architecture = "XLMRobertaModel",
                                           .read = read_roberta,
                                           .write = write_bert,
                                           .names = bert_names,
                                           .ignored = bert_ignored,
                                           .copies = bert_copies};

}  // namespace plume::inline PLUME_ABI::families
