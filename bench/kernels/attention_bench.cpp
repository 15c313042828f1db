// Causal attention of 4 sequences of 256 tokens with 12 heads of 64, forward and backward, and one query over 1000 cached keys; on one
// thread and on two. FLOP/s counts the products that a causal mask leaves: 2 forward and 5 backward. PLUME_ISA=base shows the base level.
#include <benchmark/benchmark.h>

#include "plume/base/random.hpp"
#include "plume/kernels/attention/table.hpp"
#include "plume/tensor/tensor.hpp"

namespace {

using namespace plume;

constexpr kernels::HeadShape shape{.query_heads = 12, .key_heads = 12, .head_width = 64, .value_width = 64};
constexpr Index width = 12 * 64;

Tensor matrix(Index rows, Index columns) {
  const Tensor tensor = Tensor::empty({rows, columns});
  Random random{.seed = static_cast<std::uint64_t>(rows)};
  for (Index i = 0; i < tensor.size(); ++i) tensor.writable<float>()[i] = static_cast<float>(random.normal());
  return tensor;
}

struct Batch {
  Index sequences, tokens;
  IntervalMask mask = Mask::causal().intervals(0, tokens, tokens);
  // Queries, keys and values side by side, as a fused projection leaves them.
  Tensor qkv = matrix(sequences * tokens, 3 * width), dqkv = Tensor::zeros({sequences * tokens, 3 * width});
  Tensor y = matrix(sequences * tokens, width), dy = matrix(sequences * tokens, width),
         log_sum_exp = Tensor::empty({shape.query_heads, sequences*tokens});

  static View<const float, 2> part(const Tensor& x, Index index) {
    return x.view<const float, 2>().columns(index * width, (index + 1) * width);
  }
  View<float, 2> gradient(Index index) const { return dqkv.view<float, 2>().columns(index * width, (index + 1) * width); }
  std::vector<kernels::AttentionSequence<float>> list() const {
    std::vector<kernels::AttentionSequence<float>> all;
    for (Index begin = 0; begin < sequences * tokens; begin += tokens) {
      const auto rows = [&](auto x) { return x.rows(begin, begin + tokens); };
      all.push_back({begin, begin + tokens, rows(part(qkv, 1)), rows(part(qkv, 2)), rows(gradient(1)), rows(gradient(2)), &mask, 0});
    }
    return all;
  }
  void forward() const { kernels::attention<float>(y.view<float, 2>(), log_sum_exp.view<float, 2>(), part(qkv, 0), list(), shape, rule); }
  void backward() const {
    kernels::attention_backward<float>(gradient(0), {}, dy.view<const float, 2>(), y.view<const float, 2>(),
                                       log_sum_exp.view<const float, 2>(), part(qkv, 0), list(), shape, rule);
  }
  static constexpr auto rule = [](Index) { return kernels::ScoreRule<float>{.scale = 0.125f}; };
  double products() const {
    return static_cast<double>(sequences * shape.query_heads * tokens * (tokens + 1)) / 2 * static_cast<double>(shape.head_width);
  }
};

benchmark::Counter flops(double products) { return {2 * products, benchmark::Counter::kIsIterationInvariantRate}; }

void forward(benchmark::State& state) {
  const Context context({.threads = static_cast<int>(state.range(0))});
  const ContextScope scope(context);
  const Batch batch{4, 256};
  for (auto _ : state) batch.forward();
  state.counters["FLOP/s"] = flops(2 * batch.products());
}
BENCHMARK(forward)->Arg(1)->Arg(2)->ArgName("threads")->UseRealTime();

void backward(benchmark::State& state) {
  const Context context({.threads = static_cast<int>(state.range(0))});
  const ContextScope scope(context);
  const Batch batch{4, 256};
  batch.forward();
  for (auto _ : state) batch.backward();
  state.counters["FLOP/s"] = flops(5 * batch.products());
}
BENCHMARK(backward)->Arg(1)->Arg(2)->ArgName("threads")->UseRealTime();

void decode(benchmark::State& state) {
  constexpr Index keys = 1000;
  const Context context({.threads = static_cast<int>(state.range(0))});
  const ContextScope scope(context);
  const Tensor q = matrix(1, width), k = matrix(keys, width), v = matrix(keys, width), y = matrix(1, width);
  const IntervalMask mask = Mask::causal().intervals(keys - 1, 1, keys);
  const std::vector<kernels::AttentionSequence<float>> list{
      {0, 1, k.view<const float, 2>(), v.view<const float, 2>(), {}, {}, &mask, keys - 1}};
  for (auto _ : state) kernels::attention<float>(y.view<float, 2>(), {}, q.view<const float, 2>(), list, shape, Batch::rule);
  state.counters["bytes/s"] = benchmark::Counter(2.0 * keys * width * sizeof(float), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(decode)->Arg(1)->Arg(2)->ArgName("threads")->UseRealTime();

}  // namespace
