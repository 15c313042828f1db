// GELU (tanh) and gated SiLU, forward and with their backward pass. Bytes: inputs and output forward; inputs, dy and their gradients
// backward.
#include "plume/ops/activation.hpp"
#include "tensors.hpp"

namespace {

using namespace bench;

Tensor gelu(const std::vector<Tensor>& inputs) { return plume::gelu(inputs[0]); }
Tensor gated_silu(const std::vector<Tensor>& inputs) { return plume::gated(inputs[0], inputs[1], {.kind = plume::ActivationKind::silu}); }
std::vector<Tensor> inputs_for(std::size_t count, Index rows, Index width) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < count; ++i) inputs.push_back(random_tensor({rows, width}, i + 1, 4));
  return inputs;
}
double gelu_gap() { return gap_to_f64(inputs_for(1, 37, 101), gelu); }
double gated_gap() { return gap_to_f64(inputs_for(2, 37, 101), gated_silu); }
const bool checked = add_check({"gelu", gelu_gap, 1e-5}) && add_check({"gated silu", gated_gap, 1e-5});

void run(benchmark::State& state, std::size_t inputs, Tensor (*op)(const std::vector<Tensor>&)) {
  const auto direction = static_cast<Direction>(state.range(0));
  const int threads = static_cast<int>(state.range(2));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const std::vector<Tensor> data = inputs_for(inputs, state.range(1), 3072);
  const double seconds = run_op(state, direction, data, op), count = static_cast<double>(inputs);
  report_bytes(state, 4.0 * static_cast<double>(data[0].size()) * (count + 1 + (direction == forward ? 0 : 2 * count + 1)), seconds,
               threads);
  state.counters["Melement/s"] = 1e-6 * static_cast<double>(data[0].size()) / seconds;
}
void activation_gelu(benchmark::State& state) { run(state, 1, gelu); }
void activation_gated_silu(benchmark::State& state) { run(state, 2, gated_silu); }
void arguments(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{forward, forward_backward}, {256, 4096}, {1, 2}})->ArgNames({"backward", "rows", "threads"});
  bench->Unit(benchmark::kMicrosecond)->UseRealTime();
}
BENCHMARK(activation_gelu)->Apply(arguments);
BENCHMARK(activation_gated_silu)->Apply(arguments);

}  // namespace
