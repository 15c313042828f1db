#pragma once
// The memory behind tensors: owned, a read-only part of a mapped file, or borrowed from the caller.
#include <cstring>
#include <memory>
#include <span>

#include "plume/base/half.hpp"
#include "plume/tensor/memory_pool.hpp"

namespace plume::inline PLUME_ABI {

struct WeightPanels;  // kernels/gemm/panels.hpp

enum class StorageKind : std::uint8_t { owned, mapped, borrowed };
enum class Device : std::uint8_t { cpu };

class Storage {
 public:
  // Uninitialised memory from the pool in force on this thread, else from the system.
  static std::shared_ptr<Storage> allocate(std::size_t bytes) {
    auto storage = make_shared_in_pool<Storage>(Key{});
    if (MemoryPool* pool = thread_slot.pool) storage->pool_ = pool->shared_from_this();
    storage->data_ = storage->take(bytes);
    storage->bytes_ = bytes;
    return storage;
  }
  // A read-only range that `owner` (a file mapping) keeps valid.
  static std::shared_ptr<Storage> map(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
    auto storage = make_shared_in_pool<Storage>(Key{});
    storage->data_ = const_cast<std::byte*>(bytes.data());  // writes are refused by writable()
    storage->bytes_ = bytes.size();
    storage->kind_ = StorageKind::mapped;
    storage->owner_ = std::move(owner);
    return storage;
  }
  // The caller's memory, which must outlive every tensor on it.
  static std::shared_ptr<Storage> borrow(std::span<std::byte> bytes) {
    auto storage = make_shared_in_pool<Storage>(Key{});
    storage->data_ = bytes.data();
    storage->bytes_ = bytes.size();
    storage->kind_ = StorageKind::borrowed;
    return storage;
  }
  static std::shared_ptr<Storage> borrow(std::span<const std::byte> bytes) {
    auto storage = borrow(std::span(const_cast<std::byte*>(bytes.data()), bytes.size()));
    storage->writable_ = false;
    return storage;
  }

 private:
  struct Key {};

 public:
  explicit Storage(Key) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage() {
    if (kind_ == StorageKind::owned && data_ != nullptr) give_back(data_, is_compressed_ ? bytes_ / 2 : bytes_);
  }

  // ArgumentError while compressed.
  std::byte* data() const {
    require(!is_compressed_,
            "[storage] these numbers are kept as bfloat16 until the backward pass uses them, and cannot be read: read them before their "
            "block ends, take a copy() there, or train with Activations::full");
    return data_;
  }
  std::size_t bytes() const { return bytes_; }  // when not compressed
  StorageKind kind() const { return kind_; }
  Device device() const { return Device::cpu; }
  bool writable() const { return writable_ && kind_ != StorageKind::mapped; }

  // A parameter is what a Tape without a list of its own differentiates by. Set before threads share the storage.
  bool is_parameter() const { return parameter_; }
  void mark_parameter() { parameter_ = true; }

  // A second layout of the same numbers, for matrix products; null as a rule. Writing through a Tensor drops it. Who keeps or drops it must
  // be alone with the storage, as who writes it.
  const std::shared_ptr<const WeightPanels>& panels() const { return panels_; }
  void keep_panels(std::shared_ptr<const WeightPanels> panels) { panels_ = std::move(panels); }

  // Keeps owned floats as bfloat16 for a time, in a block of half the size: the other is given back. The storage stays the same one, whose
  // data() is refused meanwhile. `round` and `widen` write the numbers over. Who calls must be alone with the storage.
  bool is_compressed() const { return is_compressed_; }
  void compress(void (*round)(std::span<Bfloat16> into, std::span<const float> from)) {
    require(kind_ == StorageKind::owned && bytes_ % sizeof(float) == 0 && !is_compressed_ && !panels_,
            "[storage] only owned floats without a second layout are compressed, and once");
    std::byte* const half = take(bytes_ / 2);
    replace(half, bytes_ / 2, bytes_, [&] { round(numbers<Bfloat16>(half), numbers<float>(data_)); });
    is_compressed_ = true;
  }
  void expand(void (*widen)(std::span<float> into, std::span<const Bfloat16> from)) {
    require(is_compressed_, "[storage] is not compressed");
    std::byte* const full = take(bytes_);
    replace(full, bytes_, bytes_ / 2, [&] { widen(numbers<float>(full), numbers<Bfloat16>(data_)); });
    is_compressed_ = false;
  }

 private:
  std::byte* take(std::size_t bytes) const { return static_cast<std::byte*>(pool_ ? pool_->take(bytes) : MemoryPool::from_system(bytes)); }
  void give_back(std::byte* memory, std::size_t bytes) const noexcept {
    pool_ ? pool_->give_back(memory, bytes) : MemoryPool::to_system(memory, bytes);
  }
  template <class T>
  std::span<T> numbers(std::byte* first) const {
    return {reinterpret_cast<T*>(first), bytes_ / sizeof(float)};
  }
  // A new block for the old one, once it is written.
  template <class Write>
  void replace(std::byte* block, std::size_t bytes, std::size_t bytes_before, Write&& write) {
    try {
      write();
    } catch (...) {
      give_back(block, bytes);
      throw;
    }
    give_back(data_, bytes_before);
    data_ = block;
  }

  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::shared_ptr<MemoryPool> pool_;
  std::shared_ptr<const void> owner_;
  std::shared_ptr<const WeightPanels> panels_;
  StorageKind kind_ = StorageKind::owned;
  bool writable_ = true, parameter_ = false, is_compressed_ = false;
};

}  // namespace plume::inline PLUME_ABI
