// Options that save memory: gradients released during the backward pass, moments and activations of bfloat16, recompute; alone and
// together.
#include <doctest/doctest.h>

#include <map>

#include "../numbers.hpp"
#include "../temporary_folder.hpp"
#include "toy.hpp"

using namespace plume;

namespace {

struct Outcome {
  double loss;
  std::vector<float> weights;
};

Outcome outcome(const toy::Data& data, const TrainOptions& options) {
  Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
  PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
  const TrainResult result = train(decoder, windows, NoEvaluation{}, options);
  return {result.progress.loss, toy::weights(decoder)};
}

// A decoder one of whose gradients is infinite at some steps.
struct Spiked {
  Decoder decoder;
  mutable int step = 0;
  int spiked = 0;

  Tensor loss(std::span<const TokenId> inputs, std::span<const TokenId> targets, Pass& pass, double normalizer = 0) const {
    const Tensor weight = decoder.norm.weight;
    const bool spike = step++ == spiked;
    const Tensor loss = decoder.loss(inputs, targets, pass, normalizer), y = loss.copy();
    return traced("spiked", y, {loss, weight}, [=](Gradients& d, const Tensor& dy) {
      d.add(loss, dy.copy());
      const Tensor dweight = d[weight];
      if (spike) *dweight.writable<float>() = INFINITY;
    });
  }
  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("decoder", self.decoder);
  }
};

}  // namespace

TEST_CASE("every combination of the options trains the same") {
  const toy::Data data;
  TrainOptions options = toy::options(60);
  options.clip = 0;
  options.threads = 2;
  options.dropout = 0.05;
  std::map<Moments, Outcome> plain;
  for (const Moments moments : {Moments::full, Moments::bf16}) {
    for (const bool release : {false, true}) {
      for (const Recompute recompute : {Recompute::nothing, Recompute::mlp, Recompute::blocks}) {
        options.optimizer = AdamWOptions{.moments = moments, .seed = 3};
        options.release_gradients = release;
        options.recompute = recompute;
        const Outcome here = outcome(data, options);
        const bool is_first = plain.emplace(moments, here).second;
        // Releasing and recomputing change no arithmetic.
        if (!is_first) CHECK(here.weights == plain.at(moments).weights);
      }
    }
  }
  const Outcome &full = plain.at(Moments::full), &bf16 = plain.at(Moments::bf16);
  CHECK(full.weights != bf16.weights);
  CHECK(bf16.loss == doctest::Approx(full.loss).epsilon(0.02));
  CHECK(bf16.loss < 2.5);  // 3.3 at first
}

TEST_CASE("activations of bfloat16 train nearly the same, with every combination of the others") {
  const toy::Data data;
  TrainOptions options = toy::options(60);
  options.clip = 0;
  options.dropout = 0.05;
  for (const Moments moments : {Moments::full, Moments::bf16}) {
    options.optimizer = AdamWOptions{.moments = moments, .seed = 3};
    for (const Recompute recompute : {Recompute::nothing, Recompute::mlp, Recompute::blocks}) {
      options.recompute = recompute;
      options.activations = Activations::full;
      const Outcome full = outcome(data, options);
      options.activations = Activations::bf16;
      const Outcome half = outcome(data, options);
      CHECK(half.weights != full.weights);
      CHECK(half.loss == doctest::Approx(full.loss).epsilon(0.02));
      options.release_gradients = true;  // changes no arithmetic
      CHECK(outcome(data, options).weights == half.weights);
      options.release_gradients = false;
    }
  }
}

TEST_CASE("activations of bfloat16: the same bits from any number of threads, and from a resumed run") {
  const toy::Data data;
  TrainOptions options = toy::options(3);
  options.activations = Activations::bf16;
  options.batch = 64;  // results of 8 chunks
  options.dropout = 0.1;
  std::vector<float> expected;
  for (const int threads : {1, 2, 3, 5}) {
    Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1, 128);
    PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
    options.threads = threads;
    train(decoder, windows, NoEvaluation{}, options);
    if (threads == 1) expected = toy::weights(decoder);
    CHECK(toy::weights(decoder) == expected);
  }
  for (const Recompute recompute : {Recompute::nothing, Recompute::mlp, Recompute::blocks}) {
    options = toy::options(12);
    options.activations = Activations::bf16;
    options.recompute = recompute;
    options.accumulation = 2;
    options.dropout = 0.1;
    options.optimizer = AdamWOptions{.moments = Moments::bf16, .seed = 3};
    const Outcome whole = outcome(data, options);
    const plume_test::TemporaryFolder folder;
    options.directory = folder.path();
    options.steps = 5;
    outcome(data, options);
    options.steps = 12;
    options.resume = Resume::newest;
    CHECK(outcome(data, options).weights == whole.weights);
    // A run that goes on with others is told.
    options.activations = Activations::full;
    options.steps = 13;
    Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
    PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
    std::vector<std::string> warnings;
    train(decoder, windows, NoEvaluation{}, options, {.warning = [&](const std::string& text) { warnings.push_back(text); }});
    REQUIRE(!warnings.empty());
    CHECK(warnings.back() == "bf16_activations differs from that of the checkpoint (1): the run goes on with 0");
  }
}

