#include "plume/train/named_configs.hpp"

#include <doctest/doctest.h>

#include "plume/models/decoder.hpp"
#include "plume/models/families/families.hpp"
#include "temporary_folder.hpp"

using namespace plume;

TEST_CASE("every named configuration is a model that a family can hold") {
  for (const NamedConfig& named : named_configs) {
    CAPTURE(named.name);
    PretrainConfig config = pretrain_config(std::string(named.name));
    config.model.vocabulary = 65;
    CHECK_NOTHROW(config.model.check());
    CHECK_NOTHROW(families::fitting(config.model));
    CHECK(config.schedule().steps == config.steps);
    CHECK(config.warmup < config.steps);
  }
}

TEST_CASE("shapes are those of their sources") {
  const auto parameters = [](const std::string& name, Index vocabulary) {
    PretrainConfig config = pretrain_config(name);
    config.model.vocabulary = vocabulary;
    return count_parameters(Decoder::described(config.model));
  };
  CHECK(parameters("gpt2-124m", 50257) == 124'439'808);                                      // transformers, GPT2LMHeadModel(GPT2Config())
  CHECK(parameters("gpt3-125m", 50257) == 124'439'808 + 1024 * 768);                         // GPT-2's, with twice the positions
  CHECK(parameters("gpt3-175b", 50257) == 174'604'259'328);                                  // the paper's 175B
  CHECK(parameters("stories15m", 32000) == 15'191'712);                                      // llama2.c's stories15M
  CHECK(parameters("shakespeare", 65) == 10'646'784 - 1024 * 384 + 1024 * 384 + 256 * 384);  // nanoGPT's 10.65M counts no positions
  CHECK(parameters("shakespeare-cpu", 65) == 795'904 + 64 * 128);                            // nanoGPT's 0.80M
}

TEST_CASE("JSON files: unknown keys, families and shapes that do not work are refused") {
  const plume_test::TemporaryFolder folder;
  const auto refused = [&](std::string_view text, const char* word) {
    CHECK_THROWS_WITH_AS(pretrain_config(folder.write("c.json", text)), doctest::Contains(word), ConfigError);
  };
  const std::string banded = R"({"family":"gpt3","layers":3,"heads":2,"width":8,"context":16)";
  refused(banded + "}", "window");
  refused(banded + R"(,"window":0})", "expected at least 1");
  refused(banded + R"(,"window":4,"key_heads":1})", "gpt3 family has as many key heads");
  refused(R"({"family":"gpt2","layers":3,"heads":2,"width":8,"context":16,"window":4})", "the gpt2 family has no window");
  const Config gpt3 = pretrain_config(folder.write("c.json", banded + R"(,"window":4})")).model;
  CHECK(gpt3.window == 4);
  for (Index i = 0; i < 3; ++i) CHECK((gpt3.layer(i).scope == AttentionScope::local) == (i == 1));
  const std::string good = R"({"family":"llama","layers":1,"heads":2,"width":8,"hidden":16,"context":16)";
  CHECK(pretrain_config(folder.write("c.json", good + "}")).sequence == 16);
  refused(good + R"(,"learningrate":1})", "learningrate: unknown key");
  refused(good + R"(,"sequence":17})", "longer than the context of 16");
  refused(good + R"(,"bias":true})", "no biases");
  refused(good + R"(,"heads_":1})", "unknown key");
  refused(R"({"family":"bert","layers":1,"heads":2,"width":8,"context":16})", "unknown family \"bert\"");
  refused(R"({"family":"gpt2","layers":1,"heads":3,"width":8,"context":16})", "does not divide into 3 heads");
  refused(R"({"family":"gpt2","layers":1,"heads":0,"width":8,"context":16})", "heads is 0");
  refused(R"({"family":"gpt2","layers":1,"heads":2,"key_heads":1,"width":8,"context":16})", "as many key heads as heads");
  for (const char* text :
       {R"("learning_rate":0)", R"("learning_rate":-1)", R"("minimum_learning_rate":-1)", R"("minimum_learning_rate":1)", R"("warmup":-1)",
        R"("weight_decay":-0.1)", R"("dropout":1)", R"("dropout":-0.1)", R"("clip":-1)", R"("beta1":1)", R"("beta2":-1)", R"("epsilon":0)",
        R"("evaluate_every":-1)", R"("rotary_base":0)", R"("batch":0)"}) {
    CAPTURE(text);
    const std::string path = folder.write("c.json", concat(good, ",", text, "}"));
    const std::string_view key = std::string_view(text).substr(1, std::string_view(text).find('"', 1) - 1);
    try {
      pretrain_config(path);
      FAIL("nothing thrown");
    } catch (const ConfigError& error) {
      CHECK(error.where().path == path);
      CHECK(error.where().field == key);
    }
  }
  for (const char* key : {"layers", "width", "hidden", "context", "heads"}) {
    const std::string name = concat('"', key, "\":");
    std::string text = good + "}";
    const std::size_t begin = text.find(name) + name.size();
    text.replace(begin, text.find_first_of(",}", begin) - begin, "0");
    refused(text, concat(key, " is 0").c_str());
  }
  refused(R"({"family":"gpt2","heads":1,"width":8,"context":16})", "layers");
  CHECK_THROWS_WITH_AS(pretrain_config("nothing"), doctest::Contains("known: tiny, shakespeare-cpu"), ConfigError);
}
