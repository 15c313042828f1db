#pragma once
// Reading and writing encoders, with or without a head, as Hugging Face directories, with what sentence-transformers keeps in them.
#include "plume/models/encoder.hpp"
#include "plume/models/load_options.hpp"

namespace plume::inline PLUME_ABI {

// config.json, model.safetensors (or its index and shards) and tokenizer files if there are any. Of an encoder without head, modules.json
// and the folders that it names, of the pooling and a layer behind it, say how texts become vectors; where they are absent it is the mean,
// of any length.
// ConfigError: what the configuration asks for and the tensors offer differ; modules.json asks for what plume does not have.
PLUME_FUNCTION Encoder load_encoder(const std::string& directory, const LoadOptions& options = {});

// Writes config.json, model.safetensors (f32), the tokenizer's files, and of an encoder without head modules.json and the folders that it
// names for sentence-transformers, into a directory, which is made if need be. ArgumentError: no family has a place for every part of the
// configuration.
PLUME_FUNCTION void save(const Encoder& model, const std::string& directory);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/directory.hpp"
#include "plume/models/families/encoders.hpp"
#include "plume/models/load.hpp"
#include "plume/models/tensor_files.hpp"

namespace plume::inline PLUME_ABI {

namespace load_detail {

// The layer behind the pooling has a file of its own.
inline constexpr std::string_view dense_path = "dense.";
inline std::string dense_name(std::string_view path) { return concat("linear.", path.substr(dense_path.size())); }

// The mode of pooling that a folder's config.json switches on; sentence-transformers would put several behind each other.
inline Pooling read_pooling(const std::string& path, const Limits& limits) {
  const Json json = read_json(path, limits);
  std::string_view chosen = json.find("pooling_mode") ? std::string_view(json.text("pooling_mode")) : std::string_view();
  for (const auto& [key, value] : json.members()) {
    if (!key.starts_with("pooling_mode_") || !value.as_boolean()) continue;
    if (!chosen.empty()) value.fail("several modes of pooling are not supported");
    chosen = std::string_view(key).substr(std::string_view("pooling_mode_").size());
  }
  if (chosen == "mean_tokens" || chosen == "mean") return Pooling::mean;
  if (chosen == "cls_token" || chosen == "cls") return Pooling::first;
  throw ConfigError({.path = path, .field = "pooling_mode"}, concat("is ", quoted(chosen), "; plume pools mean_tokens or cls_token"));
}

// What sentence-transformers calls the activations of a Dense layer, by whether they are tanh.
inline constexpr std::pair<bool, std::string_view> dense_activations[] = {{false, "torch.nn.modules.linear.Identity"},
                                                                          {true, "torch.nn.modules.activation.Tanh"}};

inline DenseShape read_dense(const std::string& path, Index width, const Limits& limits) {
  const Json json = read_json(path, limits);
  if (const Index inputs = config_json::positive(json, "in_features", width); inputs != width)
    config_json::fail(json, "in_features", concat("is ", inputs, ", but the encoder is ", width, " wide"));
  for (const std::string_view key : {"module_input_name", "module_output_name"})
    if (json.text(key, "sentence_embedding") != "sentence_embedding") config_json::fail(json, key, "only sentence_embedding is supported");
  DenseShape shape{.outputs = config_json::positive(json, "out_features", width), .bias = json.boolean("bias", true)};
  const std::string activation = json.text("activation_function", std::string(dense_activations[1].second));
  for (const auto& [tanh, name] : dense_activations) {
    shape.tanh = tanh;
    if (activation == name) return shape;
  }
  config_json::fail(json, "activation_function", concat("is ", quoted(activation), "; plume has Identity and Tanh"));
}

// The file of the layer behind the pooling; empty: there is none.
inline std::string read_modules(const std::string& directory, EncoderConfig& config, const LoadOptions& options) {
  std::string dense;
  const Limits& limits = options.limits;
  const std::string path = directory + "/modules.json";
  if (!file_exists(path)) {
    if (file_exists(directory + "/1_Pooling/config.json")) config.pooling = read_pooling(directory + "/1_Pooling/config.json", limits);
    return dense;
  }
  const Json modules = read_json(path, limits);
  for (const Json& module : modules.items()) {
    const std::string& type = module.text("type");
    const std::string_view kind = std::string_view(type).substr(type.rfind('.') + 1);
    const auto file = [&](std::string_view name) {
      const std::string& folder = module.text("path");
      return contained_path(directory, folder.empty() ? std::string(name) : concat(folder, "/", name), module.where(), options.symlinks);
    };
    if (kind == "Pooling") {
      config.pooling = read_pooling(file("config.json"), limits);
    } else if (kind == "Dense") {
      if (config.dense) module.fail("several layers behind the pooling are not supported");
      if (config.normalised) module.fail("stands behind the normalisation, where plume has no layer");
      config.dense = read_dense(file("config.json"), config.stack.width, limits);
      dense = file("model.safetensors");
    } else if (kind == "Normalize") {
      config.normalised = true;
    } else if (kind == "Transformer") {
      if (!module.text("path", "").empty()) module.fail("the transformer lies in a folder of its own: give that folder");
    } else {
      module.fail(concat("the module ", quoted(type), " is not supported (known: Transformer, Pooling, Dense, Normalize)"));
    }
  }
  return dense;
}

}  // namespace load_detail

PLUME_FUNCTION Encoder load_encoder(const std::string& directory, const LoadOptions& options) try {
  const std::string config_path = directory + "/config.json";
  const Json json = load_detail::read_json(config_path, options.limits);
  const families::EncoderFamily& family = families::encoder_of(json);
  load_detail::check_stored_type(json);
  EncoderConfig config = read_encoder_config(family, json);
  const std::string dense = config.has_head() ? std::string() : load_detail::read_modules(directory, config, options);
  config.check(config_path, options.limits);
  const TensorFiles files(directory, family, options);
  files.check_layers(config.stack.layers, config_path);
  const auto name_of = [&](std::string_view path) { return encoder_parameter_name(family, config, path); };
  if (config.pooler && !(config.task && config.task->kind == TaskKind::sequence_labels))
    config.pooler = files.find(name_of("pooler.weight").name) != nullptr;
  Encoder model = Encoder::described(config, options.dtype, options.limits);
  model.tokenizer = load_detail::tokenizer_for(config.stack, directory, options);
  std::vector<TensorFiles::Wanted> wanted, of_dense;
  for_each_parameter(model, [&](std::string_view path, Tensor& parameter) {
    if (path.starts_with(load_detail::dense_path))
      of_dense.push_back({{load_detail::dense_name(path)}, &parameter});
    else
      wanted.push_back({name_of(path), &parameter});
  });
  files.read(wanted, {}, config_path);
  if (config.dense)
    TensorFiles(read_safetensors(dense, {.limits = options.limits, .mapping = options.mapping}), options.dtype)
        .read(of_dense, {}, "config.json beside it");
  return model;
} catch (...) {
  rethrow_memory_failure("a model");
}

PLUME_FUNCTION void save(const Encoder& model, const std::string& directory) try {
  const families::EncoderFamily* const family = families::fitting(model.config);
  require(family != nullptr, "[save] no family of encoders has a place for every part of this configuration");
  Json json = Json::object();
  write_encoder_config(*family, model.config, json);
  json.set("torch_dtype", "float32");
  std::vector<NamedTensor> tensors, of_dense;
  for_each_parameter(model, [&](std::string_view path, const Tensor& parameter) {
    const Tensor stored = parameter.dtype() == DType::f32 && parameter.is_dense() ? parameter : parameter.to(DType::f32);
    if (path.starts_with(load_detail::dense_path)) return of_dense.push_back({load_detail::dense_name(path), stored});
    const FileName name = encoder_parameter_name(*family, model.config, path);
    tensors.push_back({name.name, name.transposed ? load_detail::transposed(stored) : stored});
  });
  Json modules = Json::array();
  const auto add = [&](std::string_view folder, std::string_view type) {
    const auto index = static_cast<std::int64_t>(modules.size());
    modules.push(Json::object()
                     .set("idx", index)
                     .set("name", concat("", index))
                     .set("path", folder)
                     .set("type", concat("sentence_transformers.models.", type)));
  };
  add("", "Transformer"), add("1_Pooling", "Pooling");
  const std::optional<DenseShape>& dense = model.config.dense;
  if (dense) add("2_Dense", "Dense");
  if (model.config.normalised) add(dense ? "3_Normalize" : "2_Normalize", "Normalize");
  const Json pooling = Json::object()
                           .set("word_embedding_dimension", model.config.stack.width)
                           .set("pooling_mode_cls_token", model.config.pooling == Pooling::first)
                           .set("pooling_mode_mean_tokens", model.config.pooling == Pooling::mean);
  const auto write = [&](const std::string& path, const Json& text) {
    atomic_save(path, [&](FileWriter& out) { out.write(dump(text, 2) + "\n"); });
  };
  const bool has_vectors = !model.config.has_head();
  make_directory(has_vectors ? directory + "/1_Pooling" : directory);
  write_safetensors(directory + "/model.safetensors", std::move(tensors));
  write(directory + "/config.json", json);
  if (has_vectors) write(directory + "/1_Pooling/config.json", pooling);
  if (dense) {
    make_directory(directory + "/2_Dense");
    write_safetensors(directory + "/2_Dense/model.safetensors", std::move(of_dense));
    write(directory + "/2_Dense/config.json", Json::object()
                                                  .set("in_features", model.config.stack.width)
                                                  .set("out_features", dense->outputs)
                                                  .set("bias", dense->bias)
                                                  .set("activation_function", load_detail::dense_activations[dense->tanh ? 1 : 0].second));
  }
  if (has_vectors) write(directory + "/modules.json", modules);
  if (model.tokenizer) save_tokenizer(model.tokenizer, directory);
} catch (...) {
  rethrow_memory_failure("a model that is saved");
}

}  // namespace plume::inline PLUME_ABI
#endif
