#pragma once
#include "plume/base/half.hpp"
#include "plume/base/random.hpp"
#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels::reference {

// y = a + b
template <class T>
void add(Output<T, 2> y, Input<T, 2> a, Input<T, 2> b) {
  for (Index r = 0; r < y.rows(); ++r)
    for (Index c = 0; c < y.columns(); ++c) y.row(r)[c] = a.row(r)[c] + b.row(r)[c];
}

// y = factor * x; y may be x
template <class T>
void scale(Output<T, 2> y, Input<T, 2> x, std::type_identity_t<T> factor) {
  for (Index r = 0; r < y.rows(); ++r)
    for (Index c = 0; c < y.columns(); ++c) y.row(r)[c] = factor * x.row(r)[c];
}

// y += factor * x; also the backward of add, scale and copies.
template <class T>
void accumulate(Output<T, 2> y, Input<T, 2> x, std::type_identity_t<T> factor) {
  for (Index r = 0; r < y.rows(); ++r)
    for (Index c = 0; c < y.columns(); ++c) y.row(r)[c] += factor * x.row(r)[c];
}

// y = a * b
template <class T>
void multiply(Output<T, 2> y, Input<T, 2> a, Input<T, 2> b) {
  for (Index r = 0; r < y.rows(); ++r)
    for (Index c = 0; c < y.columns(); ++c) y.row(r)[c] = a.row(r)[c] * b.row(r)[c];
}

// da += dy * b
template <class T>
void multiply_backward(Output<T, 2> da, Input<T, 2> dy, Input<T, 2> b) {
  for (Index r = 0; r < da.rows(); ++r)
    for (Index c = 0; c < da.columns(); ++c) da.row(r)[c] += dy.row(r)[c] * b.row(r)[c];
}

// y = x rounded to the nearest bfloat16, of two to the even one
template <class T>
void round_bf16(Output<Bfloat16, 1> y, Input<T, 1> x) {
  for (Index i = 0; i < x.size(); ++i) y[i] = Bfloat16(static_cast<float>(x[i]));
}

// y = x
template <class T>
void widen_bf16(Output<T, 1> y, Input<Bfloat16, 1> x) {
  for (Index i = 0; i < x.size(); ++i) y[i] = static_cast<T>(static_cast<float>(x[i]));
}

// Adds a row to every row: y (T, C) += bias (C).
template <class T>
void add_row(Output<T, 2> y, Input<T, 1> bias) {
  for (Index r = 0; r < y.rows(); ++r)
    for (Index c = 0; c < y.columns(); ++c) y.row(r)[c] += bias[c];
}

// dbias (C) += sum over the rows of dy (T, C), in row order.
template <class T>
void sum_rows(Output<T, 1> dbias, Input<T, 2> dy) {
  for (Index r = 0; r < dy.rows(); ++r)
    for (Index c = 0; c < dy.columns(); ++c) dbias[c] += dy.row(r)[c];
}

// Which elements dropout keeps: a pure function of seed, stream and position, so that backward and recomputation draw the same mask.
struct Dropout {
  double rate = 0;  // probability of dropping, in [0, 1)
  std::uint64_t seed = 0, stream = 0;

  // Writes 0 or 1 / (1 - rate) for `count` positions from a multiple of four on.
  template <class T>
  void factors(T* out, std::uint64_t position, Index count) const {
    const Random random{.seed = seed, .stream = stream};
    const auto threshold = static_cast<std::uint64_t>(rate * 0x1.0p32);
    const T kept = static_cast<T>(1.0 / (1.0 - rate)), dropped{};
    for (Index i = 0; i < count; i += 4) {
      const auto words = random.at((position + static_cast<std::uint64_t>(i)) / 4);
      for (Index l = 0; l < 4 && i + l < count; ++l) out[i + l] = words[static_cast<std::size_t>(l)] >= threshold ? kept : dropped;
    }
  }
};

// y (T, C) += x * mask / (1 - rate); row r of the view is row `first_row` + r of the whole. Backward: the same with dy for x.  [Srivastava
// et al. 2014]
template <class T>
void dropout(Output<T, 2> y, Input<T, 2> x, const Dropout& rule, Index first_row) {
  const Index padded = (x.columns() + 3) / 4 * 4;
  for (Index r = 0; r < y.rows(); ++r) {
    for (Index c = 0; c < y.columns(); c += 4) {
      T factor[4];
      const Index count = y.columns() - c < 4 ? y.columns() - c : 4;
      rule.factors(factor, static_cast<std::uint64_t>((first_row + r) * padded + c), count);
      for (Index l = 0; l < count; ++l) y.row(r)[c + l] += factor[l] * x.row(r)[c + l];
    }
  }
}

}  // namespace plume::inline PLUME_ABI::kernels::reference
