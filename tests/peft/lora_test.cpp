#include "plume/peft/lora.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <set>

#include "peft/fixture.hpp"
#include "plume/autograd/gradient_check.hpp"
#include "plume/generate/generate.hpp"
#include "plume/generate/score.hpp"
#include "plume/peft/adapted_model.hpp"

using namespace plume;
using namespace plume_test;

namespace {

Tensor turned(const Tensor& matrix) {
  const Tensor result = Tensor::empty({matrix.columns(), matrix.rows()}, matrix.dtype());
  visit_dtype(matrix.dtype(), [&]<class T>() {
    for (Index r = 0; r < result.rows(); ++r)
      for (Index c = 0; c < result.columns(); ++c) result.view<T, 2>()(r, c) = matrix.view<const T, 2>()(c, r);
  });
  return result;
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const ArgumentError& error) {
    return error.what();
  }
  return "no ArgumentError";
}
bool holds(const std::string& text, std::string_view word) { return text.find(word) != text.npos; }

const Lora every_layer{.rank = 3, .alpha = 5, .targets = {"all-linear"}, .seed = 4};

}  // namespace

TEST_CASE("adapters of peft give the logits, the loss and the gradients of peft, and no others") {
  for (const LoraGolden& fixture : lora_goldens)
    for (const DType dtype : {DType::f64, DType::f32}) {
      CAPTURE(fixture.name);
      CAPTURE(dtype == DType::f64);
      const double tolerance = dtype == DType::f64 ? 1e-9 : 1e-5;
      const Tensors expected = plume_test::read_safetensors(golden(concat("lora/", fixture.name, "/golden.safetensors")));
      const Batch batch = batch_of(expected);
      Model model = base_model(fixture.base, dtype);
      trainable_parameters(model);  // as after a training of its own
      Adapter adapter = load_adapter(golden(concat("lora/", fixture.name)), model);
      CHECK(relative_distance(logits_of(model, batch, &adapter), expected.at("logits")) < tolerance);

      AdaptedModel adapted(model, adapter);
      std::vector<Tensor> watched;
      for (const NamedParameter& parameter : trainable_parameters(adapted)) watched.push_back(parameter.tensor);
      Pass pass;
      pass.segments = batch.segments();
      Tape tape(watched);
      const Tensor loss = adapted.loss(batch.inputs, batch.targets, pass);
      CHECK(loss.item() == doctest::Approx(expected.at("loss").item()).epsilon(tolerance));
      const Gradients gradients = tape.backward(loss);
      double largest_of_all = 0;
      for (const auto& [name, tensor] : expected)
        if (name.starts_with("gradient.")) largest_of_all = std::max(largest_of_all, largest(tensor));
      std::size_t compared = 0;
      for (const LoraLayer& layer : adapter.all())
        for (const bool is_a : {true, false}) {
          const Tensor& tensor = is_a ? layer.change.term.a : layer.change.term.b;
          const Tensor& wanted = expected.at(concat("gradient.", layer.module, is_a ? ".lora_A" : ".lora_B"));
          CHECK_MESSAGE(distance(gradients.at(tensor), wanted) / std::max(largest(wanted), 1e-3 * largest_of_all) < 10 * tolerance,
                        layer.module, is_a);
          ++compared;
        }
      CHECK(compared == watched.size());
      for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) { CHECK_MESSAGE(!gradients.find(tensor), path); });
    }
}

