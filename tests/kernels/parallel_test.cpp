// parallel_for and what is built on it: exceptions, nesting, and the same bits for any number of threads. Built twice: see CMakeLists.txt.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#include "../numbers.hpp"
#include "plume/models/decoder.hpp"
#include "plume/ops/softmax.hpp"
#include "plume/optim/adamw.hpp"
#include "plume/optim/sgd.hpp"

using namespace plume;
using plume_test::random_tensor;
using plume_test::same_bits;

namespace {

constexpr int thread_counts[] = {1, 2, 3, 5};

// On each back end that the program has.
template <class Body>
void with_threads(int threads, Body&& body) {
  for (const Threading threading : {Threading::own, Threading::openmp}) {
    if (threading == Threading::openmp && !has_openmp) continue;
    const Context context({.threads = threads, .threading = threading});
    const ContextScope scope(context);
    body();
  }
}

// Threads that a long enough loop runs on.
std::set<std::thread::id> threads_of_loop(Index chunks) {
  std::set<std::thread::id> seen;
  std::mutex mutex;
  parallel_for(chunks, 1, [&](Index, Index) {
    {
      const std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  });
  return seen;
}

// The same computation for each number of threads.
void same_for_all(const std::string& title, const std::function<std::vector<Tensor>()>& compute) {
  INFO(title);
  std::vector<Tensor> alone = compute();
  for (const int threads : thread_counts) {
    with_threads(threads, [&] {
      const auto together = compute();
      REQUIRE(together.size() == alone.size());
      for (std::size_t i = 0; i < alone.size(); ++i)
        CHECK_MESSAGE(same_bits(together[i], alone[i]), i << " with " << threads << " threads");
    });
  }
}

// Output and gradients of all inputs.
std::vector<Tensor> with_gradients(const std::vector<Tensor>& inputs, const std::function<Tensor()>& function) {
  Tape tape(inputs);
  const Tensor y = function();
  Gradients gradients;
  tape.backward(y, random_tensor(y.shape(), 9, y.dtype()), gradients);
  std::vector<Tensor> results{y};
  for (const Tensor& x : inputs) results.push_back(gradients.at(x));
  return results;
}

Decoder small_model(bool is_gpt2) {
  Config config{.vocabulary = 307,
                .context = 130,
                .width = 96,
                .layers = 2,
                .hidden = 208,
                .heads = 6,
                .key_heads = is_gpt2 ? 6 : 2,
                .head_width = 16};
  config.rotary.width = 16;
  if (is_gpt2) {
    config.norm = NormKind::layer, config.position = PositionKind::learned, config.qkv_layout = QkvLayout::contiguous;
    config.activation = {.kind = ActivationKind::gelu_tanh}, config.gated = false;
    config.norm_bias = config.qkv_bias = config.output_bias = config.mlp_bias = config.tied_head = true;
  }
  Decoder model = Decoder::described(config);
  initialise(model, 3);
  return model;
}

}  // namespace

TEST_CASE("the back end is the one asked for") {
#if defined(PLUME_TEST_THREADS_BACK_END)
  CHECK_FALSE(has_openmp);
  CHECK_THROWS_WITH_AS(Context({.threading = Threading::openmp}), doctest::Contains("compiled with OpenMP"), ArgumentError);
#elif defined(_OPENMP)
  CHECK(has_openmp);
  for (const Threading threading : {Threading::own, Threading::openmp}) {
    const Context context({.threads = 3, .threading = threading});
    const ContextScope scope(context);
    std::atomic<int> in_openmp{0};
    parallel_for(16, 1, [&](Index, Index) { in_openmp += omp_in_parallel() != 0; });
    CHECK(in_openmp == (threading == Threading::openmp ? 16 : 0));
    // A host program's own region has the processors: loops inside run on the thread they are called from.
    std::atomic<int> elsewhere{0};
#pragma omp parallel num_threads(2)
    {
      const ContextScope inner(context);
      const auto here = std::this_thread::get_id();
      parallel_for(16, 1, [&](Index, Index) { elsewhere += std::this_thread::get_id() != here; });
    }
    CHECK(elsewhere == 0);
  }
#endif
}

TEST_CASE("every index is visited once, in chunks that do not depend on the threads") {
  for (const int threads : thread_counts) {
    with_threads(threads, [&] {
      for (const Index count : {0, 1, 7, 8, 9, 1001}) {
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
        std::atomic<bool> well_cut{true};
        parallel_for(count, 8, [&](Index begin, Index end) {
          if (begin % 8 != 0 || end != std::min<Index>(count, begin + 8)) well_cut = false;
          for (Index i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        });
        bool once = true;
        for (const auto& visit : visits) once = once && visit == 1;
        CHECK(once);
        CHECK(well_cut);
      }
    });
  }
  bool is_called = false;
  parallel_for(-1, 8, [&](Index, Index) { is_called = true; });
  parallel_for(0, 0, [&](Index, Index) { is_called = true; });
  CHECK(!is_called);
}

TEST_CASE("threads: none without a context or with one thread, several with more") {
  CHECK(threads_of_loop(16) == std::set{std::this_thread::get_id()});
  with_threads(1, [] { CHECK(threads_of_loop(16) == std::set{std::this_thread::get_id()}); });
  with_threads(3, [] {
    const auto first = threads_of_loop(24), second = threads_of_loop(24);
    CHECK(first.size() > 1);
    CHECK(first.size() <= 3);
    // The team is kept: no new threads for the second loop.
    std::set<std::thread::id> both = first;
    both.insert(second.begin(), second.end());
    CHECK(both.size() <= 3);
    CHECK(threads_of_loop(1) == std::set{std::this_thread::get_id()});
  });
}

TEST_CASE("the first exception is rethrown, and the threads go on working") {
  for (const int threads : thread_counts) {
    with_threads(threads, [&] {
      for (int round = 0; round < 3; ++round) {
        CHECK_THROWS_WITH_AS(parallel_for(100, 1,
                                          [](Index begin, Index) {
                                            if (begin % 7 == 3) throw std::out_of_range("a chunk failed");
                                          }),
                             "a chunk failed", std::out_of_range);
        std::atomic<int> visited{0};
        parallel_for(100, 1, [&](Index, Index) { ++visited; });
        CHECK(visited == 100);
      }
      CHECK(thread_slot.context != nullptr);
    });
  }
}

TEST_CASE("a nested loop runs on the thread it is called from") {
  with_threads(3, [] {
    std::atomic<bool> is_serial{true};
    std::atomic<int> inner{0};
    parallel_for(12, 1, [&](Index, Index) {
      const auto outer = std::this_thread::get_id();
      parallel_for(20, 1, [&](Index, Index) {
        if (std::this_thread::get_id() != outer) is_serial = false;
        ++inner;
      });
    });
    CHECK(is_serial);
    CHECK(inner == 240);
  });
}

TEST_CASE("one context may serve threads of the caller one after the other, and several at once") {
  const Context context({.threads = 2});
  std::vector<std::thread> callers;
  std::atomic<int> total{0};
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&] {
      const ContextScope scope(context);
      for (int round = 0; round < 20; ++round) parallel_for(50, 1, [&](Index, Index) { ++total; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(total == 3000);
  CHECK(thread_slot.context == nullptr);
}

TEST_CASE("every family of kernels gives the same bits for any number of threads") {
  const Index rows = 531, width = 523;  // at least eight chunks of every kernel
  const Tensor x = random_tensor({rows, width}, 1, DType::f32), other = random_tensor({rows, width}, 2, DType::f32),
               weight = random_tensor({width}, 3, DType::f32), bias = random_tensor({width}, 4, DType::f32),
               matrix = random_tensor({259, width}, 5, DType::f32), short_bias = random_tensor({259}, 6, DType::f32);
  std::vector<TokenId> ids, targets;
  for (Index t = 0; t < rows; ++t) ids.push_back(static_cast<TokenId>(t * 7 % 259)), targets.push_back(static_cast<TokenId>(t % 260) - 1);
  same_for_all("layer_norm", [&] { return with_gradients({x, weight, bias}, [&] { return layer_norm(x, weight, bias, 1e-5); }); });
  same_for_all("rms_norm", [&] { return with_gradients({x, weight}, [&] { return rms_norm(x, weight, 1e-5); }); });
  same_for_all("linear", [&] { return with_gradients({x, matrix, short_bias}, [&] { return linear(x, matrix, short_bias); }); });
  same_for_all("few rows", [&] { return with_gradients({matrix}, [&] { return linear(x.rows(0, 3), matrix); }); });
  same_for_all("gated", [&] { return with_gradients({x, other}, [&] { return gated(x, other, {}); }); });
  same_for_all("activation", [&] { return with_gradients({x}, [&] { return gelu(x); }); });
  same_for_all("add and multiply", [&] { return with_gradients({x, other}, [&] { return x * other + scale(x, 0.3); }); });
  same_for_all("dropout", [&] { return with_gradients({x}, [&] { return dropout(x, {.rate = 0.3, .seed = 1, .stream = 2}); }); });
  same_for_all("softmax", [&] { return with_gradients({x}, [&] { return softmax(x); }); });
  same_for_all("cross_entropy", [&] { return with_gradients({x}, [&] { return cross_entropy(x, targets); }); });
  same_for_all("classifier_loss", [&] {
    return with_gradients({x, matrix, short_bias}, [&] { return classifier_loss(x, matrix, short_bias, targets); });
  });
  same_for_all("embedding", [&] { return with_gradients({matrix}, [&] { return embedding(ids, matrix); }); });
  std::vector<std::int32_t> positions(static_cast<std::size_t>(rows));
  for (std::size_t t = 0; t < positions.size(); ++t) positions[t] = static_cast<std::int32_t>(t);
  same_for_all("rope", [&] {
    return with_gradients({x}, [&] { return rope(x, rotary_angles(positions, 500, 1e4, DType::f32), 523, RotaryLayout::interleaved); });
  });
  const Tensor keys = random_tensor({300, 64}, 7, DType::f32), values = random_tensor({300, 32}, 8, DType::f32),
               table = random_tensor({8, 5}, 9, DType::f32), queries = random_tensor({rows, 128}, 10, DType::f32);
  const auto attend = [&](bool has_table, bool is_shared) {
    AttentionOptions options{.heads = {8, 4, 16, 8}, .scale = 0.25, .dropout = {.rate = 0.1, .seed = 3}};
    if (has_table) options.relative = {.table = table, .buckets = {0, 1, 2, 3, 4}, .zero = 2};
    std::vector<AttentionSegment> segments;
    for (const auto& [begin, end] : {std::pair<Index, Index>{0, 150}, {150, 300}, {300, 531}}) {
      const Index count = is_shared ? 300 : std::min<Index>(end - begin, 100), first = is_shared ? 0 : begin / 150 * 100;
      const auto mask = std::make_shared<const IntervalMask>(Mask::prefix(20).intervals(0, end - begin, count));
      segments.push_back({begin, end, keys.rows(first, first + count), values.rows(first, first + count), mask, 0});
    }
    return attention(queries, segments, options);
  };
  same_for_all("attention", [&] { return with_gradients({queries, keys, values}, [&] { return attend(false, false); }); });
  same_for_all("attention with a table", [&] {
    return with_gradients({queries, keys, values, table}, [&] { return attend(true, false); });
  });
  same_for_all("attention over shared keys", [&] { return with_gradients({queries, keys, values}, [&] { return attend(false, true); }); });
}

// Small tests fit into one chunk; here the doors cut, and each cut must find its own rows.
TEST_CASE("row by row, many chunks give what a few rows alone give") {
  const Index rows = 531, width = 523;
  const Tensor x = random_tensor({rows, width}, 1, DType::f32), other = random_tensor({rows, width}, 2, DType::f32),
               weight = random_tensor({width}, 3, DType::f32), bias = random_tensor({width}, 4, DType::f32),
               direction = random_tensor({rows, width}, 5, DType::f32);
  std::vector<TokenId> ids;
  std::vector<std::int32_t> positions;
  for (Index t = 0; t < rows; ++t) ids.push_back(static_cast<TokenId>(t * 7 % rows)), positions.push_back(static_cast<std::int32_t>(t));
  using Function = std::function<Tensor(Index, Index)>;
  const std::vector<std::pair<std::string, Function>> functions{
      {"layer_norm", [&](Index i, Index j) { return layer_norm(x.rows(i, j), weight, bias, 1e-5); }},
      {"rms_norm", [&](Index i, Index j) { return rms_norm(x.rows(i, j), weight, 1e-5); }},
      {"gated", [&](Index i, Index j) { return gated(x.rows(i, j), other.rows(i, j), {}); }},
      {"activation", [&](Index i, Index j) { return gelu(x.rows(i, j)); }},
      {"add", [&](Index i, Index j) { return x.rows(i, j) + other.rows(i, j); }},
      {"multiply", [&](Index i, Index j) { return x.rows(i, j) * other.rows(i, j); }},
      {"softmax", [&](Index i, Index j) { return softmax(x.rows(i, j)); }},
      {"embedding",
       [&](Index i, Index j) {
         return embedding(std::span(ids).subspan(static_cast<std::size_t>(i), static_cast<std::size_t>(j - i)), other);
       }},
      {"rope", [&](Index i, Index j) {
         const auto here = std::span(positions).subspan(static_cast<std::size_t>(i), static_cast<std::size_t>(j - i));
         return rope(x.rows(i, j), rotary_angles(here, 500, 1e4, DType::f32), width, RotaryLayout::half_split);
       }}};
  for (const auto& entry : functions) {
    const Function& function = entry.second;
    INFO(entry.first);
    Gradients whole, pieces;
    Tensor y;
    {
      Tape tape(std::vector{x, other, weight, bias});
      y = function(0, rows);
      tape.backward(y, direction, whole);
    }
    bool is_same = true;
    for (Index begin = 0; begin < rows; begin += 5) {
      const Index end = std::min(rows, begin + 5);
      Tape tape(std::vector{x, other, weight, bias});
      const Tensor part = function(begin, end);
      is_same = is_same && same_bits(part, y.rows(begin, end));
      tape.backward(part, direction.rows(begin, end).copy(), pieces);
    }
    CHECK(is_same);
    for (const Tensor& input : {x, other, weight, bias})
      if (whole.find(input)) CHECK(plume_test::relative_distance(pieces.find(input), whole.at(input)) < 1e-5);
  }
  const kernels::Dropout rule{.rate = 0.3, .seed = 1, .stream = 2};
  const Tensor expected = Tensor::zeros(x.shape());
  kernels::reference::dropout<float>(expected.view<float, 2>(), x.view<const float, 2>(), rule, 0);
  CHECK(plume_test::distance(dropout(x, rule), expected) == 0);  // but for the sign of zeros: the reference adds to +0
}

TEST_CASE("the norm of gradients is the same at every call") {
  const Tensor x = random_tensor({70, 4096}, 1, DType::f32);
  const double alone = kernels::sum_of_squares<float>(x.view<const float, 1>());
  with_threads(5, [&] {
    bool is_same = true;
    for (int call = 0; call < 200; ++call) is_same = is_same && kernels::sum_of_squares<float>(x.view<const float, 1>()) == alone;
    CHECK(is_same);
  });
}

TEST_CASE("three training steps give the same bits for any number of threads") {
  for (const bool is_gpt2 : {true, false}) {
    std::vector<TokenId> ids, targets;
    Random random{.seed = 8};
    for (int t = 0; t < 389; ++t)
      ids.push_back(static_cast<TokenId>(random.below(307))), targets.push_back(t % 11 == 0 ? -1 : static_cast<TokenId>(random.below(307)));
    same_for_all(is_gpt2 ? "gpt2" : "llama", [&] {
      Decoder model = small_model(is_gpt2);
      AdamW optimizer(model);
      std::vector<Tensor> results;
      for (std::uint64_t step = 0; step < 3; ++step) {
        Pass pass;
        pass.segments = {{129}, {3}, {130}, {127}};
        pass.dropout = {.rate = 0.1, .seed = 2, .stream = step};
        pass.recompute = step == 1 ? Recompute::blocks : Recompute::nothing;
        Tape tape;
        const Tensor loss = model.loss(ids, targets, pass);
        const Gradients gradients = tape.backward(loss);
        const double norm = gradient_norm(optimizer.parameters(), gradients);
        optimizer.step(gradients, 1e-3, clip_factor(norm, 0.5));
        results.push_back(loss.copy());
        results.push_back(Tensor::from(std::vector<double>{norm}, {1}));
        for (const auto& parameter : optimizer.parameters()) results.push_back(gradients.at(parameter.tensor).copy());
      }
      for (const auto& parameter : optimizer.parameters()) results.push_back(parameter.tensor);
      for (const auto& entry : optimizer.state()) results.push_back(entry.tensor);
      Sgd plain(model);
      Pass pass;
      pass.segments = {{389 - 259}, {129}, {130}};
      Tape tape;
      plain.step(tape.backward(model.loss(ids, targets, pass)));
      for (const auto& parameter : plain.parameters()) results.push_back(parameter.tensor.copy());
      return results;
    });
  }
}
