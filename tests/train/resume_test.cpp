// A run that was stopped, killed or hindered ends with the same bits as one that was not.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plume/testing/failing_files.hpp"
#include "plume/train/train.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"
#include "train/toy.hpp"

using namespace plume;
using plume_test::TemporaryFolder;

namespace {

constexpr Index steps = 24;

// Dropout, accumulation, several epochs, evaluations and checkpoints that fall on different steps.
TrainOptions options_for(const std::string& directory) {
  TrainOptions options = toy::options(steps);
  options.batch = 8;
  options.accumulation = 2;
  options.dropout = 0.1;
  options.seed = 3;
  options.evaluate_every = 6;
  options.log_every = 4;
  options.checkpoint_every = 5;
  options.directory = directory;
  options.resume = Resume::newest;
  return options;
}

TrainResult run(const toy::Data& data, const TrainOptions& options, const TrainCallbacks& callbacks = {}) {
  Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
  PackedWindows windows(data.training, {.sequence = 32, .seed = 3});
  return train(decoder, windows, EvaluationWindows(data.validation, {.sequence = 32}), options, callbacks);
}

// Weights and moments bit by bit; of the state and the log all but times and memory.
struct Outcome {
  std::string weights, moments, state;
  std::vector<std::string> log;
  explicit Outcome(const std::string& directory) {
    const std::string last = concat(directory, "/checkpoints/step-", steps);
    weights = plume_test::read_all(last + "/weights.safetensors");
    moments = plume_test::read_all(last + "/optimizer.safetensors");
    Json json = Json::parse(plume_test::read_all(last + "/state.json"));
    json.set("seconds", 0);
    state = dump(json);
    std::istringstream lines(plume_test::read_all(directory + "/metrics.jsonl"));
    for (std::string text; std::getline(lines, text);) {
      Json line = Json::parse(text);
      for (const char* field : {"tokens_per_second", "rss_bytes", "seconds", "remaining_seconds"}) line.set(field, 0);
      log.push_back(dump(line));
    }
  }
  bool operator==(const Outcome&) const = default;
};

void same(const Outcome& a, const Outcome& b) {
  CHECK((a.weights == b.weights));
  CHECK((a.moments == b.moments));
  CHECK(a.state == b.state);
  CHECK(a.log == b.log);
}

Outcome uninterrupted(const toy::Data& data) {
  const TemporaryFolder folder;
  run(data, options_for(folder.path()));
  return Outcome(folder.path());
}

}  // namespace

TEST_CASE("stopping at any step, and resuming in a new trainer, changes no bit") {
  const toy::Data data;
  const Outcome expected = uninterrupted(data);
  for (const Index stop_at : {1, 4, 6, 13, 23}) {
    const TemporaryFolder folder;
    StopSource source;
    TrainOptions options = options_for(folder.path());
    options.stop = source.token();
    const TrainResult first = run(data, options, {.progress = [&](const Progress& now) {
                                    if (now.step == stop_at) source.request();
                                  }});
    CAPTURE(stop_at);
    CHECK(first.end == TrainEnd::stopped);
    CHECK(first.progress.step == stop_at);
    CHECK(first.checkpoint == concat(folder / "checkpoints", "/step-", stop_at));
    options.stop = {};
    const TrainResult second = run(data, options);
    CHECK(second.resumed_from == stop_at);
    CHECK(second.end == TrainEnd::finished);
    same(Outcome(folder.path()), expected);
    options.resume = Resume::nothing;
    CHECK_THROWS_WITH_AS(run(data, options), doctest::Contains("earlier run"), ArgumentError);
  }
}

