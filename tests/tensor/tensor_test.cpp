// Tensor, Shape, Storage: sharing, views, conversions, borrowed memory, and what is refused.
#include <doctest/doctest.h>

#include <limits>
#include <map>

#include "../numbers.hpp"
#include "plume/tensor/eigen.hpp"

using namespace plume;
using plume_test::random_tensor;

TEST_CASE("shapes") {
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{}.size() == 1);
  CHECK(Shape{}.columns() == 1);
  const Shape shape{2, 3, 5, 7};
  CHECK(shape.size() == 210);
  CHECK(shape.rows() == 30);
  CHECK(shape.columns() == 7);
  CHECK(shape[2] == 5);
  CHECK(concat(shape) == "(2, 3, 5, 7)");
  CHECK(concat(Shape{4}) == "(4)");
  CHECK(Shape{4}.rows() == 1);
  CHECK(Shape{0, 3}.size() == 0);
  CHECK(Shape{3, 0}.rows() == 3);
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK(!(Shape{2, 3} == Shape{3, 2}));
  CHECK(!(Shape{2} == Shape{2, 0}));
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1}), ArgumentError);
  CHECK_THROWS_WITH_AS((Shape{2, -1}), "[shape] extent -1 is negative", ArgumentError);
  CHECK_THROWS_AS((Shape{Index{1} << 32, Index{1} << 31}), ArgumentError);
  CHECK_THROWS_AS((Shape{Index{1} << 32, 0, Index{1} << 31}), ArgumentError);
  CHECK_THROWS_AS(shape[4], ArgumentError);
  CHECK_THROWS_AS(shape[-1], ArgumentError);
}

TEST_CASE("handles share, copies do not") {
  const Tensor a = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor same = a, copy = a.copy();
  a.writable<float>()[4] = 9;
  CHECK(same.data<float>()[4] == 9);
  CHECK(copy.data<float>()[4] == 5);
  CHECK(same.storage() == a.storage());
  CHECK(!Tensor{});
  CHECK(!Tensor{}.has_data());
  const Tensor described = Tensor::described({2, 3});
  CHECK(described);
  CHECK(!described.has_data());
  CHECK_THROWS_WITH_AS(described.data<float>(), doctest::Contains("has no memory"), ArgumentError);
  CHECK(plume_test::largest(Tensor::zeros({7, 3}, DType::bf16)) == 0);
  CHECK(Tensor::empty({0, 3}).size() == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(Tensor::empty({5}).data<float>()) % tensor_alignment == 0);
}

TEST_CASE("rows without columns cost nothing, however many there are") {
  const Tensor none = Tensor::zeros({Index{1} << 40, 2, 0}, DType::f64);  // a file may say so
  CHECK(none.copy().rows() == Index{1} << 41);
  none.fill(1);
  CHECK(none.to(DType::bf16).size() == 0);
}

TEST_CASE("row and column ranges are views on the same memory") {
  const Tensor a = Tensor::from(std::vector<double>{0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23}, {3, 4});
  const Tensor rows = a.rows(1, 3), part = rows.columns(1, 3);
  CHECK(rows.shape() == Shape{2, 4});
  CHECK(part.shape() == Shape{2, 2});
  CHECK(plume_test::values_of(part) == std::vector<double>{11, 12, 21, 22});
  CHECK(part.offset() == 5);
  CHECK(part.row_stride() == 4);
  CHECK(!part.is_dense());
  CHECK(a.columns(2, 3).rows(1, 2).is_dense());  // one row
  part.fill(-1);
  CHECK(a.data<double>()[5] == -1);
  CHECK(a.data<double>()[4] == 10);
  part.assign(Tensor::from(std::vector<float>{5, 6, 7, 8}, {2, 2}));
  CHECK(plume_test::values_of(part) == std::vector<double>{5, 6, 7, 8});
  CHECK(part.copy().is_dense());
  CHECK(a.rows(1, 1).size() == 0);
  const Tensor cube = a.reshape({3, 2, 2});
  CHECK(cube.rows() == 6);
  CHECK(plume_test::values_of(cube.rows(2, 3)) == std::vector<double>{10, 5});
  CHECK_THROWS_AS(a.rows(2, 4), ArgumentError);
  CHECK_THROWS_AS(a.rows(2, 1), ArgumentError);
  CHECK_THROWS_AS(a.columns(-1, 2), ArgumentError);
  CHECK_THROWS_AS(part.reshape({4}), ArgumentError);
  CHECK_THROWS_AS(a.reshape({5, 2}), ArgumentError);
  CHECK_THROWS_AS(part.span<double>(), ArgumentError);
  CHECK_THROWS_WITH_AS((part.view<const double, 1>()), doctest::Contains("needs dense rows"), ArgumentError);
  CHECK_THROWS_AS(part.assign(a), ArgumentError);
  CHECK_THROWS_WITH_AS(a.data<float>(), "[tensor] is f64, asked for as f32", ArgumentError);
  // A gradient lies on another storage in the same place.
  const Tensor flat = Tensor::zeros({12});
  part.on(flat).fill(2);
  CHECK(plume_test::values_of(flat) == std::vector<double>{0, 0, 0, 0, 0, 2, 2, 0, 0, 2, 2, 0});
}

