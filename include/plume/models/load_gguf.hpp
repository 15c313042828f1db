#pragma once
// Models in GGUF files: the architecture's keys become what config.json would say, its tensors are found by the names that all
// architectures share. Quantised tensors become f32 (or LoadOptions::dtype) in memory.      [ggml-org/ggml docs/gguf.md; llama.cpp]
#include "plume/models/load.hpp"

#if PLUME_BODIES
#include <set>

#include "plume/formats/gguf.hpp"
#include "plume/models/gguf_config.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"

namespace plume::inline PLUME_ABI {

namespace gguf_model {

class Reader {
 public:
  Reader(const GgufFile& file, const LoadOptions& options)
      : file_(file), options_(options), config_(contents_of(file), options.limits), architecture_(&config_.architecture()) {}

  Model read() {
    Model model{Decoder::described(config_.config(), options_.dtype, options_.limits), {}};
    match(model.decoder);
    if (!options_.tokenizer.empty() || header().text("tokenizer.ggml.model").value_or("none") != "none")
      model.tokenizer = load_tokenizer(options_.tokenizer.empty() ? file_.path() : options_.tokenizer, {.limits = options_.limits});
    if (model.tokenizer && model.tokenizer.vocabulary() > model.config().vocabulary)
      throw ConfigError({.path = file_.path(), .field = "tokenizer.ggml.tokens"},
                        concat("the tokenizer knows ", model.tokenizer.vocabulary(), " tokens, the model ", model.config().vocabulary));
    for_each_parameter(model, [&](std::string_view path, Tensor& parameter) { fill(path, parameter, model.config()); });
    return model;
  }

 private:
  const GgufHeader& header() const { return file_.header(); }
  static Contents contents_of(const GgufFile& file) {
    const GgufStored* const embedding = file.find("token_embd.weight");
    return {file.header(), [&file](std::string_view name) { return file.find(name) != nullptr; },
            [&file](std::string_view name) { return file.tensor(name); },
            embedding && embedding->shape.rank() == 2 ? embedding->shape[0] : 0, static_cast<Index>(file.tensors().size())};
  }

  // Every parameter has a tensor of its shape, and every tensor is a parameter.
  void match(const Decoder& decoder) const {
    std::vector<std::string> missing, unexpected;
    std::set<std::string> wanted(std::begin(rope_tensors), std::end(rope_tensors));
    for_each_parameter(decoder, [&](std::string_view path, const Tensor& parameter) {
      const Place place = place_of(path);
      wanted.insert(place.name);
      const GgufStored* const stored = file_.find(place.name);
      if (stored == nullptr) return missing.push_back(place.name);
      const bool stacked = place.matrix >= 0;
      const bool same_columns = stored->shape.size() > 0 && stored->shape.columns() == parameter.columns();
      const bool fits = stacked ? stored->shape.rank() == 3 && same_columns && stored->shape[0] == decoder.config.experts.count &&
                                      stored->shape[1] == parameter.rows()
                                : same_columns && stored->shape.size() == parameter.size();
      if (!fits)
        throw ConfigError(file_.where(*stored),
                          concat("shape is ", stored->shape, ", the keys ask for ", parameter.shape(), stacked ? " for each expert" : ""));
    });
    for (const GgufStored& stored : file_.tensors())
      if (!wanted.contains(std::string(stored.name))) unexpected.emplace_back(stored.name);
    if (!missing.empty())
      throw ConfigError({.path = file_.path()}, concat(missing.size(), " tensors are missing: ", load_detail::first_ten(missing)));
    if (!unexpected.empty())
      throw ConfigError({.path = file_.path()}, concat(unexpected.size(), " tensors are unexpected: ", load_detail::first_ten(unexpected)));
  }

  void fill(std::string_view path, Tensor& parameter, const Config& config) const {
    const Place place = place_of(path);
    Tensor tensor = file_.tensor(place.name);
    if (place.matrix >= 0) {
      const Index rows = parameter.rows();
      tensor =
          tensor.reshape({tensor.size() / tensor.columns(), tensor.columns()}).rows(place.matrix * rows, (place.matrix + 1) * rows).copy();
    } else {
      tensor = tensor.reshape(parameter.shape());
    }
    const DType type = load_detail::type_for(parameter, options_.dtype);
    if (tensor.dtype() != type) tensor = tensor.to(type);
    if (architecture_->parts_in_turn && config.qkv_layout != QkvLayout::contiguous && path.find(".attention.qkv.") != path.npos)
      tensor = reordered(config.block().attention, tensor, QkvOrder::of_layout);
    if (architecture_->gains_with_offset && path.find("norm.weight") != path.npos) tensor = shift(tensor, -config.norm_offset);
    parameter = tensor;
  }

  const GgufFile& file_;
  const LoadOptions& options_;
  const ConfigReader config_;
  const Architecture* architecture_;
};

}  // namespace gguf_model

PLUME_FUNCTION Model load_gguf(const std::string& path, const LoadOptions& options) try {
  const GgufFile file = read_gguf(path, {.limits = options.limits, .mapping = options.mapping, .symlinks = options.symlinks});
  return gguf_model::Reader(file, options).read();
} catch (...) {
  rethrow_memory_failure("a model");
}

}  // namespace plume::inline PLUME_ABI
#endif
