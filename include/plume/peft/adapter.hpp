#pragma once
// Adapter: what fine-tuning learns beside a model that stays as it is.
//   Adapter adapter = attach(model, Lora{.rank = 8, .targets = {"q_proj", "v_proj"}});
//   generate(model, "Hello", {.adapter = &adapter});
//   merge(model, adapter);
#include <algorithm>
#include <map>
#include <optional>

#include "plume/models/encoder_decoder.hpp"
#include "plume/models/model.hpp"
#include "plume/peft/lora.hpp"

namespace plume::inline PLUME_ABI {

// One adapted layer.
struct LoraLayer {
  std::string path;         // of the linear layer in the model: "blocks.0.attention.q"
  std::string module = {};  // the Hugging Face module; empty if no family has the model's configuration
  bool transposed = false;  // that module keeps its weight as (in, out)
  Index rank = 0;
  double alpha = 0;
  LinearChange change = {};
  Tensor base = {};    // the weight it was attached to
  Tensor merged = {};  // the weight that merge() put in its place

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("lora_A", self.change.term.a);
    f("lora_B", self.change.term.b);
  }
};

// A module: optimisers, checkpoints and counts see A and B of each layer. It refers to the model's weights and does not change them.
class Adapter final : public LinearAdapters {
 public:
  Adapter() = default;
  Adapter(Lora options, std::vector<LoraLayer> layers, std::optional<Config> config)
      : options_(std::move(options)), layers_(std::move(layers)), config_(std::move(config)) {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      layers_[i].change.number = i;
      layers_[i].change.dropout = options_.dropout;
      index_.emplace(modules_detail::place_of(layers_[i].base), i);
      if (!peft_detail::is_output_head(layers_[i].path)) ++before_head_;
    }
  }

  const LinearChange* find(const Tensor& weight) const override {
    if (is_merged_) return nullptr;
    const auto found = index_.find(modules_detail::place_of(weight));
    return found == index_.end() ? nullptr : &layers_[found->second].change;
  }
  Index layers() const override { return before_head_; }

  const Lora& options() const { return options_; }
  const std::vector<LoraLayer>& all() const { return layers_; }
  // The layer of a path, ours or Hugging Face's. ArgumentError: it has no adapter.
  const LoraLayer& at(std::string_view path) const {
    for (const LoraLayer& layer : layers_)
      if (layer.path == path || layer.module == path) return layer;
    throw ArgumentError(concat("[adapter] ", path, " is not adapted"));
  }
  // Of the model it was attached to, if that was a decoder.
  const std::optional<Config>& config() const { return config_; }
  bool is_merged() const { return is_merged_; }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    for (auto& layer : self.layers_) f(layer.path, layer);
  }

 private:
  template <Module M>
  friend void merge(M& model, Adapter& adapter);
  template <Module M>
  friend void unmerge(M& model, Adapter& adapter);

  Lora options_;
  std::vector<LoraLayer> layers_;
  std::map<modules_detail::Place, std::size_t> index_;
  std::optional<Config> config_;
  Index before_head_ = 0;
  bool is_merged_ = false;
};

namespace peft_detail {

// A linear layer of a model, by both of its names.
struct Target {
  std::string path, module;
  bool transposed = false;
  Tensor weight;
  std::shared_ptr<const std::vector<ColumnRange>> query_and_value;  // of a fused projection
};

template <class M>
std::optional<Config> config_of(const M& model) {
  if constexpr (std::same_as<M, Model>) {
    return model.config();
  } else if constexpr (requires {
                         { model.config } -> std::convertible_to<Config>;
                       }) {
    return model.config;
  } else {
    return std::nullopt;
  }
}

// Fills in what Hugging Face calls the layers, if a family has the configuration.
PLUME_FUNCTION void name_modules(std::vector<Target>& targets, const std::optional<Config>& config);
PLUME_FUNCTION void name_modules(std::vector<Target>& targets, const EncoderDecoderConfig& config);

// The weight of a layer with its change.
PLUME_FUNCTION Tensor merged_weight(const LoraLayer& layer);

template <class M>
std::vector<Target> targets_of(const M& model) {
  std::vector<Target> targets;
  std::map<const Linear*, std::shared_ptr<const std::vector<ColumnRange>>> fused;
  walk(model, [&](std::string_view path, const auto& node) {
    using Node = std::remove_cvref_t<decltype(node)>;
    if constexpr (std::same_as<Node, Attention>) {
      if (node.shape.layout != QkvLayout::separate) {
        std::vector<ColumnRange> ranges = node.shape.columns_of(AttentionShape::Part::queries);
        const std::vector<ColumnRange> values = node.shape.columns_of(AttentionShape::Part::values);
        ranges.insert(ranges.end(), values.begin(), values.end());
        std::sort(ranges.begin(), ranges.end(), [](const ColumnRange& a, const ColumnRange& b) { return a.begin < b.begin; });
        fused[&node.qkv] = std::make_shared<const std::vector<ColumnRange>>(std::move(ranges));
      }
    } else if constexpr (std::same_as<Node, Linear>) {
      if (!node.weight) return;
      require(node.weight.has_data(), "[adapter] ", path, " has no values: load or initialise the model first");
      Target target{std::string(path), {}, false, node.weight, {}};
      if (const auto found = fused.find(&node); found != fused.end()) target.query_and_value = found->second;
      targets.push_back(std::move(target));
    }
  });
  if constexpr (std::same_as<M, EncoderDecoder>)
    name_modules(targets, model.config);
  else
    name_modules(targets, config_of(model));
  return targets;
}

PLUME_FUNCTION bool is_target(const std::vector<std::string>& patterns, const Target& target);

// The last names of all layers, each once: what a target may be called.
PLUME_FUNCTION std::string candidates(const std::vector<Target>& targets);

// A layer without values for A and B.
PLUME_FUNCTION LoraLayer layer_for(const Lora& options, const Target& target);

}  // namespace peft_detail

