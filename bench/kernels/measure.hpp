#pragma once
// What the kernel benchmarks share: checks that run before them, data, and rates as a share of what the machine does at the same time.
//   share     of the f32 multiply-add peak (or bf16's), of as many threads
//   of_read   of the rate at which those threads read memory; above 1 when the data is in a cache
#include <benchmark/benchmark.h>

#include <cmath>
#include <map>
#include <vector>

#include "../machine.hpp"

namespace bench {

// A kernel against a plain loop: gap() is the largest difference relative to the largest value.
struct Check {
  const char* name;
  double (*gap)();
  double allowed;
};
inline std::vector<Check>& checks() {
  static std::vector<Check> all;
  return all;
}
inline bool add_check(const Check& check) {
  checks().push_back(check);
  return true;
}

// Numbers in (-scale, scale) that differ from each other; quick, because some matrices have 39 million.
inline void fill_random(float* values, std::size_t count, std::uint64_t seed, float scale = 1) {
  std::uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (std::size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    values[i] = scale * (static_cast<float>(state >> 40) * 0x1.0p-23f - 1);
  }
}

inline double relative_gap(const std::vector<double>& got, const std::vector<double>& wanted) {
  double largest = 1e-300, gap = got.size() == wanted.size() ? 0 : INFINITY;
  for (const double value : wanted) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < wanted.size() && i < got.size(); ++i) {
    const double difference = std::abs(got[i] - wanted[i]);
    gap = difference <= gap ? gap : std::isnan(difference) ? INFINITY : difference;
  }
  return gap / largest;
}

namespace measure_detail {
// The machine's limits drift: what was measured more than ten seconds ago is measured again.
template <class Measure>
double recent(std::map<int, std::pair<double, double>>& known, int threads, Measure&& measure) {
  auto& [when, value] = known[threads];
  if (when == 0 || now() - when > 10) {
    value = measure();
    when = now();
  }
  return value;
}
}  // namespace measure_detail

inline double recent_f32_peak(int threads) {
  static std::map<int, std::pair<double, double>> known;
  return measure_detail::recent(known, threads, [&] { return f32_peak(threads); });
}
inline double recent_bf16_peak(int threads) {
  static std::map<int, std::pair<double, double>> known;
  return measure_detail::recent(known, threads, [&] { return bf16_peak(threads); });
}
inline double recent_read_rate(int threads) {
  static std::map<int, std::pair<double, double>> known;
  static const ReadTest test;
  return measure_detail::recent(known, threads, [&] { return test.rate(threads).median; });
}

// Runs the benchmark's loop; seconds of one iteration.
template <class Body>
double seconds_of(benchmark::State& state, Body&& body) {
  const double began = now();
  for (auto _ : state) body();
  return (now() - began) / static_cast<double>(state.iterations());
}

// Counters of one iteration that did these operations, or touched these bytes, in these seconds.
inline void report_operations(benchmark::State& state, double operations, double seconds, int threads) {
  state.counters["GFLOP/s"] = 1e-9 * operations / seconds;
  if (const double peak = recent_f32_peak(threads); peak > 0) state.counters["share"] = operations / seconds / peak;
}
inline void report_bytes(benchmark::State& state, double bytes, double seconds, int threads) {
  state.counters["GB/s"] = 1e-9 * bytes / seconds;
  state.counters["of_read"] = bytes / seconds / recent_read_rate(threads);
}

}  // namespace bench
