#pragma once
// Gradients of one step, keyed by the storage of what they belong to: tied weights share one entry, views share their owner's.
#include <functional>
#include <unordered_map>
#include <utility>

#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI {

class Gradients {
 public:
  Gradients() = default;

  // The gradient of a parameter or watched input, with its shape; absent if it took no part in the loss. Those of results of ops are freed
  // on the way.
  PLUME_FUNCTION Tensor find(const Tensor& x) const;
  PLUME_FUNCTION Tensor at(const Tensor& x) const;
  // Frees the gradient of x, or all.
  void release(const Tensor& x) { release(*x.storage()); }
  PLUME_FUNCTION void release(const Storage& storage);
  PLUME_FUNCTION void clear();
  bool empty() const { return entries_.empty(); }

  // Where the gradient of a tensor goes, without its numbers: what a backward function captures of an input that it does not read, so that
  // the input's memory comes back at once. Made by gradient_key().
  class Key {
   public:
    Key() = default;  // absent: nobody wants the gradient
    explicit Key(const Tensor& x)
        : place_(x.on({})),
          owner_(x.storage()),
          address_(x.storage().get()),
          elements_(static_cast<Index>(x.storage()->bytes() / bytes_of(x.dtype()))),
          dtype_(x.dtype()),
          is_parameter_(x.storage()->is_parameter()) {}
    explicit operator bool() const { return address_ != nullptr; }

   private:
    friend class Gradients;
    // The tensor has all of its storage to itself, so that whoever writes it writes all.
    bool is_whole() const { return place_.offset() == 0 && place_.is_dense() && place_.size() == elements_; }

    Tensor place_ = {};                  // shape, offset and stride
    std::weak_ptr<Storage> owner_ = {};  // keeps the address from being used again
    const Storage* address_ = nullptr;
    Index elements_ = 0;  // of the storage
    DType dtype_ = DType::f32;
    bool is_parameter_ = false;
  };

  // For backward functions: where to add the gradient of x (zeros at first), or an absent tensor if nobody wants it.
  PLUME_FUNCTION Tensor operator[](const Tensor& x);
  PLUME_FUNCTION Tensor operator[](const Key& x);
  // For backward functions that can write as well as add, which spares the zeros. Call it right before writing.
  struct Target {
    Tensor tensor = {};     // absent if nobody wants it
    bool is_fresh = false;  // uninitialised, as nothing was added yet: every element must be written. Else: add
  };
  PLUME_FUNCTION Target target(const Tensor& x);
  PLUME_FUNCTION Target target(const Key& x);
  // For backward functions: adds `contribution`, a dense tensor that covers all of x's storage and that nobody else changes from now on.
  PLUME_FUNCTION void add(const Tensor& x, const Tensor& contribution);
  PLUME_FUNCTION void add(const Key& x, const Tensor& contribution);

 private:
  friend class Tape;
  struct Entry {
    std::weak_ptr<Storage> owner;  // keeps the key's address from being used again
    Tensor flat;                   // one element for each of the storage
  };
  // How many uses of each parameter the running pass has not come to yet, if it tells when gradients are complete.
  using Uses = std::unordered_map<const Storage*, Index, std::hash<const Storage*>, std::equal_to<const Storage*>,
                                  PoolAllocator<std::pair<const Storage* const, Index>>>;
  struct Expecting;
  PLUME_FUNCTION Entry& entry(const Key& x);
  PLUME_FUNCTION static void clear(const Tensor& dense);
  static DType dtype_for(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

  std::unordered_map<const Storage*, Entry, std::hash<const Storage*>, std::equal_to<const Storage*>,
                     PoolAllocator<std::pair<const Storage* const, Entry>>>
      entries_;
  const Tape* tape_ = nullptr;  // whose backward pass is running
  const Uses* left_ = nullptr;
};

}  // namespace plume::inline PLUME_ABI
