// expect: plume: tensors are row-major
#include "plume/tensor/eigen.hpp"

#if defined(ALLOWED)
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
#else
using Matrix = Eigen::MatrixXf;
#endif

plume::Tensor use(Matrix& matrix) { return plume::borrow(matrix); }
