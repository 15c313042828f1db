// Catalogue C19: a checkpoint of another adapter. Adapter files that do not fit are in tests/peft/adapter_files_test.cpp.
#include <doctest/doctest.h>

#include "plume/peft/adapted_model.hpp"
#include "plume/train/train.hpp"
#include "temporary_folder.hpp"
#include "train/toy.hpp"

using namespace plume;
using plume_test::TemporaryFolder;

TEST_CASE("C19 a checkpoint of an adapter of another rank, alpha, target, dropout or base is refused") {
  const toy::Data data;
  const Decoder base = toy::model(data.tokenizer.vocabulary(), 1), other = toy::model(data.tokenizer.vocabulary(), 9);
  const Lora lora{.rank = 4, .alpha = 8, .targets = {"all-linear"}, .dropout = 0.1, .seed = 2};
  const TemporaryFolder folder;
  const auto run = [&](const Decoder& model, const Lora& options) {
    Adapter adapter = attach(model, options);
    AdaptedModel adapted(model, adapter);
    PackedWindows windows(data.training, {.sequence = 32, .seed = 3});
    TrainOptions training = toy::options(3);
    training.directory = folder.path();
    training.resume = Resume::newest;
    train(adapted, windows, NoEvaluation{}, training);
  };
  const auto field = [&](const Decoder& model, const Lora& options) {
    try {
      run(model, options);
    } catch (const ConfigError& error) {
      return error.where().field;
    }
    return std::string("accepted");
  };
  run(base, lora);
  CHECK(field(base, lora) == "accepted");
  CHECK(field(other, lora) == "manifest.model");
  const auto changed = [&](auto&& edit) {
    Lora options = lora;
    edit(options);
    return field(base, options);
  };
  CHECK(changed([](Lora& options) { options.rank = 5; }) == "manifest.model");
  CHECK(changed([](Lora& options) { options.alpha = 9; }) == "manifest.model");
  CHECK(changed([](Lora& options) { options.dropout = 0.2; }) == "manifest.model");
  CHECK(changed([](Lora& options) { options.rslora = true; }) == "manifest.model");
  CHECK(changed([](Lora& options) { options.targets = {"q_proj"}; }) == "manifest.model");
  CHECK(changed([](Lora& options) { options.rank_pattern = {{"q_proj", 3}}; }) == "manifest.model");
  CHECK(changed([](Lora& options) { options.alpha_pattern = {{"q_proj", 3}}; }) == "manifest.model");
}
