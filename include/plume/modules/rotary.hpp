#pragma once
// Rotary positions, and how they are stretched over contexts longer than the one that was trained on.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "plume/base/half.hpp"
#include "plume/ops/rope.hpp"

namespace plume::inline PLUME_ABI {

enum class RotaryScaling : std::uint8_t {
  none,
  linear,   // positions divided by the factor                                                   [Chen et al. 2023]
  dynamic,  // beyond the trained context a base that grows with the sequence: NTK-aware          [bloc97, emozilla 2023]
  yarn,     // slow pairs are interpolated, fast ones are not, with a ramp between                [Peng et al. 2023]
  llama3,   // the same by wavelength                                                            [Dubey et al. 2024]
  longrope  // factors for each pair: short ones up to the trained context, long ones beyond it   [Ding et al. 2024]
};

struct Rotary {
  double base = 10000;
  Index width = 0;  // elements of a head that turn
  RotaryLayout layout = RotaryLayout::half_split;
  RotaryScaling scaling = RotaryScaling::none;
  double factor = 1;
  double fast = 32, slow = 1;  // yarn: turns over the trained context where the ramp begins and ends; llama3: its high and low factor
  bool whole_pairs = true;     // yarn: the ramp begins and ends at whole pairs
  double amplitude = 1;        // of the turned vectors: yarn, longrope
  Index trained_context = 0;   // dynamic, yarn, llama3, longrope
  std::vector<double> short_factors = {}, long_factors = {};  // longrope: width / 2 each
  bool two_streams = false;     // half of a head turns by the token's position, half by its number in a block (ChatGLM)
  bool half_precision = false;  // frequencies are rounded to half precision (GLM)

  bool depends_on_length() const { return scaling == RotaryScaling::dynamic || scaling == RotaryScaling::longrope; }
  friend bool operator==(const Rotary&, const Rotary&) = default;
};

// Radians that each pair turns from one position to the next, in a sequence of `length` tokens: width / 2 numbers; width / 4 for two
// streams, each of which turns half of the width.
PLUME_FUNCTION PoolVector<double> rotary_frequencies(const Rotary& rotary, Index length);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION PoolVector<double> rotary_frequencies(const Rotary& rotary, Index length) {
  const Index turned = rotary.two_streams ? rotary.width / 2 : rotary.width;
  const double width = static_cast<double>(turned), trained = static_cast<double>(rotary.trained_context), factor = rotary.factor;
  double base = rotary.base;
  if (rotary.scaling == RotaryScaling::dynamic) {
    const double stretched = factor * static_cast<double>(std::max(length, rotary.trained_context)) / trained - (factor - 1);
    base *= std::pow(stretched, width / (width - 2));
  }
  PoolVector<double> frequencies(static_cast<std::size_t>(turned / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) frequencies[i] = std::pow(base, -2 * static_cast<double>(i) / width);

  const double turn = 2 * std::numbers::pi;
  switch (rotary.scaling) {
    case RotaryScaling::none:
    case RotaryScaling::dynamic:
      break;
    case RotaryScaling::linear:
      for (double& frequency : frequencies) frequency /= factor;
      break;
    case RotaryScaling::yarn: {
      const auto pair_of = [&](double turns) { return width * std::log(trained / (turns * turn)) / (2 * std::log(base)); };
      double first = pair_of(rotary.fast), last = pair_of(rotary.slow);
      if (rotary.whole_pairs) first = std::floor(first), last = std::ceil(last);
      first = std::max(first, 0.0), last = std::min(last, width - 1);
      if (first == last) last += 0.001;
      for (std::size_t i = 0; i < frequencies.size(); ++i) {
        const double interpolated = std::clamp((static_cast<double>(i) - first) / (last - first), 0.0, 1.0);
        frequencies[i] *= (1 - interpolated) + interpolated / factor;
      }
      break;
    }
    case RotaryScaling::llama3:
      for (double& frequency : frequencies) {
        const double turns = trained * frequency / turn;  // over the trained context
        const double kept = std::clamp((turns - rotary.slow) / (rotary.fast - rotary.slow), 0.0, 1.0);
        frequency *= kept + (1 - kept) / factor;
      }
      break;
    case RotaryScaling::longrope: {
      const std::vector<double>& factors = length > rotary.trained_context ? rotary.long_factors : rotary.short_factors;
      require(factors.size() == frequencies.size(), "[rotary] ", factors.size(), " factors for ", frequencies.size(), " pairs");
      for (std::size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors[i];
      break;
    }
  }
  if (rotary.half_precision)
    for (double& frequency : frequencies) frequency = static_cast<float>(Half(static_cast<float>(frequency)));
  return frequencies;
}

}  // namespace plume::inline PLUME_ABI
#endif
