#pragma once
// Models of tests/golden/models, adapters of tests/golden/lora, and adapters whose A and B are both random.
#include "fixtures.hpp"
#include "numbers.hpp"
#include "plume/models/load.hpp"
#include "plume/peft/adapter_files.hpp"
#include "test_data.hpp"

namespace plume_test {

using plume::Adapter;
using plume::Lora;
using plume::Model;
using plume::Pass;
using plume::PoolVector;
using plume::Segment;
using plume::TokenId;

inline Model base_model(const std::string& name, DType dtype = DType::f32) {
  return plume::load(golden("models/" + name), {.dtype = dtype});
}

// A and B uniform; the same bits on every machine.
inline Adapter random_adapter(const auto& model, const Lora& options, double size = 0.3) {
  Adapter adapter = plume::attach(model, options);
  std::uint64_t stream = 1000;
  plume::for_each_parameter(adapter, [&](std::string_view path, Tensor& tensor) {
    if (!path.ends_with("lora_B")) return;
    plume::Random random{.seed = options.seed, .stream = stream++};
    plume::visit_float(tensor.dtype(), [&]<class T>() {
      for (Index i = 0; i < tensor.size(); ++i) tensor.writable<T>()[i] = static_cast<T>(size * (2 * random.uniform() - 1));
    });
  });
  return adapter;
}

struct LoraGolden {
  const char *name, *base;
};
inline constexpr LoraGolden lora_goldens[] = {
    {"gpt2_c_attn", "gpt2"}, {"gpt2_patterns", "gpt2"}, {"llama_q_v", "llama"}, {"llama_patterns", "llama_tied_biased"}};

struct Batch {
  std::vector<TokenId> inputs, targets;
  std::vector<Index> lengths;
  PoolVector<Segment> segments(const plume::LinearAdapters* adapter = nullptr) const {
    PoolVector<Segment> list;
    for (const Index length : lengths) list.push_back({length, nullptr, adapter});
    return list;
  }
};
inline Batch batch_of(const Tensors& tensors) {
  const auto ids = [&](const char* name) {
    const auto values = values_of(tensors.at(name));
    return std::vector<TokenId>(values.begin(), values.end());
  };
  const auto lengths = values_of(tensors.at("lengths"));
  return {ids("input_ids"), ids("targets"), std::vector<Index>(lengths.begin(), lengths.end())};
}
inline Batch batch_of(const std::string& base) {
  return batch_of(plume_test::read_safetensors(golden("models/" + base + "/golden.safetensors")));
}

inline Tensor logits_of(const Model& model, const Batch& batch, const plume::LinearAdapters* adapter = nullptr) {
  Pass pass;
  pass.segments = batch.segments(adapter);
  return model.logits(batch.inputs, pass);
}

// All bytes of all parameters.
inline std::string bytes_of_model(const auto& model) {
  std::string bytes;
  plume::for_each_parameter(model, [&](std::string_view, const Tensor& tensor) {
    const Tensor dense = tensor.copy();
    bytes.append(reinterpret_cast<const char*>(dense.storage()->data()), dense.storage()->bytes());
  });
  return bytes;
}

}  // namespace plume_test
