#pragma once
// How transformers calls the heads of each family, and what config.json says of them.
#include "plume/models/family.hpp"

namespace plume::inline PLUME_ABI {

// The classes of a family beside its language model: <stem>ForSequenceClassification and so on.
struct HeadNames {
  std::string_view family, stem;
  std::string_view token_module = {};  // of <stem>ForTokenClassification; empty: there is no such class
  bool double_heads = false;           // there is a <stem>DoubleHeadsModel
};
inline constexpr HeadNames head_names[] = {{"gpt2", "GPT2", "classifier", true},
                                           {"openai-gpt", "OpenAIGPT", {}, true},
                                           {"llama", "Llama", "score"},
                                           {"mistral", "Mistral", "score"},
                                           {"qwen2", "Qwen2", "score"},
                                           {"qwen3", "Qwen3", "score"},
                                           {"gemma", "Gemma", "score"},
                                           {"gemma2", "Gemma2", "score"},
                                           {"gemma3_text", "Gemma3Text"},
                                           {"phi3", "Phi3", "score"},
                                           {"olmo2", "Olmo2"},
                                           {"smollm3", "SmolLM3", "score"},
                                           {"stablelm", "StableLm", "score"},
                                           {"gptj", "GPTJ"},
                                           {"gpt_neox", "GPTNeoX", "classifier"},
                                           {"bloom", "Bloom", "classifier"},
                                           {"mixtral", "Mixtral", "score"},
                                           {"qwen2_moe", "Qwen2Moe", "score"},
                                           {"qwen3_moe", "Qwen3Moe", "score"}};

namespace task_json {

inline constexpr std::pair<TaskKind, std::string_view> suffixes[] = {{TaskKind::sequence_labels, "ForSequenceClassification"},
                                                                     {TaskKind::token_labels, "ForTokenClassification"},
                                                                     {TaskKind::double_heads, "DoubleHeadsModel"}};
inline constexpr std::pair<Problem, std::string_view> problems[] = {{Problem::regression, "regression"},
                                                                    {Problem::one_label, "single_label_classification"},
                                                                    {Problem::several_labels, "multi_label_classification"}};

inline const HeadNames* names_of(std::string_view family) {
  for (const HeadNames& names : head_names)
    if (names.family == family) return &names;
  return nullptr;
}
inline bool has(const HeadNames& names, TaskKind kind) {
  return kind == TaskKind::token_labels ? !names.token_module.empty() : kind != TaskKind::double_heads || names.double_heads;
}

}  // namespace task_json

// The class of transformers that a model of a family and task is; empty: there is none.
PLUME_FUNCTION std::string architecture_name(const Family& family, const Task& task);

// The family and kind of task that a class of transformers stands for; no family: it is none of labels.
struct NamedTask {
  std::string_view family = {};
  TaskKind kind = TaskKind::next_token;
};
PLUME_FUNCTION NamedTask task_of(std::string_view architecture);

// What config.json says of the task: the class, id2label or num_labels, problem_type, pad_token_id. ConfigError: labels that are not
// numbered 0, 1, ...; a summary of double heads that is not a linear layer at the token that is asked for.
PLUME_FUNCTION Task read_task(const Json& json, Index vocabulary);
PLUME_FUNCTION void write_task(const Family& family, const Task& task, Json& json);

namespace task_json {
// The labels of a task of a known kind, and what they are trained for.
PLUME_FUNCTION void read_labels(const Json& json, Task& task);
PLUME_FUNCTION void write_labels(const Task& task, Json& json);
}  // namespace task_json

// The file's name of one of our parameters, those of the head of labels included.
PLUME_FUNCTION FileName parameter_name(const Family& family, const Task& task, std::string_view path);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION std::string architecture_name(const Family& family, const Task& task) {
  if (!task.has_labels()) return std::string(family.architecture);
  const HeadNames* const names = task_json::names_of(family.name);
  if (names == nullptr || !task_json::has(*names, task.kind)) return {};
  for (const auto& [kind, suffix] : task_json::suffixes)
    if (kind == task.kind) return concat(names->stem, suffix);
  return {};
}

PLUME_FUNCTION NamedTask task_of(std::string_view architecture) {
  for (const auto& [kind, suffix] : task_json::suffixes) {
    if (!architecture.ends_with(suffix)) continue;
    const std::string_view stem = architecture.substr(0, architecture.size() - suffix.size());
    for (const HeadNames& names : head_names)
      if (names.stem == stem && task_json::has(names, kind)) return {names.family, kind};
  }
  return {};
}

PLUME_FUNCTION Task read_task(const Json& json, Index vocabulary) {
  using config_json::fail;
  Task task;
  const Json* const classes = json.find("architectures");
  if (classes && classes->is_array() && classes->size() > 0) task.kind = task_of(classes->at(std::size_t{0}).as_text()).kind;
  if (!task.has_labels()) return task;
  task_json::read_labels(json, task);
  task.bias =
      task.kind == TaskKind::double_heads || (task.kind == TaskKind::token_labels && json.boolean("token_classification_bias", true));
  if (const Index padding = json.integer("pad_token_id", -1); padding >= 0 && padding < vocabulary)  // others never match
    task.padding = static_cast<TokenId>(padding);
  if (task.kind == TaskKind::double_heads) {
    if (task.labels != 1) fail(json, json.find("id2label") ? "id2label" : "num_labels", "a multiple choice has one score for each option");
    if (json.text("summary_type", "cls_index") != "cls_index") fail(json, "summary_type", "only cls_index is supported");
    if (!json.text("summary_activation", "").empty()) fail(json, "summary_activation", "only a summary without activation is supported");
    config_json::only(json, "summary_use_proj", true);
    config_json::only(json, "summary_proj_to_labels", true);
  }
  return task;
}

PLUME_FUNCTION void task_json::read_labels(const Json& json, Task& task) {
  using config_json::fail;
  constexpr Index most = Index{1} << 20;
  const Json* const table = json.find("id2label");
  if (table && !table->is_null()) {
    if (!table->is_object() || table->size() == 0) fail(json, "id2label", "is not an object of label names");
    task.names.resize(table->size());
    for (const Json::Member& member : table->members()) {
      std::size_t number = 0;
      const char* const end = member.key.data() + member.key.size();
      const auto [last, error] = std::from_chars(member.key.data(), end, number);
      if (error != std::errc() || last != end || number >= task.names.size() || std::to_string(number) != member.key)
        member.value.fail(
            concat("labels are numbered from 0: there are ", task.names.size(), ", and none can be called ", quoted(member.key)));
      task.names[number] = member.value.as_text();
    }
    task.labels = static_cast<Index>(task.names.size());
    if (json.integer("num_labels", task.labels) != task.labels) fail(json, "num_labels", concat("id2label has ", task.labels, " labels"));
  } else {
    task.labels = config_json::positive(json, "num_labels", task.kind == TaskKind::double_heads ? 1 : 2);
    if (task.labels > most) fail(json, "num_labels", concat("is ", task.labels, ", expected at most ", most));
    for (Index i = 0; i < task.labels; ++i) task.names.push_back(concat("LABEL_", i));
  }

  if (const std::string problem = json.text("problem_type", ""); !problem.empty()) {
    for (const auto& [kind, name] : task_json::problems)
      if (name == problem) task.problem = kind;
    if (task.problem == Problem::by_targets)
      fail(json, "problem_type", "expected regression, single_label_classification or multi_label_classification");
    if (task.problem == Problem::one_label && task.labels == 1)
      fail(json, "problem_type", "one label needs no choice: this is a regression");
  }
}

PLUME_FUNCTION void write_task(const Family& family, const Task& task, Json& json) {
  json.set("architectures", Json::array().push(architecture_name(family, task))).set("model_type", family.name);
  if (!task.has_labels()) return;
  task_json::write_labels(task, json);
  if (task.kind == TaskKind::token_labels && !task.bias) json.set("token_classification_bias", false);
  json.set("pad_token_id", task.padding < 0 ? Json() : Json(task.padding));
}

PLUME_FUNCTION void task_json::write_labels(const Task& task, Json& json) {
  Json names = Json::object(), numbers = Json::object();
  for (Index i = 0; i < task.labels; ++i) {
    const std::string name = task.names.empty() ? concat("LABEL_", i) : task.names[static_cast<std::size_t>(i)];
    names.set(concat(i), name);
    numbers.set(name, i);
  }
  json.set("id2label", std::move(names)).set("label2id", std::move(numbers));
  for (const auto& [kind, name] : task_json::problems)
    if (kind == task.problem) json.set("problem_type", name);
}

PLUME_FUNCTION FileName parameter_name(const Family& family, const Task& task, std::string_view path) {
  constexpr std::string_view head = "label_head";
  if (!path.starts_with(head)) return file_name(family, path);
  const HeadNames* const names = task_json::names_of(family.name);
  require(names != nullptr && task_json::has(*names, task.kind), "[", family.name, "] has no head of this kind");
  const std::string_view module = task.kind == TaskKind::double_heads   ? "multiple_choice_head.summary"
                                  : task.kind == TaskKind::token_labels ? names->token_module
                                                                        : "score";
  return {concat(module, path.substr(head.size())), false};
}

}  // namespace plume::inline PLUME_ABI
#endif