TEST_CASE("merged weights are W + scale B A as NumPy has it, and give what the adapter gives; unmerging restores every bit") {
  for (const LoraGolden& fixture : lora_goldens) {
    CAPTURE(fixture.name);
    const Tensors expected = plume_test::read_safetensors(golden(concat("lora/", fixture.name, "/golden.safetensors")));
    const Batch batch = batch_of(expected);
    Model model = base_model(fixture.base);
    const std::string before = bytes_of_model(model);
    Adapter adapter = load_adapter(golden(concat("lora/", fixture.name)), model);
    const Tensor with_adapter = logits_of(model, batch, &adapter);
    merge(model, adapter);
    CHECK(adapter.is_merged());
    std::size_t compared = 0;
    for (const LoraLayer& layer : adapter.all()) {
      const Tensor& wanted = expected.at("merged." + layer.module);
      CHECK_MESSAGE(distance(layer.merged, layer.transposed ? turned(wanted) : wanted) < 1e-6, layer.module);
      compared += 1;
    }
    for (const auto& entry : expected) compared -= entry.first.starts_with("merged.") ? 1u : 0u;
    CHECK(compared == 0);
    CHECK(relative_distance(logits_of(model, batch), with_adapter) < 1e-5);
    CHECK(relative_distance(logits_of(model, batch), expected.at("logits")) < 1e-5);
    unmerge(model, adapter);
    CHECK((bytes_of_model(model) == before));
    CHECK(same_bits(logits_of(model, batch, &adapter), with_adapter));
  }
}

TEST_CASE("bf16 and f64 bases: unmerging restores every bit, merging rounds once") {
  for (const DType dtype : {DType::bf16, DType::f64}) {
    Model model = base_model("llama", dtype);
    const std::string before = bytes_of_model(model);
    Adapter adapter = random_adapter(model, every_layer);
    merge(model, adapter);
    CHECK((bytes_of_model(model) != before));
    for (const LoraLayer& layer : adapter.all()) {
      const LowRank& term = layer.change.term;
      const Tensor exact = layer.base.to(DType::f64), a = term.a.to(DType::f64), b = term.b.to(DType::f64);
      for (Index row = 0; row < exact.rows(); ++row)
        for (Index column = 0; column < exact.columns(); ++column)
          for (Index r = 0; r < layer.rank; ++r)
            exact.view<double, 2>()(row, column) += 5.0 / 3.0 * b.view<const double, 2>()(row, r) * a.view<const double, 2>()(r, column);
      CHECK(layer.merged.dtype() == dtype);
      CHECK(distance(layer.merged, exact) <= (dtype == DType::bf16 ? 0x1.0p-8 * largest(exact) : 1e-12));
    }
    unmerge(model, adapter);
    CHECK((bytes_of_model(model) == before));
  }
}

TEST_CASE("an adapter whose B is zero changes nothing, exactly") {
  for (const char* base : {"gpt2", "llama"})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Model model = base_model(base, dtype);
      const Batch batch = batch_of(base);
      const Adapter adapter = attach(model, every_layer);
      CHECK(largest(adapter.all().front().change.term.a) > 0);
      CHECK(same_bits(logits_of(model, batch, &adapter), logits_of(model, batch)));
      CHECK(!same_bits(logits_of(model, batch), logits_of(model, batch) + logits_of(model, batch)));
    }
}

TEST_CASE("query and value of a fused projection: keys stay, nothing trains their rows, merged and adapter agree") {
  Model model = base_model("gpt2", DType::f64);
  const Batch batch = batch_of("gpt2");
  Adapter adapter = random_adapter(model, {.rank = 5, .alpha = 7, .targets = {"c_attn"}, .fused_qkv = FusedQkv::query_and_value});
  const Adapter whole = random_adapter(model, {.rank = 5, .alpha = 7, .targets = {"c_attn"}});
  const Tensor ours = logits_of(model, batch, &adapter);
  CHECK(distance(ours, logits_of(model, batch, &whole)) > 1e-3);
  std::vector<Tensor> watched;
  for (const NamedParameter& parameter : trainable_parameters(adapter)) watched.push_back(parameter.tensor);
  {
    AdaptedModel adapted(model, adapter);
    Pass pass;
    Tape tape(watched);
    const Gradients gradients = tape.backward(adapted.loss(batch.inputs, batch.targets, pass));
    for (const LoraLayer& layer : adapter.all()) {
      const Tensor db = gradients.at(layer.change.term.b);
      CHECK(largest(db.rows(48, 96)) == 0);
      CHECK(largest(db.rows(0, 48)) > 0);
      CHECK(largest(db.rows(96, 144)) > 0);
    }
  }
  merge(model, adapter);
  for (const LoraLayer& layer : adapter.all()) {
    CHECK(same_bits(layer.merged.rows(48, 96), layer.base.rows(48, 96)));
    CHECK(distance(layer.merged.rows(0, 48), layer.base.rows(0, 48)) > 1e-3);
    CHECK(distance(layer.merged.rows(96, 144), layer.base.rows(96, 144)) > 1e-3);
  }
  CHECK(distance(logits_of(model, batch), ours) < 1e-9);
}

