// Storage::compress() and expand(): the same storage in half of the memory for a time.
#include "plume/tensor/storage.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <vector>

#include "plume/tensor/tensor.hpp"

using namespace plume;

namespace {

void round(std::span<Bfloat16> into, std::span<const float> from) {
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = Bfloat16(from[i]);
}
void widen(std::span<float> into, std::span<const Bfloat16> from) {
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = static_cast<float>(from[i]);
}

// A pool in force.
struct PoolScope {
  std::shared_ptr<MemoryPool> pool = std::make_shared<MemoryPool>();
  MemoryPool* before = std::exchange(thread_slot.pool, pool.get());
  ~PoolScope() { thread_slot.pool = before; }
};

}  // namespace

TEST_CASE("numbers come back rounded to the nearest bfloat16, of two to the even one; the storage stays the same one") {
  // 1 + 2^-8 lies between 1 and 1 + 2^-7, 1 + 3 * 2^-8 between 1 + 2^-7 and 1 + 2^-6.
  const std::vector<float> values = {1.00390625f, 1.01171875f, -1.00390625f, 1.0f + 0x1.02p-8f, 3.0e38f,
                                     3.4e38f,     -0.0f,       INFINITY,     -INFINITY,         NAN,
                                     1e-40f,      0.1f,        1234567.0f};
  const std::vector<float> rounded = {1.0f,     1.015625f, -1.0f, 1.0078125f, 0x1.c4p127f, INFINITY,  -0.0f,
                                      INFINITY, -INFINITY, NAN,   0x1p-133f,  0x1.9ap-4f,  1236992.0f};
  const PoolScope scope;
  const Tensor tensor = Tensor::from(values, {13}), view = tensor.reshape({1, 13}).columns(2, 5);
  const std::shared_ptr<Storage> storage = tensor.storage();
  CHECK(!storage->is_compressed());
  storage->compress(round);
  CHECK(storage->is_compressed());
  CHECK(storage->bytes() == 13 * sizeof(float));
  CHECK(storage->kind() == StorageKind::owned);
  // Nobody reads it by accident.
  const auto refused = doctest::Contains("kept as bfloat16 until the backward pass");
  CHECK_THROWS_WITH_AS(storage->data(), refused, ArgumentError);
  CHECK_THROWS_WITH_AS(tensor.data<float>(), refused, ArgumentError);
  CHECK_THROWS_WITH_AS(tensor.writable<float>(), refused, ArgumentError);
  CHECK_THROWS_WITH_AS(tensor.span<float>(), refused, ArgumentError);
  CHECK_THROWS_WITH_AS((tensor.view<const float, 2>()), refused, ArgumentError);
  CHECK_THROWS_WITH_AS((view.view<float, 1>()), refused, ArgumentError);
  CHECK_THROWS_WITH_AS(tensor.copy(), refused, ArgumentError);
  CHECK_THROWS_WITH_AS(tensor.to(DType::f64), refused, ArgumentError);
  CHECK_THROWS_WITH_AS(tensor.fill(0), refused, ArgumentError);
  CHECK_THROWS_WITH_AS(tensor.assign(Tensor::zeros({13})), refused, ArgumentError);
  CHECK_THROWS_WITH_AS(view.columns(0, 1).item(), refused, ArgumentError);
  storage->expand(widen);
  CHECK(!storage->is_compressed());
  CHECK(tensor.storage() == storage);
  for (std::size_t i = 0; i < rounded.size(); ++i) {
    CAPTURE(i);
    const float got = tensor.data<float>()[i];
    CHECK((std::isnan(rounded[i]) ? std::isnan(got) : got == rounded[i] && std::signbit(got) == std::signbit(rounded[i])));
  }
  CHECK(view.data<float>()[0] == -1);
}

TEST_CASE("half of the memory goes back to the pool, at every size, and all of it when the storage dies") {
  const PoolScope scope;
  for (const Index count : {0, 1, 2, 15, 16, 17, 33, 1000, 4096, 1000003}) {
    CAPTURE(count);
    const std::size_t nothing = scope.pool->bytes_in_use();
    for (const bool dies_compressed : {false, true}) {
      Tensor tensor = Tensor::zeros({count});
      const std::size_t full = scope.pool->bytes_in_use();
      tensor.storage()->compress(round);
      const std::size_t half = scope.pool->bytes_in_use();
      if (count == 4096) CHECK(full - half == 2 * 4096);
      if (count > 32) CHECK(static_cast<double>(full - half) >= 0.8 * 2 * static_cast<double>(count));
      CHECK(half <= full);
      if (!dies_compressed) {
        tensor.storage()->expand(widen);
        CHECK(scope.pool->bytes_in_use() == full);
      }
      tensor = {};
      CHECK(scope.pool->bytes_in_use() == nothing);
    }
  }
  thread_slot.pool = nullptr;  // memory of the system
  const Tensor tensor = Tensor::from(std::vector<float>(1000, 1.00390625f), {1000});
  tensor.storage()->compress(round);
  tensor.storage()->expand(widen);
  CHECK(tensor.data<float>()[999] == 1);
}

TEST_CASE("what cannot be compressed is refused, and a conversion that fails changes nothing") {
  std::vector<float> mine(8, 1);
  CHECK_THROWS_AS(borrow(std::span(mine), {8}).storage()->compress(round), ArgumentError);
  CHECK_THROWS_AS(Tensor::zeros({3}, DType::u8).storage()->compress(round), ArgumentError);
  const PoolScope scope;
  const Tensor tensor = Tensor::from(std::vector<float>(100, 1.00390625f), {100});
  CHECK_THROWS_AS(tensor.storage()->expand(widen), ArgumentError);
  const std::size_t before = scope.pool->bytes_in_use();
  CHECK_THROWS_AS(tensor.storage()->compress([](std::span<Bfloat16>, std::span<const float>) { throw std::runtime_error("no"); }),
                  std::runtime_error);
  CHECK(tensor.data<float>()[99] == 1.00390625f);
  CHECK(scope.pool->bytes_in_use() == before);
  tensor.storage()->compress(round);
  CHECK_THROWS_AS(tensor.storage()->compress(round), ArgumentError);
  CHECK_THROWS_AS(tensor.storage()->expand([](std::span<float>, std::span<const Bfloat16>) { throw std::runtime_error("no"); }),
                  std::runtime_error);
  tensor.storage()->expand(widen);
  CHECK(tensor.data<float>()[99] == 1);
}
