// Tape::compress(): what the forward pass keeps is bfloat16 until the backward pass uses it.
#include "plume/autograd/tape.hpp"

#include <doctest/doctest.h>

#include "../numbers.hpp"
#include "plume/autograd/recompute.hpp"
#include "plume/kernels/norm/table.hpp"
#include "plume/ops/ops.hpp"

using namespace plume;
using plume_test::random_tensor;
using plume_test::same_bits;

namespace {

Tensor numbers(const Shape& shape, std::uint64_t seed, double size = 1) { return random_tensor(shape, seed, DType::f32, size); }
Tensor rounded(const Tensor& x) { return x.to(DType::bf16).to(DType::f32); }

// The gradients of sum(y * dy), y = function(), by the watched tensors.
template <class Function>
std::vector<Tensor> gradients_of(const std::vector<Tensor>& watched, const Tensor& dy, Function&& function) {
  Tape tape(watched);
  Gradients gradients;
  tape.backward(function(), dy, gradients);
  std::vector<Tensor> list;
  for (const Tensor& x : watched) list.push_back(gradients.at(x));
  return list;
}

}  // namespace

TEST_CASE("gradients are those of results that were rounded by hand") {
  const Context context;
  const ContextScope scope(context);
  const Tensor x = numbers({37, 19}, 1), first = parameter(numbers({23, 19}, 2)), second = parameter(numbers({11, 23}, 3)),
               gain = parameter(numbers({23}, 4)), dy = numbers({37, 11}, 5);
  Tape tape;
  const Tensor hidden = linear(x, first), normal = rms_norm(hidden, gain, 1e-5), active = silu(normal), y = linear(active, second);
  const Tensor hidden_by_hand = rounded(hidden), normal_by_hand = rounded(normal), active_by_hand = rounded(active), y_before = y.copy();
  const std::size_t before = context.pool().bytes_in_use();
  tape.compress(0, {}, y);
  CHECK(context.pool().bytes_in_use() + std::size_t{37 * 23 * 3 * 2} * 8 / 10 <= before);
  for (const Tensor& result : {hidden, normal, active}) {
    CHECK(result.storage()->is_compressed());
    CHECK_THROWS_WITH_AS(result.data<float>(), doctest::Contains("kept as bfloat16"), ArgumentError);
  }
  CHECK(same_bits(y, y_before));
  CHECK(!x.storage()->is_compressed());
  CHECK(!first.storage()->is_compressed());
  Gradients gradients;
  tape.backward(y, dy, gradients);

  const auto of_second = gradients_of({active_by_hand, second}, dy, [&] { return linear(active_by_hand, second); });
  const auto of_active = gradients_of({normal_by_hand}, of_second[0], [&] { return silu(normal_by_hand); });
  // The norm's statistics are those of the numbers before they were rounded: an op with its kernels' backward over hand-made inputs.
  const Tensor inverse = Tensor::empty({37}), ignored = numbers({37, 23}, 6);
  const Tensor hidden_exact = [&] {
    const NoTape no_tape;
    return linear(x, first);
  }();
  kernels::rms_norm<float>(ignored.view<float, 2>(), inverse.view<float, 1>(), hidden_exact.view<const float, 2>(),
                           gain.view<const float, 1>(), 1e-5);
  const Tensor dhidden = Tensor::zeros({37, 23}), dgain = Tensor::zeros({23});
  kernels::rms_norm_backward<float>(dhidden.view<float, 2>(), dgain.view<float, 1>(), of_active[0].view<const float, 2>(),
                                    hidden_by_hand.view<const float, 2>(), gain.view<const float, 1>(), inverse.view<const float, 1>());
  const auto of_first = gradients_of({first}, dhidden, [&] { return linear(x, first); });
  CHECK(same_bits(gradients.at(second), of_second[1]));
  CHECK(same_bits(gradients.at(gain), dgain));
  CHECK(same_bits(gradients.at(first), of_first[0]));
  const auto exact = gradients_of({first}, dy, [&] { return linear(silu(rms_norm(linear(x, first), gain, 1e-5)), second); });
  CHECK(!same_bits(exact[0], of_first[0]));
  CHECK(plume_test::relative_distance(of_first[0], exact[0]) < 1e-2);
  // Who still holds them finds them again.
  CHECK(same_bits(hidden, hidden_by_hand));
  CHECK(same_bits(active, active_by_hand));
}

