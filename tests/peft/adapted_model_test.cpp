// Training adapters: only A and B move, the base keeps every byte, and a run that was stopped ends with the same bits.
#include "plume/peft/adapted_model.hpp"

#include <doctest/doctest.h>

#include "numbers.hpp"
#include "peft/fixture.hpp"
#include "plume/base/sha256.hpp"
#include "plume/generate/generate.hpp"
#include "plume/train/train.hpp"
#include "temporary_folder.hpp"
#include "train/toy.hpp"

using namespace plume;
using namespace plume_test;

namespace {

std::string hash_of(const auto& model) {
  const std::string bytes = bytes_of_model(model);
  return plume::sha256(std::as_bytes(std::span(bytes)));
}

const Lora toy_lora{.rank = 4, .alpha = 8, .targets = {"all-linear"}, .dropout = 0.1, .seed = 2};

// A small model that was trained for a while, as a base.
Decoder toy_base(const toy::Data& data, DType dtype = DType::f32) {
  Decoder decoder = toy::model(data.tokenizer.vocabulary(), 1);
  PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
  train(decoder, windows, NoEvaluation{}, toy::options(60));
  if (dtype != DType::f32)
    for_each_parameter(decoder, [&](std::string_view, Tensor& tensor) { tensor = tensor.rank() == 2 ? tensor.to(dtype) : tensor.copy(); });
  return decoder;
}

TrainOptions tuning(Index steps) {
  TrainOptions options = toy::options(steps);
  options.schedule = {1e-2, 1e-3, 2, steps};
  options.optimizer = AdamWOptions{.weight_decay = 0};
  options.seed = 3;
  return options;
}

// Weights, moments and losses of a tuning run, bit by bit.
struct Outcome {
  std::string weights, moments, state;
  bool operator==(const Outcome&) const = default;
};
Outcome outcome_of(const std::string& directory, Index steps) {
  const std::string last = concat(directory, "/checkpoints/step-", steps);
  Json state = Json::parse(read_all(last + "/state.json"));
  state.set("seconds", 0);
  return {read_all(last + "/weights.safetensors"), read_all(last + "/optimizer.safetensors"), dump(state)};
}

// Looks, in each loss, at what the tape of the step differentiates by.
struct Watching {
  AdaptedModel<Decoder> inner;
  mutable bool base_is_tracked = false, adapter_is_tracked = true;
  Tensor loss(std::span<const TokenId> inputs, std::span<const TokenId> targets, Pass& pass, double normalizer = 0) const {
    for_each_parameter(inner.model(),
                       [&](std::string_view, const Tensor& tensor) { base_is_tracked = base_is_tracked || is_traced(tensor); });
    for_each_parameter(inner.adapter(),
                       [&](std::string_view, const Tensor& tensor) { adapter_is_tracked = adapter_is_tracked && is_traced(tensor); });
    return inner.loss(inputs, targets, pass, normalizer);
  }
  template <class Self>
  static void visit(Self& self, auto&& f) {
    AdaptedModel<Decoder>::visit(self.inner, f);
  }
};

}  // namespace

TEST_CASE("training an adapter lowers the loss, moves A and B alone, and leaves the base as it was, byte for byte") {
  const toy::Data data;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Decoder base = toy_base(data, dtype);
    const std::string hash = hash_of(base);
    Adapter adapter = attach(base, toy_lora);
    AdaptedModel adapted(base, adapter);
    const Index trainable = count_parameters(adapted);
    CHECK(trainable == count_parameters(adapter));
    CHECK(trainable < count_parameters(base) / 2);
    // Another language: the same text, backwards.
    const auto backwards = [](const TokenDataset& text) {
      return TokenDataset(std::vector<TokenId>(text.ids().rbegin(), text.ids().rend()));
    };
    const TokenDataset validation = backwards(data.validation);
    const EvaluationWindows held_out(validation, {.sequence = 32});
    const double before = evaluate_loss(adapted, held_out), plain = evaluate_loss(base, held_out);
    CHECK(before == plain);
    PackedWindows windows(backwards(data.training), {.sequence = 32, .seed = 1});
    const TrainResult result = train(adapted, windows, held_out, tuning(60));
    CHECK(result.progress.validation_loss.value() < 0.8 * before);
    CHECK(evaluate_loss(base, held_out) == plain);
    CHECK(hash_of(base) == hash);
    for (const LoraLayer& layer : adapter.all()) {
      CHECK(largest(layer.change.term.b) > 0);
      CHECK(layer.change.term.a.dtype() == DType::f32);
    }
  }
}

