// nightly: tiny Shakespeare, character level, configuration shakespeare-cpu
#include <doctest/doctest.h>

#include "plume/models/decoder.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/train/named_configs.hpp"
#include "plume/train/train.hpp"
#include "test_data.hpp"

using namespace plume;

TEST_CASE("tiny Shakespeare reaches a validation loss of 1.93 in the mean of three seeds") {
  const auto path = plume_test::test_data("corpora/tinyshakespeare.txt");
  if (!path) return;
  const std::string text = read_text(*path);
  const Tokenizer tokenizer = character_tokenizer(text);
  CHECK(tokenizer.vocabulary() == 65);
  const auto [training, validation] = token_dataset(text, tokenizer).split(0.1);
  double sum = 0;
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    PretrainConfig config = pretrain_config("shakespeare-cpu");
    config.model.vocabulary = tokenizer.vocabulary();
    Decoder decoder = Decoder::described(config.model);
    initialise(decoder, seed);
    PackedWindows windows(training, {.sequence = config.sequence, .seed = seed});
    const TrainResult result = train(decoder, windows, EvaluationWindows(validation, {.sequence = config.sequence}),
                                     {.steps = config.steps,
                                      .batch = config.batch,
                                      .schedule = config.schedule(),
                                      .optimizer = config.optimizer,
                                      .seed = seed,
                                      .evaluate_every = 0});
    MESSAGE("seed ", seed, ": validation loss ", *result.progress.validation_loss);
    sum += *result.progress.validation_loss;
  }
  CHECK(sum / 3 <= 1.93);
}
