#pragma once
// All public macros of plume live here and in version.hpp.
//   PLUME_NO_OPENMP  (defined by the consumer)  use the std::thread back end although -fopenmp is on
//   PLUME_ABI        inline namespace: version and configuration, so that two builds of plume can meet in one program
//   PLUME_INLINE     inside kernels: part of the caller, so that vectors stay in registers and the caller's instruction set applies
//   PLUME_LEVELS     inside kernels: a family's tables of all instruction-set levels; `name` is what the table is called at each
//   PLUME_COMPILED   (defined by the CMake target plume::compiled)  function bodies and kernels are linked, not compiled into each file;
//                    its source defines it as 2
//   PLUME_BODIES     1 where the bodies of PLUME_FUNCTIONs are compiled, else 0
//   PLUME_FUNCTION   before a function whose body stands behind #if PLUME_BODIES
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "plume reads little-endian files as they lie in memory: it needs a little-endian processor, x86-64 or AArch64."
#elif __SIZEOF_POINTER__ < 8
#error "plume maps models that are larger than a 32-bit address space: it needs a 64-bit build, for x86-64 or AArch64."
#elif !defined(__x86_64__) && !defined(__aarch64__)
#error "plume has fast kernels for x86-64 and AArch64 only."
#endif

#include <cstddef>
#include <cstdint>

#include "plume/base/version.hpp"

#if defined(__FAST_MATH__)
#error "plume guards against NaN and infinity; -ffast-math removes those guards. Compile without it."
#endif

#if defined(_OPENMP) && !defined(PLUME_NO_OPENMP)
#define PLUME_ABI v0_1_openmp
#else
#define PLUME_ABI v0_1_threads
#endif

#if !defined(PLUME_COMPILED)
#define PLUME_BODIES 1
#define PLUME_FUNCTION inline
#else
#define PLUME_BODIES (PLUME_COMPILED == 2)
#define PLUME_FUNCTION
#endif

#define PLUME_INLINE [[gnu::always_inline]] inline
#if defined(PLUME_COMPILED)
#define PLUME_LEVELS(Table, tables, name) extern const Levels<Table> tables
#elif defined(__x86_64__) && !defined(_WIN32)
#define PLUME_LEVELS(Table, tables, name) \
  inline constexpr Levels<Table> tables { &base::name, &avx2::name, &avx512::name, &avx512bf16::name }
#else
#define PLUME_LEVELS(Table, tables, name) \
  inline constexpr Levels<Table> tables { &base::name }
#endif

namespace plume::inline PLUME_ABI {

using Index = std::int64_t;    // sizes, rows, columns, offsets in elements
using TokenId = std::int32_t;  // an index into a vocabulary

// Whether parallel loops can run on OpenMP.
#if defined(_OPENMP) && !defined(PLUME_NO_OPENMP)
inline constexpr bool has_openmp = true;
#else
inline constexpr bool has_openmp = false;
#endif

}  // namespace plume::inline PLUME_ABI
