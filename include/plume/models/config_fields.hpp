#pragma once
// The fields of a Config by name, and a text of them. The structs are taken apart whole: one with a new field compiles no more until the
// field has a name here.
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "plume/base/text.hpp"
#include "plume/models/config.hpp"

namespace plume::inline PLUME_ABI {

// visit_fields(config, f): f(name, field) for each field of a Config or of a struct in it.
template <class Self, class F>
requires std::is_same_v<std::remove_const_t<Self>, Activation>
void visit_fields(Self& self, F&& f) {
  auto& [kind, slope, shift, limit] = self;
  f("kind", kind), f("slope", slope), f("shift", shift), f("limit", limit);
}
template <class Self, class F>
requires std::is_same_v<std::remove_const_t<Self>, Rotary>
void visit_fields(Self& self, F&& f) {
  auto& [base, width, layout, scaling, factor, fast, slow, whole_pairs, amplitude, trained_context, short_factors, long_factors,
         two_streams, half_precision] = self;
  f("base", base), f("width", width), f("layout", layout), f("scaling", scaling), f("factor", factor), f("fast", fast), f("slow", slow);
  f("whole_pairs", whole_pairs), f("amplitude", amplitude), f("trained_context", trained_context), f("short_factors", short_factors);
  f("long_factors", long_factors), f("two_streams", two_streams), f("half_precision", half_precision);
}
template <class Self, class F>
requires std::is_same_v<std::remove_const_t<Self>, RelativeBuckets>
void visit_fields(Self& self, F&& f) {
  auto& [count, reach, both_directions] = self;
  f("count", count), f("reach", reach), f("both_directions", both_directions);
}
template <class Self, class F>
requires std::is_same_v<std::remove_const_t<Self>, LayerKind>
void visit_fields(Self& self, F&& f) {
  auto& [scope, rotates, experts] = self;
  f("scope", scope), f("rotates", rotates), f("experts", experts);
}
template <class Self, class F>
requires std::is_same_v<std::remove_const_t<Self>, ExpertsShape>
void visit_fields(Self& self, F&& f) {
  auto& [count, chosen, hidden, shared_hidden, weights] = self;
  f("count", count), f("chosen", chosen), f("hidden", hidden), f("shared_hidden", shared_hidden), f("weights", weights);
}
template <class Self, class F>
requires std::is_same_v<std::remove_const_t<Self>, Task>
void visit_fields(Self& self, F&& f) {
  auto& [kind, labels, bias, problem, names, padding] = self;
  f("kind", kind), f("labels", labels), f("bias", bias), f("problem", problem), f("names", names), f("padding", padding);
}
template <class Self, class F>
requires std::is_same_v<std::remove_const_t<Self>, Infilling>
void visit_fields(Self& self, F&& f) {
  auto& [masks, continuation, continuation_counts, begin, end_of_text] = self;
  f("masks", masks), f("continuation", continuation), f("continuation_counts", continuation_counts), f("begin", begin);
  f("end_of_text", end_of_text);
}
template <class Self, class F>
requires std::is_same_v<std::remove_const_t<Self>, Config>
void visit_fields(Self& self, F&& f) {
  auto& [family, vocabulary, context, width, layers, hidden, heads, key_heads, head_width, norm, norm_epsilon, norm_offset, wiring,
         norm_place, residual_scale, position, first_position, rotary, local_rotary, relative, window, layer_kinds, qkv_layout, qk_norm,
         attention_scale, attention_cap, activation, gated, gate_layout, experts, norm_bias, qkv_bias, output_bias, mlp_bias, head_bias,
         embedding_scale, embedding_norm, final_norm, logit_cap, tied_head, task, bidirectional, cross_attention, frozen_token,
         begin_tokens, end_tokens, infilling] = self;
  f("family", family), f("vocabulary", vocabulary), f("context", context), f("width", width), f("layers", layers), f("hidden", hidden);
  f("heads", heads), f("key_heads", key_heads), f("head_width", head_width), f("norm", norm), f("norm_epsilon", norm_epsilon);
  f("norm_offset", norm_offset), f("wiring", wiring), f("norm_place", norm_place), f("residual_scale", residual_scale);
  f("position", position), f("first_position", first_position), f("rotary", rotary), f("local_rotary", local_rotary);
  f("relative", relative), f("window", window), f("layer_kinds", layer_kinds), f("qkv_layout", qkv_layout), f("qk_norm", qk_norm);
  f("attention_scale", attention_scale), f("attention_cap", attention_cap), f("activation", activation), f("gated", gated);
  f("gate_layout", gate_layout), f("experts", experts), f("norm_bias", norm_bias), f("qkv_bias", qkv_bias), f("output_bias", output_bias);
  f("mlp_bias", mlp_bias), f("head_bias", head_bias), f("embedding_scale", embedding_scale), f("embedding_norm", embedding_norm);
  f("final_norm", final_norm), f("logit_cap", logit_cap), f("tied_head", tied_head), f("task", task), f("bidirectional", bidirectional);
  f("cross_attention", cross_attention), f("frozen_token", frozen_token), f("begin_tokens", begin_tokens), f("end_tokens", end_tokens);
  f("infilling", infilling);
}

// One line for models whose weights go together: every field that is not as in Config{}, but for the names of things (family, labels) and
// the tokens around a text.      "vocabulary 59, context 32, ..., rotary.base 10000, ..."
PLUME_FUNCTION std::string describe(const Config& config);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <optional>
#include <utility>

namespace plume::inline PLUME_ABI {

namespace config_fields {

inline constexpr std::string_view unsaid[] = {"family", "begin_tokens", "end_tokens", "task.names"};

template <class T>
inline constexpr bool is_list = false;
template <class T>
inline constexpr bool is_list<std::vector<T>> = true;

template <class T>
void say(std::string& text, const std::string& name, const T& value, const T& usual) {
  if (value == usual || std::find(std::begin(unsaid), std::end(unsaid), name) != std::end(unsaid)) return;
  const auto put = [&](const auto& what) { text.append(concat(text.empty() ? "" : ", ", name, ' ', what)); };
  if constexpr (requires { visit_fields(value, [](auto&&...) {}); }) {
    std::vector<const void*> places;
    visit_fields(usual, [&](std::string_view, const auto& field) { places.push_back(&field); });
    std::size_t i = 0;
    visit_fields(value, [&]<class Field>(std::string_view inner, const Field& field) {
      say(text, name.empty() ? std::string(inner) : concat(name, '.', inner), field, *static_cast<const Field*>(places[i++]));
    });
  } else if constexpr (requires { value.has_value(); }) {
    put(value.has_value() ? "given" : "none");
    if (value) say(text, name, *value, {});
  } else if constexpr (is_list<T>) {
    put(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) say(text, concat(name, '[', i, ']'), value[i], {});
  } else if constexpr (std::is_enum_v<T>) {
    put(static_cast<int>(value));
  } else {
    put(value);
  }
}

}  // namespace config_fields

PLUME_FUNCTION std::string describe(const Config& config) {
  std::string text;
  config_fields::say(text, {}, config, Config{});
  return text;
}

}  // namespace plume::inline PLUME_ABI
#endif
