#pragma once
// The encoder of T5 alone: a text encoder of diffusion models and of sentence-T5.
#include "plume/models/families/encoder_family.hpp"
#include "plume/models/families/t5_stack.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule t5_encoder_frame_names[] = {
    {"embedding", "shared"},
    {"stack.relative", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias", true},
    {"stack.blocks.*.attention_norm", "encoder.block.*.layer.0.layer_norm"},
    {"stack.blocks.*.attention.q", "encoder.block.*.layer.0.SelfAttention.q"},
    {"stack.blocks.*.attention.k", "encoder.block.*.layer.0.SelfAttention.k"},
    {"stack.blocks.*.attention.v", "encoder.block.*.layer.0.SelfAttention.v"},
    {"stack.blocks.*.attention.output", "encoder.block.*.layer.0.SelfAttention.o"},
    {"stack.blocks.*.mlp_norm", "encoder.block.*.layer.1.layer_norm"},
    {"stack.blocks.*.mlp.down", "encoder.block.*.layer.1.DenseReluDense.wo"},
    {"stack.norm", "encoder.final_layer_norm"},
};
inline constexpr NameRule t5_encoder_plain_names[] = {{"stack.blocks.*.mlp.up", "encoder.block.*.layer.1.DenseReluDense.wi"}};
inline constexpr NameRule t5_encoder_gated_names[] = {{"stack.blocks.*.mlp.gate", "encoder.block.*.layer.1.DenseReluDense.wi_0"},
                                                      {"stack.blocks.*.mlp.up", "encoder.block.*.layer.1.DenseReluDense.wi_1"}};
inline constexpr auto t5_encoder_names = joined(t5_encoder_frame_names, t5_encoder_plain_names);
inline constexpr auto t5_1_1_encoder_names = joined(t5_encoder_frame_names, t5_encoder_gated_names);
inline constexpr NameRule t5_encoder_copies[] = {{"shared.weight", "encoder.embed_tokens.weight"}};

inline EncoderConfig read_t5_encoder(const Json& json) {
  EncoderConfig config;
  config.stack = read_t5_stack(json);
  config.stack.bidirectional = config.stack.relative.both_directions = true;
  config.pooler = false;
  return config;
}
inline void write_t5_encoder(const EncoderConfig& config, Json& json) { write_t5_stack(config.stack, json); }

inline constexpr EncoderFamily t5_encoder_version(std::span<const NameRule> names, bool (*is_meant)(const Json& json)) {
  return {.name = "t5",
          .architecture = "T5EncoderModel",
          .is_meant = is_meant,
          .read = read_t5_encoder,
          .write = write_t5_encoder,
          .names = names,
          .copies = t5_encoder_copies};
}
inline constexpr EncoderFamily t5_encoder = t5_encoder_version(t5_encoder_names, [](const Json& json) { return !is_gated_t5(json); });
inline constexpr EncoderFamily t5_1_1_encoder = t5_encoder_version(t5_1_1_encoder_names, is_gated_t5);

}  // namespace plume::inline PLUME_ABI::families
