#pragma once
// All families of encoder-decoders. A new one is a data file beside these and a line here.
#include "plume/models/families/marian.hpp"
#include "plume/models/families/t5.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr const EncoderDecoderFamily* encoder_decoders[] = {&t5, &t5_1_1, &marian, &marian_two_tables};

// The family that config.json names, by "architectures" and else by "model_type".
inline const EncoderDecoderFamily& encoder_decoder_of(const Json& json) { return family_of<EncoderDecoderConfig>(encoder_decoders, json); }

}  // namespace plume::inline PLUME_ABI::families
