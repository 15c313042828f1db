#pragma once
// All families. A new one is a data file beside these and a line here.
#include "plume/models/families/gpt2.hpp"
#include "plume/models/families/llama.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr const Family* all[] = {&gpt2, &llama};

// The family that config.json names, by "architectures" and else by "model_type".
inline const Family& of(const Json& json) {
  std::string known, asked;
  const Json* const list = json.find("architectures");
  if (list && list->is_array() && list->size() > 0) asked = list->at(std::size_t{0}).as_text();
  const bool by_architecture = !asked.empty();
  if (!by_architecture) asked = json.text("model_type");
  for (const Family* family : all) {
    if ((by_architecture ? family->architecture : family->name) == asked) return *family;
    known.append(known.empty() ? "" : ", ").append(by_architecture ? family->architecture : family->name);
  }
  config_json::fail(json, by_architecture ? "architectures" : "model_type",
                    concat("unknown architecture ", quoted(asked), " (known: ", known, ")"));
}

// A family that can hold a configuration.
inline const Family& fitting(const Config& config) {
  for (const Family* family : all)
    if (family->fits(config)) return *family;
  throw ArgumentError("[save] no model family has a place for every part of this configuration, so it has no Hugging Face layout");
}

}  // namespace plume::inline PLUME_ABI::families
