#pragma once
// NumPy's .npy, version 1.0, for score --logits: float32 matrices are written.
#include <string>

#include "plume/base/atomic_save.hpp"
#include "plume/formats/named_tensor.hpp"

namespace plume::inline PLUME_ABI {

// Writes an f32 tensor (rows, columns), all or nothing. Format: numpy/lib/format.py.
inline void write_npy(const std::string& path, const Tensor& matrix, const FileSystem& files = FileSystem()) {
  require(matrix.dtype() == DType::f32 && matrix.rank() == 2, "[write_npy] needs an f32 tensor of rank 2, not ", matrix.dtype(), " of ",
          matrix.shape());
  std::string header = concat("{'descr': '<f4', 'fortran_order': False, 'shape': ", matrix.shape(), ", }");
  header.append(63 - (10 + header.size()) % 64, ' ').push_back('\n');  // the data starts at a multiple of 64
  const Tensor dense = matrix.is_dense() ? matrix : matrix.copy();
  atomic_save(
      path,
      [&](FileWriter& out) {
        out.write(std::string_view("\x93NUMPY\x01\x00", 8));
        out.little(static_cast<std::uint16_t>(header.size()));
        out.write(header);
        out.write(bytes_of(dense));
      },
      files);
}

}  // namespace plume::inline PLUME_ABI
