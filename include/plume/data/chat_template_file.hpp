#pragma once
// Which chat template a model or an adapter was trained with: plume_chat.json beside its weights, {"template": "vicuna"}; else the Jinja
// template inside a GGUF file, or of Hugging Face repositories, in chat_template.jinja or in the field chat_template of
// tokenizer_config.json.
#include <optional>
#include <string>

#include "plume/base/limits.hpp"
#include "plume/data/chat_form.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

inline constexpr std::string_view chat_template_file = "plume_chat.json";

// Writes the template's name into a directory, which is made if need be.
PLUME_FUNCTION void save_chat_template(const ChatTemplate& chat_template, const std::string& directory);

// The template remembered in the directory of a model or an adapter, or beside a model's file; none if there is no such file.
// ConfigError: it names a template that is not known.
PLUME_FUNCTION std::optional<ChatTemplate> saved_chat_template(const std::string& model, const Limits& limits = {});

// The template of a GGUF file, of a Hugging Face directory, or beside a model's file: chat_template.jinja, which wins, or
// tokenizer_config.json, whose field chat_template holds one or a list of {"name", "template"}. `name` picks one of several. Variables are
// the special tokens by name (bos_token, eos_token ...). None: there is no template. ConfigError: not under this name, or plume does not
// know a construct of it.
PLUME_FUNCTION std::optional<RepositoryTemplate> repository_template(const std::string& model, std::string_view name = "default",
                                                                     const Limits& limits = {});

// What a chat with the model in a directory is written in: what plume_chat.json names, else the repository's own template, else nothing.
PLUME_FUNCTION std::optional<ChatForm> saved_chat_form(const std::string& model, const Limits& limits = {});
// Notes a form in a directory so that saved_chat_form finds it.
PLUME_FUNCTION void save_chat_form(const ChatForm& form, const std::string& directory);

// A template for a model that remembers none: ChatML where the tokenizer has its tokens, else plain.
PLUME_FUNCTION const ChatTemplate& usual_chat_template(const Tokenizer& tokenizer);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/atomic_save.hpp"
#include "plume/base/directory.hpp"
#include "plume/base/files.hpp"
#include "plume/base/gguf.hpp"
#include "plume/base/json.hpp"

