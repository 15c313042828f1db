#pragma once
#include "plume/optim/clip.hpp"

namespace plume::inline PLUME_ABI {

struct SgdOptions {
  double learning_rate = 1e-2;
  double momentum = 0.9;
  double weight_decay = 0;  // of matrices
};

// Gradient descent with momentum:  velocity = momentum velocity + g + decay w;  w -= rate velocity      [Sutskever et al. 2013]
class Sgd {
 public:
  template <Module M>
  explicit Sgd(M& module, const SgdOptions& options = {}) : options_(options), parameters_(trainable_parameters(module)) {
    require(options.learning_rate >= 0 && options.momentum >= 0 && options.momentum < 1, "[sgd] learning_rate ", options.learning_rate,
            ", momentum ", options.momentum, ": expected learning_rate >= 0, momentum in [0, 1)");
    for (const NamedParameter& parameter : parameters_)
      velocity_.push_back(Tensor::zeros(parameter.tensor.shape(), parameter.tensor.dtype()));
  }

  PLUME_FUNCTION void step(const Gradients& gradients, double learning_rate, double gradient_scale = 1);
  void step(const Gradients& gradients) { step(gradients, options_.learning_rate); }

  // The same in pieces: begin_step(), then update() for each of parameters().
  PLUME_FUNCTION void begin_step(double learning_rate, double gradient_scale = 1);
  PLUME_FUNCTION void update(std::size_t index, const Tensor& gradient);

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  Index steps() const { return steps_; }
  std::string_view kind() const { return "sgd"; }
  PLUME_FUNCTION std::vector<NamedParameter> state() const;
  void restore_steps(Index steps) { steps_ = steps; }

 private:
  SgdOptions options_;
  std::vector<NamedParameter> parameters_;
  std::vector<Tensor> velocity_;
  double rate_ = 0, scale_ = 1;
  Index steps_ = 0;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/optimizer/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void Sgd::step(const Gradients& gradients, double learning_rate, double gradient_scale) {
  begin_step(learning_rate, gradient_scale);
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (const Tensor gradient = gradients.find(parameters_[i].tensor)) update(i, gradient);
}

PLUME_FUNCTION void Sgd::begin_step(double learning_rate, double gradient_scale) {
  ++steps_;
  rate_ = learning_rate;
  scale_ = gradient_scale;
}

PLUME_FUNCTION void Sgd::update(std::size_t index, const Tensor& gradient) {
  const Tensor& weight = parameters_[index].tensor;
  const double decay = weight.rank() >= 2 ? options_.weight_decay : 0;
  visit_float(weight.dtype(), [&]<class T>() {
    kernels::sgd<T>(weight.view<T, 1>(), velocity_[index].view<T, 1>(), gradient.view<const T, 1>(), rate_, options_.momentum, decay,
                    scale_);
  });
}

PLUME_FUNCTION std::vector<NamedParameter> Sgd::state() const {
  std::vector<NamedParameter> tensors;
  for (std::size_t i = 0; i < parameters_.size(); ++i) tensors.push_back({concat("velocity.", parameters_[i].path), velocity_[i]});
  return tensors;
}

}  // namespace plume::inline PLUME_ABI
#endif
