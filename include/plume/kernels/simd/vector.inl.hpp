// Included once per level by for_each_level.hpp.
//   fma(a, b, c)           a * b + c
//   min, max               the second operand if one is NaN (NaN on AArch64)
//   select_greater         a > b ? x : y, lane by lane
//   add_to_exponent(x, n)  x * 2^n, for integral n where neither x nor the result is subnormal
//   zip_low, zip_high      lanes of a and b in turn: of their lower halves, of their upper halves
//   swap_neighbours        lanes 1, 0, 3, 2, …
//   round_bf16             the nearest bfloat16 value
//   pair_bf16(low, high)   32-bit words of two bfloat16 values
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

#if PLUME_LEVEL_NUMBER >= 2

struct V {
  using Register = __m512;
  static constexpr Index width = 16;

  PLUME_INLINE static Register zero() { return _mm512_setzero_ps(); }
  PLUME_INLINE static Register set(float x) { return _mm512_set1_ps(x); }
  PLUME_INLINE static Register load(const float* p) { return _mm512_loadu_ps(p); }
  PLUME_INLINE static Register load_first(const float* p, Index count) { return _mm512_maskz_loadu_ps(first(count), p); }
  PLUME_INLINE static void store(float* p, Register x) { _mm512_storeu_ps(p, x); }
  PLUME_INLINE static void store_first(float* p, Register x, Index count) { _mm512_mask_storeu_ps(p, first(count), x); }
  PLUME_INLINE static Register add(Register a, Register b) { return a + b; }
  PLUME_INLINE static Register sub(Register a, Register b) { return a - b; }
  PLUME_INLINE static Register mul(Register a, Register b) { return a * b; }
  PLUME_INLINE static Register div(Register a, Register b) { return a / b; }
  PLUME_INLINE static Register fma(Register a, Register b, Register c) { return _mm512_fmadd_ps(a, b, c); }
  PLUME_INLINE static Register min(Register a, Register b) { return _mm512_min_ps(a, b); }
  PLUME_INLINE static Register max(Register a, Register b) { return _mm512_max_ps(a, b); }
  PLUME_INLINE static Register sqrt(Register x) { return _mm512_sqrt_ps(x); }
  PLUME_INLINE static Register abs(Register x) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)));
  }
  PLUME_INLINE static Register round(Register x) { return _mm512_roundscale_ps(x, 0); }
  PLUME_INLINE static Register add_to_exponent(Register x, Register n) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23)));
  }
  PLUME_INLINE static Register select_greater(Register a, Register b, Register x, Register y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
  }
  PLUME_INLINE static float sum(Register x) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
  }
  PLUME_INLINE static float largest(Register x) {
    const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
  }
  PLUME_INLINE static Register zip_low(Register a, Register b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
  }
  PLUME_INLINE static Register zip_high(Register a, Register b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b);
  }
  PLUME_INLINE static Register swap_neighbours(Register x) { return _mm512_shuffle_ps(x, x, 0xb1); }
  PLUME_INLINE static Register load(const Bfloat16* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
  }
  PLUME_INLINE static Register load_first(const Bfloat16* p, Index count) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(count), p)), 16));
  }
  PLUME_INLINE static Register round_bf16(Register x) {
    const __m512i word = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(word, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(word, _mm512_set1_epi32(0x7fff)), odd);
    const __m512 value = _mm512_castsi512_ps(_mm512_and_si512(rounded, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), value, _mm512_set1_ps(__builtin_nanf("")));
  }
  PLUME_INLINE static void store(Bfloat16* p, Register x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(round_bf16(x)), 16)));
  }
#if PLUME_LEVEL_NUMBER >= 3
  PLUME_INLINE static Register pair_bf16(Register low, Register high) {
    return _mm512_castsi512_ps(_mm512_or_si512(bf16_words(low), _mm512_slli_epi32(bf16_words(high), 16)));
  }
  // Words of pairs of neighbours: those of a, then those of b.
  PLUME_INLINE static Register neighbours_bf16(Register a, Register b) {
    const __m256i low = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a)), high = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(b));
    return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
  }
  // c + a.low * b.low + a.high * b.high of 32-bit words of two bfloat16 values.
  PLUME_INLINE static Register dot_pairs(Register a, Register b, Register c) {
#if defined(__clang__) && (__clang_major__ == 15 || __clang_major__ == 16)
    // The optimiser of these versions crashes on the intrinsic.
    asm("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
#else
    return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#endif
  }

 private:
  PLUME_INLINE static __m512i bf16_words(Register x) { return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x))); }
