// Includes the file that PLUME_KERNELS names once per level. No include guard: every kernel family includes this file. Around each
// inclusion
//   PLUME_LEVEL         is the level's name, the namespace its kernels live in
//   PLUME_LEVEL_NUMBER  is its number, in the order of the enum Level
// and every function is compiled for the level's instructions. Rules for the included file: no OpenMP pragma, no
// standard template instantiated with vector types, vectors in structs rather than arrays where they must stay in registers.
// PLUME_EMULATE_LEVELS, which only a test defines, leaves the instructions out, so that intrinsics of a missing processor can be emulated.
#if !defined(PLUME_COMPILED)
#define PLUME_LEVEL base
#define PLUME_LEVEL_NUMBER 0
#include PLUME_KERNELS
#undef PLUME_LEVEL
#undef PLUME_LEVEL_NUMBER

#if defined(__x86_64__) && !defined(_WIN32)
#if !defined(__clang__)
// GCC's own AVX-512 headers warn about their undefined values when inlined into functions with a target, and about their masks where
// they are macros, at -O0.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#if defined(PLUME_EMULATE_LEVELS)
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#define PLUME_LEVEL avx2
#define PLUME_LEVEL_NUMBER 1
#include PLUME_KERNELS
#undef PLUME_LEVEL
#undef PLUME_LEVEL_NUMBER
#if defined(PLUME_EMULATE_LEVELS)
#elif defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined(PLUME_EMULATE_LEVELS)
#elif defined(__clang__) && __clang_major__ == 18
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,evex512"))), apply_to = function)
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")
#endif
#define PLUME_LEVEL avx512
#define PLUME_LEVEL_NUMBER 2
#include PLUME_KERNELS
#undef PLUME_LEVEL
#undef PLUME_LEVEL_NUMBER
#if defined(PLUME_EMULATE_LEVELS)
#elif defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined(PLUME_EMULATE_LEVELS)
#elif defined(__clang__) && __clang_major__ == 18
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,evex512"))), \
                             apply_to = function)
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni")
#endif
#define PLUME_LEVEL avx512bf16
#define PLUME_LEVEL_NUMBER 3
#include PLUME_KERNELS
#undef PLUME_LEVEL
#undef PLUME_LEVEL_NUMBER
#if defined(PLUME_EMULATE_LEVELS)
#elif defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif
#endif
