// Encoders with heads against transformers, on tiny models that it wrote: scores of pairs of texts and of tokens, scores of masked tokens,
// losses, every gradient, files written back. tests/golden/make_encoder_heads.py says how they were made.
#include "plume/models/encoder_heads.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary_folder.hpp"
#include "../test_data.hpp"
#include "plume/formats/safetensors.hpp"
#include "plume/models/encoder_files.hpp"
#include "plume/models/families/encoders.hpp"
#include "plume/models/load.hpp"
#include "plume/optim/adamw.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden, plume_test::read_all, plume_test::TemporaryFolder, plume_test::Tensors;

namespace {

struct Fixture {
  std::string folder;
  Tensors numbers;
  std::vector<TokenId> ids, types;

  explicit Fixture(const std::string& name)
      : folder(golden("encoder_heads/" + name)), numbers(plume_test::read_safetensors(folder + "/golden.safetensors")) {
    ids = integers("input_ids"), types = integers("token_types");
  }
  std::vector<TokenId> integers(const std::string& key) const {
    const auto span = numbers.at(key).span<TokenId>();
    return {span.begin(), span.end()};
  }
  Json json() const { return Json::parse(read_all(folder + "/config.json")); }
  Encoder model(DType dtype) const { return load_encoder(folder, {.dtype = dtype}); }
  Pass pass() const {
    Pass pass;
    for (const TokenId length : integers("lengths")) pass.segments.push_back({length});
    return pass;
  }
  const Tensor& expected() const { return numbers.at(numbers.contains("logits") ? "logits" : "scores"); }
  Tensor scores(const Encoder& model) const {
    Pass of = pass();
    return model.config.fills_masks ? masked_logits(model, ids, of, types) : label_scores(model, ids, of, types);
  }
  Tensor loss(const Encoder& model) const {
    Pass of = pass();
    if (model.config.fills_masks) return masked_loss(model, ids, integers("labels"), of, types);
    if (numbers.contains("labels")) return label_loss(model, ids, integers("labels"), of, types);
    return label_loss(model, ids, numbers.at("targets").to(model.embedding.weight.dtype()), of, types);
  }
};

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden("encoder_heads"))) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// Each gradient relative to its largest element, at least to 1e-3 of the largest of all.
double worst_gradient(Encoder& model, const Fixture& fixture) {
  const families::EncoderFamily& family = families::encoder_of(fixture.json());
  trainable_parameters(model);
  Tape tape;
  const Gradients gradients = tape.backward(fixture.loss(model));
  double most = 0, worst = 0;
  std::size_t known = 0, met = 0;
  for (const auto& entry : fixture.numbers)
    if (entry.first.starts_with("gradient.")) most = std::max(most, plume_test::largest(entry.second)), ++known;
  for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) {
    const auto found = fixture.numbers.find("gradient." + encoder_parameter_name(family, model.config, path).name);
    if (found == fixture.numbers.end()) return void(worst = INFINITY);
    ++met;
    worst = std::max(worst, distance(gradients.at(tensor), found->second) / std::max(plume_test::largest(found->second), 1e-3 * most));
  });
  return met == known && known > 0 ? worst : INFINITY;
}

}  // namespace

TEST_CASE("scores, losses and gradients of every encoder with a head") {
  CHECK(fixtures().size() == 9);
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      Encoder model = fixture.model(dtype);
      const double allowed = dtype == DType::f32 ? 1e-4 : 1e-9;
      CHECK(fixture.scores(model).shape() == fixture.expected().shape());
      CHECK(distance(fixture.scores(model), fixture.expected()) <= allowed);
      CHECK(std::abs(fixture.loss(model).item() - fixture.numbers.at("loss").item()) <= allowed);
      CHECK(worst_gradient(model, fixture) <= allowed);
    }
    const double apart = distance(fixture.scores(fixture.model(DType::bf16)), fixture.expected());
    CHECK(apart > 1e-5);
    CHECK(apart < 0.3);
  }
}

