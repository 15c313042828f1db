// The choice of the instruction-set level.
#include "plume/kernels/simd/level.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

using namespace plume;
using kernels::Level;

TEST_CASE("PLUME_ISA lowers the level, and an unknown or unavailable one is an error") {
  const char* const before = std::getenv("PLUME_ISA");
  const std::string kept = before ? before : "";
  for (const Level level : {Level::base, Level::avx2, Level::avx512, Level::avx512bf16}) {
    setenv("PLUME_ISA", std::string(kernels::name_of(level)).c_str(), 1);
    if (level <= kernels::available_level()) {
      CHECK(kernels::chosen_level() == level);
    } else {
      CHECK_THROWS_WITH_AS(kernels::chosen_level(), doctest::Contains("this processor does not have"), ArgumentError);
    }
  }
  setenv("PLUME_ISA", "fast", 1);
  CHECK_THROWS_WITH_AS(kernels::chosen_level(), doctest::Contains("known: base, avx2, avx512, avx512bf16"), ArgumentError);
  unsetenv("PLUME_ISA");
  CHECK(kernels::chosen_level() == kernels::available_level());
  if (before) setenv("PLUME_ISA", kept.c_str(), 1);
}
