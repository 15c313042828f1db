// Vocabulary surgery on models of both shapes, odd sizes: old logits after adding, greedy text after pruning, what is saved reopens.
#include "plume/models/vocabulary.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "numbers.hpp"
#include "plume/generate/generate.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "plume/tokenizer/edit_vocabulary.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"
#include "temporary.hpp"
#include "test_data.hpp"

using plume::DType;
using plume::Index;
using plume::Model;
using plume::NewRows;
using plume::Tensor;
using plume::TokenId;
using plume::Tokenizer;
using Ids = std::vector<TokenId>;

namespace {

Tokenizer tokenizer_of(const std::string& name) {
  return plume::read_tokenizer_json(plume_test::read_all(plume_test::golden("tokenizers/" + name + ".json")));
}

// GPT-2's shape has a tied head, biases and learned positions; LLaMA's its own head. Padding: rows behind the tokenizer's last token.
Model model_of(const std::string& family, DType dtype, Index padding = 0) {
  const bool gpt2 = family == "gpt2";
  Model model;
  model.tokenizer = tokenizer_of(gpt2 ? "byte_bpe" : "llama");
  plume::Config config{.vocabulary = model.tokenizer.vocabulary() + padding, .context = 61, .width = 39, .layers = 2, .hidden = 53};
  config.heads = config.key_heads = 3, config.head_width = 13;
  if (gpt2) {
    config.norm = plume::NormKind::layer, config.position = plume::PositionKind::learned, config.qkv_layout = plume::QkvLayout::contiguous;
    config.activation = {.kind = plume::ActivationKind::gelu_tanh}, config.gated = false;
    config.norm_bias = config.qkv_bias = config.output_bias = config.mlp_bias = config.tied_head = true;
  } else {
    config.width = 42, config.head_width = 14;
    config.rotary = {.base = 1e4, .width = 14, .layout = plume::RotaryLayout::half_split};
  }
  config.end_tokens = {2};
  const DType drawn = dtype == DType::f64 ? DType::f64 : DType::f32;
  model.decoder = plume::Decoder::described(config, drawn);
  plume::initialise(model.decoder, 7, drawn);
  plume::for_each_parameter(model.decoder, [&](std::string_view, Tensor& tensor) {
    if (dtype == DType::bf16 && tensor.rank() == 2) tensor = tensor.to(dtype);  // as load() does
  });
  return model;
}

std::vector<double> row(const Tensor& table, Index index) {
  const Tensor values = table.rows(index, index + 1).to(DType::f64);
  return {values.data<double>(), values.data<double>() + values.columns()};
}

// The largest difference of logits (T, vocabulary) at columns that mean the same token.
double difference(const Tensor& before, const Tensor& after, const std::vector<TokenId>& old_id) {
  const Tensor a = before.to(DType::f64), b = after.to(DType::f64);
  double most = 0;
  for (Index t = 0; t < a.rows(); ++t)
    for (std::size_t id = 0; id < old_id.size(); ++id)
      most = std::max(
          most, std::abs(a.data<double>()[t * a.columns() + old_id[id]] - b.data<double>()[t * b.columns() + static_cast<Index>(id)]));
  return most;
}

std::vector<TokenId> first_ids(Index count) {
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < count; ++id) ids.push_back(id);
  return ids;
}

// f32: the products of the old columns add the same numbers, in an order that may depend on the number of columns.
double allowed(DType dtype) { return dtype == DType::f64 ? 1e-14 : 1e-6; }

const std::string prompt = "It was a dark and stormy night; the rain fell";

}  // namespace

