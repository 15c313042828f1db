#pragma once
// What GGUF files say of a model, for reading and for writing them: the architectures, the names of tensors, and the configuration that
// keys and tensors amount to.      [ggml-org/ggml docs/gguf.md; llama.cpp]
#include "plume/base/config.hpp"

#if PLUME_BODIES
#include <functional>
#include <set>

#include "plume/base/gguf.hpp"
#include "plume/models/families/families.hpp"
#include "plume/ops/add.hpp"

namespace plume::inline PLUME_ABI {

namespace gguf_model {

// How an architecture's files differ from those of the family.
struct Architecture {
  std::string_view name, model_type;
  bool interleaved = false;        // rows of queries and keys lie in pairs that turn together
  bool gains_with_offset = false;  // gains hold the family's offset already
  bool parts_in_turn = false;      // a fused projection holds all queries, all keys, all values
};
inline constexpr Architecture architectures[] = {
    {.name = "llama", .model_type = "llama", .interleaved = true},
    {.name = "gpt2", .model_type = "gpt2"},
    {.name = "qwen2", .model_type = "qwen2"},
    {.name = "qwen3", .model_type = "qwen3"},
    {.name = "qwen2moe", .model_type = "qwen2_moe"},
    {.name = "qwen3moe", .model_type = "qwen3_moe"},
    {.name = "gemma", .model_type = "gemma", .gains_with_offset = true},
    {.name = "gemma2", .model_type = "gemma2", .gains_with_offset = true},
    {.name = "gemma3", .model_type = "gemma3_text", .gains_with_offset = true},
    {.name = "phi3", .model_type = "phi3"},
    {.name = "olmo2", .model_type = "olmo2"},
    {.name = "smollm3", .model_type = "smollm3", .interleaved = true},
    {.name = "stablelm", .model_type = "stablelm"},
    {.name = "gptneox", .model_type = "gpt_neox", .parts_in_turn = true},
    {.name = "bloom", .model_type = "bloom", .parts_in_turn = true},
};

// Our names and theirs; a star of ours that theirs lacks counts the matrices of one tensor.
inline constexpr NameRule names[] = {
    {"embedding", "token_embd"},
    {"embedding_norm", "token_embd_norm"},
    {"position", "position_embd"},
    {"blocks.*.attention_norm", "blk.*.attn_norm"},
    {"blocks.*.attention.q", "blk.*.attn_q"},
    {"blocks.*.attention.k", "blk.*.attn_k"},
    {"blocks.*.attention.v", "blk.*.attn_v"},
    {"blocks.*.attention.qkv", "blk.*.attn_qkv"},
    {"blocks.*.attention.q_norm", "blk.*.attn_q_norm"},
    {"blocks.*.attention.k_norm", "blk.*.attn_k_norm"},
    {"blocks.*.attention.output", "blk.*.attn_output"},
    {"blocks.*.attention_output_norm", "blk.*.post_attention_norm"},
    {"blocks.*.mlp_norm", "blk.*.ffn_norm"},
    {"blocks.*.mlp.gate", "blk.*.ffn_gate"},
    {"blocks.*.mlp.up", "blk.*.ffn_up"},
    {"blocks.*.mlp.gate_up", "blk.*.ffn_up"},
    {"blocks.*.mlp.down", "blk.*.ffn_down"},
    {"blocks.*.mlp_output_norm", "blk.*.post_ffw_norm"},
    {"blocks.*.experts.router", "blk.*.ffn_gate_inp"},
    {"blocks.*.experts.experts.*.gate", "blk.*.ffn_gate_exps"},
    {"blocks.*.experts.experts.*.up", "blk.*.ffn_up_exps"},
    {"blocks.*.experts.experts.*.down", "blk.*.ffn_down_exps"},
    {"blocks.*.experts.shared.gate", "blk.*.ffn_gate_shexp"},
    {"blocks.*.experts.shared.up", "blk.*.ffn_up_shexp"},
    {"blocks.*.experts.shared.down", "blk.*.ffn_down_shexp"},
    {"blocks.*.experts.shared_gate", "blk.*.ffn_gate_inp_shexp"},
    {"norm", "output_norm"},
    {"head", "output"},
};
inline constexpr Family naming{.name = "gguf", .names = names};

// A number that was written as f32, as the decimal that was meant.
inline double decimal(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double meant = 0;
  std::from_chars(text, end, meant);
  return meant;
}

// The tensor that holds a parameter, and which of its matrices.
struct Place {
  std::string name;
  Index matrix = -1;
};
inline Place place_of(std::string_view path) {
  Place place{file_name(naming, path).name};
  constexpr std::string_view experts = ".experts.experts.";
  if (const std::size_t at = path.find(experts); at != path.npos) {
    const std::string_view digits = path.substr(at + experts.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), place.matrix);
  }
  return place;
}

// Rows of a fused projection: all queries, keys and values in turn, or as the layout has them.
enum class QkvOrder : std::uint8_t { in_turn, of_layout };
inline Tensor reordered(const AttentionShape& shape, const Tensor& rows, QkvOrder order) {
  const Tensor from = rows.reshape({rows.shape()[0], rows.size() / rows.shape()[0]}), into = like(from);
  Index at = 0;
  for (const auto part : {AttentionShape::Part::queries, AttentionShape::Part::keys, AttentionShape::Part::values})
    for (const ColumnRange& range : shape.columns_of(part)) {
      const Index end = at + range.end - range.begin;
      if (order == QkvOrder::of_layout)
        into.rows(range.begin, range.end).assign(from.rows(at, end));
      else
        into.rows(at, end).assign(from.rows(range.begin, range.end));
      at = end;
    }
  return into.reshape(rows.shape());
}

// Tensors that are no parameters: what divides the rotary frequencies, and the two lists of longrope.
inline constexpr std::string_view rope_tensors[] = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"};

// What a file holds, or will hold.
struct Contents {
  const GgufHeader& header;
  std::function<bool(std::string_view)> has = {};       // a tensor of this name
  std::function<Tensor(std::string_view)> tensor = {};  // one that it has
  Index vocabulary = 0;                                 // rows of the embedding
  Index tensors = 0;                                    // how many; 0: that is not known yet
};

class ConfigReader {
 public:
  ConfigReader(Contents contents, const Limits& limits) : contents_(std::move(contents)), limits_(limits) {
    const std::string asked(header().text("general.architecture").value_or(""));
    std::string known;
    for (const Architecture& entry : architectures) {
      if (entry.name == asked) architecture_ = &entry;
      known.append(known.empty() ? "" : ", ").append(entry.name);
    }
    if (architecture_ == nullptr) fail("general.architecture", concat("unknown architecture ", quoted(asked), " (known: ", known, ")"));
    prefix_ = concat(asked, ".");
  }
  const Architecture& architecture() const { return *architecture_; }

