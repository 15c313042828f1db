#pragma once
// What this machine can do, measured in the same run as what is compared with it: f32 multiply-adds, bf16 products, reading memory.
// The instructions are written out, so the numbers do not depend on the flags of the build.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bench {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Statistics {
  double min = 0, median = 0, max = 0;
};
inline Statistics statistics(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return {values.front(), values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2, values.back()};
}

// Runs work(thread) on `threads` threads that begin together; seconds from the first begin to the last end.
template <class Work>
double seconds_together(int threads, Work&& work) {
  std::atomic<int> ready{0};
  std::vector<double> begin(static_cast<std::size_t>(threads)), end(static_cast<std::size_t>(threads));
  const auto run = [&](int thread) {
    ready.fetch_add(1);
    while (ready.load(std::memory_order_relaxed) < threads) std::this_thread::yield();
    begin[static_cast<std::size_t>(thread)] = now();
    work(thread);
    end[static_cast<std::size_t>(thread)] = now();
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  run(0);
  for (std::thread& other : others) other.join();
  return *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end());
}

namespace machine_detail {

// Twelve independent sums: more than latency times issue rate of any processor we know. Returns the operations of one round.
using Loop = void (*)(long rounds);
struct Product {
  Loop loop = nullptr;
  double operations = 0;  // of one round
};

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) inline void fma_256(long rounds) {
  const __m256 b = _mm256_set1_ps(0.999f), c = _mm256_set1_ps(1e-3f);
  __m256 s0 = b, s1 = b, s2 = b, s3 = b, s4 = b, s5 = b, s6 = b, s7 = b, s8 = b, s9 = b, s10 = b, s11 = b;
  for (long i = 0; i < rounds; ++i)
    asm volatile(
        "vfmadd231ps %12, %13, %0\n\tvfmadd231ps %12, %13, %1\n\tvfmadd231ps %12, %13, %2\n\tvfmadd231ps %12, %13, %3\n\t"
        "vfmadd231ps %12, %13, %4\n\tvfmadd231ps %12, %13, %5\n\tvfmadd231ps %12, %13, %6\n\tvfmadd231ps %12, %13, %7\n\t"
        "vfmadd231ps %12, %13, %8\n\tvfmadd231ps %12, %13, %9\n\tvfmadd231ps %12, %13, %10\n\tvfmadd231ps %12, %13, %11"
        : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5), "+x"(s6), "+x"(s7), "+x"(s8), "+x"(s9), "+x"(s10), "+x"(s11)
        : "x"(b), "x"(c));
}
__attribute__((target("avx512f"))) inline void fma_512(long rounds) {
  const __m512 b = _mm512_set1_ps(0.999f), c = _mm512_set1_ps(1e-3f);
  __m512 s0 = b, s1 = b, s2 = b, s3 = b, s4 = b, s5 = b, s6 = b, s7 = b, s8 = b, s9 = b, s10 = b, s11 = b;
  for (long i = 0; i < rounds; ++i)
    asm volatile(
        "vfmadd231ps %12, %13, %0\n\tvfmadd231ps %12, %13, %1\n\tvfmadd231ps %12, %13, %2\n\tvfmadd231ps %12, %13, %3\n\t"
        "vfmadd231ps %12, %13, %4\n\tvfmadd231ps %12, %13, %5\n\tvfmadd231ps %12, %13, %6\n\tvfmadd231ps %12, %13, %7\n\t"
        "vfmadd231ps %12, %13, %8\n\tvfmadd231ps %12, %13, %9\n\tvfmadd231ps %12, %13, %10\n\tvfmadd231ps %12, %13, %11"
        : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5), "+v"(s6), "+v"(s7), "+v"(s8), "+v"(s9), "+v"(s10), "+v"(s11)
        : "v"(b), "v"(c));
}
__attribute__((target("avx512f"))) inline void bf16_512(long rounds) {
  const __m512 b = _mm512_set1_ps(0.999f), c = _mm512_set1_ps(1e-3f);
  __m512 s0 = b, s1 = b, s2 = b, s3 = b, s4 = b, s5 = b, s6 = b, s7 = b, s8 = b, s9 = b, s10 = b, s11 = b;
  for (long i = 0; i < rounds; ++i)
    asm volatile(
        "vdpbf16ps %12, %13, %0\n\tvdpbf16ps %12, %13, %1\n\tvdpbf16ps %12, %13, %2\n\tvdpbf16ps %12, %13, %3\n\t"
        "vdpbf16ps %12, %13, %4\n\tvdpbf16ps %12, %13, %5\n\tvdpbf16ps %12, %13, %6\n\tvdpbf16ps %12, %13, %7\n\t"
        "vdpbf16ps %12, %13, %8\n\tvdpbf16ps %12, %13, %9\n\tvdpbf16ps %12, %13, %10\n\tvdpbf16ps %12, %13, %11"
        : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5), "+v"(s6), "+v"(s7), "+v"(s8), "+v"(s9), "+v"(s10), "+v"(s11)
        : "v"(b), "v"(c));
}
inline std::vector<Product> f32_products() {
  std::vector<Product> products;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) products.push_back({fma_256, 12 * 8 * 2});
  if (__builtin_cpu_supports("avx512f")) products.push_back({fma_512, 12 * 16 * 2});
  return products;
}
inline std::vector<Product> bf16_products() {
  std::vector<Product> products;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16")) products.push_back({bf16_512, 12 * 32 * 2});
  return products;
}
#elif defined(__aarch64__)
inline void fma_128(long rounds) {
  using V = float __attribute__((vector_size(16)));
  const V b = {0.999f, 0.999f, 0.999f, 0.999f}, c = {1e-3f, 1e-3f, 1e-3f, 1e-3f};
  V s0 = b, s1 = b, s2 = b, s3 = b, s4 = b, s5 = b, s6 = b, s7 = b, s8 = b, s9 = b, s10 = b, s11 = b;
  for (long i = 0; i < rounds; ++i)
    asm volatile(
        "fmla %0.4s, %12.4s, %13.4s\n\tfmla %1.4s, %12.4s, %13.4s\n\tfmla %2.4s, %12.4s, %13.4s\n\tfmla %3.4s, %12.4s, %13.4s\n\t"
        "fmla %4.4s, %12.4s, %13.4s\n\tfmla %5.4s, %12.4s, %13.4s\n\tfmla %6.4s, %12.4s, %13.4s\n\tfmla %7.4s, %12.4s, %13.4s\n\t"
        "fmla %8.4s, %12.4s, %13.4s\n\tfmla %9.4s, %12.4s, %13.4s\n\tfmla %10.4s, %12.4s, %13.4s\n\tfmla %11.4s, %12.4s, %13.4s"
        : "+w"(s0), "+w"(s1), "+w"(s2), "+w"(s3), "+w"(s4), "+w"(s5), "+w"(s6), "+w"(s7), "+w"(s8), "+w"(s9), "+w"(s10), "+w"(s11)
        : "w"(b), "w"(c));
}
inline std::vector<Product> f32_products() { return {{fma_128, 12 * 4 * 2}}; }
inline std::vector<Product> bf16_products() { return {}; }
#else
inline std::vector<Product> f32_products() { return {}; }
inline std::vector<Product> bf16_products() { return {}; }
#endif

