#pragma once
// Cancellation: one flag, raised from any thread or from a signal handler, polled by everything long.
#include <atomic>
#include <memory>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"

namespace plume::inline PLUME_ABI {

class StopToken {
 public:
  StopToken() = default;  // never fires
  bool requested() const noexcept { return flag_ && flag_->load(std::memory_order_relaxed); }
  void check() const {
    if (requested()) throw Cancelled();
  }

 private:
  friend class StopSource;
  explicit StopToken(std::shared_ptr<const std::atomic<bool>> flag) : flag_(std::move(flag)) {}
  std::shared_ptr<const std::atomic<bool>> flag_;
};

class StopSource {
 public:
  StopSource() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void request() const noexcept { flag_->store(true, std::memory_order_relaxed); }  // safe in a signal handler
  void reset() const noexcept { flag_->store(false, std::memory_order_relaxed); }
  StopToken token() const { return StopToken(flag_); }

 private:
  static_assert(std::atomic<bool>::is_always_lock_free);
  std::shared_ptr<std::atomic<bool>> flag_;
};

}  // namespace plume::inline PLUME_ABI
