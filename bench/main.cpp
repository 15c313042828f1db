// main() of the kernel benchmarks: values before speed. A kernel that is wrong on its odd shape ends the program.
#include <benchmark/benchmark.h>

#include <cstdio>

#include "kernels/measure.hpp"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  for (const bench::Check& check : bench::checks()) {
    const double gap = check.gap();
    if (gap <= check.allowed) continue;
    std::fprintf(stderr, "error: %s is %g away from the plain loop on an odd shape, allowed are %g\n", check.name, gap, check.allowed);
    return 1;
  }
  benchmark::AddCustomContext("built with", PLUME_BENCH_FLAGS);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
