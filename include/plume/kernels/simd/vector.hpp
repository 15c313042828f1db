#pragma once
// V, a vector of floats, in the namespace of every level. Kernels are written once on it.
#include <cstring>

#include "plume/base/half.hpp"
#include "plume/kernels/simd/level.hpp"
#include "plume/tensor/view.hpp"

#if !defined(PLUME_COMPILED)
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <xsimd/xsimd.hpp>
#endif

#define PLUME_KERNELS "plume/kernels/simd/vector.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS
#define PLUME_KERNELS "plume/kernels/simd/math.inl.hpp"
#include "plume/kernels/simd/for_each_level.hpp"
#undef PLUME_KERNELS
