#pragma once
// T5 [Raffel et al. 2019] with its versions 1.1 and FLAN: RMS norms in front, learned biases by distance, scores that are not scaled.
#include "plume/models/families/encoder_decoder_family.hpp"
#include "plume/models/families/t5_stack.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule t5_frame_names[] = {
    {"embedding", "shared"},
    {"encoder.relative", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias", true},
    {"encoder.blocks.*.attention_norm", "encoder.block.*.layer.0.layer_norm"},
    {"encoder.blocks.*.attention.q", "encoder.block.*.layer.0.SelfAttention.q"},
    {"encoder.blocks.*.attention.k", "encoder.block.*.layer.0.SelfAttention.k"},
    {"encoder.blocks.*.attention.v", "encoder.block.*.layer.0.SelfAttention.v"},
    {"encoder.blocks.*.attention.output", "encoder.block.*.layer.0.SelfAttention.o"},
    {"encoder.blocks.*.mlp_norm", "encoder.block.*.layer.1.layer_norm"},
    {"encoder.blocks.*.mlp.down", "encoder.block.*.layer.1.DenseReluDense.wo"},
    {"encoder.norm", "encoder.final_layer_norm"},
    {"decoder.relative", "decoder.block.0.layer.0.SelfAttention.relative_attention_bias", true},
    {"decoder.blocks.*.attention_norm", "decoder.block.*.layer.0.layer_norm"},
    {"decoder.blocks.*.attention.q", "decoder.block.*.layer.0.SelfAttention.q"},
    {"decoder.blocks.*.attention.k", "decoder.block.*.layer.0.SelfAttention.k"},
    {"decoder.blocks.*.attention.v", "decoder.block.*.layer.0.SelfAttention.v"},
    {"decoder.blocks.*.attention.output", "decoder.block.*.layer.0.SelfAttention.o"},
    {"decoder.blocks.*.cross_norm", "decoder.block.*.layer.1.layer_norm"},
    {"decoder.blocks.*.cross_attention.q", "decoder.block.*.layer.1.EncDecAttention.q"},
    {"decoder.blocks.*.cross_attention.k", "decoder.block.*.layer.1.EncDecAttention.k"},
    {"decoder.blocks.*.cross_attention.v", "decoder.block.*.layer.1.EncDecAttention.v"},
    {"decoder.blocks.*.cross_attention.output", "decoder.block.*.layer.1.EncDecAttention.o"},
    {"decoder.blocks.*.mlp_norm", "decoder.block.*.layer.2.layer_norm"},
    {"decoder.blocks.*.mlp.down", "decoder.block.*.layer.2.DenseReluDense.wo"},
    {"decoder.norm", "decoder.final_layer_norm"},
    {"head", "lm_head"},
};
inline constexpr NameRule t5_plain_names[] = {
    {"encoder.blocks.*.mlp.up", "encoder.block.*.layer.1.DenseReluDense.wi"},
    {"decoder.blocks.*.mlp.up", "decoder.block.*.layer.2.DenseReluDense.wi"},
};
inline constexpr NameRule t5_gated_names[] = {
    {"encoder.blocks.*.mlp.gate", "encoder.block.*.layer.1.DenseReluDense.wi_0"},
    {"encoder.blocks.*.mlp.up", "encoder.block.*.layer.1.DenseReluDense.wi_1"},
    {"decoder.blocks.*.mlp.gate", "decoder.block.*.layer.2.DenseReluDense.wi_0"},
    {"decoder.blocks.*.mlp.up", "decoder.block.*.layer.2.DenseReluDense.wi_1"},
};
inline constexpr auto t5_names = joined(t5_frame_names, t5_plain_names);
inline constexpr auto t5_1_1_names = joined(t5_frame_names, t5_gated_names);
// A bias that the original files had and no version of the model reads.
inline constexpr std::string_view t5_ignored[] = {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"};
inline constexpr NameRule t5_copies[] = {{"shared.weight", "encoder.embed_tokens.weight"},
                                         {"shared.weight", "decoder.embed_tokens.weight"}};

inline EncoderDecoderConfig read_t5(const Json& json) {
  const Config c = read_t5_stack(json);
  EncoderDecoderConfig both;
  both.encoder = both.decoder = c;
  both.encoder.bidirectional = both.encoder.relative.both_directions = true;
  both.decoder.cross_attention = true;
  both.decoder.layers = config_json::positive(json, "num_decoder_layers", c.layers);
  read_special_tokens(json, both);
  // transformers 5 has a key for it; before, it followed from the head. Whether there is a head of its own, the file says.
  const bool tied = both.decoder.tied_head = json.boolean("tie_word_embeddings", true);
  if (json.boolean("scale_decoder_outputs", tied)) both.head_scale = 1 / std::sqrt(static_cast<double>(c.width));
  return both;
}

inline void write_t5(const EncoderDecoderConfig& both, Json& json) {
  const Config& c = both.decoder;
  write_t5_stack(both.encoder, json);
  json.set("num_decoder_layers", c.layers)
      .set("decoder_start_token_id", config_json::tokens(c.begin_tokens))
      .set("pad_token_id", both.padding < 0 ? Json() : Json(both.padding))
      .set("eos_token_id", config_json::tokens(c.end_tokens))
      .set("tie_word_embeddings", c.tied_head)
      .set("scale_decoder_outputs", both.head_scale != 1);
}

// Versions before 1.1 have other names in the feed-forward layers.
inline constexpr EncoderDecoderFamily t5_version(std::span<const NameRule> names, bool (*is_meant)(const Json& json)) {
  return {.name = "t5",
          .architecture = "T5ForConditionalGeneration",
          .is_meant = is_meant,
          .read = read_t5,
          .write = write_t5,
          .names = names,
          .ignored = t5_ignored,
          .copies = t5_copies};
}
inline constexpr EncoderDecoderFamily t5 = t5_version(t5_names, [](const Json& json) { return !is_gated_t5(json); });
inline constexpr EncoderDecoderFamily t5_1_1 = t5_version(t5_1_1_names, is_gated_t5);

}  // namespace plume::inline PLUME_ABI::families
