#pragma once
// parallel_for: the only door to threads, and the only OpenMP pragma.
#include <algorithm>
#include <atomic>
#include <exception>

#include "plume/kernels/parallel/context.hpp"

#if defined(_OPENMP) && !defined(PLUME_NO_OPENMP)
#include <omp.h>
#endif

namespace plume::inline PLUME_ABI {

namespace parallel_detail {

// Calls work(argument) on several threads at once.
inline void run_region(const Context& context, int threads, void (*work)(void*), void* argument) {
#if defined(_OPENMP) && !defined(PLUME_NO_OPENMP)
  if (context.threading() == Threading::openmp) {
#pragma omp parallel num_threads(threads)
    work(argument);
    return;
  }
#endif
  context.team().run(threads, work, argument);
}

// A parallel region of the host program: its threads have the processors already.
inline bool inside_host_region() {
#if defined(_OPENMP) && !defined(PLUME_NO_OPENMP)
  return omp_in_parallel() != 0;
#else
  return false;
#endif
}

}  // namespace parallel_detail

// What parallel_for calls: refers to any body(begin, end), so that the loop itself is compiled once.
class ChunkBody {
 public:
  template <class Body>
  ChunkBody(const Body& body)
      : body_(&body), call_([](const void* object, Index begin, Index end) { (*static_cast<const Body*>(object))(begin, end); }) {}
  void operator()(Index begin, Index end) const { call_(body_, begin, end); }

 private:
  const void* body_;
  void (*call_)(const void*, Index, Index);
};

// Work of fewer element operations than this runs on the calling thread: waking others would take longer.
inline constexpr Index parallel_cost = 1 << 17;

// Calls body(begin, end) for the chunks [0, grain), [grain, 2 grain), … of [0, count). The cut depends on count and grain alone, never on
// the number of threads: a body that writes only what belongs to its chunk gives bit-identical results for any number of threads.
// `cost` is the work in element operations. The first exception of a body is rethrown here. Nested calls, and calls from a parallel region
// of the host program, run on one thread.
inline void parallel_for(Index count, Index grain, Index cost, ChunkBody body) {
  if (count <= 0 || (thread_slot.dry && cost > 1)) return;
  const Index chunks = (count + grain - 1) / grain;
  const Context* const context = thread_slot.context;
  const int threads = context ? static_cast<int>(std::min<Index>(context->threads(), chunks)) : 1;
  const bool is_small = cost < parallel_cost;
  if (threads <= 1 || is_small || parallel_detail::inside_host_region()) {
    for (Index chunk = 0; chunk < chunks; ++chunk) body(chunk * grain, std::min(count, (chunk + 1) * grain));
    return;
  }
  struct Region {
    ChunkBody body;
    MemoryPool* pool;
    Index count, grain, chunks;
    std::atomic<Index> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr failure{};
  } region{body, thread_slot.pool, count, grain, chunks};

  const auto work = [](void* argument) {
    auto& shared = *static_cast<Region*>(argument);
    const ThreadSlot before = thread_slot;
    thread_slot.context = nullptr;  // nested loops run here
    thread_slot.pool = shared.pool;
    try {
      for (Index chunk; !shared.failed.load(std::memory_order_relaxed) &&
                        (chunk = shared.next.fetch_add(1, std::memory_order_relaxed)) < shared.chunks;) {
        shared.body(chunk * shared.grain, std::min(shared.count, (chunk + 1) * shared.grain));
      }
    } catch (...) {
      if (!shared.failed.exchange(true)) shared.failure = std::current_exception();
    }
    thread_slot = before;
  };
  parallel_detail::run_region(*context, threads, work, &region);
  if (region.failure) std::rethrow_exception(region.failure);
}

inline void parallel_for(Index count, Index grain, ChunkBody body) { parallel_for(count, grain, parallel_cost, body); }

}  // namespace plume::inline PLUME_ABI
