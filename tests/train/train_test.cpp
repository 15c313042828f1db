#include "plume/train/train.hpp"

#include <doctest/doctest.h>

#include <set>

#include "temporary_folder.hpp"
#include "test_data.hpp"
#include "train/toy.hpp"

using namespace plume;

namespace {

// A decoder whose activations turn into NaN in the listed calls of loss().
struct Poisoned {
  Decoder decoder;
  std::set<int> bad;
  mutable int calls = 0;

  Tensor loss(std::span<const TokenId> inputs, std::span<const TokenId> targets, Pass& pass, double normalizer = 0) const {
    float* const weight = decoder.norm.weight.writable<float>();
    const float before = *weight;
    if (bad.contains(calls++)) *weight = std::nanf("");
    const Tensor result = decoder.loss(inputs, targets, pass, normalizer);
    *weight = before;
    return result;
  }
  template <class Self>
  static void visit(Self& self, auto&& f) {
    Decoder::visit(self.decoder, f);
  }
};

double trained_loss(const toy::Data& data, const TokenDataset& training, const TokenDataset& validation, std::uint64_t seed, Index steps) {
  Decoder decoder = toy::model(data.tokenizer.vocabulary(), seed);
  PackedWindows windows(training, {.sequence = 32, .seed = seed});
  const EvaluationWindows held_out(validation, {.sequence = 32});
  return train(decoder, windows, held_out, toy::options(steps)).progress.validation_loss.value();
}

}  // namespace

TEST_CASE("the loss falls far below the unigram entropy, whatever the seed") {
  const toy::Data data;
  const double unigram = toy::unigram_entropy(data.training, data.validation);
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    const double loss = trained_loss(data, data.training, data.validation, seed, 200);
    CAPTURE(seed);
    CHECK(loss < 0.5 * unigram);
  }
}

TEST_CASE("negative control: shuffled tokens stay at the unigram entropy") {
  const toy::Data data;
  std::vector<TokenId> ids(data.training.ids().begin(), data.training.ids().end()),
      held_out(data.validation.ids().begin(), data.validation.ids().end());
  Random random{.seed = 5};
  for (auto* all : {&ids, &held_out})
    for (std::size_t i = all->size(); i > 1; --i) std::swap((*all)[i - 1], (*all)[random.below(i)]);
  const double unigram = toy::unigram_entropy(data.training, data.validation),
               loss = trained_loss(data, TokenDataset(ids), TokenDataset(held_out), 1, 200);
  CHECK(loss > unigram - 0.02);
  CHECK(loss < unigram + 0.1);
}

TEST_CASE("two micro-steps of 8 sequences are one step of 16") {
  const toy::Data data;
  std::vector<std::vector<float>> results;
  std::vector<double> losses;
  for (const Index accumulation : {1, 2}) {
    Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
    PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
    TrainOptions options = toy::options(3);
    options.batch = 16 / accumulation;
    options.accumulation = accumulation;
    options.optimizer = SgdOptions{};  // AdamW divides by the gradient, which blows up rounding errors where it is near zero
    options.schedule = {0.1, 0.1, 0, 3};
    losses.push_back(train(decoder, windows, NoEvaluation{}, options).progress.loss);
    results.push_back(toy::weights(decoder));
  }
  CHECK(losses[0] == doctest::Approx(losses[1]).epsilon(1e-6));
  double worst = 0, moved = 0;
  const std::vector<float> start = toy::weights(toy::model(data.tokenizer.vocabulary(), 1));
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(results[0][i]) - static_cast<double>(results[1][i])));
    moved = std::max(moved, std::abs(static_cast<double>(results[0][i]) - static_cast<double>(start[i])));
  }
  CHECK(worst <= 1e-6);
  CHECK(moved > 1e-3);
}

TEST_CASE("threads do not change a bit of a training run") {
  const toy::Data data;
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3, 5}) {
    Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1, 128, 64);
    PackedWindows windows(data.training, {.sequence = 64, .seed = 1});
    TrainOptions options = toy::options(3);
    options.batch = 12;
    options.dropout = 0.1;
    options.threads = threads;
    train(decoder, windows, NoEvaluation{}, options);
    results.push_back(toy::weights(decoder));
    CAPTURE(threads);
    CHECK(results.back() == results.front());
  }
}

TEST_CASE("recomputing activations does not change a bit") {
  const toy::Data data;
  std::vector<std::vector<float>> results;
  for (const Recompute recompute : {Recompute::nothing, Recompute::mlp, Recompute::blocks}) {
    Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
    PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
    TrainOptions options = toy::options(5);
    options.dropout = 0.1;
    options.recompute = recompute;
    train(decoder, windows, NoEvaluation{}, options);
    results.push_back(toy::weights(decoder));
  }
  CHECK(results[0] == results[1]);
}

