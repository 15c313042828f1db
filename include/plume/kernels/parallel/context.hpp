#pragma once
// Context: how many threads kernels may use, where tensors take memory, which matrix product runs.
// It is in force on a thread while a ContextScope lives there; without one, kernels run on the calling thread alone.
#include <memory>

#include "plume/base/error.hpp"
#include "plume/kernels/parallel/thread_team.hpp"
#include "plume/tensor/memory_pool.hpp"
#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI {

// c (M, N) += a (M, K) b (K, N), on the calling thread.
template <class T>
using GemmFunction = void (*)(View<T, 2> c, View<const T, 2> a, View<const T, 2> b);

// Arithmetic of matrix products of float operands: float, or operands rounded to bfloat16 with sums in float.
enum class Precision : std::uint8_t { f32, bf16 };

// The CPUs this process may run on.
PLUME_FUNCTION int available_threads();

// Whose threads run parallel loops: the context's own, or the OpenMP runtime's (programs compiled with OpenMP only). The results are the
// same bits. With OpenMP a waiting thread behaves as OMP_WAIT_POLICY says, and by default spins although others need its processor.
enum class Threading : std::uint8_t { own, openmp };

struct ContextOptions {
  int threads = 0;  // 0: all CPUs of the process
  Precision precision = Precision::f32;
  // Another matrix product in place of the library's: kernels::reference::gemm<float>, or eigen_gemm of kernels/eigen/gemm.hpp.
  GemmFunction<float> gemm = nullptr;
  Threading threading = Threading::own;
};

// One thread at a time computes in a Context (sessions and trainers own theirs). A forked child that uses a context of its parent computes
// on one thread; under Threading::openmp it must have threads = 1, because libgomp hangs in a child that starts a region.
class Context {
 public:
  explicit Context(const ContextOptions& options = {})
      : threads_(options.threads == 0 ? available_threads() : options.threads),
        precision_(options.precision),
        gemm_(options.gemm),
        threading_(options.threading),
        pool_(std::make_shared<MemoryPool>()) {
    require(options.threads >= 0 && options.threads <= 4096, "[context] threads = ", options.threads, " is not in 0 .. 4096");
    require(has_openmp || options.threading == Threading::own,
            "[context] Threading::openmp needs a program compiled with OpenMP (-fopenmp, CMake: PLUME_OPENMP=ON)");
  }

  int threads() const { return threads_; }
  Threading threading() const { return threading_; }
  Precision precision() const { return precision_; }
  GemmFunction<float> gemm() const { return gemm_; }
  MemoryPool& pool() const { return *pool_; }
  ThreadTeam& team() const { return team_; }

 private:
  int threads_;
  Precision precision_;
  GemmFunction<float> gemm_;
  Threading threading_;
  std::shared_ptr<MemoryPool> pool_;
  mutable ThreadTeam team_;
};

// Puts a Context in force on this thread until the end of the scope.
class ContextScope {
 public:
  explicit ContextScope(const Context& context) : before_(thread_slot) {
    thread_slot.context = &context;
    thread_slot.pool = &context.pool();
  }
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;
  ~ContextScope() {
    thread_slot.context = before_.context;
    thread_slot.pool = before_.pool;
  }

 private:
  ThreadSlot before_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <thread>
#if defined(__linux__)
#include <sched.h>
#endif

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION int available_threads() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count > 0 ? static_cast<int>(count) : 1;
}

}  // namespace plume::inline PLUME_ABI
#endif