TEST_CASE("two adapters and none in one ragged batch are three runs of their own") {
  for (const char* base : {"gpt2", "llama"})
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      const Model model = base_model(base, dtype);
      const Adapter first = random_adapter(model, {.rank = 2, .seed = 1}), second = random_adapter(model, every_layer);
      const std::vector<TokenId>& ids = batch_of(base).inputs;
      const std::vector<std::pair<Index, const Adapter*>> parts{{7, &first}, {1, nullptr},  {13, &second}, {5, &second},
                                                                {9, &first}, {10, nullptr}, {3, &first}};
      Pass together;
      Index total = 0;
      for (const auto& [tokens, adapter] : parts) {
        together.segments.push_back({tokens, nullptr, adapter});
        total += tokens;
      }
      const Tensor all = model.logits(std::span(ids).first(static_cast<std::size_t>(total)), together);
      Index begin = 0;
      for (const auto& [tokens, adapter] : parts) {
        Pass alone;
        alone.segments = {{tokens, nullptr, adapter}};
        const Tensor expected =
            model.logits(std::span(ids).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(tokens)), alone);
        CHECK(relative_distance(all.rows(begin, begin + tokens), expected) < (dtype == DType::f64 ? 1e-12 : 1e-5));
        if (adapter != nullptr) {
          Pass plain;
          CHECK(distance(expected, model.logits(std::span(ids).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(tokens)),
                                                plain)) > 1e-2);
        }
        begin += tokens;
      }
    }
}

TEST_CASE("a bf16 base trains an adapter as its own values in f32 do, and has no gradient") {
  const Batch batch = batch_of("llama");
  for (const char* base : {"gpt2", "llama"}) {
    const Model half = base_model(base, DType::bf16);
    Model wide = half;
    for_each_parameter(wide, [](std::string_view, Tensor& tensor) { tensor = tensor.to(DType::f32); });
    std::vector<Tensor> gradients_of_a;
    for (const Model* model : {&half, static_cast<const Model*>(&wide)}) {
      Adapter adapter = random_adapter(*model, every_layer);
      trainable_parameters(adapter);
      AdaptedModel adapted(*model, adapter);
      Pass pass;
      Tape tape;
      const Gradients gradients = tape.backward(adapted.loss(batch.inputs, batch.targets, pass));
      for (const LoraLayer& layer : adapter.all())
        for (const Tensor& tensor : {layer.change.term.a, layer.change.term.b}) gradients_of_a.push_back(gradients.at(tensor));
      for_each_parameter(*model, [&](std::string_view path, const Tensor& tensor) { CHECK_MESSAGE(!gradients.find(tensor), path); });
    }
    const std::size_t half_count = gradients_of_a.size() / 2;
    double most = 0;
    for (std::size_t i = half_count; i < gradients_of_a.size(); ++i) most = std::max(most, largest(gradients_of_a[i]));
    for (std::size_t i = 0; i < half_count; ++i) CHECK(distance(gradients_of_a[i], gradients_of_a[i + half_count]) < 1e-5 * most);
  }
}

