#pragma once
#include <algorithm>

#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// add: a, b (T, C) -> y (T, C);  y = a + b
PLUME_FUNCTION Tensor add(const Tensor& a, const Tensor& b);
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }

// scale: x (T, C) -> y (T, C);  y = factor * x
PLUME_FUNCTION Tensor scale(const Tensor& x, double factor);
inline Tensor operator*(double factor, const Tensor& x) { return scale(x, factor); }

// shift: x (T, C) or (C) -> y;  y = x + offset
PLUME_FUNCTION Tensor shift(const Tensor& x, double offset);

// multiply: a, b (T, C) -> y (T, C);  y = a * b, element by element
PLUME_FUNCTION Tensor multiply(const Tensor& a, const Tensor& b);
inline Tensor operator*(const Tensor& a, const Tensor& b) { return multiply(a, b); }

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI {

namespace ops_detail {
inline void same_shape(std::string_view op, const Tensor& a, const Tensor& b) {
  require(a.shape() == b.shape() && a.dtype() == b.dtype(), "[", op, "] a is ", a.shape(), " of ", a.dtype(), ", b is ", b.shape(), " of ",
          b.dtype());
}
inline void accumulate(const Tensor& into, const Tensor& x, double factor) {
  if (!into) return;
  visit_float(into.dtype(), [&]<class T>() { kernels::accumulate<T>(into.view<T, 2>(), x.view<const T, 2>(), static_cast<T>(factor)); });
}
inline void copy(const Tensor& into, const Tensor& x) {
  visit_float(into.dtype(), [&]<class T>() {
    const auto target = into.view<T, 2>();
    const auto source = x.view<const T, 2>();
    kernels::for_rows(target, [&](Index i, Index j) {
      for (Index r = i; r < j; ++r) std::copy_n(source.row(r), source.columns(), target.row(r));
    });
  });
}
}  // namespace ops_detail

PLUME_FUNCTION Tensor add(const Tensor& a, const Tensor& b) {
  ops_detail::same_shape("add", a, b);
  const Tensor y = like(a);
  visit_float(a.dtype(), [&]<class T>() { kernels::add<T>(y.view<T, 2>(), a.view<const T, 2>(), b.view<const T, 2>()); });
  return traced("add", y, {a, b}, [to_a = gradient_key(a), to_b = gradient_key(b)](Gradients& d, const Tensor& dy) {
    const auto [db, is_fresh] = d.target(to_b);
    is_fresh ? ops_detail::copy(db, dy) : ops_detail::accumulate(db, dy, 1);
    d.add(to_a, dy);  // the last use of dy: it may become the gradient of a
  });
}

PLUME_FUNCTION Tensor scale(const Tensor& x, double factor) {
  const Tensor y = like(x);
  visit_float(x.dtype(),
              [&]<class T>() { kernels::scale<T>(y.view<T, 2>(), x.view<const T, 2>(), static_cast<T>(factor), kernels::Write::over); });
  return traced("scale", y, {x},
                [=, to_x = gradient_key(x)](Gradients& d, const Tensor& dy) { ops_detail::accumulate(d[to_x], dy, factor); });
}

PLUME_FUNCTION Tensor shift(const Tensor& x, double offset) {
  const Tensor y = like(x);
  y.fill(offset);
  ops_detail::accumulate(y, x, 1);
  return traced("shift", y, {x}, [to_x = gradient_key(x)](Gradients& d, const Tensor& dy) { d.add(to_x, dy); });
}

PLUME_FUNCTION Tensor multiply(const Tensor& a, const Tensor& b) {
  ops_detail::same_shape("multiply", a, b);
  const Tensor y = like(a);
  visit_float(a.dtype(),
              [&]<class T>() { kernels::multiply<T>(y.view<T, 2>(), a.view<const T, 2>(), b.view<const T, 2>(), kernels::Write::over); });
  const Gradients::Key to_a = gradient_key(a), to_b = gradient_key(b);
  return traced("multiply", y, {a, b},
                [to_a, to_b, a = to_b ? a : Tensor(), b = to_a ? b : Tensor()](Gradients& d, const Tensor& dy) {  // each reads the other
                  visit_float(dy.dtype(), [&]<class T>() {
                    constexpr auto adds = kernels::Write::add;
                    if (const Tensor da = d[to_a]) kernels::multiply<T>(da.view<T, 2>(), dy.view<const T, 2>(), b.view<const T, 2>(), adds);
                    if (const Tensor db = d[to_b]) kernels::multiply<T>(db.view<T, 2>(), dy.view<const T, 2>(), a.view<const T, 2>(), adds);
                  });
                });
}

}  // namespace plume::inline PLUME_ABI
#endif
