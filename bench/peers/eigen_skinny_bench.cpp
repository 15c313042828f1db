// The peer of few_tokens_f32 in kernels/gemm_bench.cpp: Eigen, built with -O3 -march=native, on the same shapes.
#include <Eigen/Core>
#include <string>

#include "../kernels/measure.hpp"

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Matrix random_matrix(Eigen::Index rows, Eigen::Index columns, std::uint64_t seed) {
  Matrix matrix(rows, columns);
  bench::fill_random(matrix.data(), static_cast<std::size_t>(matrix.size()), seed);
  return matrix;
}

double gap() {
  const Matrix x = random_matrix(5, 37, 1), w = random_matrix(70, 37, 2);
  Matrix y(5, 70);
  y.noalias() = x * w.transpose();
  std::vector<double> got, wanted;
  for (Eigen::Index t = 0; t < 5; ++t)
    for (Eigen::Index o = 0; o < 70; ++o) {
      double sum = 0;
      for (Eigen::Index i = 0; i < 37; ++i) sum += static_cast<double>(x(t, i)) * static_cast<double>(w(o, i));
      got.push_back(static_cast<double>(y(t, o)));
      wanted.push_back(sum);
    }
  return bench::relative_gap(got, wanted);
}
const bool described = [] {
  benchmark::AddCustomContext("Eigen", std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
                                           std::to_string(EIGEN_MINOR_VERSION) + " built with " PLUME_PEER_FLAGS);
  return true;
}();
const bool checked = bench::add_check({"Eigen's product", gap, 1e-6});

void few_tokens(benchmark::State& state, Eigen::Index outputs) {
  constexpr Eigen::Index inputs = 768;
  const Eigen::Index tokens = state.range(0);
  const int threads = static_cast<int>(state.range(1));
  Eigen::setNbThreads(threads);
  const Matrix x = random_matrix(tokens, inputs, 1), w = random_matrix(outputs, inputs, 2);
  Matrix y = Matrix::Zero(tokens, outputs);
  // Eigen has another kernel for one row, and takes it only where the type says so.
  Eigen::Map<const Eigen::VectorXf> x_vector(x.data(), inputs);
  Eigen::Map<Eigen::VectorXf> y_vector(y.data(), outputs);
  const double seconds = bench::seconds_of(state, [&] {
    if (tokens == 1)
      y_vector.noalias() = w * x_vector;
    else
      y.noalias() = x * w.transpose();
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  });
  bench::report_operations(state, 2.0 * static_cast<double>(tokens * w.size()), seconds, threads);
  bench::report_bytes(state, 4.0 * static_cast<double>(w.size()), seconds, threads);
}
BENCHMARK_CAPTURE(few_tokens, f32_L3, 3072)
    ->Name("few_tokens_f32/L3")
    ->ArgsProduct({{1, 2, 4, 8, 16}, {1, 2}})
    ->ArgNames({"tokens", "threads"})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(few_tokens, f32_memory, 50257)
    ->Name("few_tokens_f32/memory")
    ->ArgsProduct({{1, 2, 4, 8, 16}, {1, 2}})
    ->ArgNames({"tokens", "threads"})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

}  // namespace
