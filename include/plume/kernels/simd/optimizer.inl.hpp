// Included once per level by for_each_level.hpp: AdamW in one pass, and sums of squares.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

// The constants of a step as vectors.
struct AdamWRule {
  V::Register beta1, beta2, one_minus1, one_minus2, scale, epsilon, shrink, rate, inverse2;
  PLUME_INLINE explicit AdamWRule(const AdamWStep& step)
      : beta1(set(step.beta1)),
        beta2(set(step.beta2)),
        one_minus1(set(1 - step.beta1)),
        one_minus2(set(1 - step.beta2)),
        scale(set(step.gradient_scale)),
        epsilon(set(step.epsilon)),
        shrink(set(1 - step.learning_rate * step.decay)),
        rate(set(step.learning_rate / step.correction1)),
        inverse2(set(1 / __builtin_sqrt(step.correction2))) {}
  PLUME_INLINE static V::Register set(double value) { return V::set(static_cast<float>(value)); }

  // m, v: the moments, which become the new ones. Returns the new weight.
  PLUME_INLINE V::Register operator()(V::Register weight, V::Register& m, V::Register& v, V::Register gradient) const {
    const V::Register g = V::mul(gradient, scale);
    m = V::fma(beta1, m, V::mul(one_minus1, g));
    v = V::fma(beta2, v, V::mul(V::mul(one_minus2, g), g));
    const V::Register divisor = V::fma(V::sqrt(v), inverse2, epsilon);
    return V::sub(V::mul(weight, shrink), V::div(V::mul(rate, m), divisor));
  }
};

inline void adamw(View<float, 1> weight, View<float, 1> first, View<float, 1> second, View<const float, 1> gradient, const AdamWStep& step,
                  Index) {
  const AdamWRule rule(step);
  float *const w = weight.data(), *const m = first.data(), *const v = second.data();
  const float* const g = gradient.data();
  for_lanes(
      weight.size(), [&](Index i, Index count) __attribute__((always_inline)) {
        V::Register first_moment = load(m + i, count), second_moment = load(v + i, count);
        store(w + i, rule(load(w + i, count), first_moment, second_moment, load(g + i, count)), count);
        store(m + i, first_moment, count);
        store(v + i, second_moment, count);
      });
}

#if PLUME_LEVEL_NUMBER >= 1
// reference::rounding_words(), eight counters side by side.
struct EightWords {
  __m256i low_key, high_key;
  PLUME_INLINE static __m256i set(std::uint64_t word) { return _mm256_set1_epi32(static_cast<int>(static_cast<std::uint32_t>(word))); }
  // Upper and lower halves of the products of all lanes with a constant.
  PLUME_INLINE static void multiply(__m256i x, __m256i factor, __m256i& high, __m256i& low) {
    const __m256i even = _mm256_mul_epu32(x, factor), odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), factor);
    high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
  }
  PLUME_INLINE static void draw(std::uint32_t* words, const AdamWStep& step, std::uint64_t group) {
    const std::uint64_t counter = group * 8;
    __m256i c0 = _mm256_add_epi32(set(counter), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)), c1 = set(counter >> 32);
    __m256i c2 = set(step.stream), c3 = set(step.stream >> 32), k0 = set(step.seed), k1 = set(step.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      __m256i a_high, a_low, b_high, b_low;
      multiply(c0, set(0xD2511F53u), a_high, a_low);
      multiply(c2, set(0xCD9E8D57u), b_high, b_low);
      c0 = _mm256_xor_si256(_mm256_xor_si256(b_high, c1), k0);
      c1 = b_low;
      c2 = _mm256_xor_si256(_mm256_xor_si256(a_high, c3), k1);
      c3 = a_low;
      k0 = _mm256_add_epi32(k0, set(0x9E3779B9u));
      k1 = _mm256_add_epi32(k1, set(0xBB67AE85u));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), c0);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 8), c1);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 16), c2);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 24), c3);
  }
};
PLUME_INLINE void draw_words(std::uint32_t* words, const AdamWStep& step, Index group) {
  EightWords::draw(words, step, static_cast<std::uint64_t>(group));
}
// reference::round_stochastically() of two times eight elements: the upper halves of bits plus words.
PLUME_INLINE void round_sixteen(Bfloat16* rounded, const std::uint32_t* bits, __m256i words_low, __m256i words_high) {
  const __m256i low = _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits)), words_low);
  const __m256i high = _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits + 8)), words_high);
  const __m256i packed = _mm256_packus_epi32(_mm256_srli_epi32(low, 16), _mm256_srli_epi32(high, 16));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(rounded), _mm256_permute4x64_epi64(packed, 0xd8));
}
PLUME_INLINE Index round_words(Bfloat16* m, Bfloat16* v, const std::uint32_t* m_bits, const std::uint32_t* v_bits,
                               const std::uint32_t* words, Index size) {
  const __m256i lower = _mm256_set1_epi32(0xffff);
  Index i = 0;
  for (; i + 16 <= size; i += 16) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + i));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + i + 8));
    round_sixteen(m + i, m_bits + i, _mm256_and_si256(low, lower), _mm256_and_si256(high, lower));
    round_sixteen(v + i, v_bits + i, _mm256_srli_epi32(low, 16), _mm256_srli_epi32(high, 16));
  }
  return i;
}
#else
PLUME_INLINE Index round_words(Bfloat16*, Bfloat16*, const std::uint32_t*, const std::uint32_t*, const std::uint32_t*, Index) { return 0; }
PLUME_INLINE void draw_words(std::uint32_t* words, const AdamWStep& step, Index group) {
  const auto drawn = reference::rounding_words(step, group);
  std::memcpy(words, drawn.data(), sizeof drawn);
}
#endif

