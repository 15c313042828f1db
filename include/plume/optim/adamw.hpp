#pragma once
#include <cmath>

#include "plume/optim/clip.hpp"

namespace plume::inline PLUME_ABI {

// How AdamW keeps its moments: in the type of the weights, or as bfloat16 with stochastic rounding (the mean is kept), which takes half of
// the memory.
enum class Moments : std::uint8_t { full, bf16 };

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;  // of matrices; vectors (norms, biases) do not decay
  Moments moments = Moments::full;
  std::uint64_t seed = 0;  // of the rounding of bf16 moments
};

// AdamW.      [Kingma & Ba 2014; Loshchilov & Hutter 2017]
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  w = (1 - rate decay) w - rate m / (1 - beta1^t) / (sqrt(v / (1 -
//   beta2^t)) + epsilon)
// Takes a module: its parameters become trainable (owned f32 or f64).
class AdamW {
 public:
  template <Module M>
  explicit AdamW(M& module, const AdamWOptions& options = {}) : options_(options), parameters_(trainable_parameters(module)) {
    require(options.learning_rate >= 0 && options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 && options.beta2 < 1 &&
                options.epsilon > 0,
            "[adamw] learning_rate ", options.learning_rate, ", beta1 ", options.beta1, ", beta2 ", options.beta2, ", epsilon ",
            options.epsilon, ": expected learning_rate >= 0, betas in [0, 1), epsilon > 0");
    for (const NamedParameter& parameter : parameters_) {
      const DType type = parameter.tensor.dtype();
      require(options.moments == Moments::full || type == DType::f32, "[adamw] ", parameter.path, " is ", type,
              ": bf16 moments are for f32 weights");
      for (std::vector<Tensor>* moments : {&first_, &second_})
        moments->push_back(Tensor::zeros(parameter.tensor.shape(), options.moments == Moments::bf16 ? DType::bf16 : type));
    }
  }

  // One update at the given rate; gradients are multiplied by `gradient_scale` (clipping) on the way. Parameters without a gradient stay.
  PLUME_FUNCTION void step(const Gradients& gradients, double learning_rate, double gradient_scale = 1);
  void step(const Gradients& gradients) { step(gradients, options_.learning_rate); }

  // The same in pieces, for gradients that come one after the other: begin_step(), then update() for each of parameters().
  PLUME_FUNCTION void begin_step(double learning_rate, double gradient_scale = 1);
  PLUME_FUNCTION void update(std::size_t index, const Tensor& gradient);

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  Index steps() const { return steps_; }
  std::string_view kind() const { return "adamw"; }

  // The state for a checkpoint, as named tensors that share memory with the optimiser.
  PLUME_FUNCTION std::vector<NamedParameter> state() const;
  void restore_steps(Index steps) { steps_ = steps; }

 private:
  AdamWOptions options_;
  std::vector<NamedParameter> parameters_;
  std::vector<Tensor> first_, second_;
  kernels::AdamWStep rule_ = {};
  Index steps_ = 0;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/optimizer/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void AdamW::step(const Gradients& gradients, double learning_rate, double gradient_scale) {
  begin_step(learning_rate, gradient_scale);
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (const Tensor gradient = gradients.find(parameters_[i].tensor)) update(i, gradient);
}

PLUME_FUNCTION void AdamW::begin_step(double learning_rate, double gradient_scale) {
  ++steps_;
  const double t = static_cast<double>(steps_);
  rule_ = {learning_rate,
           options_.beta1,
           options_.beta2,
           options_.epsilon,
           0,
           1 - std::pow(options_.beta1, t),
           1 - std::pow(options_.beta2, t),
           gradient_scale,
           options_.seed,
           0};
}

PLUME_FUNCTION void AdamW::update(std::size_t index, const Tensor& gradient) {
  const Tensor &weight = parameters_[index].tensor, &first = first_[index], &second = second_[index];
  rule_.decay = weight.rank() >= 2 ? options_.weight_decay : 0;
  rule_.stream = (static_cast<std::uint64_t>(steps_) << 24) + index;
  if (first.dtype() == DType::bf16) {
    kernels::adamw(weight.view<float, 1>(), first.view<Bfloat16, 1>(), second.view<Bfloat16, 1>(), gradient.view<const float, 1>(), rule_);
  } else {
    visit_float(weight.dtype(), [&]<class T>() {
      kernels::adamw<T>(weight.view<T, 1>(), first.view<T, 1>(), second.view<T, 1>(), gradient.view<const T, 1>(), rule_);
    });
  }
}

PLUME_FUNCTION std::vector<NamedParameter> AdamW::state() const {
  std::vector<NamedParameter> tensors;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    tensors.push_back({concat("first.", parameters_[i].path), first_[i]});
    tensors.push_back({concat("second.", parameters_[i].path), second_[i]});
  }
  return tensors;
}

}  // namespace plume::inline PLUME_ABI
#endif
