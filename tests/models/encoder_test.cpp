// Encoders against transformers, on tiny models that it wrote: hidden states, pooled vectors, every gradient of three losses, files.
// tests/golden/make_encoder_decoders.py says how they were made.
#include "plume/models/encoder.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <set>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "../test_data.hpp"
#include "plume/base/atomic_save.hpp"
#include "plume/base/directory.hpp"
#include "plume/models/encoder_files.hpp"
#include "plume/models/families/encoders.hpp"
#include "plume/models/load.hpp"
#include "plume/models/tensor_files.hpp"
#include "plume/ops/cross_entropy.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden, plume_test::Tensors;

namespace {

struct Fixture {
  std::string folder;
  Tensors numbers;
  std::vector<TokenId> ids, types;

  explicit Fixture(const std::string& name)
      : folder(golden("encoders/" + name)), numbers(plume_test::read_safetensors(folder + "/golden.safetensors")) {
    ids = integers("source_ids");
    if (numbers.contains("token_types")) types = integers("token_types");
  }
  std::vector<TokenId> integers(const std::string& key) const {
    const auto span = numbers.at(key).span<TokenId>();
    return {span.begin(), span.end()};
  }
  Encoder model(DType dtype) const { return load_encoder(folder, {.dtype = dtype}); }
  Pass pass() const {
    Pass pass;
    for (const TokenId length : integers("source_lengths")) pass.segments.push_back({length});
    return pass;
  }
};

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden("encoders"))) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// How far hidden states and each kind of text vector are from transformers'.
double apart(Encoder& model, const Fixture& fixture) {
  Pass pass = fixture.pass();
  const Tensor states = model.hidden(fixture.ids, pass, fixture.types);
  double most = distance(states, fixture.numbers.at("states"));
  if (model.config.pooler) most = std::max(most, distance(model.pooled(states, pass), fixture.numbers.at("pooled")));
  model.config.pooling = Pooling::mean, model.config.normalised = true;
  most = std::max(most, distance(model.pool(states, pass), fixture.numbers.at("embedding.mean")));
  model.config.pooling = Pooling::first, model.config.normalised = false;
  return std::max(most, distance(model.pool(states, pass), fixture.numbers.at("embedding.cls")));
}

// The worst distance of a gradient of one of the losses, each relative to its largest element, at least to 1e-3 of the largest of all.
double worst_gradient(Encoder& model, const Fixture& fixture, const std::string& loss_name) {
  const families::EncoderFamily& family = families::encoder_of(Json::parse(plume_test::read_all(fixture.folder + "/config.json")));
  trainable_parameters(model);
  model.config.pooling = Pooling::mean, model.config.normalised = true;
  Pass pass = fixture.pass();
  Tape tape;
  const Tensor states = model.hidden(fixture.ids, pass, fixture.types);
  const std::vector<TokenId> of_texts{5, 11}, of_tokens = fixture.integers("targets");
  const bool by_token = loss_name == "states";
  const Tensor vectors = by_token ? states : loss_name == "pooled" ? model.pooled(states, pass) : model.pool(states, pass);
  const Tensor loss = classifier_loss(vectors, model.embedding.weight, {}, by_token ? of_tokens : of_texts);
  double most = 0, worst = std::abs(loss.item() - fixture.numbers.at("loss." + loss_name).item());
  const Gradients gradients = tape.backward(loss);
  const std::string prefix = concat("gradient.", loss_name, ".");
  std::size_t known = 0, met = 0;
  for (const auto& [key, tensor] : fixture.numbers)
    if (key.starts_with(prefix)) most = std::max(most, plume_test::largest(tensor)), ++known;
  for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) {
    const FileName name = file_name(family, path);
    const auto found = fixture.numbers.find(prefix + name.name);
    if (found == fixture.numbers.end()) return void(worst = INFINITY);
    ++met;
    const double size = plume_test::largest(found->second), divisor = std::max(size, 1e-3 * most);
    // What a loss does not read has no gradient here and zeros there.
    Tensor ours = gradients.find(tensor);
    if (!ours && size == 0) ours = Tensor::zeros(tensor.shape(), tensor.dtype());
    if (name.transposed) ours = load_detail::transposed(ours);
    worst = std::max(worst, distance(ours, found->second) / divisor);
  });
  return met == known ? worst : INFINITY;
}

}  // namespace

