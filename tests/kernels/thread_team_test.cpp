// The team of threads: regions in quick and slow succession, workers that come late or never, forks.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <thread>
#include <vector>

#include "plume/base/random.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"

using namespace plume;

namespace {

struct Visits {
  std::vector<std::atomic<int>> counts;
  std::atomic<std::size_t> next{0};
  std::atomic<int> inside{0};
  explicit Visits(std::size_t chunks) : counts(chunks) {}
  static void work(void* argument) {
    auto& self = *static_cast<Visits*>(argument);
    ++self.inside;
    for (std::size_t chunk; (chunk = self.next++) < self.counts.size();) ++self.counts[chunk];
    --self.inside;
  }
  bool each_once() const {
    for (const auto& count : counts)
      if (count != 1) return false;
    return true;
  }
};

// The exit status of a child that runs `body`; -1: it did not end within ten seconds.
template <class Body>
int in_child(Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(10);
    ::_exit(body() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("regions of any pace: each share is done once, and nobody is inside when run() returns") {
  Random random{.seed = 5};
  for (const int threads : {2, 3, 5}) {
    ThreadTeam team;
    bool once = true, left = true;
    for (int round = 0; round < 4000; ++round) {
      Visits visits(random.below(7));
      // Threads wanted change, so that places are fewer than workers; pauses are around the times after which workers yield and sleep.
      team.run(1 + static_cast<int>(random.below(static_cast<std::uint64_t>(threads))), Visits::work, &visits);
      once = once && visits.each_once();
      left = left && visits.inside == 0;
      if (round % 16 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random.below(200)));
    }
    CHECK(once);
    CHECK(left);
  }
}

TEST_CASE("a region has no more threads than it asked for") {
  ThreadTeam team;
  struct Crowd {
    std::atomic<int> now{0}, most{0};
  };
  const auto work = [](void* argument) {
    auto& crowd = *static_cast<Crowd*>(argument);
    const int here = ++crowd.now;
    for (int most = crowd.most; here > most && !crowd.most.compare_exchange_weak(most, here);) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    --crowd.now;
  };
  for (const int threads : {5, 2, 3, 1, 5}) {
    int most = 0;
    for (int round = 0; round < 20; ++round) {
      Crowd crowd;
      team.run(threads, work, &crowd);
      most = std::max(most, crowd.most.load());
    }
    CHECK(most <= threads);
    CHECK((threads == 1 || most > 1));
  }
}

TEST_CASE("callers that meet in one team: one gets the workers, the others run alone") {
  ThreadTeam team;
  std::vector<std::thread> callers;
  std::atomic<bool> once{true};
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([&] {
      for (int round = 0; round < 500; ++round) {
        Visits visits(5);
        team.run(3, Visits::work, &visits);
        if (!visits.each_once()) once = false;
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(once);
}

TEST_CASE("what a chunk allocates comes from the caller's pool, on every thread") {
  const Context context({.threads = 3});
  const ContextScope scope(context);
  std::atomic<bool> is_ours{true};
  parallel_for(60, 1, [&](Index, Index) {
    if (thread_slot.pool != &context.pool()) is_ours = false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  });
  CHECK(is_ours);
  CHECK(thread_slot.context == &context);
}

#if !defined(__SANITIZE_THREAD__)
// In a child the workers do not exist: they come never, and the caller does not wait for them.
TEST_CASE("a forked child works on with a team of its parent, and with a team of its own") {
#if defined(PLUME_TEST_EMULATED)
  std::cout << "SKIP: qemu ends with an assertion of its own where a forked child starts threads\n";
  return;
#endif
  const auto count = [] {
    std::atomic<int> visited{0};
    for (int round = 0; round < 50; ++round) parallel_for(40, 1, [&](Index, Index) { ++visited; });
    return visited == 2000;
  };
  auto context = std::make_unique<Context>(ContextOptions{.threads = 3});
  const ContextScope scope(*context);
  CHECK(count());
  for (const int sleep : {0, 2}) {  // workers awake, and asleep
    std::this_thread::sleep_for(std::chrono::milliseconds(sleep));
    CHECK(in_child([&] {
            const bool inherited = count();
            const Context own({.threads = 2});
            const ContextScope inner(own);
            return inherited && count();
          }) == 0);
    CHECK(in_child([&] {
            context.reset();
            return true;
          }) == 0);
  }
  CHECK(count());
}
#endif
