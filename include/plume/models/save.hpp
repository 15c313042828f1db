#pragma once
// Writing models: Hugging Face layout that transformers opens, GGUF, or a llama2.c .bin file. All or nothing, also onto the files a model
// was loaded from.
#include "plume/models/save_gguf.hpp"

namespace plume::inline PLUME_ABI {

struct SaveOptions {
  DType dtype = DType::f32;  // of the weights: f32, bf16 or f16
};

// Writes config.json, model.safetensors and the tokenizer's files into a directory, which is made if need be.
// ArgumentError: no family can express the configuration.
PLUME_FUNCTION void save_hugging_face(const Model& model, const std::string& directory, const SaveOptions& options = {});

// Writes a llama2.c .bin file of version 0. ArgumentError: the configuration is not the LLaMA that llama2.c runs.
PLUME_FUNCTION void save_llama2c(const Model& model, const std::string& path);

// Saves a model: a path that ends in ".bin" becomes a llama2.c file, ".gguf" a GGUF file of f32 weights (save_gguf() has a choice), any
// other a Hugging Face directory.
PLUME_FUNCTION void save(const Model& model, const std::string& path);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/atomic_save.hpp"
#include "plume/base/directory.hpp"
#include "plume/formats/llama2c.hpp"
#include "plume/formats/safetensors.hpp"
#include "plume/models/families/families.hpp"
#include "plume/models/families/llama2c.hpp"
#include "plume/models/load.hpp"
#include "plume/models/rotary_rows.hpp"

namespace plume::inline PLUME_ABI {

namespace save_detail {

// A parameter as a file wants it: f32, the file's rotary layout, transposed where it says so. A bias that our model lacks and the file must
// have is zero.
inline Tensor as_stored(const Decoder& model, std::string_view path, const Shape& shape, RotaryLayout layout, bool transposed,
                        DType dtype = DType::f32) {
  Tensor found;
  for_each_parameter(model, [&](std::string_view name, const Tensor& tensor) {
    if (name == path) found = tensor;
  });
  if (!found && path.ends_with(".bias")) return Tensor::zeros(shape, dtype);
  require(found && found.has_data() && found.shape() == shape, "[save] the model has no values for ", path, " of shape ", shape);
  const Config& config = model.config;
  if (config.position == PositionKind::rotary && config.qkv_layout == QkvLayout::separate && is_rotated(path))
    found = reorder_rotary_rows(found, config.head_width, config.rotary.width, config.rotary.layout, layout);
  if (found.dtype() != DType::f32 || !found.is_dense()) found = found.to(DType::f32);
  if (transposed) found = load_detail::transposed(found);
  return dtype == DType::f32 ? found : found.to(dtype);
}

}  // namespace save_detail

PLUME_FUNCTION void save_hugging_face(const Model& model, const std::string& directory, const SaveOptions& options) try {
  const DType dtype = options.dtype;
  require(dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16, "[save] weights are written as f32, bf16 or f16, not ",
          dtype);
  const Family* const found = families::fitting(model.config());
  require(found != nullptr, "[save] no model family has a place for every part of this configuration, so it has no Hugging Face layout");
  const Family& family = *found;
  Json json = Json::object();
  json.set("architectures", Json::array().push(family.architecture)).set("model_type", family.name);
  family.write(model.config(), json);
  json.set("torch_dtype", dtype == DType::f32 ? "float32" : dtype == DType::bf16 ? "bfloat16" : "float16");

  // What the file will say is read back: it lists the tensors that a reader expects.
  const Decoder expected = Decoder::described(family.read(json));
  std::vector<NamedTensor> tensors;
  for_each_parameter(expected, [&](std::string_view path, const Tensor& parameter) {
    const FileName name = file_name(family, path);
    tensors.push_back(
        {name.name, save_detail::as_stored(model.decoder, path, parameter.shape(), expected.config.rotary.layout, name.transposed, dtype)});
  });
  make_directory(directory);
  write_safetensors(directory + "/model.safetensors", std::move(tensors));
  atomic_save(directory + "/config.json", [&](FileWriter& out) { out.write(dump(json, 2) + "\n"); });
  if (model.tokenizer) save_tokenizer(model.tokenizer, directory);
} catch (...) {
  rethrow_memory_failure("a model that is saved");
}

PLUME_FUNCTION void save_llama2c(const Model& model, const std::string& path) try {
  require(families::fits_llama2c(model.config()),
          "[save] llama2.c runs plain LLaMA models (no biases, theta 10000, epsilon 1e-5): save to a directory instead");
  Llama2cFile file{families::write_llama2c(model.config()), {}};
  for_each_parameter(model.decoder, [&](std::string_view ours, const Tensor& parameter) {
    file.tensors.push_back(
        {families::llama2c_name(ours), save_detail::as_stored(model.decoder, ours, parameter.shape(), RotaryLayout::interleaved, false)});
  });
  write_llama2c(path, file);
} catch (...) {
  rethrow_memory_failure("a model that is saved");
}

PLUME_FUNCTION void save(const Model& model, const std::string& path) try {
  if (path.ends_with(".bin")) return save_llama2c(model, path);
  path.ends_with(".gguf") ? save_gguf(model, path) : save_hugging_face(model, path);
} catch (...) {
  rethrow_memory_failure("a model that is saved");
}

}  // namespace plume::inline PLUME_ABI
#endif