// A fresh adapter: A uniform in ±1/sqrt(in), as Kaiming's rule with slope sqrt(5) gives it, B zero, so that nothing changes yet. The model
// must outlive it and is untouched. A and B are f32 (f64 for a model of f64).
// ArgumentError: an option out of range, or a target that no linear layer matches.
template <Module M>
Adapter attach(const M& model, const Lora& options) try {
  require(options.dropout >= 0 && options.dropout < 1 && std::isfinite(options.alpha), "[lora] dropout ", options.dropout, ", alpha ",
          options.alpha, ": expected dropout in [0, 1) and a finite alpha");
  const std::vector<peft_detail::Target> targets = peft_detail::targets_of(model);
  for (const std::string& pattern : options.targets) {
    const bool found =
        std::any_of(targets.begin(), targets.end(), [&](const auto& target) { return peft_detail::is_target({pattern}, target); });
    require(found, "[lora] no linear layer matches the target ", quoted(pattern), "; layers are called ", peft_detail::candidates(targets),
            ", or by a whole path such as ", targets.empty() ? std::string() : targets.front().path);
  }
  std::vector<LoraLayer> layers;
  for (const peft_detail::Target& target : targets) {
    if (!peft_detail::is_target(options.targets, target)) continue;
    LoraLayer layer = peft_detail::layer_for(options, target);
    const Index inputs = target.weight.columns(), outputs = target.weight.rows();
    const Index most = std::max(inputs, outputs);  // "all-linear" finds gates of one output too
    require(layer.rank >= 1 && layer.rank <= most, "[lora] rank ", layer.rank, " of ", layer.path, ", whose weight is ",
            target.weight.shape(), ": expected 1 .. ", most);
    require(std::isfinite(layer.alpha), "[lora] alpha of ", layer.path, " is ", layer.alpha);
    const DType dtype = compute_type(target.weight.dtype());
    LowRank& term = layer.change.term;
    term.a = Tensor::empty({layer.rank, inputs}, dtype);
    term.b = Tensor::zeros({outputs, layer.rank}, dtype);
    Random random{.seed = options.seed, .stream = layers.size()};
    const double bound = 1 / std::sqrt(static_cast<double>(inputs));
    visit_float(dtype, [&]<class T>() {
      T* const values = term.a.writable<T>();
      for (Index i = 0; i < term.a.size(); ++i) values[i] = static_cast<T>(bound * (2 * random.uniform() - 1));
    });
    layers.push_back(std::move(layer));
  }
  require(!layers.empty(),
          "[lora] the model has no layer that is called attention.q, attention.v or attention.qkv: give targets; layers are called ",
          peft_detail::candidates(targets));
  return Adapter(options, std::move(layers), peft_detail::config_of(model));
} catch (...) {
  rethrow_memory_failure("an adapter");
}

// Puts W + scale B A in the place of each adapted weight W, in W's type. The adapter keeps the weights that it replaces, and while it is
// merged it cannot be used beside the model. Needs the model for itself alone.
// ArgumentError: merged already, or attached to other weights (another model, or one that was trained into new tensors since).
template <Module M>
void merge(M& model, Adapter& adapter) try {
  require(!adapter.is_merged_, "[merge] the adapter is merged already");
  std::map<std::size_t, Linear*> found;
  walk(model, [&](std::string_view, auto& node) {
    if constexpr (std::same_as<std::remove_cvref_t<decltype(node)>, Linear>) {
      if (!node.weight) return;
      if (const auto layer = adapter.index_.find(modules_detail::place_of(node.weight)); layer != adapter.index_.end())
        found[layer->second] = &node;
    }
  });
  require(found.size() == adapter.layers_.size(), "[merge] the model has ", found.size(), " of the ", adapter.layers_.size(),
          " weights that the adapter was attached to: it belongs to another model, or another adapter was merged since");
  for (const auto& [number, linear] : found) adapter.layers_[number].merged = peft_detail::merged_weight(adapter.layers_[number]);
  for (const auto& [number, linear] : found) linear->weight = adapter.layers_[number].merged;
  adapter.is_merged_ = true;
} catch (...) {
  rethrow_memory_failure("an adapter");
}

