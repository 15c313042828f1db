#pragma once
// Bytes and weights that are functions of their place, as tests/golden/make_gguf_blocks.py makes them.
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plume/base/sha256.hpp"

namespace plume_test {

inline std::uint64_t hashed(std::uint64_t stream, std::uint64_t position) {
  std::uint64_t z = (stream << 32) + position + 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
inline std::vector<std::byte> hashed_bytes(std::uint64_t stream, std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(hashed(stream, i) >> 56);
  return bytes;
}
// Rows of 256.
inline std::vector<float> hashed_weights(std::uint64_t stream, std::size_t rows) {
  std::vector<float> weights;
  for (std::size_t i = 0; i < rows * 256; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < 4; ++j) sum += static_cast<double>(hashed(stream, 4 * i + j) >> 44) - 0x1p19;
    const std::size_t row = i / 256, column = i % 256;
    double weight = std::ldexp(sum, static_cast<int>(row % 40) - 50);
    if (row == 7) weight = 0;
    if (row == 9) weight = column == 100 ? -0.375 : 0;
    if (row == 11) weight = 0.625;
    if (row == 13) weight = static_cast<double>(column % 17) - 8;
    weights.push_back(static_cast<float>(weight));
  }
  return weights;
}

inline std::string sum_of(std::span<const std::byte> bytes) { return plume::sha256(bytes); }
inline std::string sum_of(std::vector<float> values) {
  for (float& value : values)
    if (std::isnan(value)) value = std::bit_cast<float>(0x7fc00000u);
  return plume::sha256(std::as_bytes(std::span<const float>(values)));
}

}  // namespace plume_test