#endif

 private:
  PLUME_INLINE static __mmask16 first(Index count) { return static_cast<__mmask16>((1u << count) - 1u); }
};

#elif PLUME_LEVEL_NUMBER == 1

struct V {
  using Register = __m256;
  static constexpr Index width = 8;

  PLUME_INLINE static Register zero() { return _mm256_setzero_ps(); }
  PLUME_INLINE static Register set(float x) { return _mm256_set1_ps(x); }
  PLUME_INLINE static Register load(const float* p) { return _mm256_loadu_ps(p); }
  PLUME_INLINE static Register load_first(const float* p, Index count) { return _mm256_maskload_ps(p, first(count)); }
  PLUME_INLINE static void store(float* p, Register x) { _mm256_storeu_ps(p, x); }
  PLUME_INLINE static void store_first(float* p, Register x, Index count) { _mm256_maskstore_ps(p, first(count), x); }
  PLUME_INLINE static Register add(Register a, Register b) { return a + b; }
  PLUME_INLINE static Register sub(Register a, Register b) { return a - b; }
  PLUME_INLINE static Register mul(Register a, Register b) { return a * b; }
  PLUME_INLINE static Register div(Register a, Register b) { return a / b; }
  PLUME_INLINE static Register fma(Register a, Register b, Register c) { return _mm256_fmadd_ps(a, b, c); }
  PLUME_INLINE static Register min(Register a, Register b) { return _mm256_min_ps(a, b); }
  PLUME_INLINE static Register max(Register a, Register b) { return _mm256_max_ps(a, b); }
  PLUME_INLINE static Register sqrt(Register x) { return _mm256_sqrt_ps(x); }
  PLUME_INLINE static Register abs(Register x) { return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff))); }
  PLUME_INLINE static Register round(Register x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  PLUME_INLINE static Register add_to_exponent(Register x, Register n) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
  }
  PLUME_INLINE static Register select_greater(Register a, Register b, Register x, Register y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
  }
  PLUME_INLINE static float sum(Register x) {
    const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
  }
  PLUME_INLINE static float largest(Register x) {
    const __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 pair = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
  }
  PLUME_INLINE static Register zip_low(Register a, Register b) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
  }
  PLUME_INLINE static Register zip_high(Register a, Register b) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
  }
  PLUME_INLINE static Register swap_neighbours(Register x) { return _mm256_permute_ps(x, 0xb1); }
  PLUME_INLINE static Register load(const Bfloat16* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
  }
  PLUME_INLINE static Register load_first(const Bfloat16* p, Index count) {
    Bfloat16 lanes[width] = {};
    std::memcpy(lanes, p, static_cast<std::size_t>(count) * sizeof(Bfloat16));
    return load(lanes);
  }
  PLUME_INLINE static Register round_bf16(Register x) {
    const __m256i word = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(word, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(word, _mm256_set1_epi32(0x7fff)), odd);
    const __m256 value = _mm256_castsi256_ps(_mm256_and_si256(rounded, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
    return _mm256_blendv_ps(value, _mm256_set1_ps(__builtin_nanf("")), _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  }
  PLUME_INLINE static void store(Bfloat16* p, Register x) {
    const __m256i word = _mm256_srli_epi32(_mm256_castps_si256(round_bf16(x)), 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(word, word), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
  }

 private:
  PLUME_INLINE static __m256i first(Index count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

#else

// The architecture is named, so that the consumer's flags do not change it.
#if defined(__aarch64__)
using BaseArchitecture = xsimd::neon64;
#else
using BaseArchitecture = xsimd::sse2;
#endif

struct V {
  using Register = xsimd::batch<float, BaseArchitecture>;
  using Words = xsimd::batch<std::int32_t, BaseArchitecture>;
  static constexpr Index width = 4;

  PLUME_INLINE static Register zero() { return Register(0.0f); }
  PLUME_INLINE static Register set(float x) { return Register(x); }
  PLUME_INLINE static Register load(const float* p) { return Register::load_unaligned(p); }
  PLUME_INLINE static Register load_first(const float* p, Index count) {
    float lanes[width] = {};
    for (Index i = 0; i < count; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  PLUME_INLINE static void store(float* p, Register x) { x.store_unaligned(p); }
  PLUME_INLINE static void store_first(float* p, Register x, Index count) {
    float lanes[width];
    store(lanes, x);
    for (Index i = 0; i < count; ++i) p[i] = lanes[i];
  }
  PLUME_INLINE static Register add(Register a, Register b) { return a + b; }
  PLUME_INLINE static Register sub(Register a, Register b) { return a - b; }
  PLUME_INLINE static Register mul(Register a, Register b) { return a * b; }
  PLUME_INLINE static Register div(Register a, Register b) { return a / b; }
  PLUME_INLINE static Register fma(Register a, Register b, Register c) { return xsimd::fma(a, b, c); }
  PLUME_INLINE static Register min(Register a, Register b) { return xsimd::min(a, b); }
  PLUME_INLINE static Register max(Register a, Register b) { return xsimd::max(a, b); }
  PLUME_INLINE static Register sqrt(Register x) { return xsimd::sqrt(x); }
  PLUME_INLINE static Register abs(Register x) { return xsimd::abs(x); }
  // Adding and taking away 1.5 * 2^23 leaves the nearest integer, for |x| < 2^22.
  PLUME_INLINE static Register round(Register x) { return (x + Register(0x1.8p23f)) - Register(0x1.8p23f); }
  PLUME_INLINE static Register add_to_exponent(Register x, Register n) {
    return floats_of(words_of(x) + (xsimd::to_int(n) << 23));
  }
  PLUME_INLINE static Register select_greater(Register a, Register b, Register x, Register y) { return xsimd::select(a > b, x, y); }
  PLUME_INLINE static float sum(Register x) {
    float lane[width];
    store(lane, x);
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
  }
  PLUME_INLINE static float largest(Register x) {
    float lane[width];
    store(lane, x);
    const float even = lane[0] > lane[2] ? lane[0] : lane[2], odd = lane[1] > lane[3] ? lane[1] : lane[3];
    return even > odd ? even : odd;
  }
  PLUME_INLINE static Register zip_low(Register a, Register b) { return xsimd::zip_lo(a, b); }
  PLUME_INLINE static Register zip_high(Register a, Register b) { return xsimd::zip_hi(a, b); }
  PLUME_INLINE static Register swap_neighbours(Register x) {
    float lanes[width];
    store(lanes, x);
    const float swapped[width] = {lanes[1], lanes[0], lanes[3], lanes[2]};
    return load(swapped);
  }
  PLUME_INLINE static Register load(const Bfloat16* p) { return load_first(p, width); }
  PLUME_INLINE static Register load_first(const Bfloat16* p, Index count) {
    float lanes[width] = {};
    for (Index i = 0; i < count; ++i) lanes[i] = static_cast<float>(p[i]);
    return load(lanes);
  }
  PLUME_INLINE static Register round_bf16(Register x) {
    const Words word = words_of(x);
    const Words rounded = word + Words(0x7fff) + ((word >> 16) & Words(1));
    const Register value = floats_of(rounded & Words(static_cast<std::int32_t>(0xffff0000u)));
    return xsimd::select(x == x, value, Register(__builtin_nanf("")));
  }
  PLUME_INLINE static void store(Bfloat16* p, Register x) {
    float lanes[width];
    store(lanes, x);
    for (Index i = 0; i < width; ++i) p[i] = Bfloat16(lanes[i]);
  }

 private:
#if XSIMD_VERSION_MAJOR < 11  // bitwise_cast names the vector, from 11 on its lane
  PLUME_INLINE static Words words_of(Register x) { return xsimd::bitwise_cast<Words>(x); }
  PLUME_INLINE static Register floats_of(Words x) { return xsimd::bitwise_cast<Register>(x); }
#else
  PLUME_INLINE static Words words_of(Register x) { return xsimd::bitwise_cast<std::int32_t>(x); }
  PLUME_INLINE static Register floats_of(Words x) { return xsimd::bitwise_cast<float>(x); }
#endif
};

#endif

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
