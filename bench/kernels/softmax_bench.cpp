// Softmax of rows, cross-entropy with its gradient in place (the classifier's chunk: 256 rows of the vocabulary), and the whole classifier
// loss with its gradients.
#include "plume/ops/cross_entropy.hpp"
#include "plume/ops/softmax.hpp"
#include "tensors.hpp"

namespace {

using namespace bench;

std::vector<plume::TokenId> targets_for(Index rows, Index vocabulary) {
  std::vector<plume::TokenId> targets;
  for (Index i = 0; i < rows; ++i) targets.push_back(static_cast<plume::TokenId>(i * 7919 % vocabulary));
  return targets;
}
Tensor softmax_of(const std::vector<Tensor>& inputs) { return plume::softmax(inputs[0]); }
Tensor cross_entropy_of(const std::vector<Tensor>& inputs) {
  return plume::cross_entropy(inputs[0], targets_for(inputs[0].rows(), inputs[0].columns()));
}
double softmax_gap() { return gap_to_f64({random_tensor({37, 101}, 1, 9)}, softmax_of); }
double cross_entropy_gap() { return gap_to_f64({random_tensor({37, 101}, 1, 9)}, cross_entropy_of); }
const bool checked = add_check({"softmax", softmax_gap, 1e-5}) && add_check({"cross_entropy", cross_entropy_gap, 1e-5});

// Bytes: x and y forward; y, dy and dx backward.
void softmax(benchmark::State& state) {
  const auto direction = static_cast<Direction>(state.range(0));
  const int threads = static_cast<int>(state.range(2));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const Tensor x = random_tensor({state.range(1), 1024}, 1, 9);
  const double seconds = run_op(state, direction, {x}, softmax_of);
  report_bytes(state, 4.0 * static_cast<double>(x.size()) * (direction == forward ? 2 : 5), seconds, threads);
}
BENCHMARK(softmax)
    ->ArgsProduct({{forward, forward_backward}, {256, 16384}, {1, 2}})
    ->ArgNames({"backward", "rows", "threads"})
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

// Bytes: the logits read and their gradient written.
void cross_entropy(benchmark::State& state) {
  const Index vocabulary = state.range(0);
  const int threads = static_cast<int>(state.range(1));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const Tensor logits = random_tensor({256, vocabulary}, 1, 9), losses = Tensor::zeros({256});
  const auto targets = targets_for(256, vocabulary);
  const float scale = 1;  // the gradients become the next turn's logits: numbers between -1 and 1
  const double seconds =
      seconds_of(state, [&] { plume::kernels::cross_entropy<float>(logits.view<float, 2>(), targets, losses.view<float, 1>(), &scale); });
  report_bytes(state, 8.0 * static_cast<double>(logits.size()), seconds, threads);
}
BENCHMARK(cross_entropy)
    ->ArgsProduct({{32000, 50257}, {1, 2}})
    ->ArgNames({"vocabulary", "threads"})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// Operations: the three products with the head.
void classifier(benchmark::State& state) {
  const Index rows = state.range(0);
  const int threads = static_cast<int>(state.range(1));
  const plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const Tensor x = random_tensor({rows, 768}, 1), weight = random_tensor({50257, 768}, 2, 0.05f);
  const auto targets = targets_for(rows, 50257);
  const double seconds = run_op(state, forward_backward, {x, weight}, [&](const std::vector<Tensor>& inputs) {
    return plume::classifier_loss(inputs[0], inputs[1], {}, targets);
  });
  report_operations(state, 6.0 * static_cast<double>(rows * weight.size()), seconds, threads);
}
BENCHMARK(classifier)->ArgsProduct({{256, 1024}, {1, 2}})->ArgNames({"rows", "threads"})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
