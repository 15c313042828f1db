#pragma once
// Writing models as GGUF files that llama.cpp runs: weights in a type of choice, the tokenizer and a chat template inside.
//      [ggml-org/ggml docs/gguf.md; llama.cpp convert_hf_to_gguf.py]
#include "plume/base/gguf.hpp"
#include "plume/models/model.hpp"

namespace plume::inline PLUME_ABI {

struct SaveGgufOptions {
  // F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K: of matrices. Vectors, learned positions and routers stay f32; rows that blocks of the type do
  // not fill become Q8_0 or F16.
  GgmlType type = GgmlType::f32;
  std::string name = {};           // general.name
  std::string chat_template = {};  // Jinja; empty: the one that the tokenizer's files hold, if any
};

// ArgumentError: no architecture of GGUF has a place for every part of the configuration, or no kind of vocabulary for the tokenizer.
// NumericError: a weight that the type cannot hold. IoError.
PLUME_FUNCTION void save_gguf(const Model& model, const std::string& path, const SaveGgufOptions& options = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <map>

#include "plume/formats/write_gguf.hpp"
#include "plume/models/gguf_config.hpp"
#include "plume/models/gguf_vocabulary.hpp"
#include "plume/models/rotary_rows.hpp"

namespace plume::inline PLUME_ABI {

namespace gguf_model {

inline std::uint32_t u32(Index value) { return static_cast<std::uint32_t>(value); }

// The same factors at any length: what a table of LLaMA 3 was read as.
inline bool one_list(const Rotary& rotary) { return rotary.short_factors == rotary.long_factors && rotary.amplitude == 1; }

// What an architecture's file says of a configuration; ConfigReader is the other direction.
inline GgufKeyValues keys_of(const Architecture& architecture, const Config& config) {
  GgufKeyValues keys{{"general.architecture", architecture.name}};
  const auto set = [&](std::string_view name, GgufValue value) {
    keys.emplace_back(concat(architecture.name, ".", name), std::move(value));
  };
  const auto real = [&](std::string_view name, double value) { set(name, static_cast<float>(value)); };
  set("vocab_size", u32(config.vocabulary));
  set("context_length", u32(config.context));
  set("embedding_length", u32(config.width));
  set("block_count", u32(config.layers));
  set("feed_forward_length", u32(config.hidden));
  set("attention.head_count", u32(config.heads));
  set("attention.head_count_kv", u32(config.key_heads));
  if (config.position == PositionKind::rotary || config.head_width * config.heads != config.width) {
    set("attention.key_length", u32(config.head_width));
    set("attention.value_length", u32(config.head_width));
  }
  real(config.norm == NormKind::rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", config.norm_epsilon);
  if (config.window > 0) set("attention.sliding_window", u32(config.window));
  if (config.attention_cap > 0) real("attn_logit_softcapping", config.attention_cap);
  if (config.logit_cap > 0) real("final_logit_softcapping", config.logit_cap);
  if (architecture.name == "gptneox" || architecture.name == "stablelm") set("use_parallel_residual", config.wiring != Wiring::sequential);
  if (config.experts.count > 0) {
    set("expert_count", u32(config.experts.count));
    set("expert_used_count", u32(config.experts.chosen));
    set("expert_feed_forward_length", u32(config.experts.hidden));
    if (config.experts.shared_hidden > 0) set("expert_shared_feed_forward_length", u32(config.experts.shared_hidden));
  }
  if (config.position != PositionKind::rotary) return keys;
  const Rotary& rotary = config.rotary;
  set("rope.dimension_count", u32(rotary.width));
  real("rope.freq_base", rotary.base);
  if (config.local_rotary) real("rope.freq_base_swa", config.local_rotary->base);
  if (rotary.scaling == RotaryScaling::linear || rotary.scaling == RotaryScaling::yarn) {
    set("rope.scaling.type", rotary.scaling == RotaryScaling::linear ? "linear" : "yarn");
    real("rope.scaling.factor", rotary.factor);
  }
  if (rotary.scaling == RotaryScaling::yarn) {
    real("rope.scaling.yarn_beta_fast", rotary.fast);
    real("rope.scaling.yarn_beta_slow", rotary.slow);
  }
  if (rotary.scaling == RotaryScaling::longrope && !one_list(rotary)) real("rope.scaling.attn_factor", rotary.amplitude);
  if (rotary.scaling == RotaryScaling::yarn || (rotary.scaling == RotaryScaling::longrope && !one_list(rotary)))
    set("rope.scaling.original_context_length", u32(rotary.trained_context));
  return keys;
}

// Tensors that are no parameters.
inline std::vector<GgufWeight> rope_weights(const Config& config) {
  const auto list = [](std::string_view name, const auto& numbers) {
    Tensor tensor = Tensor::empty({static_cast<Index>(numbers.size())});
    float* const values = tensor.writable<float>();
    for (std::size_t i = 0; i < numbers.size(); ++i) values[i] = static_cast<float>(numbers[i]);
    return GgufWeight{std::string(name), tensor, GgmlType::f32};
  };
  const Rotary& rotary = config.rotary;
  if (config.position != PositionKind::rotary) return {};
  if (rotary.scaling == RotaryScaling::llama3) {
    const Rotary plain{.base = rotary.base, .width = rotary.width};
    PoolVector<double> factors = rotary_frequencies(plain, 0);
    const PoolVector<double> scaled = rotary_frequencies(rotary, 0);
    for (std::size_t i = 0; i < factors.size(); ++i) factors[i] /= scaled[i];
    return {list(rope_tensors[0], factors)};
  }
  if (rotary.scaling == RotaryScaling::longrope && one_list(rotary)) return {list(rope_tensors[0], rotary.long_factors)};
  if (rotary.scaling == RotaryScaling::longrope)
    return {list(rope_tensors[1], rotary.long_factors), list(rope_tensors[2], rotary.short_factors)};
  return {};
}

inline bool stays_f32(std::string_view path) {
  return path.find(".router.") != path.npos || path.find(".shared_gate.") != path.npos || path.starts_with("position.");
}

class Writer {
 public:
  Writer(const Model& model, const SaveGgufOptions& options) : model_(model), config_(model.config()), options_(options) {}

  void write(const std::string& path) {
    const Architecture* const architecture = fitting();
    require(architecture != nullptr,
            "[save] no architecture of GGUF has a place for every part of this configuration: save to a directory");
    GgufKeyValues keys = keys_of(*architecture, config_);
    keys.insert(keys.begin() + 1, {{"general.name", options_.name.empty() ? std::string(architecture->name) : options_.name},
                                   {"general.file_type", file_type()}});
    const auto token = [&](std::string_view role, const std::vector<TokenId>& ids, std::size_t i) {
      if (i < ids.size()) keys.emplace_back(concat("tokenizer.ggml.", role, "_token_id"), static_cast<std::uint32_t>(ids[i]));
    };
    token("bos", config_.begin_tokens, 0);
    token("eos", config_.end_tokens, 0);
    token("eot", config_.end_tokens, 1);
    token("eom", config_.end_tokens, 2);
    if (model_.tokenizer)
      add_gguf_vocabulary(model_.tokenizer, config_.vocabulary, keys);
    else
      keys.emplace_back("tokenizer.ggml.model", "none");
    if (!options_.chat_template.empty()) {
      std::erase_if(keys, [](const auto& entry) { return entry.first == "tokenizer.chat_template"; });
      keys.emplace_back("tokenizer.chat_template", options_.chat_template);
    }
    std::vector<GgufWeight> weights = rope_weights(config_);
    for_each_parameter(model_, [&](std::string_view parameter, const Tensor& tensor) { add(*architecture, parameter, tensor, weights); });
    for (auto& [name, matrices] : stacked_) weights.push_back({name, stack(matrices), type_for(matrices.front())});
    write_gguf(path, keys, weights);
  }

 private:
  // The architecture whose file, read back, is this model; that of the model's own family first.
  const Architecture* fitting() const {
    const Architecture* found = nullptr;
    for (const Architecture& architecture : architectures)
      if ((found == nullptr || architecture.model_type == config_.family) && says_the_same(architecture)) found = &architecture;
    return found;
  }
  bool says_the_same(const Architecture& architecture) const {
    std::set<std::string, std::less<>> present;
    for_each_parameter(model_, [&](std::string_view path, const Tensor&) {
      for (const NameRule& rule : names)
        if (family_detail::match(rule.ours, path).found) present.insert(place_of(path).name);
    });
    const std::vector<GgufWeight> ropes = rope_weights(config_);
    for (const GgufWeight& rope : ropes) present.insert(rope.name);
    const std::string bytes = gguf_header(keys_of(architecture, config_));
    const GgufHeader header = GgufHeader::read(std::as_bytes(std::span(bytes)), "the file to be written");
    const auto tensor = [&](std::string_view name) {
      return std::find_if(ropes.begin(), ropes.end(), [&](const GgufWeight& rope) { return rope.name == name; })->tensor;
    };
    Config read;
    try {
      read = ConfigReader({header, [&](std::string_view name) { return present.contains(name); }, tensor, config_.vocabulary}, {}).config();
    } catch (const ConfigError&) {  // it has not what this architecture needs
      return false;
    }
    if (config_.position == PositionKind::rotary && turn_alike(read.rotary, config_.rotary)) read.rotary = config_.rotary;
    if (read.local_rotary && config_.local_rotary && turn_alike(*read.local_rotary, *config_.local_rotary))
      read.local_rotary = config_.local_rotary;
    read.family = config_.family;
    read.begin_tokens = config_.begin_tokens;
    read.end_tokens = config_.end_tokens;
    return read == config_;
  }
  // Layouts are a matter of where rows lie; frequencies come as a table of f32.
  bool turn_alike(const Rotary& a, const Rotary& b) const {
    const auto near = [](double x, double y) { return std::abs(x - y) <= 1e-6 * std::abs(y); };
    if (a.width != b.width || !near(a.amplitude, b.amplitude)) return false;
    for (const Index length : {Index{1}, config_.context, 4 * config_.context}) {
      const PoolVector<double> ours = rotary_frequencies(a, length), theirs = rotary_frequencies(b, length);
      for (std::size_t i = 0; i < ours.size(); ++i)
        if (!near(ours[i], theirs[i])) return false;
    }
    return true;
  }

  std::uint32_t file_type() const {  // llama.cpp's numbers of what most tensors are      [llama.h, enum llama_ftype]
    switch (options_.type) {
      case GgmlType::f16:
        return 1;
      case GgmlType::q4_0:
        return 2;
      case GgmlType::q8_0:
        return 7;
      case GgmlType::q4_k:
        return 14;
      case GgmlType::q6_k:
        return 18;
      case GgmlType::bf16:
        return 32;
      default:
        return 0;
    }
  }
  GgmlType type_for(const Tensor& tensor) const { return gguf_type_for(tensor, options_.type); }

  void add(const Architecture& architecture, std::string_view path, Tensor tensor, std::vector<GgufWeight>& weights) {
    require(tensor.has_data(), "[save] the model has no values for ", path);
    if (config_.position == PositionKind::rotary && config_.qkv_layout == QkvLayout::separate && is_rotated(path))
      tensor = reorder_rotary_rows(tensor, config_.head_width, config_.rotary.width, config_.rotary.layout,
                                   architecture.interleaved ? RotaryLayout::interleaved : RotaryLayout::half_split);
    if (architecture.parts_in_turn && config_.qkv_layout != QkvLayout::contiguous && path.find(".attention.qkv.") != path.npos)
      tensor = reordered(config_.block().attention, tensor, QkvOrder::in_turn);
    if (architecture.gains_with_offset && path.find("norm.weight") != path.npos) tensor = shift(tensor, config_.norm_offset);
    if (!tensor.is_dense()) tensor = tensor.copy();
    const Place place = place_of(path);
    if (place.matrix >= 0)
      stacked_[place.name].push_back(tensor);
    else
      weights.push_back({place.name, tensor, stays_f32(path) ? GgmlType::f32 : type_for(tensor)});
  }
  static Tensor stack(const std::vector<Tensor>& matrices) {
    const Tensor& first = matrices.front();
    const auto count = static_cast<Index>(matrices.size());
    const Tensor all = Tensor::empty({count * first.rows(), first.columns()}, first.dtype());
    for (Index i = 0; i < count; ++i) all.rows(i * first.rows(), (i + 1) * first.rows()).assign(matrices[static_cast<std::size_t>(i)]);
    return all.reshape({count, first.rows(), first.columns()});
  }

  const Model& model_;
  const Config& config_;
  const SaveGgufOptions& options_;
  std::map<std::string, std::vector<Tensor>> stacked_;  // experts, in their order
};

}  // namespace gguf_model

PLUME_FUNCTION void save_gguf(const Model& model, const std::string& path, const SaveGgufOptions& options) try {
  gguf_model::Writer(model, options).write(path);
} catch (...) {
  rethrow_memory_failure("a model that is saved");
}

}  // namespace plume::inline PLUME_ABI
#endif
