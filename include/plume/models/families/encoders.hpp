#pragma once
// All families of encoders. A new one is a data file beside these and a line here.
#include "plume/models/encoder_heads_json.hpp"
#include "plume/models/families/bert.hpp"
#include "plume/models/families/t5_encoder.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr const EncoderFamily* encoders[] = {&bert, &roberta, &xlm_roberta, &t5_encoder, &t5_1_1_encoder};

// The family that config.json names, by "architectures" and else by "model_type".
inline const EncoderFamily& encoder_of(const Json& json) {
  if (const EncoderHeadNames* const names = encoder_head_of(encoder_heads::class_of(json)).names)
    for (const EncoderFamily* family : encoders)
      if (family->name == names->family) return *family;
  return family_of<EncoderConfig>(encoders, json);
}

// The family that has a place for every part of a configuration, by whose reader and writer it stays what it is; null: there is none.
PLUME_FUNCTION const EncoderFamily* fitting(const EncoderConfig& config);

}  // namespace plume::inline PLUME_ABI::families

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::families {

PLUME_FUNCTION const EncoderFamily* fitting(const EncoderConfig& config) {
  for (const EncoderFamily* candidate : encoders) {
    if (!config.family.empty() && candidate->name != config.family) continue;
    if (encoder_architecture(*candidate, config).empty()) continue;
    Json json = Json::object();
    EncoderConfig read;
    try {
      write_encoder_config(*candidate, config, json);
      read = read_encoder_config(*candidate, json);
    } catch (const InputError&) {
      continue;  // a value that the family does not have
    }
    read.family = config.family;
    read.pooler = config.pooler, read.pooling = config.pooling, read.normalised = config.normalised,
    read.dense = config.dense;  // not in it
    if (read == config) return &encoder_of(json);
  }
  return nullptr;
}

}  // namespace plume::inline PLUME_ABI::families
#endif