TEST_CASE("a step that is not finite is skipped before the optimiser") {
  const toy::Data data;
  Poisoned model{toy::model(data.tokenizer.vocabulary(), 1), {3, 4}};
  PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
  std::vector<std::vector<float>> after;
  std::vector<std::string> warnings;
  const TrainCallbacks callbacks{.progress =
                                     [&](const Progress& now) {
                                       after.push_back(toy::weights(model.decoder));
                                       CHECK(std::isfinite(now.loss));
                                     },
                                 .warning = [&](const std::string& text) { warnings.push_back(text); }};
  const TrainResult result = train(model, windows, NoEvaluation{}, toy::options(8), callbacks);
  CHECK(result.progress.skipped == 2);
  REQUIRE(after.size() == 8);
  CHECK(after[3] == after[2]);
  CHECK(after[4] == after[2]);
  CHECK(after[5] != after[4]);
  for (const float weight : after.back()) REQUIRE(std::isfinite(weight));
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].find("step 4") != std::string::npos);

  // without the guard: the same gradients break the weights
  Poisoned unguarded{toy::model(data.tokenizer.vocabulary(), 1), {0}};
  AdamW optimizer(unguarded);
  const TokenBatch batch = windows.next(4);
  Pass pass;
  pass.segments = segments_of(batch);
  Tape tape;
  optimizer.step(tape.backward(unguarded.loss(batch.inputs, batch.targets, pass)));
  const std::vector<float> broken = toy::weights(unguarded.decoder);
  CHECK(!std::all_of(broken.begin(), broken.end(), [](float weight) { return std::isfinite(weight); }));
}

TEST_CASE("skipped steps leave the moments alone: training goes on as if they had not been") {
  const toy::Data data;
  std::vector<std::vector<float>> results;
  for (const std::set<int>& bad : {std::set<int>{2}, std::set<int>{}}) {
    Poisoned model{toy::model(data.tokenizer.vocabulary(), 1), bad};
    PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
    TrainOptions options = toy::options(bad.empty() ? 4 : 5);
    options.schedule = {1e-3, 1e-3, 0, 1};  // constant
    struct Leaving {                        // the batch of the skipped step
      PackedWindows& windows;
      bool leave;
      int calls = 0;
      TokenBatch next(Index sequences) {
        if (calls++ == 2 && leave) windows.next(sequences);
        return windows.next(sequences);
      }
      DataCursor cursor() const { return windows.cursor(); }
      void seek(const DataCursor& cursor) { windows.seek(cursor); }
      std::uint64_t fingerprint() const { return windows.fingerprint(); }
    } source{windows, bad.empty()};
    train(model, source, NoEvaluation{}, options);
    results.push_back(toy::weights(model.decoder));
  }
  CHECK(results[0] == results[1]);
}

TEST_CASE("too many skips in a row end the run with the name of the tensor") {
  const toy::Data data;
  const plume_test::TemporaryFolder folder;
  Poisoned model{toy::model(data.tokenizer.vocabulary(), 1), {1, 3, 4, 5}};
  PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
  TrainOptions options = toy::options(10);
  options.max_skips = 3;
  options.checkpoint_every = 2;
  options.directory = folder.path();
  try {
    train(model, windows, NoEvaluation{}, options);
    FAIL("no error");
  } catch (const NumericError& error) {
    const std::string text = error.what();
    CHECK(text.find("step 6") != text.npos);
    CHECK(text.find("embedding.weight") != text.npos);
  }
  for (const Index step : checkpoint_steps(folder / "checkpoints"))
    for (const NamedTensor& named : read_checkpoint(concat(folder / "checkpoints", "/step-", step)).weights)
      CHECK_NOTHROW(check_finite(named));
}

TEST_CASE("the run's log has every field, and the chart its curves") {
  const toy::Data data;
  const plume_test::TemporaryFolder folder;
  Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
  PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
  const EvaluationWindows held_out(data.validation, {.sequence = 32});
  TrainOptions options = toy::options(20);
  options.evaluate_every = 10;
  options.log_every = 5;
  options.directory = folder.path();
  std::vector<Index> evaluated;
  const TrainResult result =
      train(decoder, windows, held_out, options, {.evaluated = [&](const Progress& now) { evaluated.push_back(now.step); }});
  CHECK(evaluated == std::vector<Index>{10, 20});
  CHECK(result.end == TrainEnd::finished);
  CHECK(result.checkpoint == folder / "checkpoints/step-20");
  std::istringstream lines(plume_test::read_all(folder / "metrics.jsonl"));
  std::vector<Index> steps;
  for (std::string text; std::getline(lines, text);) {
    const Json line = Json::parse(text);
    steps.push_back(line.integer("step"));
    CHECK(line.integer("tokens") == line.integer("step") * 4 * 32);
    for (const char* field : {"loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds", "rss_bytes"})
      CHECK(line.number(field) > 0);
    CHECK(line.at("validation_loss").is_null() == (steps.back() % 10 != 0));
  }
  CHECK(steps == std::vector<Index>{5, 10, 15, 20});
  const std::string chart = plume_test::read_all(folder / "loss.svg");
  CHECK(chart.starts_with("<svg"));
  CHECK(chart.find("class=\"curve training\"") != chart.npos);
  CHECK(chart.find("class=\"curve validation\"") != chart.npos);
  CHECK(chart.find("nan") == chart.npos);
}

TEST_CASE("options out of range are refused by name") {
  const toy::Data data;
  Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
  PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
  const auto refused = [&](void (*edit)(TrainOptions&), const char* word) {
    TrainOptions options = toy::options(1);
    edit(options);
    CHECK_THROWS_WITH_AS(train(decoder, windows, NoEvaluation{}, options), doctest::Contains(word), ArgumentError);
  };
  refused([](TrainOptions& options) { options.accumulation = 0; }, "accumulation is 0");
  refused([](TrainOptions& options) { options.clip = -1; }, "expected clip >= 0");
  refused([](TrainOptions& options) { options.dropout = 1; }, "dropout in [0, 1)");
  refused([](TrainOptions& options) { options.time_limit = -1; }, "time_limit >= 0");
  refused([](TrainOptions& options) { options.clip = 1, options.release_gradients = true; }, "release_gradients with clip 1");
}