TEST_CASE("Adding tokens: old logits stay, new rows are the mean, tied and untied, and the files reopen") {
  for (const std::string family : {"gpt2", "llama"})
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      CAPTURE(family);
      CAPTURE(plume::concat(dtype));
      const Model old = model_of(family, dtype);
      Model model = old;
      plume::grow_vocabulary(model, plume::add_tokens(model.tokenizer, {"<|user|>", "<|bot|>", "<|end|>"}));
      const Index known = old.tokenizer.vocabulary();
      REQUIRE(model.config().vocabulary == known + 3);
      REQUIRE(model.tokenizer.vocabulary() == known + 3);
      CHECK(old.config().vocabulary == known);  // the copy is left alone
      const Ids ids = model.tokenizer.encode(prompt);
      CHECK(ids == old.tokenizer.encode(prompt));
      CHECK(difference(old.logits(ids), model.logits(ids), first_ids(known)) <= allowed(dtype));
      CHECK(static_cast<bool>(model.decoder.head.weight) == (family == "llama"));
      using Tables = std::pair<const Tensor*, const Tensor*>;
      for (const auto& [before, after] : {Tables(&old.decoder.embedding.weight, &model.decoder.embedding.weight),
                                          Tables(&old.decoder.head_weight(), &model.decoder.head_weight())}) {
        CHECK(after->dtype() == before->dtype());
        std::vector<double> mean(static_cast<std::size_t>(before->columns()));
        for (Index r = 0; r < known; ++r)
          for (std::size_t c = 0; c < mean.size(); ++c) mean[c] += row(*before, r)[c] / static_cast<double>(known);
        for (Index r = known; r < known + 3; ++r)
          for (std::size_t c = 0; c < mean.size(); ++c)
            CHECK(row(*after, r)[c] == doctest::Approx(mean[c]).epsilon(dtype == DType::bf16 ? 0.01 : 1e-6).scale(1e-3));
      }
      if (dtype != DType::f32) continue;
      const plume_test::TemporaryDirectory folder;
      plume::save(model, folder / "grown");
      const Model back = plume::load(folder / "grown");
      CHECK(back.tokenizer.find("<|bot|>") == static_cast<TokenId>(known + 1));
      CHECK(back.tokenizer.encode(prompt) == ids);
      CHECK(difference(model.logits(ids), back.logits(ids), first_ids(known + 3)) <= 1e-6);
    }
}

TEST_CASE("Padding rows serve new tokens first; rows may be zero, or the mean of the parts that spelled a word") {
  Model model = model_of("gpt2", DType::f32, 5);
  const Model old = model;
  const Index known = old.tokenizer.vocabulary();
  plume::grow_vocabulary(model, plume::add_tokens(model.tokenizer, {"<|a|>", "<|b|>"}), {.rows = NewRows::zero});
  CHECK(model.config().vocabulary == known + 5);
  for (Index r = known; r < known + 2; ++r)
    for (const double value : row(model.decoder.embedding.weight, r)) CHECK(value == 0);
  CHECK(row(model.decoder.embedding.weight, known + 2) == row(old.decoder.embedding.weight, known + 2));

  Model with_word = model_of("llama", DType::f32);
  const Ids parts = with_word.tokenizer.encode("zyzzyva");
  REQUIRE(parts.size() > 1);
  const Model before = with_word;
  plume::grow_vocabulary(with_word, plume::add_tokens(before.tokenizer, {"zyzzyva"}, {.kind = plume::NewToken::text}),
                         {.rows = NewRows::parts});
  std::vector<double> mean(42);
  const Ids spelled = before.tokenizer.encode("zyzzyva", {.begin = plume::Begin::nothing});
  for (const TokenId part : spelled)
    for (std::size_t c = 0; c < mean.size(); ++c) mean[c] += row(before.decoder.head.weight, part)[c] / static_cast<double>(spelled.size());
  for (std::size_t c = 0; c < mean.size(); ++c)
    CHECK(row(with_word.decoder.head.weight, before.tokenizer.vocabulary())[c] == doctest::Approx(mean[c]));
}

