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
  const V::Register y = V::select_greater(V::set(-87.3365447f), x, V::zero(), V::add_to_exponent(p, n));
  return V::select_greater(x, V::set(88.7228394f), V::set(__builtin_inff()), y);
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
// Chebyshev fit of erfc with relative error 1.2e-7: Press et al., Numerical Recipes, erfcc.
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
  return V::select_greater(x, V::zero(), V::sub(one, tail), tail);
}

// Calls body(i, count) for i = 0, width, 2 width, …: count lanes are in use, all but in the last call.
template <class Body>
PLUME_INLINE void for_lanes(Index size, Body&& body) {
  Index i = 0;
  for (; i + V::width <= size; i += V::width) body(i, V::width);
  if (i < size) body(i, size - i);
}
// Loads and stores of `count` lanes, most often all.
template <class T>
PLUME_INLINE V::Register load(const T* p, Index count) {
  return count == V::width ? V::load(p) : V::load_first(p, count);
}
PLUME_INLINE void store(float* p, V::Register x, Index count) {
  if (count == V::width)
    V::store(p, x);
  else
    V::store_first(p, x, count);
}

// The transpose of a square of V::width rows: each round deals the rows like a deck of cards.
struct Square {
  V::Register row[V::width];
};
PLUME_INLINE void transpose(Square& square) {
#pragma GCC unroll 4
  for (Index round = 1; round < V::width; round *= 2) {
    Square dealt;
#pragma GCC unroll 8
    for (Index i = 0; i < V::width / 2; ++i) {
      dealt.row[2 * i] = V::zip_low(square.row[i], square.row[i + V::width / 2]);
      dealt.row[2 * i + 1] = V::zip_high(square.row[i], square.row[i + V::width / 2]);
    }
    square = dealt;
  }
}

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