TEST_CASE("hidden states and vectors of every encoder") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      Encoder model = fixture.model(dtype);
      CHECK(apart(model, fixture) <= (dtype == DType::f32 ? 1e-4 : 1e-9));
      for (std::size_t blocks = 1; blocks <= model.stack.blocks.size(); ++blocks) {
        Encoder part = fixture.model(dtype);
        part.stack.blocks.resize(blocks);
        part.stack.norm = {};
        Pass pass = fixture.pass();
        CHECK(distance(part.hidden(fixture.ids, pass, fixture.types), fixture.numbers.at(concat("hidden.encoder.", blocks - 1))) <= 1e-4);
      }
    }
    Encoder model = fixture.model(DType::bf16);
    CHECK(apart(model, fixture) > 1e-5);
    CHECK(apart(model, fixture) < 0.2);
  }
}

TEST_CASE("the gradient of every tensor of every encoder, by tokens, pooler and mean of a text") {
  for (const std::string& name : fixtures()) {
    const Fixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64})
      for (const std::string loss : {"states", "pooled", "mean"}) {
        Encoder model = fixture.model(dtype);
        if (loss == "pooled" && !model.config.pooler) continue;
        CHECK_MESSAGE(worst_gradient(model, fixture, loss) <= (dtype == DType::f32 ? 1e-4 : 1e-9), name << ": " << loss);
      }
  }
}

TEST_CASE("a text in a batch is the text alone") {
  const Fixture fixture("bert");
  const Encoder model = fixture.model(DType::f32);
  Pass both = fixture.pass(), one;
  const Tensor vectors = model.embed(fixture.ids, both, fixture.types);
  const std::size_t first = static_cast<std::size_t>(both.segments[0].tokens);
  const Tensor alone = model.embed(std::span(fixture.ids).subspan(first), one, std::span(fixture.types).subspan(first));
  CHECK(distance(alone, vectors.rows(1, 2)) <= 1e-5);
}

TEST_CASE("mutations of every encoder do not pass") {
  using Change = std::function<bool(Encoder&)>;  // false: there is nothing to change
  const auto on_blocks = [](std::function<void(Block&)> change) {
    return Change([change](Encoder& model) {
      for (Block& block : model.stack.blocks) change(block);
      return true;
    });
  };
  const std::vector<std::pair<std::string, Change>> changes{
      {"epsilon times ten", on_blocks([](Block& block) { block.attention_norm.epsilon *= 10; })},
      {"epsilon of the embedding's norm times ten",
       [](Encoder& model) { return model.stack.embedding_norm.epsilon *= 10, model.config.stack.embedding_norm; }},
      {"no norm at the end", [](Encoder& model) { return model.stack.norm = {}, model.config.stack.final_norm; }},
      {"no bias by distance", [](Encoder& model) { return model.stack.relative.weight && (model.stack.relative.weight.fill(0), true); }},
      {"buckets of one direction",
       [](Encoder& model) { return std::exchange(model.stack.relative.rule.both_directions, false) && model.stack.relative.weight; }},
      {"scores are scaled",
       [](Encoder& model) { return model.stack.blocks[1].attention.shape.scale = 0, model.config.stack.attention_scale != 0; }},
      {"no norm of embeddings", [](Encoder& model) { return static_cast<bool>(std::exchange(model.stack.embedding_norm, {}).weight); }},
      {"norms before the sums, or behind",
       on_blocks([](Block& block) { block.wiring = block.wiring == Wiring::sequential ? Wiring::post_norm : Wiring::sequential; })},
      {"no positions", [](Encoder& model) { return model.stack.position.weight && (model.stack.position.weight.fill(0), true); }},
      {"positions one row earlier",
       [](Encoder& model) { return model.stack.config.first_position > 0 && model.stack.config.first_position-- > 0; }},
      {"positions from the first row on", [](Encoder& model) { return std::exchange(model.stack.config.first_position, 0) > 0; }},
      {"token types exchanged",
       [](Encoder& model) {
         if (model.config.token_types < 2) return false;
         const Tensor rows = model.token_type.weight.copy();
         model.token_type.weight = rows.copy();
         model.token_type.weight.rows(0, 1).assign(rows.rows(1, 2)), model.token_type.weight.rows(1, 2).assign(rows.rows(0, 1));
         return true;
       }},
      {"the other GELU", on_blocks([](Block& block) {
         ActivationKind& kind = block.mlp.rule.kind;
         kind = kind == ActivationKind::gelu_erf ? ActivationKind::gelu_tanh : ActivationKind::gelu_erf;
       })},
      {"keys and values exchanged", on_blocks([](Block& block) { std::swap(block.attention.k, block.attention.v); })},
      {"a bias left out", [](Encoder& model) { return static_cast<bool>(std::exchange(model.stack.blocks[0].attention.v.bias, {})); }}};
  for (const std::string& name : fixtures()) {
    const Fixture fixture(name);
    for (const auto& change : changes) {
      Encoder model = fixture.model(DType::f64);
      for (Tensor* table : {&model.stack.position.weight, &model.stack.relative.weight})
        if (*table) *table = table->copy();
      if (!change.second(model)) continue;
      CHECK_MESSAGE(apart(model, fixture) > 1e-6, name << ": " << change.first);
    }
    Encoder model = fixture.model(DType::f64);
    if (model.config.stack.first_position > 0) continue;  // its texts hold no padding token
    if (model.config.stack.frozen_token < 0) continue;    // none stands still
    model.stack.config.frozen_token = -1;                 // the padding token's row learns
    CHECK(worst_gradient(model, fixture, "states") > 1e-6);
  }
}