TEST_CASE("mutations of every encoder with a head do not pass") {
  using Change = std::function<bool(Encoder&)>;  // false: there is nothing to change
  const std::vector<std::pair<std::string, Change>> changes{
      {"no bias of the labels", [](Encoder& model) { return static_cast<bool>(std::exchange(model.label_head.bias, {})); }},
      {"no bias of the masked tokens", [](Encoder& model) { return static_cast<bool>(std::exchange(model.head.bias, {})); }},
      {"no bias of the pooler", [](Encoder& model) { return static_cast<bool>(std::exchange(model.pooler.bias, {})); }},
      {"epsilon of the head's norm times ten", [](Encoder& model) { return model.transform_norm.epsilon *= 10, model.config.fills_masks; }},
      {"another activation in the head",
       [](Encoder& model) {
         ActivationKind& kind = model.config.mask_activation.kind;
         kind = kind == ActivationKind::gelu_erf ? ActivationKind::gelu_tanh : ActivationKind::gelu_erf;
         return model.config.fills_masks;
       }},
      {"scores of sequences for each token",
       [](Encoder& model) {
         return model.config.task && std::exchange(model.config.task->kind, TaskKind::token_labels) == TaskKind::sequence_labels;
       }},
      {"token types left out", [](Encoder& model) {
         if (model.config.token_types < 2) return false;
         model.token_type.weight = model.token_type.weight.copy();
         model.token_type.weight.rows(1, 2).assign(model.token_type.weight.rows(0, 1).copy());
         return true;
       }}};
  for (const std::string& name : fixtures()) {
    const Fixture fixture(name);
    for (const auto& change : changes) {
      Encoder model = fixture.model(DType::f64);
      if (!change.second(model)) continue;
      const Tensor scores = fixture.scores(model);
      CHECK_MESSAGE((scores.shape() != fixture.expected().shape() || distance(scores, fixture.expected()) > 1e-6),
                    name << ": " << change.first);
    }
  }
}

TEST_CASE("a re-ranker's score of a pair in a batch is that of the pair alone, and depends on where the second text begins") {
  const Fixture fixture("bert_reranker");
  const Encoder model = fixture.model(DType::f32);
  const Tensor together = fixture.scores(model);
  CHECK(together.shape() == Shape{3, 1});
  std::size_t begin = 0;
  const std::vector<TokenId> lengths = fixture.integers("lengths");
  for (std::size_t pair = 0; pair < lengths.size(); ++pair) {
    const auto count = static_cast<std::size_t>(lengths[pair]);
    const auto ids = std::span(fixture.ids).subspan(begin, count), types = std::span(fixture.types).subspan(begin, count);
    Pass one, without;
    CHECK(label_scores(model, ids, one, types).item() == doctest::Approx(together.span<float>()[pair]).epsilon(1e-5));
    CHECK(std::abs(label_scores(model, ids, without).item() - together.span<float>()[pair]) > 1e-3);
    begin += count;
  }
}

TEST_CASE("every encoder with a head is written back as it was, under its class") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    const Encoder model = fixture.model(DType::f32);
    const TemporaryFolder folder;
    save(model, folder.path());
    CHECK(load_encoder(folder.path()).config == model.config);
    CHECK(folder.entries() == 2);  // nothing that says how texts become vectors
    const Json ours = Json::parse(read_all(folder / "config.json")), theirs = fixture.json();
    for (const char* key : {"architectures", "model_type", "id2label", "pad_token_id", "type_vocab_size", "hidden_act"})
      if (const Json* const value = theirs.find(key);
          value && !(model.config.fills_masks && std::string_view(key).find("label") != std::string_view::npos))
        CHECK_MESSAGE(dump(ours.at(key)) == dump(*value), key);
    const Tensors before = plume_test::read_safetensors(fixture.folder + "/model.safetensors"),
                  after = plume_test::read_safetensors(folder / "model.safetensors");
    CHECK(before.size() == after.size());
    for (const auto& entry : before) {
      CAPTURE(entry.first);
      REQUIRE(after.contains(entry.first));
      CHECK(plume_test::same_bits(entry.second, after.at(entry.first)));
    }
  }
  const Encoder model = Fixture("bert_sequence").model(DType::f32);
  CHECK(model.config.task->names == std::vector<std::string>{"bad", "middling", "good"});
}

