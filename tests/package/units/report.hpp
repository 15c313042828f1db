#pragma once
// The report of one unit, from the headers as that unit's flags have them.
#include <numeric>
#include <stdexcept>

#include "../use_plume.hpp"
#include "unit.hpp"

namespace {

template <class... Types>
void add_layouts(std::vector<std::size_t>& out) {
  (out.insert(out.end(), {sizeof(Types), alignof(Types)}), ...);
}

inline void add(std::vector<float>& out, const plume::Tensor& tensor) {
  const plume::Tensor dense = tensor.to(plume::DType::f32);
  out.insert(out.end(), dense.data<float>(), dense.data<float>() + dense.size());
}

inline plume::Tensor numbers(const plume::Shape& shape, std::uint64_t seed) {
  const plume::Tensor tensor = plume::Tensor::empty(shape, plume::DType::f32);
  plume::Random random{.seed = seed};
  for (plume::Index i = 0; i < tensor.size(); ++i) tensor.writable<float>()[i] = static_cast<float>(random.uniform() - 0.5);
  return tensor;
}

inline Report report() {
  if (!use_plume()) throw std::runtime_error("plume does not work in this unit");
  Report out;
  add_layouts<plume::Random, plume::Shape, plume::Tensor, plume::View<float, 2>, plume::Storage, plume::MemoryPool, plume::ThreadSlot,
              plume::ThreadTeam, plume::Context, plume::ContextScope, plume::Tape, plume::Gradients, plume::Error, plume::ArgumentError,
              plume::AttentionOptions, plume::AttentionSegment, plume::IntervalMask>(out.layouts);
#if defined(PLUME_TEST_EVERYTHING)
  add_layouts<plume::Limits, plume::Json, plume::StopToken, plume::Config, plume::Linear, plume::Norm, plume::Embedding, plume::Attention,
              plume::Mlp, plume::Block, plume::Pass, plume::KvCache, plume::Decoder, plume::Model, plume::Tokenizer, plume::Session,
              plume::SessionOptions, plume::SamplingOptions, plume::Sampler, plume::AdamW, plume::Sgd, plume::Adapter, plume::Lora,
              plume::ChatDataset, plume::PackedChats>(out.layouts);
#endif
  // Ops forward and backward, on two threads, at the level of this processor. Sizes are odd, so that ends of rows take part.
  const plume::Context context({.threads = 2});
  const plume::ContextScope scope(context);
  const plume::Tensor x = numbers({37, 131}, 1), weight = numbers({67, 131}, 2), gain = numbers({131}, 3), bias = numbers({67}, 4);
  plume::Tape tape(std::vector<plume::Tensor>{x, weight, gain, bias});
  const plume::Tensor y = plume::softmax(plume::gelu(plume::linear(plume::rms_norm(x, gain, 1e-5), weight, bias)));
  plume::Gradients gradients;
  tape.backward(y, numbers(y.shape(), 5), gradients);
  add(out.numbers, y);
  for (const plume::Tensor& input : {x, weight, gain, bias}) add(out.numbers, gradients.at(input));
  return out;
}

}  // namespace
