#pragma once
#include "plume/autograd/tape.hpp"
#include "plume/kernels/reference/rope.hpp"

namespace plume::inline PLUME_ABI {

using kernels::RotaryLayout;

// Cosines and sines of the angles position / base^(2i/width): (T, width/2) each, shared by all layers of a pass.
struct RotaryAngles {
  Tensor cosine, sine;
};

PLUME_FUNCTION RotaryAngles rotary_angles(std::span<const std::int32_t> positions, Index width, double base, DType dtype);
// The same for angles position * frequency: `frequencies` (width/2), in radians. Cosines and sines are multiplied by `amplitude`.
PLUME_FUNCTION RotaryAngles rotary_angles(std::span<const std::int32_t> positions, std::span<const double> frequencies, DType dtype,
                                          double amplitude = 1);

// rope: x (T, heads * head_width) -> y, the first `width` elements of each head turned by the angles of their row      [Su et al. 2021]
PLUME_FUNCTION Tensor rope(const Tensor& x, const RotaryAngles& angles, Index head_width, RotaryLayout layout);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/rope/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION RotaryAngles rotary_angles(std::span<const std::int32_t> positions, Index width, double base, DType dtype) {
  require(width >= 2 && width % 2 == 0, "[rotary] width ", width, " is not even and positive");
  require(base > 0, "[rotary] base ", base, " is not positive");
  const Shape shape{static_cast<Index>(positions.size()), width / 2};
  RotaryAngles angles{Tensor::empty(shape, dtype), Tensor::empty(shape, dtype)};
  visit_float(dtype, [&]<class T>() {
    kernels::reference::rotary_table<T>(angles.cosine.view<T, 2>(), angles.sine.view<T, 2>(), positions, width, base);
  });
  return angles;
}

PLUME_FUNCTION RotaryAngles rotary_angles(std::span<const std::int32_t> positions, std::span<const double> frequencies, DType dtype,
                                          double amplitude) {
  require(!frequencies.empty(), "[rotary] there are no frequencies");
  const Shape shape{static_cast<Index>(positions.size()), static_cast<Index>(frequencies.size())};
  RotaryAngles angles{Tensor::empty(shape, dtype), Tensor::empty(shape, dtype)};
  visit_float(dtype, [&]<class T>() {
    kernels::reference::rotary_table<T>(angles.cosine.view<T, 2>(), angles.sine.view<T, 2>(), positions, frequencies, amplitude);
  });
  return angles;
}

PLUME_FUNCTION Tensor rope(const Tensor& x, const RotaryAngles& angles, Index head_width, RotaryLayout layout) {
  require(head_width >= 2 * angles.cosine.columns() && x.columns() % head_width == 0, "[rope] x is ", x.shape(), ", heads are ", head_width,
          " wide, angles are ", angles.cosine.shape());
  require(angles.cosine.rows() == x.rows() && angles.cosine.dtype() == x.dtype(), "[rope] x is ", x.shape(), " of ", x.dtype(),
          ", angles are ", angles.cosine.shape(), " of ", angles.cosine.dtype());
  const Tensor y = like(x);
  const auto turn = [=](const Tensor& into, const Tensor& from, int direction, kernels::Write write) {
    visit_float(into.dtype(), [&]<class T>() {
      kernels::rope<T>(into.view<T, 2>(), from.view<const T, 2>(), angles.cosine.view<const T, 2>(), angles.sine.view<const T, 2>(),
                       head_width, layout, direction, write);
    });
  };
  turn(y, x, +1, kernels::Write::over);
  return traced("rope", y, {x}, [turn, to_x = gradient_key(x)](Gradients& d, const Tensor& dy) {
    if (const Tensor dx = d[to_x]) turn(dx, dy, -1, kernels::Write::add);
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
