// Steps that are not finite: counted, kept out of weights, moments and statistics, and the end of a run that has nothing else to offer.
#include <doctest/doctest.h>

#include <set>

#include "plume/base/json.hpp"
#include "plume/train/train.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"
#include "train/toy.hpp"

using namespace plume;
using plume_test::TemporaryFolder;

namespace {

// A decoder whose activations turn into NaN in the listed calls of loss(), or whose weights do for good.
struct Poisoned {
  Decoder decoder;
  std::set<int> bad;
  int breaks = -1;  // the call after which a weight stays infinite
  mutable int calls = 0;

  Tensor loss(std::span<const TokenId> inputs, std::span<const TokenId> targets, Pass& pass, double normalizer = 0) const {
    float* const weight = decoder.norm.weight.writable<float>();
    const float before = *weight;
    if (bad.contains(calls)) *weight = std::nanf("");
    const Tensor result = decoder.loss(inputs, targets, pass, normalizer);
    *weight = calls == breaks ? HUGE_VALF : before;
    ++calls;
    return result;
  }
  template <class Self>
  static void visit(Self& self, auto&& f) {
    Decoder::visit(self.decoder, f);
  }
};

struct Run {
  toy::Data data;
  TemporaryFolder folder;
  TrainOptions options = toy::options(12);
  Run() {
    options.max_skips = 4;
    options.checkpoint_every = 2;
    options.log_every = 1;
    options.directory = folder.path();
    options.resume = Resume::newest;
  }
  // The error's text; empty: none. `model` is what it trains.
  std::string operator()(Poisoned& model, const TrainCallbacks& callbacks = {}) const {
    PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
    try {
      train(model, windows, NoEvaluation{}, options, callbacks);
    } catch (const NumericError& error) {
      return error.what();
    }
    return {};
  }
  Poisoned model(std::set<int> bad, int breaks = -1) const { return {toy::model(data.tokenizer.vocabulary(), 1), std::move(bad), breaks}; }
  std::string checkpoints() const { return folder / "checkpoints"; }
  std::vector<Json> log() const {
    std::vector<Json> lines;
    std::istringstream text(plume_test::read_all(folder / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
    return lines;
  }
};

std::vector<float> weights_of(const Checkpoint& checkpoint, const Poisoned& model) {
  std::vector<float> all;
  for_each_parameter(model, [&](std::string_view path, const Tensor&) {
    for (const NamedTensor& named : checkpoint.weights)
      if (named.name == path) all.insert(all.end(), named.tensor.span<float>().begin(), named.tensor.span<float>().end());
  });
  return all;
}

}  // namespace

TEST_CASE("the log counts skipped steps and averages the others alone") {
  Run run;
  run.options.log_every = 4;
  Poisoned model = run.model({1, 2, 4, 5, 6});
  std::vector<double> losses;  // of each step by itself, from a run that logs each
  {
    Run each;
    Poisoned same = each.model({1, 2, 4, 5, 6});
    CHECK(each(same).empty());
    for (const Json& line : each.log()) losses.push_back(line.at("loss").is_null() ? std::nan("") : line.number("loss"));
  }
  CHECK(run(model).empty());
  const std::vector<Json> log = run.log();
  REQUIRE(log.size() == 3);
  REQUIRE(losses.size() == 12);
  for (const std::size_t bad : {1u, 2u, 4u, 5u, 6u}) CHECK(std::isnan(losses[bad]));
  CHECK(log[0].integer("skipped") == 2);
  CHECK(log[1].integer("skipped") == 5);
  CHECK(log[2].integer("skipped") == 5);
  CHECK(log[0].number("loss") == doctest::Approx((losses[0] + losses[3]) / 2));
  CHECK(log[1].number("loss") == losses[7]);
  CHECK(log[2].number("loss") == doctest::Approx((losses[8] + losses[9] + losses[10] + losses[11]) / 4));
}

TEST_CASE("K skips in a row end the run at the last good checkpoint, which is on disk, whole, and in the model") {
  Run run;
  Poisoned model = run.model({5, 6, 7, 8});
  std::vector<float> last;  // weights after the last good update
  const std::string error = run(model, {.progress = [&](const Progress& now) {
                                  if (now.step == 5) last = toy::weights(model.decoder);
                                }});
  CHECK(error.find("step 9: 4 updates in a row skipped") != error.npos);
  CHECK(error.find("embedding.weight") != error.npos);
  CHECK(error.find(run.checkpoints() + "/step-8") != error.npos);
  const Checkpoint good = newest_checkpoint(run.checkpoints()).value();
  CHECK(good.step == 8);  // three skips since the last update: those weights are good
  CHECK((weights_of(good, model) == last));
  CHECK((toy::weights(model.decoder) == last));
  // A run that goes on counts from there: one more bad step is the fourth in a row.
  Poisoned again = run.model({0});
  CHECK(run(again).find("step 9: 4 updates in a row skipped") != std::string::npos);
  // And with good data it comes to its end.
  Poisoned well = run.model({});
  CHECK(run(well).empty());
  CHECK(newest_checkpoint(run.checkpoints()).value().step == 12);
}

TEST_CASE("without checkpoints the model keeps the weights of its last good update") {
  Run run;
  run.options.directory.clear();
  run.options.resume = Resume::nothing;
  Poisoned model = run.model({3, 4, 5, 6});
  std::vector<float> last;
  const std::string error = run(model, {.progress = [&](const Progress& now) {
                                  if (now.step == 3) last = toy::weights(model.decoder);
                                }});
  CHECK(error.find("lower the learning rate") != error.npos);
  CHECK((toy::weights(model.decoder) == last));
}

TEST_CASE("weights that broke are not saved; the last finite checkpoint is not pruned and is what the model ends with") {
  for (const Index keep : {1, 2}) {
    Run run;
    run.options.keep_last = keep;
    Poisoned model = run.model({}, 6);  // breaks within step 7, before the checkpoint of step 8
    const std::string error = run(model);
    CHECK(error.find("step 8") != error.npos);
    CHECK(error.find("norm.weight") != error.npos);
    const Checkpoint good = newest_checkpoint(run.checkpoints()).value();
    CHECK(good.step == 6);
    CHECK((toy::weights(model.decoder) == weights_of(good, model)));
    for (const float weight : toy::weights(model.decoder)) REQUIRE(std::isfinite(weight));
    Poisoned well = run.model({});
    CHECK(run(well).empty());
    // as a run that nothing happened to
    Run whole;
    Poisoned never = whole.model({});
    CHECK(whole(never).empty());
    CHECK((toy::weights(well.decoder) == toy::weights(never.decoder)));
  }
}

TEST_CASE("checkpoints of a long row of skips do not push out one another's only good weights") {
  Run run;
  run.options.max_skips = 9;
  run.options.keep_last = 1;
  Poisoned model = run.model({3, 4, 5, 6, 7, 8, 9, 10, 11});
  std::vector<float> last;
  CHECK(!run(model, {.progress =
                         [&](const Progress& now) {
                           if (now.step == 3) last = toy::weights(model.decoder);
                         }})
             .empty());
  CHECK((weights_of(newest_checkpoint(run.checkpoints()).value(), model) == last));
}
