#pragma once
// Mixtures of experts of Qwen 2, with an expert that all tokens go through, and of Qwen 3.
#include "plume/models/families/mixtral.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule qwen_experts_names[] = {
    {"blocks.*.experts.router", "model.layers.*.mlp.gate"},
    {"blocks.*.experts.experts.*.gate", "model.layers.*.mlp.experts.*.gate_proj"},
    {"blocks.*.experts.experts.*.up", "model.layers.*.mlp.experts.*.up_proj"},
    {"blocks.*.experts.experts.*.down", "model.layers.*.mlp.experts.*.down_proj"},
    {"blocks.*.experts.shared.gate", "model.layers.*.mlp.shared_expert.gate_proj"},
    {"blocks.*.experts.shared.up", "model.layers.*.mlp.shared_expert.up_proj"},
    {"blocks.*.experts.shared.down", "model.layers.*.mlp.shared_expert.down_proj"},
    {"blocks.*.experts.shared_gate", "model.layers.*.mlp.shared_expert_gate"},
};
inline constexpr auto qwen2_moe_names =
    joined(llama_frame_names, llama_attention_names, llama_norm_names, llama_mlp_names, qwen_experts_names);
inline constexpr auto qwen3_moe_names =
    joined(llama_frame_names, llama_attention_names, qk_norm_names, llama_norm_names, llama_mlp_names, qwen_experts_names);

inline constexpr LlamaDefaults qwen2_moe_defaults{.context = 32768, .key_heads = 16};
inline constexpr LlamaDefaults qwen3_moe_defaults{.context = 32768, .key_heads = 4};

// Dense layers stand where mlp_only_layers names them, and between every decoder_sparse_step ones.
inline void read_qwen_experts(const Json& json, Config& c, std::string_view count_key, Index count, Index chosen, Index hidden) {
  read_experts(json, c, count_key, count, chosen);
  c.experts.hidden = config_json::positive(json, "moe_intermediate_size", hidden);
  c.experts.weights = json.boolean("norm_topk_prob", false) ? ExpertWeights::renormalised : ExpertWeights::as_they_are;
  const Index step = config_json::positive(json, "decoder_sparse_step", 1);
  for (std::size_t i = 0; i < c.layer_kinds.size(); ++i) c.layer_kinds[i].experts = (static_cast<Index>(i) + 1) % step == 0;
  if (const Json* const dense = json.find("mlp_only_layers"); dense && !dense->is_null())
    for (const Json& layer : dense->items()) {
      const std::int64_t index = layer.as_integer();
      if (index < 0 || index >= c.layers) layer.fail(concat("layer ", index, " of ", c.layers));
      if (!c.layer_kinds.empty()) c.layer_kinds[static_cast<std::size_t>(index)].experts = false;
    }
}
inline void write_qwen_experts(const Config& c, Json& json, std::string_view count_key) {
  Json dense = Json::array();
  for (Index i = 0; i < c.layers; ++i)
    if (!c.layer(i).experts) dense.push(i);
  json.set(count_key, c.experts.count)
      .set("num_experts_per_tok", c.experts.chosen)
      .set("moe_intermediate_size", c.experts.hidden)
      .set("norm_topk_prob", c.experts.weights == ExpertWeights::renormalised)
      .set("decoder_sparse_step", 1)
      .set("mlp_only_layers", std::move(dense))
      .set("use_sliding_window", c.window > 0)
      .set("sliding_window", c.window > 0 ? Json(c.window) : Json());
}

inline Config read_qwen2_moe(const Json& json) {
  Config c = read_llama_shape(json, qwen2_moe_defaults);
  c.qkv_bias = json.boolean("qkv_bias", true);
  c.window = json.boolean("use_sliding_window", false) ? config_json::positive(json, "sliding_window", 4096) : 0;
  const Index last = json.integer("max_window_layers", 28);
  read_layer_types(json, c, [&](Index layer) { return c.window > 0 && layer % 2 == 0 && layer < last; });
  read_qwen_experts(json, c, "num_experts", 60, 4, 1408);
  c.experts.shared_hidden = config_json::positive(json, "shared_expert_intermediate_size", 5632);
  return c;
}
inline void write_qwen2_moe(const Config& c, Json& json) {
  write_llama_shape(c, json, qwen2_moe_defaults);
  write_qwen_experts(c, json, "num_experts");
  json.set("qkv_bias", c.qkv_bias).set("shared_expert_intermediate_size", c.experts.shared_hidden);
  write_layer_types(c, json);
}
inline constexpr Family qwen2_moe{
    .name = "qwen2_moe", .architecture = "Qwen2MoeForCausalLM", .read = read_qwen2_moe, .write = write_qwen2_moe, .names = qwen2_moe_names};

inline Config read_qwen3_moe(const Json& json) {
  Config c = read_llama_shape(json, qwen3_moe_defaults);
  c.qkv_bias = c.output_bias = json.boolean("attention_bias", false);
  c.qk_norm = QkNorm::head;
  read_one_window(json, c, json.boolean("use_sliding_window", false));
  read_qwen_experts(json, c, config_json::spelled(json, {"num_experts", "num_local_experts"}), 128, 8, 768);
  return c;
}
inline void write_qwen3_moe(const Config& c, Json& json) {
  write_llama_shape(c, json, qwen3_moe_defaults);
  write_qwen_experts(c, json, "num_experts");
  json.set("attention_bias", c.qkv_bias || c.output_bias);
}
inline constexpr Family qwen3_moe{
    .name = "qwen3_moe", .architecture = "Qwen3MoeForCausalLM", .read = read_qwen3_moe, .write = write_qwen3_moe, .names = qwen3_moe_names};

}  // namespace plume::inline PLUME_ABI::families
