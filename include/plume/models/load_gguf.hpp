#pragma once
// Models in GGUF files: the architecture's keys become what config.json would say, its tensors are found by the names that all
// architectures share. Quantised tensors become f32 (or LoadOptions::dtype) in memory.      [ggml-org/ggml docs/gguf.md; llama.cpp]
#include "plume/models/load.hpp"

#if PLUME_BODIES
#include <set>

#include "plume/formats/gguf.hpp"
#include "plume/models/families/families.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"

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

class Reader {
 public:
  Reader(const GgufFile& file, const LoadOptions& options) : file_(file), options_(options) {
    const std::string asked(header().text("general.architecture").value_or(""));
    std::string known;
    for (const Architecture& entry : architectures) {
      if (entry.name == asked) architecture_ = &entry;
      known.append(known.empty() ? "" : ", ").append(entry.name);
    }
    if (architecture_ == nullptr) fail("general.architecture", concat("unknown architecture ", quoted(asked), " (known: ", known, ")"));
    prefix_ = concat(asked, ".");
  }

  Model read() {
    Model model{Decoder::described(config(), options_.dtype, options_.limits), {}};
    match(model.decoder);
    if (!options_.tokenizer.empty() || header().find("tokenizer.ggml.model") != nullptr)
      model.tokenizer = load_tokenizer(options_.tokenizer.empty() ? file_.path() : options_.tokenizer, {.limits = options_.limits});
    if (model.tokenizer && model.tokenizer.vocabulary() > model.config().vocabulary)
      throw ConfigError({.path = file_.path(), .field = "tokenizer.ggml.tokens"},
                        concat("the tokenizer knows ", model.tokenizer.vocabulary(), " tokens, the model ", model.config().vocabulary));
    for_each_parameter(model, [&](std::string_view path, Tensor& parameter) { fill(path, parameter, model.config()); });
    return model;
  }

