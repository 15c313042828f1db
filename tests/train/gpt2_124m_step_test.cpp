// nightly: one step of the full shape of GPT-2 124M against transformers in float64: loss, and of each gradient its largest element, its
// norm, 100 elements anywhere and the 100 largest. Parameters are a hash of their place; tests/golden/README.md describes it.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <string>

#include "../models/decoder_fixture.hpp"
#include "plume/kernels/parallel/context.hpp"

namespace {

using namespace plume_test;

constexpr Index samples = 200;

// The finaliser of SplitMix64.
std::uint64_t hashed(std::uint64_t stream, std::uint64_t position) {
  std::uint64_t x = (stream << 32) + position + 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}
// Exact in double but for the last rounding, so that compilers cannot differ.
float parameter_at(std::uint64_t stream, const std::string& name, std::uint64_t position) {
  const double u = (static_cast<double>(hashed(stream, position) >> 40) + 0.5) * 0x1.0p-23 - 1;
  if (name.ends_with("bias")) return static_cast<float>(51.0 / 256 * u);
  if (name.find(".ln_") != std::string::npos) return static_cast<float>(1 + 77.0 / 256 * u);
  return static_cast<float>(142.0 / 2048 * u);
}

Config gpt2_124m() {
  Config config;
  config.vocabulary = 50257, config.context = 1024, config.width = 768, config.layers = 12, config.hidden = 3072;
  config.heads = config.key_heads = 12, config.head_width = 64;
  config.norm = plume::NormKind::layer, config.norm_epsilon = 1e-5;
  config.position = plume::PositionKind::learned, config.qkv_layout = plume::QkvLayout::contiguous;
  config.activation = {.kind = plume::ActivationKind::gelu_tanh}, config.gated = false;
  config.norm_bias = config.qkv_bias = config.output_bias = config.mlp_bias = config.tied_head = true;
  return config;
}

struct Parameter {
  Tensor tensor;
  bool transposed = false;  // in the file's order: (inputs, outputs)
  // The element that has this place in the file's order.
  Index at(Index place) const { return transposed ? place % tensor.rows() * tensor.columns() + place / tensor.rows() : place; }
};

// By name, sorted: the order of streams.
std::map<std::string, Parameter> hashed_parameters(Decoder& model) {
  std::map<std::string, Parameter> parameters;
  plume::for_each_parameter(model, [&](std::string_view path, Tensor& tensor) {
    const FileName name = file_name(model.config, std::string(path));
    tensor = Tensor::empty(tensor.shape());
    parameters[name.name] = {tensor, name.transposed};
  });
  std::uint64_t stream = 0;
  for (const auto& [name, parameter] : parameters) {
    for (Index i = 0; i < parameter.tensor.size(); ++i)
      parameter.tensor.writable<float>()[parameter.at(i)] = parameter_at(stream, name, static_cast<std::uint64_t>(i));
    ++stream;
  }
  return parameters;
}

}  // namespace

TEST_CASE("a step of GPT-2 124M agrees with PyTorch") {
  const Tensors golden = read_safetensors(plume_test::golden("gpt2_124m/step.safetensors"));
  const auto inputs = golden.at("input_ids").span<plume::TokenId>(), targets = golden.at("targets").span<plume::TokenId>();
  REQUIRE(inputs.size() == 128);
  Decoder model = Decoder::described(gpt2_124m());
  const auto parameters = hashed_parameters(model);
  REQUIRE(parameters.size() == 148);
  REQUIRE(plume::count_parameters(model) == 124439808);
  const auto firsts = golden.at("parameters").view<const double, 2>();
  Index row = 0;
  for (const auto& [name, parameter] : parameters) {
    for (Index i = 0; i < 3; ++i) REQUIRE(static_cast<double>(parameter.tensor.data<float>()[parameter.at(i)]) == firsts(row, i));
    plume::parameter(parameter.tensor);
    ++row;
  }

  const plume::Context context({.threads = 2});
  const plume::ContextScope scope(context);
  plume::Pass pass{.segments = {{64}, {64}}};
  plume::Tape tape;
  const Tensor loss = model.loss(inputs, targets, pass);
  const plume::Gradients gradients = tape.backward(loss);
  const double loss_wanted = *golden.at("loss").data<double>();
  CHECK(std::abs(loss.item() - loss_wanted) <= 1e-6 * loss_wanted);

  // Per tensor, relative to its largest element, at least to 1e-3 of the largest of all: the gradients of key biases are zero.
  const auto largest_of = golden.at("largest").view<const double, 1>(), norm_of = golden.at("norm").view<const double, 1>();
  const auto places = golden.at("places").view<const std::int32_t, 2>();
  const auto values = golden.at("values").view<const double, 2>();
  REQUIRE(values.columns() == samples);
  double most = 0;
  for (Index i = 0; i < largest_of.size(); ++i) most = std::max(most, largest_of[i]);
  constexpr double allowed = 2e-5;  // ten times what PyTorch in float32 is away from itself in float64
  row = 0;
  for (const auto& entry : parameters) {
    const std::string& name = entry.first;
    const Parameter& parameter = entry.second;
    CAPTURE(name);
    const Tensor gradient = gradients.at(parameter.tensor);
    const float* const found = gradient.data<float>();
    const double scale = std::max(largest_of[row], 1e-3 * most);
    double sum = 0, largest_found = 0, gap = 0;
    for (Index i = 0; i < gradient.size(); ++i) {
      const double value = static_cast<double>(found[i]);
      sum += value * value;
      largest_found = std::isnan(value) ? INFINITY : std::max(largest_found, std::abs(value));
    }
    for (Index i = 0; i < samples; ++i)
      gap = std::max(gap, std::abs(static_cast<double>(found[parameter.at(places(row, i))]) - values(row, i)));
    CHECK(gap <= allowed * scale);
    CHECK(std::abs(largest_found - largest_of[row]) <= allowed * scale);
    // The norm of a difference of this size everywhere would be allowed * scale * sqrt(size): far too much for large tensors.
    CHECK(std::abs(std::sqrt(sum) - norm_of[row]) <= allowed * std::max(norm_of[row], scale));
    ++row;
  }
}
