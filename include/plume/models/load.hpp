#pragma once
// Reading models: a Hugging Face directory, a GGUF file, or a llama2.c .bin file. Everything is verified before weights are touched;
// weights stay where the file is read to, or memory-mapped, where their type and layout allow.
#include <unordered_map>

#include "plume/base/files.hpp"
#include "plume/base/gguf.hpp"
#include "plume/models/model.hpp"

namespace plume::inline PLUME_ABI {

struct LoadOptions {
  DType dtype = DType::f32;    // weights become this type: f32; bf16 (matrices alone, half the memory; computes in f32); f64 for exact work
  std::string tokenizer = {};  // file or directory; empty: beside the weights, if it is there
  Mapping mapping = Mapping::automatic;
  Symlinks symlinks = Symlinks::refuse;  // of shards that an index names
  Limits limits = {};
};

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
#include "plume/formats/safetensors.hpp"
#include "plume/models/families/families.hpp"
#include "plume/models/families/llama2c.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"

namespace plume::inline PLUME_ABI {

namespace load_detail {

inline std::string first_ten(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < 10; ++i) text.append(i > 0 ? ", " : "").append(names[i]);
  if (names.size() > 10) text.append(concat(" and ", names.size() - 10, " more"));
  return text;
}

inline Tensor transposed(const Tensor& weight) {
  const Tensor result = Tensor::empty({weight.columns(), weight.rows()}, weight.dtype());
  visit_dtype(weight.dtype(), [&]<class T>() {
    const auto from = weight.view<const T, 2>();
    const auto into = result.view<T, 2>();
    for (Index r = 0; r < into.rows(); ++r)
      for (Index c = 0; c < into.columns(); ++c) into(r, c) = from(c, r);
  });
  return result;
}

// The type that a weight is kept in: matrices may be bf16, vectors (norms, biases) are not.
inline DType type_for(const Tensor& parameter, DType wish) { return parameter.rank() >= 2 ? wish : compute_type(wish); }

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
  const Json json =
      Json::parse(read_file(config_path, options.limits.max_json_bytes, "max_json_bytes"), {.path = config_path, .limits = options.limits});
  const Family& family = families::of(json);
  if (const Json* const quantized = json.find("quantization_config"); quantized && !quantized->is_null())
    config_json::fail(json, "quantization_config", "quantised weights are not supported; use a float32, bfloat16 or float16 checkpoint");
  constexpr std::string_view stored_types[] = {"float32", "float64", "bfloat16", "float16", "float", "half", "double"};
  if (const std::string type = json.text("torch_dtype", json.text("dtype", "float32"));
      std::find(std::begin(stored_types), std::end(stored_types), type) == std::end(stored_types))
    config_json::fail(json, json.find("torch_dtype") ? "torch_dtype" : "dtype",
                      concat("unknown type ", quoted(type), " (known: float32, float64, bfloat16, float16)"));
  Config config = families::read_config(family, json);
  // What ends an answer stands in generation_config.json where there is one: often more tokens than in config.json.
  if (const std::string path = directory + "/generation_config.json"; file_exists(path)) {
    const Json generation =
        Json::parse(read_file(path, options.limits.max_json_bytes, "max_json_bytes"), {.path = path, .limits = options.limits});
    if (const Json* const end = generation.find("eos_token_id"); end && !end->is_null())
      config.end_tokens = config_json::tokens(generation, "eos_token_id", config.vocabulary);
  }
  config.check(config_path, options.limits);

