#pragma once
// Arithmetic on numbers from outside: a result, or nothing when it does not fit.
#include <algorithm>
#include <concepts>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

template <std::integral T>
constexpr std::optional<T> checked_add(T a, T b) noexcept {
  T sum{};
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional<T>(sum);
}
template <std::integral T>
constexpr std::optional<T> checked_sub(T a, T b) noexcept {
  T difference{};
  return __builtin_sub_overflow(a, b, &difference) ? std::nullopt : std::optional<T>(difference);
}
template <std::integral T>
constexpr std::optional<T> checked_mul(T a, T b) noexcept {
  T product{};
  return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional<T>(product);
}

// The next multiple of `alignment` (a power of two) that is not below `value`.
constexpr std::optional<std::uint64_t> checked_align_up(std::uint64_t value, std::uint64_t alignment) noexcept {
  const auto padded = checked_add(value, alignment - 1);
  if (!padded) return std::nullopt;
  return *padded & ~(alignment - 1);
}

// Elements of a shape. The product of max(extent, 1) must fit too, whatever the order: (0, 2^63, 4) does not.
constexpr std::optional<std::int64_t> checked_product(std::span<const std::uint64_t> extents) noexcept {
  std::int64_t product = 1;
  bool empty = false;
  for (const std::uint64_t extent : extents) {
    if (!std::in_range<std::int64_t>(extent)) return std::nullopt;
    empty = empty || extent == 0;
    const auto next = checked_mul(product, static_cast<std::int64_t>(std::max<std::uint64_t>(extent, 1)));
    if (!next) return std::nullopt;
    product = *next;
  }
  return empty ? 0 : product;
}

// Bytes of a shape of elements of `bits` bits: whole bytes only.
constexpr std::optional<std::uint64_t> checked_bytes(std::span<const std::uint64_t> extents, std::uint64_t bits) noexcept {
  const auto elements = checked_product(extents);
  if (!elements) return std::nullopt;
  const auto total = checked_mul(static_cast<std::uint64_t>(*elements), bits);
  if (!total || *total % 8 != 0) return std::nullopt;
  return *total / 8;
}

// The same value in another integer type. The only way from a number of a file to size_t or int.
template <std::integral To, std::integral From>
constexpr std::optional<To> narrow(From value) noexcept {
  if (!std::in_range<To>(value)) return std::nullopt;
  return static_cast<To>(value);
}

}  // namespace plume::inline PLUME_ABI