TEST_CASE("an adapter of the output head: loss, gradients and generation") {
  Model model = base_model("llama", DType::f64);
  const Batch batch = batch_of("llama");
  Adapter adapter = random_adapter(model, {.rank = 2, .alpha = 3, .targets = {"lm_head", "q_proj"}});
  CHECK(adapter.all().size() == 3);
  std::vector<Tensor> watched;
  for (const NamedParameter& parameter : trainable_parameters(adapter)) watched.push_back(parameter.tensor);
  AdaptedModel adapted(model, adapter);
  const auto loss = [&] {
    Pass pass;
    pass.segments = batch.segments();
    return adapted.loss(batch.inputs, batch.targets, pass);
  };
  const auto short_loss = [&](const std::vector<Tensor>&) {
    Pass pass;
    return adapted.loss(std::span(batch.inputs).first(6), std::span(batch.targets).first(6), pass);
  };
  CHECK(gradient_check(short_loss, watched).worst < 1e-6);
  const Tensor ours = logits_of(model, batch, &adapter);
  const double loss_before = loss().item();
  Session session(model, {.threads = 1, .adapter = &adapter});
  session.feed(std::span<const TokenId>(batch.inputs).first(9));
  std::vector<TokenId> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(session.next({.temperature = 0}));
  merge(model, adapter);
  CHECK(distance(logits_of(model, batch), ours) < 1e-9);
  Pass pass;
  pass.segments = batch.segments();
  CHECK(model.loss(batch.inputs, batch.targets, pass).item() == doctest::Approx(loss_before).epsilon(1e-12));
  Session merged(model, {.threads = 1});
  merged.feed(std::span<const TokenId>(batch.inputs).first(9));
  for (int i = 0; i < 12; ++i) CHECK(merged.next({.temperature = 0}) == ids[static_cast<std::size_t>(i)]);
}

TEST_CASE("sessions and scores go through their adapter: what a merged model says") {
  for (const char* base : {"gpt2", "llama"}) {
    Model model = base_model(base);
    const std::vector<TokenId> ids = batch_of(base).inputs;
    Adapter adapter = random_adapter(model, every_layer);
    const auto words = [&](const LinearAdapters* through) {
      Session session(model, {.threads = 1, .adapter = through});
      session.feed(std::span(ids).first(5));
      std::vector<TokenId> said;
      for (int i = 0; i < 20; ++i) said.push_back(session.next({.temperature = 0}));
      return said;
    };
    const std::vector<TokenId> plain = words(nullptr), adapted = words(&adapter);
    const double plain_score = score(model, ids).nll, adapted_score = score(model, ids, {.adapter = &adapter}).nll;
    CHECK(plain != adapted);
    Session changed(model, {.threads = 1});
    changed.feed(std::span(ids).first(5));
    changed.logits();
    changed.use(&adapter);
    for (const TokenId expected : adapted) CHECK(changed.next({.temperature = 0}) == expected);
    changed.truncate(5);
    changed.use(nullptr);
    for (const TokenId expected : plain) CHECK(changed.next({.temperature = 0}) == expected);
    CHECK(std::abs(plain_score - adapted_score) > 1e-2);
    merge(model, adapter);
    CHECK(words(nullptr) == adapted);
    CHECK(score(model, ids).nll == doctest::Approx(adapted_score).epsilon(1e-5));
  }
}