  Config config() const {
    std::string_view model_type = architecture_->model_type;
    if (model_type == "llama" && header().integer(key("expert_count")).value_or(0) > 0) model_type = "mixtral";
    const Family* family = nullptr;
    for (const Family* const candidate : families::all)
      if (candidate->name == model_type) family = candidate;
    require(family != nullptr, "[load] there is no family ", model_type);
    Config c = config_of(*family);
    c.norm_bias = has("output_norm.bias") || has("blk.0.attn_norm.bias");
    c.qkv_bias = has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias");
    c.output_bias = has("blk.0.attn_output.bias");
    c.mlp_bias = has("blk.0.ffn_down.bias");
    c.head_bias = has("output.bias");
    if (architecture_->interleaved) c.rotary.layout = RotaryLayout::interleaved;
    c.check(header().path(), limits_);
    return c;
  }

 private:
  const GgufHeader& header() const { return contents_.header; }
  [[noreturn]] void fail(std::string_view key, std::string_view reason) const {
    const GgufEntry* const entry = header().find(key);
    throw ConfigError(entry ? header().where(*entry) : Where{.path = header().path(), .field = std::string(key)}, reason);
  }
  Config config_of(const Family& family) const {
    try {
      return families::read_config(family, Json::parse(dump(as_json()), {.limits = limits_}));  // of text, so that values know their fields
    } catch (const InputError& error) {  // it speaks of a field of config.json, which this file has no place of
      throw ConfigError({.path = header().path(), .field = error.where().field}, concat(error.reason(), " (the field is config.json's)"));
    }
  }
  std::string key(std::string_view name) const { return prefix_ + std::string(name); }
  std::optional<double> number(std::string_view name) const {
    const GgufEntry* const entry = header().find(key(name));
    if (entry == nullptr) return std::nullopt;
    if (entry->is_array()) fail(key(name), "has a value for each layer: only one for all is supported");
    const double value = *header().number(key(name));
    if (!std::isfinite(value)) fail(key(name), "is not finite");
    return entry->type == GgufType::f32 ? decimal(static_cast<float>(value)) : value;
  }
  Index positive(std::string_view name, std::optional<Index> fallback = {}) const {
    const GgufEntry* const entry = header().find(key(name));
    if (entry && entry->is_array()) fail(key(name), "has a value for each layer: only one for all is supported");
    const std::optional<std::int64_t> value = header().integer(key(name));
    if (!value && !fallback) fail(key(name), "is missing");
    if (value && *value < 1) fail(key(name), concat("is ", *value, ", expected at least 1"));
    return value ? static_cast<Index>(*value) : *fallback;
  }
  bool has(std::string_view tensor) const { return contents_.has(tensor); }

