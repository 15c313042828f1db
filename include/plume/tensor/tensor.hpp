#pragma once
// Tensor: a cheap handle (shared memory, shape, row stride, offset). Copies share; copy() does not.
// Any rank is seen as rows x columns, where columns is the last extent and rows is all others; row ranges and column ranges are views.
#include <span>
#include <vector>

#include "plume/tensor/convert.hpp"
#include "plume/tensor/dtype.hpp"
#include "plume/tensor/shape.hpp"
#include "plume/tensor/storage.hpp"
#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI {

// How the elements lie in memory. `panels` is what packed GEMM weights use; plain is row-major.
enum class Layout : std::uint8_t { plain };

class Tensor {
 public:
  Tensor() = default;  // absent: false in a condition

  // A shape and a dtype without memory: what a model knows of its parameters before they are loaded.
  static Tensor described(const Shape& shape, DType dtype = DType::f32) {
    Tensor tensor;
    tensor.shape_ = shape;
    tensor.row_stride_ = shape.columns();
    tensor.dtype_ = dtype;
    tensor.present_ = true;
    return tensor;
  }
  // Uninitialised memory.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32) {
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<std::size_t>(shape.size()), bytes_of(dtype), &bytes))
      throw OutOfMemory(~std::size_t{0}, "a tensor");
    return over(Storage::allocate(bytes), shape, dtype);
  }
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32) {
    Tensor tensor = empty(shape, dtype);
    if (tensor.is_written()) std::memset(tensor.storage_->data(), 0, tensor.storage_->bytes());
    return tensor;
  }
  // A tensor over existing storage, which must hold the whole shape.
  static Tensor over(std::shared_ptr<Storage> storage, const Shape& shape, DType dtype) {
    require(static_cast<std::size_t>(shape.size()) <= storage->bytes() / bytes_of(dtype), "[tensor] ", shape, " of ", dtype,
            " needs more than the ", storage->bytes(), " bytes given");
    Tensor tensor = described(shape, dtype);
    tensor.storage_ = std::move(storage);
    return tensor;
  }
  // A copy of values.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape) {
    require(static_cast<Index>(values.size()) == shape.size(), "[tensor] ", values.size(), " values for shape ", shape);
    Tensor tensor = empty(shape, dtype_of<T>);
    if (!values.empty()) std::memcpy(tensor.storage_->data(), values.data(), values.size_bytes());
    return tensor;
  }
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }

  explicit operator bool() const { return present_; }
  bool has_data() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  Index rank() const { return shape_.rank(); }
  Index size() const { return shape_.size(); }
  Index rows() const { return shape_.rows(); }
  Index columns() const { return shape_.columns(); }
  Index row_stride() const { return row_stride_; }
  Index offset() const { return offset_; }  // of the first element, in elements
  DType dtype() const { return dtype_; }
  Device device() const { return storage_ ? storage_->device() : Device::cpu; }
  Layout layout() const { return Layout::plain; }
  bool is_dense() const { return row_stride_ == shape_.columns() || shape_.rows() <= 1; }
  const std::shared_ptr<Storage>& storage() const { return storage_; }

  // First element for reading, and for writing.
  template <class T>
  const T* data() const {
    require(storage_ != nullptr, "[tensor] ", shape_, " has no memory: load or initialise the model first");
    require(dtype_ == dtype_of<T>, "[tensor] is ", dtype_, ", asked for as ", DType(dtype_of<T>));  // a copy: else g++ exports it
    return reinterpret_cast<const T*>(storage_->data()) + offset_;
  }
  template <class T>
  T* writable() const {
    const T* first = data<T>();
    require(storage_->writable(), "[tensor] ", shape_, " is read-only (memory-mapped or borrowed as const): use copy()");
    if (storage_->panels()) storage_->keep_panels(nullptr);
    return const_cast<T*>(first);
  }
  template <class T>
  std::span<const T> span() const {
    require(is_dense(), "[tensor] a span needs dense rows: use copy()");
    return {data<T>(), static_cast<std::size_t>(size())};
  }

  // A typed view: const T reads, T writes. Rank 2 is always possible; rank 1 needs dense rows.
  template <class T, int Rank>
  View<T, Rank> view() const {
    static_assert(Rank >= 1 && Rank <= 2, "plume: a Tensor is viewed as View<T, 1> (all elements) or View<T, 2> (rows, columns)");
    using Element = std::remove_const_t<T>;
    T* first;
    if constexpr (std::is_const_v<T>) {
      first = data<Element>();
    } else {
      first = writable<Element>();
    }
    if constexpr (Rank == 1) {
      require(is_dense(), "[tensor] a View of rank 1 needs dense rows: use copy()");
      return {first, {size()}};
    } else {
      return {first, {rows(), columns()}, {row_stride_, 1}};
    }
  }

  // Rows [begin, end) as a rank-2 view on the same memory.
  Tensor rows(Index begin, Index end) const {
    require(begin >= 0 && begin <= end && end <= rows(), "[rows] [", begin, ", ", end, ") of ", rows(), " rows");
    Tensor part = *this;
    part.shape_ = Shape{end - begin, columns()};
    part.offset_ += begin * row_stride_;
    return part;
  }
  // Columns [begin, end) as a rank-2 view on the same memory.
  Tensor columns(Index begin, Index end) const {
    require(begin >= 0 && begin <= end && end <= columns(), "[columns] [", begin, ", ", end, ") of ", columns(), " columns");
    Tensor part = *this;
    part.shape_ = Shape{rows(), end - begin};
    part.offset_ += begin;
    return part;
  }
  // The place this tensor has in its storage, on another storage: how a gradient is found for a view.
  Tensor on(const Tensor& flat) const {
    Tensor same = *this;
    same.storage_ = flat.storage_;
    same.dtype_ = flat.dtype_;
    return same;
  }
  Tensor reshape(const Shape& shape) const {
    require(is_dense(), "[reshape] needs dense rows: use copy()");
    require(shape.size() == size(), "[reshape] ", shape_, " to ", shape);
    Tensor same = *this;
    same.shape_ = shape;
    same.row_stride_ = shape.columns();
    return same;
  }

  // The one element of a scalar.
  double item() const {
    require(size() == 1, "[item] needs one element, ", shape_, " has ", size());
    double value = 0;
    read_elements(&value, dtype_, bytes(), 1);
    return value;
  }

  Tensor copy() const { return to(dtype_); }
  // A dense copy in another type.
  Tensor to(DType dtype) const {
    const Tensor result = empty(shape_, dtype);
    result.assign(*this);
    return result;
  }
  // Overwrites the elements with those of another tensor of the same shape (converted).
  void assign(const Tensor& source) const {
    require(source.shape_ == shape_, "[assign] ", source.shape_, " into ", shape_);
    if (!is_written()) return;
    const std::byte* from = source.bytes();
    std::byte* into = writable_bytes();
    for (Index r = 0; r < rows(); ++r, from += source.row_bytes(), into += row_bytes())
      convert_elements(into, dtype_, from, source.dtype_, columns());
  }
  void fill(double value) const {
    if (!is_written()) return;
    std::byte* into = writable_bytes();
    for (Index r = 0; r < rows(); ++r, into += row_bytes()) fill_elements(into, dtype_, value, columns());
  }

 private:
  // Whether there is something to write. (Rows without columns are nothing, however many a file says there are.)
  bool is_written() const { return size() > 0 && (!thread_slot.dry || size() == 1); }
  // The first element, and the way from row to row.
  const std::byte* bytes() const {
    require(storage_ != nullptr, "[tensor] ", shape_, " has no memory: load or initialise the model first");
    return storage_->data() + offset_ * static_cast<Index>(bytes_of(dtype_));
  }
  std::byte* writable_bytes() const {
    const std::byte* first = bytes();
    require(storage_->writable(), "[tensor] ", shape_, " is read-only (memory-mapped or borrowed as const): use copy()");
    if (storage_->panels()) storage_->keep_panels(nullptr);
    return const_cast<std::byte*>(first);
  }
  Index row_bytes() const { return row_stride_ * static_cast<Index>(bytes_of(dtype_)); }

  std::shared_ptr<Storage> storage_;
  Shape shape_;
  Index row_stride_ = 0, offset_ = 0;
  DType dtype_ = DType::f32;
  bool present_ = false;
};

