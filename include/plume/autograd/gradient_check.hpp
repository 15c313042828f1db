#pragma once
// Compares the gradients of a function with central differences, in f64.
#include <cmath>
#include <vector>

#include "plume/autograd/tape.hpp"
#include "plume/base/random.hpp"

namespace plume::inline PLUME_ABI {

struct GradientCheck {
  double worst = 0;       // largest |difference| over an input, divided by the largest |gradient| of that input
  std::size_t input = 0;  // where
  Index element = 0;
  double gradient = 0, difference = 0;
};

struct GradientCheckOptions {
  double step = 1e-5;
  std::uint64_t seed = 1;  // of the direction the output is contracted with
};

// `function` takes the inputs (f64, dense) and returns a tensor; every element of every input is moved up and down.
template <class Function>
GradientCheck gradient_check(Function&& function, const std::vector<Tensor>& inputs, const GradientCheckOptions& options = {}) {
  Gradients gradients;
  Tensor direction;
  {
    Tape tape(inputs);
    const Tensor y = function(inputs);
    require(y.dtype() == DType::f64, "[gradient_check] the function returned ", y.dtype(), "; give it f64 inputs");
    direction = like(y);
    Random random{.seed = options.seed};
    for (Index i = 0; i < y.size(); ++i) direction.writable<double>()[i] = random.normal();
    tape.backward(y, direction, gradients);
  }
  const auto contracted = [&] {
    const NoTape pause;
    const Tensor y = function(inputs);
    double sum = 0;
    for (Index i = 0; i < y.size(); ++i) sum += y.data<double>()[i] * direction.data<double>()[i];
    return sum;
  };
  GradientCheck result;
  for (std::size_t input = 0; input < inputs.size(); ++input) {
    double* values = inputs[input].writable<double>();
    const Tensor gradient = gradients.find(inputs[input]);
    double largest = 1e-12;
    for (Index i = 0; gradient && i < gradient.size(); ++i) largest = std::max(largest, std::abs(gradient.data<double>()[i]));
    for (Index i = 0; i < inputs[input].size(); ++i) {
      const double before = values[i];
      values[i] = before + options.step;
      const double up = contracted();
      values[i] = before - options.step;
      const double down = contracted();
      values[i] = before;
      const double difference = (up - down) / (2 * options.step), exact = gradient ? gradient.data<double>()[i] : 0.0;
      const double error = std::abs(difference - exact) / largest;
      if (!(error <= result.worst)) result = {error, input, i, exact, difference};
    }
  }
  return result;
}

}  // namespace plume::inline PLUME_ABI