  // What config.json would say. Families read the keys that are theirs.
  Json as_json() const {
    Json json = Json::object();
    if (contents_.vocabulary < 1) fail("token_embd.weight", "is no tensor of rank 2");
    const Index width = positive("embedding_length"), layers = positive("block_count"), heads = positive("attention.head_count"),
                context = positive("context_length"), head_width = positive("attention.key_length", std::max<Index>(width / heads, 1));
    if (contents_.tensors > 0 && layers > contents_.tensors)
      fail(key("block_count"), concat("is ", layers, ", but the file holds only ", contents_.tensors, " tensors: some are missing"));
    if (positive("attention.value_length", head_width) != head_width)
      fail(key("attention.value_length"), concat("differs from the keys' ", head_width));
    json.set("vocab_size", contents_.vocabulary);
    for (const char* name : {"hidden_size", "n_embd"}) json.set(name, width);
    for (const char* name : {"num_hidden_layers", "n_layer"}) json.set(name, layers);
    for (const char* name : {"num_attention_heads", "n_head"}) json.set(name, heads);
    for (const char* name : {"max_position_embeddings", "n_positions", "seq_length"}) json.set(name, context);
    const bool mixed = header().find(key("expert_count")) != nullptr && header().integer(key("expert_count")).value_or(0) > 0;
    const Index hidden = positive("feed_forward_length", mixed ? std::optional<Index>(4 * width) : std::nullopt);
    for (const char* name : {"intermediate_size", "n_inner"}) json.set(name, hidden);
    json.set("head_dim", head_width).set("num_key_value_heads", positive("attention.head_count_kv", heads));
    const auto epsilon = number("attention.layer_norm_rms_epsilon"), other = number("attention.layer_norm_epsilon");
    if (!epsilon && !other) fail(key("attention.layer_norm_rms_epsilon"), "is missing, and layer_norm_epsilon too");
    for (const char* name : {"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"}) json.set(name, epsilon ? *epsilon : *other);
    json.set("tie_word_embeddings", !has("output.weight"));
    if (const auto id = header().integer("tokenizer.ggml.bos_token_id")) json.set("bos_token_id", *id);
    Json ends = Json::array();  // of a text, and of a turn
    std::set<std::int64_t> known;
    for (const char* role : {"eos", "eot", "eom"})
      if (const auto id = header().integer(concat("tokenizer.ggml.", role, "_token_id")); id && known.insert(*id).second) ends.push(*id);
    if (ends.size() > 0) json.set("eos_token_id", ends.size() == 1 ? ends.at(0) : ends);
    if (mixed) {
      Json dense = Json::array();
      for (Index i = 0; i < layers; ++i)
        if (!has(concat("blk.", i, ".ffn_gate_inp.weight"))) dense.push(i);
      json.set("mlp_only_layers", std::move(dense));
      json.set("num_experts_per_tok", positive("expert_used_count"));
      for (const char* name : {"num_local_experts", "num_experts"}) json.set(name, positive("expert_count"));
      json.set("moe_intermediate_size", positive("expert_feed_forward_length", hidden));
      json.set("shared_expert_intermediate_size", positive("expert_shared_feed_forward_length", hidden));
      json.set("norm_topk_prob", architecture_->name == "qwen3moe");
    }
    if (header().find(key("use_parallel_residual"))) json.set("use_parallel_residual", *header().boolean(key("use_parallel_residual")));
    if (architecture_->name == "stablelm") json.set("use_parallel_residual", !has("blk.0.ffn_norm.weight"));
    if (const auto window = header().integer(key("attention.sliding_window")); window && *window > 0)
      json.set("sliding_window", *window);
    else if (architecture_->name.starts_with("phi3"))
      json.set("sliding_window", nullptr);
    if (const auto cap = number("attn_logit_softcapping")) json.set("attn_logit_softcapping", *cap);
    if (const auto cap = number("final_logit_softcapping")) json.set("final_logit_softcapping", *cap);
    // The largest Gemma 2 and 3 scale by the width of the model, not of a head; their files do not say so.
    const bool by_width = (architecture_->name == "gemma2" && layers == 46) || (architecture_->name == "gemma3" && layers == 62);
    json.set("query_pre_attn_scalar", by_width ? width / heads : head_width);
    rotary(json, context, head_width);
    return json;
  }

