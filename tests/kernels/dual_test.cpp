// A user's own scalar through the public typed layer: a dual number runs a whole block, and its derivative is the tape's.
#include <doctest/doctest.h>

#include "../numbers.hpp"
#include "plume/kernels/reference/activation.hpp"
#include "plume/kernels/reference/attention.hpp"
#include "plume/kernels/reference/elementwise.hpp"
#include "plume/kernels/reference/gemm.hpp"
#include "plume/kernels/reference/norm.hpp"
#include "plume/kernels/reference/rope.hpp"
#include "plume/kernels/reference/softmax.hpp"
#include "plume/modules/block.hpp"

namespace user {

// value + derivative * e, with e^2 = 0.
struct Dual {
  double value = 0, derivative = 0;
  Dual() = default;
  explicit Dual(double v, double d = 0) : value(v), derivative(d) {}
  Dual& operator+=(const Dual& b) { return *this = *this + b; }
  Dual& operator-=(const Dual& b) { return *this = *this - b; }
  friend Dual operator+(const Dual& a, const Dual& b) { return Dual(a.value + b.value, a.derivative + b.derivative); }
  friend Dual operator-(const Dual& a, const Dual& b) { return Dual(a.value - b.value, a.derivative - b.derivative); }
  friend Dual operator-(const Dual& a) { return Dual(-a.value, -a.derivative); }
  friend Dual operator*(const Dual& a, const Dual& b) { return Dual(a.value * b.value, a.derivative * b.value + a.value * b.derivative); }
  friend Dual operator/(const Dual& a, const Dual& b) {
    return Dual(a.value / b.value, (a.derivative * b.value - a.value * b.derivative) / (b.value * b.value));
  }
  friend bool operator<(const Dual& a, const Dual& b) { return a.value < b.value; }
  friend bool operator>(const Dual& a, const Dual& b) { return a.value > b.value; }
};

Dual chain(const Dual& x, double value, double slope) { return Dual(value, slope * x.derivative); }
Dual sqrt(const Dual& x) { return chain(x, std::sqrt(x.value), 0.5 / std::sqrt(x.value)); }
Dual exp(const Dual& x) { return chain(x, std::exp(x.value), std::exp(x.value)); }
Dual log(const Dual& x) { return chain(x, std::log(x.value), 1 / x.value); }
Dual cos(const Dual& x) { return chain(x, std::cos(x.value), -std::sin(x.value)); }
Dual sin(const Dual& x) { return chain(x, std::sin(x.value), std::cos(x.value)); }
Dual tanh(const Dual& x) { return chain(x, std::tanh(x.value), 1 - std::tanh(x.value) * std::tanh(x.value)); }
Dual erf(const Dual& x) { return chain(x, std::erf(x.value), 1.1283791670955126 * std::exp(-x.value * x.value)); }
Dual pow(const Dual& x, const Dual& y) { return exp(y * log(x)); }

// A matrix of duals: a user's own buffer.
struct Matrix {
  std::vector<Dual> data;
  plume::Index rows, columns;
  Matrix(plume::Index r, plume::Index c) : data(static_cast<std::size_t>(r * c)), rows(r), columns(c) {}
  // A tensor's values moving in the direction of another.
  Matrix(const plume::Tensor& values, const plume::Tensor& direction) : Matrix(values.rows(), values.columns()) {
    const auto v = plume_test::values_of(values), d = plume_test::values_of(direction);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = Dual(v[i], d[i]);
  }
  plume::View<Dual, 2> view() { return {data.data(), {rows, columns}}; }
  plume::View<Dual, 1> line() { return {data.data(), {rows * columns}}; }
};

}  // namespace user

using namespace plume;
using plume_test::random_tensor;
using user::Dual;
using user::Matrix;