TEST_CASE("a base that was trained before has no gradients while its adapter is trained") {
  const toy::Data data;
  Decoder base = toy_base(data);
  CHECK(base.embedding.weight.storage()->is_parameter());
  Adapter adapter = attach(base, toy_lora);
  AdaptedModel adapted(base, adapter);
  Watching watching{adapted};
  PackedWindows windows(data.training, {.sequence = 32, .seed = 1});
  train(watching, windows, NoEvaluation{}, tuning(2));
  CHECK(!watching.base_is_tracked);
  CHECK(watching.adapter_is_tracked);
}

TEST_CASE("an adapter resumed after any step ends with the same bits: dropout of both kinds, accumulation, bf16 arithmetic and base") {
  const toy::Data data;
  constexpr Index steps = 12;
  for (const bool half : {false, true}) {
    CAPTURE(half);
    const Decoder base = toy_base(data, half ? DType::bf16 : DType::f32);
    const auto run = [&](const std::string& directory, Index stop_at, Index accumulation = 3) {
      Adapter adapter = attach(base, toy_lora);
      AdaptedModel adapted(base, adapter);
      PackedWindows windows(data.training, {.sequence = 32, .seed = 3});
      TrainOptions options = tuning(steps);
      options.batch = 4;
      options.accumulation = accumulation;
      options.dropout = 0.1;
      options.precision = half ? Precision::bf16 : Precision::f32;
      options.directory = directory;
      options.checkpoint_every = 5;
      options.resume = Resume::newest;
      StopSource source;
      options.stop = source.token();
      train(adapted, windows, NoEvaluation{}, options, {.progress = [&](const Progress& now) {
              if (now.step == stop_at) source.request();
            }});
    };
    const TemporaryFolder whole;
    run(whole.path(), -1);
    const Outcome expected = outcome_of(whole.path(), steps);
    for (const Index stop_at : {1, 5, 11}) {
      CAPTURE(stop_at);
      const TemporaryFolder folder;
      run(folder.path(), stop_at);
      run(folder.path(), -1);
      CHECK((outcome_of(folder.path(), steps) == expected));
    }
  }
}

TEST_CASE("generate() goes through an adapter that was trained here, and the merged model says the same") {
  const toy::Data data;
  Model model{toy_base(data), data.tokenizer};
  Adapter adapter = attach(model, toy_lora);
  AdaptedModel adapted(model, adapter);
  PackedWindows windows(TokenDataset(std::vector<TokenId>(data.training.ids().rbegin(), data.training.ids().rend())),
                        {.sequence = 32, .seed = 1});
  train(adapted, windows, NoEvaluation{}, tuning(40));
  const auto text = [&](const LinearAdapters* through) {
    return generate(model, "ann", {.max_tokens = 20, .sampling = {.temperature = 0}, .threads = 1, .adapter = through}).text;
  };
  const std::string plain = text(nullptr), tuned = text(&adapter);
  CHECK(plain != tuned);
  merge(model, adapter);
  CHECK(text(nullptr) == tuned);
  unmerge(model, adapter);
  CHECK(text(nullptr) == plain);
}

TEST_CASE("gradients released one by one, and recomputed activations, train the same adapter") {
  const toy::Data data;
  const Decoder base = toy_base(data);
  std::vector<std::string> results;
  for (const int kind : {0, 1, 2}) {
    Adapter adapter = attach(base, toy_lora);
    AdaptedModel adapted(base, adapter);
    PackedWindows windows(data.training, {.sequence = 32, .seed = 3});
    TrainOptions options = tuning(6);
    options.clip = 0;
    options.release_gradients = kind == 1;
    options.recompute = kind == 2 ? Recompute::blocks : Recompute::nothing;
    train(adapted, windows, NoEvaluation{}, options);
    results.push_back(hash_of(adapter));
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
  CHECK(results[0] != hash_of(attach(base, toy_lora)));
}
