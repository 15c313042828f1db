#pragma once
// What the families that descend from LLaMA share: the names of their tensors, and the keys of their config.json.
#include "plume/models/family.hpp"
#include "plume/models/rotary_json.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule llama_frame_names[] = {
    {"embedding", "model.embed_tokens"},
    {"norm", "model.norm"},
    {"head", "lm_head"},
};
inline constexpr NameRule llama_attention_names[] = {
    {"blocks.*.attention.q", "model.layers.*.self_attn.q_proj"},
    {"blocks.*.attention.k", "model.layers.*.self_attn.k_proj"},
    {"blocks.*.attention.v", "model.layers.*.self_attn.v_proj"},
    {"blocks.*.attention.output", "model.layers.*.self_attn.o_proj"},
};
inline constexpr NameRule llama_norm_names[] = {
    {"blocks.*.attention_norm", "model.layers.*.input_layernorm"},
    {"blocks.*.mlp_norm", "model.layers.*.post_attention_layernorm"},
};
// Norms of queries and keys, which some have.
inline constexpr NameRule qk_norm_names[] = {
    {"blocks.*.attention.q_norm", "model.layers.*.self_attn.q_norm"},
    {"blocks.*.attention.k_norm", "model.layers.*.self_attn.k_norm"},
};
inline constexpr NameRule llama_mlp_names[] = {
    {"blocks.*.mlp.gate", "model.layers.*.mlp.gate_proj"},
    {"blocks.*.mlp.up", "model.layers.*.mlp.up_proj"},
    {"blocks.*.mlp.down", "model.layers.*.mlp.down_proj"},
};
inline constexpr auto llama_names = joined(llama_frame_names, llama_attention_names, llama_norm_names, llama_mlp_names);
inline constexpr std::string_view llama_ignored[] = {"model.layers.*.self_attn.rotary_emb.inv_freq"};

// Where transformers' classes differ in what an absent key means.
struct LlamaDefaults {
  Index context = 2048, key_heads = 0, head_width = 0;  // 0: as many as heads; width / heads
  double epsilon = 1e-6;
  std::string_view activation = "silu", activation_key = "hidden_act", epsilon_key = "rms_norm_eps";
  bool tied_head = false;
  RotaryKeys rotary = {};
};

inline Config read_llama_shape(const Json& json, const LlamaDefaults& defaults) {
  using namespace config_json;
  Config c;
  c.vocabulary = positive(json, "vocab_size");
  c.context = positive(json, "max_position_embeddings", defaults.context);
  c.width = positive(json, "hidden_size");
  c.hidden = positive(json, "intermediate_size");
  c.layers = positive(json, "num_hidden_layers");
  c.heads = positive(json, "num_attention_heads");
  const bool null_key_heads = json.find("num_key_value_heads") != nullptr;  // a null there means as many as heads
  c.key_heads = positive(json, "num_key_value_heads", defaults.key_heads > 0 && !null_key_heads ? defaults.key_heads : c.heads);
  if (c.heads % c.key_heads != 0)
    fail(json, "num_key_value_heads", concat(c.heads, " attention heads cannot share ", c.key_heads, " key-value heads"));
  const Json* const head = json.find("head_dim");
  const bool has_head = defaults.head_width > 0 || (head != nullptr && !head->is_null());
  if (!has_head && c.width % c.heads != 0)
    fail(json, "hidden_size", concat(c.width, " does not divide into ", c.heads, " heads, and there is no head_dim"));
  c.head_width = positive(json, "head_dim", defaults.head_width > 0 ? defaults.head_width : c.width / c.heads);
  if (c.head_width % 2 != 0)
    fail(json, head ? "head_dim" : "hidden_size", concat("heads of ", c.head_width, " are odd, rotary positions need pairs"));
  c.norm_epsilon = between(json, defaults.epsilon_key, defaults.epsilon, 0, 1);
  c.rotary = read_rotary(json, c, defaults.rotary);
  c.activation = activation(json, defaults.activation_key, defaults.activation);
  c.tied_head = json.boolean("tie_word_embeddings", defaults.tied_head);
  c.begin_tokens = tokens(json, "bos_token_id", c.vocabulary);
  c.end_tokens = tokens(json, "eos_token_id", c.vocabulary);
  return c;
}

inline void write_llama_shape(const Config& c, Json& json, const LlamaDefaults& defaults = {}) {
  json.set("vocab_size", c.vocabulary)
      .set("max_position_embeddings", c.context)
      .set("hidden_size", c.width)
      .set("intermediate_size", c.hidden)
      .set("num_hidden_layers", c.layers)
      .set("num_attention_heads", c.heads)
      .set("num_key_value_heads", c.key_heads)
      .set("head_dim", c.head_width)
      .set(defaults.epsilon_key, c.norm_epsilon)
      .set(defaults.activation_key, config_json::activation_name(c.activation, defaults.activation))
      .set("tie_word_embeddings", c.tied_head)
      .set("bos_token_id", config_json::tokens(c.begin_tokens))
      .set("eos_token_id", config_json::tokens(c.end_tokens));
  config_json::write_rotary(c.rotary, c, json, defaults.rotary);
}

// "layer_types", and where it is absent what `is_local` says of each layer. Layers of local scope see the last `c.window` keys.
template <class IsLocal>
void read_layer_types(const Json& json, Config& c, IsLocal&& is_local) {
  const Json* const list = json.find("layer_types");
  const bool listed = list != nullptr && !list->is_null();
  if (listed && static_cast<Index>(list->size()) != c.layers)
    config_json::fail(json, "layer_types", concat("names ", list->size(), " layers of ", c.layers));
  c.layer_kinds.resize(c.layers <= 1 << 20 ? static_cast<std::size_t>(c.layers) : 0);  // Config::check() refuses more
  bool differs = false;
  for (std::size_t i = 0; i < c.layer_kinds.size(); ++i) {
    bool local = !listed && is_local(static_cast<Index>(i));
    if (listed) {
      const std::string& type = list->at(i).as_text();
      if (type != "full_attention" && type != "sliding_attention")
        list->at(i).fail(concat("unknown layer type ", quoted(type), " (known: full_attention, sliding_attention)"));
      local = type == "sliding_attention";
      if (local && c.window == 0) list->at(i).fail("asks for a window, but the configuration has none");
    }
    if (local) c.layer_kinds[i].scope = AttentionScope::local;
    differs = differs || local;
  }
  if (!differs) c.layer_kinds.clear(), c.window = 0;
}
inline void write_layer_types(const Config& c, Json& json) {
  Json list = Json::array();
  for (Index i = 0; i < c.layers; ++i) list.push(c.layer(i).scope == AttentionScope::local ? "sliding_attention" : "full_attention");
  json.set("layer_types", std::move(list));
}

}  // namespace plume::inline PLUME_ABI::families