namespace {

// A block and the direction in which each of its parameters and its input move.
struct Moving {
  Block block;
  std::map<const Storage*, Tensor> directions;
  Matrix dual(const Tensor& tensor) const { return {tensor, directions.at(tensor.storage().get())}; }
};

constexpr Index tokens = 7, width = 12, head_width = 6, query_heads = 4, key_heads = 2, hidden = 11;
constexpr double epsilon = 1e-3, base = 50;

Matrix linear_of(const Moving& moving, Matrix x, const Linear& layer) {
  Matrix weight = moving.dual(layer.weight), y(x.rows, weight.rows);
  kernels::reference::gemm<Dual>(y.view(), x.view(), View<const Dual, 2>(weight.view()).transposed());
  if (layer.bias) kernels::reference::add_row<Dual>(y.view(), moving.dual(layer.bias).line());
  return y;
}

Matrix norm_of(const Moving& moving, Matrix x, const Norm& norm) {
  Matrix weight = moving.dual(norm.weight), y(x.rows, x.columns);
  kernels::reference::rms_norm<Dual>(y.view(), {}, x.view(), weight.line(), norm.epsilon);
  return y;
}

Matrix sum_of(Matrix a, Matrix b) {
  Matrix y(a.rows, a.columns);
  kernels::reference::add<Dual>(y.view(), a.view(), b.view());
  return y;
}

}  // namespace

TEST_CASE("dual numbers run a pre-norm block, and their derivative is the tape's") {
  BlockShape shape;
  shape.norm = {.width = width, .kind = NormKind::rms, .epsilon = epsilon};
  shape.attention = {.width = width,
                     .heads = {query_heads, key_heads, head_width, head_width},
                     .qkv_bias = true,
                     .output_bias = true,
                     .rotary = Rotary{.base = base, .width = 4, .layout = RotaryLayout::half_split}};
  shape.mlp = {.width = width, .hidden = hidden, .activation = {.kind = ActivationKind::silu}, .gated = true, .bias = true};
  Moving moving{Block::described(shape, DType::f64), {}};
  std::uint64_t seed = 1;
  for_each_parameter(moving.block, [&](std::string_view, Tensor& tensor) {
    tensor = random_tensor(tensor.shape(), ++seed, DType::f64, 0.5);
    moving.directions[tensor.storage().get()] = random_tensor(tensor.shape(), 100 + seed);
  });
  const Tensor x = random_tensor({tokens, width}, 31);
  moving.directions[x.storage().get()] = random_tensor({tokens, width}, 32);
  const Tensor contraction = random_tensor({tokens, width}, 33);
  const Block& block = moving.block;

  // Forward in dual numbers, kernel by kernel.
  const Matrix input = moving.dual(x);
  const Matrix normed = norm_of(moving, input, block.attention_norm);
  Matrix q = linear_of(moving, normed, block.attention.q), k = linear_of(moving, normed, block.attention.k),
         v = linear_of(moving, normed, block.attention.v);
  std::vector<std::int32_t> positions(tokens);
  for (std::size_t t = 0; t < positions.size(); ++t) positions[t] = static_cast<std::int32_t>(t);
  Matrix cosine(tokens, 2), sine(tokens, 2), turned_q(tokens, q.columns), turned_k(tokens, k.columns), y(tokens, q.columns);
  kernels::reference::rotary_table<Dual>(cosine.view(), sine.view(), positions, 4, base);
  kernels::reference::rope<Dual>(turned_q.view(), q.view(), cosine.view(), sine.view(), head_width, RotaryLayout::half_split, +1);
  kernels::reference::rope<Dual>(turned_k.view(), k.view(), cosine.view(), sine.view(), head_width, RotaryLayout::half_split, +1);
  const IntervalMask mask = Mask::causal().intervals(0, tokens, tokens);
  kernels::ScoreRule<Dual> rule;
  rule.scale = Dual(1 / std::sqrt(static_cast<double>(head_width)));
  for (Index head = 0; head < query_heads; ++head) {
    const Index key_head = head / (query_heads / key_heads);
    const auto columns = [](Matrix& matrix, Index part) { return matrix.view().columns(part * head_width, (part + 1) * head_width); };
    kernels::reference::attention<Dual>(columns(y, head), {}, columns(turned_q, head), columns(turned_k, key_head), columns(v, key_head),
                                        mask, 0, rule);
  }
  const Matrix h = sum_of(input, linear_of(moving, y, block.attention.output));
  const Matrix again = norm_of(moving, h, block.mlp_norm);
  Matrix gate = linear_of(moving, again, block.mlp.gate), up = linear_of(moving, again, block.mlp.up), inner(tokens, hidden);
  kernels::reference::gated<Dual>(inner.view(), gate.view(), up.view(), block.mlp.rule);
  const Matrix out = sum_of(h, linear_of(moving, inner, block.mlp.down));

  // The same block on the tape.
  std::vector<Tensor> watched{x};
  for_each_parameter(block, [&](std::string_view, const Tensor& tensor) { watched.push_back(tensor); });
  Tape tape(watched);
  Pass pass;
  pass.begin(tokens);
  pass.angles = rotary_angles(pass.positions, 4, base, DType::f64);
  const Tensor expected = block(x, pass);
  Gradients gradients;
  tape.backward(expected, contraction, gradients);
  double by_tape = 0, by_duals = 0, worst = 0;
  for (const Tensor& tensor : watched) {
    const auto g = plume_test::values_of(gradients.at(tensor)), d = plume_test::values_of(moving.directions.at(tensor.storage().get()));
    for (std::size_t i = 0; i < g.size(); ++i) by_tape += g[i] * d[i];
  }
  const auto values = plume_test::values_of(expected), weights = plume_test::values_of(contraction);
  for (std::size_t i = 0; i < values.size(); ++i) {
    by_duals += weights[i] * out.data[i].derivative;
    worst = std::max(worst, std::abs(values[i] - out.data[i].value));
  }
  CHECK(worst <= 1e-12);
  CHECK(std::abs(by_tape) > 1);
  CHECK(std::abs(by_duals - by_tape) <= 1e-9 * std::abs(by_tape));
}

