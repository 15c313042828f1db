#pragma once
// Large memory asks for huge pages: reading it here and there is a fifth to a third faster for it, and so is its first use.
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <vector>

#include "plume/base/config.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace plume::inline PLUME_ABI::huge_pages {

inline constexpr std::size_t size = std::size_t{2} << 20;
// Rounding more up to an alignment could wrap around, here and in operator new.
inline constexpr std::size_t most_bytes = PTRDIFF_MAX;

inline std::align_val_t alignment_of(std::size_t bytes, std::size_t least) { return std::align_val_t{bytes >= size ? size : least}; }

// At least `bytes` bytes, not initialised, aligned to `alignment`; nullptr where there are none.
inline void* take(std::size_t bytes, std::size_t alignment) noexcept {
  if (bytes > most_bytes) return nullptr;
  void* const memory = ::operator new(bytes > 0 ? bytes : 1, alignment_of(bytes, alignment), std::nothrow);
#if defined(__linux__)
  if (memory != nullptr && bytes >= size) ::madvise(memory, bytes / size * size, MADV_HUGEPAGE);  // a wish: a refusal changes nothing
#endif
  return memory;
}
// With the numbers that take() was given.
inline void give_back(void* memory, std::size_t bytes, std::size_t alignment) noexcept {
  ::operator delete(memory, alignment_of(bytes, alignment));
}

// For tables that are read here and there.
template <class T>
class Allocator {
 public:
  using value_type = T;
  using is_always_equal = std::true_type;

  Allocator() = default;
  template <class Other>
  Allocator(const Allocator<Other>&) noexcept {}

  T* allocate(std::size_t count) {
    std::size_t bytes = 0;
    void* const memory = __builtin_mul_overflow(count, sizeof(T), &bytes) ? nullptr : take(bytes, alignment);
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) noexcept { give_back(memory, count * sizeof(T), alignment); }
  template <class Other>
  friend bool operator==(const Allocator&, const Allocator<Other>&) noexcept {
    return true;
  }

 private:
  static constexpr std::size_t alignment = alignof(T) > 64 ? alignof(T) : 64;  // a cache line
};

}  // namespace plume::inline PLUME_ABI::huge_pages

namespace plume::inline PLUME_ABI {

template <class T>
using TableVector = std::vector<T, huge_pages::Allocator<T>>;

}  // namespace plume::inline PLUME_ABI
