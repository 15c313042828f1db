// Included once per level by for_each_level.hpp: functions of vectors, and loops over rows of any length.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

// e^x within 2 units in the last place; 0 where the result would be subnormal, infinity past the largest float.
// Polynomial: Cephes, expf.
PLUME_INLINE V::Register exponential(V::Register x) {
  const V::Register n = V::round(V::mul(V::min(V::set(200.0f), V::max(V::set(-200.0f), x)), V::set(1.44269504f)));
  const V::Register r = V::fma(n, V::set(2.12194440e-4f), V::fma(n, V::set(-0.693359375f), x));
  V::Register p = V::set(1.9875691500e-4f);
  p = V::fma(p, r, V::set(1.3981999507e-3f));
  p = V::fma(p, r, V::set(8.3334519073e-3f));
  p = V::fma(p, r, V::set(4.1665795894e-2f));
  p = V::fma(p, r, V::set(1.6666665459e-1f));
  p = V::fma(p, r, V::set(5.0000001201e-1f));
  p = V::fma(p, V::mul(r, r), V::add(r, V::set(1.0f)));
  const V::Register y = V::select_greater(V::set(-87.3365402f), x, V::zero(), V::add_to_exponent(p, n));
  return V::select_greater(x, V::set(88.7228317f), V::set(__builtin_inff()), y);
}

// 1 / (1 + e^-x)
PLUME_INLINE V::Register sigmoid(V::Register x) {
  const V::Register one = V::set(1.0f);
  return V::div(one, V::add(one, exponential(V::sub(V::zero(), x))));
}

// tanh x. Polynomial below 0.625: Cephes, tanhf.
PLUME_INLINE V::Register hyperbolic_tangent(V::Register x) {
  const V::Register magnitude = V::abs(x), square = V::mul(x, x), one = V::set(1.0f);
  V::Register p = V::set(-5.70498872745e-3f);
  p = V::fma(p, square, V::set(2.06390887954e-2f));
  p = V::fma(p, square, V::set(-5.37397155531e-2f));
  p = V::fma(p, square, V::set(1.33314422036e-1f));
  p = V::fma(p, square, V::set(-3.33332819422e-1f));
  const V::Register small = V::fma(V::mul(p, square), x, x);
  const V::Register large = V::sub(one, V::div(V::set(2.0f), V::add(exponential(V::add(magnitude, magnitude)), one)));
  const V::Register with_sign = V::select_greater(V::zero(), x, V::sub(V::zero(), large), large);
  return V::select_greater(magnitude, V::set(0.625f), with_sign, small);
}

// The probability that a standard normal variable is below x: (1 + erf(x / sqrt 2)) / 2.
// Polynomial of erf below 0.75: Cephes, erff. Beyond: Chebyshev fit of erfc, relative error 1.2e-7: Press et al., Numerical Recipes, erfcc.
PLUME_INLINE V::Register normal_distribution(V::Register x) {
  const V::Register z = V::mul(V::abs(x), V::set(0.70710678118654752f)), one = V::set(1.0f);
  const V::Register t = V::div(one, V::fma(z, V::set(0.5f), one));
  V::Register p = V::set(0.17087277f);
  p = V::fma(p, t, V::set(-0.82215223f));
  p = V::fma(p, t, V::set(1.48851587f));
  p = V::fma(p, t, V::set(-1.13520398f));
  p = V::fma(p, t, V::set(0.27886807f));
  p = V::fma(p, t, V::set(-0.18628806f));
  p = V::fma(p, t, V::set(0.09678418f));
  p = V::fma(p, t, V::set(0.37409196f));
  p = V::fma(p, t, V::set(1.00002368f));
  p = V::fma(p, t, V::set(-1.26551223f));
  const V::Register tail = V::mul(V::mul(V::set(0.5f), t), exponential(V::sub(p, V::mul(z, z))));
  const V::Register far = V::select_greater(x, V::zero(), V::sub(one, tail), tail), square = V::mul(z, z);
  V::Register q = V::set(7.853861353153693e-5f);
  q = V::fma(q, square, V::set(-8.010193625184903e-4f));
  q = V::fma(q, square, V::set(5.188327685732524e-3f));
  q = V::fma(q, square, V::set(-2.685381193529856e-2f));
  q = V::fma(q, square, V::set(1.128358514861418e-1f));
  q = V::fma(q, square, V::set(-3.761262582423300e-1f));
  q = V::fma(q, square, V::set(1.128379165726710f));
  const V::Register near = V::fma(V::mul(q, V::set(0.35355339059327376f)), x, V::set(0.5f));
  return V::select_greater(V::set(0.75f), V::abs(x), near, far);
}

