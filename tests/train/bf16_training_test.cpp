// nightly: training with products, or with activations, in bfloat16 ends at the loss of training in f32
#include <doctest/doctest.h>

#include <cmath>
#include <tuple>

#include "plume/models/decoder.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/train/named_configs.hpp"
#include "plume/train/train.hpp"
#include "test_data.hpp"

using namespace plume;

namespace {

struct Losses {
  double training = 0, validation = 0;  // mean of the last 100 steps; of the first 20,000 held-out tokens
};

Losses losses_after(Index steps, Precision precision, Activations activations, std::uint64_t seed, const TokenDataset& training,
                    const TokenDataset& validation) {
  PretrainConfig config = pretrain_config("shakespeare-cpu");
  config.model.vocabulary = 65;
  config.steps = steps;
  Decoder decoder = Decoder::described(config.model);
  initialise(decoder, seed);
  PackedWindows windows(training, {.sequence = config.sequence, .seed = seed});
  Losses losses;
  const TrainResult result = train(decoder, windows, EvaluationWindows(validation, {.sequence = config.sequence}),
                                   {.steps = config.steps,
                                    .batch = config.batch,
                                    .schedule = config.schedule(),
                                    .optimizer = config.optimizer,
                                    .precision = precision,
                                    .activations = activations,
                                    .seed = seed,
                                    .evaluate_every = 0,
                                    .log_every = 1},
                                   {.progress = [&](const Progress& progress) {
                                     if (progress.step > steps - 100) losses.training += progress.loss / 100;
                                   }});
  losses.validation = *result.progress.validation_loss;
  return losses;
}

}  // namespace

TEST_CASE("500 steps with products, or activations, in bfloat16 end within 0.5 % of the loss in f32, three seeds") {
  const auto path = plume_test::test_data("corpora/tinyshakespeare.txt");
  if (!path) return;
  const std::string text = read_text(*path);
  const auto [training, held_out] = token_dataset(text, character_tokenizer(text)).split(0.1);
  const TokenDataset validation = held_out.part(0, 20000);
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    CAPTURE(seed);
    const Losses single = losses_after(500, Precision::f32, Activations::full, seed, training, validation);
    CHECK(single.validation < 2.6);  // it has learned something that can be lost
    for (const auto& [what, precision, activations] :
         {std::tuple{"products", Precision::bf16, Activations::full}, {"activations", Precision::f32, Activations::bf16}}) {
      const Losses rounded = losses_after(500, precision, activations, seed, training, validation);
      MESSAGE("seed ", seed, ", ", what, ": training ", single.training, " and ", rounded.training, ", validation ", single.validation,
              " and ", rounded.validation);
      CHECK(std::abs(rounded.training - single.training) <= 0.005 * single.training);
      CHECK(std::abs(rounded.validation - single.validation) <= 0.005 * single.validation);
      CHECK(rounded.training != single.training);  // another arithmetic, really
    }
  }
}