inline double best_rate(const std::vector<Product>& products, int threads) {
  constexpr long rounds = 8'000'000;
  double best = 0;
  for (const Product& product : products)
    for (int repetition = 0; repetition < 5; ++repetition) {
      const double seconds = seconds_together(threads, [&](int) { product.loop(rounds); });
      best = std::max(best, product.operations * static_cast<double>(rounds) * threads / seconds);
    }
  return best;
}

}  // namespace machine_detail

// FLOP/s of f32 multiply-adds, the best of several tries; 0 where we have no loop for the processor.
inline double f32_peak(int threads) { return machine_detail::best_rate(machine_detail::f32_products(), threads); }
// FLOP/s of bf16 products summed in f32; 0 where the processor has no instruction for them.
inline double bf16_peak(int threads) { return machine_detail::best_rate(machine_detail::bf16_products(), threads); }

// Reads a buffer far larger than the caches, in pieces that the threads claim in turn: the rate that decoding is measured against. Some
// processors are fastest with one stream of addresses, some with several: the better one counts.
class ReadTest {
 public:
  static constexpr std::size_t bytes = std::size_t{512} << 20, piece = std::size_t{1} << 20;

  ReadTest() : memory_(static_cast<char*>(std::aligned_alloc(std::size_t{2} << 20, bytes))) {
    if (!memory_) throw std::bad_alloc();
#if defined(__linux__)
    ::madvise(memory_.get(), bytes, MADV_HUGEPAGE);
#endif
    for (std::size_t i = 0; i < bytes; i += 8) {  // no page is shared or zero
      const std::uint64_t word = i * 0x9E3779B97F4A7C15u;
      std::memcpy(memory_.get() + i, &word, 8);
    }
  }

  // Bytes per second, of each of several passes.
  Statistics rate(int threads, int passes = 5) const {
    Statistics best;
    for (const auto read : {read_piece<1>, read_piece<4>}) {
      std::vector<double> rates;
      for (int pass = 0; pass < passes; ++pass) {
        std::atomic<std::size_t> next{0};
        const double seconds = seconds_together(threads, [&](int) {
          for (std::size_t at; (at = next.fetch_add(piece)) < bytes;) read(memory_.get() + at);
        });
        rates.push_back(static_cast<double>(bytes) / seconds);
      }
      if (const Statistics found = statistics(rates); found.median > best.median) best = found;
    }
    return best;
  }

 private:
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  template <std::size_t streams>
  static void read_piece(const char* from) {
    using V = std::uint64_t __attribute__((vector_size(16)));
    constexpr std::size_t part = piece / streams;
    V sums[8] = {};
    for (std::size_t i = 0; i < part; i += 256)
      for (std::size_t stream = 0; stream < streams; ++stream) {
        const V* line = reinterpret_cast<const V*>(from + stream * part + i);
        for (int j = 0; j < 8; ++j) sums[j] ^= line[j] ^ line[j + 8];
      }
    V all = {};
    for (const V& sum : sums) all ^= sum;
    asm volatile("" : : "m"(all));  // the sums are wanted
  }

  std::unique_ptr<char, Free> memory_;
};

}  // namespace bench
