#pragma once
// Memory that runs out at the Nth allocation: for testing that a program survives it and loses nothing.
//   FailingAllocations fault({.call = 3});      // the fourth allocation from here on fails, and those after it
//   try { model = load(path); } catch (const OutOfMemory&) {}
// Including this replaces operator new and delete in the whole program (weakly: several of its files may include it). They take memory
// from malloc, count what is alive, and fail only while a FailingAllocations says so. Tensors and memory pools come through here as well.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI::testing {

namespace allocations_detail {

struct State {
  std::atomic<std::int64_t> live{0}, calls{0}, first{INT64_MAX}, last{-1};  // calls first .. last fail
};
inline constinit State state;

inline void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
  const std::int64_t call = state.calls.fetch_add(1, std::memory_order_relaxed);
  if (call >= state.first.load(std::memory_order_relaxed) && call <= state.last.load(std::memory_order_relaxed)) return nullptr;
  void* memory = nullptr;
  if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__)
    memory = std::malloc(bytes > 0 ? bytes : 1);
  else if (::posix_memalign(&memory, alignment, bytes > 0 ? bytes : 1) != 0)
    memory = nullptr;
  if (memory != nullptr) state.live.fetch_add(1, std::memory_order_relaxed);
  return memory;
}
inline void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  void* const memory = allocate(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
inline void release(void* memory) noexcept {
  if (memory == nullptr) return;
  state.live.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace allocations_detail

// Blocks from operator new that are not deleted yet, in all threads.
inline std::int64_t live_allocations() noexcept { return allocations_detail::state.live; }

enum class Exhausted : std::uint8_t { once, from_then_on };

struct AllocationFault {
  std::int64_t call = -1;  // which allocation fails, counted from 0 over all threads from the fault's beginning; -1: none
  Exhausted exhausted = Exhausted::from_then_on;
};

// Allocations fail as long as it lives; one at a time.
class FailingAllocations {
 public:
  explicit FailingAllocations(AllocationFault fault) noexcept : begin_(allocations_detail::state.calls) {
    auto& state = allocations_detail::state;
    state.last = fault.call < 0 ? -1 : fault.exhausted == Exhausted::once ? begin_ + fault.call : INT64_MAX;
    state.first = fault.call < 0 ? INT64_MAX : begin_ + fault.call;
  }
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;
  ~FailingAllocations() {
    allocations_detail::state.last = -1;
    allocations_detail::state.first = INT64_MAX;
  }
  // Allocations asked for since its beginning.
  std::int64_t calls() const noexcept { return allocations_detail::state.calls - begin_; }

 private:
  std::int64_t begin_;
};

}  // namespace plume::inline PLUME_ABI::testing

// The replacements, as the standard lets a program write them.
[[gnu::weak]] void* operator new(std::size_t bytes) {
  return plume::testing::allocations_detail::allocate_or_throw(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
[[gnu::weak]] void* operator new[](std::size_t bytes) {
  return plume::testing::allocations_detail::allocate_or_throw(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
[[gnu::weak]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return plume::testing::allocations_detail::allocate_or_throw(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::weak]] void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return plume::testing::allocations_detail::allocate_or_throw(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::weak]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return plume::testing::allocations_detail::allocate(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
[[gnu::weak]] void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return plume::testing::allocations_detail::allocate(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
[[gnu::weak]] void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return plume::testing::allocations_detail::allocate(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::weak]] void* operator new[](std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return plume::testing::allocations_detail::allocate(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::weak]] void operator delete(void* memory) noexcept { plume::testing::allocations_detail::release(memory); }
[[gnu::weak]] void operator delete[](void* memory) noexcept { plume::testing::allocations_detail::release(memory); }
[[gnu::weak]] void operator delete(void* memory, std::size_t) noexcept { plume::testing::allocations_detail::release(memory); }
[[gnu::weak]] void operator delete[](void* memory, std::size_t) noexcept { plume::testing::allocations_detail::release(memory); }
[[gnu::weak]] void operator delete(void* memory, std::align_val_t) noexcept { plume::testing::allocations_detail::release(memory); }
[[gnu::weak]] void operator delete[](void* memory, std::align_val_t) noexcept { plume::testing::allocations_detail::release(memory); }
[[gnu::weak]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  plume::testing::allocations_detail::release(memory);
}
[[gnu::weak]] void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  plume::testing::allocations_detail::release(memory);
}
[[gnu::weak]] void operator delete(void* memory, const std::nothrow_t&) noexcept { plume::testing::allocations_detail::release(memory); }
[[gnu::weak]] void operator delete[](void* memory, const std::nothrow_t&) noexcept { plume::testing::allocations_detail::release(memory); }
[[gnu::weak]] void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  plume::testing::allocations_detail::release(memory);
}
[[gnu::weak]] void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  plume::testing::allocations_detail::release(memory);
}
