// The pool: blocks come back, from any thread, and live as long as somebody holds one.
#include <doctest/doctest.h>

#include <set>
#include <thread>

#include "../numbers.hpp"
#include "plume/kernels/parallel/context.hpp"

using namespace plume;

TEST_CASE("a freed block is handed out again, for sizes that round to the same") {
  const auto pool = std::make_shared<MemoryPool>();
  void* const first = pool->take(1000);
  pool->give_back(first, 1000);
  void* const again = pool->take(1020);
  CHECK(again == first);
  void* const other = pool->take(1000);
  CHECK(other != first);
  pool->give_back(again, 1020);
  pool->give_back(other, 1000);
  void* const larger = pool->take(5000);
  CHECK(larger != first);
  CHECK(larger != other);
  pool->give_back(larger, 5000);
  pool->release();
  void* const nothing = pool->take(0);
  CHECK(nothing != nullptr);
  pool->give_back(nothing, 0);
}

TEST_CASE("rounding wastes at most an eighth, and blocks are aligned and large enough") {
  const auto pool = std::make_shared<MemoryPool>();
  for (std::size_t bytes = 1; bytes < 100'000; bytes = bytes * 9 / 8 + 1) {
    void* const memory = pool->take(bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(memory) % tensor_alignment == 0);
    std::memset(memory, 1, bytes);  // a sanitizer sees a block that is too small
    pool->give_back(memory, bytes);
    void* const larger = pool->take(bytes + bytes / 7 + 128);
    CHECK(larger != memory);
    pool->give_back(larger, bytes + bytes / 7 + 128);
  }
}

TEST_CASE("large blocks come and go, with and without a pool") {
  const auto pool = std::make_shared<MemoryPool>();
  for (const std::size_t bytes : {(std::size_t{2} << 20) - 1, std::size_t{2} << 20, (std::size_t{2} << 20) + 1, std::size_t{9'437'185}}) {
    void* const memory = pool->take(bytes);
    std::memset(memory, 1, bytes);
    pool->give_back(memory, bytes);
    void* const alone = MemoryPool::from_system(bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(alone) % tensor_alignment == 0);
    std::memset(alone, 1, bytes);
    MemoryPool::to_system(alone, bytes);  // a sanitizer sees an alignment that is not the one of the allocation
  }
  CHECK(pool->bytes_held() > 0);
  pool->release();
  CHECK(pool->bytes_held() == 0);
}

TEST_CASE("an impossible size is OutOfMemory, not a small block") {
  const auto pool = std::make_shared<MemoryPool>();
  CHECK_THROWS_AS(static_cast<void>(pool->take(~std::size_t{0})), OutOfMemory);
  CHECK_THROWS_AS(static_cast<void>(pool->take(~std::size_t{0} - 8)), OutOfMemory);
  CHECK_THROWS_AS(static_cast<void>(pool->take(std::size_t{1} << 62)), OutOfMemory);
  const Context context({.threads = 1});
  CHECK_THROWS_AS(Tensor::empty({(Index{1} << 61) - 1}, DType::f64), OutOfMemory);
  const ContextScope scope(context);
  CHECK_THROWS_AS(Tensor::empty({(Index{1} << 61) - 1}, DType::f64), OutOfMemory);
  CHECK_THROWS_AS(Tensor::empty({Index{1} << 62}, DType::f64), OutOfMemory);
}

TEST_CASE("tensors of a context take memory from its pool, and outlive it") {
  Tensor survivor;
  {
    const Context context({.threads = 1});
    const ContextScope scope(context);
    const float* where = nullptr;
    {
      const Tensor tensor = Tensor::empty({100, 10});
      where = tensor.data<float>();
    }
    CHECK(Tensor::empty({10, 100}).data<float>() == where);
    std::set<const float*> places;
    for (int step = 0; step < 50; ++step) {
      const Tensor a = Tensor::empty({30, 30}), b = Tensor::zeros({50});
      places.insert(a.data<float>());
      places.insert(b.data<float>());
      CHECK(plume_test::largest(b) == 0);  // a block that comes back is cleared
      b.fill(7);
    }
    CHECK(places.size() <= 2 + 2);
    survivor = Tensor::zeros({100, 10});
  }
  survivor.fill(3);
  CHECK(plume_test::largest(survivor) == 3);
  CHECK(thread_slot.pool == nullptr);
}

TEST_CASE("blocks may be returned from other threads") {
  const auto pool = std::make_shared<MemoryPool>();
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      std::vector<std::pair<void*, std::size_t>> held;
      for (std::size_t round = 0; round < 500; ++round) {
        const std::size_t bytes = 64 * (1 + (round * 7 + t) % 9);
        auto* const memory = static_cast<unsigned char*>(pool->take(bytes));
        std::memset(memory, static_cast<int>(t), bytes);
        held.emplace_back(memory, bytes);
        if (held.size() > 5) {
          if (*static_cast<unsigned char*>(held.front().first) != t) FAIL_CHECK("a block is held twice");
          pool->give_back(held.front().first, held.front().second);
          held.erase(held.begin());
        }
      }
      for (const auto& [memory, bytes] : held) pool->give_back(memory, bytes);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Context context({.threads = 1});
  Tensor tensor;
  {
    const ContextScope scope(context);
    tensor = Tensor::empty({10});
  }
  std::thread([moved = std::move(tensor)]() mutable { moved = {}; }).join();
}
