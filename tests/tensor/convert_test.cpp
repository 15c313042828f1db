#include "plume/tensor/convert.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "plume/tensor/tensor.hpp"

using namespace plume;

namespace {
template <class T>
std::vector<double> through(const std::vector<T>& values, DType dtype) {
  const Tensor there = Tensor::from(values, {static_cast<Index>(values.size())}).to(dtype), back = there.to(DType::f64);
  return {back.data<double>(), back.data<double>() + back.size()};
}
}  // namespace

TEST_CASE("each conversion rounds once, the 16-bit types after f32") {
  CHECK(through<std::int32_t>({16777217, -2147483647}, DType::f32) == std::vector<double>{16777216, -2147483648.0});
  CHECK(through<std::int32_t>({16777217, -2147483647}, DType::f64) == std::vector<double>{16777217, -2147483647});
  CHECK(through<float>({1.00390625f, 1.01171875f, -3.5f}, DType::bf16) == std::vector<double>{1, 1.015625, -3.5});  // ties to even
  CHECK(through<float>({1.00048828125f, 65520.0f}, DType::f16)[0] == 1);
  CHECK(through<double>({1.0 + 0x1p-8 + 0x1p-40}, DType::bf16) == std::vector<double>{1});  // f32 drops the last bit, then a tie
}

TEST_CASE("integers wrap around, fractions are cut") {
  CHECK(through<std::int32_t>({300, -129, 127}, DType::i8) == std::vector<double>{44, 127, 127});
  CHECK(through<std::int32_t>({256, -1}, DType::u8) == std::vector<double>{0, 255});
  CHECK(through<float>({2.9f, -2.9f}, DType::i32) == std::vector<double>{2, -2});
}

TEST_CASE("long rows, row views and absent elements") {
  std::vector<float> values(3 * 1300);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Tensor all = Tensor::from(values, {3, 1300});
  const Tensor part = all.columns(1, 1299).to(DType::f64);
  CHECK(part.shape() == Shape{3, 1298});
  for (Index i = 0; i < part.size(); ++i) REQUIRE(part.data<double>()[i] == static_cast<double>(i / 1298 * 1300 + i % 1298 + 1));
  all.columns(0, 2).fill(-1);
  CHECK(all.data<float>()[1300] == -1);
  CHECK(all.data<float>()[1302] == 1302);
  CHECK(Tensor::empty({0, 4}, DType::bf16).to(DType::f32).size() == 0);
}
