#pragma once
// The models of tests/golden/models as Decoders, built by hand from config.json and model.safetensors.
#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../test_data.hpp"
#include "plume/models/decoder.hpp"

namespace plume_test {

using plume::Config;
using plume::Decoder;

inline Config config_of(const std::string& folder) {
  const Settings settings = read_settings(folder + "/config.json");
  const auto integer = [&](const std::string& name) { return static_cast<Index>(settings.numbers.at(name)); };
  Config config;
  if (settings.texts.at("model_type") == "gpt2") {
    REQUIRE(settings.texts.at("activation_function") == "gelu_new");
    config.vocabulary = integer("vocab_size"), config.context = integer("n_positions"), config.width = integer("n_embd");
    config.layers = integer("n_layer"), config.hidden = integer("n_inner"), config.heads = config.key_heads = integer("n_head");
    config.norm = plume::NormKind::layer, config.norm_epsilon = settings.numbers.at("layer_norm_epsilon");
    config.position = plume::PositionKind::learned, config.qkv_layout = plume::QkvLayout::contiguous;
    config.activation = {.kind = plume::ActivationKind::gelu_tanh}, config.gated = false;
    config.norm_bias = config.qkv_bias = config.output_bias = config.mlp_bias = config.tied_head = true;
  } else {
    REQUIRE(settings.texts.at("hidden_act") == "silu");
    config.vocabulary = integer("vocab_size"), config.context = integer("max_position_embeddings"), config.width = integer("hidden_size");
    config.layers = integer("num_hidden_layers"), config.hidden = integer("intermediate_size");
    config.heads = integer("num_attention_heads"), config.key_heads = integer("num_key_value_heads");
    config.norm_epsilon = settings.numbers.at("rms_norm_eps");
    config.qkv_bias = config.output_bias = settings.numbers.at("attention_bias") != 0;
    config.mlp_bias = settings.numbers.at("mlp_bias") != 0, config.tied_head = settings.numbers.at("tie_word_embeddings") != 0;
  }
  config.head_width = config.width / config.heads;
  if (config.position == plume::PositionKind::rotary)
    config.rotary = {.base = settings.numbers.at("rope_theta"), .width = config.head_width, .layout = plume::RotaryLayout::half_split};
  return config;
}

// The Hugging Face name of a parameter; `transposed` for GPT-2's Conv1D matrices, which are (inputs, outputs).
struct FileName {
  std::string name;
  bool transposed = false;
};

inline FileName file_name(const Config& config, const std::string& path) {
  const bool gpt2 = config.position == plume::PositionKind::learned;
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  static const Pairs gpt2_names{{"embedding", "transformer.wte"},
                                {"position", "transformer.wpe"},
                                {"norm", "transformer.ln_f"},
                                {"attention_norm", "ln_1"},
                                {"mlp_norm", "ln_2"},
                                {"attention.qkv", "attn.c_attn"},
                                {"attention.output", "attn.c_proj"},
                                {"mlp.up", "mlp.c_fc"},
                                {"mlp.down", "mlp.c_proj"}};
  static const Pairs llama_names{{"embedding", "model.embed_tokens"},
                                 {"norm", "model.norm"},
                                 {"head", "lm_head"},
                                 {"attention_norm", "input_layernorm"},
                                 {"mlp_norm", "post_attention_layernorm"},
                                 {"attention.q", "self_attn.q_proj"},
                                 {"attention.k", "self_attn.k_proj"},
                                 {"attention.v", "self_attn.v_proj"},
                                 {"attention.output", "self_attn.o_proj"},
                                 {"mlp.gate", "mlp.gate_proj"},
                                 {"mlp.up", "mlp.up_proj"},
                                 {"mlp.down", "mlp.down_proj"}};
  const std::size_t last = path.rfind('.');
  std::string module = path.substr(0, last), prefix;
  const bool in_block = module.starts_with("blocks.");
  if (in_block) {
    const std::size_t dot = module.find('.', 7);
    prefix = (gpt2 ? "transformer.h." : "model.layers.") + module.substr(7, dot - 6);
    module = module.substr(dot + 1);
  }
  for (const auto& [ours, theirs] : gpt2 ? gpt2_names : llama_names)
    if (ours == module)
      return {prefix + theirs + path.substr(last), gpt2 && in_block && path.ends_with("weight") && !module.ends_with("norm")};
  FAIL("no name for " << path);
  return {};
}

// As the parameter lies in the Decoder: transposed where the file has it the other way round.
inline Tensor as_parameter(const Tensor& stored, bool transposed) {
  if (!transposed) return stored;
  const Tensor dense = stored.to(DType::f64), result = Tensor::empty({stored.columns(), stored.rows()}, DType::f64);
  for (Index r = 0; r < stored.rows(); ++r)
    for (Index c = 0; c < stored.columns(); ++c)
      result.writable<double>()[c * stored.rows() + r] = dense.data<double>()[r * stored.columns() + c];
  return result;
}

inline Decoder decoder_of(const Config& config, const Tensors& file, DType dtype) {
  Decoder model = Decoder::described(config, dtype);
  plume::for_each_parameter(model, [&](std::string_view path, Tensor& tensor) {
    const FileName name = file_name(config, std::string(path));
    REQUIRE_MESSAGE(file.contains(name.name), name.name);
    const Tensor values = as_parameter(file.at(name.name), name.transposed);
    REQUIRE_MESSAGE(values.shape() == tensor.shape(), name.name);
    tensor = values.to(dtype);
  });
  return model;
}

// A model of tests/golden/models with what transformers computes for it.
struct Golden {
  std::string folder;
  Config config;
  Tensors file, f32, f64;
  std::vector<plume::TokenId> ids, targets;
  std::vector<Index> lengths;

  explicit Golden(const std::string& name) : folder(golden("models/" + name)), config(config_of(folder)) {
    file = read_safetensors(folder + "/model.safetensors");
    f32 = read_safetensors(folder + "/golden.safetensors");
    f64 = read_safetensors(folder + "/golden_f64.safetensors");
    ids = integers("input_ids"), targets = integers("targets");
    for (const plume::TokenId length : integers("lengths")) lengths.push_back(length);
  }
  std::vector<plume::TokenId> integers(const std::string& key) const {
    const auto span = f32.at(key).span<plume::TokenId>();
    return {span.begin(), span.end()};
  }
  plume::Pass pass() const {
    plume::Pass pass;
    for (const Index length : lengths) pass.segments.push_back({length});
    return pass;
  }
  Decoder decoder(DType dtype) const { return decoder_of(config, file, dtype); }
};

inline plume::TokenId best(const Tensor& logits) {
  const auto values = values_of(logits);
  return static_cast<plume::TokenId>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace plume_test
