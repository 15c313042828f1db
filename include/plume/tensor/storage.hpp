#pragma once
// The memory behind tensors: owned, a read-only part of a mapped file, or borrowed from the caller.
#include <cstring>
#include <memory>
#include <span>

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
    storage->bytes_ = bytes;
    if (MemoryPool* pool = thread_slot.pool) {
      auto owner = pool->shared_from_this();
      storage->data_ = static_cast<std::byte*>(pool->take(bytes));
      storage->pool_ = std::move(owner);
    } else {
      storage->data_ = static_cast<std::byte*>(MemoryPool::from_system(bytes));
    }
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
    if (kind_ != StorageKind::owned || data_ == nullptr) return;
    pool_ ? pool_->give_back(data_, bytes_) : MemoryPool::to_system(data_, bytes_);
  }

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
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

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::shared_ptr<MemoryPool> pool_;
  std::shared_ptr<const void> owner_;
  std::shared_ptr<const WeightPanels> panels_;
  StorageKind kind_ = StorageKind::owned;
  bool writable_ = true, parameter_ = false;
};

}  // namespace plume::inline PLUME_ABI
