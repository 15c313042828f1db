// Eight threads at once on one model: sessions, cancelling, loading and dropping models, adapters, tokenizers, scores. Every result is, bit
// for bit, that of the same calls one after the other. tests/tsan.sh runs this under ThreadSanitizer.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <latch>
#include <thread>

#include "plume/generate/generate.hpp"
#include "plume/generate/score.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "plume/modules/initialise.hpp"
#include "plume/peft/adapter_files.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"
#include "temporary_folder.hpp"

using namespace plume;

namespace {

constexpr int thread_count = 8, rounds = 16;
const std::string text = "the old man sees a small house by the blue sea, and an apple. ";

Model small_model() {
  const Tokenizer tokenizer = train_byte_bpe(std::vector<std::string>{text, text}, {.vocabulary_size = 280});
  Config config;
  config.vocabulary = tokenizer.vocabulary();
  config.context = 128;
  config.width = 64;
  config.layers = 2;
  config.hidden = 128;
  config.heads = 4;
  config.key_heads = 2;
  config.head_width = 16;
  config.rotary.width = 16;
  config.tied_head = true;
  Decoder decoder = Decoder::described(config);
  initialise(decoder, 3);
  return {decoder, tokenizer};
}

// What one call gave, as bytes.
using Result = std::string;
template <class T>
Result bytes_of_all(std::span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

// Everything that the threads share.
struct World {
  plume_test::TemporaryFolder folder;
  Model model = small_model();
  Adapter adapter = attach(model, {.rank = 4, .targets = {"all-linear"}});
  std::vector<TokenId> prompt = model.tokenizer.encode(text);
  World() {
    Random random{.seed = 9};
    for (const LoraLayer& layer : adapter.all()) {
      float* const b = layer.change.term.b.writable<float>();
      for (Index i = 0; i < layer.change.term.b.size(); ++i) b[i] = static_cast<float>(random.normal() / 10);
    }
    save(model, folder / "model");
    save(adapter, folder / "adapter");
  }
};

// Tokens and the last logits of a session; a call that is cancelled is made again.
Result draw(const World& world, const Model& model, const SessionOptions& options, const SamplingOptions& sampling,
            const StopSource* stop = nullptr, std::atomic<int>* cancelled = nullptr) {
  Session session(model, options);
  session.feed(world.prompt);
  const std::size_t until = session.tokens().size() + 24;
  while (session.tokens().size() < until) {
    try {
      session.next(sampling);
    } catch (const Cancelled&) {
      if (cancelled != nullptr) ++*cancelled;
      stop->reset();
    }
  }
  for (;;) {
    try {
      const std::span<const float> logits = session.logits();
      return bytes_of_all(std::span<const TokenId>(session.tokens())) + bytes_of_all(logits);
    } catch (const Cancelled&) {
      stop->reset();
    }
  }
}

// The things that threads do, each with the stop of its thread and what it tells of it.
using Job = std::function<Result(const World&, const StopSource&, std::atomic<int>& cancelled)>;
const std::vector<Job>& jobs() {
  static const std::vector<Job> all = {
      [](const World& world, const StopSource&, std::atomic<int>&) { return draw(world, world.model, {.threads = 1}, {.temperature = 0}); },
      [](const World& world, const StopSource&, std::atomic<int>&) {
        return draw(world, world.model, {.threads = 2}, {.temperature = 0.9f, .top_k = 40, .top_p = 0.95f, .seed = 1});
      },
      [](const World& world, const StopSource& stop, std::atomic<int>& cancelled) {  // cancelled again and again, it comes to the same end
        return draw(world, world.model, {.threads = 3, .stop = stop.token()}, {.temperature = 0.7f, .seed = 2}, &stop, &cancelled);
      },
      [](const World& world, const StopSource&, std::atomic<int>&) {
        return draw(world, world.model, {.threads = 2, .adapter = &world.adapter}, {.temperature = 0.8f, .seed = 3});
      },
      [](const World& world, const StopSource&, std::atomic<int>&) {
        const Model loaded = load(world.folder / "model", {.mapping = Mapping::map});
        const Adapter adapter = load_adapter(world.folder / "adapter", loaded);
        return draw(world, loaded, {.threads = 1, .adapter = &adapter}, {.temperature = 0.8f, .seed = 4});
      },
      [](const World& world, const StopSource&, std::atomic<int>&) {
        const Generated made = generate(world.model, text, {.max_tokens = 20, .sampling = {.temperature = 0.6f, .seed = 5}, .threads = 2});
        return made.text + bytes_of_all(std::span<const TokenId>(made.ids));
      },
      [](const World& world, const StopSource& stop, std::atomic<int>& cancelled) {  // cut anywhere: a beginning of the whole text
        stop.reset();
        const Generated whole = generate(world.model, text, {.max_tokens = 30, .sampling = {.temperature = 0}, .threads = 1}),
                        part = generate(world.model, text,
                                        {.max_tokens = 30, .sampling = {.temperature = 0}, .threads = 2, .cancel = stop.token()});
        if (part.finish_reason == FinishReason::cancelled) ++cancelled;
        return whole.text + (whole.text.starts_with(part.text) ? ", and its beginning" : ", and another");
      },
      [](const World& world, const StopSource&, std::atomic<int>&) {
        const Context context({.threads = 2});
        const ContextScope scope(context);
        const std::vector<TokenId> ids = world.model.tokenizer.encode(text + text);
        return world.model.tokenizer.decode(ids) + bytes_of_all(std::span<const double>(score(world.model, ids).logprobs));
      }};
  return all;
}

}  // namespace

TEST_CASE("eight threads on one model: no result differs by a bit from that of one thread") {
  const World world;
  std::vector<Result> expected;
  std::atomic<int> cancelled{0}, different{0}, failed{0}, done{0};
  for (const Job& job : jobs()) expected.push_back(job(world, StopSource(), cancelled));
  CHECK(cancelled == 0);

  std::array<StopSource, thread_count> stops;
  std::latch start(thread_count + 1);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < thread_count; ++thread)
    threads.emplace_back([&, thread] {
      start.arrive_and_wait();
      for (int round = 0; round < rounds; ++round) {
        const auto which = static_cast<std::size_t>(thread + round) % jobs().size();
        try {
          if (jobs()[which](world, stops[static_cast<std::size_t>(thread)], cancelled) != expected[which]) ++different;
        } catch (...) {
          ++failed;
        }
      }
      ++done;
    });
  start.arrive_and_wait();
  Random random{.seed = 7};
  for (; done < thread_count; std::this_thread::sleep_for(std::chrono::microseconds(100 + random.below(1000))))
    stops[random.below(thread_count)].request();
  for (std::thread& thread : threads) thread.join();
  CHECK(different == 0);
  CHECK(failed == 0);
  MESSAGE("cancelled ", cancelled.load(), " times");
  CHECK(cancelled > 0);
}

TEST_CASE("threads that load a model, compute and drop it while others do the same") {
  const World world;
  const Result expected = draw(world, world.model, {.threads = 1}, {.temperature = 0.8f, .seed = 8});
  std::atomic<int> different{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < thread_count; ++thread)
    threads.emplace_back([&, thread] {
      for (int round = 0; round < 3; ++round) {
        const Mapping mapping = (thread + round) % 2 == 0 ? Mapping::map : Mapping::copy;
        const auto model = std::make_unique<Model>(load(world.folder / "model", {.mapping = mapping}));
        different += draw(world, *model, {.threads = 1 + thread % 2}, {.temperature = 0.8f, .seed = 8}) != expected;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(different == 0);
}
