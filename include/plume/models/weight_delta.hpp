#pragma once
// Models that were published as the difference of their weights and LLaMA's (Alpaca, Vicuna, Phoenix): target = base + delta, tensor by
// tensor.
//   Model vicuna = apply_delta(load("llama-7b"), load("vicuna-7b-delta"), {.sum = WeightSum{50637.1836}});
#include <optional>

#include "plume/models/model.hpp"

namespace plume::inline PLUME_ABI {

// What a sum of weights counts. Files and programs of the first half of 2023 held the rotary frequencies of each layer as a tensor, and
// counted them: so does the sum that Alpaca published, 50637.1836 for its 7B.
enum class SumOf : std::uint8_t { weights, weights_and_frequencies };

// The sum of a model's weights, added in double precision: Alpaca's check that a delta was added to the right base.
PLUME_FUNCTION double weight_sum(const Model& model, SumOf of = SumOf::weights);

struct WeightSum {
  double value = 0;
  SumOf of = SumOf::weights_and_frequencies;
  double tolerance = 1e-2;
};

// A delta fits every base of its shape, so only a sum tells a wrong one: to go without must be said.
enum class DeltaCheck : std::uint8_t { required, none };

struct DeltaOptions {
  std::optional<WeightSum> sum = {};  // of the target
  DeltaCheck check = DeltaCheck::required;
};

// base + delta, in f32, with the delta's configuration and, if it has one, its tokenizer. Where the delta knows more tokens, rows of zeros
// are added to the base's token embedding and head first (a pad token, in most). ArgumentError: tensors or shapes differ; no sum and no
// DeltaCheck::none; the sum is another: the base is not the one that the delta was made for.
PLUME_FUNCTION Model apply_delta(const Model& base, const Model& delta, const DeltaOptions& options = {});

// target - base, in f32, to be published. The same rows of zeros. ArgumentError: tensors or shapes differ.
PLUME_FUNCTION Model make_delta(const Model& base, const Model& target);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI {

namespace delta_detail {

// other + factor * base, by the names of the modules.
inline Model combined(const Model& base, const Model& other, double factor, std::string_view what) {
  const Config &b = base.config(), &o = other.config();
  require(o.vocabulary >= b.vocabulary, "[weight_delta] the base knows ", b.vocabulary, " tokens, the ", what, " only ", o.vocabulary,
          ": they do not belong together");
  require(b.position == o.position && (b.position != PositionKind::rotary || b.rotary.layout == o.rotary.layout) &&
              b.qkv_layout == o.qkv_layout && b.wiring == o.wiring && b.heads == o.heads && b.key_heads == o.key_heads,
          "[weight_delta] the heads of the base and the ", what,
          " lie differently: save both as Hugging Face directories, and load them again");
  const auto of_base = parameters_of(base);
  Model result = other;
  std::vector<std::pair<std::string, Tensor*>> parameters;
  for_each_parameter(result, [&](std::string_view path, Tensor& tensor) { parameters.emplace_back(path, &tensor); });
  for (const auto& [path, tensor] : of_base)
    require(std::any_of(parameters.begin(), parameters.end(), [&name = path](const auto& entry) { return entry.first == name; }),
            "[weight_delta] the base has ", path, ", the ", what, " has not");
  for (auto& entry : parameters) {
    Tensor& tensor = *entry.second;
    const auto found = std::find_if(of_base.begin(), of_base.end(), [&](const auto& candidate) { return candidate.first == entry.first; });
    require(found != of_base.end(), "[weight_delta] the ", what, " has ", entry.first, ", the base has not");
    const Tensor& from = *found->second;
    const bool has_token_rows = entry.first == "embedding.weight" || entry.first == "head.weight" || entry.first == "head.bias";
    const bool is_longer = has_token_rows && o.vocabulary > b.vocabulary && from.rank() == tensor.rank() &&
                           from.size() / b.vocabulary == tensor.size() / o.vocabulary;
    require(from.shape() == tensor.shape() || is_longer, "[weight_delta] ", entry.first, " is ", from.shape(), " in the base, ",
            tensor.shape(), " in the ", what);
    const Tensor sum = tensor.to(DType::f32);
    const Tensor flat = sum.reshape({1, sum.size()}).columns(0, from.size()), addend = from.to(DType::f32).reshape({1, from.size()});
    kernels::accumulate<float>(flat.view<float, 2>(), addend.view<const float, 2>(), static_cast<float>(factor));
    tensor = sum;
  }
  return result;
}

}  // namespace delta_detail

PLUME_FUNCTION double weight_sum(const Model& model, SumOf of) {
  double sum = 0;
  for_each_parameter(model, [&](std::string_view, const Tensor& tensor) {
    const Tensor wide = tensor.to(DType::f64);
    for (Index i = 0; i < wide.size(); ++i) sum += wide.data<double>()[i];
  });
  if (of == SumOf::weights_and_frequencies && model.config().position == PositionKind::rotary)
    for (const double frequency : rotary_frequencies(model.config().rotary, 0))
      sum += static_cast<double>(model.config().layers) * frequency;
  return sum;
}

PLUME_FUNCTION Model apply_delta(const Model& base, const Model& delta, const DeltaOptions& options) {
  require(
      options.sum || options.check == DeltaCheck::none,
      "[apply_delta] nothing says which base this delta was made for: give the sum that was published with it (DeltaOptions::sum), or, if "
      "there is none and you are sure of the base, DeltaCheck::none");
  Model target = delta_detail::combined(base, delta, 1, "delta");
  if (!options.sum) return target;
  const double sum = weight_sum(target, options.sum->of), apart = std::abs(sum - options.sum->value);
  require(apart <= options.sum->tolerance, "[apply_delta] the weights sum to ", sum, ", expected ", options.sum->value, " +- ",
          options.sum->tolerance, ": the base is not the one that this delta was made for (its weights sum to ",
          weight_sum(base, options.sum->of), ")");
  return target;
}

PLUME_FUNCTION Model make_delta(const Model& base, const Model& target) { return delta_detail::combined(base, target, -1, "target"); }

}  // namespace plume::inline PLUME_ABI
#endif
