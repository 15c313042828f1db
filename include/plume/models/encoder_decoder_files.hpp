#pragma once
// Reading and writing encoder-decoders as Hugging Face directories.
#include "plume/models/encoder_decoder.hpp"
#include "plume/models/load_options.hpp"

namespace plume::inline PLUME_ABI {

// config.json, model.safetensors (or its index and shards), the end tokens of generation_config.json, and a tokenizer if there is one:
// encode() for what the encoder reads, decode() for what the decoder writes. ConfigError: what the configuration asks for and the tensors
// offer differ, or it is no encoder-decoder that plume knows.
PLUME_FUNCTION EncoderDecoder load_encoder_decoder(const std::string& directory, const LoadOptions& options = {});

// Writes config.json, model.safetensors (f32) and the tokenizer's files into a directory, which is made if need be; all or nothing.
// ArgumentError: no family has a place for every part of the configuration.
PLUME_FUNCTION void save(const EncoderDecoder& model, const std::string& directory);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <numeric>

#include "plume/base/directory.hpp"
#include "plume/models/families/encoder_decoders.hpp"
#include "plume/models/load.hpp"
#include "plume/models/tensor_files.hpp"

namespace plume::inline PLUME_ABI {

namespace load_detail {

// A fixed table that a file holds must be the one that the model computes.
inline void check_sinusoidal(const TensorFiles& files, std::string_view name, const Config& config) {
  if (config.position != PositionKind::sinusoidal || !files.find(name)) return;
  const Tensor stored = files.tensor(name).to(DType::f32);
  bool same = stored.rank() == 2 && stored.columns() == config.width;
  if (same) {
    std::vector<std::int32_t> positions(static_cast<std::size_t>(stored.rows()));
    std::iota(positions.begin(), positions.end(), 0);
    const Tensor computed = sinusoidal_positions(positions, config.width);
    const auto ours = computed.span<float>(), theirs = stored.span<float>();
    for (std::size_t i = 0; i < ours.size(); ++i) same = same && std::abs(ours[i] - theirs[i]) < 1e-3f;  // also of files in bf16 or f16
  }
  if (!same) throw ConfigError({.path = files.path(), .field = std::string(name)}, "is not the table of sines and cosines");
}

}  // namespace load_detail

PLUME_FUNCTION EncoderDecoder load_encoder_decoder(const std::string& directory, const LoadOptions& options) try {
  const std::string config_path = directory + "/config.json";
  const Json json = load_detail::read_json(config_path, options.limits);
  const families::EncoderDecoderFamily& family = families::encoder_decoder_of(json);
  load_detail::check_stored_type(json);
  EncoderDecoderConfig config = family.read(json);
  config.family = family.name;
  load_detail::read_end_tokens(directory, config.decoder, options.limits);
  config.encoder.check_stack(config_path, options.limits);
  config.decoder.check_stack(config_path, options.limits);

  const TensorFiles files(directory, family, options);
  files.check_layers(config.encoder.layers + config.decoder.layers, config_path);
  // A head that is there, and is not the embedding, is the model's; "tie_word_embeddings" does not say so reliably in files of T5.
  const std::string head = file_name(family, "head.weight").name,
                    table = file_name(family, config.shared_embedding ? "embedding.weight" : "target_embedding.weight").name;
  std::vector<std::string> also{head};
  config.decoder.tied_head = !files.find(head) || (config.decoder.tied_head && files.same_bytes(head, table));
  if (config.decoder.head_bias && !files.find(file_name(family, "head.bias").name)) config.decoder.head_bias = false;
  for (const auto* side : {"encoder", "decoder"})
    load_detail::check_sinusoidal(files, concat("model.", side, ".embed_positions.weight"), config.encoder);

  EncoderDecoder model = EncoderDecoder::described(config, options.dtype, options.limits);
  model.tokenizer = load_detail::tokenizer_for(config.decoder, directory, options);
  std::vector<TensorFiles::Wanted> wanted;
  for_each_parameter(model, [&](std::string_view path, Tensor& parameter) { wanted.push_back({file_name(family, path), &parameter}); });
  files.read(wanted, also, config_path);
  return model;
} catch (...) {
  rethrow_memory_failure("a model");
}

PLUME_FUNCTION void save(const EncoderDecoder& model, const std::string& directory) try {
  const families::EncoderDecoderFamily* const family = families::fitting(model.config);
  require(family != nullptr, "[save] no family of encoder-decoders has a place for every part of this configuration");
  Json json = Json::object();
  json.set("architectures", Json::array().push(family->architecture)).set("model_type", family->name);
  family->write(model.config, json);
  json.set("torch_dtype", "float32");
  std::vector<NamedTensor> tensors;
  for_each_parameter(model, [&](std::string_view path, const Tensor& parameter) {
    const FileName name = file_name(*family, path);
    Tensor stored = parameter.dtype() == DType::f32 && parameter.is_dense() ? parameter : parameter.to(DType::f32);
    if (name.transposed) stored = load_detail::transposed(stored);
    if (name.as_row) stored = stored.reshape({1, stored.size()});
    tensors.push_back({name.name, stored});
  });
  make_directory(directory);
  write_safetensors(directory + "/model.safetensors", std::move(tensors));
  atomic_save(directory + "/config.json", [&](FileWriter& out) { out.write(dump(json, 2) + "\n"); });
  if (model.tokenizer) save_tokenizer(model.tokenizer, directory);
} catch (...) {
  rethrow_memory_failure("a model that is saved");
}

}  // namespace plume::inline PLUME_ABI
#endif
