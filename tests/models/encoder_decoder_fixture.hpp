#pragma once
// The tiny encoder-decoders of tests/golden/encoder_decoders.
#include <filesystem>

#include "../fixtures.hpp"
#include "../test_data.hpp"
#include "plume/base/json.hpp"
#include "plume/models/encoder_decoder_files.hpp"

namespace plume_test {

using plume::TokenId;

inline std::vector<std::string> encoder_decoders() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden("encoder_decoders")))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

struct EncoderDecoderFixture {
  std::string folder;
  Tensors numbers;
  std::vector<TokenId> source, inputs, targets;

  explicit EncoderDecoderFixture(const std::string& name)
      : folder(golden("encoder_decoders/" + name)), numbers(read_safetensors(folder + "/golden.safetensors")) {
    source = integers("source_ids"), inputs = integers("input_ids"), targets = integers("targets");
  }
  std::vector<TokenId> integers(const std::string& key) const {
    const auto span = numbers.at(key).span<TokenId>();
    return {span.begin(), span.end()};
  }
  plume::Json json() const { return plume::Json::parse(read_all(folder + "/config.json")); }
  plume::EncoderDecoder model(plume::DType dtype) const { return plume::load_encoder_decoder(folder, {.dtype = dtype}); }
  std::vector<TokenId> first_source() const { return {source.begin(), source.begin() + integers("source_lengths")[0]}; }
  plume::Pass source_pass() const { return pass("source_lengths"); }
  plume::Pass target_pass() const { return pass("target_lengths"); }

 private:
  plume::Pass pass(const std::string& lengths) const {
    plume::Pass pass;
    for (const TokenId length : integers(lengths)) pass.segments.push_back({length});
    return pass;
  }
};

}  // namespace plume_test
