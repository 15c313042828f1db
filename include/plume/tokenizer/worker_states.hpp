#pragma once
// State that threads borrow, so that there is one a thread and not one a call or a chunk of a loop. Which chunk of a parallel loop adds to
// which state is left to chance: only for sums that come out the same in any order, such as integers, and for what merely saves work.
#include <algorithm>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

template <class State>
class WorkerStates {
 public:
  // Calls use(state) with a state that no other thread uses meanwhile: the one that this thread had before, if that is free, as it may
  // still be near its processor. make() gives a new one where all are taken. After an exception the state is gone.
  template <class Make, class Use>
  void with(Make&& make, Use&& use) {
    std::unique_ptr<State> state = take();
    if (!state) state = std::make_unique<State>(make());
    use(*state);
    const std::lock_guard lock(mutex_);
    last_.push_back(std::this_thread::get_id());
    free_.push_back(std::move(state));
  }
  // All states, once no thread uses them.
  std::vector<std::unique_ptr<State>>& all() { return free_; }

 private:
  std::unique_ptr<State> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return nullptr;
    std::size_t at = free_.size() - 1;
    for (std::size_t i = 0; i < free_.size(); ++i)
      if (last_[i] == std::this_thread::get_id()) at = i;
    std::swap(free_[at], free_.back());
    last_[at] = last_.back();
    std::unique_ptr<State> state = std::move(free_.back());
    free_.pop_back(), last_.pop_back();
    return state;
  }
  std::mutex mutex_;
  std::vector<std::unique_ptr<State>> free_;
  std::vector<std::thread::id> last_;  // which thread had each
};

// Room for so many more elements. It grows twofold at least, so that many short texts one after the other move few of them.
template <class Element>
void reserve_more(std::vector<Element>& elements, std::size_t more) {
  const std::size_t wanted = elements.size() + more;
  if (wanted > elements.capacity()) elements.reserve(std::max(wanted, 2 * elements.capacity()));
}

// Gives back the room that one long text took, in a state that is kept.
template <class... Elements>
void release_large(std::vector<Elements>&... rooms) {
  constexpr std::size_t most = std::size_t{1} << 20;  // bytes
  const auto release = [](auto& room) {
    if (room.capacity() * sizeof(room[0]) > most) std::remove_reference_t<decltype(room)>().swap(room);
  };
  (release(rooms), ...);
}

}  // namespace plume::inline PLUME_ABI