TEST_CASE("a stop within an accumulated step and one within an evaluation change no bit") {
  const toy::Data data;
  const Outcome expected = uninterrupted(data);
  struct Stopping {  // fires when the source is asked for the second micro-step of step 8
    PackedWindows& windows;
    StopSource& stop;
    int calls = 0;
    TokenBatch next(Index sequences) {
      if (++calls == 16) stop.request();
      return windows.next(sequences);
    }
    DataCursor cursor() const { return windows.cursor(); }
    void seek(const DataCursor& cursor) { windows.seek(cursor); }
    std::uint64_t fingerprint() const { return windows.fingerprint(); }
  };
  struct StoppingList {  // fires in the second evaluation
    EvaluationWindows windows;
    StopSource& stop;
    mutable int calls = 0;
    Index size() const { return windows.size(); }
    TokenBatch at(Index index) const {
      if (++calls > windows.size()) stop.request();
      return windows.at(index);
    }
  };
  const EvaluationWindows held_out(data.validation, {.sequence = 32});
  for (const bool in_evaluation : {false, true}) {
    const TemporaryFolder folder;
    StopSource stop;
    TrainOptions options = options_for(folder.path());
    options.stop = stop.token();
    Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
    PackedWindows windows(data.training, {.sequence = 32, .seed = 3});
    Stopping source{windows, stop};
    const TrainResult first =
        in_evaluation ? train(decoder, windows, StoppingList{held_out, stop}, options) : train(decoder, source, held_out, options);
    CHECK(first.end == TrainEnd::stopped);
    CHECK(first.progress.step == (in_evaluation ? 12 : 7));
    PackedWindows there(data.training, {.sequence = 32, .seed = 3});
    there.next(16 * first.progress.step);
    CHECK(windows.cursor() == there.cursor());  // the half-done step gave its batches back
    options.stop = {};
    run(data, options);
    same(Outcome(folder.path()), expected);
  }
}

TEST_CASE("kill -9 at random moments, and SIGINT, change no bit") {
  const toy::Data data;
  const Outcome expected = uninterrupted(data);
  static volatile sig_atomic_t interrupted = 0;
  Random random{.seed = static_cast<std::uint64_t>(::getpid())};
  MESSAGE("seed ", random.seed);
  for (const int signal_number : {SIGKILL, SIGINT}) {
    const TemporaryFolder folder;
    int killed = 0;
    for (int attempt = 0; attempt < (signal_number == SIGKILL ? 5 : 2); ++attempt) {
      int ready[2];
      REQUIRE(::pipe(ready) == 0);
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) {  // one thread, so that OpenMP is not entered in the child
        StopSource source;
        interrupted = 0;
        struct sigaction action = {};
        action.sa_handler = [](int) { interrupted = 1; };
        ::sigaction(SIGINT, &action, nullptr);
        [[maybe_unused]] const auto first = ::write(ready[1], "x", 1);
        TrainOptions options = options_for(folder.path());
        options.stop = source.token();
        int code = 1;
        try {
          const TrainResult result = run(data, options, {.progress = [&](const Progress&) {
                                           [[maybe_unused]] const auto sent = ::write(ready[1], "x", 1);
                                           ::usleep(3000);
                                           if (interrupted != 0) source.request();
                                         }});
          code = result.end == TrainEnd::stopped ? 130 : 0;
        } catch (...) {
        }
        ::_exit(code);
      }
      ::close(ready[1]);
      char byte;
      const std::uint64_t wait_for = 1 + random.below(6);  // the first byte says that the handler stands; then steps, and a part of one
      for (std::uint64_t i = 0; i < wait_for && ::read(ready[0], &byte, 1) == 1; ++i) {
      }
      ::usleep(static_cast<useconds_t>(random.below(15'000)));
      ::kill(child, signal_number);
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      ::close(ready[0]);
      if (signal_number == SIGKILL) killed += WIFSIGNALED(status) ? 1 : 0;
      if (signal_number == SIGINT && WIFEXITED(status)) CHECK((WEXITSTATUS(status) == 130 || WEXITSTATUS(status) == 0));
    }
    if (signal_number == SIGKILL) CHECK(killed >= 1);
    const TrainResult last = run(data, options_for(folder.path()));
    CHECK(last.end == TrainEnd::finished);
    same(Outcome(folder.path()), expected);
    for (const auto& entry : std::filesystem::directory_iterator(folder / "checkpoints"))
      CHECK(entry.path().string().find(".tmp-") == std::string::npos);
  }
}

TEST_CASE("a time limit ends a run like a stop") {
  const toy::Data data;
  const TemporaryFolder folder;
  TrainOptions options = options_for(folder.path());
  options.time_limit = 1e-9;
  const TrainResult result = run(data, options);
  CHECK(result.end == TrainEnd::time_limit);
  CHECK(result.progress.step == 0);
  CHECK(result.checkpoint.ends_with("step-0"));
}

TEST_CASE("a disk that fills up during a checkpoint costs that checkpoint and nothing else") {
  const toy::Data data;
  const Outcome expected = uninterrupted(data);
  int of_first = 0, of_two = 0;  // calls of the checkpoints of steps 5 and 10; the first makes the folders
  {
    const TemporaryFolder folder;
    const auto counting = std::make_shared<testing::FailingFiles>(testing::Fault{});
    TrainOptions options = options_for(folder.path());
    options.files = counting;
    run(data, options, {.progress = [&](const Progress& now) {
          if (now.step == 6) of_first = counting->calls();
          if (now.step == 11) of_two = counting->calls();
        }});
  }
  const int of_one = of_two - of_first;
  REQUIRE(of_one > 10);
  int lost = 0;
  for (const int part : {0, 1, 2, 5, of_one / 2, of_one - 1}) {
    const TemporaryFolder folder;
    TrainOptions options = options_for(folder.path());
    options.files = std::make_shared<testing::FailingFiles>(testing::Fault{.call = of_first + part, .failing = testing::Failing::once});
    std::vector<std::string> warnings;
    std::vector<Index> whole;
    run(data, options,
        {.progress =
             [&](const Progress& now) {
               if (now.step == 11) whole = checkpoint_steps(folder / "checkpoints");
             },
         .warning = [&](const std::string& text) { warnings.push_back(text); }});
    CAPTURE(part);
    if (warnings.empty()) {  // a call that the save can do without
      CHECK(whole.front() == 10);
    } else {
      CHECK(warnings.size() == 1);
      CHECK(warnings[0].find("No space left") != std::string::npos);
      // The last call makes a finished checkpoint sure to survive a power cut.
      CHECK(whole.front() == (part == of_one - 1 ? 10 : 5));
      ++lost;
    }
    same(Outcome(folder.path()), expected);
  }
  CHECK(lost >= 3);
  const TemporaryFolder folder;  // full for good: the run ends with an error, the old checkpoint is whole, no temporary is left
  TrainOptions options = options_for(folder.path());
  options.files = std::make_shared<testing::FailingFiles>(testing::Fault{.call = of_first + 3});
  CHECK_THROWS_AS(run(data, options), IoError);
  CHECK(checkpoint_steps(folder / "checkpoints") == std::vector<Index>{5});
  CHECK_NOTHROW(read_checkpoint(folder / "checkpoints/step-5"));
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "checkpoints"), {}) == 1);
  options.files = {};
  CHECK(run(data, options).resumed_from == 5);
  same(Outcome(folder.path()), expected);
}

