#pragma once
// Adapters as files, in the layout of Hugging Face's peft: adapter_config.json, adapter_model.safetensors, README.md (a model card).
//   save(adapter, "my-adapter", {.base_model = "gpt2"});          // PeftModel.from_pretrained(model, "my-adapter") opens it
//   Adapter adapter = load_adapter("my-adapter", model);
#include "plume/base/files.hpp"
#include "plume/peft/adapter.hpp"

namespace plume::inline PLUME_ABI {

struct SaveAdapterOptions {
  std::string base_model = {};  // name or path of the model it was trained on, for the card and for peft
};

struct LoadAdapterOptions {
  Mapping mapping = Mapping::map;
  Limits limits = {};
};

// Writes the adapter into a directory, which is made if need be; each file all or nothing.
// ArgumentError: no model family has the base model's configuration, so that its layers have no Hugging Face names.
PLUME_FUNCTION void save(const Adapter& adapter, const std::string& directory, const SaveAdapterOptions& options = {});

namespace peft_detail {
PLUME_FUNCTION Adapter read_adapter(const std::string& directory, const std::vector<Target>& targets, const std::optional<Config>& config,
                                    const LoadAdapterOptions& options);
}  // namespace peft_detail

// Reads an adapter that plume or peft saved, for this model, which must outlive it. The tensors say which layers are adapted; the
// configuration must agree. A and B become f32 (f64 for a model of f64).
// ConfigError: a setting that is not supported, or tensors that do not fit the configuration or this model. FormatError, LimitError: a file
// is malformed, or a pickle. NumericError: a value is not finite. IoError: a file is missing.
template <Module M>
Adapter load_adapter(const std::string& directory, const M& model, const LoadAdapterOptions& options = {}) try {
  return peft_detail::read_adapter(directory, peft_detail::targets_of(model), peft_detail::config_of(model), options);
} catch (...) {
  rethrow_memory_failure("an adapter");
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/atomic_save.hpp"
#include "plume/base/directory.hpp"
#include "plume/base/json.hpp"
#include "plume/formats/safetensors.hpp"
#include "plume/models/rotary_rows.hpp"

namespace plume::inline PLUME_ABI {

namespace peft_detail {

inline constexpr std::string_view key_prefix = "base_model.model.";
// The metadata key of what peft's configuration has no place for: which outputs of a fused projection are trained.
inline constexpr std::string_view fused_qkv_key = "plume_fused_qkv";

// Rows of B lie as those of the weight. A model may turn its heads in interleaved pairs (llama2.c); files are half-split.
inline Tensor reordered(const Tensor& b, const std::string& path, const std::optional<Config>& config, bool to_file) {
  if (!config || config->position != PositionKind::rotary || !is_rotated(path + ".")) return b;
  const RotaryLayout ours = config->rotary.layout, file = RotaryLayout::half_split;
  return reorder_rotary_rows(b, config->head_width, config->rotary.width, to_file ? ours : file, to_file ? file : ours);
}

inline Json number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<std::int64_t>(value);
  return value;
}

// The targets as peft will match them: as they were given where that means the same layers to it, else whole paths.
inline std::vector<std::string> target_modules(const Adapter& adapter) {
  std::vector<std::string> names;
  for (const std::string& pattern : adapter.options().targets) {
    if (pattern.find('*') != pattern.npos || pattern == "all-linear") return {};
    names.push_back(pattern);
  }
  for (const LoraLayer& layer : adapter.all())
    if (std::none_of(names.begin(), names.end(), [&](const std::string& name) { return matches(name, layer.module); })) return {};
  return names;
}

// Whether the adapter is one of an encoder-decoder.
inline bool reads_a_source(const Adapter& adapter) {
  const std::vector<LoraLayer>& layers = adapter.all();
  return std::any_of(layers.begin(), layers.end(),
                     [](const LoraLayer& layer) { return layer.path.starts_with("encoder.") || layer.path.starts_with("decoder."); });
}

inline Json config_json_of(const Adapter& adapter, const SaveAdapterOptions& options) {
  const Lora& lora = adapter.options();
  std::vector<std::string> targets = target_modules(adapter);
  if (targets.empty())
    for (const LoraLayer& layer : adapter.all()) targets.push_back(layer.module);
  Json modules = Json::array(), ranks = Json::object(), alphas = Json::object(), none;
  for (const std::string& name : targets) modules.push(name);
  bool transposed = false;
  for (const LoraLayer& layer : adapter.all()) {
    // Both under the whole path: releases of peft differ in how patterns for rank and alpha combine, but not on this.
    if (layer.rank != lora.rank) ranks.set(layer.module, layer.rank);
    if (layer.alpha != lora.alpha) alphas.set(layer.module, number(layer.alpha));
    transposed = transposed || layer.transposed;
  }
  Json json = Json::object();
  json.set("peft_type", "LORA").set("task_type", reads_a_source(adapter) ? "SEQ_2_SEQ_LM" : "CAUSAL_LM").set("inference_mode", true);
  json.set("base_model_name_or_path", options.base_model.empty() ? Json() : Json(options.base_model)).set("revision", none);
  json.set("r", lora.rank).set("lora_alpha", number(lora.alpha)).set("lora_dropout", number(lora.dropout));
  json.set("target_modules", std::move(modules)).set("rank_pattern", std::move(ranks)).set("alpha_pattern", std::move(alphas));
  json.set("use_rslora", lora.rslora).set("use_dora", false).set("fan_in_fan_out", transposed).set("bias", "none");
  json.set("init_lora_weights", true).set("modules_to_save", none).set("layers_to_transform", none).set("layers_pattern", none);
  json.set("auto_mapping", none);
  return json;
}

inline std::string model_card(const Adapter& adapter, const SaveAdapterOptions& options) {
  const Lora& lora = adapter.options();
  std::string card = "---\n";
  if (!options.base_model.empty()) card.append(concat("base_model: ", dump(Json(options.base_model)), "\n"));
  card.append(concat("library_name: peft\ntags:\n- lora\n- plume\n---\n\n# LoRA adapter\n\nTrained with plume",
                     options.base_model.empty() ? "" : " on ", options.base_model, ". It changes ", adapter.all().size(),
                     " linear layers with ", count_parameters(adapter), " parameters: rank ", lora.rank, ", alpha ", lora.alpha,
                     lora.rslora ? ", scaled by alpha / sqrt(rank)" : ", scaled by alpha / rank", ", dropout ", lora.dropout,
                     ".\n\n| layer | rank | alpha |\n|---|---|---|\n"));
  for (const LoraLayer& layer : adapter.all()) card.append(concat("| `", layer.module, "` | ", layer.rank, " | ", layer.alpha, " |\n"));
  const std::string base = options.base_model.empty() ? "BASE_MODEL" : options.base_model;
  const bool pair = reads_a_source(adapter);
  const std::string_view theirs = pair ? "AutoModelForSeq2SeqLM" : "AutoModelForCausalLM",
                         ours = pair ? "EncoderDecoder model = plume::load_encoder_decoder(" : "Model model = plume::load(";
  card.append(concat("\n```python\nfrom peft import PeftModel\nfrom transformers import ", theirs, "\n\nmodel = PeftModel.from_pretrained(",
                     theirs, ".from_pretrained(", dump(Json(base)), "), \"path/to/this/directory\")\n```\n\n```cpp\nplume::", ours,
                     dump(Json(base)), ");\nplume::Adapter adapter = plume::load_adapter(\"path/to/this/directory\", model);\n```\n"));
  return card;
}

// Settings of peft that plume reads; those it may pass over, because the result is the same whatever they say; and those that must have
// the one value that leaves the mathematics alone. All others must be absent, null, false or empty.
inline constexpr std::string_view read_settings[] = {
    "peft_type",     "r",          "lora_alpha", "lora_dropout",     "target_modules", "rank_pattern",
    "alpha_pattern", "use_rslora", "bias",       "init_lora_weights"};
inline constexpr std::string_view harmless_settings[] = {
    "task_type",         "inference_mode",  "base_model_name_or_path", "revision",       "auto_mapping", "peft_version",
    "fan_in_fan_out",    "exclude_modules", "layers_to_transform",     "layers_pattern", "loftq_config", "megatron_core",
    "qalora_group_size", "runtime_config"};

inline bool is_neutral(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_array()) return value.items().empty();
  if (value.is_object()) return value.members().empty();
  return value.kind() == Json::Kind::boolean && !value.as_boolean();
}

// A pattern of peft that is a plain name: dots stand for themselves.
inline void require_plain(const Json& at, std::string_view pattern) {
  if (pattern.empty()) at.fail("is an empty pattern");
  if (const std::size_t special = pattern.find_first_of("*+?[](){}|^$\\"); special != pattern.npos)
    at.fail(concat(quoted(pattern), " is a regular expression; plume reads plain module names here"));
}

inline Lora read_config(const Json& json) {
  using config_json::fail;
  if (const std::string& type = json.text("peft_type"); type != "LORA")
    json.at("peft_type").fail(concat("is ", quoted(type), "; plume reads LORA"));
  for (const Json::Member& member : json.members()) {
    const auto is_in = [&](const auto& list) { return std::find(std::begin(list), std::end(list), member.key) != std::end(list); };
    if (is_in(read_settings) || is_in(harmless_settings) || is_neutral(member.value)) continue;
    member.value.fail("this setting changes what the adapter computes, and plume does not support it");
  }
  if (const std::string bias = json.text("bias", "none"); bias != "none")
    json.at("bias").fail(concat("is ", quoted(bias), "; only \"none\" is supported: biases are not adapted"));
  if (const Json* const start = json.find("init_lora_weights"); start && start->is_text() && start->as_text() != "gaussian")
    start->fail(concat(quoted(start->as_text()), " changes the base weights as well; convert the adapter to plain LoRA with peft first"));

  Lora lora;
  constexpr std::int64_t largest = std::int64_t{1} << 20;
  const auto rank_of = [&](const Json& value) {
    const std::int64_t rank = value.as_integer();
    if (rank < 1 || rank > largest) value.fail(concat("is ", rank, ", expected 1 .. ", largest));
    return rank;
  };
  const auto present = [&](std::string_view key) {
    const Json* const value = json.find(key);
    return value && !value->is_null() ? value : nullptr;
  };
  lora.rank = present("r") ? rank_of(json.at("r")) : 8;
  lora.alpha = json.number("lora_alpha", 8);
  lora.dropout = json.number("lora_dropout", 0);
  if (!(lora.dropout >= 0 && lora.dropout < 1)) fail(json, "lora_dropout", concat("is ", lora.dropout, ", expected a number in [0, 1)"));
  lora.rslora = json.boolean("use_rslora", false);
  if (const Json* const ranks = present("rank_pattern"))
    for (const Json::Member& member : ranks->members()) {
      require_plain(member.value, member.key);
      lora.rank_pattern.emplace_back(member.key, rank_of(member.value));
    }
  if (const Json* const alphas = present("alpha_pattern"))
    for (const Json::Member& member : alphas->members()) {
      require_plain(member.value, member.key);
      lora.alpha_pattern.emplace_back(member.key, member.value.as_number());
    }
  if (const Json* const targets = present("target_modules")) {
    if (targets->is_text()) {
      if (targets->as_text() != "all-linear") return lora;  // a regular expression: the tensors say which layers it meant
      lora.targets.push_back(targets->as_text());
    } else {
      for (const Json& name : targets->items()) {
        require_plain(name, name.as_text());
        lora.targets.push_back(name.as_text());
      }
    }
  }
  return lora;
}

// "base_model.model.MODULE.lora_A.weight" -> MODULE and whether it is A.
struct LoraKey {
  std::string_view module;
  bool is_a = false;
};
inline std::optional<LoraKey> lora_key(std::string_view name) {
  if (!name.starts_with(key_prefix)) return std::nullopt;
  name.remove_prefix(key_prefix.size());
  for (const bool is_a : {true, false}) {
    const std::string_view ending = is_a ? ".lora_A.weight" : ".lora_B.weight";
    if (name.ends_with(ending)) return LoraKey{name.substr(0, name.size() - ending.size()), is_a};
  }
  return std::nullopt;
}

}  // namespace peft_detail

PLUME_FUNCTION void save(const Adapter& adapter, const std::string& directory, const SaveAdapterOptions& options) try {
  require(!adapter.all().empty(), "[save] the adapter has no layers: attach() or load_adapter() makes one");
  std::vector<NamedTensor> tensors;
  for (const LoraLayer& layer : adapter.all()) {
    require(!layer.module.empty(), "[save] no model family has this model's configuration, so ", layer.path, " has no name in a PEFT file");
    const LowRank& term = layer.change.term;
    Tensor b = term.b;
    if (term.outputs) {  // outputs that do not change have zeros
      b = Tensor::zeros(term.b.shape(), term.b.dtype());
      ops_detail::for_outputs(term, [&](Index begin, Index end) { b.rows(begin, end).assign(term.b.rows(begin, end)); });
    }
    b = peft_detail::reordered(b, layer.path, adapter.config(), true);
    const std::string name = concat(peft_detail::key_prefix, layer.module);
    tensors.push_back({name + ".lora_A.weight", term.a.dtype() == DType::f32 ? term.a : term.a.to(DType::f32)});
    tensors.push_back({name + ".lora_B.weight", b.dtype() == DType::f32 ? b : b.to(DType::f32)});
  }
  Metadata metadata{{"format", "pt"}};
  if (adapter.options().fused_qkv == FusedQkv::query_and_value) metadata.emplace_back(peft_detail::fused_qkv_key, "query_and_value");
  const std::string config = dump(peft_detail::config_json_of(adapter, options), 2) + "\n",
                    card = peft_detail::model_card(adapter, options);
  make_directory(directory);
  write_safetensors(directory + "/adapter_model.safetensors", std::move(tensors), metadata);
  atomic_save(directory + "/adapter_config.json", [&](FileWriter& out) { out.write(config); });
  atomic_save(directory + "/README.md", [&](FileWriter& out) { out.write(card); });
} catch (...) {
  rethrow_memory_failure("an adapter");
}

PLUME_FUNCTION Adapter peft_detail::read_adapter(const std::string& directory, const std::vector<Target>& targets,
                                                 const std::optional<Config>& config, const LoadAdapterOptions& options) {
  const std::string config_path = directory + "/adapter_config.json", path = directory + "/adapter_model.safetensors";
  const Json json =
      Json::parse(read_file(config_path, options.limits.max_json_bytes, "max_json_bytes"), {.path = config_path, .limits = options.limits});
  Lora lora = peft_detail::read_config(json);
  if (const std::string pickle = directory + "/adapter_model.bin"; !file_exists(path) && file_exists(pickle))
    throw FormatError(Where{.path = pickle, .field = "format", .offset = 0},
                      "is a PyTorch pickle file, which plume never reads because pickle can run code; convert it to "
                      "adapter_model.safetensors: python -c \"import torch, safetensors.torch as s; s.save_file(torch.load('"
                      "adapter_model.bin', weights_only=True), 'adapter_model.safetensors', metadata={'format': 'pt'})\"");
  const SafetensorsFile file = read_safetensors(path, {.limits = options.limits, .mapping = options.mapping});
  for (const auto& [key, value] : file.metadata()) {
    if (key != peft_detail::fused_qkv_key) continue;
    if (value != "query_and_value")
      throw ConfigError({.path = path, .field = concat("__metadata__.", key)}, concat("is ", quoted(value), "; known: query_and_value"));
    lora.fused_qkv = FusedQkv::query_and_value;
  }

  std::map<std::string_view, std::pair<const SafetensorsEntry*, const SafetensorsEntry*>> pairs;  // A and B of each module
  for (const std::string& name : file.names()) {
    const SafetensorsEntry& entry = *file.find(name);
    const auto key = peft_detail::lora_key(entry.name);
    if (!key)
      throw ConfigError(file.where(entry),
                        "is not a LoRA matrix of a linear layer (base_model.model.MODULE.lora_A.weight or lora_B.weight), "
                        "which is all that plume reads");
    auto& pair = pairs[key->module];
    (key->is_a ? pair.first : pair.second) = &entry;
    if (std::none_of(targets.begin(), targets.end(), [&](const auto& target) { return target.module == key->module; }))
      throw ConfigError(file.where(entry), concat("the model has no linear layer ", quoted(key->module), "; its layers are called ",
                                                  peft_detail::candidates(targets)));
  }
  const Json* const selects = json.find("layers_to_transform");
  const Json* const excludes = json.find("exclude_modules");
  const bool is_exact = !(selects && !selects->is_null()) && !(excludes && !excludes->is_null());
  std::vector<LoraLayer> layers;
  for (const peft_detail::Target& target : targets) {
    const bool is_meant = !lora.targets.empty() && std::any_of(lora.targets.begin(), lora.targets.end(), [&](const std::string& name) {
      return name == "all-linear" ? !peft_detail::is_output_head(target.path) : peft_detail::matches(name, target.module);
    });
    const auto found = pairs.find(target.module);
    if (found == pairs.end()) {
      if (is_meant && is_exact)
        json.at("target_modules").fail(concat("means the layer ", target.module, ", for which ", path, " has no tensors"));
      continue;
    }
    const auto& [a, b] = found->second;
    if (a == nullptr || b == nullptr)
      throw ConfigError(file.where(a ? *a : *b), concat("has no partner: ", a ? "lora_B" : "lora_A", " of this layer is missing"));
    if (!lora.targets.empty() && !is_meant)
      throw ConfigError(file.where(*a), concat("is of a layer that target_modules in ", config_path, " does not name"));
    LoraLayer layer = peft_detail::layer_for(lora, target);
    const auto read = [&](const SafetensorsEntry& entry, const Shape& expected) {
      if (constexpr std::string_view floats[] = {"F64", "F32", "BF16", "F16"};
          std::find(std::begin(floats), std::end(floats), entry.dtype) == std::end(floats))
        throw ConfigError(file.where(entry), concat("has dtype ", entry.dtype, "; adapters are F64, F32, BF16 or F16"));
      std::string shape;
      for (const std::uint64_t extent : entry.shape) shape.append(concat(shape.empty() ? "" : ", ", extent));
      const auto same = [](Index ours, std::uint64_t theirs) { return static_cast<std::uint64_t>(ours) == theirs; };
      if (entry.shape.size() != 2 || !same(expected[0], entry.shape[0]) || !same(expected[1], entry.shape[1]))
        throw ConfigError(file.where(entry),
                          concat("has shape (", shape, "), but rank ", layer.rank, " of ", config_path, " and the model's weight ",
                                 target.weight.shape(), " ask for ", expected, ": wrong rank, or an adapter of another base model"));
      const Tensor tensor = file.tensor(entry.name).to(compute_type(target.weight.dtype()));
      check_finite({entry.name, tensor}, path);
      return tensor;
    };
    LowRank& term = layer.change.term;
    term.a = read(*a, Shape{layer.rank, target.weight.columns()});
    term.b = peft_detail::reordered(read(*b, Shape{target.weight.rows(), layer.rank}), target.path, config, false);
    layers.push_back(std::move(layer));
  }
  if (layers.empty()) throw ConfigError({.path = path}, "holds no tensors");
  if (lora.targets.empty())
    for (const LoraLayer& layer : layers) lora.targets.push_back(layer.module);
  return Adapter(lora, std::move(layers), config);
}

}  // namespace plume::inline PLUME_ABI
#endif
