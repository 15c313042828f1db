#pragma once
// Instruction-set levels. Kernels of a level are compiled inside the headers, whatever flags the program is built with, and chosen at run
// time.
#include <cstdlib>
#include <string_view>

#include "plume/base/error.hpp"

namespace plume::inline PLUME_ABI::kernels {

enum class Level : std::uint8_t { base, avx2 };  // base: what every processor of the architecture has

inline std::string_view name_of(Level level) { return level == Level::avx2 ? "avx2" : "base"; }

// What this processor and operating system offer.
inline Level available_level() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Level::avx2;
#endif
  return Level::base;
}

// The available level, or the one that the environment variable PLUME_ISA names. ArgumentError: it names none, or one that is not
// available.
inline Level chosen_level() {
  const Level best = available_level();
  const char* const wish = std::getenv("PLUME_ISA");
  if (wish == nullptr || *wish == '\0') return best;
  for (const Level level : {Level::base, Level::avx2}) {
    if (wish != name_of(level)) continue;
    require(level <= best, "[level] PLUME_ISA asks for ", wish, ", which this processor does not have; the best it has is ", name_of(best));
    return level;
  }
  throw ArgumentError(concat("[level] PLUME_ISA is ", quoted(wish), " (known: base, avx2)"));
}

}  // namespace plume::inline PLUME_ABI::kernels
