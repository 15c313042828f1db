// After the first steps nothing is allocated: every way to memory of the process is counted while a step or a token is computed.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <thread>
#include <vector>

#include "plume/generate/session.hpp"
#include "plume/peft/adapted_model.hpp"
#include "toy.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLUME_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PLUME_TEST_SANITIZED 1
#endif
#endif

#if defined(__GLIBC__) && !defined(PLUME_TEST_SANITIZED)

using namespace plume;

namespace {
std::atomic<bool> counting{false};
std::atomic<int> allocations{0};
void note() {
  if (counting.load(std::memory_order_relaxed)) ++allocations;
}
}  // namespace

// The C library's own functions stay reachable under other names; operator new comes here through malloc and aligned_alloc.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) {
  note();
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  note();
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, size_t bytes) {
  note();
  return __libc_realloc(memory, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  note();
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  note();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, size_t alignment, size_t bytes) {
  note();
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
void* mmap(void* address, size_t length, int protection, int flags, int file, off_t offset) {
  note();
  static const auto system = reinterpret_cast<void* (*)(void*, size_t, int, int, int, off_t)>(::dlsym(RTLD_NEXT, "mmap"));
  return system(address, length, protection, flags, file, offset);
}
}

namespace {

// Allocations of `body`.
template <class Body>
int allocations_of(Body&& body) {
  allocations = 0;
  counting = true;
  body();
  counting = false;
  return allocations;
}

}  // namespace

TEST_CASE("the counters see every way to memory") {
  CHECK(allocations_of([] { std::vector<std::unique_ptr<int>>(10).at(3) = std::make_unique<int>(7); }) > 0);
  CHECK(allocations_of([] { ::operator delete (::operator new (64, std::align_val_t{64}), std::align_val_t{64}); }) > 0);
  CHECK(allocations_of([] { ::munmap(::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096); }) > 0);
  CHECK(allocations_of([] { std::thread([] { std::vector<int> on_another_thread(100); }).join(); }) > 1);
  CHECK(allocations_of([] {}) == 0);
}

TEST_CASE("a training step allocates nothing after the first ones") {
  const toy::Data data;
  for (const bool is_gpt2 : {false, true}) {
    for (const int way : {0, 1, 2, 3, 4, 5}) {
      const Recompute recompute = static_cast<Recompute>(way % 3);
      const Activations activations = way < 3 ? Activations::full : Activations::bf16;
      for (const int threads : {1, 2}) {
        CAPTURE(is_gpt2);
        CAPTURE(threads);
        CAPTURE(way);
        Config config = toy::model(data.tokenizer.vocabulary(), 1, 64).config;
        if (is_gpt2) {
          config.norm = NormKind::layer, config.position = PositionKind::learned, config.qkv_layout = QkvLayout::contiguous;
          config.key_heads = config.heads, config.gated = false, config.activation = {.kind = kernels::ActivationKind::gelu_tanh};
          config.norm_bias = config.qkv_bias = config.output_bias = config.mlp_bias = true;
        }
        Decoder decoder = Decoder::described(config);
        initialise(decoder, 1);
        PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
        TrainOptions options = toy::options(12);
        options.batch = 8;
        options.accumulation = 2;
        options.dropout = 0.1;
        options.threads = threads;
        options.recompute = recompute;
        options.activations = activations;
        std::vector<int> counts;
        counts.reserve(20);
        const TrainCallbacks callbacks{.progress = [&](const Progress&) {
          counting = false;
          counts.push_back(allocations);
          allocations = 0;
          counting = true;
        }};
        train(decoder, windows, NoEvaluation{}, options, callbacks);
        counting = false;
        REQUIRE(counts.size() == 12);
        for (std::size_t step = 4; step < counts.size(); ++step) CHECK_MESSAGE(counts[step] == 0, "step " << step);
        counts.clear();
        Adapter adapter = attach(decoder, {.rank = 4, .targets = {"all-linear"}, .dropout = 0.1, .fused_qkv = FusedQkv::query_and_value});
        AdaptedModel adapted(decoder, adapter);
        PackedWindows again(data.training, {.sequence = 32, .seed = 1});
        train(adapted, again, NoEvaluation{}, options, callbacks);
        counting = false;
        REQUIRE(counts.size() == 12);
        for (std::size_t step = 4; step < counts.size(); ++step) CHECK_MESSAGE(counts[step] == 0, "step of an adapter " << step);
      }
    }
  }
}

TEST_CASE("a token allocates nothing, but where the cache doubles") {
  const toy::Data data;
  Model model{toy::model(data.tokenizer.vocabulary(), 1, 64, 256), data.tokenizer};
  const Adapter adapter = attach(model, {.rank = 4, .targets = {"all-linear"}});
  const LinearAdapters* const adapters[] = {nullptr, &adapter};
  for (const int threads : {1, 2}) {
    for (const float temperature : {0.0f, 0.8f}) {
      Session session(model, {.threads = threads, .adapter = adapters[temperature > 0 ? 1 : 0]});
      session.feed(std::vector<TokenId>(70, 1));
      const SamplingOptions sampling{.temperature = temperature, .top_k = 20, .top_p = 0.9f, .repetition_penalty = 1.1f};
      for (int token = 0; token < 5; ++token) session.next(sampling);
      CHECK(allocations_of([&] {
              for (int token = 0; token < 40; ++token) session.next(sampling);
            }) == 0);
    }
  }
}

#endif
