// Heads of labels against transformers, on tiny models that it wrote: scores, losses, gradients, files written back.
// tests/golden/make_heads.py says how they were made.
#include "plume/models/heads.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "../test_data.hpp"
#include "plume/models/families/families.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "plume/peft/adapter.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden, plume_test::Tensors;

namespace {

struct Fixture {
  std::string name, folder;
  Tensors numbers;
  std::vector<TokenId> ids;

  explicit Fixture(const std::string& of)
      : name(of),
        folder(golden("heads/" + of)),
        numbers(plume_test::read_safetensors(folder + "/golden.safetensors")),
        ids(integers("input_ids")) {}
  std::vector<TokenId> integers(const std::string& key) const {
    const auto span = numbers.at(key).span<TokenId>();
    return {span.begin(), span.end()};
  }
  bool has(const std::string& key) const { return numbers.contains(key); }
  Pass pass() const {
    Pass pass;
    for (const TokenId length : integers("lengths")) pass.segments.push_back({length});
    return pass;
  }
  std::vector<TokenId> next_tokens() const {
    std::vector<TokenId> targets;
    std::size_t begin = 0;
    for (const TokenId length : integers("lengths")) {
      const std::size_t end = begin + static_cast<std::size_t>(length);
      targets.insert(targets.end(), ids.begin() + static_cast<std::ptrdiff_t>(begin + 1), ids.begin() + static_cast<std::ptrdiff_t>(end));
      targets.push_back(-1);
      begin = end;
    }
    return targets;
  }
  Choices choices() const {
    const auto answers = integers("answers");
    return {.options = {2, 2}, .answers = {answers.begin(), answers.end()}, .positions = integers("positions")};
  }
  Tensor scores(const Decoder& model) const {
    Pass of = pass();
    return has("positions") ? double_heads(model, ids, integers("positions"), of).scores : label_scores(model, ids, of);
  }
  Tensor loss(const Decoder& model) const {
    Pass of = pass();
    if (has("positions")) return double_heads_loss(model, ids, next_tokens(), choices(), of).combined();
    if (has("labels")) return label_loss(model, ids, integers("labels"), of);
    return label_loss(model, ids, numbers.at("targets").to(model.embedding.weight.dtype()), of);
  }
};

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden("heads"))) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// As in families_test.cpp: each gradient relative to its largest element, at least to 1e-3 of the largest of all.
double worst_gradient(Model& model, const Fixture& fixture) {
  const Family& family = *families::fitting(model.config());
  trainable_parameters(model);
  Tape tape;
  const Gradients gradients = tape.backward(fixture.loss(model.decoder));
  double most = 0, worst = 0;
  std::size_t known = 0, met = 0;
  for (const auto& entry : fixture.numbers)
    if (entry.first.starts_with("gradient.")) most = std::max(most, plume_test::largest(entry.second)), ++known;
  for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) {
    const FileName name = parameter_name(family, model.config().task, path);
    const auto found = fixture.numbers.find("gradient." + name.name);
    if (found == fixture.numbers.end()) return;
    ++met;
    Tensor theirs = found->second;
    if (name.transposed) {
      const Tensor turned = Tensor::empty({theirs.columns(), theirs.rows()}, DType::f64);
      for (Index r = 0; r < theirs.rows(); ++r)
        for (Index c = 0; c < theirs.columns(); ++c)
          turned.writable<double>()[c * theirs.rows() + r] = theirs.data<double>()[r * theirs.columns() + c];
      theirs = turned;
    }
    worst = std::max(worst, distance(gradients.at(tensor), theirs) / std::max(plume_test::largest(theirs), 1e-3 * most));
  });
  return met == known && known > 0 ? worst : INFINITY;
}

}  // namespace

TEST_CASE("scores, losses and gradients of every head") {
  CHECK(fixtures().size() == 25);
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      Model model = load(fixture.folder, {.dtype = dtype});
      const double allowed = dtype == DType::f32 ? 1e-4 : 1e-9;
      CHECK(fixture.scores(model.decoder).shape() == fixture.numbers.at("scores").shape());
      CHECK(distance(fixture.scores(model.decoder), fixture.numbers.at("scores")) <= allowed);
      CHECK(std::abs(fixture.loss(model.decoder).item() - fixture.numbers.at("loss").item()) <= allowed);
      CHECK(worst_gradient(model, fixture) <= allowed);
    }
  }
}

