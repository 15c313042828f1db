// Attention of training (forward, and forward with backward) and of decoding (one query, keys in a cache), causal.
// The operations counted are those of products with the visible keys: two a forward pass, five a backward pass (the scores again).
#include "plume/ops/attention.hpp"
#include "tensors.hpp"

namespace {

using namespace bench;

plume::AttentionOptions options_for(const plume::HeadShape& heads) {
  plume::AttentionOptions options;
  options.heads = heads;
  options.scale = 1 / std::sqrt(static_cast<double>(heads.head_width));
  return options;
}

// Sequences of `tokens` tokens, packed.
// Of each key a query sees the last `window` ones, its own among them; 0: all.
Tensor run(const std::vector<Tensor>& inputs, const plume::HeadShape& heads, Index tokens, Index window = 0) {
  const Tensor &q = inputs[0], &k = inputs[1], &v = inputs[2];
  const plume::Mask rule = window > 0 ? plume::Mask::sliding(window) : plume::Mask::causal();
  const auto mask = std::make_shared<const plume::IntervalMask>(rule.intervals(0, tokens, tokens));
  std::vector<plume::AttentionSegment> segments;
  for (Index begin = 0; begin < q.rows(); begin += tokens)
    segments.push_back({begin, begin + tokens, k.rows(begin, begin + tokens), v.rows(begin, begin + tokens), mask, 0});
  return plume::attention(q, segments, options_for(heads));
}
std::vector<Tensor> inputs_for(const plume::HeadShape& heads, Index rows) {
  return {random_tensor({rows, heads.query_heads * heads.head_width}, 1), random_tensor({rows, heads.key_heads * heads.head_width}, 2),
          random_tensor({rows, heads.key_heads * heads.value_width}, 3)};
}

const bool checked = add_check({"attention",
                                [] {
                                  const plume::HeadShape heads{6, 3, 10, 10};
                                  return gap_to_f64(inputs_for(heads, 2 * 67), [&](const auto& inputs) { return run(inputs, heads, 67); });
                                },
                                1e-5});

struct TrainingShape {
  const char* name;
  Index batch, tokens;
  plume::HeadShape heads;
  Index window = 0;
};
constexpr TrainingShape training_shapes[] = {{"gpt2_124m_T64", 4, 64, {12, 12, 64, 64}},
                                             {"gpt2_124m_T256", 4, 256, {12, 12, 64, 64}},
                                             {"gpt2_124m_T1024", 1, 1024, {12, 12, 64, 64}},
                                             {"dense_T2048", 1, 2048, {12, 12, 64, 64}},
                                             {"banded_T2048_w256", 1, 2048, {12, 12, 64, 64}, 256},
                                             {"stories15m_T256", 8, 256, {6, 6, 48, 48}},
                                             {"grouped_T512", 1, 512, {32, 4, 64, 64}}};

void training(benchmark::State& state, const TrainingShape& shape) {
  const auto direction = static_cast<Direction>(state.range(0));
  const int threads = static_cast<int>(state.range(1));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const double seconds = run_op(state, direction, inputs_for(shape.heads, shape.batch * shape.tokens),
                                [&](const auto& inputs) { return run(inputs, shape.heads, shape.tokens, shape.window); });
  const Index seen = shape.window > 0 ? shape.window * (shape.tokens - shape.window) + shape.window * (shape.window + 1) / 2
                                      : shape.tokens * (shape.tokens + 1) / 2;
  const double pairs = static_cast<double>(shape.batch * shape.heads.query_heads * seen);
  report_operations(state, 2 * pairs * static_cast<double>(shape.heads.head_width) * (direction == forward ? 2 : 7), seconds, threads);
}

void decoding(benchmark::State& state, const plume::HeadShape& heads) {
  const Index keys = state.range(0);
  const int threads = static_cast<int>(state.range(1));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const Tensor q = random_tensor({1, heads.query_heads * heads.head_width}, 1),
               k = random_tensor({keys, heads.key_heads * heads.head_width}, 2),
               v = random_tensor({keys, heads.key_heads * heads.value_width}, 3);
  const auto mask = std::make_shared<const plume::IntervalMask>(plume::Mask::causal().intervals(keys - 1, 1, keys));
  const double seconds = seconds_of(state, [&] {
    benchmark::DoNotOptimize(plume::attention(q, {{0, 1, k, v, mask, keys - 1}}, options_for(heads)));
  });
  report_bytes(state, 4.0 * static_cast<double>(k.size() + v.size()), seconds, threads);
}

const bool registered = [] {
  for (const TrainingShape& shape : training_shapes)
    benchmark::RegisterBenchmark((std::string("training/") + shape.name).c_str(), [=](benchmark::State& state) { training(state, shape); })
        ->ArgsProduct({{forward, forward_backward}, {1, 2}})
        ->ArgNames({"backward", "threads"})
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  for (const auto& [name, heads] : {std::pair{"gpt2_124m", plume::HeadShape{12, 12, 64, 64}}, {"grouped", {32, 4, 64, 64}}})
    benchmark::RegisterBenchmark((std::string("decoding/") + name).c_str(),
                                 [heads = heads](benchmark::State& state) { decoding(state, heads); })
        ->ArgsProduct({{64, 256, 1024, 8192}, {1, 2}})
        ->ArgNames({"keys", "threads"})
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  return true;
}();

}  // namespace
