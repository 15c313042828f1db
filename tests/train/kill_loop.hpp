#pragma once
// A training run that is killed with SIGKILL again and again, at random moments and inside its saves, ends with the bits of one that was
// not.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>

#include "plume/base/json.hpp"
#include "plume/train/train.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"
#include "train/toy.hpp"

namespace kill_loop {

using namespace plume;
using plume_test::TemporaryFolder;

inline constexpr Index steps = 20;

// What parent and child both see.
struct Shared {
  std::atomic<int> inside_save{0};  // the number of the system call of the save that is running, 0 outside
  std::atomic<Index> saved{0};      // the step of the newest checkpoint whose save has returned
  std::atomic<Index> step{0};
};

// Slows the saves down, so that many kills fall inside them, and says how far one is.
class SlowFiles final : public FileSystem {
  template <class Call>
  auto slowly(Call call) const {
    ++shared_.inside_save;
    ::usleep(200);
    return call();
  }

 public:
  explicit SlowFiles(Shared& shared) : shared_(shared) {}
  int create(const char* path, mode_t mode) const override {
    return slowly([&] { return FileSystem::create(path, mode); });
  }
  int open(const char* path, int flags) const override {
    return slowly([&] { return FileSystem::open(path, flags); });
  }
  int make_directory(const char* path) const override {
    return slowly([&] { return FileSystem::make_directory(path); });
  }
  ssize_t write(int descriptor, const void* data, std::size_t size) const override {
    return slowly([&] { return FileSystem::write(descriptor, data, std::min<std::size_t>(size, 20'000)); });
  }
  int sync(int) const override {
    return slowly([] { return 0; });  // what a process wrote survives its end without it
  }
  int rename(const char* from, const char* to) const override {
    return slowly([&] { return FileSystem::rename(from, to); });
  }
  int remove(const char* path) const override {
    return slowly([&] { return FileSystem::remove(path); });
  }
  int remove_directory(const char* path) const override {
    return slowly([&] { return FileSystem::remove_directory(path); });
  }

 private:
  Shared& shared_;
};

// The training data; its next batch is asked for when the save of the step before has returned.
struct Source {
  PackedWindows windows;
  Shared* shared = nullptr;
  TokenBatch next(Index sequences) {
    if (shared != nullptr && shared->inside_save > 0) {
      shared->saved = shared->step.load();
      shared->inside_save = 0;
    }
    return windows.next(sequences);
  }
  DataCursor cursor() const { return windows.cursor(); }
  void seek(const DataCursor& cursor) { windows.seek(cursor); }
  std::uint64_t fingerprint() const { return windows.fingerprint(); }
};

inline TrainOptions options_for(const std::string& directory) {
  TrainOptions options = toy::options(steps);
  options.accumulation = 2;
  options.dropout = 0.1;
  options.seed = 3;
  options.evaluate_every = 6;
  options.log_every = 4;
  options.checkpoint_every = 2;
  options.directory = directory;
  options.resume = Resume::newest;
  return options;
}

inline void run(const toy::Data& data, TrainOptions options, Shared* shared = nullptr) {
  Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
  Source source{PackedWindows(data.training, {.sequence = 32, .seed = 3}), shared};
  TrainCallbacks callbacks;
  if (shared != nullptr) {
    options.files = std::make_shared<SlowFiles>(*shared);
    callbacks.progress = [&](const Progress& now) { shared->step = now.step; };
  }
  train(decoder, source, EvaluationWindows(data.validation, {.sequence = 32}), options, callbacks);
}

// Everything that a run leaves but times and memory: weights and moments byte by byte, the state, the log, the chart and the names.
struct Outcome {
  std::string weights, moments, state, log, chart;
  std::set<std::string> names;
  explicit Outcome(const std::string& directory) {
    const std::string last = concat(directory, "/checkpoints/step-", steps);
    weights = plume_test::read_all(last + "/weights.safetensors");
    moments = plume_test::read_all(last + "/optimizer.safetensors");
    Json json = Json::parse(plume_test::read_all(last + "/state.json"));
    state = dump(json.set("seconds", 0));
    std::istringstream lines(plume_test::read_all(directory + "/metrics.jsonl"));
    for (std::string text; std::getline(lines, text);) {
      Json line = Json::parse(text);
      for (const char* field : {"tokens_per_second", "rss_bytes", "seconds", "remaining_seconds"}) line.set(field, 0);
      log += dump(line) + "\n";
    }
    chart = plume_test::read_all(directory + "/loss.svg");
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
      names.insert(entry.path().lexically_relative(directory).string());
  }
};

inline void check_same(const Outcome& a, const Outcome& b) {
  CHECK((a.weights == b.weights));
  CHECK((a.moments == b.moments));
  CHECK(a.state == b.state);
  CHECK(a.log == b.log);
  CHECK((a.chart == b.chart));
  CHECK(a.names == b.names);
}

// Kills until `kills` children died of it; every run that comes to its end is compared, and the next begins anew.
inline void test(int kills) {
  const toy::Data data;
  const TemporaryFolder quiet;
  run(data, options_for(quiet.path()));
  const Outcome expected(quiet.path());

  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  Shared& shared = *::new (memory) Shared;
  Random random{.seed = static_cast<std::uint64_t>(::getpid())};
  MESSAGE("seed ", random.seed);
  int killed = 0, inside = 0, whole_runs = 0;
  std::set<int> moments;  // of a save
  auto folder = std::make_unique<TemporaryFolder>();
  Index safe = 0;  // the step that a save had returned for
  for (int attempt = 0; killed < kills; ++attempt) {
    REQUIRE(attempt < 20 * kills);
    shared.inside_save = 0;
    shared.step = -1;
    shared.saved = safe;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {  // one thread, so that OpenMP is not entered in the child
      int code = 1;
      try {
        run(data, options_for(folder->path()), &shared);
        code = 0;
      } catch (...) {
      }
      ::_exit(code);
    }
    // Two kills of three aim at a save and at one of its calls, the others at any time, the beginning included.
    const Index wanted_step = static_cast<Index>(random.below(4));
    const int wanted_call = random.below(3) < 2 ? static_cast<int>(1 + random.below(60)) : 0;
    const bool at_once = wanted_call == 0 && random.below(3) == 0;
    int status = 0;
    pid_t ended = 0;
    Index first = -1;
    while ((ended = ::waitpid(child, &status, WNOHANG)) == 0) {
      const Index step = shared.step;
      if (first < 0) first = step;
      if (at_once) break;
      if (first >= 0 && step >= first + wanted_step && shared.inside_save >= wanted_call) break;
      ::usleep(50);
    }
    if (ended == 0) {
      if (wanted_call == 0) ::usleep(static_cast<useconds_t>(random.below(20'000)));
      ::kill(child, SIGKILL);
      REQUIRE(::waitpid(child, &status, 0) == child);
    }
    if (WIFSIGNALED(status)) {
      ++killed;
      if (const int call = shared.inside_save; call > 0) ++inside, moments.insert(call);
      safe = shared.saved;
      const auto newest = newest_checkpoint(*folder / "checkpoints");
      CHECK((newest ? newest->step : 0) >= safe);
      continue;
    }
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    check_same(Outcome(folder->path()), expected);
    ++whole_runs;
    folder = std::make_unique<TemporaryFolder>();
    safe = 0;
  }
  run(data, options_for(folder->path()));
  check_same(Outcome(folder->path()), expected);
  MESSAGE(killed, " kills, ", inside, " inside a save (at ", moments.size(), " different calls of it), ", whole_runs + 1, " runs compared");
  CHECK(inside >= kills / 4);
  ::munmap(memory, sizeof(Shared));
}

}  // namespace kill_loop
