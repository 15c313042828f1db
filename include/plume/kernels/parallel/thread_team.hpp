#pragma once
// The threads of parallel_for: a team owned by a Context and joined with it. It starts on first use.
// A region is one atomic word: workers join while it is open, the caller closes it when its own work is done and waits for those inside
// alone. A worker that sleeps, or that the system gave no processor, is never waited for: it comes late and finds the region closed.
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

class ThreadTeam {
 public:
  PLUME_FUNCTION ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;
  PLUME_FUNCTION ~ThreadTeam();

  // Runs work(argument) on up to `threads` threads at once, the caller among them, and returns when all that began are done. `work` must
  // not throw, and must find its share by itself: a region may end before a worker came. A team that is busy with another caller's region
  // lets this caller run alone, and so does a team inherited through fork().
  PLUME_FUNCTION void run(int threads, void (*work)(void*), void* argument);

 private:
  struct Shared;
  PLUME_FUNCTION static void serve(Shared& shared, std::uint64_t seen);
  PLUME_FUNCTION void grow(int workers);
  PLUME_FUNCTION bool is_forked() const;

  std::mutex busy_;
  std::unique_ptr<Shared> shared_;
  ::pid_t process_ = 0;
  bool is_refused_ = false;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <system_error>
#include <thread>
#include <vector>

namespace plume::inline PLUME_ABI {

namespace parallel_detail {

// Tells the processor that this is a waiting loop.
inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits for ready() a bounded time, first pausing, then offering the processor to others. False: not ready, the thread should block.
// Between the kernels of a step or a token the next region comes within this time, and a wake-up from sleep would cost more.
template <class Ready>
bool wait_awake(Ready&& ready) {
  using Clock = std::chrono::steady_clock;
  constexpr auto pausing = std::chrono::microseconds(50), yielding = std::chrono::microseconds(1000);
  if (ready()) return true;
  const Clock::time_point begin = Clock::now();
  for (Clock::duration waited{}; waited < yielding; waited = Clock::now() - begin) {
    for (int round = 0; round < 16; ++round) {
      if (ready()) return true;
      pause();
    }
    if (waited > pausing) std::this_thread::yield();
  }
  return ready();
}

// The word of a region: generation, whether it is open, free places for workers, workers inside.
inline constexpr int generation_shift = 32;
inline constexpr std::uint64_t open = 1u << 31, one_place = 1u << 16, one_inside = 1;
inline std::uint64_t generation_of(std::uint64_t word) { return word >> generation_shift; }
inline bool has_place(std::uint64_t word) { return (word & open) != 0 && (word & (open - one_place)) != 0; }
inline std::uint64_t inside(std::uint64_t word) { return word & (one_place - 1); }

}  // namespace parallel_detail

struct ThreadTeam::Shared {
  alignas(64) std::atomic<std::uint64_t> region{0};
  void (*work)(void*) = nullptr;  // read by those inside, written when nobody is
  void* argument = nullptr;
  alignas(64) std::atomic<int> sleeping{0};
  std::atomic<bool> caller_sleeps{false}, ending{false};
  std::mutex mutex;  // for sleeping alone
  std::condition_variable wake, done;
  std::vector<std::thread> workers;
};

PLUME_FUNCTION ThreadTeam::ThreadTeam() = default;

PLUME_FUNCTION ThreadTeam::~ThreadTeam() {
  if (shared_ == nullptr) return;
  if (is_forked()) {  // the workers live in the parent alone: there is nobody to join, and what they held stays held
    static_cast<void>(shared_.release());
    return;
  }
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->ending = true;
  }
  shared_->wake.notify_all();
  for (std::thread& worker : shared_->workers) worker.join();
}

PLUME_FUNCTION void ThreadTeam::run(int threads, void (*work)(void*), void* argument) {
  using namespace parallel_detail;
  const std::unique_lock busy(busy_, std::try_to_lock);
  if (!busy) return work(argument);
  if (shared_ == nullptr) {
    shared_ = std::make_unique<Shared>();
    process_ = ::getpid();
  }
  Shared& shared = *shared_;
  if (static_cast<int>(shared.workers.size()) < threads - 1 && !is_refused_ && !is_forked()) grow(threads - 1);
  shared.work = work;
  shared.argument = argument;
  const std::uint64_t generation = generation_of(shared.region.load(std::memory_order_relaxed)) + 1;
  shared.region = generation << generation_shift | open | static_cast<std::uint64_t>(threads - 1) * one_place;
  if (shared.sleeping > 0 && !is_forked()) {
    { const std::lock_guard lock(shared.mutex); }
    threads == 2 ? shared.wake.notify_one() : shared.wake.notify_all();
  }
  work(argument);
  shared.region &= ~open;
  const auto is_empty = [&] { return inside(shared.region) == 0; };
  if (wait_awake(is_empty)) return;
  std::unique_lock lock(shared.mutex);
  shared.caller_sleeps = true;
  shared.done.wait(lock, is_empty);
  shared.caller_sleeps = false;
}

PLUME_FUNCTION void ThreadTeam::serve(Shared& shared, std::uint64_t seen) {
  using namespace parallel_detail;
  const auto is_called = [&] { return generation_of(shared.region) != seen || shared.ending; };
  for (;;) {
    if (!wait_awake(is_called)) {
      std::unique_lock lock(shared.mutex);
      ++shared.sleeping;
      shared.wake.wait(lock, is_called);
      --shared.sleeping;
    }
    if (shared.ending) return;
    std::uint64_t word = shared.region;
    bool joined = false;
    while (!joined && has_place(word)) joined = shared.region.compare_exchange_weak(word, word - one_place + one_inside);
    seen = generation_of(word);
    if (!joined) continue;
    shared.work(shared.argument);
    shared.region -= one_inside;
    if (shared.caller_sleeps) {
      { const std::lock_guard lock(shared.mutex); }
      shared.done.notify_one();
    }
  }
}

PLUME_FUNCTION void ThreadTeam::grow(int workers) {
  try {
    while (static_cast<int>(shared_->workers.size()) < workers)
      shared_->workers.emplace_back([&shared = *shared_, seen = parallel_detail::generation_of(shared_->region)] { serve(shared, seen); });
  } catch (const std::system_error&) {  // the system gives no more threads: those there are do the work
    is_refused_ = true;
  }
}

PLUME_FUNCTION bool ThreadTeam::is_forked() const { return process_ != ::getpid(); }

}  // namespace plume::inline PLUME_ABI
#endif
