#pragma once
// Counter-based random numbers: Philox4x32-10 [Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"].
// The state is three numbers (seed, stream, counter), so a checkpoint holds all of it and any element can be drawn alone.
#include <array>
#include <cmath>
#include <numbers>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

// Four random words for one (counter, key).
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter[0], b = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

struct Random {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;   // independent sequences of one seed
  std::uint64_t counter = 0;  // draws made so far

  // The four words at a position, without moving the counter.
  constexpr std::array<std::uint32_t, 4> at(std::uint64_t position) const {
    return philox({static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32), static_cast<std::uint32_t>(stream),
                   static_cast<std::uint32_t>(stream >> 32)},
                  {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  }
  constexpr std::uint64_t next() {
    const auto words = at(counter++);
    return (std::uint64_t{words[1]} << 32) | words[0];
  }
  // Uniform in [0, 1), 53 bits.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  // Uniform in [0, bound), bound >= 1; the bias of the multiplication method is below 2^-32 for bounds below 2^32.
  constexpr std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t word = next(), low = word & 0xffffffffu, high = word >> 32;
    if (bound <= 0xffffffffu) return (high * bound + ((low * bound) >> 32)) >> 32;
    return word % bound;
  }
  // Standard normal by Box and Muller.
  double normal() {
    const auto words = at(counter++);
    const double u = (static_cast<double>(words[0]) + 1.0) * 0x1.0p-32;  // (0, 1]
    const double angle = 2.0 * std::numbers::pi * static_cast<double>(words[1]) * 0x1.0p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(angle);
  }
};

}  // namespace plume::inline PLUME_ABI
