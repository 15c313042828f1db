#pragma once
// Runs a check on the kernels of every level that can run here: all levels under emulation, else those of this processor.
#include <doctest/doctest.h>

#include <cstdio>
#include <string>

#include "plume/kernels/simd/level.hpp"

namespace plume_test {

inline bool can_run([[maybe_unused]] plume::kernels::Level level) {
#if defined(PLUME_EMULATE_LEVELS)
  return true;
#else
  return level <= plume::kernels::available_level();
#endif
}

// check(table, name of the level)
template <class Table, class Check>
void for_levels(const plume::kernels::Levels<Table>& tables, Check&& check) {
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const auto level = static_cast<plume::kernels::Level>(i);
    if (tables[i] == nullptr) continue;  // another architecture's
    if (!can_run(level)) continue;       // emulated in kernels_emulated
    const std::string name(plume::kernels::name_of(level));
    CAPTURE(name);
    check(*tables[i], name);
  }
}

}  // namespace plume_test
