// Looking up and adding to rows of a table (50257 x 768). Bytes: rows read and written forward; dy read, rows read and written backward.
#include "plume/ops/embedding.hpp"
#include "tensors.hpp"

namespace {

using namespace bench;

std::vector<plume::TokenId> ids_for(Index count, Index rows) {
  std::vector<plume::TokenId> ids;
  for (Index i = 0; i < count; ++i) ids.push_back(static_cast<plume::TokenId>(i * i * 7919 % rows));  // some come twice
  return ids;
}
double gap() {
  return gap_to_f64({random_tensor({19, 37}, 1)}, [](const auto& inputs) { return plume::embedding(ids_for(41, 19), inputs[0]); });
}
const bool checked = add_check({"embedding", gap, 1e-6});

void embedding(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(1));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const plume::NoTape no_tape;
  const Tensor table = random_tensor({50257, 768}, 1);
  const auto ids = ids_for(state.range(0), table.rows());
  const double seconds = seconds_of(state, [&] { benchmark::DoNotOptimize(plume::embedding(ids, table)); });
  report_bytes(state, 8.0 * static_cast<double>(state.range(0) * table.columns()), seconds, threads);
}
void embedding_backward(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(1));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const Tensor gradient = Tensor::zeros({50257, 768}), dy = random_tensor({state.range(0), 768}, 1, 1e-3f);
  const auto ids = ids_for(state.range(0), gradient.rows());
  const double seconds =
      seconds_of(state, [&] { plume::kernels::embedding_backward<float>(gradient.view<float, 2>(), ids, dy.view<const float, 2>()); });
  report_bytes(state, 12.0 * static_cast<double>(dy.size()), seconds, threads);
}
void arguments(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{256, 4096}, {1, 2}})->ArgNames({"tokens", "threads"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}
BENCHMARK(embedding)->Apply(arguments);
BENCHMARK(embedding_backward)->Apply(arguments);

}  // namespace