TEST_CASE("dual numbers run the other kernels") {
  const Tensor x = random_tensor({3, 5}, 1), direction = random_tensor({3, 5}, 2);
  Matrix dual(x, direction), y(3, 5), weight(random_tensor({5}, 3), Tensor::zeros({5}, DType::f64));
  kernels::reference::softmax<Dual>(y.view(), dual.view());
  CHECK(std::abs(y.data[0].value + y.data[1].value + y.data[2].value + y.data[3].value + y.data[4].value - 1) < 1e-14);
  CHECK(std::abs(y.data[0].derivative + y.data[1].derivative + y.data[2].derivative + y.data[3].derivative + y.data[4].derivative) < 1e-14);
  kernels::reference::layer_norm<Dual>(y.view(), {}, {}, dual.view(), weight.line(), weight.line(), 1e-5);
  const std::vector<TokenId> targets{1, -1, 4};
  Matrix losses(1, 3);
  kernels::reference::cross_entropy<Dual>(dual.view(), targets, losses.line(), nullptr);
  CHECK(losses.data[1].value == 0);
  CHECK(losses.data[0].derivative != 0);
  for (const ActivationKind kind : {ActivationKind::silu, ActivationKind::gelu_tanh, ActivationKind::gelu_erf, ActivationKind::relu}) {
    kernels::reference::activation<Dual>(y.view(), dual.view(), {.kind = kind});
    // The kernel's own derivative is what the duals compute.
    for (std::size_t i = 0; i < y.data.size(); ++i) {
      const auto both = kernels::reference::activate(kernels::Activation{.kind = kind}, dual.data[i].value);
      CHECK(std::abs(y.data[i].derivative - both.slope * dual.data[i].derivative) < 1e-13);
    }
  }
}