 private:
  const GgufHeader& header() const { return file_.header(); }
  [[noreturn]] void fail(std::string_view key, std::string_view reason) const {
    const GgufEntry* const entry = header().find(key);
    throw ConfigError(entry ? header().where(*entry) : Where{.path = file_.path(), .field = std::string(key)}, reason);
  }
  std::string key(std::string_view name) const { return prefix_ + std::string(name); }
  std::optional<double> number(std::string_view name) const {
    const GgufEntry* const entry = header().find(key(name));
    if (entry == nullptr) return std::nullopt;
    if (entry->is_array()) fail(key(name), "has a value for each layer: only one for all is supported");
    const double value = *header().number(key(name));
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
  bool has(std::string_view tensor) const { return file_.find(tensor) != nullptr; }

  // What config.json would say. Families read the keys that are theirs.
  Json as_json() const {
    Json json = Json::object();
    const GgufStored* const embedding = file_.find("token_embd.weight");
    if (embedding == nullptr || embedding->shape.rank() != 2) fail("token_embd.weight", "is no tensor of rank 2");
    const Index width = positive("embedding_length"), layers = positive("block_count"), heads = positive("attention.head_count"),
                context = positive("context_length"), head_width = positive("attention.key_length", std::max<Index>(width / heads, 1));
    if (positive("attention.value_length", head_width) != head_width)
      fail(key("attention.value_length"), concat("differs from the keys' ", head_width));
    json.set("vocab_size", embedding->shape[0]);
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
    const auto token = [&](const char* ours, const char* theirs) {
      if (const auto id = header().integer(concat("tokenizer.ggml.", theirs))) json.set(ours, *id);
    };
    token("bos_token_id", "bos_token_id");
    token("eos_token_id", "eos_token_id");
    if (mixed) {
      Json dense = Json::array();
      for (Index i = 0; i < std::min<Index>(layers, 1 << 20); ++i)
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
      const Tensor factors = file_.tensor(tensor).to(DType::f64);
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

  Config config() const {
    std::string_view model_type = architecture_->model_type;
    if (model_type == "llama" && header().integer(key("expert_count")).value_or(0) > 0) model_type = "mixtral";
    const Family* family = nullptr;
    for (const Family* const candidate : families::all)
      if (candidate->name == model_type) family = candidate;
    require(family != nullptr, "[load] there is no family ", model_type);
    Config c = families::read_config(*family, as_json());
    c.norm_bias = has("output_norm.bias") || has("blk.0.attn_norm.bias");
    c.qkv_bias = has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias");
    c.output_bias = has("blk.0.attn_output.bias");
    c.mlp_bias = has("blk.0.ffn_down.bias");
    c.head_bias = has("output.bias");
    if (architecture_->interleaved) c.rotary.layout = RotaryLayout::interleaved;
    c.check(file_.path(), options_.limits);
    return c;
  }

  // The tensor that holds a parameter, and which of its matrices.
  struct Place {
    std::string name;
    Index matrix = -1;
  };
  Place place_of(std::string_view path) const {
    Place place{file_name(naming, path).name};
    constexpr std::string_view experts = ".experts.experts.";
    if (const std::size_t at = path.find(experts); at != path.npos) {
      const std::string_view digits = path.substr(at + experts.size());
      std::from_chars(digits.data(), digits.data() + digits.size(), place.matrix);
    }
    return place;
  }

  // Every parameter has a tensor of its shape, and every tensor is a parameter.
  void match(const Decoder& decoder) const {
    std::vector<std::string> missing, unexpected;
    std::set<std::string> wanted{"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"};
    for_each_parameter(decoder, [&](std::string_view path, const Tensor& parameter) {
      const Place place = place_of(path);
      wanted.insert(place.name);
      const GgufStored* const stored = file_.find(place.name);
      if (stored == nullptr) return missing.push_back(place.name);
      const bool stacked = place.matrix >= 0;
      const bool same_columns = stored->shape.size() > 0 && stored->shape.columns() == parameter.columns();
      const bool fits = stacked ? stored->shape.rank() == 3 && same_columns && stored->shape[0] == decoder.config.experts.count &&
                                      stored->shape[1] == parameter.rows()
                                : same_columns && stored->shape.size() == parameter.size();
      if (!fits)
        throw ConfigError(file_.where(*stored),
                          concat("shape is ", stored->shape, ", the keys ask for ", parameter.shape(), stacked ? " for each expert" : ""));
    });
    for (const GgufStored& stored : file_.tensors())
      if (!wanted.contains(std::string(stored.name))) unexpected.emplace_back(stored.name);
    if (!missing.empty())
      throw ConfigError({.path = file_.path()}, concat(missing.size(), " tensors are missing: ", load_detail::first_ten(missing)));
    if (!unexpected.empty())
      throw ConfigError({.path = file_.path()}, concat(unexpected.size(), " tensors are unexpected: ", load_detail::first_ten(unexpected)));
  }

  void fill(std::string_view path, Tensor& parameter, const Config& config) const {
    const Place place = place_of(path);
    Tensor tensor = file_.tensor(place.name);
    if (place.matrix >= 0) {
      const Index rows = parameter.rows();
      tensor =
          tensor.reshape({tensor.size() / tensor.columns(), tensor.columns()}).rows(place.matrix * rows, (place.matrix + 1) * rows).copy();
    } else {
      tensor = tensor.reshape(parameter.shape());
    }
    const DType type = load_detail::type_for(parameter, options_.dtype);
    if (tensor.dtype() != type) tensor = tensor.to(type);
    if (architecture_->parts_in_turn && config.qkv_layout != QkvLayout::contiguous && path.find(".attention.qkv.") != path.npos)
      tensor = in_order_of(config.block().attention, tensor);
    if (architecture_->gains_with_offset && path.find("norm.weight") != path.npos) tensor = shift(tensor, -config.norm_offset);
    parameter = tensor;
  }

  // Rows that lie as all queries, keys, values, put where the layout has them.
  static Tensor in_order_of(const AttentionShape& shape, const Tensor& rows) {
    const Tensor from = rows.reshape({rows.shape()[0], rows.size() / rows.shape()[0]}), into = like(from);
    Index at = 0;
    for (const auto part : {AttentionShape::Part::queries, AttentionShape::Part::keys, AttentionShape::Part::values})
      for (const ColumnRange& range : shape.columns_of(part)) {
        into.rows(range.begin, range.end).assign(from.rows(at, at + range.end - range.begin));
        at += range.end - range.begin;
      }
    return into.reshape(rows.shape());
  }

  const GgufFile& file_;
  const LoadOptions& options_;
  const Architecture* architecture_ = nullptr;
  std::string prefix_;
};

}  // namespace gguf_model

PLUME_FUNCTION Model load_gguf(const std::string& path, const LoadOptions& options) try {
  const GgufFile file = read_gguf(path, {.limits = options.limits, .mapping = options.mapping, .symlinks = options.symlinks});
  return gguf_model::Reader(file, options).read();
} catch (...) {
  rethrow_memory_failure("a model");
}

}  // namespace plume::inline PLUME_ABI
#endif
