#pragma once
// All families of encoder-decoders. A new one is a data file beside these and a line here.
#include "plume/models/families/marian.hpp"
#include "plume/models/families/t5.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr const EncoderDecoderFamily* encoder_decoders[] = {&t5, &t5_1_1, &marian, &marian_two_tables};

// The family that config.json names, by "architectures" and else by "model_type".
inline const EncoderDecoderFamily& encoder_decoder_of(const Json& json) { return family_of<EncoderDecoderConfig>(encoder_decoders, json); }

// The family that has a place for every part of a configuration, by whose reader and writer it stays what it is; null: there is none.
PLUME_FUNCTION const EncoderDecoderFamily* fitting(const EncoderDecoderConfig& config);

}  // namespace plume::inline PLUME_ABI::families

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::families {

PLUME_FUNCTION const EncoderDecoderFamily* fitting(const EncoderDecoderConfig& config) {
  for (const EncoderDecoderFamily* candidate : encoder_decoders) {
    if (!config.family.empty() && candidate->name != config.family) continue;
    Json json = Json::object();
    json.set("architectures", Json::array().push(candidate->architecture));
    EncoderDecoderConfig read;
    try {
      candidate->write(config, json);
      read = candidate->read(json);
    } catch (const InputError&) {
      continue;  // a value that the family does not have
    }
    read.family = config.family;
    read.decoder.tied_head = config.decoder.tied_head, read.decoder.head_bias = config.decoder.head_bias;  // the tensors say so
    if (read == config) return &encoder_decoder_of(json);
  }
  return nullptr;
}

}  // namespace plume::inline PLUME_ABI::families
#endif
