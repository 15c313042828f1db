#pragma once
// The std::thread back end of parallel_for: a team owned by a Context and joined with it. It starts on first use.
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

class ThreadTeam {
 public:
  ThreadTeam() = default;
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;
  ~ThreadTeam() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  // Runs work(argument) on `threads` threads at once, the caller among them, and returns when all are done. `work` must not throw.
  // A team that is busy with another caller's work lets this caller run alone: the work is claimed in chunks, so nothing is lost.
  void run(int threads, void (*work)(void*), void* argument) {
    const std::unique_lock busy(busy_, std::try_to_lock);
    if (!busy) return work(argument);
    {
      const std::lock_guard lock(mutex_);
      while (static_cast<int>(workers_.size()) < threads - 1) {
        workers_.emplace_back([this, index = static_cast<int>(workers_.size()), seen = generation_] { serve(index, seen); });
      }
      work_ = work;
      argument_ = argument;
      wanted_ = threads - 1;
      running_ = wanted_;
      ++generation_;
    }
    wake_.notify_all();
    work(argument);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return running_ == 0; });
  }

 private:
  void serve(int index, std::uint64_t seen) {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return ending_ || generation_ != seen; });
      if (ending_) return;
      seen = generation_;
      if (index >= wanted_) continue;
      const auto work = work_;
      void* const argument = argument_;
      lock.unlock();
      work(argument);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex busy_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  void (*work_)(void*) = nullptr;
  void* argument_ = nullptr;
  int wanted_ = 0, running_ = 0;
  std::uint64_t generation_ = 0;
  bool ending_ = false;
};

}  // namespace plume::inline PLUME_ABI
