// Random numbers: how many of each kind per second (dropout draws one word an element, initialisation one normal a weight).
#include <benchmark/benchmark.h>

#include "plume/base/random.hpp"

static void philox(benchmark::State& state) {
  plume::Random random{.seed = 1};
  for (auto _ : state) benchmark::DoNotOptimize(random.at(random.counter++));
  state.SetItemsProcessed(4 * state.iterations());
}
BENCHMARK(philox);

static void uniform(benchmark::State& state) {
  plume::Random random{.seed = 1};
  for (auto _ : state) benchmark::DoNotOptimize(random.uniform());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(uniform);

static void normal(benchmark::State& state) {
  plume::Random random{.seed = 1};
  for (auto _ : state) benchmark::DoNotOptimize(random.normal());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(normal);
