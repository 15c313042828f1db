#pragma once
// Reading and writing what config.json says: values in range, or a ConfigError at the place in the file.
#include <initializer_list>

#include "plume/base/json.hpp"
#include "plume/models/config.hpp"

namespace plume::inline PLUME_ABI {

namespace config_json {

[[noreturn]] inline void fail(const Json& json, std::string_view key, std::string_view reason) {
  const Json* const value = json.find(key);
  Where where = value ? value->where() : json.where();
  if (value == nullptr) where.field = where.field.empty() ? std::string(key) : concat(where.field, ".", key);
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
// The first of several spellings that is there, else the first.
inline std::string_view spelled(const Json& json, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys)
    if (const Json* const value = json.find(key); value && !value->is_null()) return key;
  return *keys.begin();
}
// The heads that share `width`, and the width of each where no key names it.
inline void read_heads(const Json& json, Config& c, std::string_view width_key, std::string_view heads_key) {
  c.width = positive(json, width_key);
  c.heads = c.key_heads = positive(json, heads_key);
  if (c.width % c.heads != 0) fail(json, width_key, concat(c.width, " does not divide into ", c.heads, " heads"));
  c.head_width = c.width / c.heads;
}
// The width of feed-forward layers, four times that of the model where no key names it.
inline Index read_hidden(const Json& json, const Config& c, std::string_view key) {
  constexpr Index widest = Index{1} << 40;  // beyond this four times it would not fit; Config::check() draws the real line
  return positive(json, key, 4 * std::min(c.width, widest));
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
                                                 {"gelu_fast", {ActivationKind::gelu_tanh}},
                                                 {"gelu_accurate", {ActivationKind::gelu_tanh}},
                                                 {"gelu_python", {ActivationKind::gelu_erf}},
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
// A name of an activation, `wish` if that is one; an empty text when the format has none for it.
inline std::string_view activation_name(const Activation& activation, std::string_view wish = {}) {
  std::string_view found;
  for (const ActivationName& entry : activations)
    if (entry.activation == activation && (found.empty() || entry.name == wish)) found = entry.name;
  return found;
}

}  // namespace config_json

}  // namespace plume::inline PLUME_ABI