// Calls body(i, count) for i = 0, width, 2 width, …: count lanes are in use, all but in the last call.
template <class Body>
PLUME_INLINE void for_lanes(Index size, Body&& body) {
  Index i = 0;
  for (; i + V::width <= size; i += V::width) body(i, V::width);
  const Index left = size - i;
  if (left >= V::width) __builtin_unreachable();
  if (left > 0) body(i, left);
}
// The same with one copy of the body, for long ones.
template <class Body>
PLUME_INLINE void for_lanes_in_one_loop(Index size, Body&& body) {
  for (Index i = 0; i < size; i += V::width) body(i, size - i < V::width ? size - i : V::width);
}
// Loads and stores of `count` lanes, most often all; the other lanes of a load are 0, or `other`.
template <class T>
PLUME_INLINE V::Register load(const T* p, Index count) {
  return count == V::width ? V::load(p) : V::load_first(p, count);
}
PLUME_INLINE V::Register load_or(const float* p, Index count, float other) {
  if (count == V::width) return V::load(p);
  float lanes[V::width];
  V::store(lanes, V::set(other));
  for (Index i = 0; i < count; ++i) lanes[i] = p[i];
  return V::load(lanes);
}
PLUME_INLINE void store(float* p, V::Register x, Index count) {
  if (count == V::width)
    V::store(p, x);
  else
    V::store_first(p, x, count);
}

// Sums over a row in four chains: term(i, count, sum) is sum with the terms of `count` lanes added.
template <class Term>
PLUME_INLINE float sum_lanes(Index size, Term&& term) {
  V::Register s0 = V::zero(), s1 = s0, s2 = s0, s3 = s0;
  Index i = 0;
  for (; i + 4 * V::width <= size; i += 4 * V::width) {
    s0 = term(i, V::width, s0);
    s1 = term(i + V::width, V::width, s1);
    s2 = term(i + 2 * V::width, V::width, s2);
    s3 = term(i + 3 * V::width, V::width, s3);
  }
  for (; i < size; i += V::width) s0 = term(i, size - i < V::width ? size - i : V::width, s0);
  return V::sum(V::add(V::add(s0, s1), V::add(s2, s3)));
}

// The transpose of a square of V::width rows: each round deals the rows like a deck of cards. Only the first `rows` rows are read; for the
// others the first stands.
template <class T>
inline void transpose(float* to, Index to_stride, const T* from, Index stride, Index rows) {
  V::Register square[V::width], dealt[V::width];
#pragma GCC unroll 16
  for (Index i = 0; i < V::width; ++i) square[i] = V::load(from + (i < rows ? i * stride : 0));
#pragma GCC unroll 4
  for (Index round = 1; round < V::width; round *= 2) {
#pragma GCC unroll 8
    for (Index i = 0; i < V::width / 2; ++i) {
      dealt[2 * i] = V::zip_low(square[i], square[i + V::width / 2]);
      dealt[2 * i + 1] = V::zip_high(square[i], square[i + V::width / 2]);
    }
#pragma GCC unroll 16
    for (Index i = 0; i < V::width; ++i) square[i] = dealt[i];
  }
#pragma GCC unroll 16
  for (Index i = 0; i < V::width; ++i) V::store(to + i * to_stride, square[i]);
}

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