// Puts the weights back that merge() replaced, bit for bit; what the merged weights learned since is lost.
// ArgumentError: not merged, or the model's weights are not those that merge() made.
template <Module M>
void unmerge(M& model, Adapter& adapter) try {
  require(adapter.is_merged_, "[unmerge] the adapter is not merged");
  std::map<const Linear*, std::size_t> found;
  std::vector<Linear*> linears;
  walk(model, [&](std::string_view, auto& node) {
    if constexpr (std::same_as<std::remove_cvref_t<decltype(node)>, Linear>) {
      for (std::size_t i = 0; i < adapter.layers_.size(); ++i)
        if (node.weight && modules_detail::place_of(node.weight) == modules_detail::place_of(adapter.layers_[i].merged)) {
          found[&node] = i;
          linears.push_back(&node);
        }
    }
  });
  require(found.size() == adapter.layers_.size(), "[unmerge] the model has ", found.size(), " of the ", adapter.layers_.size(),
          " weights that merge() made: the adapter was merged into another model, or these were replaced since");
  for (Linear* const linear : linears) {
    LoraLayer& layer = adapter.layers_[found[linear]];
    linear->weight = layer.base;
    layer.merged = {};
  }
  adapter.is_merged_ = false;
} catch (...) {
  rethrow_memory_failure("an adapter");
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/gemm/table.hpp"
#include "plume/models/families/families.hpp"

namespace plume::inline PLUME_ABI::peft_detail {

inline void name_module(Target& target, const FileName& weight) {
  target.module = weight.name.substr(0, weight.name.size() - std::string_view(".weight").size());
  target.transposed = weight.transposed;
}
PLUME_FUNCTION void name_modules(std::vector<Target>& targets, const std::optional<Config>& config) {
  const Family* const family = config ? families::fitting(*config) : nullptr;
  if (family == nullptr) return;
  for (Target& target : targets) name_module(target, parameter_name(*family, config->task, concat(target.path, ".weight")));
}
PLUME_FUNCTION void name_modules(std::vector<Target>& targets, const EncoderDecoderConfig& config) {
  const families::EncoderDecoderFamily* const family = families::fitting(config);
  if (family == nullptr) return;
  for (Target& target : targets) name_module(target, file_name(*family, concat(target.path, ".weight")));
}

PLUME_FUNCTION Tensor merged_weight(const LoraLayer& layer) {
  const LowRank& term = layer.change.term;
  const Tensor weight = layer.base.to(compute_type(layer.base.dtype()));
  visit_float(weight.dtype(), [&]<class T>() {
    const Tensor scaled = ops_detail::scaled(term.b, term.scale);
    ops_detail::for_outputs(term, [&](Index begin, Index end) {
      kernels::gemm<T>(weight.rows(begin, end).view<T, 2>(), scaled.rows(begin, end).view<const T, 2>(), term.a.view<const T, 2>());
    });
  });
  return weight.dtype() == layer.base.dtype() ? weight : weight.to(layer.base.dtype());
}

PLUME_FUNCTION bool is_target(const std::vector<std::string>& patterns, const Target& target) {
  if (patterns.empty()) {
    for (const std::string_view usual : {"attention.q", "attention.v", "attention.qkv", "cross_attention.q", "cross_attention.v"})
      if (matches(usual, target.path)) return true;
  }
  for (const std::string& pattern : patterns)
    if (pattern == "all-linear" ? !is_output_head(target.path) : matches(pattern, target.path) || matches(pattern, target.module))
      return true;
  return false;
}

PLUME_FUNCTION std::string candidates(const std::vector<Target>& targets) {
  std::vector<std::string> names;
  std::string text;
  for (const Target& target : targets) {
    const std::string& path = target.module.empty() ? target.path : target.module;
    std::string name = path.substr(path.rfind('.') + 1);
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    text.append(names.empty() ? "" : ", ").append(name);
    names.push_back(std::move(name));
  }
  return text;
}

PLUME_FUNCTION LoraLayer layer_for(const Lora& options, const Target& target) {
  LoraLayer layer{target.path, target.module, target.transposed};
  layer.rank = pattern_value(options.rank_pattern, target.path, target.module, options.rank);
  layer.alpha = pattern_value(options.alpha_pattern, target.path, target.module, options.alpha);
  layer.base = target.weight;
  layer.change.term.scale = scaling(options, layer.rank, layer.alpha);
  if (options.fused_qkv == FusedQkv::query_and_value) layer.change.term.outputs = target.query_and_value;
  return layer;
}

}  // namespace plume::inline PLUME_ABI::peft_detail
#endif
