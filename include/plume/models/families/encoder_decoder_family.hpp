#pragma once
// What the families of encoder-decoders share.
#include "plume/models/encoder_decoder.hpp"
#include "plume/models/family.hpp"

namespace plume::inline PLUME_ABI::families {

using EncoderDecoderFamily = FamilyOf<EncoderDecoderConfig>;

// Special tokens of both sides: the one that starts a target, those that end it, padding.
inline void read_special_tokens(const Json& json, EncoderDecoderConfig& c) {
  using namespace config_json;
  const auto one = [&](std::string_view key, Index vocabulary) {
    const std::vector<TokenId> ids = tokens(json, key, vocabulary);
    if (ids.size() > 1) fail(json, key, "is a list, expected one token");
    return ids;
  };
  const std::vector<TokenId> padding = one("pad_token_id", c.decoder.vocabulary);
  if (!padding.empty()) c.padding = padding.front();
  c.decoder.begin_tokens = one("decoder_start_token_id", c.decoder.vocabulary);
  if (c.decoder.begin_tokens.empty()) c.decoder.begin_tokens = padding;
  if (c.decoder.begin_tokens.empty()) fail(json, "decoder_start_token_id", "is missing, and there is no pad_token_id in its place");
  c.decoder.end_tokens = tokens(json, "eos_token_id", c.decoder.vocabulary);
}

}  // namespace plume::inline PLUME_ABI::families
