// Every family against transformers, on tiny models that it wrote: logits, hidden states, loss, every gradient, greedy ids through a cache,
// files written back. tests/golden/make_families.py says how they were made.
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <set>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "../test_data.hpp"
#include "plume/models/families/families.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden, plume_test::Tensors;

namespace {

struct Fixture {
  std::string name, folder;
  Tensors numbers;
  std::vector<TokenId> ids, targets;
  std::vector<Index> lengths;

  explicit Fixture(const std::string& of) : name(of), folder(golden("families/" + of)), numbers(plume_test::read_safetensors(folder + "/golden.safetensors")) {
    ids = integers("input_ids"), targets = integers("targets");
    for (const TokenId length : integers("lengths")) lengths.push_back(length);
  }
  std::vector<TokenId> integers(const std::string& key) const {
    const auto span = numbers.at(key).span<TokenId>();
    return {span.begin(), span.end()};
  }
  Model model(DType dtype) const { return load(folder, {.dtype = dtype}); }
  Pass pass() const {
    Pass pass;
    for (const Index length : lengths) pass.segments.push_back({length});
    return pass;
  }
};

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden("families"))) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

Tensor logits_of(const Model& model, const Fixture& fixture) {
  Pass pass = fixture.pass();
  return model.logits(fixture.ids, pass);
}

Tensor transposed(const Tensor& matrix) {
  const Tensor from = matrix.to(DType::f64), into = Tensor::empty({matrix.columns(), matrix.rows()}, DType::f64);
  for (Index r = 0; r < from.rows(); ++r)
    for (Index c = 0; c < from.columns(); ++c) into.writable<double>()[c * from.rows() + r] = from.data<double>()[r * from.columns() + c];
  return into;
}

// The worst distance of a gradient, each relative to its largest element, at least to 1e-3 of the largest of all.
double worst_gradient(Model& model, const Fixture& fixture) {
  const Family& family = *families::fitting(model.config());
  trainable_parameters(model);
  Pass pass = fixture.pass();
  Tape tape;
  const Gradients gradients = tape.backward(model.loss(fixture.ids, fixture.targets, pass));
  double most = 0, worst = 0;
  std::size_t known = 0, met = 0;
  for (const auto& [key, tensor] : fixture.numbers)
    if (key.starts_with("gradient.")) most = std::max(most, plume_test::largest(tensor)), ++known;
  for_each_parameter(model, [&](std::string_view path, const Tensor& tensor) {
    const FileName name = file_name(family, path);
    const auto found = fixture.numbers.find("gradient." + name.name);
    if (found == fixture.numbers.end()) return void(worst = INFINITY);
    ++met;
    Tensor ours = gradients.at(tensor);
    if (name.transposed) ours = transposed(ours);
    if (!(ours.shape() == found->second.shape())) return void(worst = INFINITY);
    worst = std::max(worst, distance(ours, found->second) / std::max(plume_test::largest(found->second), 1e-3 * most));
  });
  return met == known ? worst : INFINITY;
}

// Greedy ids through a cache; `apart` becomes the largest distance of a step's logits from those of the full recompute.
std::vector<TokenId> greedy(const Model& model, const Fixture& fixture, double& apart) {
  const std::size_t count = fixture.integers("greedy_ids").size();
  KvCache cache(model.config().cache(96, model.decoder.embedding.weight.dtype()));
  std::vector<TokenId> next = fixture.integers("prompt_ids"), all = next, generated;
  apart = 0;
  while (generated.size() < count) {
    Pass pass;
    pass.segments = {{static_cast<Index>(next.size()), &cache}};
    const Tensor logits = model.logits(next, pass), last = logits.rows(logits.rows() - 1, logits.rows());
    const Tensor whole = model.logits(all);
    apart = std::max(apart, distance(last, whole.rows(whole.rows() - 1, whole.rows())));
    const auto values = plume_test::values_of(last);
    next = {static_cast<TokenId>(std::max_element(values.begin(), values.end()) - values.begin())};
    generated.push_back(next[0]);
    all.push_back(next[0]);
  }
  return generated;
}

}  // namespace

TEST_CASE("logits, hidden states and loss of every family") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Model model = fixture.model(dtype);
      const double allowed = dtype == DType::f32 ? 1e-4 : 1e-9;
      CHECK(distance(logits_of(model, fixture), fixture.numbers.at("logits")) <= allowed);
      Pass pass = fixture.pass();
      CHECK(std::abs(model.loss(fixture.ids, fixture.targets, pass).item() - fixture.numbers.at("loss").item()) <= allowed);
      // The residual stream behind each block.
      for (std::size_t blocks = 1; blocks <= model.decoder.blocks.size(); ++blocks) {
        const std::vector<Block> first(model.decoder.blocks.begin(), model.decoder.blocks.begin() + static_cast<std::ptrdiff_t>(blocks));
        Pass part = fixture.pass();
        const Tensor states = run_blocks(first, model.decoder.embed(fixture.ids, part), part);
        const Tensor& theirs = fixture.numbers.at(concat("hidden.", blocks - 1));
        CHECK(distance(states, theirs) <= 1e-4 * std::max(1.0, plume_test::largest(theirs)));
      }
    }
  }
}

TEST_CASE("the gradient of every tensor of every family") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      Model model = fixture.model(dtype);
      CHECK(worst_gradient(model, fixture) <= (dtype == DType::f32 ? 1e-4 : 1e-9));
    }
  }
}

TEST_CASE("64 greedy ids of every family, token by token through a cache") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    const Model model = fixture.model(DType::f32);
    double apart = 0;
    CHECK(greedy(model, fixture, apart) == fixture.integers("greedy_ids"));
    // Cached keys were turned by the frequencies of their time; transformers does the same.
    if (model.config().rotary.scaling != RotaryScaling::dynamic) CHECK(apart <= 1e-5);
  }
}

TEST_CASE("every family is written back as it was") {
  for (const std::string& name : fixtures()) {
    INFO(name);
    const Fixture fixture(name);
    const Model model = fixture.model(DType::f32);
    const plume_test::TemporaryDirectory directory;
    save(model, directory.path());
    CHECK(load(directory.path()).config() == model.config());
    const Tensors before = plume_test::read_safetensors(fixture.folder + "/model.safetensors"),
                  after = plume_test::read_safetensors(directory / "model.safetensors");
    CHECK(before.size() == after.size());
    for (const auto& [key, tensor] : before) {
      REQUIRE_MESSAGE(after.contains(key), key);
      CHECK_MESSAGE(plume_test::same_bits(tensor, after.at(key)), key);
    }
  }
}

TEST_CASE("every family has a fixture") {
  std::set<std::string_view> met;
  for (const std::string& name : fixtures()) met.insert(Fixture(name).model(DType::f32).config().family);
  for (const Family* family : families::all)
    if (family->name != "gpt2" && family->name != "llama" && family->name != "moss")  // parity_test; CodeGen's layout, not in transformers
      CHECK_MESSAGE(met.contains(family->name), std::string(family->name));
}
