#pragma once
// Rotary positions in config.json: "rope_theta" and "rope_scaling" in older files, "rope_parameters" in newer ones.
#include "plume/models/config_json.hpp"

namespace plume::inline PLUME_ABI {

// What a family says where its files are silent, and how they spell it.
struct RotaryKeys {
  double base = 10000;
  double partial = 1;  // share of a head that turns
  std::string_view base_key = "rope_theta", partial_key = "partial_rotary_factor";
  std::string_view layer_type = {};  // of nested "rope_parameters"
  Index trained_context = 0;         // 0: that of the file
};

namespace config_json {

PLUME_FUNCTION Rotary read_rotary(const Json& json, const Config& config, const RotaryKeys& keys = {});
PLUME_FUNCTION void write_rotary(const Rotary& rotary, const Config& config, Json& json, const RotaryKeys& keys = {});

}  // namespace config_json
}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI::config_json {

struct ScalingName {
  std::string_view name;
  RotaryScaling scaling;
};
inline constexpr ScalingName scalings[] = {{"default", RotaryScaling::none},    {"linear", RotaryScaling::linear},
                                           {"dynamic", RotaryScaling::dynamic}, {"yarn", RotaryScaling::yarn},
                                           {"llama3", RotaryScaling::llama3},   {"longrope", RotaryScaling::longrope},
                                           {"su", RotaryScaling::longrope}};  // Phi-3's first name for it

inline std::vector<double> numbers(const Json& json, std::string_view key) {
  std::vector<double> list;
  for (const Json& item : json.at(key).items()) list.push_back(item.as_number());
  return list;
}

PLUME_FUNCTION Rotary read_rotary(const Json& json, const Config& config, const RotaryKeys& keys) {
  const Json* rope = json.find("rope_scaling");
  if (rope == nullptr || rope->is_null()) rope = json.find("rope_parameters");
  if (rope && rope->is_object() && !keys.layer_type.empty())
    if (const Json* const nested = rope->find(keys.layer_type)) rope = nested;
  const Json none = Json::object();
  if (rope == nullptr || rope->is_null()) rope = &none;

  constexpr double largest = 1e300;
  Rotary rotary;
  rotary.base = between(*rope, "rope_theta", between(json, keys.base_key, keys.base, 0, largest), 0, largest);
  const double partial = between(*rope, "partial_rotary_factor", between(json, keys.partial_key, keys.partial, 0, 1.001), 0, 1.001);
  rotary.width = static_cast<Index>(static_cast<double>(config.head_width) * std::min(partial, 1.0));
  if (rotary.width < 2 || rotary.width % 2 != 0)
    fail(json, keys.partial_key, concat(rotary.width, " of the ", config.head_width, " elements of a head turn, expected an even number"));

  const std::string type = rope->text("rope_type", rope->text("type", "default"));
  const auto found = std::find_if(std::begin(scalings), std::end(scalings), [&](const ScalingName& entry) { return entry.name == type; });
  if (found == std::end(scalings))
    fail(*rope, rope->find("rope_type") ? "rope_type" : "type",
         concat("unknown type ", quoted(type), " (known: default, linear, dynamic, yarn, llama3, longrope)"));
  rotary.scaling = found->scaling;
  if (rotary.scaling == RotaryScaling::none) return rotary;

  const Index in_file = positive(*rope, "original_max_position_embeddings", config.context);
  rotary.trained_context = positive(json, "original_max_position_embeddings", keys.trained_context > 0 ? keys.trained_context : in_file);
  if (rotary.scaling == RotaryScaling::dynamic) rotary.trained_context = config.context;
  if (rotary.scaling == RotaryScaling::linear) rotary.trained_context = 0;
  const double longer = static_cast<double>(config.context) / static_cast<double>(std::max<Index>(rotary.trained_context, 1));
  const bool has_default = rotary.scaling == RotaryScaling::yarn || rotary.scaling == RotaryScaling::longrope;
  if (!has_default && !rope->find("factor")) fail(*rope, "factor", "is missing");
  rotary.factor = between(*rope, "factor", longer, 0, largest);

  switch (rotary.scaling) {
    case RotaryScaling::none:
    case RotaryScaling::linear:
    case RotaryScaling::dynamic:
      break;
    case RotaryScaling::yarn: {
      rotary.fast = between(*rope, "beta_fast", 32, 0, largest);
      rotary.slow = between(*rope, "beta_slow", 1, 0, largest);
      rotary.whole_pairs = rope->boolean("truncate", true);
      const auto grown = [&](double weight) { return rotary.factor <= 1 ? 1 : 0.1 * weight * std::log(rotary.factor) + 1; };
      const double above = rope->number("mscale", 0), below = rope->number("mscale_all_dim", 0);
      const double usual = above != 0 && below != 0 ? grown(above) / grown(below) : grown(1);
      rotary.amplitude = between(*rope, "attention_factor", usual, 0, largest);
      break;
    }
    case RotaryScaling::llama3:
      rotary.slow = between(*rope, "low_freq_factor", 1, 0, largest);
      rotary.fast = between(*rope, "high_freq_factor", 4, 0, largest);
      break;
    case RotaryScaling::longrope: {
      rotary.short_factors = numbers(*rope, "short_factor");
      rotary.long_factors = numbers(*rope, "long_factor");
      for (const auto& [key, list] : {std::pair{"short_factor", &rotary.short_factors}, {"long_factor", &rotary.long_factors}})
        if (static_cast<Index>(list->size()) != rotary.width / 2)
          fail(*rope, key, concat("has ", list->size(), " numbers, expected ", rotary.width / 2));
      const double usual =
          rotary.factor <= 1 ? 1 : std::sqrt(1 + std::log(rotary.factor) / std::log(static_cast<double>(rotary.trained_context)));
      rotary.amplitude = between(*rope, "attention_factor", usual, 0, largest);
      break;
    }
  }
  return rotary;
}

PLUME_FUNCTION void write_rotary(const Rotary& rotary, const Config& config, Json& json, const RotaryKeys& keys) {
  json.set(keys.base_key, rotary.base);
  if (rotary.width != config.head_width || keys.partial != 1) {
    const double head = static_cast<double>(config.head_width), turned = static_cast<double>(rotary.width);
    double partial = turned / head;
    if (partial * head < turned) partial = std::nextafter(partial, 2.0);  // readers cut the product off
    json.set(keys.partial_key, partial);
  }
  if (rotary.scaling == RotaryScaling::none) return void(json.set("rope_scaling", nullptr));
  Json rope = Json::object();
  for (const ScalingName& entry : scalings)
    if (entry.scaling == rotary.scaling && !rope.find("rope_type")) rope.set("rope_type", entry.name);
  rope.set("factor", rotary.factor);
  if (rotary.scaling != RotaryScaling::linear && rotary.scaling != RotaryScaling::dynamic)
    rope.set("original_max_position_embeddings", rotary.trained_context);
  if (keys.trained_context > 0) json.set("original_max_position_embeddings", rotary.trained_context);
  const auto list = [](const std::vector<double>& values) {
    Json array = Json::array();
    for (const double value : values) array.push(value);
    return array;
  };
  if (rotary.scaling == RotaryScaling::yarn)
    rope.set("beta_fast", rotary.fast).set("beta_slow", rotary.slow).set("truncate", rotary.whole_pairs);
  if (rotary.scaling == RotaryScaling::llama3) rope.set("low_freq_factor", rotary.slow).set("high_freq_factor", rotary.fast);
  if (rotary.scaling == RotaryScaling::longrope)
    rope.set("short_factor", list(rotary.short_factors)).set("long_factor", list(rotary.long_factors));
  if (rotary.scaling == RotaryScaling::yarn || rotary.scaling == RotaryScaling::longrope) rope.set("attention_factor", rotary.amplitude);
  json.set("rope_scaling", std::move(rope));
}

}  // namespace plume::inline PLUME_ABI::config_json
#endif