TEST_CASE("tensors that older files hold beside: tables, poolers, what pre-training had, tied weights once more") {
  const auto with = [](const std::string& name, const std::vector<std::pair<std::string, std::string>>& copies, double difference = 0) {
    const Fixture fixture(name);
    std::vector<NamedTensor> tensors;
    const Tensors stored = plume_test::read_safetensors(fixture.folder + "/model.safetensors");
    for (const auto& entry : stored) tensors.push_back({entry.first, entry.second});
    for (const auto& [from, to] : copies) {
      const Tensor copy = stored.at(from).copy();
      if (difference != 0) copy.writable<float>()[0] += static_cast<float>(difference);
      tensors.push_back({to, copy});
    }
    const TemporaryFolder folder;
    write_safetensors(folder / "model.safetensors", std::move(tensors));
    folder.write("config.json", read_all(fixture.folder + "/config.json"));
    return load_encoder(folder.path());
  };
  const std::string words = "embeddings.word_embeddings.weight";
  CHECK(!with("bert_masked", {{"bert." + words, "cls.predictions.decoder.weight"},
                              {"cls.predictions.bias", "cls.predictions.decoder.bias"},
                              {"cls.predictions.bias", "cls.seq_relationship.bias"},
                              {"bert." + words, "cls.seq_relationship.weight"}})
             .config.pooler);
  CHECK_NOTHROW(with("roberta_masked", {{"roberta." + words, "lm_head.decoder.weight"}, {"lm_head.bias", "lm_head.decoder.bias"}}));
  CHECK_THROWS_WITH_AS(with("bert_masked", {{"bert." + words, "cls.predictions.decoder.weight"}}, 0.5),
                       doctest::Contains("differs from bert.embeddings.word_embeddings.weight"), ConfigError);
  CHECK_THROWS_WITH_AS(with("roberta_masked", {{"lm_head.bias", "lm_head.decoder.bias"}}, 0.5),
                       doctest::Contains("differs from lm_head.bias"), ConfigError);
  const std::string square = "encoder.layer.0.attention.self.query.";
  const Encoder tokens = with(
      "bert_tokens", {{"bert." + square + "weight", "bert.pooler.dense.weight"}, {"bert." + square + "bias", "bert.pooler.dense.bias"}});
  CHECK(tokens.config.pooler);
  CHECK_NOTHROW(with("roberta_sequence", {{"roberta." + square + "weight", "roberta.pooler.dense.weight"},
                                          {"roberta." + square + "bias", "roberta.pooler.dense.bias"}}));
  CHECK_THROWS_WITH_AS(with("bert_tokens", {{"classifier.bias", "classifier.scale"}}), doctest::Contains("unexpected: classifier.scale"),
                       ConfigError);
}

TEST_CASE("norms under their older names") {
  const Fixture fixture("bert_masked");
  std::vector<NamedTensor> tensors;
  std::size_t renamed = 0;
  for (const auto& entry : plume_test::read_safetensors(fixture.folder + "/model.safetensors")) {
    std::string name = entry.first;
    for (const auto& [now, then] :
         {std::pair<std::string, std::string>{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}})
      if (name.ends_with(now)) name.replace(name.size() - now.size(), now.size(), then), ++renamed;
    tensors.push_back({name, entry.second});
  }
  CHECK(renamed == 2 * (1 + 2 * 2 + 1));
  const TemporaryFolder folder;
  write_safetensors(folder / "model.safetensors", tensors);
  folder.write("config.json", read_all(fixture.folder + "/config.json"));
  CHECK(distance(fixture.scores(load_encoder(folder.path())), fixture.expected()) <= 1e-4);
  tensors.push_back({"bert.pooler.LayerNorm.gamma", Tensor::zeros({18})});
  write_safetensors(folder / "model.safetensors", tensors);
  CHECK_THROWS_WITH_AS(load_encoder(folder.path()), doctest::Contains("unexpected: bert.pooler.LayerNorm.gamma"), ConfigError);
}

