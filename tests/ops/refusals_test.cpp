#include <doctest/doctest.h>

#include "../numbers.hpp"
#include "plume/ops/ops.hpp"

using namespace plume;
using plume_test::random_tensor;

namespace {

std::shared_ptr<const IntervalMask> intervals(const Mask& mask, Index first, Index count, Index keys) {
  return std::make_shared<const IntervalMask>(mask.intervals(first, count, keys));
}

}  // namespace

TEST_CASE("ops refuse what does not fit, and say what they got") {
  const Tensor x = random_tensor({5, 7}, 1), narrow = random_tensor({5, 6}, 2), single = random_tensor({5, 7}, 1, DType::f32);
  CHECK_THROWS_WITH_AS(linear(x, narrow), doctest::Contains("x is (5, 7) but weight is (5, 6)"), ArgumentError);
  CHECK_THROWS_WITH_AS(x + narrow, doctest::Contains("(5, 6)"), ArgumentError);
  CHECK_THROWS_WITH_AS(x * single, doctest::Contains("f32"), ArgumentError);
  CHECK_THROWS_AS(gated(x, narrow, {}), ArgumentError);
  CHECK_THROWS_AS(rms_norm(x, random_tensor({6}, 1), 1e-5), ArgumentError);
  CHECK_THROWS_AS(layer_norm(x, random_tensor({7}, 1), random_tensor({6}, 1), 1e-5), ArgumentError);
  CHECK_THROWS_AS(dropout(x, {.rate = 1}), ArgumentError);
  const std::vector<TokenId> outside{7}, negative{-1}, bad_target{0, 1, 2, 3, -2}, five{0, 1, 2, 3, 4};
  CHECK_THROWS_WITH_AS(embedding(outside, x), doctest::Contains("id 7 at position 0"), ArgumentError);
  CHECK_THROWS_AS(embedding(negative, x), ArgumentError);
  CHECK_THROWS_WITH_AS(cross_entropy(x, bad_target), doctest::Contains("target -2 at position 4"), ArgumentError);
  CHECK_THROWS_AS(cross_entropy(narrow.rows(0, 4), five), ArgumentError);
  CHECK_THROWS_WITH_AS(gelu(x.to(DType::bf16)), doctest::Contains("bf16"), ArgumentError);
  const std::vector<std::int32_t> positions(5);
  CHECK_THROWS_AS(rotary_angles(positions, 3, 10, DType::f64), ArgumentError);
  CHECK_THROWS_AS(rope(x, rotary_angles(positions, 4, 10, DType::f64), 3, RotaryLayout::half_split), ArgumentError);
  const auto mask = intervals({}, 0, 5, 5), wide_mask = intervals(Mask::full(), 0, 5, 9);
  const HeadShape heads{1, 1, 7, 7};
  CHECK_THROWS_WITH_AS(attention(x, {{0, 5, x, narrow, mask, 0}}, {.heads = heads}), doctest::Contains("values are (5, 6)"), ArgumentError);
  CHECK_THROWS_AS(attention(x, {{0, 4, x, x, mask, 0}}, {.heads = heads}), ArgumentError);
  CHECK_THROWS_AS(attention(x, {{0, 5, x, x, nullptr, 0}}, {.heads = heads}), ArgumentError);
  CHECK_THROWS_WITH_AS(attention(x, {{0, 5, x, x, wide_mask, 0}}, {.heads = heads}), doctest::Contains("mask"), ArgumentError);
  CHECK_THROWS_AS(attention(x, {{0, 5, x, x, mask, 0}, {0, 5, x, x, mask, 0}}, {.heads = heads}), ArgumentError);
  CHECK_THROWS_AS(attention(x, {{0, 5, x, x, mask, 0}}, {.heads = heads, .dropout = {.rate = 1}}), ArgumentError);
  CHECK_THROWS_AS(attention(x, {{0, 5, x, x, mask, 0}}, {.heads = heads, .slopes = {1, 2}}), ArgumentError);
  const std::vector<ColumnRange> past{{2, 8}};
  CHECK_THROWS_WITH_AS(gather_columns(x, past), "[gather_columns] [2, 8) of x (5, 7)", ArgumentError);
  CHECK_THROWS_WITH_AS(soft_cap(x, 0), "[soft_cap] the cap 0 is not positive", ArgumentError);
  CHECK_THROWS_WITH_AS(mean_squared_error(x, narrow), doctest::Contains("x is (5, 7) of f64, targets are (5, 6)"), ArgumentError);
  CHECK_THROWS_WITH_AS(binary_cross_entropy(x, narrow), doctest::Contains("logits are (5, 7) of f64, targets are (5, 6)"), ArgumentError);
  CHECK_THROWS_WITH_AS(binary_cross_entropy(x, x), doctest::Contains("is not in [0, 1]"), ArgumentError);
  CHECK_THROWS_WITH_AS(gate_rows(x, narrow), "[gate_rows] x is (5, 7), gate is (5, 6)", ArgumentError);
  CHECK_THROWS_WITH_AS(choose_experts(x, 8), "[experts] 8 of 7 experts cannot be chosen", ArgumentError);
  CHECK_THROWS_WITH_AS(mix_experts(std::span(&x, 1), narrow, {}, ExpertWeights::as_they_are),
                       "[mix_experts] 1 outputs, probabilities (5, 6), 0 choices", ArgumentError);
}
