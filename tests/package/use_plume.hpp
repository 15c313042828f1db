#pragma once
// What a unit needs of plume: one room, or everything where PLUME_TEST_EVERYTHING is defined. use_plume() is internal to each unit: it uses
// that unit's own configuration of the library.
#if defined(PLUME_TEST_EVERYTHING)
#include <plume/plume.hpp>
#endif
#include <plume/base/random.hpp>
#include <plume/ops/ops.hpp>
#include <span>
#include <string>
#include <vector>

namespace {

// Whether the library works in this unit: the first word of a published Philox vector, a matrix product, and an error that speaks.
inline bool use_plume() {
  std::vector<float> x = {1, 2, 3, 4, 5, 6}, weight = {1, 0, -1};
  const plume::Tensor y = plume::linear(plume::borrow(std::span(x), {2, 3}), plume::borrow(std::span(weight), {1, 3}));
  if (y.rows() != 2 || y.columns() != 1 || y.span<float>()[0] != -2.0f || y.span<float>()[1] != -2.0f) return false;
  if (plume::Random{}.at(0)[0] != 0x6627e8d5u) return false;
  try {
    plume::require(false, "[consumer] got ", 3, " rows");
  } catch (const plume::ArgumentError& error) {
    return error.what() == std::string("[consumer] got 3 rows");
  }
  return false;
}

}  // namespace