TEST_CASE("parts one after the other: the input of each is compressed behind it, recompute() included") {
  const Context context;
  const ContextScope scope(context);
  const Tensor weight = parameter(numbers({16, 16}, 1)), x = numbers({9, 16}, 2), dy = numbers({9, 16}, 3);
  const auto part = [&](const Tensor& input) { return silu(linear(input, weight)); };
  std::vector<Tensor> by_hand;
  {
    const Tensor one = part(x), two = part(one);
    by_hand = {rounded(one), rounded(two)};
  }
  for (const bool again : {false, true}) {
    Tape tape;
    std::vector<Tensor> results{x};
    Tensor inside;
    for (int i = 0; i < 3; ++i) {
      const std::size_t first = tape.size();
      if (again) {
        results.push_back(recompute(results.back(), part));
      } else {
        inside = linear(results.back(), weight);
        results.push_back(silu(inside));
      }
      tape.compress(first, results[results.size() - 2], results.back());
      CHECK(results[static_cast<std::size_t>(i)].storage()->is_compressed() == (i > 0));
      CHECK(!results.back().storage()->is_compressed());
    }
    CHECK(!x.storage()->is_compressed());
    Gradients gradients;
    tape.backward(results.back(), dy, gradients);
    CHECK(same_bits(results[1], by_hand[0]));
    CHECK(same_bits(results[2], by_hand[1]));
    if (!again) continue;
    // Only the inputs of the parts were rounded.
    const auto third = gradients_of({by_hand[1], weight}, dy, [&] { return part(by_hand[1]); });
    const auto second = gradients_of({by_hand[0], weight}, third[0], [&] { return part(by_hand[0]); });
    const auto first = gradients_of({weight}, second[0], [&] { return part(x); });
    const Tensor sum = add(add(third[1], second[1]), first[0]);
    CHECK(plume_test::relative_distance(gradients.at(weight), sum) < 1e-6);
  }
}

TEST_CASE("attention keeps what it reads again: scores are those that log-sum-exp is of, and values belong to their mean") {
  const Context context;
  const ContextScope scope(context);
  constexpr Index tokens = 24, width = 16;
  // Scores of some hundreds, whose rounded counterparts differ by more than 1.
  const Tensor weight = parameter(numbers({3 * width, width}, 1)), x = numbers({tokens, width}, 2, 6), dy = numbers({tokens, width}, 3);
  const HeadShape heads{.query_heads = 2, .key_heads = 2, .head_width = 8, .value_width = 8};
  const auto mask = std::make_shared<const IntervalMask>(Mask{}.intervals(0, tokens, tokens));
  for (const bool is_fused : {false, true}) {
    const auto run = [&](bool compresses) {
      Tape tape;
      Tensor q, k, v;
      if (is_fused) {
        const Tensor all = linear(x, weight);
        q = all.columns(0, width), k = all.columns(width, 2 * width), v = all.columns(2 * width, 3 * width);
      } else {
        q = linear(x, weight.rows(0, width)), k = linear(x, weight.rows(width, 2 * width)),
        v = linear(x, weight.rows(2 * width, 3 * width));
      }
      const Tensor y = attention(q, {{0, tokens, k, v, mask}}, {.heads = heads, .scale = 0.35}), scaled = scale(y, 2),
                   z = scale(scaled, 0.5);
      if (compresses) {
        tape.compress(0, {}, z);
        for (const Tensor& read : {q, k, v, y}) CHECK(!read.storage()->is_compressed());
        CHECK(scaled.storage()->is_compressed());
      }
      Gradients gradients;
      tape.backward(z, dy, gradients);
      return gradients.at(weight);
    };
    CHECK(same_bits(run(true), run(false)));  // scale() reads nothing
  }
}

TEST_CASE("what is not a whole f32 result of a node stays as it is") {
  const Tensor wide = parameter(random_tensor({8, 8}, 1)), x = random_tensor({30, 8}, 2), single = parameter(numbers({30, 8}, 3));
  Tape tape;
  const Tensor y = silu(linear(x, wide)), watched = numbers({30, 8}, 4), whole = numbers({30, 8}, 5);
  tape.watch(watched);
  const Tensor some = traced("some", whole.rows(0, 20), {single}, [=](Gradients& d, const Tensor&) { d[single].fill(1); });
  const Tensor small = traced("small", numbers({4}, 6), {single}, [=](Gradients& d, const Tensor&) { d[single].fill(1); });
  const Tensor last = traced("last", numbers({30, 8}, 6), {some, small}, [=](Gradients&, const Tensor&) {});
  tape.compress(0, watched, last);
  for (const Tensor& tensor : {x, y, wide, watched, whole, some, small, single, last}) CHECK(!tensor.storage()->is_compressed());
  tape.compress(tape.size(), last, y);
  CHECK(last.storage()->is_compressed());
}
