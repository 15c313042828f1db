#pragma once
// The LLaMA of llama2.c files: the same block with interleaved rotary pairs, and names of its own.
#include "plume/formats/llama2c.hpp"
#include "plume/models/family.hpp"

namespace plume::inline PLUME_ABI::families {

inline constexpr NameRule llama2c_names[] = {
    {"embedding", "tok_embeddings"},
    {"blocks.*.attention_norm", "layers.*.att_norm"},
    {"blocks.*.attention.q", "layers.*.wq"},
    {"blocks.*.attention.k", "layers.*.wk"},
    {"blocks.*.attention.v", "layers.*.wv"},
    {"blocks.*.attention.output", "layers.*.wo"},
    {"blocks.*.mlp_norm", "layers.*.ffn_norm"},
    {"blocks.*.mlp.gate", "layers.*.w1"},
    {"blocks.*.mlp.up", "layers.*.w3"},
    {"blocks.*.mlp.down", "layers.*.w2"},
    {"norm", "norm"},
    {"head", "wcls"},
};

// The constants are those of llama2.c's own programs (run.c): theta 10000, epsilon 1e-5, token 1 begins and ends a text, token 2 ends it.
inline Config read_llama2c(const Llama2cHeader& header) {
  Config c;
  c.vocabulary = header.vocab_size;
  c.context = header.seq_len;
  c.width = header.dim;
  c.hidden = header.hidden_dim;
  c.layers = header.n_layers;
  c.heads = header.n_heads;
  c.key_heads = header.n_kv_heads;
  c.head_width = c.width / c.heads;
  c.rotary = {10000, c.head_width, RotaryLayout::interleaved};
  c.tied_head = header.shared_classifier;
  if (c.vocabulary > 2) {
    c.begin_tokens = {1};
    c.end_tokens = {1, 2};
  }
  return c;
}

inline Llama2cHeader write_llama2c(const Config& c) {
  const auto number = [](Index value) {
    require(value <= INT32_MAX, "[save] ", value, " does not fit a llama2.c file");
    return static_cast<std::int32_t>(value);
  };
  return {number(c.width),     number(c.hidden),     number(c.layers),  number(c.heads),
          number(c.key_heads), number(c.vocabulary), number(c.context), c.tied_head};
}

inline bool fits_llama2c(const Config& c) {
  return c.norm == NormKind::rms && c.norm_epsilon == 1e-5 && c.position == PositionKind::rotary && c.rotary.base == 10000 &&
         c.rotary.width == c.head_width && c.head_width * c.heads == c.width && c.gated && c.qkv_layout == QkvLayout::separate &&
         c.activation.kind == ActivationKind::silu && c.activation.slope == 1 && c.activation.shift == 0 &&
         std::isinf(c.activation.limit) && !c.qkv_bias && !c.output_bias && !c.mlp_bias;
}

// "blocks.3.attention.q.weight" -> "layers.3.wq"
inline std::string llama2c_name(std::string_view path) {
  const Family names{.name = "llama2.c", .names = llama2c_names};
  std::string name = file_name(names, path).name;
  name.resize(name.size() - std::string_view(".weight").size());
  return name;
}

}  // namespace plume::inline PLUME_ABI::families