// A tensor on the caller's own memory, without a copy; the memory must outlive it.
template <class T>
Tensor borrow(std::span<T> values, const Shape& shape) {
  require(static_cast<Index>(values.size()) == shape.size(), "[borrow] ", values.size(), " values for shape ", shape);
  if constexpr (std::is_const_v<T>) {
    return Tensor::over(Storage::borrow(std::as_bytes(values)), shape, dtype_of<T>);
  } else {
    return Tensor::over(Storage::borrow(std::as_writable_bytes(values)), shape, dtype_of<T>);
  }
}

// A tensor like another: same dtype, its shape or a given one, uninitialised.
inline Tensor like(const Tensor& model) { return Tensor::empty(model.shape(), model.dtype()); }
inline Tensor like(const Tensor& model, const Shape& shape) { return Tensor::empty(shape, model.dtype()); }

// A typed view, or an empty view of an absent tensor.
template <class T, int Rank>
View<T, Rank> view_or_none(const Tensor& tensor) {
  return tensor ? tensor.view<T, Rank>() : View<T, Rank>{};
}

// Marks a tensor as one that training changes; gradients are recorded for it by default.
inline Tensor parameter(Tensor tensor) {
  require(tensor.has_data(), "[parameter] the tensor has no memory");
  tensor.storage()->mark_parameter();
  return tensor;
}

}  // namespace plume::inline PLUME_ABI
