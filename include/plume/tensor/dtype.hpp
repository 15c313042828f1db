#pragma once
// Element types of a Tensor, and the one switch over them.
#include <type_traits>
#include <utility>

#include "plume/base/error.hpp"
#include "plume/base/half.hpp"

namespace plume::inline PLUME_ABI {

enum class DType : std::uint8_t { f64, f32, bf16, f16, i32, i8, u8 };

template <class T>
struct DTypeOf;  // a scalar that Tensor cannot hold: use View<T, Rank> and the kernels on it
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<Bfloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<Half> {
  static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int8_t> {
  static constexpr DType value = DType::i8;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};

template <class T>
inline constexpr DType dtype_of = DTypeOf<std::remove_cv_t<T>>::value;

constexpr std::size_t bytes_of(DType dtype) {
  constexpr std::size_t bytes[] = {8, 4, 2, 2, 4, 1, 1};
  return bytes[static_cast<std::size_t>(dtype)];
}

constexpr std::string_view name_of(DType dtype) {
  constexpr std::string_view names[] = {"f64", "f32", "bf16", "f16", "i32", "i8", "u8"};
  return names[static_cast<std::size_t>(dtype)];
}

inline void append_text(std::string& out, DType dtype) { out.append(name_of(dtype)); }

// Calls visitor.template operator()<T>() with the element type.
template <class Visitor>
decltype(auto) visit_dtype(DType dtype, Visitor&& visitor) {
  switch (dtype) {
    case DType::f64:
      return visitor.template operator()<double>();
    case DType::f32:
      return visitor.template operator()<float>();
    case DType::bf16:
      return visitor.template operator()<Bfloat16>();
    case DType::f16:
      return visitor.template operator()<Half>();
    case DType::i32:
      return visitor.template operator()<std::int32_t>();
    case DType::i8:
      return visitor.template operator()<std::int8_t>();
    case DType::u8:
      return visitor.template operator()<std::uint8_t>();
  }
  throw ArgumentError("unknown dtype");
}

// The types that kernels compute in. Others are storage types: convert first.
template <class Visitor>
decltype(auto) visit_float(DType dtype, Visitor&& visitor) {
  if (dtype == DType::f32) return visitor.template operator()<float>();
  if (dtype == DType::f64) return visitor.template operator()<double>();
  throw ArgumentError(concat("a ", dtype, " tensor cannot be computed with: convert it to f32 or f64 first"));
}

// The type that results computed from tensors of this type have: 16-bit types are for storage.
constexpr DType compute_type(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

}  // namespace plume::inline PLUME_ABI
