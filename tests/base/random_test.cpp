#include <doctest/doctest.h>

#include "plume/base/random.hpp"

// Vectors of the Random123 distribution (kat_vectors, philox4x32 10).
TEST_CASE("philox gives the published vectors") {
  using Words = std::array<std::uint32_t, 4>;
  CHECK(plume::philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(plume::philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(plume::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("uniform and normal have the right moments") {
  plume::Random random{.seed = 7};
  double sum = 0, squares = 0, normal = 0, normal_squares = 0;
  const int n = 200'000;
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform(), z = random.normal();
    REQUIRE((u >= 0 && u < 1));
    sum += u, squares += u * u, normal += z, normal_squares += z * z;
  }
  CHECK(sum / n == doctest::Approx(0.5).epsilon(0.005));
  CHECK(squares / n == doctest::Approx(1.0 / 3).epsilon(0.01));
  CHECK(std::abs(normal / n) < 0.01);
  CHECK(normal_squares / n == doctest::Approx(1.0).epsilon(0.01));
}
