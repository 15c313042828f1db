#pragma once
#include <cmath>

#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels {

// One AdamW update; the bias corrections are 1 - beta^step.      [Kingma & Ba 2014; Loshchilov & Hutter 2017]
struct AdamWStep {
  double learning_rate, beta1, beta2, epsilon, decay, correction1, correction2;
  double gradient_scale = 1;  // from clipping
};

namespace reference {

// weight, first moment, second moment, gradient: all (N), updated in one pass.
template <class T>
void adamw(Output<T, 1> weight, Optional<T, 1> first, Optional<T, 1> second, Input<T, 1> gradient, const AdamWStep& step) {
  using std::sqrt;
  const T beta1 = T(step.beta1), beta2 = T(step.beta2), one_minus1 = T(1 - step.beta1), one_minus2 = T(1 - step.beta2);
  const T scale = T(step.gradient_scale), epsilon = T(step.epsilon), shrink = T(1 - step.learning_rate * step.decay);
  const T rate = T(step.learning_rate / step.correction1), inverse2 = T(1 / std::sqrt(step.correction2));
  for (Index i = 0; i < weight.size(); ++i) {
    const T g = gradient[i] * scale;
    first[i] = beta1 * first[i] + one_minus1 * g;
    second[i] = beta2 * second[i] + one_minus2 * g * g;
    weight[i] = weight[i] * shrink - rate * first[i] / (sqrt(second[i]) * inverse2 + epsilon);
  }
}

// Gradient descent with momentum: velocity = momentum * velocity + gradient + decay * weight; weight -= learning_rate * velocity.
template <class T>
void sgd(Output<T, 1> weight, Optional<T, 1> velocity, Input<T, 1> gradient, double learning_rate, double momentum, double decay,
         double gradient_scale) {
  for (Index i = 0; i < weight.size(); ++i) {
    velocity[i] = T(momentum) * velocity[i] + T(gradient_scale) * gradient[i] + T(decay) * weight[i];
    weight[i] -= T(learning_rate) * velocity[i];
  }
}

// Sum of squares in double, in order.
template <class T>
double sum_of_squares(Input<T, 1> x) {
  double sum = 0;
  for (Index i = 0; i < x.size(); ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

}  // namespace reference
}  // namespace plume::inline PLUME_ABI::kernels
