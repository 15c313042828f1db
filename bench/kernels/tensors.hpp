#pragma once
// Tensors for the kernel benchmarks, and an op with its backward pass as one piece of work.
#include "measure.hpp"
#include "plume/autograd/tape.hpp"

namespace bench {

using plume::Index;
using plume::Tensor;

inline Tensor random_tensor(const plume::Shape& shape, std::uint64_t seed, float scale = 1) {
  const Tensor tensor = Tensor::empty(shape);
  fill_random(tensor.writable<float>(), static_cast<std::size_t>(tensor.size()), seed, scale);
  return tensor;
}

inline std::vector<double> values_of(const Tensor& tensor) {
  const Tensor dense = tensor.to(plume::DType::f64);
  return {dense.data<double>(), dense.data<double>() + dense.size()};
}

// All numbers of several tensors of one op in f64, where kernels are the plain loops, against the same op in f32.
template <class Op>
double gap_to_f64(const std::vector<Tensor>& inputs, Op&& op) {
  const auto run = [&](plume::DType dtype) {
    std::vector<Tensor> cast;
    for (const Tensor& input : inputs) cast.push_back(input.to(dtype));
    plume::Tape tape(cast);
    const Tensor y = op(cast);
    const Tensor direction = random_tensor(y.shape(), 99).to(dtype);
    plume::Gradients gradients;
    tape.backward(y, direction, gradients);
    std::vector<std::vector<double>> all{values_of(y)};
    for (const Tensor& input : cast) all.push_back(values_of(gradients.at(input)));
    return all;
  };
  const auto single = run(plume::DType::f32), twofold = run(plume::DType::f64);
  double most = 0;
  for (std::size_t i = 0; i < twofold.size(); ++i) most = std::max(most, relative_gap(single[i], twofold[i]));
  return most;
}

// Seconds of one forward pass, or a forward and a backward pass, as training makes them; outputs come from the pool of the context.
enum Direction : int { forward, forward_backward };

template <class Op>
double run_op(benchmark::State& state, Direction direction, const std::vector<Tensor>& inputs, Op&& op) {
  Tensor seed;
  {
    const plume::NoTape no_tape;
    seed = random_tensor(op(inputs).shape(), 98);
  }
  return seconds_of(state, [&] {
    if (direction == forward) {
      const plume::NoTape no_tape;
      benchmark::DoNotOptimize(op(inputs));
    } else {
      plume::Tape tape(inputs);
      const Tensor y = op(inputs);
      plume::Gradients gradients;
      tape.backward(y, seed, gradients);
      benchmark::DoNotOptimize(gradients.empty());
    }
  });
}

}  // namespace bench
