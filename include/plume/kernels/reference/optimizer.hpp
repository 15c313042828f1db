#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <type_traits>

#include "plume/base/half.hpp"
#include "plume/base/random.hpp"
#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels {

// One AdamW update; the bias corrections are 1 - beta^step.      [Kingma & Ba 2014; Loshchilov & Hutter 2017]
struct AdamWStep {
  double learning_rate, beta1, beta2, epsilon, decay, correction1, correction2;
  double gradient_scale = 1;  // from clipping
  // Of the rounding of bfloat16 moments: a stream is one parameter at one step.
  std::uint64_t seed = 0, stream = 0;
};

namespace reference {

// Random words of the elements [32 group, 32 group + 32): element e has word e % 32 / 8 of the counter e / 32 * 8 + e % 8.
inline std::array<std::uint32_t, 32> rounding_words(const AdamWStep& step, Index group) {
  const Random random{.seed = step.seed, .stream = step.stream};
  std::array<std::uint32_t, 32> words;
  for (std::size_t lane = 0; lane < 8; ++lane) {
    const auto four = random.at(static_cast<std::uint64_t>(group) * 8 + lane);
    for (std::size_t word = 0; word < 4; ++word) words[word * 8 + lane] = four[word];
  }
  return words;
}

// Up or down with the probabilities that keep the mean: `random` holds 16 random bits.
inline Bfloat16 round_stochastically(float value, std::uint32_t random) {
  Bfloat16 rounded;
  rounded.bits = static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(value) + random) >> 16);
  return rounded;
}

// weight, first moment, second moment, gradient: all (N), updated in one pass. Moments are T, or bfloat16 where T is float; those are
// rounded stochastically: element i counts as element first_element + i of its parameter, and first_element is a multiple of 32.
template <class T, class Moment>
void adamw(Output<T, 1> weight, View<Moment, 1> first, View<Moment, 1> second, Input<T, 1> gradient, const AdamWStep& step,
           Index first_element) {
  using std::sqrt;
  const T beta1 = T(step.beta1), beta2 = T(step.beta2), one_minus1 = T(1 - step.beta1), one_minus2 = T(1 - step.beta2);
  const T scale = T(step.gradient_scale), epsilon = T(step.epsilon), shrink = T(1 - step.learning_rate * step.decay);
  const T rate = T(step.learning_rate / step.correction1), inverse2 = T(1 / std::sqrt(step.correction2));
  std::array<std::uint32_t, 32> words{};
  for (Index i = 0; i < weight.size(); ++i) {
    const T g = gradient[i] * scale;
    const T m = beta1 * static_cast<T>(first[i]) + one_minus1 * g;
    const T v = beta2 * static_cast<T>(second[i]) + one_minus2 * g * g;
    if constexpr (std::is_same_v<Moment, T>) {
      first[i] = m;
      second[i] = v;
    } else {
      if (i % 32 == 0) words = rounding_words(step, (first_element + i) / 32);
      const std::uint32_t word = words[static_cast<std::size_t>(i % 32)];
      first[i] = round_stochastically(m, word & 0xffffu);
      second[i] = round_stochastically(v, word >> 16);
    }
    weight[i] = weight[i] * shrink - rate * m / (sqrt(v) * inverse2 + epsilon);
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

// Sum of squares in double, in eight chains: element i belongs to chain i % 8.
template <class T>
double sum_of_squares(Input<T, 1> x) {
  double sums[8] = {};
  for (Index i = 0; i < x.size(); ++i) sums[i % 8] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace reference
}  // namespace plume::inline PLUME_ABI::kernels
