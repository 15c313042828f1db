#pragma once
#include <algorithm>
#include <cmath>
#include <numbers>

#include "plume/base/error.hpp"

namespace plume::inline PLUME_ABI {

// Learning rate by step: linear warm-up from 0, then half a cosine down to `minimum` at `steps`, then constant.      [Loshchilov & Hutter
// 2016]
struct CosineSchedule {
  double peak = 1e-3, minimum = 1e-4;
  Index warmup = 100, steps = 2000;

  // The rate of update number `step`, counted from 0.
  double at(Index step) const {
    if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
    if (step >= steps || steps <= warmup) return minimum;
    const double progress = static_cast<double>(step - warmup) / static_cast<double>(steps - warmup);
    return minimum + 0.5 * (1 + std::cos(std::numbers::pi * progress)) * (peak - minimum);
  }
};

}  // namespace plume::inline PLUME_ABI
