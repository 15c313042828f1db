#pragma once
// Conversion between element types. All go through f64, which holds every value of the other types: two loops a type instead of one a pair.
#include <algorithm>
#include <cstring>

#include "plume/tensor/dtype.hpp"

namespace plume::inline PLUME_ABI {

// `count` elements of a type as f64.
inline void read_elements(double* into, DType dtype, const std::byte* from, Index count) {
  visit_dtype(dtype, [&]<class T>() {
    const T* values = reinterpret_cast<const T*>(from);
    for (Index i = 0; i < count; ++i) {
      if constexpr (std::is_arithmetic_v<T>)
        into[i] = static_cast<double>(values[i]);
      else
        into[i] = static_cast<double>(static_cast<float>(values[i]));
    }
  });
}

// f64 rounded to a type; the 16-bit types round from f32. Integers beyond the type wrap around.
inline void write_elements(std::byte* into, DType dtype, const double* from, Index count) {
  visit_dtype(dtype, [&]<class T>() {
    T* values = reinterpret_cast<T*>(into);
    for (Index i = 0; i < count; ++i) {
      if constexpr (std::is_integral_v<T>)
        values[i] = static_cast<T>(static_cast<std::int64_t>(from[i]));
      else if constexpr (std::is_floating_point_v<T>)
        values[i] = static_cast<T>(from[i]);
      else
        values[i] = static_cast<T>(static_cast<float>(from[i]));
    }
  });
}

// `count` elements of one value: the first, then as many again as are there.
inline void fill_elements(std::byte* into, DType dtype, double value, Index count) {
  if (count == 0) return;
  write_elements(into, dtype, &value, 1);
  const std::size_t size = bytes_of(dtype), all = size * static_cast<std::size_t>(count);
  for (std::size_t filled = size; filled < all; filled *= 2) std::memcpy(into + filled, into, std::min(filled, all - filled));
}

// `count` elements from one type to another. The ranges are the same or do not overlap.
inline void convert_elements(std::byte* into, DType to, const std::byte* from, DType source, Index count) {
  if (to == source) {
    if (count > 0) std::memmove(into, from, static_cast<std::size_t>(count) * bytes_of(to));
    return;
  }
  constexpr Index block = 512;
  double values[block];
  for (Index i = 0; i < count; i += block) {
    const Index part = std::min(block, count - i);
    read_elements(values, source, from + i * static_cast<Index>(bytes_of(source)), part);
    write_elements(into + i * static_cast<Index>(bytes_of(to)), to, values, part);
  }
}

}  // namespace plume::inline PLUME_ABI
