#pragma once
// The typed layer: a View is a pointer, extents and strides over anybody's memory and any scalar. Kernels take Views.
#include <array>
#include <type_traits>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

template <class T, int Rank>
class View {
 public:
  using Extents = std::array<Index, static_cast<std::size_t>(Rank)>;

  View() = default;
  // Row-major and dense.
  View(T* data, const Extents& extents) : data_(data), extents_(extents) {
    Index stride = 1;
    for (std::size_t axis = Rank; axis-- > 0;) {
      strides_[axis] = stride;
      stride *= extents_[axis];
    }
  }
  View(T* data, const Extents& extents, const Extents& strides) : data_(data), extents_(extents), strides_(strides) {}
  // A writable view is also a read-only one.
  template <class U>
  requires(std::is_same_v<T, const U> && !std::is_same_v<T, U>) View(const View<U, Rank>& other)
      : data_(other.data()), extents_(other.extents()), strides_(other.strides()) {}
  template <class U, int OtherRank>
  requires(OtherRank != Rank) View(const View<U, OtherRank>&) {
    static_assert(OtherRank == Rank,
                  "plume: this View has the wrong rank; kernels state the rank of each argument, e.g. View<T, 2> is (rows, columns)");
  }

  T* data() const { return data_; }
  explicit operator bool() const { return data_ != nullptr; }
  Index extent(int axis) const { return extents_[static_cast<std::size_t>(axis)]; }
  Index stride(int axis) const { return strides_[static_cast<std::size_t>(axis)]; }
  const Extents& extents() const { return extents_; }
  const Extents& strides() const { return strides_; }
  Index size() const {
    Index product = 1;
    for (const Index extent : extents_) product *= extent;
    return product;
  }

  template <class... Indices>
  T& operator()(Indices... indices) const {
    static_assert(sizeof...(Indices) == Rank, "plume: a View takes as many indices as its rank");
    Index offset = 0;
    std::size_t axis = 0;
    ((offset += static_cast<Index>(indices) * strides_[axis++]), ...);
    return data_[offset];
  }
  T& operator[](Index i) const requires(Rank == 1) { return data_[i * strides_[0]]; }

  Index rows() const requires(Rank == 2) { return extents_[0]; }
  Index columns() const requires(Rank == 2) { return extents_[1]; }
  // Pointer to a row whose elements lie side by side.
  T* row(Index r) const requires(Rank == 2) { return data_ + r * strides_[0]; }
  View rows(Index begin, Index end) const requires(Rank == 2) {
    return {data_ + begin * strides_[0], {end - begin, extents_[1]}, strides_};
  }
  View columns(Index begin, Index end) const requires(Rank == 2) {
    return {data_ + begin * strides_[1], {extents_[0], end - begin}, strides_};
  }
  View transposed() const requires(Rank == 2) { return {data_, {extents_[1], extents_[0]}, {strides_[1], strides_[0]}}; }

 private:
  T* data_ = nullptr;
  Extents extents_{}, strides_{};
};

// How kernels declare arguments: the output names the scalar, inputs follow it (and accept writable views).
template <class T, int Rank>
using Output = View<T, Rank>;
template <class T, int Rank>
using Input = View<const std::type_identity_t<T>, Rank>;
template <class T, int Rank>
using Optional = View<std::type_identity_t<T>, Rank>;  // an output that may be absent: empty view

}  // namespace plume::inline PLUME_ABI
