#pragma once
// A model family as data: how its config.json reads and writes, and what its tensors are called.
#include <span>

#include "plume/base/json.hpp"
#include "plume/models/config.hpp"

namespace plume::inline PLUME_ABI {

// Our module path and theirs; "*" is a layer number. What follows (".weight", ".bias") is the same on both sides.
struct NameRule {
  std::string_view ours, theirs;
  bool transposed = false;  // the file stores (in, out)
};

struct Family {
  std::string_view name;               // config.json "model_type"
  std::string_view architecture = {};  // config.json "architectures"[0]
  Config (*read)(const Json& json) = nullptr;
  void (*write)(const Config& config, Json& json) = nullptr;
  bool (*fits)(const Config& config) = nullptr;  // whether a configuration can be written as this family
  std::span<const NameRule> names = {};
  std::string_view optional_prefix = {};           // of every tensor, in some files
  std::span<const std::string_view> ignored = {};  // tensors that hold no parameter; "*" as above
};

namespace family_detail {

// Matches "a.*.b" against the front of a path; gives the number that stood for "*" and what is left behind the match.
struct Match {
  bool found = false;
  std::string_view number, rest;
};
inline Match match(std::string_view pattern, std::string_view path) {
  Match result;
  const std::size_t star = pattern.find('*');
  if (star != std::string_view::npos) {
    if (!path.starts_with(pattern.substr(0, star))) return result;
    path.remove_prefix(star);
    std::size_t digits = 0;
    while (digits < path.size() && path[digits] >= '0' && path[digits] <= '9') ++digits;
    if (digits == 0) return result;
    result.number = path.substr(0, digits);
    path.remove_prefix(digits);
    pattern.remove_prefix(star + 1);
  }
  if (!path.starts_with(pattern)) return result;
  path.remove_prefix(pattern.size());
  if (!path.empty() && path.front() != '.') return result;
  result.found = true;
  result.rest = path;
  return result;
}

}  // namespace family_detail

// The file's name of one of our parameters.
struct FileName {
  std::string name;
  bool transposed = false;
};
inline FileName file_name(const Family& family, std::string_view path) {
  for (const NameRule& rule : family.names) {
    const auto found = family_detail::match(rule.ours, path);
    if (!found.found) continue;
    std::string name(rule.theirs);
    if (const std::size_t star = name.find('*'); star != std::string::npos) name.replace(star, 1, found.number);
    return {name.append(found.rest), rule.transposed && found.rest == ".weight"};
  }
  throw ArgumentError(concat("[", family.name, "] has no name for the parameter ", path));
}

inline bool is_ignored(const Family& family, std::string_view name) {
  for (const std::string_view pattern : family.ignored) {
    const auto found = family_detail::match(pattern, name);
    if (found.found && found.rest.empty()) return true;
  }
  return false;
}

// Reading config.json: values in range or a ConfigError at the place in the file.
namespace config_json {

[[noreturn]] inline void fail(const Json& json, std::string_view key, std::string_view reason) {
  const Json* const value = json.find(key);
  Where where = value ? value->where() : json.where();
  if (value == nullptr) where.field = std::string(key);
  throw ConfigError(std::move(where), reason);
}
inline Index positive(const Json& json, std::string_view key) {
  const Index value = json.integer(key);
  if (value < 1) fail(json, key, concat("is ", value, ", expected at least 1"));
  return value;
}
inline Index positive(const Json& json, std::string_view key, Index fallback) {
  const Json* const found = json.find(key);
  return found && !found->is_null() ? positive(json, key) : fallback;
}
inline double between(const Json& json, std::string_view key, double fallback, double low, double high) {
  const double value = json.number(key, fallback);
  if (!(value > low && value < high)) fail(json, key, concat("is ", value, ", expected a number between ", low, " and ", high));
  return value;
}
// A setting that changes the mathematics and has one supported value.
inline void only(const Json& json, std::string_view key, bool supported) {
  if (json.boolean(key, supported) != supported) fail(json, key, concat("only ", supported, " is supported"));
}
inline std::vector<TokenId> tokens(const Json& json, std::string_view key, Index vocabulary) {
  std::vector<TokenId> ids;
  const Json* const value = json.find(key);
  if (value == nullptr || value->is_null()) return ids;
  const auto add = [&](const Json& item) {
    const Index id = item.as_integer();
    if (id < 0 || id >= vocabulary) throw ConfigError(item.where(), concat("token ", id, " is not in a vocabulary of ", vocabulary));
    ids.push_back(static_cast<TokenId>(id));
  };
  if (value->is_array()) {
    for (const Json& item : value->items()) add(item);
  } else {
    add(*value);
  }
  return ids;
}
inline Json tokens(const std::vector<TokenId>& ids) {
  if (ids.empty()) return {};
  if (ids.size() == 1) return ids.front();
  Json list = Json::array();
  for (const TokenId id : ids) list.push(id);
  return list;
}

struct ActivationName {
  std::string_view name;
  Activation activation;
};
inline constexpr ActivationName activations[] = {{"silu", {ActivationKind::silu}},
                                                 {"swish", {ActivationKind::silu}},
                                                 {"gelu_new", {ActivationKind::gelu_tanh}},
                                                 {"gelu_pytorch_tanh", {ActivationKind::gelu_tanh}},
                                                 {"gelu", {ActivationKind::gelu_erf}},
                                                 {"relu", {ActivationKind::relu}},
                                                 {"quick_gelu", {ActivationKind::silu, 1.702}}};

inline Activation activation(const Json& json, std::string_view key, std::string_view fallback) {
  const std::string name = json.text(key, fallback);
  std::string known;
  for (const ActivationName& entry : activations) {
    if (entry.name == name) return entry.activation;
    known.append(known.empty() ? "" : ", ").append(entry.name);
  }
  fail(json, key, concat("unknown activation ", quoted(name), " (known: ", known, ")"));
}
// The name of an activation, or an empty text when the format has none for it.
inline std::string_view activation_name(const Activation& activation) {
  for (const ActivationName& entry : activations)
    if (entry.activation.kind == activation.kind && entry.activation.slope == activation.slope && activation.shift == 0 &&
        std::isinf(activation.limit))
      return entry.name;
  return {};
}

}  // namespace config_json
}  // namespace plume::inline PLUME_ABI
