#pragma once
// Sums in eight lanes: the order is fixed, and a compiler can keep the lanes in a vector register.
#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels::reference {

template <class T, class Term>
T sum_lanes(Index count, Term&& term) {
  T lane[8] = {};
  Index i = 0;
  for (; i + 8 <= count; i += 8)
    for (Index l = 0; l < 8; ++l) lane[l] += term(i + l);
  for (Index l = 0; i + l < count; ++l) lane[l] += term(i + l);
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

template <class T>
T dot(const T* a, const T* b, Index count) {
  return sum_lanes<T>(count, [&](Index i) { return a[i] * b[i]; });
}

}  // namespace plume::inline PLUME_ABI::kernels::reference
