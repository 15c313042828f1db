#pragma once
// Which chat template a model or an adapter was trained with: plume_chat.json beside its weights, {"template": "vicuna"}. The field
// chat_template of Hugging Face's tokenizer_config.json holds a Jinja program, which plume does not run; that file stays as it is.
#include <optional>
#include <string>

#include "plume/base/limits.hpp"
#include "plume/data/chat_templates.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

inline constexpr std::string_view chat_template_file = "plume_chat.json";

// Writes the template's name into a directory, which is made if need be.
PLUME_FUNCTION void save_chat_template(const ChatTemplate& chat_template, const std::string& directory);

// The template remembered in the directory of a model or an adapter, or beside a model's file; none if there is no such file.
// ConfigError: it names a template that is not known.
PLUME_FUNCTION std::optional<ChatTemplate> saved_chat_template(const std::string& model, const Limits& limits = {});

// A template for a model that remembers none: ChatML where the tokenizer has its tokens, else plain.
PLUME_FUNCTION const ChatTemplate& usual_chat_template(const Tokenizer& tokenizer);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/atomic_save.hpp"
#include "plume/base/directory.hpp"
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void save_chat_template(const ChatTemplate& chat_template, const std::string& directory) {
  make_directory(directory);
  const std::string text = dump(Json::object().set("template", chat_template.name), 2) + "\n";
  atomic_save(concat(directory, "/", chat_template_file), [&](FileWriter& out) { out.write(text); });
}

PLUME_FUNCTION std::optional<ChatTemplate> saved_chat_template(const std::string& model, const Limits& limits) {
  const std::string path = concat(is_directory(model) ? model : parent_path(model), "/", chat_template_file);
  if (!file_exists(path)) return std::nullopt;
  const Json json = Json::parse(read_file(path, limits.max_json_bytes, "max_json_bytes"), {.path = path, .limits = limits});
  const Json& name = json.at("template");
  for (const ChatTemplate& entry : chat_templates)
    if (entry.name == name.as_text()) return entry;
  std::string known;
  for (const ChatTemplate& entry : chat_templates) known.append(known.empty() ? "" : ", ").append(entry.name);
  name.fail(concat("unknown template ", quoted(name.as_text()), " (known: ", known, ")"));
}

PLUME_FUNCTION const ChatTemplate& usual_chat_template(const Tokenizer& tokenizer) {
  const auto token = tokenizer.find("<|im_start|>");
  return chat_template(token && tokenizer.is_special(*token) ? "chatml" : "plain");
}

}  // namespace plume::inline PLUME_ABI
#endif