  // A single file comes first, as in transformers: saving into a directory of shards must not leave the old weights in charge.
  const std::string single = directory + "/model.safetensors", index = single + ".index.json";
  const SafetensorsFile file = read_safetensors(file_exists(single) || !file_exists(index) ? single : index,
                                                {.limits = options.limits, .mapping = options.mapping, .symlinks = options.symlinks});
  // Some files leave the family's common prefix out.
  const auto in_file = [&](const std::string& name) -> const SafetensorsEntry* {
    const SafetensorsEntry* entry = file.find(name);
    if (!entry && !family.optional_prefix.empty() && name.starts_with(family.optional_prefix))
      entry = file.find(name.substr(family.optional_prefix.size()));
    return entry;
  };
  const std::string head_name = file_name(family, "head.weight").name, embedding_name = file_name(family, "embedding.weight").name;
  const SafetensorsEntry* const stored_head = in_file(head_name);
  const Json* const tie = json.find("tie_word_embeddings");
  const bool has_tokens = config.task.has_tokens();
  if (has_tokens && (tie == nullptr || tie->is_null())) config.tied_head = stored_head == nullptr;
  if (has_tokens && config.tied_head && stored_head) {
    const SafetensorsEntry* const embedding = in_file(embedding_name);
    if (embedding && (embedding->bytes.size() != stored_head->bytes.size() ||
                      !std::equal(embedding->bytes.begin(), embedding->bytes.end(), stored_head->bytes.begin())))
      config_json::fail(json, "tie_word_embeddings", concat("is true, but ", head_name, " differs from ", embedding_name));
  }

  // Of a tied pair, one may be there under either name.
  const auto entry_of = [&](std::string_view path, const FileName& name) {
    const SafetensorsEntry* const entry = in_file(name.name);
    return !entry && has_tokens && config.tied_head && path == "embedding.weight" ? stored_head : entry;
  };

  Model model{Decoder::described(config, options.dtype, options.limits), load_detail::tokenizer_for(config, directory, options)};
  std::vector<std::string> missing, unexpected, wanted;
  if (has_tokens) wanted.push_back(head_name);
  for_each_parameter(model, [&](std::string_view path, Tensor& parameter) {
    const FileName name = parameter_name(family, config.task, path);
    const SafetensorsEntry* const entry = entry_of(path, name);
    wanted.push_back(name.name);
    if (!entry) return missing.push_back(name.name);
    if (constexpr std::string_view floats[] = {"F64", "F32", "BF16", "F16"};
        std::find(std::begin(floats), std::end(floats), entry->dtype) == std::end(floats))
      throw ConfigError(file.where(*entry), concat("has dtype ", entry->dtype, "; weights are F64, F32, BF16 or F16"));
    std::vector<std::uint64_t> shape;
    for (const Index extent : parameter.shape().extents()) shape.push_back(static_cast<std::uint64_t>(extent));
    if (name.transposed) std::reverse(shape.begin(), shape.end());
    if (entry->shape != shape) {
      std::string found;
      for (const std::uint64_t extent : entry->shape) found.append(concat(found.empty() ? "" : ", ", extent));
      const Shape expected = name.transposed ? Shape{parameter.columns(), parameter.rows()} : parameter.shape();
      throw ConfigError(file.where(*entry), concat("shape is (", found, "), but ", config_path, " asks for ", expected));
    }
  });
  std::sort(wanted.begin(), wanted.end());
  for (const std::string& name : file.names()) {
    const auto known = [&](const std::string& spelled) {
      return std::binary_search(wanted.begin(), wanted.end(), spelled) || is_ignored(family, spelled);
    };
    if (!known(name) && (name.starts_with(family.optional_prefix) || !known(concat(family.optional_prefix, name))))
      unexpected.push_back(name);
  }
  if (!missing.empty())
    throw ConfigError({.path = file.path()}, concat(missing.size(), " tensors are missing: ", load_detail::first_ten(missing)));
  if (!unexpected.empty())
    throw ConfigError({.path = file.path()}, concat(unexpected.size(), " tensors are unexpected: ", load_detail::first_ten(unexpected)));

  for_each_parameter(model, [&](std::string_view path, Tensor& parameter) {
    const FileName name = parameter_name(family, config.task, path);
    Tensor tensor = file.tensor(entry_of(path, name)->name);
    const DType type = load_detail::type_for(parameter, options.dtype);
    if (tensor.dtype() != type) tensor = tensor.to(type);
    parameter = name.transposed ? load_detail::transposed(tensor) : tensor;
  });
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