TEST_CASE("every encoder is written back as it was, with what sentence-transformers reads") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    Encoder model = fixture.model(DType::f32);
    CHECK(model.config.pooling == Pooling::mean);
    CHECK(!model.config.normalised);
    model.config.pooling = Pooling::first, model.config.normalised = true;
    const plume_test::TemporaryDirectory directory;
    save(model, directory.path());
    CHECK(load_encoder(directory.path()).config == model.config);
    CHECK(Json::parse(plume_test::read_all(directory / "config.json")).text("model_type") ==
          Json::parse(plume_test::read_all(fixture.folder + "/config.json")).text("model_type"));
    const Tensors before = plume_test::read_safetensors(fixture.folder + "/model.safetensors"),
                  after = plume_test::read_safetensors(directory / "model.safetensors");
    CHECK(before.size() == after.size());
    for (const auto& entry : before) {
      CAPTURE(entry.first);
      REQUIRE(after.contains(entry.first));
      CHECK(plume_test::same_bits(entry.second, after.at(entry.first)));
    }
  }
}

TEST_CASE("pooling and modules as sentence-transformers writes them; what is not there is refused by name") {
  const Fixture fixture("bert");
  const plume_test::TemporaryDirectory directory;
  std::filesystem::copy(fixture.folder, directory.path(),
                        std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  make_directory(directory / "1_Pooling");
  const auto write = [&](const std::string& name, const std::string& text) {
    atomic_save(directory / name, [&](FileWriter& out) { out.write(text); });
  };
  const std::string modes =
      R"({"word_embedding_dimension": 24, "pooling_mode_cls_token": %1, "pooling_mode_mean_tokens": %2, "pooling_mode_max_tokens": %3,
          "pooling_mode_mean_sqrt_len_tokens": false, "include_prompt": true})";
  const auto pooling = [&](std::initializer_list<const char*> values) {
    std::string text = modes;
    int number = 1;
    for (const char* value : values) text.replace(text.find(concat("%", number++)), 2, value);
    write("1_Pooling/config.json", text);
    return load_encoder(directory.path()).config.pooling;
  };
  CHECK(pooling({"true", "false", "false"}) == Pooling::first);
  CHECK(pooling({"false", "true", "false"}) == Pooling::mean);
  CHECK_THROWS_WITH_AS(pooling({"false", "false", "true"}), doctest::Contains("max_tokens"), ConfigError);
  CHECK_THROWS_WITH_AS(pooling({"true", "true", "false"}), doctest::Contains("several modes"), ConfigError);
  write("1_Pooling/config.json", R"({"pooling_mode": "cls"})");
  const auto modules = [&](const std::string& kind, const std::string& path) {
    write("modules.json", R"([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
      {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
      {"idx": 2, "name": "2", "path": ")" +
                              path + R"(", "type": "sentence_transformers.models.)" + kind + R"("}])");
    return load_encoder(directory.path()).config;
  };
  CHECK(modules("Normalize", "2_Normalize").normalised);
  CHECK(modules("Normalize", "2_Normalize").pooling == Pooling::first);
  CHECK_THROWS_WITH_AS(modules("LSTM", "2_LSTM"), doctest::Contains("sentence_transformers.models.LSTM"), ConfigError);
  CHECK_THROWS_WITH_AS(modules("Pooling", "../elsewhere"), doctest::Contains("leaves its folder"), FormatError);
  CHECK_THROWS_WITH_AS(modules("Pooling", "/elsewhere"), doctest::Contains("is absolute"), FormatError);
  CHECK_THROWS_WITH_AS(modules("Pooling", "a\\fb"), doctest::Contains("control character"), FormatError);
  const plume_test::TemporaryDirectory elsewhere;
  std::filesystem::copy(directory / "1_Pooling", elsewhere.path(), std::filesystem::copy_options::recursive);
  std::filesystem::create_directory_symlink(elsewhere.path(), directory / "2_Linked");
  CHECK_THROWS_WITH_AS(modules("Pooling", "2_Linked"), doctest::Contains("is a symbolic link"), FormatError);
  CHECK_THROWS_WITH_AS(modules("Transformer", "0_Transformer"), doctest::Contains("a folder of its own"), ConfigError);

  CHECK_THROWS_WITH_AS(load(fixture.folder), doctest::Contains("it is an encoder: load_encoder() reads it"), ConfigError);
  for (const auto& [key, value] : {std::pair<std::string, Json>{"is_decoder", true},
                                   {"add_cross_attention", true},
                                   {"position_embedding_type", "relative_key"},
                                   {"hidden_act", "tanh"}}) {
    Json json = Json::parse(plume_test::read_all(fixture.folder + "/config.json"));
    json.set(key, value);
    CHECK_THROWS_AS(families::bert.read(json), ConfigError);
  }
  {
    Json json = Json::parse(plume_test::read_all(fixture.folder + "/config.json"));
    for (const auto& [value, word] : {std::pair<Json, const char*>{Json(Index{1} << 40), "max_vocabulary"}, {Json(0), "at least 1"}}) {
      json.set("type_vocab_size", value);
      write("config.json", dump(json));
      write("modules.json", "[]");
      CHECK_THROWS_WITH_AS(load_encoder(directory.path()), doctest::Contains(word), InputError);
    }
    EncoderConfig config = fixture.model(DType::f32).config;
    config.token_types = -1;
    CHECK_THROWS_WITH_AS(config.check("here.json"), doctest::Contains("token_types"), ConfigError);
    Encoder strange = fixture.model(DType::f32);
    strange.config.stack.norm_offset = 1;
    CHECK_THROWS_WITH_AS(save(strange, directory / "strange"), doctest::Contains("no family of encoders has a place"), ArgumentError);
    CHECK(!std::filesystem::exists(directory / "strange"));
  }
  Pass pass;
  const Encoder model = fixture.model(DType::f32);
  CHECK_THROWS_WITH_AS(model.hidden({}, pass), doctest::Contains("no tokens"), ArgumentError);
  const std::vector<TokenId> long_text(49, 3), three{1, 2, 3}, two{0, 1};
  CHECK_THROWS_WITH_AS(model.hidden(long_text, pass), doctest::Contains("past the context of 48"), ArgumentError);
  CHECK_THROWS_WITH_AS(model.hidden(three, pass, two), doctest::Contains("2 token types for 3 tokens"), ArgumentError);
}