TEST_CASE("dropout of an adapter: only in training, a stream for each step, layer and part; the same again under recompute") {
  Model model = base_model("llama", DType::f64);
  const Batch batch = batch_of("llama");
  Lora options = every_layer;
  options.dropout = 0.4;
  Adapter adapter = random_adapter(model, options);
  Lora without = options;
  without.dropout = 0;
  const Adapter plain = random_adapter(model, without);
  CHECK(same_bits(logits_of(model, batch, &adapter), logits_of(model, batch, &plain)));
  std::vector<Tensor> watched;
  for (const NamedParameter& parameter : trainable_parameters(adapter)) watched.push_back(parameter.tensor);
  AdaptedModel adapted(model, adapter);
  const auto run = [&](std::uint64_t stream, std::uint64_t seed, Recompute recompute) {
    Pass pass;
    pass.segments = batch.segments();
    pass.training = true;
    pass.dropout = {.rate = 0.2, .seed = seed, .stream = stream};
    pass.recompute = recompute;
    Tape tape(watched);
    const Tensor loss = adapted.loss(batch.inputs, batch.targets, pass);
    const Gradients gradients = tape.backward(loss);
    std::vector<Tensor> results{loss};
    for (const Tensor& tensor : watched) results.push_back(gradients.at(tensor));
    return results;
  };
  const std::vector<Tensor> first = run(3, 1, Recompute::nothing);
  CHECK(first.front().item() != run(4, 1, Recompute::nothing).front().item());
  CHECK(first.front().item() != run(3, 2, Recompute::nothing).front().item());
  for (const Recompute recompute : {Recompute::nothing, Recompute::mlp, Recompute::blocks}) {
    const std::vector<Tensor> again = run(3, 1, recompute);
    for (std::size_t i = 0; i < first.size(); ++i) CHECK(same_bits(first[i], again[i]));
  }
  // q, k and v read the same input: their masks differ, and those of two parts of one batch.
  AdaptedRows rows;
  rows.training = true;
  rows.seed = 1;
  rows.add(&adapter, 0, 3);
  rows.add(&adapter, 5, 8);
  std::set<std::uint64_t> seeds;
  for (const LoraLayer& layer : adapter.all())
    for (const LowRankRows& part : rows.beside(layer.base)) {
      CHECK(part.dropout.rate == 0.4);
      seeds.insert(part.dropout.seed);
    }
  CHECK(seeds.size() == 2 * adapter.all().size());
}

TEST_CASE("targets: names of ours and of Hugging Face, whole paths, stars, all-linear, and the usual ones") {
  const Model model = base_model("llama"), fused = base_model("gpt2");
  const auto paths = [](const Model& of, std::vector<std::string> targets) {
    std::string text;
    const Adapter adapter = attach(of, {.rank = 1, .targets = std::move(targets)});
    for (const LoraLayer& layer : adapter.all()) text += layer.path + " ";
    return text;
  };
  CHECK(paths(model, {}) == "blocks.0.attention.q blocks.0.attention.v blocks.1.attention.q blocks.1.attention.v ");
  CHECK(paths(model, {"q_proj", "attention.v"}) == paths(model, {}));
  CHECK(paths(model, {"model.layers.1.self_attn.q_proj"}) == "blocks.1.attention.q ");
  CHECK(paths(model, {"blocks.*.q"}) == "blocks.0.attention.q blocks.1.attention.q ");
  CHECK(paths(model, {"*.1.*_proj"}) ==
        "blocks.1.attention.q blocks.1.attention.k blocks.1.attention.v blocks.1.attention.output blocks.1.mlp.gate blocks.1.mlp.up "
        "blocks.1.mlp.down ");
  CHECK(attach(model, {.targets = {"all-linear"}}).all().size() == 14);
  CHECK(paths(model, {"lm_head"}) == "head ");
  CHECK(paths(fused, {}) == "blocks.0.attention.qkv blocks.1.attention.qkv ");
  CHECK(paths(fused, {"c_proj"}) == "blocks.0.attention.output blocks.0.mlp.down blocks.1.attention.output blocks.1.mlp.down ");
  const std::string unmatched = message_of([&] { attach(model, {.targets = {"q_proj", "c_attn"}}); });
  CHECK(holds(unmatched, "\"c_attn\""));
  CHECK(holds(unmatched, "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head"));
  CHECK(holds(message_of([&] { attach(model, {.targets = {"proj"}}); }), "\"proj\""));        // no end of a name
  CHECK(holds(message_of([&] { attach(fused, {.targets = {"lm_head"}}); }), "\"lm_head\""));  // tied: the embedding
  const Adapter patterns = attach(model, {.rank = 4,
                                          .alpha = 6,
                                          .targets = {"all-linear"},
                                          .rank_pattern = {{"layers.1.self_attn.q_proj", 2}, {"q_proj", 3}},
                                          .alpha_pattern = {{"down_proj", 5}},
                                          .rslora = true});
  CHECK(patterns.at("blocks.0.attention.q").change.term.a.rows() == 3);
  CHECK(patterns.at("blocks.1.attention.q").change.term.b.columns() == 2);
  CHECK(patterns.at("model.layers.0.mlp.down_proj").change.term.scale == doctest::Approx(2.5));
  CHECK(patterns.at("blocks.1.attention.q").change.term.scale == doctest::Approx(6 / std::sqrt(2.0)));
  CHECK(count_parameters(attach(model, {.rank = 8, .targets = {"q_proj", "v_proj"}})) == 2 * (8 * (48 + 48) + 8 * (48 + 16)));
}