TEST_CASE("a resumed run with moments of bfloat16 goes on bit for bit") {
  const toy::Data data;
  TrainOptions options = toy::options(12);
  options.optimizer = AdamWOptions{.moments = Moments::bf16, .seed = 3};
  const Outcome whole = outcome(data, options);
  const plume_test::TemporaryFolder folder;
  options.directory = folder.path();
  options.steps = 5;
  outcome(data, options);
  options.steps = 12;
  options.resume = Resume::newest;
  CHECK(outcome(data, options).weights == whole.weights);
  options.optimizer = AdamWOptions{};
  options.steps = 13;
  CHECK_THROWS_WITH_AS(outcome(data, options), doctest::Contains("dtype bf16"), ConfigError);
}

TEST_CASE("what release_gradients excludes is refused, and says why") {
  const toy::Data data;
  TrainOptions options = toy::options(1);
  options.release_gradients = true;
  CHECK_THROWS_WITH_AS(outcome(data, options), doctest::Contains("release_gradients with clip 1"), ArgumentError);
  options.clip = 0;
  options.accumulation = 2;
  CHECK_THROWS_WITH_AS(outcome(data, options), doctest::Contains("nothing accumulated"), ArgumentError);
  options.accumulation = 1;
  CHECK_NOTHROW(outcome(data, options));
  // Plain descent as well.
  options.optimizer = SgdOptions{};
  options.steps = 5;
  const std::vector<float> released = outcome(data, options).weights;
  options.release_gradients = false;
  CHECK(outcome(data, options).weights == released);
}

TEST_CASE("released gradients: few live at a time, each parameter comes once, the tied embedding last") {
  const toy::Data data;
  Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
  AdamW optimizer(decoder);
  const TokenBatch batch = PackedWindows(data.training, {.sequence = 32, .seed = 1}).next(4);
  for (const Recompute recompute : {Recompute::nothing, Recompute::mlp, Recompute::blocks}) {
    Pass pass;
    pass.segments = segments_of(batch);
    pass.recompute = recompute;
    Tape tape, other;
    const Tensor expected_loss = decoder.loss(batch.inputs, batch.targets, pass);
    const Gradients expected = other.backward(expected_loss);
    std::map<std::string, int> seen;
    std::string last;
    bool is_same = true;
    std::size_t most = 0;
    Gradients gradients;
    {
      Tape again;
      const Tensor loss = decoder.loss(batch.inputs, batch.targets, pass);
      again.backward(loss, gradients, [&](const Storage& storage) {
        std::size_t alive = 0;
        for (const NamedParameter& parameter : optimizer.parameters()) {
          alive += gradients.find(parameter.tensor) ? 1u : 0u;
          if (parameter.tensor.storage().get() != &storage) continue;
          is_same = is_same && plume_test::same_bits(gradients.at(parameter.tensor), expected.at(parameter.tensor));
          ++seen[parameter.path];
          last = parameter.path;
        }
        most = std::max(most, alive);
        gradients.release(storage);
      });
    }
    CHECK(is_same);
    CHECK(seen.size() == optimizer.parameters().size());
    for (const auto& entry : seen) CHECK(entry.second == 1);
    CHECK(last == "embedding.weight");
    // The embedding's from the classifier, and those of one block, which has nine parameters.
    CHECK(most <= (recompute == Recompute::blocks ? 1 + 9 : 1 + 5));
    CHECK(gradients.empty());
  }
}

TEST_CASE("a use that nobody noted is an error, not a lost gradient") {
  const Tensor weight = parameter(plume_test::random_tensor({3}, 1)), x = parameter(plume_test::random_tensor({3}, 2));
  const auto hidden = [&](const Tensor& input) {  // under recompute() it returns before traced()
    const Tensor y = input.copy();
    if (!is_traced(weight)) return y;
    return traced("hidden", y, {weight}, [=](Gradients& d, const Tensor& dy) { d.add(weight, dy.copy()); });
  };
  Tape tape;
  const Tensor y = recompute(x, hidden);
  const Tensor loss = Tensor::zeros({}, DType::f64);
  traced("sum", loss, {y}, [=](Gradients& d, const Tensor&) { d[y].fill(1); });
  Gradients gradients;
  CHECK_THROWS_WITH_AS(tape.backward(loss, gradients, [](const Storage&) {}), doctest::Contains("does not end in traced()"), ArgumentError);
}

TEST_CASE("a gradient that is not finite leaves its own parameter alone when gradients are released") {
  const toy::Data data;
  Spiked model{toy::model(data.tokenizer.vocabulary(), 1), 0, 2};
  PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
  TrainOptions options = toy::options(5);
  options.clip = 0;
  options.release_gradients = true;
  std::vector<std::vector<float>> norms, weights;
  std::vector<std::string> warnings;
  const TrainResult result = train(model, windows, NoEvaluation{}, options,
                                   {.progress =
                                        [&](const Progress&) {
                                          const auto norm = model.decoder.norm.weight.span<float>();
                                          norms.emplace_back(norm.begin(), norm.end());
                                          weights.push_back(toy::weights(model.decoder));
                                        },
                                    .warning = [&](const std::string& text) { warnings.push_back(text); }});
  REQUIRE(norms.size() == 5);
  CHECK(norms[2] == norms[1]);
  CHECK(weights[2] != weights[1]);
  CHECK(norms[3] != norms[2]);
  for (const float weight : weights.back()) REQUIRE(std::isfinite(weight));
  CHECK(result.progress.skipped == 1);
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find("decoder.norm.weight") != std::string::npos);
}
