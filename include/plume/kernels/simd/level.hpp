#pragma once
// Instruction-set levels. Kernels of a level are compiled inside the headers, whatever flags the program is built with, and chosen at run
// time. A level changes how fast a product is computed, never its arithmetic type.
#include <array>
#include <cstdlib>
#include <string_view>

#include "plume/base/error.hpp"

namespace plume::inline PLUME_ABI::kernels {

//   base        what every processor of the architecture has: SSE2 on x86-64, NEON on AArch64
//   avx2        AVX2, FMA, F16C
//   avx512      AVX-512 F, BW, DQ, VL
//   avx512bf16  the same with BF16 and VNNI
// Windows has the base level alone: there, GCC keeps vectors of 32 bytes on a stack that is aligned to 16 (GCC PR 54412).
enum class Level : std::uint8_t { base, avx2, avx512, avx512bf16 };

inline constexpr std::array<std::string_view, 4> level_names{"base", "avx2", "avx512", "avx512bf16"};
inline std::string_view name_of(Level level) { return level_names[static_cast<std::size_t>(level)]; }

// What this processor and operating system offer.
inline Level available_level() {
#if defined(__x86_64__) && !defined(_WIN32)
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return Level::base;
  if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")))
    return Level::avx2;
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") ? Level::avx512bf16 : Level::avx512;
#else
  return Level::base;
#endif
}

// The available level, or the lower one that the environment variable PLUME_ISA names. ArgumentError: it names none, or one that is not
// available.
inline Level chosen_level() {
  const Level best = available_level();
  const char* const wish = std::getenv("PLUME_ISA");
  if (wish == nullptr || *wish == '\0') return best;
  for (std::size_t i = 0; i < level_names.size(); ++i) {
    if (wish != level_names[i]) continue;
    const auto level = static_cast<Level>(i);
    require(level <= best, "[level] PLUME_ISA asks for ", wish, ", which this processor does not have; the best it has is ", name_of(best));
    return level;
  }
  throw ArgumentError(concat("[level] PLUME_ISA is ", quoted(wish), " (known: base, avx2, avx512, avx512bf16)"));
}

// A family's tables, one a level, in the order of Level.
template <class Table>
using Levels = std::array<const Table*, 4>;

// The table of the chosen level.
template <class Table>
const Table& at_chosen_level(const Levels<Table>& tables) {
  return *tables[static_cast<std::size_t>(chosen_level())];
}

}  // namespace plume::inline PLUME_ABI::kernels