TEST_CASE("A starts uniform within 1/sqrt(inputs), a function of the seed") {
  const Model model = base_model("llama");
  const Adapter adapter = attach(model, {.rank = 16, .seed = 1}), same = attach(model, {.rank = 16, .seed = 1}),
                other = attach(model, {.rank = 16, .seed = 2});
  const Tensor a = adapter.all()[0].change.term.a;
  double sum = 0, squares = 0;
  for (const double value : values_of(a)) {
    sum += value;
    squares += value * value;
  }
  const double count = static_cast<double>(a.size()), bound = 1 / std::sqrt(48.0);
  CHECK(largest(a) <= bound);
  CHECK(largest(a) > 0.98 * bound);
  CHECK(std::abs(sum / count) < 0.1 * bound);
  CHECK(squares / count == doctest::Approx(bound * bound / 3).epsilon(0.1));
  CHECK(same_bits(a, same.all()[0].change.term.a));
  CHECK(!same_bits(a, other.all()[0].change.term.a));
  CHECK(!same_bits(a, adapter.all()[2].change.term.a));
}

TEST_CASE("what does not fit is refused: ranks, another model's adapter, merging twice, a merged adapter in use") {
  Model model = base_model("llama"), other = base_model("llama");
  const Batch batch = batch_of("llama");
  CHECK(holds(message_of([&] { attach(model, {.rank = 0}); }), "rank 0"));
  CHECK(holds(message_of([&] { attach(model, {.rank = 49}); }), "expected 1 .. 48"));
  CHECK(holds(message_of([&] { attach(model, {.dropout = 1}); }), "dropout"));
  CHECK(holds(message_of([&] { attach(model, {.alpha = std::nan("")}); }), "alpha"));
  CHECK(holds(message_of([&] { attach(Decoder::described(model.config()), {}); }), "has no values"));
  Adapter adapter = random_adapter(model, {}), second = random_adapter(model, {});
  CHECK(holds(message_of([&] { logits_of(other, batch, &adapter); }), "another model"));
  CHECK(holds(message_of([&] { merge(other, adapter); }), "another model"));
  CHECK(holds(message_of([&] { unmerge(model, adapter); }), "not merged"));
  merge(model, adapter);
  CHECK(holds(message_of([&] { logits_of(model, batch, &adapter); }), "merged"));
  CHECK(holds(message_of([&] { logits_of(model, batch, &second); }), "attached to another model"));
  CHECK(holds(message_of([&] { merge(model, adapter); }), "already"));
  CHECK(holds(message_of([&] { merge(model, second); }), "another adapter was merged"));
  CHECK(holds(message_of([&] { unmerge(other, adapter); }), "another model"));
  unmerge(model, adapter);
  merge(model, second);
}
