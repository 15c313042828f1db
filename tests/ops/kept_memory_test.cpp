// What stays in memory between the passes: the numbers that a backward function reads, and no others.
#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <string>

#include "plume/autograd/tape.hpp"
#include "plume/kernels/parallel/context.hpp"
#include "plume/ops/ops.hpp"

using namespace plume;

namespace {

constexpr Index rows = 64, width = 128;
constexpr std::size_t unit = rows * width * sizeof(float);  // of an activation (64, 128)

Tensor matrix(const Shape& shape) {
  Tensor tensor = Tensor::empty(shape);
  for (Index i = 0; i < tensor.size(); ++i) tensor.writable<float>()[i] = 0.01f * static_cast<float>(i % 17 - 8);
  return tensor;
}

// Activations (64, 128) that are alive after f(x), where nobody but the tape holds x and the result. Small blocks do not count.
std::size_t kept(const Tensor& learns, const std::function<Tensor(const Tensor&)>& f) {
  const Context context({.threads = 1});
  const ContextScope scope(context);
  const std::array watched{learns};
  Tape tape(watched);
  {
    const Tensor x = add(matrix({rows, width}), learns);
    REQUIRE(is_traced(x));
    const Tensor y = f(x);
    REQUIRE(is_traced(y));
  }
  return context.pool().bytes_in_use() / unit;
}

}  // namespace

TEST_CASE("an op keeps what its backward pass reads") {
  const Tensor learns = matrix({rows, width}), weight = matrix({width, width}), gain = matrix({width}), bias = matrix({width});
  const auto check = [&](const std::string& op, std::size_t expected, const std::function<Tensor(const Tensor&)>& f) {
    CAPTURE(op);
    CHECK(kept(learns, f) == expected);
  };
  check("linear, weight as it is", 0, [&](const Tensor& x) { return linear(x, weight, bias); });
  check("add", 0, [&](const Tensor& x) { return x + x; });
  check("scale", 0, [&](const Tensor& x) { return 2.0 * x; });
  check("multiply by what does not learn", 1, [&](const Tensor& x) { return x * matrix({rows, width}); });
  check("multiply", 1, [&](const Tensor& x) { return x * x; });
  check("dropout", 0, [&](const Tensor& x) { return dropout(x, {.rate = 0.5, .seed = 1, .stream = 1}); });
  check("softmax: its output", 1, [&](const Tensor& x) { return softmax(x); });
  check("layer_norm: its input", 1, [&](const Tensor& x) { return layer_norm(x, gain, bias, 1e-5); });
  check("rms_norm: its input", 1, [&](const Tensor& x) { return rms_norm(x, gain, 1e-5); });
  check("activation: its input", 1, [&](const Tensor& x) { return gelu(x); });
  check("activated_linear, weight as it is: the product", 1,
        [&](const Tensor& x) { return activated_linear(x, weight, bias, {.kind = ActivationKind::gelu_tanh}); });
  check("cross_entropy: the gradient", 1, [&](const Tensor& x) {
    const std::vector<TokenId> targets(rows, 3);
    return cross_entropy(x, targets);
  });
  check("classifier_loss: the gradient", 1, [&](const Tensor& x) {
    const std::vector<TokenId> targets(rows, 3);
    return classifier_loss(x, weight, {}, targets);
  });
  std::vector<std::int32_t> positions(rows, 2);
  const RotaryAngles angles = rotary_angles(positions, 8, 10000, DType::f32);
  check("rope", 0, [&](const Tensor& x) { return rope(x, angles, 32, RotaryLayout::half_split); });
  check("a chain of them", 0, [&](const Tensor& x) { return linear(2.0 * (linear(x, weight) + x), weight); });
}

TEST_CASE("a linear layer keeps its input where its weight or a term of low rank learns") {
  const Tensor weight = matrix({width, width}), a = matrix({8, width}), b = matrix({width, 8});
  const auto kept_by = [&](const Tensor& learns, const auto& f) {
    const Context context({.threads = 1});
    const ContextScope scope(context);
    const std::array watched{learns};
    Tape tape(watched);
    f(matrix({rows, width}));
    REQUIRE(tape.size() == 1);
    return context.pool().bytes_in_use() / unit;
  };
  const auto plain = [&](const Tensor& x) { linear(x, weight); };
  const auto low_rank = [&](const Tensor& x) {
    const std::array parts{LowRankRows{{a, b, 2.0}, 0, rows, {}}};
    low_rank_linear(x, weight, {}, parts);
  };
  CHECK(kept_by(weight, plain) == 1);
  CHECK(kept_by(weight, low_rank) == 1);
  CHECK(kept_by(a, low_rank) == 1);
  CHECK(kept_by(b, low_rank) == 0);
}

TEST_CASE("gradients through inputs that are gone are those of inputs that are held") {
  const Tensor learns = matrix({rows, width}), weight = matrix({width, width}), factor = matrix({rows, width});
  const auto gradient = [&](std::vector<Tensor>* held) {
    const Context context({.threads = 1});
    const ContextScope scope(context);
    const std::array watched{learns};
    Tape tape(watched);
    const auto hold = [&](const Tensor& x) {
      if (held) held->push_back(x);
      return x;
    };
    Tensor loss;
    {
      const Tensor x = hold(learns + factor), y = hold(linear(x, weight)), z = hold(x + hold(2.0 * y));
      loss = classifier_loss(hold(dropout(hold(z * factor), {.rate = 0.25, .seed = 2, .stream = 3})), weight, {},
                             std::vector<TokenId>(rows, 5));
    }
    return tape.backward(loss).at(learns).copy();
  };
  std::vector<Tensor> held;
  const Tensor expected = gradient(&held), got = gradient(nullptr);
  CHECK(std::memcmp(expected.data<float>(), got.data<float>(), unit) == 0);
}
