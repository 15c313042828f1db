#pragma once
// Stands before the compiler's header of this name: intrinsics of every level, emulated by SIMDe on the base instructions, so that the
// kernels of processors that are not here can be tested. SIMDe's types clash with the compiler's, so that header must stay out.
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include <array>
#include <bit>

#include "plume/base/half.hpp"

// Below: what SIMDe 0.7.4 lacks, lane by lane, from Intel's Intrinsics Guide.
#define _MM_FROUND_NO_EXC SIMDE_MM_FROUND_NO_EXC
using __mmask16 = simde__mmask16;

namespace emulation {
template <class Lane, class Register>
auto lanes(Register x) {
  return std::bit_cast<std::array<Lane, sizeof(Register) / sizeof(Lane)>>(x);
}
template <class Register, class Lane, std::size_t N>
Register from(const std::array<Lane, N>& x) {
  return std::bit_cast<Register>(x);
}
inline bool has(__mmask16 mask, std::size_t lane) { return (mask >> lane & 1) != 0; }
}  // namespace emulation

inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void* p) {
  std::array<float, 16> x{};
  for (std::size_t i = 0; i < 16; ++i)
    if (emulation::has(mask, i)) x[i] = static_cast<const float*>(p)[i];
  return emulation::from<__m512>(x);
}
inline void _mm512_mask_storeu_ps(void* p, __mmask16 mask, __m512 x) {
  for (std::size_t i = 0; i < 16; ++i)
    if (emulation::has(mask, i)) static_cast<float*>(p)[i] = emulation::lanes<float>(x)[i];
}
inline __m256i _mm256_maskz_loadu_epi16(__mmask16 mask, const void* p) {
  std::array<std::uint16_t, 16> x{};
  for (std::size_t i = 0; i < 16; ++i)
    if (emulation::has(mask, i)) std::memcpy(&x[i], static_cast<const char*>(p) + 2 * i, 2);
  return emulation::from<__m256i>(x);
}
inline __m512i _mm512_cvtepu16_epi32(__m256i x) {
  std::array<std::uint32_t, 16> y{};
  for (std::size_t i = 0; i < 16; ++i) y[i] = emulation::lanes<std::uint16_t>(x)[i];
  return emulation::from<__m512i>(y);
}
inline __m256i _mm512_cvtepi32_epi16(__m512i x) {
  std::array<std::uint16_t, 16> y{};
  for (std::size_t i = 0; i < 16; ++i) y[i] = static_cast<std::uint16_t>(emulation::lanes<std::uint32_t>(x)[i]);
  return emulation::from<__m256i>(y);
}
inline __m512i _mm512_cvtps_epi32(__m512 x) {
  std::array<std::int32_t, 16> y{};
  for (std::size_t i = 0; i < 16; i += 4) {
    const __m128i part = _mm_cvtps_epi32(_mm_loadu_ps(emulation::lanes<float>(x).data() + i));
    std::memcpy(&y[i], &part, sizeof part);
  }
  return emulation::from<__m512i>(y);
}
inline __m256 _mm512_extractf32x8_ps(__m512 x, int half) {
  std::array<float, 8> y{};
  for (std::size_t i = 0; i < 8; ++i) y[i] = emulation::lanes<float>(x)[i + 8 * static_cast<std::size_t>(half)];
  return emulation::from<__m256>(y);
}
// Nearest even, subnormals to zero.
inline __m256bh _mm512_cvtneps_pbh(__m512 x) {
  std::array<std::uint16_t, 16> y{};
  for (std::size_t i = 0; i < 16; ++i) {
    const float lane = emulation::lanes<float>(x)[i];
    const bool is_subnormal = (lane < 0 ? -lane : lane) < 0x1p-126f;
    y[i] = plume::Bfloat16(is_subnormal ? lane * 0.0f : lane).bits;
  }
  return emulation::from<__m256bh>(y);
}
