#pragma once
// Memory that comes back: freed blocks are kept by size and handed out again, so that after the first step the large
// blocks of a training step or a decoded token are there already.
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include "plume/base/error.hpp"
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
    const std::size_t block = rounded(bytes);
    {
      const std::lock_guard lock(mutex_);
      if (auto found = free_.find(block); found != free_.end() && !found->second.empty()) {
        void* memory = found->second.back();
        found->second.pop_back();
        return memory;
      }
    }
    return from_system(block);
  }

  void give_back(void* memory, std::size_t bytes) noexcept {
    try {
      const std::lock_guard lock(mutex_);
      free_[rounded(bytes)].push_back(memory);
    } catch (...) {
      to_system(memory);
    }
  }

  // Returns all unused blocks to the system.
  void release() noexcept {
    const std::lock_guard lock(mutex_);
    for (auto& entry : free_) {
      for (void* memory : entry.second) to_system(memory);
    }
    free_.clear();
  }

  static void* from_system(std::size_t bytes) {
    void* memory =
        bytes > largest_block ? nullptr : ::operator new (bytes > 0 ? bytes : 1, std::align_val_t{tensor_alignment}, std::nothrow);
    if (memory == nullptr) throw OutOfMemory(bytes, "a tensor");
    return memory;
  }
  static void to_system(void* memory) noexcept { ::operator delete (memory, std::align_val_t{tensor_alignment}); }

 private:
  // Rounding a larger size up to the alignment would wrap around, here and in operator new.
  static constexpr std::size_t largest_block = PTRDIFF_MAX;

  static std::size_t rounded(std::size_t bytes) {
    if (bytes > largest_block) throw OutOfMemory(bytes, "a tensor");
    std::size_t step = tensor_alignment;
    while (step * 16 <= bytes && step < (std::size_t{1} << 56)) step *= 2;
    return (bytes + step - 1) / step * step;
  }

  std::mutex mutex_;
  std::unordered_map<std::size_t, std::vector<void*>> free_;
};

}  // namespace plume::inline PLUME_ABI