namespace plume::inline PLUME_ABI {

inline void save_chat_note(std::string_view name, const std::string& directory) {
  const std::string text = dump(Json::object().set("template", name), 2) + "\n";
  atomic_save(concat(directory, "/", chat_template_file), [&](FileWriter& out) { out.write(text); });
}

PLUME_FUNCTION void save_chat_template(const ChatTemplate& chat_template, const std::string& directory) {
  make_directory(directory);
  save_chat_note(chat_template.name, directory);
}

PLUME_FUNCTION std::optional<ChatTemplate> saved_chat_template(const std::string& model, const Limits& limits) {
  const std::string path = concat(is_directory(model) ? model : parent_path(model), "/", chat_template_file);
  if (!file_exists(path)) return std::nullopt;
  const Json json = Json::parse(read_file(path, limits.max_json_bytes, "max_json_bytes"), {.path = path, .limits = limits});
  const Json& name = json.at("template");
  if (name.as_text() == "model") return std::nullopt;  // the repository's own
  for (const ChatTemplate& entry : chat_templates)
    if (entry.name == name.as_text()) return entry;
  std::string known;
  for (const ChatTemplate& entry : chat_templates) known.append(known.empty() ? "" : ", ").append(entry.name);
  name.fail(concat("unknown template ", quoted(name.as_text()), " (known: ", known, ")"));
}

namespace chat_detail {

inline std::string directory_of(const std::string& model) { return is_directory(model) ? model : parent_path(model); }

// What a GGUF file holds under tokenizer.chat_template, or with a point and a name behind it; none for other files.
inline std::optional<RepositoryTemplate> gguf_template(const std::string& path, std::string_view name, const Limits& limits) {
  if (!file_exists(path)) return std::nullopt;
  const auto mapping = FileMapping::open(path, Mapping::map);
  const auto beginning = mapping->bytes().first(std::min<std::size_t>(4, mapping->bytes().size()));
  if (!looks_like_gguf({reinterpret_cast<const char*>(beginning.data()), beginning.size()})) return std::nullopt;
  const GgufHeader header = GgufHeader::read(mapping->bytes(), path, limits);
  const std::string key = name == "default" ? "tokenizer.chat_template" : concat("tokenizer.chat_template.", name);
  const auto text = header.text(key);
  if (!text) return std::nullopt;
  Json variables = Json::object();
  const std::vector<std::string_view> tokens = header.texts("tokenizer.ggml.tokens");
  for (const auto& [variable, role] :
       {std::pair{"bos_token", "bos"}, {"eos_token", "eos"}, {"unk_token", "unknown"}, {"pad_token", "padding"}})
    if (const auto id = header.integer(concat("tokenizer.ggml.", role, "_token_id")); id && *id >= 0 && *id < std::ssize(tokens))
      variables.set(variable, tokens[static_cast<std::size_t>(*id)]);
  return RepositoryTemplate{JinjaTemplate(std::string(*text), {.name = concat(path, ": ", key), .limits = limits}), std::move(variables)};
}

}  // namespace chat_detail

PLUME_FUNCTION std::optional<RepositoryTemplate> repository_template(const std::string& model, std::string_view name,
                                                                     const Limits& limits) {
  if (auto inside = chat_detail::gguf_template(model, name, limits)) return inside;
  const std::string directory = chat_detail::directory_of(model);
  Json variables = Json::object();
  std::optional<std::pair<std::string, std::string>> found;  // where, text
  const std::string config_path = concat(directory, "/tokenizer_config.json");
  if (file_exists(config_path)) {
    const Json config = Json::parse(read_file(config_path, limits.max_tokenizer_bytes, "max_tokenizer_bytes"),
                                    {.path = config_path, .limits = limits, .max_bytes = limits.max_tokenizer_bytes});
    for (const std::string_view token : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"})
      if (const Json* value = config.find(token); value && !value->is_null())
        variables.set(token, value->is_object() ? value->text("content") : value->as_text());
    if (const Json* field = config.find("chat_template"); field && !field->is_null()) {
      const std::string where = concat(config_path, ": chat_template");
      if (field->is_text()) {
        if (name == "default") found = {where, field->as_text()};
      } else {
        std::string known;
        for (const Json& entry : field->items()) {
          known.append(known.empty() ? "" : ", ").append(entry.text("name"));
          if (entry.text("name") == name) found = {concat(where, " ", quoted(name)), entry.text("template")};
        }
        if (!found && !known.empty()) field->fail(concat("has no template ", quoted(name), " (it has: ", known, ")"));
      }
    }
  }
  const std::string own =
      name == "default" ? concat(directory, "/chat_template.jinja") : concat(directory, "/additional_chat_templates/", name, ".jinja");
  if (file_exists(own)) found = {own, read_file(own, limits.max_template_bytes, "max_template_bytes")};
  if (!found) return std::nullopt;
  return RepositoryTemplate{JinjaTemplate(found->second, {.name = found->first, .limits = limits}), std::move(variables)};
}

PLUME_FUNCTION std::optional<ChatForm> saved_chat_form(const std::string& model, const Limits& limits) {
  if (const auto fixed = saved_chat_template(model, limits)) return ChatForm(*fixed);
  if (auto own = repository_template(model, "default", limits)) return ChatForm(std::move(*own));
  return std::nullopt;
}

PLUME_FUNCTION void save_chat_form(const ChatForm& form, const std::string& directory) {
  if (!form.own) return save_chat_template(form.fixed, directory);
  make_directory(directory);
  const std::string path = concat(directory, "/chat_template.jinja");
  atomic_save(path, [&](FileWriter& out) { out.write(form.own->program.text()); });
  const std::string noted = concat(directory, "/", chat_template_file);  // of an earlier run: it would win
  if (file_exists(noted)) save_chat_note("model", directory);
}

PLUME_FUNCTION const ChatTemplate& usual_chat_template(const Tokenizer& tokenizer) {
  const auto token = tokenizer.find("<|im_start|>");
  return chat_template(token && tokenizer.is_special(*token) ? "chatml" : "plain");
}

}  // namespace plume::inline PLUME_ABI
#endif
