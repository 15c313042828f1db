// Weight deltas as they were published. tests/golden/make_deltas.py made them by the published procedures.
#include "plume/models/weight_delta.hpp"

#include <doctest/doctest.h>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "../test_data.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden, plume_test::same_bits;

namespace {

Model base() { return load(golden("families/mistral_full")); }
Model delta() { return load(golden("deltas/add")); }
double published(const std::string& key) { return plume_test::read_settings(golden("deltas/golden.json")).numbers.at(key); }

}  // namespace

TEST_CASE("a delta on its base is the model that was meant, bit for bit") {
  const Model target = apply_delta(base(), delta(), {.sum = WeightSum{published("sum_with_frequencies")}});
  CHECK(target.config() == delta().config());
  CHECK(target.config().vocabulary == base().config().vocabulary + 1);
  const plume_test::TemporaryDirectory directory;
  save(target, directory.path());
  const auto after = plume_test::read_safetensors(directory / "model.safetensors"),
             wanted = plume_test::read_safetensors(golden("deltas/golden.safetensors"));
  CHECK(after.size() == wanted.size());
  for (const auto& entry : wanted) {
    CAPTURE(entry.first);
    CHECK(same_bits(after.at(entry.first), entry.second));
  }
  // The files it came from are as they were.
  CHECK(same_bits(base().decoder.embedding.weight, load(golden("families/mistral_full")).decoder.embedding.weight));
}

TEST_CASE("sums of weights") {
  const Model target = apply_delta(base(), delta(), {.check = DeltaCheck::none});
  CHECK(std::abs(weight_sum(target) - published("sum")) <= 1e-6);
  CHECK(std::abs(weight_sum(target, SumOf::weights_and_frequencies) - published("sum_with_frequencies")) <= 1e-6);
  CHECK_NOTHROW(apply_delta(base(), delta(), {.sum = WeightSum{published("sum"), SumOf::weights}}));
}

TEST_CASE("a delta that is made is one that brings the target back") {
  const Model target = apply_delta(base(), delta(), {.check = DeltaCheck::none});
  const Model made = make_delta(base(), target);
  const Model again = apply_delta(base(), made, {.sum = WeightSum{weight_sum(target), SumOf::weights}});
  for_each_parameter(target, [&](std::string_view path, const Tensor& tensor) {
    for_each_parameter(again, [&](std::string_view other, const Tensor& found) {
      if (other == path) CHECK(distance(found, tensor) <= 1e-6);
    });
    for_each_parameter(made, [&](std::string_view other, const Tensor& found) {
      if (other == path) CHECK(plume_test::largest(found) <= 0.06);
    });
  });
}

TEST_CASE("a wrong base is noticed") {
  const WeightSum sum{published("sum_with_frequencies")};
  CHECK_THROWS_WITH_AS(apply_delta(base(), delta()), doctest::Contains("give the sum that was published with it"), ArgumentError);
  Model other = base();
  other.decoder.norm.weight = shift(other.decoder.norm.weight, 0.01);
  CHECK_THROWS_WITH_AS(apply_delta(other, delta(), {.sum = sum}), doctest::Contains("the base is not the one that this delta was made for"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(apply_delta(base(), base(), {.sum = sum}), doctest::Contains("the weights sum to"), ArgumentError);
  const auto refused = [&](const Model& wrong, const char* reason) {
    CHECK_THROWS_WITH_AS(apply_delta(wrong, delta(), {.check = DeltaCheck::none}), doctest::Contains(reason), ArgumentError);
  };
  CHECK_THROWS_WITH_AS(apply_delta(delta(), base(), {.check = DeltaCheck::none}),
                       doctest::Contains("the base knows 54 tokens, the delta only 53"), ArgumentError);
  refused(load(golden("families/gpt3")), "lie differently");
  Model changed = base();
  changed.decoder.blocks[1].mlp.up.weight = Tensor::zeros({36, 17});
  refused(changed, "blocks.1.mlp.up.weight is (36, 17) in the base, (36, 18) in the delta");
  changed = base();
  changed.decoder.head.weight = {};
  refused(changed, "the delta has head.weight, the base has not");
  changed = base();
  changed.decoder.norm.bias = Tensor::zeros({18});
  refused(changed, "the base has norm.bias, the delta has not");
}