// Groups of 32 elements: the moments' new values go through memory, where words are added to their bits.
inline void adamw_bf16(View<float, 1> weight, View<Bfloat16, 1> first, View<Bfloat16, 1> second, View<const float, 1> gradient,
                       const AdamWStep& step, Index first_element) {
  const AdamWRule rule(step);
  for (Index begin = 0; begin < weight.size(); begin += 32) {
    const Index size = weight.size() - begin < 32 ? weight.size() - begin : 32;
    float* const w = weight.data() + begin;
    Bfloat16 *const m = first.data() + begin, *const v = second.data() + begin;
    const float* const g = gradient.data() + begin;
    std::uint32_t words[32], m_bits[32], v_bits[32];
    draw_words(words, step, (first_element + begin) / 32);
    float lanes[V::width];
    for_lanes_in_one_loop(
        size, [&](Index i, Index count) __attribute__((always_inline)) {
          V::Register first_moment = load(m + i, count), second_moment = load(v + i, count);
          store(w + i, rule(load(w + i, count), first_moment, second_moment, load(g + i, count)), count);
          V::store(lanes, first_moment);
          std::memcpy(m_bits + i, lanes, sizeof lanes);
          V::store(lanes, second_moment);
          std::memcpy(v_bits + i, lanes, sizeof lanes);
        });
    for (Index i = round_words(m, v, m_bits, v_bits, words, size); i < size; ++i) {
      m[i].bits = static_cast<std::uint16_t>((m_bits[i] + (words[i] & 0xffffu)) >> 16);
      v[i].bits = static_cast<std::uint16_t>((v_bits[i] + (words[i] >> 16)) >> 16);
    }
  }
}

inline double sum_of_squares(View<const float, 1> x) {
  double sums[8] = {};
  const float* const p = x.data();
  Index i = 0;
  for (; i + 8 <= x.size(); i += 8)
    for (Index lane = 0; lane < 8; ++lane) sums[lane] += static_cast<double>(p[i + lane]) * static_cast<double>(p[i + lane]);
  for (; i < x.size(); ++i) sums[i % 8] += static_cast<double>(p[i]) * static_cast<double>(p[i]);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

inline constexpr OptimizerTable<float> optimizer_level{adamw, adamw_bf16, sum_of_squares};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
