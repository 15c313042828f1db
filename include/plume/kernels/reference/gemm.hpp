#pragma once
#include "plume/kernels/reference/sums.hpp"

namespace plume::inline PLUME_ABI::kernels::reference {

// gemm: c (M, N) += a (M, K) b (K, N), any strides, so a transposed operand is a.transposed().
//   linear forward       y  += x  w.transposed()        x (T, in), w (out, in)
//   linear backward      dx += dy w,   dw += dy.transposed() x
template <class T>
void gemm(Output<T, 2> c, Input<T, 2> a, Input<T, 2> b) {
  for (Index m = 0; m < c.rows(); ++m) {
    for (Index n = 0; n < c.columns(); ++n) {
      if (a.stride(1) == 1 && b.stride(0) == 1) {
        c(m, n) += dot(a.row(m), b.data() + n * b.stride(1), a.columns());
      } else {
        c(m, n) += sum_lanes<T>(a.columns(), [&](Index k) { return a(m, k) * b(k, n); });
      }
    }
  }
}

}  // namespace plume::inline PLUME_ABI::kernels::reference
