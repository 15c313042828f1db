#pragma once
// A tensor and its name in a file.
#include <bit>
#include <cmath>
#include <span>
#include <string>
#include <string_view>

#include "plume/base/text.hpp"
#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// The bytes of a dense tensor.
inline std::span<const std::byte> bytes_of(const Tensor& tensor) {
  require(tensor.has_data() && tensor.is_dense(), "[bytes_of] the tensor must have memory and dense rows");
  const std::size_t width = bytes_of(tensor.dtype());
  return {tensor.storage()->data() + static_cast<std::size_t>(tensor.offset()) * width, static_cast<std::size_t>(tensor.size()) * width};
}

// A tensor on bytes that `owner` keeps valid: without a copy where the address suits the type, else copied. `bytes` holds the whole shape.
inline Tensor tensor_over(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const Shape& shape, DType dtype) {
  if (std::bit_cast<std::uintptr_t>(bytes.data()) % bytes_of(dtype) == 0)
    return Tensor::over(Storage::map(bytes, std::move(owner)), shape, dtype);
  const Tensor copy = Tensor::empty(shape, dtype);
  if (!bytes.empty()) std::memcpy(copy.storage()->data(), bytes.data(), bytes.size());
  return copy;
}

// NumericError naming tensor and index, and the file if one is given, at the first NaN or infinity.
inline void check_finite(const NamedTensor& named, std::string_view path = {}) {
  const Tensor& tensor = named.tensor;
  if (tensor.size() == 0) return;  // however many rows without columns a file says there are
  visit_dtype(tensor.dtype(), [&]<class T>() {
    if constexpr (!std::is_integral_v<T>) {
      const auto view = tensor.view<const T, 2>();
      for (Index row = 0; row < view.rows(); ++row)
        for (Index column = 0; column < view.columns(); ++column) {
          bool finite;
          if constexpr (std::is_same_v<T, double>)
            finite = std::isfinite(view(row, column));
          else
            finite = std::isfinite(static_cast<float>(view(row, column)));
          if (!finite)
            throw NumericError(
                concat(path, path.empty() ? "" : ": ", "tensor ", quoted(named.name), " is not finite at row ", row, ", column ", column));
        }
    }
  });
}

}  // namespace plume::inline PLUME_ABI
