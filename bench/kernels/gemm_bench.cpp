// Matrix products of a linear layer, 768 tokens x 512 outputs x 128 inputs: forward (y += x w^T), input gradient (dx += dy w) and weight
// gradient (dw += dy^T x), on one thread and on two. PLUME_ISA=base shows the base level.
#include <benchmark/benchmark.h>

#include "plume/base/random.hpp"
#include "plume/kernels/gemm/table.hpp"

namespace {

using namespace plume;

enum Product : int { forward, input_gradient, weight_gradient };

void gemm(benchmark::State& state) {
  constexpr Index tokens = 768, outputs = 512, inputs = 128;
  const Context context({.threads = static_cast<int>(state.range(1))});
  const ContextScope scope(context);
  Random random{.seed = 1};
  const auto matrix = [&](Index rows, Index columns) {
    const Tensor tensor = Tensor::empty({rows, columns});
    for (Index i = 0; i < tensor.size(); ++i) tensor.writable<float>()[i] = static_cast<float>(1e-3 * random.normal());
    return tensor;
  };
  const Tensor x = matrix(tokens, inputs), w = matrix(outputs, inputs), y = matrix(tokens, outputs);
  for (auto _ : state) {
    switch (static_cast<Product>(state.range(0))) {
      case forward:
        kernels::gemm<float>(y.view<float, 2>(), x.view<const float, 2>(), w.view<const float, 2>().transposed());
        break;
      case input_gradient:
        kernels::gemm<float>(x.view<float, 2>(), y.view<const float, 2>(), w.view<const float, 2>());
        break;
      case weight_gradient:
        kernels::gemm<float>(w.view<float, 2>(), y.view<const float, 2>().transposed(), x.view<const float, 2>());
        break;
    }
    // The products grow in place; small again, so that none becomes infinite.
    state.PauseTiming();
    for (const Tensor& tensor : {x, w, y}) tensor.fill(1e-3);
    state.ResumeTiming();
  }
  state.counters["FLOP/s"] = benchmark::Counter(2.0 * tokens * outputs * inputs, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(gemm)->ArgsProduct({{forward, input_gradient, weight_gradient}, {1, 2}})->ArgNames({"product", "threads"})->UseRealTime();

}  // namespace
