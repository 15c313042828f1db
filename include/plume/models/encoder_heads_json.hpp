#pragma once
// How transformers calls encoders with heads, and what config.json says of them.
#include "plume/models/families/encoder_family.hpp"
#include "plume/models/task_json.hpp"

namespace plume::inline PLUME_ABI {

// The classes <stem>ForSequenceClassification, <stem>ForTokenClassification and <stem>ForMaskedLM of a family.
struct EncoderHeadNames {
  std::string_view family, stem;
  std::string_view prefix;                // of the encoder's own tensors there
  std::span<const NameRule> of_sequence;  // names of what is not among those
  std::span<const NameRule> of_masks;
};

namespace encoder_heads {

inline constexpr NameRule token_names[] = {{"label_head", "classifier"}};
inline constexpr NameRule bert_masks[] = {{"transform_norm", "cls.predictions.transform.LayerNorm"},
                                          {"transform", "cls.predictions.transform.dense"},
                                          {"head", "cls.predictions"}};
inline constexpr NameRule roberta_sequence[] = {{"pooler", "classifier.dense"}, {"label_head", "classifier.out_proj"}};
inline constexpr NameRule roberta_masks[] = {{"transform_norm", "lm_head.layer_norm"}, {"transform", "lm_head.dense"}, {"head", "lm_head"}};
inline constexpr EncoderHeadNames all[] = {{"bert", "Bert", "bert.", token_names, bert_masks},
                                           {"roberta", "Roberta", "roberta.", roberta_sequence, roberta_masks},
                                           {"xlm-roberta", "XLMRoberta", "roberta.", roberta_sequence, roberta_masks}};
inline constexpr std::string_view masks = "ForMaskedLM";

// The class that config.json names first; empty: none.
inline std::string_view class_of(const Json& json) {
  const Json* const classes = json.find("architectures");
  return classes && classes->is_array() && classes->size() > 0 ? std::string_view(classes->at(std::size_t{0}).as_text())
                                                               : std::string_view();
}

}  // namespace encoder_heads

// The head that a class of transformers has; without names: none.
struct EncoderHead {
  const EncoderHeadNames* names = nullptr;
  std::optional<TaskKind> labels = {};  // absent: the head of masked tokens
};
PLUME_FUNCTION EncoderHead encoder_head_of(std::string_view architecture);

// The class of transformers that an encoder of a family is; empty: there is none.
PLUME_FUNCTION std::string encoder_architecture(const families::EncoderFamily& family, const EncoderConfig& config);

// What config.json says of the encoder and its head.
PLUME_FUNCTION EncoderConfig read_encoder_config(const families::EncoderFamily& family, const Json& json);
PLUME_FUNCTION void write_encoder_config(const families::EncoderFamily& family, const EncoderConfig& config, Json& json);

// The file's name of one of our parameters.
PLUME_FUNCTION FileName encoder_parameter_name(const families::EncoderFamily& family, const EncoderConfig& config, std::string_view path);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

namespace encoder_heads {
inline const EncoderHeadNames* names_of(std::string_view family) {
  for (const EncoderHeadNames& names : all)
    if (names.family == family) return &names;
  return nullptr;
}
}  // namespace encoder_heads

PLUME_FUNCTION EncoderHead encoder_head_of(std::string_view architecture) {
  for (const EncoderHeadNames& names : encoder_heads::all) {
    if (architecture == concat(names.stem, encoder_heads::masks)) return {&names, {}};
    for (const auto& [kind, suffix] : task_json::suffixes)
      if (kind != TaskKind::double_heads && architecture == concat(names.stem, suffix)) return {&names, kind};
  }
  return {};
}

PLUME_FUNCTION std::string encoder_architecture(const families::EncoderFamily& family, const EncoderConfig& config) {
  if (!config.has_head()) return std::string(family.architecture);
  const EncoderHeadNames* const names = encoder_heads::names_of(family.name);
  if (names == nullptr) return {};
  if (config.fills_masks) return concat(names->stem, encoder_heads::masks);
  for (const auto& [kind, suffix] : task_json::suffixes)
    if (kind == config.task->kind) return concat(names->stem, suffix);
  return {};
}

PLUME_FUNCTION EncoderConfig read_encoder_config(const families::EncoderFamily& family, const Json& json) {
  EncoderConfig config = family.read(json);
  config.family = family.name;
  const EncoderHead head = encoder_head_of(encoder_heads::class_of(json));
  if (head.names == nullptr) return config;
  if (head.labels) {
    config.task = Task{.kind = *head.labels, .bias = true};
    task_json::read_labels(json, *config.task);
  } else {
    config.fills_masks = true;
    config_json::only(json, "tie_word_embeddings", true);
  }
  return config;
}

PLUME_FUNCTION void write_encoder_config(const families::EncoderFamily& family, const EncoderConfig& config, Json& json) {
  json.set("architectures", Json::array().push(encoder_architecture(family, config))).set("model_type", family.name);
  family.write(config, json);
  if (config.task) task_json::write_labels(*config.task, json);
}

PLUME_FUNCTION FileName encoder_parameter_name(const families::EncoderFamily& family, const EncoderConfig& config, std::string_view path) {
  if (!config.has_head()) return file_name(family, path);
  const EncoderHeadNames* const names = encoder_heads::names_of(family.name);
  require(names != nullptr, "[", family.name, "] has no heads");
  const std::span<const NameRule> rules = config.fills_masks                               ? names->of_masks
                                          : config.task->kind == TaskKind::sequence_labels ? names->of_sequence
                                                                                           : encoder_heads::token_names;
  for (const NameRule& rule : rules)
    if (const auto found = family_detail::match(rule.ours, path); found.found) return {concat(rule.theirs, found.rest)};
  FileName name = file_name(family, path);
  name.name.insert(0, names->prefix);
  return name;
}

}  // namespace plume::inline PLUME_ABI
#endif
