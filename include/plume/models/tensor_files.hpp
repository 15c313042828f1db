#pragma once
// The weights of a Hugging Face directory, found by the names that a family has for them.
#include <algorithm>
#include <string>
#include <vector>

#include "plume/formats/safetensors.hpp"
#include "plume/models/family.hpp"
#include "plume/models/load_options.hpp"

namespace plume::inline PLUME_ABI {

class TensorFiles {
 public:
  // model.safetensors, or its index and shards. A single file comes first, as in transformers: saving into a directory of shards must not
  // leave the old weights in charge.
  template <class ConfigType>
  TensorFiles(const std::string& directory, const FamilyOf<ConfigType>& family, const LoadOptions& options)
      : TensorFiles(directory, family.optional_prefix, family.ignored, family.copies, options) {}

  // The tensors of one file, by their own names.
  TensorFiles(SafetensorsFile file, DType dtype) : file_(std::move(file)), dtype_(dtype) {}

  // A tensor by the family's name for it, the same without the optional prefix, that of a copy, or an older one ("LayerNorm.gamma" and
  // "LayerNorm.beta", as BERT's first files have it). Null: there is none.
  PLUME_FUNCTION const SafetensorsEntry* find(std::string_view name) const;
  PLUME_FUNCTION bool same_bytes(std::string_view name, std::string_view other) const;
  PLUME_FUNCTION Tensor tensor(std::string_view name) const;
  const std::string& path() const { return file_.path(); }
  // ConfigError: more layers than tensors. Comes before memory for them.
  PLUME_FUNCTION void check_layers(Index layers, const std::string& config_path) const;

  struct Wanted {
    FileName name = {};
    Tensor* parameter = nullptr;
  };
  // Reads all wanted tensors. ConfigError: tensors are missing, or unexpected (neither wanted, nor `also` there, nor ignored by the
  // family), have another shape than config.json asks for, or are no numbers.
  PLUME_FUNCTION void read(std::span<const Wanted> wanted, std::span<const std::string> also, const std::string& config_path) const;

 private:
  PLUME_FUNCTION TensorFiles(const std::string& directory, std::string_view prefix, std::span<const std::string_view> ignored,
                             std::span<const NameRule> copies, const LoadOptions& options);

  SafetensorsFile file_;
  std::string_view prefix_;
  std::span<const std::string_view> ignored_;
  std::span<const NameRule> copies_;
  DType dtype_;
};

namespace load_detail {
PLUME_FUNCTION Json read_json(const std::string& path, const Limits& limits);
// Refuses quantised weights and unknown types by the keys that name them.
PLUME_FUNCTION void check_stored_type(const Json& config);
// The end tokens of generation_config.json, if it names any: often more than config.json does.
PLUME_FUNCTION void read_end_tokens(const std::string& directory, Config& config, const Limits& limits);
// A matrix with rows and columns exchanged.
PLUME_FUNCTION Tensor transposed(const Tensor& weight);
}  // namespace load_detail

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

namespace load_detail {

inline std::string first_ten(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < 10; ++i) text.append(i > 0 ? ", " : "").append(names[i]);
  if (names.size() > 10) text.append(concat(" and ", names.size() - 10, " more"));
  return text;
}

inline constexpr std::pair<std::string_view, std::string_view> older_endings[] = {{".LayerNorm.weight", ".LayerNorm.gamma"},
                                                                                  {".LayerNorm.bias", ".LayerNorm.beta"}};

// The type that a weight is kept in: matrices may be bf16, vectors (norms, biases) are not.
inline DType type_for(const Tensor& parameter, DType wish) { return parameter.rank() >= 2 ? wish : compute_type(wish); }

PLUME_FUNCTION Tensor transposed(const Tensor& weight) {
  const Tensor result = Tensor::empty({weight.columns(), weight.rows()}, weight.dtype());
  visit_dtype(weight.dtype(), [&]<class T>() {
    const auto from = weight.view<const T, 2>();
    const auto into = result.view<T, 2>();
    for (Index r = 0; r < into.rows(); ++r)
      for (Index c = 0; c < into.columns(); ++c) into(r, c) = from(c, r);
  });
  return result;
}

PLUME_FUNCTION Json read_json(const std::string& path, const Limits& limits) {
  return Json::parse(read_file(path, limits.max_json_bytes, "max_json_bytes"), {.path = path, .limits = limits});
}

PLUME_FUNCTION void check_stored_type(const Json& config) {
  if (const Json* const quantized = config.find("quantization_config"); quantized && !quantized->is_null())
    config_json::fail(config, "quantization_config", "quantised weights are not supported; use a float32, bfloat16 or float16 checkpoint");
  constexpr std::string_view stored_types[] = {"float32", "float64", "bfloat16", "float16", "float", "half", "double"};
  if (const std::string type = config.text("torch_dtype", config.text("dtype", "float32"));
      std::find(std::begin(stored_types), std::end(stored_types), type) == std::end(stored_types))
    config_json::fail(config, config.find("torch_dtype") ? "torch_dtype" : "dtype",
                      concat("unknown type ", quoted(type), " (known: float32, float64, bfloat16, float16)"));
}

PLUME_FUNCTION void read_end_tokens(const std::string& directory, Config& config, const Limits& limits) {
  const std::string path = directory + "/generation_config.json";
  if (!file_exists(path)) return;
  const Json generation = read_json(path, limits);
  if (const Json* const end = generation.find("eos_token_id"); end && !end->is_null())
    config.end_tokens = config_json::tokens(generation, "eos_token_id", config.vocabulary);
}

}  // namespace load_detail