TEST_CASE("pruning keeps the newest, and only after the new one is whole") {
  const toy::Data data;
  const TemporaryFolder folder;
  TrainOptions options = options_for(folder.path());
  options.keep_last = 3;
  run(data, options);
  CHECK(checkpoint_steps(folder / "checkpoints") == std::vector<Index>{24, 20, 15});
}

TEST_CASE("weights that are not finite never become a checkpoint") {
  const TemporaryFolder folder;
  const Tensor good = Tensor::zeros({2, 2}), bad = Tensor::zeros({2, 2});
  bad.fill(std::nan(""));
  write_checkpoint(folder.path(), {.step = 1, .model = "m", .state = Json::object(), .weights = {{"w", good}}});
  CHECK_THROWS_AS(write_checkpoint(folder.path(), {.step = 2, .model = "m", .state = Json::object(), .weights = {{"w", bad}}}),
                  NumericError);
  CHECK(checkpoint_steps(folder.path()) == std::vector<Index>{1});
}

TEST_CASE("a checkpoint of a model that differs in one respect is refused, and the difference is named") {
  const toy::Data data;
  const TemporaryFolder folder;
  TrainOptions options = options_for(folder.path());
  options.steps = options.schedule.steps = 5;
  run(data, options);
  const auto refused = [&](const char* difference, const auto& change) {
    Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
    change(decoder.config);
    PackedWindows windows(data.training, {.sequence = 32, .seed = 3});
    CHECK_THROWS_WITH_AS(train(decoder, windows, EvaluationWindows(data.validation, {.sequence = 32}), options),
                         doctest::Contains(difference), ConfigError);
  };
  refused("logit_cap 3", [](Config& config) { config.logit_cap = 3; });
  refused("embedding_scale 2", [](Config& config) { config.embedding_scale = 2; });
  refused("first_position 1", [](Config& config) { config.first_position = 1; });
  refused("infilling.begin 2", [](Config& config) { config.infilling = {.masks = {1}, .begin = 2}; });
  refused("rotary.half_precision true", [](Config& config) { config.rotary.half_precision = true; });
  refused("layer_kinds[1].rotates false", [](Config& config) { config.layer_kinds = {{}, {.rotates = false}}; });
}