TEST_CASE("an encoder gets a head, learns it, and is saved with it") {
  Encoder model = load_encoder(golden("encoders/bert"));
  put_head(model, {.kind = TaskKind::sequence_labels, .labels = 2, .names = {"no", "yes"}}, 3);
  CHECK(model.label_head.weight.shape() == Shape{2, 24});
  Encoder again = load_encoder(golden("encoders/bert")), other = load_encoder(golden("encoders/bert"));
  put_head(again, {.kind = TaskKind::sequence_labels, .labels = 2}, 3),
      put_head(other, {.kind = TaskKind::sequence_labels, .labels = 2}, 4);
  CHECK(plume_test::same_bits(again.label_head.weight, model.label_head.weight));
  CHECK(!plume_test::same_bits(other.label_head.weight, model.label_head.weight));
  CHECK(again.config.task->names == std::vector<std::string>{"LABEL_0", "LABEL_1"});
  const std::vector<TokenId> ids{3, 9, 11, 4, 9, 20, 21}, types{0, 0, 1, 0, 0, 1, 1}, labels{0, 1};
  AdamW optimizer(model, {.learning_rate = 1e-2, .weight_decay = 0});
  double first = 0, last = 0;
  for (int step = 0; step < 8; ++step) {
    Pass pass{.segments = {{3}, {4}}};
    Tape tape;
    const Tensor loss = label_loss(model, ids, labels, pass, types);
    (step == 0 ? first : last) = loss.item();
    optimizer.step(tape.backward(loss));
  }
  CHECK(last < 0.5 * first);
  const TemporaryFolder folder;
  save(model, folder.path());
  CHECK(Json::parse(read_all(folder / "config.json")).at("architectures").at(std::size_t{0}).as_text() == "BertForSequenceClassification");
  Pass pass{.segments = {{3}, {4}}}, same{.segments = {{3}, {4}}};
  CHECK(plume_test::same_bits(label_scores(load_encoder(folder.path()), ids, same, types), label_scores(model, ids, pass, types)));

  // From one head to another; a pooler comes where there was none.
  Encoder masked = Fixture("roberta_masked").model(DType::f32);
  CHECK(!masked.config.pooler);
  put_head(masked, Task::token_labels({"O", "B", "I"}), 1);
  CHECK((!masked.config.fills_masks && !masked.transform.weight && !masked.head.bias && !masked.transform_norm.weight &&
         !masked.pooler.weight));
  put_head(masked, Task::scalar(), 1);
  CHECK(masked.pooler.weight.shape() == Shape{18, 18});
  CHECK(!plume_test::same_bits(masked.pooler.weight.rows(0, 1), masked.label_head.weight));
  save(masked, folder / "scalar");
  CHECK(load_encoder(folder / "scalar").config.task->problem == Problem::regression);
}

TEST_CASE("dropout before a head, where a pass has any") {
  for (const std::string name : {"bert_sequence", "roberta_tokens"}) {
    const Fixture fixture(name);
    const Encoder model = fixture.model(DType::f32);
    for (const double rate : {0.0, 0.3}) {
      Pass pass = fixture.pass(), same = fixture.pass();
      pass.dropout.rate = same.dropout.rate = rate;
      const Tensor states = model.hidden(fixture.ids, same, fixture.types);
      const bool of_sequence = model.config.task->kind == TaskKind::sequence_labels;
      const Tensor without = model.label_head(of_sequence ? model.pooled(states, same) : states);
      CHECK((distance(label_scores(model, fixture.ids, pass, fixture.types), without) > 1e-3) == (rate > 0));
    }
  }
}

