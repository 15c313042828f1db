// Rotary positions, both layouts, forward and with the backward pass. Bytes: x and y forward; dy and dx backward.
#include <numeric>

#include "plume/ops/rope.hpp"
#include "tensors.hpp"

namespace {

using namespace bench;
using plume::RotaryLayout;

template <RotaryLayout layout>
Tensor turned(const std::vector<Tensor>& inputs, Index head_width) {
  const Tensor& x = inputs[0];
  std::vector<std::int32_t> positions(static_cast<std::size_t>(x.rows()));
  std::iota(positions.begin(), positions.end(), 0);
  return plume::rope(x, plume::rotary_angles(positions, head_width, 10000, x.dtype()), head_width, layout);
}
template <RotaryLayout layout>
double gap() {
  return gap_to_f64({random_tensor({37, 30}, 1)}, [](const auto& inputs) { return turned<layout>(inputs, 10); });
}
const bool checked = add_check({"rope, half split", gap<RotaryLayout::half_split>, 1e-5}) &&
                     add_check({"rope, interleaved", gap<RotaryLayout::interleaved>, 1e-5});

template <RotaryLayout layout>
void rope(benchmark::State& state) {
  const auto direction = static_cast<Direction>(state.range(0));
  const int threads = static_cast<int>(state.range(2));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const Tensor x = random_tensor({state.range(1), 2048}, 1);
  std::vector<std::int32_t> positions(static_cast<std::size_t>(x.rows()));
  std::iota(positions.begin(), positions.end(), 0);
  const plume::RotaryAngles angles = plume::rotary_angles(positions, 64, 10000, x.dtype());
  const double seconds = run_op(state, direction, {x}, [&](const auto& inputs) { return plume::rope(inputs[0], angles, 64, layout); });
  report_bytes(state, 4.0 * static_cast<double>(x.size()) * (direction == forward ? 2 : 4), seconds, threads);
}
void arguments(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{forward, forward_backward}, {256, 4096}, {1, 2}})->ArgNames({"backward", "rows", "threads"});
  bench->Unit(benchmark::kMicrosecond)->UseRealTime();
}
BENCHMARK(rope<RotaryLayout::half_split>)->Name("rope_half_split")->Apply(arguments);
BENCHMARK(rope<RotaryLayout::interleaved>)->Name("rope_interleaved")->Apply(arguments);

}  // namespace
