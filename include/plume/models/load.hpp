#pragma once
// Reading models: a Hugging Face directory, a GGUF file, or a llama2.c .bin file. Everything is verified before weights are touched;
// weights stay where the file is read to, or memory-mapped, where their type and layout allow.
#include <unordered_map>

#include "plume/base/files.hpp"
#include "plume/base/gguf.hpp"
#include "plume/models/load_options.hpp"
#include "plume/models/model.hpp"

namespace plume::inline PLUME_ABI {

// A Hugging Face directory: config.json, model.safetensors (or its index and shards), and the end tokens of generation_config.json and
// tokenizer files if there are any.
// ConfigError: what the configuration asks for and the tensors offer differ. FormatError, LimitError: a file is malformed.
PLUME_FUNCTION Model load_hugging_face(const std::string& directory, const LoadOptions& options = {});

// A llama2.c .bin file of version 0, 1 or 2; the tokenizer is `tokenizer.bin` or `tok*.bin` beside it, if it is there.
PLUME_FUNCTION Model load_llama2c(const std::string& path, const LoadOptions& options = {});

// A GGUF file with a model of a known architecture, whole or in parts; the tokenizer is the file's own, unless the options name another.
// Quantised tensors become f32 (or LoadOptions::dtype). ConfigError: an architecture or a setting that plume does not have, missing or
// unexpected tensors, a type that cannot be read.
PLUME_FUNCTION Model load_gguf(const std::string& path, const LoadOptions& options = {});

// Loads a model from what the path is: a Hugging Face directory, a GGUF file or a llama2.c .bin file.
PLUME_FUNCTION Model load(const std::string& path, const LoadOptions& options = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/formats/llama2c.hpp"
#include "plume/models/families/families.hpp"
#include "plume/models/families/llama2c.hpp"
#include "plume/models/tensor_files.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"

namespace plume::inline PLUME_ABI {

namespace load_detail {

// The tokenizer of a model: the one asked for, or what lies beside it.
inline Tokenizer tokenizer_for(const Config& config, const std::string& directory, const LoadOptions& options) {
  const std::string place = options.tokenizer.empty() ? directory : options.tokenizer;
  if (options.tokenizer.empty() && !has_tokenizer(directory)) return {};
  const Tokenizer tokenizer = load_tokenizer(place, {.limits = options.limits});
  if (tokenizer.vocabulary() > config.vocabulary)
    throw ConfigError({.path = place, .field = "vocabulary"}, concat("the tokenizer knows ", tokenizer.vocabulary(), " tokens, the model ",
                                                                     config.vocabulary, ": they do not belong together"));
  return tokenizer;
}

}  // namespace load_detail

PLUME_FUNCTION Model load_hugging_face(const std::string& directory, const LoadOptions& options) try {
  const std::string config_path = directory + "/config.json";
  const Json json = load_detail::read_json(config_path, options.limits);
  const Family& family = families::of(json);
  load_detail::check_stored_type(json);
  Config config = families::read_config(family, json);
  load_detail::read_end_tokens(directory, config, options.limits);
  config.check(config_path, options.limits);

  const TensorFiles files(directory, family, options);
  files.check_layers(config.layers, config_path);
  const std::string head_name = file_name(family, "head.weight").name, embedding_name = file_name(family, "embedding.weight").name;
  const bool stored_head = files.find(head_name) != nullptr;
  const Json* const tie = json.find("tie_word_embeddings");
  const bool has_tokens = config.task.has_tokens();
  if (has_tokens && (tie == nullptr || tie->is_null())) config.tied_head = !stored_head;
  if (has_tokens && config.tied_head && stored_head && files.find(embedding_name) && !files.same_bytes(head_name, embedding_name))
    config_json::fail(json, "tie_word_embeddings", concat("is true, but ", head_name, " differs from ", embedding_name));

  Model model{Decoder::described(config, options.dtype, options.limits), load_detail::tokenizer_for(config, directory, options)};
  // Of a tied pair, one may be there under either name.
  const bool under_the_other = has_tokens && config.tied_head && stored_head && !files.find(embedding_name);
  std::vector<TensorFiles::Wanted> wanted;
  for_each_parameter(model, [&](std::string_view path, Tensor& parameter) {
    FileName name = parameter_name(family, config.task, path);
    if (under_the_other && path == "embedding.weight") name.name = head_name;
    wanted.push_back({std::move(name), &parameter});
  });
  files.read(wanted, std::span(&head_name, has_tokens ? 1 : 0), config_path);
  return model;
} catch (...) {
  rethrow_memory_failure("a model");
}

PLUME_FUNCTION Model load_llama2c(const std::string& path, const LoadOptions& options) try {
  const Llama2cFile file = read_llama2c(path, {.limits = options.limits, .mapping = options.mapping});
  const Config config = families::read_llama2c(file.header);
  config.check(path, options.limits);
  Model model{Decoder::described(config, options.dtype, options.limits), load_detail::tokenizer_for(config, parent_path(path), options)};
  std::unordered_map<std::string_view, const Tensor*> tensors;
  for (const NamedTensor& named : file.tensors) tensors.emplace(named.name, &named.tensor);
  for_each_parameter(model, [&](std::string_view ours, Tensor& parameter) {
    const Tensor& stored = *tensors.at(families::llama2c_name(ours));  // of this shape: the header says both
    const DType type = load_detail::type_for(parameter, options.dtype);
    parameter = type == DType::f32 ? stored : stored.to(type);
  });
  return model;
} catch (...) {
  rethrow_memory_failure("a model");
}

PLUME_FUNCTION Model load(const std::string& path, const LoadOptions& options) try {
  require(options.dtype == DType::f32 || options.dtype == DType::f64 || options.dtype == DType::bf16,
          "[load] weights are kept in f32, bf16 or f64, not in ", options.dtype);
  if (file_exists(path)) {
    const auto mapping = FileMapping::open(path, Mapping::map);
    const auto bytes = mapping->bytes().first(std::min<std::size_t>(4, mapping->bytes().size()));
    const bool is_gguf = looks_like_gguf({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return is_gguf ? load_gguf(path, options) : load_llama2c(path, options);
  }
  if (!file_exists(path + "/config.json")) throw IoError("find config.json of the model", path, ENOENT);
  return load_hugging_face(path, options);
} catch (...) {
  rethrow_memory_failure("a model");
}

}  // namespace plume::inline PLUME_ABI
#include "plume/models/load_gguf.hpp"
#endif
