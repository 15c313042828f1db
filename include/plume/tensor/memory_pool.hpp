#pragma once
// Memory that comes back: freed blocks are kept by size and handed out again, so that after the first step all blocks of a training step
// or a decoded token are there already. Tensors take their memory from it, and so do containers with a PoolAllocator.
#include <array>
#include <memory>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/base/huge_pages.hpp"
#include "plume/tensor/thread_slot.hpp"

namespace plume::inline PLUME_ABI {

inline constexpr std::size_t tensor_alignment = 64;  // a cache line, and the widest vector register

// Thread-safe. Blocks may be returned from any thread, and keep the pool alive until they are.
class MemoryPool : public std::enable_shared_from_this<MemoryPool> {
 public:
  MemoryPool() = default;
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;
  ~MemoryPool() { release(); }

  // At least `bytes` bytes (uninitialised), rounded up to an eighth of a power of two.
  void* take(std::size_t bytes) {
    const Block block = block_of(bytes);
    {
      const std::lock_guard lock(mutex_);
      in_use_ += block.bytes;
      if (Free* const first = free_[block.index]) {
        free_[block.index] = first->next;
        return first;
      }
      held_ += block.bytes;
    }
    try {
      return from_system(block.bytes);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      in_use_ -= block.bytes;
      held_ -= block.bytes;
      throw;
    }
  }

  void give_back(void* memory, std::size_t bytes) noexcept {
    const Block block = block_of(bytes);
    const std::lock_guard lock(mutex_);
    free_[block.index] = ::new (memory) Free{free_[block.index]};
    in_use_ -= block.bytes;
  }

  // Bytes handed out, and those together with the unused blocks.
  std::size_t bytes_in_use() const {
    const std::lock_guard lock(mutex_);
    return in_use_;
  }
  std::size_t bytes_held() const {
    const std::lock_guard lock(mutex_);
    return held_;
  }

  // Returns all unused blocks to the system.
  void release() noexcept {
    const std::lock_guard lock(mutex_);
    for (Free*& first : free_)
      while (first != nullptr) to_system(std::exchange(first, first->next), bytes_of(static_cast<std::size_t>(&first - free_.data())));
    held_ = in_use_;
  }

  static void* from_system(std::size_t bytes) {
    void* const memory = huge_pages::take(bytes, tensor_alignment);
    if (memory == nullptr) throw OutOfMemory(bytes, "a tensor");
    return memory;
  }
  static void to_system(void* memory, std::size_t bytes) noexcept { huge_pages::give_back(memory, bytes, tensor_alignment); }

 private:
  struct Free {  // an unused block, which holds the place of the next one
    Free* next;
  };
  struct Block {
    std::size_t bytes, index;
  };
  // Multiples of 64 up to 1024, then of 128 up to 2048, and so on: the 8 k + m-th size is m * 64 * 2^k.
  static Block block_of(std::size_t bytes) {
    if (bytes > huge_pages::most_bytes) throw OutOfMemory(bytes, "a tensor");
    std::size_t step = tensor_alignment, k = 0;
    for (; step * 16 <= bytes && k < 50; ++k) step *= 2;
    const std::size_t multiple = bytes > 0 ? (bytes + step - 1) / step : 1;
    return {multiple * step, 8 * k + multiple};
  }
  static std::size_t bytes_of(std::size_t index) {
    const std::size_t k = index < 16 ? 0 : (index - 8) / 8;
    return (index - 8 * k) * (tensor_alignment << k);
  }

  mutable std::mutex mutex_;
  std::size_t in_use_ = 0, held_ = 0;
  std::array<Free*, 8 * 50 + 17 + 128> free_{};  // the largest multiple of the last step is below 17 + 128
};

// Makes standard containers take memory from the pool in force on the thread where they are made, else from the system.
template <class T>
class PoolAllocator {
 public:
  using value_type = T;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;
  static_assert(alignof(T) <= tensor_alignment);

  PoolAllocator() : pool_(thread_slot.pool != nullptr ? thread_slot.pool->shared_from_this() : nullptr) {}
  template <class Other>
  PoolAllocator(const PoolAllocator<Other>& other) noexcept : pool_(other.pool()) {}

  T* allocate(std::size_t count) {
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(count, sizeof(T), &bytes)) throw OutOfMemory(~std::size_t{0}, "working memory");
    return static_cast<T*>(pool_ ? pool_->take(bytes) : MemoryPool::from_system(bytes));
  }
  void deallocate(T* memory, std::size_t count) noexcept {
    pool_ ? pool_->give_back(memory, count * sizeof(T)) : MemoryPool::to_system(memory, count * sizeof(T));
  }
  PoolAllocator select_on_container_copy_construction() const { return {}; }
  const std::shared_ptr<MemoryPool>& pool() const noexcept { return pool_; }
  template <class Other>
  friend bool operator==(const PoolAllocator& a, const PoolAllocator<Other>& b) noexcept {
    return a.pool() == b.pool();
  }

 private:
  std::shared_ptr<MemoryPool> pool_;
};

// For what a step or a token makes anew.
template <class T>
using PoolVector = std::vector<T, PoolAllocator<T>>;

template <class T, class... Arguments>
std::shared_ptr<T> make_shared_in_pool(Arguments&&... arguments) {
  return std::allocate_shared<T>(PoolAllocator<std::remove_const_t<T>>(), std::forward<Arguments>(arguments)...);
}

}  // namespace plume::inline PLUME_ABI
