#pragma once
// The largest single allocation while a watch stands: operator new and mmap of this program are counted (allocations_test.cpp).
#include <atomic>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLUME_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PLUME_TEST_SANITIZED 1
#endif
#endif

namespace plume_test {

#if defined(PLUME_TEST_SANITIZED)
inline constexpr bool is_sanitized = true;  // slow, and with allocation functions of its own
#else
inline constexpr bool is_sanitized = false;
#endif

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
