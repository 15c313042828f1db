#pragma once
#include "plume/base/half.hpp"
#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels {

// An operand of float or bfloat16; one of its strides is 1.
struct GemmOperand {
  const void* data;
  bool is_bf16;
  Index rows, columns, row_stride, column_stride;

  GemmOperand(View<const float, 2> x) : GemmOperand(x.data(), false, x) {}
  GemmOperand(View<float, 2> x) : GemmOperand(View<const float, 2>(x)) {}
  GemmOperand(View<const Bfloat16, 2> x) : GemmOperand(x.data(), true, x) {}

  const void* at(Index row, Index column) const {
    return static_cast<const std::byte*>(data) + (row * row_stride + column * column_stride) * (is_bf16 ? 2 : 4);
  }

 private:
  template <class T>
  GemmOperand(const void* first, bool bf16, View<T, 2> x)
      : data(first), is_bf16(bf16), rows(x.rows()), columns(x.columns()), row_stride(x.stride(0)), column_stride(x.stride(1)) {}
};

}  // namespace plume::inline PLUME_ABI::kernels