PLUME_FUNCTION TensorFiles::TensorFiles(const std::string& directory, std::string_view prefix, std::span<const std::string_view> ignored,
                                        std::span<const NameRule> copies, const LoadOptions& options)
    : prefix_(prefix), ignored_(ignored), copies_(copies), dtype_(options.dtype) {
  const std::string single = directory + "/model.safetensors", index = single + ".index.json";
  file_ = read_safetensors(file_exists(single) || !file_exists(index) ? single : index,
                           {.limits = options.limits, .mapping = options.mapping, .symlinks = options.symlinks});
}

PLUME_FUNCTION const SafetensorsEntry* TensorFiles::find(std::string_view name) const {
  const SafetensorsEntry* entry = file_.find(name);
  if (!entry && !prefix_.empty() && name.starts_with(prefix_)) entry = file_.find(name.substr(prefix_.size()));
  for (const NameRule& copy : copies_)
    if (!entry && copy.ours == name) entry = file_.find(copy.theirs);
  for (const auto& [ending, older] : load_detail::older_endings)
    if (!entry && name.ends_with(ending)) entry = file_.find(concat(name.substr(0, name.size() - ending.size()), older));
  return entry;
}

PLUME_FUNCTION bool TensorFiles::same_bytes(std::string_view name, std::string_view other) const {
  const SafetensorsEntry *const one = find(name), *const two = find(other);
  return one && two && std::equal(one->bytes.begin(), one->bytes.end(), two->bytes.begin(), two->bytes.end());
}

PLUME_FUNCTION void TensorFiles::check_layers(Index layers, const std::string& config_path) const {
  const std::size_t tensors = file_.entries().size();
  if (layers > static_cast<Index>(tensors))
    throw ConfigError({.path = config_path, .field = "layers"},
                      concat("is ", layers, ", but ", file_.path(), " holds only ", tensors, " tensors: some are missing"));
}

PLUME_FUNCTION Tensor TensorFiles::tensor(std::string_view name) const { return file_.tensor(find(name)->name); }

PLUME_FUNCTION void TensorFiles::read(std::span<const Wanted> wanted, std::span<const std::string> also,
                                      const std::string& config_path) const {
  std::vector<std::string> missing, unexpected, known(also.begin(), also.end());
  for (const auto& [name, parameter] : wanted) {
    const SafetensorsEntry* const entry = find(name.name);
    known.push_back(name.name);
    if (!entry) {
      missing.push_back(name.name);
      continue;
    }
    known.push_back(std::string(entry->name));
    if (constexpr std::string_view floats[] = {"F64", "F32", "BF16", "F16"};
        std::find(std::begin(floats), std::end(floats), entry->dtype) == std::end(floats))
      throw ConfigError(file_.where(*entry), concat("has dtype ", entry->dtype, "; weights are F64, F32, BF16 or F16"));
    std::vector<std::uint64_t> shape;
    if (name.as_row) shape.push_back(1);
    for (const Index extent : parameter->shape().extents()) shape.push_back(static_cast<std::uint64_t>(extent));
    if (name.transposed) std::reverse(shape.begin(), shape.end());
    if (entry->shape != shape) {
      std::string found;
      for (const std::uint64_t extent : entry->shape) found.append(concat(found.empty() ? "" : ", ", extent));
      const Shape expected = name.transposed ? Shape{parameter->columns(), parameter->rows()} : parameter->shape();
      throw ConfigError(file_.where(*entry), concat("shape is (", found, "), but ", config_path, " asks for ", expected));
    }
  }
  for (const NameRule& copy : copies_) {
    const std::string name(copy.theirs);
    if (!file_.find(name) || std::find(known.begin(), known.end(), name) != known.end() || !find(copy.ours)) continue;
    if (!same_bytes(name, copy.ours))
      throw ConfigError(file_.where(*file_.find(name)), concat("differs from ", copy.ours, ", of which it is a copy"));
    known.push_back(name);
  }
  std::sort(known.begin(), known.end());
  const auto is_known = [&](const std::string& name) {
    return std::binary_search(known.begin(), known.end(), name) || is_ignored(ignored_, name);
  };
  for (const std::string& name : file_.names())
    if (!is_known(name) && (name.starts_with(prefix_) || !is_known(concat(prefix_, name)))) unexpected.push_back(name);
  if (!missing.empty())
    throw ConfigError({.path = file_.path()}, concat(missing.size(), " tensors are missing: ", load_detail::first_ten(missing)));
  if (!unexpected.empty())
    throw ConfigError({.path = file_.path()}, concat(unexpected.size(), " tensors are unexpected: ", load_detail::first_ten(unexpected)));

  for (const auto& [name, parameter] : wanted) {
    Tensor tensor = this->tensor(name.name);
    const DType type = load_detail::type_for(*parameter, dtype_);
    if (tensor.dtype() != type) tensor = tensor.to(type);
    if (name.as_row) tensor = tensor.reshape(parameter->shape());
    *parameter = name.transposed ? load_detail::transposed(tensor) : tensor;
  }
}

}  // namespace plume::inline PLUME_ABI
#endif
