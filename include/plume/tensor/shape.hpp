#pragma once
// Extents of a Tensor: at most four, row-major.
#include <array>
#include <initializer_list>
#include <span>

#include "plume/base/error.hpp"

namespace plume::inline PLUME_ABI {

class Shape {
 public:
  static constexpr Index max_rank = 4;

  constexpr Shape() = default;  // rank 0: one element
  Shape(std::initializer_list<Index> extents) : Shape(std::span<const Index>(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const Index> extents) {
    require(extents.size() <= max_rank, "[shape] rank ", extents.size(), " is more than ", max_rank);
    for (const Index extent : extents) {
      require(extent >= 0, "[shape] extent ", extent, " is negative");
      // Zero extents count as one, so that the size of any sub-range fits as well.
      Index product = 0;
      require(!__builtin_mul_overflow(size_or_one_, extent > 0 ? extent : 1, &product), "[shape] more than 2^63 elements");
      size_or_one_ = product;
      empty_ = empty_ || extent == 0;
      extents_[static_cast<std::size_t>(rank_++)] = extent;
    }
  }

  Index rank() const { return rank_; }
  Index size() const { return empty_ ? 0 : size_or_one_; }
  Index operator[](Index axis) const {
    require(axis >= 0 && axis < rank_, "[shape] axis ", axis, " of rank ", rank_);
    return extents_[static_cast<std::size_t>(axis)];
  }
  std::span<const Index> extents() const { return {extents_.data(), static_cast<std::size_t>(rank_)}; }
  // The last extent (1 for rank 0), and the product of the others: a tensor of any rank is rows x columns.
  Index columns() const { return rank_ == 0 ? 1 : extents_[static_cast<std::size_t>(rank_ - 1)]; }
  Index rows() const {
    Index product = 1;
    for (Index axis = 0; axis + 1 < rank_; ++axis) product *= extents_[static_cast<std::size_t>(axis)];
    return product;
  }
  friend bool operator==(const Shape& a, const Shape& b) { return a.rank_ == b.rank_ && a.extents_ == b.extents_; }

 private:
  std::array<Index, max_rank> extents_{};
  Index rank_ = 0, size_or_one_ = 1;
  bool empty_ = false;
};

// "(4, 512)"
inline void append_text(std::string& out, const Shape& shape) {
  out.push_back('(');
  for (Index axis = 0; axis < shape.rank(); ++axis) {
    if (axis > 0) out.append(", ");
    append_text(out, shape[axis]);
  }
  out.push_back(')');
}

}  // namespace plume::inline PLUME_ABI