TEST_CASE("Pruned to what a model reads and writes: the same greedy text, row by row the same logits, and the files reopen") {
  for (const std::string family : {"gpt2", "llama"}) {
    CAPTURE(family);
    const Model old = model_of(family, DType::f32, family == "gpt2" ? 3 : 0);
    const plume::GenerateOptions greedy{.max_tokens = 12, .sampling = {.temperature = 0}};
    std::vector<std::string> prompts{prompt, "Hello there", "x=y; 123"};
    plume::TokenUse use(old.tokenizer);
    std::vector<TokenId> used;
    std::vector<plume::Generated> expected;
    for (const std::string& each : prompts) {
      use.add(each);
      expected.push_back(plume::generate(old, each, greedy));
      used.insert(used.end(), expected.back().ids.begin(), expected.back().ids.end());
    }
    for (const TokenId id : use.used()) used.push_back(id);
    for (const TokenId id : used) REQUIRE(id < old.tokenizer.vocabulary());
    used.push_back(2);  // the configuration's end token
    Model model = old;
    const plume::PrunedTokenizer pruned = plume::keep_tokens(old.tokenizer, used);
    plume::prune_vocabulary(model, pruned.tokenizer);
    CHECK(model.config().vocabulary < old.config().vocabulary);
    CHECK(pruned.kept[static_cast<std::size_t>(model.config().end_tokens.at(0))] == 2);
    const plume_test::TemporaryDirectory folder;
    plume::save(model, folder / "pruned");
    const Model back = plume::load(folder / "pruned");
    for (const Model& each : {model, back})
      for (std::size_t i = 0; i < prompts.size(); ++i) {
        const plume::Generated now = plume::generate(each, prompts[i], greedy);
        CHECK(now.text == expected[i].text);
        Ids ids = now.ids;
        for (TokenId& id : ids) id = pruned.kept[static_cast<std::size_t>(id)];
        CHECK(ids == expected[i].ids);
        CHECK(difference(old.logits(old.tokenizer.encode(prompts[i])), each.logits(each.tokenizer.encode(prompts[i])), pruned.kept) <=
              1e-6);
      }
  }
}

TEST_CASE("A merged vocabulary keeps old logits on old text") {
  const Model old = model_of("llama", DType::f32);
  Model model = old;
  plume::grow_vocabulary(model, plume::merge_tokenizers(old.tokenizer, tokenizer_of("unigram")), {.rows = NewRows::parts});
  CHECK(model.config().vocabulary > old.config().vocabulary + 50);
  const std::string text = "\xe4\xb8\x96\xe7\x95\x8c";  // no new piece is in it
  const Ids ids = old.tokenizer.encode(text);
  REQUIRE(model.tokenizer.encode(text) == ids);
  CHECK(difference(old.logits(ids), model.logits(ids), first_ids(old.config().vocabulary)) <= 1e-6);
}

TEST_CASE("What surgery refuses leaves the model as it was") {
  Model model = model_of("llama", DType::f32);
  const Tokenizer own = model.tokenizer, other = tokenizer_of("byte_bpe");
  const Index vocabulary = model.config().vocabulary;
  CHECK_THROWS_WITH_AS(plume::prune_vocabulary(model, other), doctest::Contains("are not in the model's"), plume::ArgumentError);
  CHECK_THROWS_AS(plume::grow_vocabulary(model, other), plume::ArgumentError);
  CHECK_THROWS_AS(plume::grow_vocabulary(model, plume::keep_tokens(own, Ids{}).tokenizer), plume::ArgumentError);
  model.decoder.config.end_tokens = {static_cast<TokenId>(vocabulary - 1)};
  CHECK_THROWS_WITH_AS(plume::prune_vocabulary(model, plume::keep_tokens(own, Ids{}).tokenizer), doctest::Contains("ends"),
                       plume::ArgumentError);
  CHECK(model.config().vocabulary == vocabulary);
  CHECK(model.decoder.embedding.weight.rows() == vocabulary);
  CHECK(model.tokenizer.encode(prompt) == own.encode(prompt));
  Model without = model;
  without.tokenizer = Tokenizer();
  CHECK_THROWS_AS(plume::grow_vocabulary(without, own), plume::ArgumentError);
  CHECK_THROWS_AS(plume::prune_vocabulary(without, own), plume::ArgumentError);
}
