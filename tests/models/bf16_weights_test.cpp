// Weights kept in bfloat16: what they compute equals what their exact float copies compute.
#include <doctest/doctest.h>

#include "../numbers.hpp"
#include "../test_data.hpp"
#include "plume/models/load.hpp"

using namespace plume;
using namespace plume_test;

TEST_CASE("linear and embedding with bfloat16 weights") {
  for (const Index rows : {1, 3, 16, 17, 65}) {
    const Tensor x = random_tensor({rows, 67}, 1, DType::f32), weight = random_tensor({35, 67}, 2, DType::bf16),
                 bias = random_tensor({35}, 3, DType::f32);
    const Tensor exact = weight.to(DType::f32);
    CHECK(relative_distance(linear(x, weight, bias), linear(x, exact, bias)) < 1e-6);
    const std::vector<TokenId> ids{3, 34, 0, 3};
    CHECK(same_bits(embedding(ids, weight), embedding(ids, exact)));
    const Tensor watched[] = {x}, direction = random_tensor({rows, 35}, 4, DType::f32);
    const auto gradient = [&](const Tensor& w) {
      Tape tape(watched);
      const Tensor y = linear(x, w, bias);
      Gradients gradients;
      tape.backward(y, direction, gradients);
      return gradients.at(x);
    };
    CHECK(relative_distance(gradient(weight), gradient(exact)) < 1e-6);
  }
}

TEST_CASE("a model loaded as bfloat16: half the bytes, the same logits as its float copy") {
  const auto directory = test_data("stories260k/stories260K.bin");
  if (!directory) return;
  const Model exact = load(*directory);
  const Model half = load(*directory, {.dtype = DType::bf16});
  CHECK(half.decoder.embedding.weight.dtype() == DType::bf16);
  CHECK(half.decoder.norm.weight.dtype() == DType::f32);
  Model copy = load(*directory, {.dtype = DType::bf16});
  for_each_parameter(copy, [](std::string_view, Tensor& parameter) { parameter = parameter.to(DType::f32); });
  const std::vector<TokenId> ids{1, 403, 407, 261, 378, 430, 285, 7, 42, 17};
  const Tensor ours = half.logits(ids);
  CHECK(ours.dtype() == DType::f32);
  CHECK(relative_distance(ours, copy.logits(ids)) < 2e-5);
  CHECK(relative_distance(ours, exact.logits(ids)) < 0.05);
  CHECK(relative_distance(ours, exact.logits(ids)) > 1e-5);
}
