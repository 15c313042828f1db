// AdamW and SGD against plain loops in double; clipping, schedules, and which parameters there are.
#include <doctest/doctest.h>

#include <numbers>

#include "../numbers.hpp"
#include "plume/modules/linear.hpp"
#include "plume/optim/adamw.hpp"
#include "plume/optim/schedule.hpp"
#include "plume/optim/sgd.hpp"

using namespace plume;
using plume_test::random_tensor;

namespace {

// Two layers; the second may share the first one's matrix.
struct Pair {
  Linear first, second;
  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("first", self.first);
    f("second", self.second);
  }
};

Pair make_pair(DType dtype) {
  return {{random_tensor({7, 7}, 1, dtype), random_tensor({7}, 2, dtype)}, {random_tensor({5, 7}, 3, dtype), {}}};
}

// Gradients of a loss that moves with the step.
Gradients gradients_at(const Pair& module, std::uint64_t step) {
  const DType dtype = module.first.weight.dtype();
  Tape tape;
  const Tensor y = module.second(module.first(random_tensor({3, 7}, 50 + step, dtype)));
  Gradients gradients;
  tape.backward(y, random_tensor(y.shape(), 90 + step, dtype), gradients);
  return gradients;
}

}  // namespace

TEST_CASE("AdamW is the published loop, and only matrices decay") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    Pair module = make_pair(dtype);
    const AdamWOptions options{.learning_rate = 0.03, .beta1 = 0.8, .beta2 = 0.97, .epsilon = 1e-5, .weight_decay = 0.2};
    AdamW optimizer(module, options);
    const double scale = 0.6;
    std::vector<std::vector<double>> weights, first, second;
    for (const auto& parameter : optimizer.parameters()) {
      weights.push_back(plume_test::values_of(parameter.tensor));
      first.emplace_back(weights.back().size());
      second.emplace_back(weights.back().size());
    }
    for (int t = 1; t <= 7; ++t) {
      const Gradients gradients = gradients_at(module, static_cast<std::uint64_t>(t));
      const double rate = 0.03 / t;
      for (std::size_t p = 0; p < weights.size(); ++p) {
        const Tensor& tensor = optimizer.parameters()[p].tensor;
        const auto g = plume_test::values_of(gradients.at(tensor));
        for (std::size_t i = 0; i < g.size(); ++i) {
          const double gradient = scale * g[i];
          first[p][i] = options.beta1 * first[p][i] + (1 - options.beta1) * gradient;
          second[p][i] = options.beta2 * second[p][i] + (1 - options.beta2) * gradient * gradient;
          const double m = first[p][i] / (1 - std::pow(options.beta1, t)), v = second[p][i] / (1 - std::pow(options.beta2, t));
          if (tensor.rank() == 2) weights[p][i] -= rate * options.weight_decay * weights[p][i];
          weights[p][i] -= rate * m / (std::sqrt(v) + options.epsilon);
        }
      }
      optimizer.step(gradients, rate, scale);
    }
    CHECK(optimizer.steps() == 7);
    for (std::size_t p = 0; p < weights.size(); ++p) {
      const auto ours = plume_test::values_of(optimizer.parameters()[p].tensor);
      for (std::size_t i = 0; i < ours.size(); ++i) CHECK(std::abs(ours[i] - weights[p][i]) <= (dtype == DType::f64 ? 1e-13 : 2e-5));
    }
  }
}

TEST_CASE("SGD is momentum's loop, and only matrices decay") {
  Pair module = make_pair(DType::f64);
  Sgd optimizer(module, {.learning_rate = 0.05, .momentum = 0.7, .weight_decay = 0.1});
  std::vector<std::vector<double>> weights, velocity;
  for (const auto& parameter : optimizer.parameters()) {
    weights.push_back(plume_test::values_of(parameter.tensor));
    velocity.emplace_back(weights.back().size());
  }
  for (int t = 1; t <= 5; ++t) {
    const Gradients gradients = gradients_at(module, static_cast<std::uint64_t>(t));
    for (std::size_t p = 0; p < weights.size(); ++p) {
      const Tensor& tensor = optimizer.parameters()[p].tensor;
      const auto g = plume_test::values_of(gradients.at(tensor));
      for (std::size_t i = 0; i < g.size(); ++i) {
        velocity[p][i] = 0.7 * velocity[p][i] + 0.5 * g[i] + (tensor.rank() == 2 ? 0.1 * weights[p][i] : 0.0);
        weights[p][i] -= 0.05 * velocity[p][i];
      }
    }
    optimizer.step(gradients, 0.05, 0.5);
  }
  for (std::size_t p = 0; p < weights.size(); ++p) {
    const auto ours = plume_test::values_of(optimizer.parameters()[p].tensor);
    for (std::size_t i = 0; i < ours.size(); ++i) CHECK(std::abs(ours[i] - weights[p][i]) <= 1e-13);
  }
}

