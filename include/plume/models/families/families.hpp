#pragma once
// All families. A new one is a data file beside these and a line here.
#include "plume/models/families/bloom.hpp"
#include "plume/models/families/chatglm.hpp"
#include "plume/models/families/gemma.hpp"
#include "plume/models/families/gemma2.hpp"
#include "plume/models/families/gemma3.hpp"
#include "plume/models/families/glm_130b.hpp"
#include "plume/models/families/gpt2.hpp"
#include "plume/models/families/gpt3.hpp"
#include "plume/models/families/gpt_neox.hpp"
#include "plume/models/families/gptj.hpp"
#include "plume/models/families/llama.hpp"
#include "plume/models/families/mistral.hpp"
#include "plume/models/families/mixtral.hpp"
#include "plume/models/families/olmo2.hpp"
#include "plume/models/families/openai_gpt.hpp"
#include "plume/models/families/phi3.hpp"
#include "plume/models/families/qwen.hpp"
#include "plume/models/families/qwen_moe.hpp"
#include "plume/models/families/smollm3.hpp"
#include "plume/models/families/stablelm.hpp"
#include "plume/models/task_json.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr const Family* all[] = {&gpt2,  &llama,      &mistral, &qwen2,     &qwen3,     &gemma,   &gemma2,  &gemma3,
                                        &phi3,  &olmo2,      &smollm3, &stablelm,  &gptj,      &codegen, &moss,    &gpt_neox,
                                        &bloom, &openai_gpt, &mixtral, &qwen2_moe, &qwen3_moe, &gpt3,    &chatglm, &glm_130b};

// The family that config.json names, by "architectures" and else by "model_type".
PLUME_FUNCTION const Family& of(const Json& json);

// A configuration as a family's files give it: read by its reader, and marked with its name.
inline Config read_config(const Family& family, const Json& json) {
  Config config = family.read(json);
  config.family = family.name;
  config.task = read_task(json, config.vocabulary);
  return config;
}

// The family that has a place for every part of a configuration: the one it came from if that still does, else the first. Null: none.
PLUME_FUNCTION const Family* fitting(const Config& config);

}  // namespace plume::inline PLUME_ABI::families

#if PLUME_BODIES
#include "plume/models/families/encoder_decoders.hpp"
#include "plume/models/families/encoders.hpp"

namespace plume::inline PLUME_ABI::families {

PLUME_FUNCTION const Family& of(const Json& json) {
  std::string known, asked;
  const Json* const list = json.find("architectures");
  if (list && list->is_array() && list->size() > 0) asked = list->at(std::size_t{0}).as_text();
  const std::string_view labelled = task_of(asked).family;
  const bool by_architecture = !asked.empty();
  if (!by_architecture) asked = json.text("model_type");
  for (const Family* family : all) {
    if (family->name == labelled || (by_architecture ? family->architecture : family->name) == asked ||
        (by_architecture && family->other_architecture == asked))
      return *family;
    known.append(known.empty() ? "" : ", ").append(by_architecture ? family->architecture : family->name);
  }
  std::string_view hint;
  const auto is_one_of = [&](const auto& others) {
    return std::any_of(std::begin(others), std::end(others),
                       [&](const auto* other) { return (by_architecture ? other->architecture : other->name) == asked; });
  };
  if (is_one_of(encoder_decoders)) hint = "; it is an encoder-decoder: load_encoder_decoder() reads it";
  if (is_one_of(encoders) || encoder_head_of(asked).names) hint = "; it is an encoder: load_encoder() reads it";
  config_json::fail(json, by_architecture ? "architectures" : "model_type",
                    concat("unknown architecture ", quoted(asked), hint, " (known: ", known, ")"));
}

// Whether what a family's reader makes of what its writer wrote is the configuration again. Biases may come on top: they are written as
// zeros; and the rows of separate query and key projections are written in the order that the family's rotary layout wants.
inline bool expresses(const Family& family, Config config) {
  if (architecture_name(family, config.task).empty()) return false;
  Json json = Json::object();
  Config read;
  try {
    family.write(config, json);
    read = family.read(json);
  } catch (const InputError&) {
    return false;  // a value that the family does not have
  }
  for (const auto bias : {&Config::norm_bias, &Config::qkv_bias, &Config::output_bias, &Config::mlp_bias, &Config::head_bias}) {
    if (config.*bias && !(read.*bias)) return false;
    read.*bias = config.*bias;
  }
  if (config.position != PositionKind::rotary) read.rotary = config.rotary;
  if (config.qkv_layout == QkvLayout::separate) read.rotary.layout = config.rotary.layout;
  read.family = config.family = {};
  read.task = config.task;
  return read == config;
}

PLUME_FUNCTION const Family* fitting(const Config& config) {
  for (const Family* family : all)
    if (family->name == config.family && expresses(*family, config)) return family;
  for (const Family* family : all)
    if (expresses(*family, config)) return family;
  return nullptr;
}

}  // namespace plume::inline PLUME_ABI::families
#endif
