// Encoders with what sentence-transformers puts behind them: pooling, a dense layer, normalisation (tests/golden/make_sentence.py).
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary_folder.hpp"
#include "../test_data.hpp"
#include "plume/formats/safetensors.hpp"
#include "plume/models/encoder_files.hpp"
#include "plume/models/encoder_heads.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden, plume_test::read_all, plume_test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

// The encoder's files and the modules that stand behind it, in one folder.
void put_together(const std::string& name, const TemporaryFolder& folder) {
  constexpr auto over = fs::copy_options::recursive | fs::copy_options::overwrite_existing;
  fs::copy(golden("encoders/" + name), folder.path(), over);
  fs::copy(golden("sentence/" + name), folder.path(), over);
}

double apart(const Encoder& model, const std::string& name) {
  const auto numbers = plume_test::read_safetensors(golden("encoders/" + name + "/golden.safetensors"));
  const auto integers = [&](const std::string& key) {
    const auto span = numbers.at(key).span<TokenId>();
    return std::vector<TokenId>(span.begin(), span.end());
  };
  Pass pass;
  for (const TokenId length : integers("source_lengths")) pass.segments.push_back({length});
  const std::vector<TokenId> types = numbers.contains("token_types") ? integers("token_types") : std::vector<TokenId>();
  const Tensor vectors = model.embed(integers("source_ids"), pass, types);
  return distance(vectors, plume_test::read_safetensors(golden("sentence/" + name + "/golden.safetensors")).at("vectors"));
}

const std::vector<std::string> names{"t5_encoder", "bert_cls"};

}  // namespace

TEST_CASE("vectors behind a dense layer are those of sentence-transformers, and are written back") {
  for (const std::string& name : names) {
    INFO(name);
    const TemporaryFolder folder, copy;
    put_together(name, folder);
    CHECK(apart(load_encoder(folder.path(), {.dtype = DType::f64}), name) <= 1e-9);
    const Encoder model = load_encoder(folder.path());
    CHECK(apart(model, name) <= 1e-5);
    CHECK(model.config.normalised == (name == "t5_encoder"));
    save(model, copy.path());
    CHECK(load_encoder(copy.path()).config == model.config);
    CHECK(apart(load_encoder(copy.path()), name) == apart(model, name));
    for (const auto& entry : plume_test::read_safetensors(folder / "2_Dense/model.safetensors"))
      CHECK(plume_test::same_bits(plume_test::read_safetensors(copy / "2_Dense/model.safetensors").at(entry.first), entry.second));
    CHECK(plume_test::read_safetensors(copy / "model.safetensors").size() ==
          plume_test::read_safetensors(folder / "model.safetensors").size());
    const Json ours = Json::parse(read_all(copy / "2_Dense/config.json")), theirs = Json::parse(read_all(folder / "2_Dense/config.json"));
    for (const char* key : {"in_features", "out_features", "bias", "activation_function"})
      CHECK(dump(ours.at(key)) == dump(theirs.at(key)));
  }
}

TEST_CASE("slips behind the pooling do not pass") {
  const std::vector<std::function<bool(Encoder&)>> changes{
      [](Encoder& model) { return model.config.pooling = model.config.pooling == Pooling::mean ? Pooling::first : Pooling::mean, true; },
      [](Encoder& model) { return model.config.dense->tanh = !model.config.dense->tanh, true; },
      [](Encoder& model) { return static_cast<bool>(std::exchange(model.dense.bias, {})); },
      [](Encoder& model) { return model.config.normalised = !model.config.normalised, true; }};
  for (const std::string& name : names)
    for (std::size_t i = 0; i < changes.size(); ++i) {
      const TemporaryFolder folder;
      put_together(name, folder);
      Encoder model = load_encoder(folder.path(), {.dtype = DType::f64});
      if (changes[i](model)) CHECK_MESSAGE(apart(model, name) > 1e-3, name << ", slip " << i);
    }
}

TEST_CASE("dense layers that plume does not have, or that do not fit, are refused by name") {
  const TemporaryFolder folder;
  put_together("t5_encoder", folder);
  const std::string config = read_all(folder / "2_Dense/config.json"), modules = read_all(folder / "modules.json");
  const auto refused = [&](const std::string& key, const Json& value, const char* what) {
    Json json = Json::parse(config);
    json.set(key, value);
    folder.write("2_Dense/config.json", dump(json));
    CHECK_THROWS_WITH_AS(load_encoder(folder.path()), doctest::Contains(what), ConfigError);
    folder.write("2_Dense/config.json", config);
  };
  refused("activation_function", "torch.nn.modules.activation.ReLU", "plume has Identity and Tanh");
  refused("in_features", 17, "the encoder is 18 wide");
  refused("out_features", Index{1} << 21, "dense.outputs");
  refused("out_features", 12, "asks for (12, 18)");
  refused("bias", true, "1 tensors are missing: linear.bias");
  refused("module_input_name", "token_embeddings", "only sentence_embedding is supported");
  const auto listed = [&](const std::function<void(std::vector<Json>&)>& change) {
    std::vector<Json> all;
    const Json list = Json::parse(modules);
    for (const Json& module : list.items()) all.push_back(module);
    change(all);
    Json json = Json::array();
    for (const Json& module : all) json.push(module);
    folder.write("modules.json", dump(json));
    load_encoder(folder.path());
  };
  CHECK_NOTHROW(listed([](std::vector<Json>&) {}));
  CHECK_THROWS_WITH_AS(listed([](std::vector<Json>& all) { all.push_back(all[2]), std::swap(all[3], all[4]); }),
                       doctest::Contains("several layers"), ConfigError);
  CHECK_THROWS_WITH_AS(listed([](std::vector<Json>& all) { std::swap(all[2], all[3]); }), doctest::Contains("behind the normalisation"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(listed([](std::vector<Json>& all) { all[2].set("path", "../2_Dense"); }), doctest::Contains("leaves its folder"),
                       FormatError);
  fs::remove(folder / "2_Dense/model.safetensors");
  CHECK_THROWS_AS(listed([](std::vector<Json>&) {}), IoError);

  // A head has no vectors behind it: what says how to make them is not read, and goes where a head comes.
  put_together("t5_encoder", folder);
  Encoder model = load_encoder(folder.path());
  put_head(model, Task::scalar(), 1);
  CHECK((!model.config.dense && !model.dense.weight));
  model.config.dense = DenseShape{.outputs = 3};
  CHECK_THROWS_WITH_AS(model.config.check(), doctest::Contains("an encoder with a head does not have"), ConfigError);
  const TemporaryFolder other;
  fs::copy(golden("encoder_heads/bert_reranker"), other.path(), fs::copy_options::overwrite_existing | fs::copy_options::recursive);
  other.write("modules.json", R"([{"type": "sentence_transformers.cross_encoder.Something", "path": ""}])");
  CHECK_NOTHROW(load_encoder(other.path()));
}
