// Layer norm and RMS norm, forward and with their backward pass. Bytes: x and y forward; x, dy and dx backward.
#include "plume/ops/layer_norm.hpp"
#include "plume/ops/rms_norm.hpp"
#include "tensors.hpp"

namespace {

using namespace bench;

std::vector<Tensor> inputs_for(Index rows, Index width) {
  return {random_tensor({rows, width}, 1), random_tensor({width}, 2), random_tensor({width}, 3)};
}
Tensor layer(const std::vector<Tensor>& inputs) { return plume::layer_norm(inputs[0], inputs[1], inputs[2], 1e-5); }
Tensor rms(const std::vector<Tensor>& inputs) { return plume::rms_norm(inputs[0], inputs[1], 1e-5); }

double layer_gap() { return gap_to_f64(inputs_for(37, 101), layer); }
double rms_gap() { return gap_to_f64({random_tensor({37, 101}, 1), random_tensor({101}, 2)}, rms); }
const bool checked = add_check({"layer_norm", layer_gap, 1e-5}) && add_check({"rms_norm", rms_gap, 1e-5});

void norm(benchmark::State& state, Tensor (*op)(const std::vector<Tensor>&)) {
  const auto direction = static_cast<Direction>(state.range(0));
  const int threads = static_cast<int>(state.range(2));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  std::vector<Tensor> inputs = inputs_for(state.range(1), 768);
  if (op == rms) inputs.pop_back();
  const double seconds = run_op(state, direction, inputs, op);
  report_bytes(state, 4.0 * static_cast<double>(inputs[0].size()) * (direction == forward ? 2 : 5), seconds, threads);
}
void layer_norm(benchmark::State& state) { norm(state, layer); }
void rms_norm(benchmark::State& state) { norm(state, rms); }
void arguments(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{forward, forward_backward}, {256, 1024, 16384}, {1, 2}})->ArgNames({"backward", "rows", "threads"});
  bench->Unit(benchmark::kMicrosecond)->UseRealTime();
}
BENCHMARK(layer_norm)->Apply(arguments);
BENCHMARK(rms_norm)->Apply(arguments);

}  // namespace
