#pragma once
// What to pretrain, as data: a model's shape and how it is trained. Named configurations and JSON files hold the same keys.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "plume/base/json_value.hpp"
#include "plume/models/config.hpp"
#include "plume/optim/adamw.hpp"
#include "plume/optim/schedule.hpp"

namespace plume::inline PLUME_ABI {

struct NamedConfig {
  std::string_view name, json;
};

// tiny: the quickstart's. shakespeare, shakespeare-cpu: nanoGPT's character-level settings. gpt2-124m: [Radford et al. 2019].
// stories15m: llama2.c's model of TinyStories. gpt3-125m, gpt3-175b: [Brown et al. 2020], table 2.1 and appendix B; the paper does not say
// how wide its bands are.
inline constexpr NamedConfig named_configs[] = {
    {"tiny", R"({"family": "llama", "layers": 2, "heads": 4, "width": 128, "hidden": 384, "context": 256, "tied_head": true,
      "sequence": 64, "batch": 16, "steps": 2000, "learning_rate": 6e-3, "minimum_learning_rate": 3e-4, "warmup": 50,
      "beta2": 0.98, "weight_decay": 0.1, "evaluate_every": 500})"},
    {"shakespeare-cpu", R"({"family": "gpt2", "layers": 4, "heads": 4, "width": 128, "context": 64, "bias": false, "tied_head": true,
      "batch": 12, "steps": 2000, "learning_rate": 1e-3, "minimum_learning_rate": 1e-4, "warmup": 100,
      "beta2": 0.99, "weight_decay": 0.1, "evaluate_every": 250})"},
    {"shakespeare", R"({"family": "gpt2", "layers": 6, "heads": 6, "width": 384, "context": 256, "bias": false, "tied_head": true,
      "batch": 64, "steps": 5000, "learning_rate": 1e-3, "minimum_learning_rate": 1e-4, "warmup": 100,
      "beta2": 0.99, "weight_decay": 0.1, "dropout": 0.2, "evaluate_every": 250})"},
    {"gpt2-124m", R"({"family": "gpt2", "layers": 12, "heads": 12, "width": 768, "context": 1024, "bias": true, "tied_head": true,
      "batch": 12, "accumulation": 40, "steps": 600000, "learning_rate": 6e-4, "minimum_learning_rate": 6e-5, "warmup": 2000,
      "beta2": 0.95, "weight_decay": 0.1, "evaluate_every": 1000})"},
    {"gpt3-125m", R"({"family": "gpt3", "layers": 12, "heads": 12, "width": 768, "context": 2048, "window": 256, "tied_head": true,
      "batch": 8, "accumulation": 32, "steps": 572000, "learning_rate": 6e-4, "minimum_learning_rate": 6e-5, "warmup": 715,
      "beta2": 0.95, "weight_decay": 0.1, "evaluate_every": 1000})"},
    {"gpt3-175b", R"({"family": "gpt3", "layers": 96, "heads": 96, "width": 12288, "context": 2048, "window": 256, "tied_head": true,
      "batch": 8, "accumulation": 195, "steps": 93900, "learning_rate": 6e-5, "minimum_learning_rate": 6e-6, "warmup": 117,
      "beta2": 0.95, "weight_decay": 0.1, "evaluate_every": 1000})"},
    {"stories15m", R"({"family": "llama", "layers": 6, "heads": 6, "width": 288, "hidden": 768, "context": 256, "tied_head": true,
      "batch": 128, "accumulation": 4, "steps": 100000, "learning_rate": 5e-4, "minimum_learning_rate": 0, "warmup": 1000,
      "beta2": 0.95, "weight_decay": 0.1, "evaluate_every": 2000})"},
};

// Their names, with commas between them.
PLUME_FUNCTION std::string named_config_names();

struct PretrainConfig {
  Config model;  // vocabulary and the begin and end tokens come from the tokenizer
  Index sequence = 0, batch = 0, accumulation = 1, steps = 0, warmup = 0, evaluate_every = 0;
  double learning_rate = 0, minimum_learning_rate = 0, dropout = 0, clip = 1;
  AdamWOptions optimizer = {};

  CosineSchedule schedule() const { return {learning_rate, minimum_learning_rate, warmup, steps}; }
};

// ConfigError: an unknown, missing or impossible key. The shape is checked by Config::check(), once the vocabulary is known.
PLUME_FUNCTION PretrainConfig read_pretrain_config(const Json& json);

// A named configuration, or that of a JSON file. ConfigError: neither a name nor a readable file.
PLUME_FUNCTION PretrainConfig pretrain_config(const std::string& name_or_file);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION std::string named_config_names() {
  std::string names;
  for (const NamedConfig& named : named_configs) names += concat(names.empty() ? "" : ", ", named.name);
  return names;
}