TEST_CASE("double heads: logits and both losses") {
  for (const std::string name : {"gpt2_double", "openai_gpt_double"}) {
    INFO(name);
    const Fixture fixture(name);
    const Model model = load(fixture.folder, {.dtype = DType::f64});
    Pass pass = fixture.pass(), again = fixture.pass(), third = fixture.pass();
    CHECK(distance(double_heads(model.decoder, fixture.ids, fixture.integers("positions"), pass).logits, fixture.numbers.at("logits")) <=
          1e-9);
    CHECK(distance(model.logits(fixture.ids, third), fixture.numbers.at("logits")) <= 1e-9);
    const DoubleHeadsLoss loss = double_heads_loss(model.decoder, fixture.ids, fixture.next_tokens(), fixture.choices(), again);
    CHECK(std::abs(loss.tokens.item() - fixture.numbers.at("token_loss").item()) <= 1e-9);
    CHECK(std::abs(loss.choices.item() - fixture.numbers.at("choice_loss").item()) <= 1e-9);
    CHECK(std::abs(loss.combined(2).item() - 2 * loss.tokens.item() - loss.choices.item()) <= 1e-12);
  }
}

TEST_CASE("every head is written back as it was, under its class") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    const Model model = load(fixture.folder, {.dtype = DType::f32});
    const plume_test::TemporaryDirectory directory;
    save(model, directory.path());
    CHECK(load(directory.path()).config() == model.config());
    const auto line_of = [](const std::string& folder) {
      const std::string text = plume_test::read_all(folder + "/config.json");
      const std::size_t at = text.find('"', text.find('[', text.find("architectures")));
      return text.substr(at, text.find(']', at) - at);
    };
    CHECK(line_of(directory.path()) == line_of(fixture.folder));
    const Tensors before = plume_test::read_safetensors(fixture.folder + "/model.safetensors"),
                  after = plume_test::read_safetensors(directory / "model.safetensors");
    CHECK(before.size() == after.size());
    for (const auto& entry : before) {
      CAPTURE(entry.first);
      // transformers keeps the tied pair of this one class under the head's name, and reads it under either.
      const bool is_tied_head = name == "openai_gpt_double" && entry.first == "lm_head.weight";
      const std::string there = is_tied_head ? "transformer.tokens_embed.weight" : entry.first;
      REQUIRE(after.contains(there));
      CHECK(plume_test::same_bits(entry.second, after.at(there)));
    }
  }
}

TEST_CASE("names of labels, and where they are missing") {
  const Fixture fixture("gpt2_sequence");
  const Model model = load(fixture.folder);
  CHECK(model.config().task.names == std::vector<std::string>{"bad", "middling", "good"});
  CHECK(model.config().task.padding == 7);
  CHECK(load(golden("heads/openai_gpt_sequence")).config().task.names == std::vector<std::string>{"LABEL_0", "LABEL_1"});
}

TEST_CASE("a sequence is read at its last token that is no padding") {
  const Fixture fixture("llama_reward");
  const Model model = load(fixture.folder, {.dtype = DType::f64});
  const auto reward = [&](std::vector<TokenId> ids) {
    Pass pass;
    return label_scores(model.decoder, ids, pass).item();
  };
  const auto values = [&](std::vector<TokenId> ids) {
    Pass pass;
    return token_values(model.decoder, ids, pass);
  };
  const Tensor each = values({3, 4, 5, 7, 7});
  CHECK(each.shape() == Shape{5, 1});
  CHECK(reward({3, 4, 5, 7, 7}) == each.data<double>()[2]);
  CHECK(reward({3, 4, 5}) == doctest::Approx(each.data<double>()[2]).epsilon(1e-12));
  CHECK(reward({3, 7, 5}) == doctest::Approx(values({3, 7, 5}).data<double>()[2]).epsilon(1e-12));
  CHECK(reward({7, 7}) == values({7, 7}).data<double>()[0]);  // as transformers reads what is padding throughout
}

