#pragma once
// Everything a unit can include. use_plume() is internal to each unit: it uses that unit's own configuration of the library.
#if __has_include(<plume/plume.hpp>)
#include <plume/plume.hpp>
#else
#include <plume/base/error.hpp>
#include <plume/base/random.hpp>
#endif

#include <string>

namespace {

// Whether the library works in this unit: the first word of a published Philox vector, and an error that speaks.
inline bool use_plume() {
  if (plume::Random{}.at(0)[0] != 0x6627e8d5u) return false;
  try {
    plume::require(false, "[consumer] got ", 3, " rows");
  } catch (const plume::ArgumentError& error) {
    return error.what() == std::string("[consumer] got 3 rows");
  }
  return false;
}

}  // namespace
