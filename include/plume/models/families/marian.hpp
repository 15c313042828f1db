#pragma once
// Marian [Junczys-Dowmunt et al. 2018], the Transformer of [Vaswani et al. 2017]: norms behind the sums, sines and cosines as positions.
#include "plume/models/families/encoder_decoder_family.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule marian_frame_names[] = {
    {"encoder.blocks.*.attention.q", "model.encoder.layers.*.self_attn.q_proj"},
    {"encoder.blocks.*.attention.k", "model.encoder.layers.*.self_attn.k_proj"},
    {"encoder.blocks.*.attention.v", "model.encoder.layers.*.self_attn.v_proj"},
    {"encoder.blocks.*.attention.output", "model.encoder.layers.*.self_attn.out_proj"},
    {"encoder.blocks.*.attention_norm", "model.encoder.layers.*.self_attn_layer_norm"},
    {"encoder.blocks.*.mlp.up", "model.encoder.layers.*.fc1"},
    {"encoder.blocks.*.mlp.down", "model.encoder.layers.*.fc2"},
    {"encoder.blocks.*.mlp_norm", "model.encoder.layers.*.final_layer_norm"},
    {"decoder.blocks.*.attention.q", "model.decoder.layers.*.self_attn.q_proj"},
    {"decoder.blocks.*.attention.k", "model.decoder.layers.*.self_attn.k_proj"},
    {"decoder.blocks.*.attention.v", "model.decoder.layers.*.self_attn.v_proj"},
    {"decoder.blocks.*.attention.output", "model.decoder.layers.*.self_attn.out_proj"},
    {"decoder.blocks.*.attention_norm", "model.decoder.layers.*.self_attn_layer_norm"},
    {"decoder.blocks.*.cross_attention.q", "model.decoder.layers.*.encoder_attn.q_proj"},
    {"decoder.blocks.*.cross_attention.k", "model.decoder.layers.*.encoder_attn.k_proj"},
    {"decoder.blocks.*.cross_attention.v", "model.decoder.layers.*.encoder_attn.v_proj"},
    {"decoder.blocks.*.cross_attention.output", "model.decoder.layers.*.encoder_attn.out_proj"},
    {"decoder.blocks.*.cross_norm", "model.decoder.layers.*.encoder_attn_layer_norm"},
    {"decoder.blocks.*.mlp.up", "model.decoder.layers.*.fc1"},
    {"decoder.blocks.*.mlp.down", "model.decoder.layers.*.fc2"},
    {"decoder.blocks.*.mlp_norm", "model.decoder.layers.*.final_layer_norm"},
    {"head.bias", "final_logits_bias", false, true},
    {"head", "lm_head"},
};
inline constexpr NameRule marian_shared_names[] = {{"embedding", "model.shared"}};
inline constexpr NameRule marian_apart_names[] = {{"embedding", "model.encoder.embed_tokens"},
                                                  {"target_embedding", "model.decoder.embed_tokens"}};
inline constexpr auto marian_names = joined(marian_shared_names, marian_frame_names);
inline constexpr auto marian_two_table_names = joined(marian_apart_names, marian_frame_names);
inline constexpr NameRule marian_copies[] = {{"model.shared.weight", "model.encoder.embed_tokens.weight"},
                                             {"model.shared.weight", "model.decoder.embed_tokens.weight"}};
// Fixed tables that some files hold.
inline constexpr std::string_view marian_ignored[] = {"model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight"};

inline EncoderDecoderConfig read_marian(const Json& json) {
  using namespace config_json;
  Config c;
  c.vocabulary = positive(json, "vocab_size", 58101);
  c.context = positive(json, "max_position_embeddings", 1024);
  c.width = positive(json, "d_model", 1024);
  c.norm = NormKind::layer;
  c.wiring = Wiring::post_norm;
  c.final_norm = c.gated = false;
  c.position = PositionKind::sinusoidal;
  c.activation = activation(json, "activation_function", "gelu");
  c.norm_bias = c.qkv_bias = c.output_bias = c.mlp_bias = true;
  if (json.boolean("scale_embedding", false)) c.embedding_scale = std::sqrt(static_cast<double>(c.width));

  EncoderDecoderConfig both;
  const auto side = [&](std::string_view name, Config& into) {
    into = c;
    into.layers = positive(json, concat(name, "_layers"), 12);
    into.hidden = positive(json, concat(name, "_ffn_dim"), 4096);
    const std::string heads = concat(name, "_attention_heads");
    into.heads = into.key_heads = positive(json, heads, 16);
    if (c.width % into.heads != 0) fail(json, heads, concat("the width, ", c.width, ", does not divide into ", into.heads, " heads"));
    into.head_width = c.width / into.heads;
  };
  side("encoder", both.encoder), side("decoder", both.decoder);
  both.encoder.bidirectional = both.decoder.cross_attention = both.decoder.head_bias = true;
  both.shared_embedding = json.boolean("share_encoder_decoder_embeddings", true);
  if (!both.shared_embedding) both.decoder.vocabulary = positive(json, "decoder_vocab_size", c.vocabulary);
  both.decoder.tied_head = json.boolean("tie_word_embeddings", true);
  read_special_tokens(json, both);
  both.decoder.frozen_token = both.padding;
  if (both.padding < both.encoder.vocabulary) both.encoder.frozen_token = both.padding;
  return both;
}

inline void write_marian(const EncoderDecoderConfig& both, Json& json) {
  const Config &source = both.encoder, &target = both.decoder;
  json.set("vocab_size", source.vocabulary)
      .set("decoder_vocab_size", target.vocabulary)
      .set("max_position_embeddings", source.context)
      .set("d_model", source.width)
      .set("encoder_layers", source.layers)
      .set("encoder_ffn_dim", source.hidden)
      .set("encoder_attention_heads", source.heads)
      .set("decoder_layers", target.layers)
      .set("decoder_ffn_dim", target.hidden)
      .set("decoder_attention_heads", target.heads)
      .set("activation_function", config_json::activation_name(source.activation, "swish"))
      .set("scale_embedding", source.embedding_scale != 1)
      .set("share_encoder_decoder_embeddings", both.shared_embedding)
      .set("tie_word_embeddings", target.tied_head)
      .set("is_encoder_decoder", true)
      .set("decoder_start_token_id", config_json::tokens(target.begin_tokens))
      .set("pad_token_id", both.padding < 0 ? Json() : Json(both.padding))
      .set("eos_token_id", config_json::tokens(target.end_tokens));
}

inline constexpr EncoderDecoderFamily marian{
    .name = "marian",
    .architecture = "MarianMTModel",
    .is_meant = [](const Json& json) { return json.boolean("share_encoder_decoder_embeddings", true); },
    .read = read_marian,
    .write = write_marian,
    .names = marian_names,
    .ignored = marian_ignored,
    .copies = marian_copies};
// The same with a table for each side.
inline constexpr EncoderDecoderFamily marian_two_tables{.name = "marian",
                                                        .architecture = "MarianMTModel",
                                                        .is_meant = [](const Json& json) { return !marian.is_meant(json); },
                                                        .read = read_marian,
                                                        .write = write_marian,
                                                        .names = marian_two_table_names,
                                                        .ignored = marian_ignored};

}  // namespace plume::inline PLUME_ABI::families
