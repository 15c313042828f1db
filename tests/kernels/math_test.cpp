// The functions of vectors at every level against the C library in double, over all exponents.
#include "levels.hpp"
#include "plume/kernels/simd/vector.hpp"

namespace plume::inline PLUME_ABI::kernels {
struct MathTable {
  using Function = void (*)(float* y, const float* x, Index size);
  Index width;
  Function exponential, sigmoid, hyperbolic_tangent, normal_distribution, swap_neighbours;
  void (*sums)(float* y, const float* x, Index size, float other);
};
}  // namespace plume::inline PLUME_ABI::kernels

#define PLUME_KERNELS "kernels/math_levels.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS

namespace plume::inline PLUME_ABI::kernels {
PLUME_LEVELS(MathTable, math_levels, math_level);
}

using namespace plume;
using kernels::math_levels;
using kernels::MathTable;

namespace {

// Every 509th float of either sign, subnormals, infinities and what is no number among them, and all within 2000 steps of `edges`.
std::vector<float> arguments(const std::vector<float>& edges) {
  std::vector<float> list;
  const auto add = [&](std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    list.push_back(value);
  };
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 509) add(static_cast<std::uint32_t>(bits));
  for (const float edge : edges) {
    std::uint32_t bits;
    std::memcpy(&bits, &edge, sizeof bits);
    for (std::uint32_t step = 0; step < 4000; ++step) add(bits - 2000 + step);
  }
  for (const float value : {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN}) list.push_back(value);
  for (float value = -20; value < 20; value += 1e-4f) list.push_back(value);
  return list;
}

struct Worst {
  double error = 0;
  float at = 0;
};

// The largest error(x, got) over the arguments.
template <class Error>
Worst worst_of(MathTable::Function function, const std::vector<float>& x, Error&& error) {
  std::vector<float> y(x.size());
  function(y.data(), x.data(), static_cast<Index>(x.size()));
  Worst worst;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double here = error(static_cast<double>(x[i]), static_cast<double>(y[i]));
    if (!(here <= worst.error)) worst = {here, x[i]};
  }
  return worst;
}

// What is not a number must stay so; otherwise |got - wanted| / size.
double relative(double got, double wanted, double size) {
  if (std::isnan(wanted)) return std::isnan(got) ? 0 : INFINITY;
  return got == wanted ? 0 : std::abs(got - wanted) / size;
}

constexpr double smallest = 1.17549435e-38, greatest = 3.40282347e38;

}  // namespace

TEST_CASE("exponential: 1.2e-7 relative; 0 below the normal numbers, infinity past the largest float") {
  const auto x = arguments({88.7228394f, 88.3762626f, -87.3365402f, -88.0f, -103.97f, 128.0f, -128.0f, 200.0f, -200.0f});
  plume_test::at_each_level(math_levels, [&](const MathTable& table) {
    const Worst worst = worst_of(table.exponential, x, [](double at, double got) {
      const double wanted = std::exp(at);
      if (wanted < smallest) return got == 0 || std::abs(got - wanted) < 1e-7 * wanted ? 0.0 : INFINITY;
      if (wanted > greatest) return std::isinf(got) && got > 0 ? 0.0 : INFINITY;
      return relative(got, wanted, wanted);
    });
    CHECK_MESSAGE(worst.error <= 1.2e-7, "at " << worst.at);
  });
}

TEST_CASE("sigmoid: 3e-7 relative, 0 where it is subnormal") {
  const auto x = arguments({88.7228394f, -88.7228394f, 17.0f, -17.0f});
  plume_test::at_each_level(math_levels, [&](const MathTable& table) {
    const Worst worst = worst_of(table.sigmoid, x, [](double at, double got) {
      const double wanted = 1 / (1 + std::exp(-at));
      return relative(got, wanted, wanted + smallest * 1e7);
    });
    CHECK_MESSAGE(worst.error <= 3e-7, "at " << worst.at);
  });
}

TEST_CASE("hyperbolic tangent: 2e-7 relative") {
  const auto x = arguments({0.625f, -0.625f, 44.3614197f, 9.0f});
  plume_test::at_each_level(math_levels, [&](const MathTable& table) {
    const Worst worst = worst_of(table.hyperbolic_tangent, x, [](double at, double got) {
      const double wanted = std::tanh(at);
      return relative(got, wanted, std::abs(wanted) + smallest);
    });
    CHECK_MESSAGE(worst.error <= 2e-7, "at " << worst.at);
  });
}

// The tail is exp of a rounded argument: its relative error grows with the argument's size.
TEST_CASE("normal distribution: 3.5e-7 (1 + x^2 / 2) relative") {
  const auto x = arguments({0.0f, -13.0f, 5.0f});
  plume_test::at_each_level(math_levels, [&](const MathTable& table) {
    const Worst worst = worst_of(table.normal_distribution, x, [](double at, double got) {
      const double wanted = 0.5 * std::erfc(-at / std::sqrt(2.0));
      const double growth = at < 0 && at > -14 ? 1 + at * at / 2 : 1;
      return relative(got, wanted, wanted * growth + smallest * 1e7);
    });
    CHECK_MESSAGE(worst.error <= 3.5e-7, "at " << worst.at);
  });
}

TEST_CASE("sums of any length, lanes past the end, neighbours") {
  for (const Index size : plume_test::widths()) {
    std::vector<float> x(static_cast<std::size_t>(size)), y(static_cast<std::size_t>(size) + 2);
    float total = 0;
    for (std::size_t i = 0; i < x.size(); ++i) total += x[i] = static_cast<float>(i % 19) - 7;
    plume_test::at_each_level(math_levels, [&](const MathTable& table) {
      table.sums(y.data(), x.data(), size, 3.0f);
      CHECK(y[0] == total);
      CHECK(y[1] == total + 3.0f * static_cast<float>((table.width - size % table.width) % table.width));
      table.swap_neighbours(y.data(), x.data(), size);
      for (std::size_t i = 0; i < x.size(); ++i) CHECK(y[i] == (i + 1 < x.size() || i % 2 == 1 ? x[i ^ 1] : 0.0f));
    });
  }
  CHECK(plume_test::is_distinct(math_levels, &MathTable::exponential));
}
