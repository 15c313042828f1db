#pragma once
#include <cmath>
#include <span>

#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels {

// Which elements of a head turn together: (i, i + width/2), as in Hugging Face LLaMA, or (2i, 2i+1), as in Meta's files and GPT-J.
enum class RotaryLayout : std::uint8_t { half_split, interleaved };

namespace reference {

// cosine, sine (T, width/2) of position / base^(2i/width).      [Su et al. 2021]
template <class T>
void rotary_table(Output<T, 2> cosine, Optional<T, 2> sine, std::span<const std::int32_t> positions, Index width, double base) {
  using std::cos, std::pow, std::sin;
  for (Index i = 0; i < width / 2; ++i) {
    const T frequency = T(1) / pow(T(base), T(static_cast<double>(2 * i)) / T(static_cast<double>(width)));
    for (Index t = 0; t < cosine.rows(); ++t) {
      const T angle = T(static_cast<double>(positions[static_cast<std::size_t>(t)])) * frequency;
      cosine(t, i) = cos(angle);
      sine(t, i) = sin(angle);
    }
  }
}

// The same for frequencies of any kind (radians a position, width/2 of them), all multiplied by an amplitude.
template <class T>
void rotary_table(Output<T, 2> cosine, Optional<T, 2> sine, std::span<const std::int32_t> positions, std::span<const double> frequencies,
                  double amplitude) {
  using std::cos, std::sin;
  for (Index i = 0; i < cosine.columns(); ++i) {
    const T frequency = T(frequencies[static_cast<std::size_t>(i)]);
    for (Index t = 0; t < cosine.rows(); ++t) {
      const T angle = T(static_cast<double>(positions[static_cast<std::size_t>(t)])) * frequency;
      cosine(t, i) = T(amplitude) * cos(angle);
      sine(t, i) = T(amplitude) * sin(angle);
    }
  }
}

// rope: x (T, heads * head_width), cosine, sine (T, width/2) -> y += x with the first `width` elements of each head turned:
// (a, b) -> (a cos - b sin, b cos + a sin). direction +1 turns forward; -1 turns back, which is the backward pass.
template <class T>
void rope(Output<T, 2> y, Input<T, 2> x, Input<T, 2> cosine, Input<T, 2> sine, Index head_width, RotaryLayout layout, int direction) {
  const Index half = cosine.columns();
  const Index step = layout == RotaryLayout::interleaved ? 2 : 1, apart = layout == RotaryLayout::interleaved ? 1 : half;
  for (Index t = 0; t < x.rows(); ++t) {
    for (Index head = 0; head < x.columns(); head += head_width) {
      const T* from = x.row(t) + head;
      T* into = y.row(t) + head;
      for (Index i = 0; i < half; ++i) {
        const T a = from[i * step], b = from[i * step + apart], c = cosine.row(t)[i],
                s = T(static_cast<double>(direction)) * sine.row(t)[i];
        into[i * step] += a * c - b * s;
        into[i * step + apart] += b * c + a * s;
      }
      for (Index i = 2 * half; i < head_width; ++i) into[i] += from[i];
    }
  }
}

}  // namespace reference
}  // namespace plume::inline PLUME_ABI::kernels