TEST_CASE("parameter count of bert-base-uncased, from its configuration alone") {
  const Json json = Json::parse(R"({"model_type": "bert", "hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 12,
    "intermediate_size": 3072, "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2})");
  CHECK(count_parameters(Encoder::described(families::bert.read(json))) == 109482240);
}

TEST_CASE("RoBERTa's positions begin behind its padding token, which no text may hold") {
  const Fixture fixture("roberta");
  const Encoder model = fixture.model(DType::f32);
  CHECK(model.config.stack.first_position == 2);
  CHECK(model.config.stack.context == 46);
  Pass pass;
  const std::vector<TokenId> padded{0, 5, 2, 1, 1};
  CHECK_THROWS_WITH_AS(model.hidden(padded, pass), doctest::Contains("holds the padding token, 1"), ArgumentError);
  const std::vector<TokenId> long_text(47, 3);
  CHECK_THROWS_WITH_AS(model.hidden(long_text, pass), doctest::Contains("past the context of 46"), ArgumentError);
  const auto read = [&](const std::string& key, Json value) {
    Json json = Json::parse(plume_test::read_all(fixture.folder + "/config.json"));
    json.set(key, std::move(value));
    return families::roberta.read(json);
  };
  CHECK_THROWS_WITH_AS(read("pad_token_id", nullptr), doctest::Contains("positions count from behind it"), ConfigError);
  CHECK_THROWS_WITH_AS(read("max_position_embeddings", 2), doctest::Contains("is 2, of which 2 are never read"), ConfigError);
  Config stack = model.config.stack;
  stack.first_position = -1;
  CHECK_THROWS_WITH_AS(stack.check_stack(), doctest::Contains("first_position"), ConfigError);
  stack = model.config.stack, stack.bidirectional = false;
  CHECK_THROWS_WITH_AS(stack.check_stack(), doctest::Contains("only encoders with learned positions"), ConfigError);
}
