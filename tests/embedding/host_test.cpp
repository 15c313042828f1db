// Life inside another program: its forks, its OpenMP regions, its pools of threads, its exceptions and its settings.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cfenv>
#include <clocale>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <functional>
#include <locale>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "numbers.hpp"
#include "plume/autograd/tape.hpp"
#include "plume/base/json.hpp"
#include "plume/generate/session.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/modules/initialise.hpp"
#include "plume/optim/adamw.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"

using namespace plume;
using plume_test::same_bits;

namespace {

Model small_model() {
  const Tokenizer tokenizer = train_byte_bpe(std::vector<std::string>{"the old man and the sea"}, {.vocabulary_size = 262});
  Config config;
  config.vocabulary = tokenizer.vocabulary();
  config.context = 300;
  config.width = 64;
  config.layers = 2;
  config.hidden = 96;
  config.heads = 4;
  config.key_heads = 2;
  config.head_width = 16;
  config.rotary.width = 16;
  Decoder decoder = Decoder::described(config);
  initialise(decoder, 3);
  return {decoder, tokenizer};
}

std::vector<TokenId> some_tokens(Index count) {
  std::vector<TokenId> ids;
  for (Index t = 0; t < count; ++t) ids.push_back(static_cast<TokenId>(t * 7 % 259));
  return ids;
}

// Products and loops that are large enough for several threads.
Tensor logits_of(const Model& model, const ContextOptions& options) {
  const Context context(options);
  const ContextScope scope(context);
  return model.logits(some_tokens(200)).copy();
}

// One training step of a copy of the model: the norm weights after it.
double trained(const ContextOptions& options) {
  const Context context(options);
  const ContextScope scope(context);
  Model model = small_model();
  AdamW optimizer(model);
  const auto ids = some_tokens(120);
  Pass pass;
  Tape tape;
  const Tensor loss = model.loss(std::span(ids).first(119), std::span(ids).subspan(1), pass);
  optimizer.step(tape.backward(loss), 1e-3);
  double sum = loss.item();
  for (const auto& parameter : optimizer.parameters()) sum += plume_test::largest(parameter.tensor);
  return sum;
}

std::vector<Threading> back_ends() {
  if (!has_openmp) return {Threading::own};
  return {Threading::own, Threading::openmp};
}

// The exit status of a child that runs `body`; -1: a signal ended it, the alarm after twenty seconds among them.
int in_child(const std::function<bool()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    int status = 2;
    try {
      status = body() ? 0 : 1;
    } catch (...) {
    }
    ::_exit(status);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// A pool as programs have them: workers that take whatever comes next.
class TaskPool {
 public:
  explicit TaskPool(int count) {
    for (int i = 0; i < count; ++i) workers_.emplace_back([this] { serve(); });
  }
  ~TaskPool() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }
  void add(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }

 private:
  void serve() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return ending_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }
  std::vector<std::thread> workers_;
  std::deque<std::function<void()>> tasks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
};

}  // namespace

#if !defined(__SANITIZE_THREAD__)
// libgomp hangs in a child that starts a region after its parent had one: threads = 1, or threads of plume's own, start none.
TEST_CASE("a child forked after parallel work computes, trains and generates") {
  const Model model = small_model();
  const Tensor expected = logits_of(model, {.threads = 1});
  const double trained_alone = trained({.threads = 1});
  for (const Threading threading : back_ends()) {
    const ContextOptions options{.threads = 2, .threading = threading};
    const Context used(options);
    {
      const ContextScope scope(used);
      CHECK(same_bits(model.logits(some_tokens(200)), expected));
    }
    CHECK(in_child([&] { return same_bits(logits_of(model, {.threads = 1, .threading = threading}), expected); }) == 0);
    CHECK(in_child([&] { return same_bits(logits_of(model, {.threads = 2, .threading = Threading::own}), expected); }) == 0);
    CHECK(in_child([&] { return trained({.threads = 1, .threading = threading}) == trained_alone; }) == 0);
    CHECK(in_child([&] {
            Session session(model, {.threads = 1});
            session.feed(some_tokens(20));
            return session.next({.temperature = 0}) >= 0;
          }) == 0);
    if (threading == Threading::own) {
      CHECK(in_child([&] {
              const ContextScope scope(used);
              return same_bits(model.logits(some_tokens(200)), expected);
            }) == 0);
    }
    CHECK(same_bits(logits_of(model, options), expected));  // and the parent goes on
  }
}
#endif

