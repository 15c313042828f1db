// One AdamW update of 32 million weights, and the norm of their gradient. Bytes: four arrays read, three written; one array read.
#include "plume/kernels/optimizer/table.hpp"
#include "tensors.hpp"

namespace {

using namespace bench;

constexpr plume::kernels::AdamWStep rule{1e-3, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05, 0.5};

// Weight, first and second moment after one step from zero moments.
template <class T>
std::vector<double> updated() {
  constexpr Index count = 4099;
  const plume::DType dtype = std::is_same_v<T, float> ? plume::DType::f32 : plume::DType::f64;
  const Tensor weight = random_tensor({count}, 1).to(dtype), gradient = random_tensor({count}, 2).to(dtype);
  const Tensor first = Tensor::zeros({count}, dtype), second = Tensor::zeros({count}, dtype);
  plume::kernels::adamw<T>(weight.view<T, 1>(), first.view<T, 1>(), second.view<T, 1>(), gradient.view<const T, 1>(), rule);
  std::vector<double> all = values_of(weight);
  for (const Tensor& moment : {first, second})
    for (const double value : values_of(moment)) all.push_back(value);
  return all;
}
double gap() { return relative_gap(updated<float>(), updated<double>()); }
const bool checked = add_check({"adamw", gap, 1e-5});

constexpr Index count = 32 << 20;

void adamw(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(0));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const Tensor weight = random_tensor({count}, 1), gradient = random_tensor({count}, 2, 1e-3f), first = random_tensor({count}, 3, 1e-3f),
               second = Tensor::empty({count});
  second.fill(1e-6);
  const double seconds = seconds_of(state, [&] {
    plume::kernels::adamw<float>(weight.view<float, 1>(), first.view<float, 1>(), second.view<float, 1>(), gradient.view<const float, 1>(),
                                 rule);
  });
  report_bytes(state, 28.0 * static_cast<double>(count), seconds, threads);
}
BENCHMARK(adamw)->Arg(1)->Arg(2)->ArgName("threads")->Unit(benchmark::kMillisecond)->UseRealTime();

void gradient_norm(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(0));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const Tensor gradient = random_tensor({count}, 2, 1e-3f);
  const double seconds =
      seconds_of(state, [&] { benchmark::DoNotOptimize(plume::kernels::sum_of_squares<float>(gradient.view<const float, 1>())); });
  report_bytes(state, 4.0 * static_cast<double>(count), seconds, threads);
}
BENCHMARK(gradient_norm)->Arg(1)->Arg(2)->ArgName("threads")->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
