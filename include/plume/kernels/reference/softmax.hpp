#pragma once
#include <cmath>
#include <span>

#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels::reference {

// softmax: x (T, C) -> y (T, C);  y = exp(x - max) / sum
template <class T>
void softmax(Output<T, 2> y, Input<T, 2> x) {
  using std::exp;
  for (Index r = 0; r < x.rows(); ++r) {
    T largest = x.row(r)[0], total(0);
    for (Index c = 1; c < x.columns(); ++c) largest = x.row(r)[c] > largest ? x.row(r)[c] : largest;
    for (Index c = 0; c < x.columns(); ++c) total += y.row(r)[c] = exp(x.row(r)[c] - largest);
    for (Index c = 0; c < x.columns(); ++c) y.row(r)[c] = y.row(r)[c] / total;
  }
}

// dx += y * (dy - sum(dy * y))
template <class T>
void softmax_backward(Output<T, 2> dx, Input<T, 2> dy, Input<T, 2> y) {
  for (Index r = 0; r < dx.rows(); ++r) {
    T sum(0);
    for (Index c = 0; c < dx.columns(); ++c) sum += dy.row(r)[c] * y.row(r)[c];
    for (Index c = 0; c < dx.columns(); ++c) dx.row(r)[c] += y.row(r)[c] * (dy.row(r)[c] - sum);
  }
}

inline constexpr TokenId ignored_target = -1;  // a position that is not trained

// cross_entropy: logits (T, V), targets (T) -> losses (T);  loss = log(sum(exp(logits))) - logits[target], 0 where the target is ignored.
// With `gradient_scale` the logits are overwritten by gradient_scale * (softmax - onehot), zero rows where ignored.
template <class T>
void cross_entropy(Output<T, 2> logits, std::span<const TokenId> targets, Optional<T, 1> losses,
                   const std::type_identity_t<T>* gradient_scale) {
  using std::exp, std::log;
  for (Index r = 0; r < logits.rows(); ++r) {
    T* row = logits.row(r);
    const TokenId target = targets[static_cast<std::size_t>(r)];
    losses[r] = T(0);
    if (target == ignored_target) {
      for (Index c = 0; gradient_scale && c < logits.columns(); ++c) row[c] = T(0);
      continue;
    }
    T largest = row[0], total(0);
    for (Index c = 1; c < logits.columns(); ++c) largest = row[c] > largest ? row[c] : largest;
    const T chosen = row[target];
    if (gradient_scale) {
      for (Index c = 0; c < logits.columns(); ++c) total += row[c] = exp(row[c] - largest);
      const T factor = *gradient_scale / total;
      for (Index c = 0; c < logits.columns(); ++c) row[c] = row[c] * factor;
      row[target] -= *gradient_scale;
    } else {
      for (Index c = 0; c < logits.columns(); ++c) total += exp(row[c] - largest);
    }
    losses[r] = log(total) + largest - chosen;
  }
}

}  // namespace plume::inline PLUME_ABI::kernels::reference