TEST_CASE("a head on a model that had another") {
  const Model base = load(golden("families/qwen3_biased"));
  Model model = base;
  put_head(model.decoder, Task::sequence_labels({"no", "yes"}), 5);
  CHECK(model.decoder.label_head.weight.shape() == Shape{2, base.config().width});
  CHECK(!model.decoder.label_head.bias);
  const std::vector<TokenId> ids{5, 3, 8};
  Pass pass;
  CHECK(label_scores(model.decoder, ids, pass).shape() == Shape{1, 2});
  CHECK_THROWS_AS(model.logits(ids), ArgumentError);
  CHECK_THROWS_AS(model.loss(ids, ids, pass), ArgumentError);
  Model same = base, other = base;
  put_head(same.decoder, Task::sequence_labels({"no", "yes"}), 5);
  put_head(other.decoder, Task::sequence_labels({"no", "yes"}), 6);
  CHECK(plume_test::same_bits(same.decoder.label_head.weight, model.decoder.label_head.weight));
  CHECK(distance(other.decoder.label_head.weight, model.decoder.label_head.weight) > 1e-3);

  // Written and read again: its class, its names, its numbers.
  const plume_test::TemporaryDirectory directory;
  save(model, directory.path());
  const Model again = load(directory.path());
  CHECK(again.config() == model.config());
  CHECK(plume_test::same_bits(again.decoder.label_head.weight, model.decoder.label_head.weight));

  put_head(other.decoder, Task::token_labels({"a", "b", "c"}), 1);
  CHECK(other.decoder.label_head.bias.size() == 3);
  CHECK(plume_test::largest(other.decoder.label_head.bias) == 0);
  Pass tokens;
  CHECK(label_scores(other.decoder, ids, tokens).shape() == Shape{3, 3});

  Model unnamed = base;
  put_head(unnamed.decoder, {.kind = TaskKind::sequence_labels, .labels = 2}, 1);
  CHECK(unnamed.config().task.names == std::vector<std::string>{"LABEL_0", "LABEL_1"});

  // No class of transformers: nothing could read the file.
  Model codegen = load(golden("families/codegen"));
  put_head(codegen.decoder, Task::scalar(), 1);
  CHECK_THROWS_AS(save(codegen, directory / "codegen"), ArgumentError);
  CHECK_THROWS_WITH_AS(parameter_name(families::codegen, Task::scalar(), "label_head.weight"), doctest::Contains("no head of this kind"),
                       ArgumentError);
  // Nor has GGUF a place for labels.
  Model labelled = load(golden("heads/llama_reward"));
  CHECK_THROWS_AS(save(labelled, directory / "labelled.gguf"), ArgumentError);
  CHECK(!std::filesystem::exists(directory / "labelled.gguf"));

  // A model of labels that gets its language model back.
  Model untied = load(golden("heads/llama_tokens"));
  put_head(untied.decoder, {}, 3);
  CHECK(untied.decoder.head.weight.shape() == Shape{53, 12});
  CHECK(!untied.decoder.label_head.weight);
  CHECK(untied.logits(ids).shape() == Shape{3, 53});
}

TEST_CASE("an adapter of a model of labels reaches its blocks, and its head when asked") {
  const Fixture fixture("llama_reward");
  const Model model = load(fixture.folder, {.dtype = DType::f64});
  for (const bool head : {false, true}) {
    Adapter adapter = attach(model, Lora{.rank = 2, .targets = {head ? "score" : "all-linear"}});
    std::uint64_t seed = 1;
    bool has_head = false;
    for_each_parameter(adapter, [&](std::string_view path, Tensor& tensor) {
      tensor = plume_test::random_tensor(tensor.shape(), seed++, DType::f64, 0.3);
      has_head = has_head || path.starts_with("label_head");
    });
    CHECK(has_head == head);
    Pass pass = fixture.pass(), without = fixture.pass(), merged_pass = fixture.pass();
    for (Segment& segment : pass.segments) segment.adapter = &adapter;
    const Tensor adapted = label_scores(model.decoder, fixture.ids, pass);
    CHECK(distance(adapted, label_scores(model.decoder, fixture.ids, without)) > 1e-3);
    Model merged = load(fixture.folder, {.dtype = DType::f64});
    Adapter same = attach(merged, Lora{.rank = 2, .targets = {head ? "score" : "all-linear"}});
    seed = 1;
    for_each_parameter(
        same, [&](std::string_view, Tensor& tensor) { tensor = plume_test::random_tensor(tensor.shape(), seed++, DType::f64, 0.3); });
    merge(merged, same);
    CHECK(distance(adapted, label_scores(merged.decoder, fixture.ids, merged_pass)) <= 1e-9);
  }
}

