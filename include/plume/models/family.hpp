#pragma once
// A model family as data: how its config.json reads and writes, and what its tensors are called.
#include <array>
#include <span>

#include "plume/models/config_json.hpp"

namespace plume::inline PLUME_ABI {

// Our module path and theirs; "*" is a layer number, a second one an expert's. What follows (".weight", ".bias") is the same on both sides.
struct NameRule {
  std::string_view ours, theirs;
  bool transposed = false;  // the file stores (in, out)
  bool as_row = false;      // the file stores a vector as (1, n)
};

// Of decoders (Family), of encoder-decoders and of encoders.
template <class ConfigType>
struct FamilyOf {
  std::string_view name;                         // config.json "model_type"
  std::string_view architecture = {};            // config.json "architectures"[0]
  bool (*is_meant)(const Json& json) = nullptr;  // which of several families of one architecture; null: it is the only one
  ConfigType (*read)(const Json& json) = nullptr;
  void (*write)(const ConfigType& config, Json& json) = nullptr;
  std::span<const NameRule> names = {};
  std::string_view optional_prefix = {};           // of every tensor, in some files
  std::span<const std::string_view> ignored = {};  // tensors that hold no parameter; "*" as above
  std::span<const NameRule> copies = {};           // a tensor's name, and another under which files may hold it once more, or alone
  std::string_view other_architecture = {};        // that config.json may name as well
};
using Family = FamilyOf<Config>;

// The family among `all` that config.json names, by "architectures" and else by "model_type".
template <class ConfigType>
const FamilyOf<ConfigType>& family_of(std::span<const FamilyOf<ConfigType>* const> all, const Json& json) {
  std::string known, asked;
  const Json* const list = json.find("architectures");
  if (list && list->is_array() && list->size() > 0) asked = list->at(std::size_t{0}).as_text();
  const bool by_architecture = !asked.empty();
  if (!by_architecture) asked = json.text("model_type");
  for (const FamilyOf<ConfigType>* family : all) {
    const std::string_view name = by_architecture ? family->architecture : family->name;
    if (name == asked && (family->is_meant == nullptr || family->is_meant(json))) return *family;
    if (known.find(name) == std::string::npos) known.append(known.empty() ? "" : ", ").append(name);
  }
  config_json::fail(json, by_architecture ? "architectures" : "model_type",
                    concat("unknown architecture ", quoted(asked), " (known: ", known, ")"));
}

// Lists of names, one behind the other.
template <std::size_t... Sizes>
constexpr auto joined(const NameRule (&... lists)[Sizes]) {
  std::array<NameRule, (Sizes + ...)> all;
  auto* into = all.data();
  ((into = std::copy(std::begin(lists), std::end(lists), into)), ...);
  return all;
}

namespace family_detail {

// Matches "a.*.b" against the front of a path; gives the numbers that stood for "*" and what is left behind the match.
struct Match {
  bool found = false;
  std::array<std::string_view, 2> numbers = {};
  std::string_view rest;
};
inline Match match(std::string_view pattern, std::string_view path) {
  Match result;
  std::size_t stars = 0;
  for (; !pattern.empty(); pattern.remove_prefix(1)) {
    if (pattern.front() != '*') {
      if (path.empty() || path.front() != pattern.front()) return {};
      path.remove_prefix(1);
      continue;
    }
    std::size_t digits = 0;
    while (digits < path.size() && path[digits] >= '0' && path[digits] <= '9') ++digits;
    if (digits == 0 || stars == result.numbers.size()) return {};
    result.numbers[stars++] = path.substr(0, digits);
    path.remove_prefix(digits);
  }
  if (!path.empty() && path.front() != '.') return {};
  result.found = true;
  result.rest = path;
  return result;
}

}  // namespace family_detail

// The file's name of one of our parameters.
struct FileName {
  std::string name;
  bool transposed = false, as_row = false;
};
template <class ConfigType>
FileName file_name(const FamilyOf<ConfigType>& family, std::string_view path) {
  for (const NameRule& rule : family.names) {
    const auto found = family_detail::match(rule.ours, path);
    if (!found.found) continue;
    std::string name(rule.theirs);
    for (const std::string_view number : found.numbers)
      if (const std::size_t star = name.find('*'); star != std::string::npos) name.replace(star, 1, number);
    return {name.append(found.rest), rule.transposed && found.rest == ".weight", rule.as_row};
  }
  throw ArgumentError(concat("[", family.name, "] has no name for the parameter ", path));
}

inline bool is_ignored(std::span<const std::string_view> patterns, std::string_view name) {
  for (const std::string_view pattern : patterns) {
    const auto found = family_detail::match(pattern, name);
    if (found.found && found.rest.empty()) return true;
  }
  return false;
}

}  // namespace plume::inline PLUME_ABI
