// Packed weights: the same products bit for bit, dropped when the weight is written.
#include <doctest/doctest.h>

#include "../numbers.hpp"
#include "plume/modules/prepare.hpp"

using namespace plume;
using namespace plume_test;

TEST_CASE("products with panels equal those without, forward and backward, in both arithmetics") {
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    const Context context({.threads = 2, .precision = precision});
    const ContextScope scope(context);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const auto& [rows, in, out] : {std::tuple<Index, Index, Index>{17, 385, 131}, {49, 1027, 33}, {100, 31, 4133}}) {
        const Tensor x = random_tensor({rows, in}, 1, DType::f32), weight = random_tensor({out, in}, 2, dtype);
        const Tensor bias = random_tensor({out}, 3, DType::f32), direction = random_tensor({rows, out}, 4, DType::f32);
        const auto run = [&] {
          const Tensor watched[] = {x};
          Tape tape(watched);
          const Tensor y = linear(x, weight, bias);
          Gradients gradients;
          tape.backward(y, direction, gradients);
          return std::pair{y, gradients.at(x)};
        };
        const auto plain = run();
        prepare(weight, Products::forward_and_backward);
        REQUIRE(weight.storage()->panels());
        const auto packed = run();
        CHECK(same_bits(plain.first, packed.first));
        CHECK(same_bits(plain.second, packed.second));
      }
    }
  }
}

TEST_CASE("a write drops the panels; a part of the weight does not use them") {
  const Tensor x = random_tensor({20, 33}, 1, DType::f32), weight = random_tensor({64, 33}, 2, DType::f32);
  prepare(weight);
  const Tensor part = weight.rows(16, 48), copy = part.copy();
  CHECK(same_bits(linear(x, part), linear(x, copy)));
  CHECK(weight.storage()->panels());
  weight.writable<float>()[0] += 1;
  CHECK(!weight.storage()->panels());
  CHECK(same_bits(linear(x, weight), linear(x, weight.copy())));
}