TEST_CASE("what is refused") {
  const auto refused = [](const std::string& config, const std::string& field, const std::string& reason) {
    INFO(config);
    try {
      const Json json = Json::parse(config);
      families::read_config(families::of(json), json).check("config.json");
      FAIL("accepted");
    } catch (const ConfigError& error) {
      CHECK(std::string(error.what()).find(field) != std::string::npos);
      CHECK(std::string(error.what()).find(reason) != std::string::npos);
    }
  };
  const auto gpt2 = [](const std::string& kind, const std::string& rest) {
    return R"({"architectures": ["GPT2)" + kind + R"("], "vocab_size": 9, "n_positions": 8, "n_embd": 4, "n_layer": 1, "n_head": 1, )" +
           rest + "}";
  };
  const std::string sequence = "ForSequenceClassification", both = "DoubleHeadsModel";
  refused(gpt2(sequence, R"("id2label": {"0": "a", "2": "b"})"), "id2label", "numbered from 0");
  refused(gpt2(sequence, R"("id2label": {"00": "a"})"), "id2label", "numbered from 0");
  refused(gpt2(sequence, R"("id2label": {})"), "id2label", "not an object of label names");
  refused(gpt2(sequence, R"("id2label": [1])"), "id2label", "not an object of label names");
  refused(gpt2(sequence, R"("id2label": {"0": "a"}, "num_labels": 2)"), "num_labels", "id2label has 1 labels");
  refused(gpt2(sequence, R"("num_labels": 0)"), "num_labels", "expected at least 1");
  refused(gpt2(sequence, R"("num_labels": 99999999999)"), "num_labels", "expected at most");
  refused(gpt2(sequence, R"("problem_type": "ranking")"), "problem_type", "expected regression");
  refused(gpt2(sequence, R"("num_labels": 1, "problem_type": "single_label_classification")"), "problem_type", "regression");
  refused(gpt2(both, R"("num_labels": 2)"), "num_labels", "one score for each option");
  refused(gpt2(both, R"("summary_type": "mean")"), "summary_type", "only cls_index");
  refused(gpt2(both, R"("summary_activation": "tanh")"), "summary_activation", "without activation");
  refused(gpt2(both, R"("summary_use_proj": false)"), "summary_use_proj", "only true");
  refused(gpt2(both, R"("summary_proj_to_labels": false)"), "summary_proj_to_labels", "only true");
  refused(R"({"architectures": ["CodeGenForSequenceClassification"]})", "architectures", "unknown architecture");
  refused(R"({"architectures": ["GPTJForTokenClassification"]})", "architectures", "unknown architecture");

  Config config = load(golden("heads/gpt2_sequence")).config();
  const auto impossible = [&](auto change, const std::string& field) {
    Config other = config;
    change(other.task);
    try {
      other.check();
      FAIL("accepted " << field);
    } catch (const ConfigError& error) {
      CHECK(std::string(error.what()).find(field) != std::string::npos);
    }
  };
  impossible([](Task& task) { task.bias = true; }, "task.bias");
  impossible([](Task& task) { task.labels = 4; }, "task.names");
  impossible([](Task& task) { task.labels = 0; }, "task.labels");
  impossible([](Task& task) { task.padding = 53; }, "task.padding");
  impossible([](Task& task) { task.kind = TaskKind::double_heads; }, "task.labels");

  const Fixture sequences("gpt2_sequence"), rewards("llama_reward"), several("llama_several"), tokens("llama_tokens"),
      options("gpt2_double");
  const auto model = [](const Fixture& fixture) { return load(fixture.folder).decoder; };
  Pass pass = sequences.pass(), empty;
  const Tensor row = Tensor::zeros({3, 1});
  CHECK_THROWS_AS(label_loss(model(rewards), rewards.ids, std::vector<TokenId>{0, 0, 0}, pass), ArgumentError);
  CHECK_THROWS_AS(label_loss(model(several), several.ids, std::vector<TokenId>{0, 0, 0}, pass), ArgumentError);
  CHECK_THROWS_AS(label_loss(model(tokens), tokens.ids, row, pass), ArgumentError);
  CHECK_THROWS_AS(label_scores(model(options), options.ids, empty), ArgumentError);
  CHECK_THROWS_AS(token_values(model(several), several.ids, pass), ArgumentError);
  CHECK_THROWS_AS(double_heads(model(sequences), sequences.ids, {}, pass), ArgumentError);
  CHECK_THROWS_AS(double_heads_loss(model(sequences), sequences.ids, sequences.ids, {}, pass), ArgumentError);
  empty.segments = {{2}, {0}};
  CHECK_THROWS_AS(label_scores(model(sequences), std::vector<TokenId>{1, 2}, empty), ArgumentError);
  Pass four = options.pass();
  const auto targets = options.next_tokens();
  const Decoder both_heads = model(options);
  CHECK_THROWS_AS(double_heads(both_heads, options.ids, std::vector<TokenId>{1}, four), ArgumentError);
  CHECK_THROWS_AS(double_heads(both_heads, options.ids, std::vector<TokenId>{1, 2, 11, 1}, four), ArgumentError);
  CHECK_THROWS_AS(double_heads_loss(both_heads, options.ids, targets, {.options = {2, 1}, .answers = {0, 0}}, four), ArgumentError);
  CHECK_THROWS_AS(double_heads_loss(both_heads, options.ids, targets, {.options = {2, 3}, .answers = {0, 0}}, four), ArgumentError);
  CHECK_THROWS_AS(double_heads_loss(both_heads, options.ids, targets, {.options = {2, 2}, .answers = {0, 2}}, four), ArgumentError);
  CHECK_THROWS_AS(double_heads_loss(both_heads, options.ids, targets, {.options = {2, 2}, .answers = {0}}, four), ArgumentError);
}
