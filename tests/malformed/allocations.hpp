#pragma once
// The largest single allocation while a watch stands: operator new and mmap of this program are counted (allocations_test.cpp).
#include <atomic>
#include <cstddef>

#include "../sanitized.hpp"

namespace plume_test {

// What a reader may ask for at once, beyond the bytes of the file.
inline constexpr std::size_t largest_allocation_beyond_file = std::size_t{64} << 20;

inline std::atomic<std::size_t> largest_allocation{0};
inline void note_allocation(std::size_t bytes) {
  std::size_t before = largest_allocation.load(std::memory_order_relaxed);
  while (before < bytes && !largest_allocation.compare_exchange_weak(before, bytes, std::memory_order_relaxed)) {
  }
}

class AllocationWatch {
 public:
  AllocationWatch() { largest_allocation = 0; }
  std::size_t largest() const { return largest_allocation; }
};

}  // namespace plume_test
