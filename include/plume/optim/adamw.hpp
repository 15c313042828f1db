#pragma once
#include <cmath>

#include "plume/optim/clip.hpp"

namespace plume::inline PLUME_ABI {

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;  // of matrices; vectors (norms, biases) do not decay
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
      first_.push_back(Tensor::zeros(parameter.tensor.shape(), parameter.tensor.dtype()));
      second_.push_back(Tensor::zeros(parameter.tensor.shape(), parameter.tensor.dtype()));
    }
  }

  // One update at the given rate; gradients are multiplied by `gradient_scale` (clipping) on the way. Parameters without a gradient stay.
  void step(const Gradients& gradients, double learning_rate, double gradient_scale = 1) {
    ++steps_;
    const double t = static_cast<double>(steps_);
    kernels::AdamWStep rule{learning_rate,
                            options_.beta1,
                            options_.beta2,
                            options_.epsilon,
                            0,
                            1 - std::pow(options_.beta1, t),
                            1 - std::pow(options_.beta2, t),
                            gradient_scale};
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const Tensor& weight = parameters_[i].tensor;
      const Tensor gradient = gradients.find(weight);
      if (!gradient) continue;
      rule.decay = weight.rank() >= 2 ? options_.weight_decay : 0;
      visit_float(weight.dtype(), [&]<class T>() {
        kernels::adamw<T>(weight.view<T, 1>(), first_[i].view<T, 1>(), second_[i].view<T, 1>(), gradient.view<const T, 1>(), rule);
      });
    }
  }
  void step(const Gradients& gradients) { step(gradients, options_.learning_rate); }

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  Index steps() const { return steps_; }
  std::string_view kind() const { return "adamw"; }

  // The state for a checkpoint, as named tensors that share memory with the optimiser.
  std::vector<NamedParameter> state() const {
    std::vector<NamedParameter> tensors;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      tensors.push_back({concat("first.", parameters_[i].path), first_[i]});
      tensors.push_back({concat("second.", parameters_[i].path), second_[i]});
    }
    return tensors;
  }
  void restore_steps(Index steps) { steps_ = steps; }

 private:
  AdamWOptions options_;
  std::vector<NamedParameter> parameters_;
  std::vector<Tensor> first_, second_;
  Index steps_ = 0;
};

}  // namespace plume::inline PLUME_ABI