TEST_CASE("heads that are not there, tasks that are none, and settings out of range are told") {
  const Fixture labels("bert_sequence"), masks("bert_masked");
  const Encoder scorer = labels.model(DType::f32), filler = masks.model(DType::f32);
  const std::vector<TokenId> ids{3, 9, 11}, one{0};
  Pass pass;
  CHECK_THROWS_WITH_AS(label_scores(filler, ids, pass), doctest::Contains("no head of labels"), ArgumentError);
  CHECK_THROWS_WITH_AS(label_loss(filler, ids, one, pass), doctest::Contains("no head of labels"), ArgumentError);
  CHECK_THROWS_WITH_AS(masked_logits(scorer, ids, pass), doctest::Contains("no head of masked tokens"), ArgumentError);
  CHECK_THROWS_WITH_AS(masked_loss(scorer, ids, ids, pass), doctest::Contains("no head of masked tokens"), ArgumentError);
  CHECK_THROWS_WITH_AS(label_loss(Fixture("bert_reranker").model(DType::f32), ids, one, pass), doctest::Contains("not on label numbers"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(label_loss(Fixture("bert_tokens").model(DType::f32), ids, Tensor::zeros({1, 5}), pass),
                       doctest::Contains("not on rows of numbers"), ArgumentError);
  CHECK_THROWS_WITH_AS(load(labels.folder), doctest::Contains("it is an encoder: load_encoder() reads it"), ConfigError);

  const auto changed = [&](const Fixture& fixture, const std::string& key, const Json& value) {
    const TemporaryFolder folder;
    std::filesystem::copy_file(fixture.folder + "/model.safetensors", folder / "model.safetensors");
    Json json = fixture.json();
    json.set(key, value);
    folder.write("config.json", dump(json));
    load_encoder(folder.path());
  };
  CHECK_THROWS_WITH_AS(changed(masks, "tie_word_embeddings", false), doctest::Contains("tie_word_embeddings"), ConfigError);
  CHECK_THROWS_WITH_AS(changed(labels, "id2label", Json::object().set("1", "a")), doctest::Contains("labels are numbered from 0"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(changed(labels, "id2label", Json::object().set("0", "a")), doctest::Contains("asks for (1, 18)"), ConfigError);
  CHECK_THROWS_WITH_AS(changed(labels, "problem_type", "guess"), doctest::Contains("problem_type"), ConfigError);
  CHECK_THROWS_WITH_AS(changed(labels, "architectures", Json::array().push("BertForNextSentencePrediction")),
                       doctest::Contains("unknown architecture"), ConfigError);
  CHECK_THROWS_WITH_AS(changed(masks, "architectures", Json::array().push("BertForSequenceClassification")), doctest::Contains("missing"),
                       ConfigError);

  const auto refused = [&](const std::function<void(EncoderConfig&)>& change, const char* what) {
    EncoderConfig config = scorer.config;
    change(config);
    CHECK_THROWS_WITH_AS(config.check("here.json"), doctest::Contains(what), ConfigError);
  };
  refused([](EncoderConfig& c) { c.fills_masks = true; }, "one head");
  refused([](EncoderConfig& c) { c.task->kind = TaskKind::next_token; }, "labels of sequences or tokens");
  refused([](EncoderConfig& c) { c.pooler = false; }, "scores of sequences go through it");
  refused([](EncoderConfig& c) { c.task->labels = 0; }, "task.labels");
  refused([](EncoderConfig& c) { c.task->names.pop_back(); }, "there are 2 for 3 labels");

  Encoder t5 = load_encoder(golden("encoders/t5_encoder"));
  put_head(t5, Task::scalar(), 1);  // no class of transformers is that
  CHECK_THROWS_WITH_AS(save(t5, "nowhere"), doctest::Contains("no family of encoders has a place"), ArgumentError);
  CHECK_THROWS_WITH_AS(encoder_parameter_name(families::t5_encoder, t5.config, "embedding.weight"), doctest::Contains("has no heads"),
                       ArgumentError);
}