  void rotary(Json& json, Index context, Index head_width) const {
    const double base = number("rope.freq_base").value_or(10000);
    for (const char* name : {"rope_theta", "rotary_emb_base"}) json.set(name, base);
    if (const auto local = number("rope.freq_base_swa")) json.set("rope_local_base_freq", *local);
    const double partial = static_cast<double>(positive("rope.dimension_count", head_width)) / static_cast<double>(head_width);
    for (const char* name : {"partial_rotary_factor", "rotary_pct"}) json.set(name, partial);
    const std::string_view type = header().text(key("rope.scaling.type")).value_or("none");
    const Index trained = positive("rope.scaling.original_context_length", context);
    const auto list = [&](std::string_view tensor) {
      Json array = Json::array();
      const Tensor factors = contents_.tensor(tensor).to(DType::f64);
      for (Index i = 0; i < factors.size(); ++i) array.push(factors.data<double>()[i]);
      return array;
    };
    Json scaling = Json::object();
    if (has("rope_freqs.weight")) {  // what each frequency is divided by: LLaMA 3
      scaling.set("rope_type", "longrope").set("short_factor", list("rope_freqs.weight")).set("long_factor", list("rope_freqs.weight"));
      scaling.set("factor", 1).set("attention_factor", 1);
    } else if (has("rope_factors_long.weight") && has("rope_factors_short.weight")) {
      scaling.set("rope_type", "longrope")
          .set("short_factor", list("rope_factors_short.weight"))
          .set("long_factor", list("rope_factors_long.weight"));
      scaling.set("original_max_position_embeddings", trained);
      json.set("original_max_position_embeddings", trained);
      if (const auto amplitude = number("rope.scaling.attn_factor")) scaling.set("attention_factor", *amplitude);
    } else if (type == "linear" || type == "yarn") {
      scaling.set("rope_type", type).set("factor", number("rope.scaling.factor").value_or(1));
      if (type == "yarn") {
        scaling.set("original_max_position_embeddings", trained);
        if (const auto fast = number("rope.scaling.yarn_beta_fast")) scaling.set("beta_fast", *fast);
        if (const auto slow = number("rope.scaling.yarn_beta_slow")) scaling.set("beta_slow", *slow);
      }
    } else if (type != "none") {
      fail(key("rope.scaling.type"), concat("unknown type ", quoted(type), " (known: none, linear, yarn, and factors as tensors)"));
    }
    json.set("rope_scaling", scaling.size() > 0 ? std::move(scaling) : Json());
  }

  Contents contents_;
  const Limits& limits_;
  const Architecture* architecture_ = nullptr;
  std::string prefix_;
};

}  // namespace gguf_model

}  // namespace plume::inline PLUME_ABI
#endif