TEST_CASE("views") {
  std::vector<float> data(24);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i);
  const View<float, 2> all(data.data(), {4, 6});
  CHECK(all(2, 3) == 15);
  CHECK(all.transposed()(3, 2) == 15);
  CHECK(all.rows(1, 3).columns(2, 5)(1, 2) == 16);
  CHECK(all.rows(1, 3).columns(2, 5).size() == 6);
  const View<const float, 2> reading = all;
  CHECK(reading.row(1)[5] == 11);
  const View<float, 3> cube(data.data(), {2, 3, 4});
  CHECK(cube(1, 2, 3) == 23);
  CHECK(cube.extent(1) == 3);
  CHECK(cube.stride(0) == 12);
  CHECK(!View<float, 2>{});
  CHECK(all);
  const View<float, 1> every_other(data.data(), {12}, {2});
  CHECK(every_other[5] == 10);
  static_assert(!std::is_constructible_v<View<float, 2>, View<const float, 2>>);
}

TEST_CASE("borrowed memory is used in place") {
  std::vector<float> mine(12, 1);
  const Tensor tensor = borrow(std::span(mine), {3, 4});
  CHECK(tensor.data<float>() == mine.data());
  CHECK(tensor.storage()->kind() == StorageKind::borrowed);
  tensor.rows(1, 2).fill(5);
  CHECK(mine[4] == 5);
  CHECK(mine[3] == 1);
  const Tensor reading = borrow(std::span<const float>(mine), {4, 3});
  CHECK(reading.data<float>() == mine.data());
  CHECK_THROWS_WITH_AS(reading.fill(1), "[tensor] (4, 3) is read-only (memory-mapped or borrowed as const): use copy()", ArgumentError);
  CHECK_THROWS_AS(reading.writable<float>(), ArgumentError);
  CHECK_THROWS_AS((reading.view<float, 2>()), ArgumentError);
  CHECK_NOTHROW(reading.view<const float, 2>());
  CHECK_NOTHROW(reading.copy().fill(1));
  CHECK_THROWS_AS(borrow(std::span(mine), {3, 5}), ArgumentError);
  const auto span = tensor.span<float>();
  CHECK(span.data() == mine.data());
  CHECK(span.size() == 12);
}

TEST_CASE("a mapped range is read-only and keeps its owner alive") {
  auto owner = std::make_shared<std::vector<float>>(6, 2.5f);
  const std::weak_ptr<std::vector<float>> watch = owner;
  Tensor tensor = Tensor::over(Storage::map(std::as_bytes(std::span(*owner)), owner), {2, 3}, DType::f32);
  owner.reset();
  CHECK(!watch.expired());
  CHECK(tensor.storage()->kind() == StorageKind::mapped);
  CHECK(plume_test::values_of(tensor) == std::vector<double>(6, 2.5));
  CHECK_THROWS_WITH_AS(tensor.fill(0), doctest::Contains("read-only"), ArgumentError);
  CHECK_THROWS_WITH_AS(Tensor::over(tensor.storage(), {7}, DType::f32), "[tensor] (7) of f32 needs more than the 24 bytes given",
                       ArgumentError);
  tensor = {};
  CHECK(watch.expired());
}

TEST_CASE("Eigen in and out without a copy") {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Matrix matrix = Matrix::Random(5, 7);
  const Tensor tensor = borrow(matrix);
  CHECK(tensor.data<float>() == matrix.data());
  CHECK(tensor.shape() == Shape{5, 7});
  const auto part = as_eigen<float>(tensor.columns(2, 5).rows(1, 4));
  CHECK(part.data() == &matrix(1, 2));
  CHECK(part(2, 2) == matrix(3, 4));
  as_eigen<float>(tensor.rows(0, 1)).setZero();
  CHECK(matrix(0, 6) == 0);
  const Matrix product = as_eigen_const<float>(tensor) * as_eigen_const<float>(tensor).transpose();
  CHECK(product.rows() == 5);
  Eigen::VectorXd vector = Eigen::VectorXd::Ones(4);
  CHECK(borrow(vector).shape() == Shape{4, 1});
  CHECK_THROWS_AS(as_eigen<float>(borrow(std::span<const float>(matrix.data(), 35), {5, 7})), ArgumentError);
}