TEST_CASE("a parameter without a gradient stays, with its moments") {
  Pair module = make_pair(DType::f64);
  AdamW optimizer(module);
  const Tensor before = module.second.weight.copy();
  Tape tape;
  const Tensor y = module.first(random_tensor({3, 7}, 1));
  Gradients gradients;
  tape.backward(y, y, gradients);
  optimizer.step(gradients);
  CHECK(plume_test::same_bits(module.second.weight, before));
  CHECK(!gradients.find(module.second.weight));
}

TEST_CASE("a tensor under two names is one parameter") {
  Pair module = make_pair(DType::f64);
  module.second.weight = module.first.weight;
  CHECK(count_parameters(module) == 49 + 7);
  AdamW optimizer(module);
  CHECK(optimizer.parameters().size() == 2);
  CHECK(module.second.weight.storage() == module.first.weight.storage());
  // Read-only weights are copied; what was tied stays tied.
  const std::vector<float> values(49, 0.5f);
  const Tensor borrowed = borrow(std::span<const float>(values), {7, 7});
  Pair other{{borrowed, {}}, {borrowed, {}}};
  Sgd plain(other);
  CHECK(plain.parameters().size() == 1);
  CHECK(other.first.weight.storage() == other.second.weight.storage());
  CHECK(other.first.weight.storage() != borrowed.storage());
  CHECK(other.first.weight.storage()->writable());
  // Rows of one matrix are parameters of their own.
  const Tensor both = random_tensor({10, 7}, 4);
  Pair rows{{both.rows(0, 5), {}}, {both.rows(5, 10), {}}};
  CHECK(count_parameters(rows) == 70);
  CHECK(AdamW(rows).parameters().size() == 2);
}

TEST_CASE("low precision becomes f32 masters, f64 stays; a module without values is refused") {
  Pair module = make_pair(DType::bf16);
  const Tensor before = module.first.weight;
  AdamW optimizer(module);
  CHECK(module.first.weight.dtype() == DType::f32);
  CHECK(plume_test::distance(module.first.weight, before) == 0);
  for (const auto& entry : optimizer.state()) CHECK(entry.tensor.dtype() == DType::f32);
  CHECK(optimizer.state().size() == 6);
  Pair empty{Linear::described({7, 7, true}), Linear::described({7, 5})};
  CHECK_THROWS_WITH_AS(AdamW{empty}, doctest::Contains("first.weight"), ArgumentError);
  Pair good = make_pair(DType::f64);
  CHECK_THROWS_AS(AdamW(good, {.beta1 = 1}), ArgumentError);
  CHECK_THROWS_AS(AdamW(good, {.epsilon = 0}), ArgumentError);
  CHECK_THROWS_AS(Sgd(good, {.momentum = -0.1}), ArgumentError);
}

TEST_CASE("norm and clipping") {
  Pair module = make_pair(DType::f64);
  AdamW optimizer(module);
  const Gradients gradients = gradients_at(module, 1);
  double sum = 0;
  for (const auto& parameter : optimizer.parameters())
    for (const double g : plume_test::values_of(gradients.at(parameter.tensor))) sum += g * g;
  CHECK(gradient_norm(optimizer.parameters(), gradients) == doctest::Approx(std::sqrt(sum)).epsilon(1e-13));
  CHECK(clip_factor(0.5, 1) == 1);
  CHECK(clip_factor(1, 1) == 1);
  CHECK(clip_factor(4, 1) == doctest::Approx(0.25).epsilon(1e-6));
  CHECK(clip_factor(4, 1) < 0.25);
  CHECK(clip_factor(1e9, 0) == 1);  // 0: no limit
}

TEST_CASE("the cosine schedule at its corners") {
  const CosineSchedule schedule{.peak = 1e-3, .minimum = 1e-4, .warmup = 100, .steps = 2000};
  CHECK(schedule.at(0) == doctest::Approx(1e-3 / 101));
  CHECK(schedule.at(99) == doctest::Approx(1e-3 * 100 / 101));
  CHECK(schedule.at(100) == 1e-3);
  CHECK(schedule.at(1050) == doctest::Approx(5.5e-4));
  CHECK(schedule.at(575) == doctest::Approx(1e-4 + 0.5 * (1 + std::sqrt(0.5)) * 9e-4));
  CHECK(schedule.at(1999) > 1e-4);
  CHECK(schedule.at(1999) < 1.00001e-4 + 1e-9);
  CHECK(schedule.at(2000) == 1e-4);
  CHECK(schedule.at(1'000'000) == 1e-4);
  const CosineSchedule no_warmup{.peak = 1, .minimum = 0, .warmup = 0, .steps = 10};
  CHECK(no_warmup.at(0) == 1);
  CHECK(no_warmup.at(5) == doctest::Approx(0.5));
  const CosineSchedule only_warmup{.peak = 1, .minimum = 0.1, .warmup = 10, .steps = 10};
  CHECK(only_warmup.at(9) == doctest::Approx(10.0 / 11));
  CHECK(only_warmup.at(10) == 0.1);
}
