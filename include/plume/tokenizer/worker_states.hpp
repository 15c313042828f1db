#pragma once
// State that the threads of a parallel loop borrow, so that there is one a thread and not one a chunk. Which chunk adds to which state is
// left to chance: only for sums that come out the same in any order, such as integers.
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

template <class State>
class WorkerStates {
 public:
  // Calls use(state) with a state that no other thread uses meanwhile; make() gives a new one where all are taken.
  template <class Make, class Use>
  void with(Make&& make, Use&& use) {
    std::unique_ptr<State> state;
    if (const std::lock_guard lock(mutex_); !free_.empty()) {
      state = std::move(free_.back());
      free_.pop_back();
    }
    if (!state) state = std::make_unique<State>(make());
    use(*state);
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(state));
  }
  // All states, once no thread uses them.
  std::vector<std::unique_ptr<State>>& all() { return free_; }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<State>> free_;
};

}  // namespace plume::inline PLUME_ABI