TEST_CASE("conversions between dtypes") {
  const Tensor x = random_tensor({5, 7}, 1);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const Tensor back = x.to(dtype).to(DType::f64);
    CHECK(back.dtype() == DType::f64);
    const double step = dtype == DType::f32 ? 0x1p-24 : dtype == DType::bf16 ? 0x1p-8 : 0x1p-11;  // half a unit in the last place
    for (Index i = 0; i < x.size(); ++i)
      CHECK(std::abs(back.data<double>()[i] - x.data<double>()[i]) <= std::max(step * std::abs(x.data<double>()[i]), 0x1p-25));
  }
  const Tensor integers = Tensor::from(std::vector<std::int32_t>{-3, 0, 16777217}, {3});
  CHECK(plume_test::values_of(integers) == std::vector<double>{-3, 0, 16777217});
  CHECK(Tensor::from(std::vector<std::int32_t>{16777217}, {}).item() == 16777217);
  CHECK(Tensor::from(std::vector<double>{0.1}, {}).item() == 0.1);
  CHECK(Tensor::from(std::vector<std::int8_t>{-128}, {1, 1}).item() == -128);
  CHECK_THROWS_AS(x.item(), ArgumentError);
  // Views convert as what they show.
  CHECK(plume_test::values_of(x.columns(2, 4).to(DType::f32).to(DType::f64)) == plume_test::values_of(x.to(DType::f32).columns(2, 4)));
  CHECK(bytes_of(DType::f64) == 8);
  CHECK(bytes_of(DType::f16) == 2);
  CHECK(name_of(DType::bf16) == "bf16");
  CHECK(dtype_of<const float> == DType::f32);
}

namespace {

// The value of a 16-bit pattern by the definition of the format.
double value_of(std::uint32_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>((bits >> fraction_bits) & ((1u << exponent_bits) - 1));
  const double fraction = static_cast<double>(bits & ((1u << fraction_bits) - 1)) * std::ldexp(1.0, -fraction_bits);
  const double sign = (bits & 0x8000u) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * INFINITY;
  return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias));
}

// All patterns to float and back, and rounding at and beside the middle of each two neighbours.
template <class T>
void check_format(int exponent_bits) {
  bool exact = true, round_trip = true, rounds_to_even = true, keeps_nan = true;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    T number;
    number.bits = static_cast<std::uint16_t>(bits);
    const double expected = value_of(bits, exponent_bits);
    const float value = static_cast<float>(number);
    if (std::isnan(expected)) {
      keeps_nan = keeps_nan && std::isnan(value) && std::isnan(static_cast<float>(T(value)));
      continue;
    }
    exact = exact && static_cast<double>(value) == expected && std::signbit(value) == std::signbit(expected);
    round_trip = round_trip && T(value).bits == bits;
    // Towards the next larger magnitude.
    if ((bits & 0x7fffu) + 1 >= (((1u << exponent_bits) - 1) << (15 - exponent_bits))) continue;
    const double above = value_of(bits + 1, exponent_bits), middle = (expected + above) / 2;
    const auto even = static_cast<std::uint16_t>(bits + (bits & 1));
    const auto middle_float = static_cast<float>(middle);
    rounds_to_even = rounds_to_even && static_cast<double>(middle_float) == middle && T(middle_float).bits == even;
    const float inward = std::nextafter(middle_float, static_cast<float>(expected)),
                outward = std::nextafter(middle_float, static_cast<float>(above));
    rounds_to_even = rounds_to_even && T(inward).bits == bits && T(outward).bits == bits + 1;
  }
  CHECK(exact);
  CHECK(round_trip);
  CHECK(rounds_to_even);
  CHECK(keeps_nan);
}

}  // namespace

TEST_CASE("bfloat16: every pattern, and rounding to nearest even") {
  check_format<Bfloat16>(8);
  CHECK(Bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);  // rounds to infinity
  CHECK(Bfloat16(-std::numeric_limits<float>::infinity()).bits == 0xff80);
  CHECK(Bfloat16(std::bit_cast<float>(0x7f800001u)).bits == 0x7fc0);  // a NaN whose payload is cut off stays NaN
}

TEST_CASE("half: every pattern, and rounding to nearest even") {
  check_format<Half>(5);
  CHECK(Half(65519.99f).bits == 0x7bff);
  CHECK(Half(65520.0f).bits == 0x7c00);
  CHECK(Half(-1e30f).bits == 0xfc00);
  CHECK(Half(0x1p-25f).bits == 0);
  CHECK(Half(0x1.000002p-25f).bits == 1);
  CHECK(Half(-0x1p-30f).bits == 0x8000);
  CHECK(std::isnan(static_cast<float>(Half(std::bit_cast<float>(0x7f800001u)))));
}