PLUME_FUNCTION PretrainConfig read_pretrain_config(const Json& json) {
  constexpr std::string_view known[] = {
      "family",        "layers",       "heads",   "key_heads",    "width",         "hidden",
      "context",       "window",       "bias",    "tied_head",    "rotary_base",   "sequence",
      "batch",         "accumulation", "steps",   "warmup",       "learning_rate", "minimum_learning_rate",
      "beta1",         "beta2",        "epsilon", "weight_decay", "clip",          "dropout",
      "evaluate_every"};
  for (const Json::Member& member : json.members()) {
    if (std::find(std::begin(known), std::end(known), member.key) != std::end(known)) continue;
    std::string list;
    for (const std::string_view name : known) list += concat(list.empty() ? "" : ", ", name);
    member.value.fail(concat("unknown key (known: ", list, ")"));
  }
  const auto positive = [&](std::string_view key, std::optional<Index> fallback = {}) {
    const Index value = fallback ? json.integer(key, *fallback) : json.integer(key);
    if (value < 1) (json.find(key) ? json.at(key) : json).fail(concat(key, " is ", value, ", expected at least 1"));
    return value;
  };
  const auto number = [&](std::string_view key, double fallback, bool (*allowed)(double), std::string_view expected) {
    const double value = json.number(key, fallback);
    if (!allowed(value)) (json.find(key) ? json.at(key) : json).fail(concat(key, " is ", value, ", expected ", expected));
    return value;
  };
  const auto above_zero = [](double value) { return value > 0; };
  const auto not_negative = [](double value) { return value >= 0; };
  const auto below_one = [](double value) { return value >= 0 && value < 1; };
  const auto counter = [&](std::string_view key, Index fallback) {
    const Index value = json.integer(key, fallback);
    if (value < 0) json.at(key).fail(concat(key, " is ", value, ", expected at least 0"));
    return value;
  };
  PretrainConfig result;
  Config& model = result.model;
  const std::string& family = json.text("family");
  model.layers = positive("layers");
  model.width = positive("width");
  model.context = positive("context");
  model.heads = positive("heads");
  model.key_heads = positive("key_heads", model.heads);
  if (model.width % model.heads != 0) json.at("width").fail(concat(model.width, " does not divide into ", model.heads, " heads"));
  model.head_width = model.width / model.heads;
  model.tied_head = json.boolean("tied_head", true);
  if (family == "llama") {
    if (json.find("bias")) json.at("bias").fail("the llama family has no biases: leave this key out");
    model.hidden = positive("hidden");
    model.rotary = {number("rotary_base", 10000, above_zero, "more than 0"), model.head_width, RotaryLayout::half_split};
  } else if (family == "gpt2" || family == "gpt3") {
    if (model.key_heads != model.heads)
      json.at("key_heads").fail(concat("the ", family, " family has as many key heads as heads: leave this key out"));
    constexpr Index widest = Index{1} << 40;  // beyond this four times it would not fit; Config::check() draws the real line
    model.hidden = positive("hidden", 4 * std::min(model.width, widest));
    model.norm = NormKind::layer;
    model.position = PositionKind::learned;
    model.qkv_layout = QkvLayout::contiguous;
    model.activation = {.kind = kernels::ActivationKind::gelu_tanh};
    model.gated = false;
    model.norm_bias = model.qkv_bias = model.output_bias = model.mlp_bias = json.boolean("bias", true);
    if (family == "gpt3") {  // every second layer sees the last tokens alone
      model.family = "gpt3";
      model.window = positive("window");
      constexpr Index most = 1 << 20;  // Config::check() draws the real line
      for (Index i = 0; i < std::min(model.layers, most); ++i)
        model.layer_kinds.push_back({.scope = i % 2 == 1 ? AttentionScope::local : AttentionScope::global});
    }
  } else {
    json.at("family").fail(concat("unknown family ", quoted(family), " (known: gpt2, gpt3, llama)"));
  }
  if (family != "gpt3" && json.find("window")) json.at("window").fail(concat("the ", family, " family has no window: leave this key out"));
  result.sequence = positive("sequence", model.context);
  if (result.sequence > model.context) json.fail(concat("sequence ", result.sequence, " is longer than the context of ", model.context));
  result.batch = positive("batch", 16);
  result.accumulation = positive("accumulation", 1);
  result.steps = positive("steps", 2000);
  result.warmup = counter("warmup", 100);
  result.evaluate_every = counter("evaluate_every", 250);
  result.learning_rate = number("learning_rate", 1e-3, above_zero, "more than 0");
  result.minimum_learning_rate = number("minimum_learning_rate", result.learning_rate / 10, not_negative, "at least 0");
  if (result.minimum_learning_rate > result.learning_rate)
    json.at("minimum_learning_rate").fail(concat("minimum_learning_rate is ", result.minimum_learning_rate, ", more than learning_rate"));
  result.dropout = number("dropout", 0, below_one, "a number in [0, 1)");
  result.clip = number("clip", 1, not_negative, "at least 0");
  result.optimizer.beta1 = number("beta1", 0.9, below_one, "a number in [0, 1)");
  result.optimizer.beta2 = number("beta2", 0.95, below_one, "a number in [0, 1)");
  result.optimizer.epsilon = number("epsilon", 1e-8, above_zero, "more than 0");
  result.optimizer.weight_decay = number("weight_decay", 0.1, not_negative, "at least 0");
  return result;
}

PLUME_FUNCTION PretrainConfig pretrain_config(const std::string& name_or_file) {
  for (const NamedConfig& named : named_configs)
    if (named.name == name_or_file) return read_pretrain_config(Json::parse(named.json, {.path = concat("configuration ", named.name)}));
  if (!file_exists(name_or_file))
    throw ConfigError({.path = name_or_file},
                      concat("is neither a JSON file nor a named configuration (known: ", named_config_names(), ")"));
  return read_pretrain_config(Json::parse(read_file(name_or_file, Limits{}.max_json_bytes, "max_json_bytes"), {.path = name_or_file}));
}

}  // namespace plume::inline PLUME_ABI
#endif