#if defined(_OPENMP)
TEST_CASE("inside a parallel region of the host, plume computes on the thread that calls it, and leaves the host's OpenMP as it was") {
  const Model model = small_model();
  const Tensor expected = logits_of(model, {.threads = 1});
  omp_set_num_threads(3);
  const int dynamic = omp_get_dynamic(), levels = omp_get_max_active_levels();
  for (const Threading threading : back_ends()) {
    std::atomic<int> right{0}, caught{0};
#pragma omp parallel num_threads(3)
    {
      right += same_bits(logits_of(model, {.threads = 2, .threading = threading}), expected);
      try {
        const Context context({.threads = 2, .threading = threading});
        const ContextScope scope(context);
        parallel_for(16, 1, [](Index begin, Index) {
          if (begin == 5) throw std::out_of_range("in a region of the host");
        });
      } catch (const std::out_of_range&) {
        ++caught;
      }
    }
    CHECK(right == 3);
    CHECK(caught == 3);
  }
  CHECK(omp_get_max_threads() == 3);
  CHECK(omp_get_dynamic() == dynamic);
  CHECK(omp_get_max_active_levels() == levels);
  int threads = 0;  // the host's regions still have the threads they ask for
#pragma omp parallel num_threads(2) reduction(+ : threads)
  ++threads;
  CHECK(threads == 2);
}
#endif

TEST_CASE("in a pool of threads, a session whose steps run on whatever thread comes gives what one thread gives") {
  const Model model = small_model();
  constexpr int sessions = 6, steps = 10;
  const auto make = [&](int i) {
    auto session = std::make_unique<Session>(model, SessionOptions{.threads = 1 + i % 2});
    session->feed(some_tokens(5 + i));
    return session;
  };
  std::vector<std::vector<TokenId>> expected, drawn(sessions);
  for (int i = 0; i < sessions; ++i) {
    const auto session = make(i);
    std::vector<TokenId> tokens;
    for (int step = 0; step < steps; ++step) tokens.push_back(session->next({.temperature = 0.8f, .top_k = 20}));
    expected.push_back(tokens);
  }
  {
    std::vector<std::unique_ptr<Session>> running;
    for (int i = 0; i < sessions; ++i) running.push_back(make(i));
    TaskPool pool(3);
    std::atomic<int> left{sessions};
    std::function<void(std::size_t)> step = [&](std::size_t i) {
      drawn[i].push_back(running[i]->next({.temperature = 0.8f, .top_k = 20}));
      if (drawn[i].size() < steps)
        pool.add([&, i] { step(i); });
      else
        --left;
    };
    for (std::size_t i = 0; i < sessions; ++i) pool.add([&, i] { step(i); });
    while (left > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(drawn == expected);
}

TEST_CASE("whatever a loop's body throws reaches the caller with its type, on every back end, and the next loop runs") {
  struct Foreign {
    int value;
  };
  for (const Threading threading : back_ends()) {
    const Context context({.threads = 3, .threading = threading});
    const ContextScope scope(context);
    const auto loop = [](const std::function<void()>& fail) {
      parallel_for(64, 1, [&](Index begin, Index) {
        if (begin % 9 == 4) fail();
      });
    };
    for (int round = 0; round < 20; ++round) {
      CHECK_THROWS_AS(loop([] { throw Foreign{3}; }), Foreign);
      CHECK_THROWS_AS(loop([] { throw 7; }), int);
      CHECK_THROWS_AS(loop([] { throw std::bad_alloc(); }), std::bad_alloc);
      CHECK_THROWS_WITH_AS(loop([] { require(false, "[body] row ", 3); }), "[body] row 3", ArgumentError);
    }
    std::atomic<int> visited{0};
    loop([&] { ++visited; });
    CHECK(visited == 7);
  }
}

namespace {

// Numbers as no file format writes them.
struct Decorated : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\1"; }
};

void handler(int) {}

}  // namespace

TEST_CASE("the process belongs to the host: locale, signals, floating-point state, mask, folder and random numbers stay as they were") {
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Decorated));
  const std::string c_locale = std::setlocale(LC_ALL, nullptr);
  struct sigaction action = {}, kept = {}, found = {};
  action.sa_handler = handler;
  ::sigaction(SIGINT, &action, &kept);
  std::fesetround(FE_TOWARDZERO);
  std::feclearexcept(FE_ALL_EXCEPT);
  ::umask(027);
  char* const folder = ::getcwd(nullptr, 0);
  std::srand(1);
  const int first = std::rand();
  std::srand(1);

  const Model model = small_model();
  const double loss = trained({.threads = 2});
  Session session(model, {.threads = 2});
  session.feed(some_tokens(30));
  session.next({.temperature = 0.9f});

  CHECK(std::rand() == first);
  char* const folder_after = ::getcwd(nullptr, 0);
  CHECK(std::string(folder) == folder_after);
  std::free(folder);
  std::free(folder_after);
  CHECK(::umask(022) == 027);
  CHECK(std::fegetround() == FE_TOWARDZERO);
  std::fesetround(FE_TONEAREST);
  ::sigaction(SIGINT, &kept, &found);
  CHECK((found.sa_handler == handler));
  CHECK(std::setlocale(LC_ALL, nullptr) == c_locale);
  CHECK(std::use_facet<std::numpunct<char>>(std::locale()).decimal_point() == ',');
  // And the host's locale does not reach what plume reads and writes.
  CHECK(concat(1234567, " ", 0.5) == "1234567 0.5");
  CHECK(Json::parse(R"({"a": 12345.5})").number("a") == 12345.5);
  std::locale::global(before);
  CHECK(std::isfinite(loss));
}
