// LoRA on every kind of layer that families have: fused projections in each packing, experts, gates, heads with a bias.
#include <doctest/doctest.h>

#include "numbers.hpp"
#include "plume/models/load.hpp"
#include "plume/peft/adapter.hpp"
#include "test_data.hpp"

using namespace plume;
using plume_test::distance;

TEST_CASE("an adapter beside the weights is the adapter merged into them, for sequences with and without it in one batch") {
  std::vector<TokenId> ids(24);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i * 7 % 53);
  for (const char* name : {"phi3", "gpt_neox", "bloom", "codegen", "gptj", "gemma2", "olmo2", "mixtral", "qwen2_moe", "openai_gpt"}) {
    INFO(name);
    Model model = load(plume_test::golden(concat("families/", name)), {.dtype = DType::f64});
    Adapter adapter = attach(model, Lora{.rank = 3, .alpha = 6, .targets = {"all-linear"}, .seed = 4});
    std::uint64_t seed = 9;
    for_each_parameter(
        adapter, [&](std::string_view, Tensor& tensor) { tensor = plume_test::random_tensor(tensor.shape(), seed++, DType::f64, 0.3); });
    // The first sequence goes through the model as it is, the other two through the adapter.
    Pass mixed;
    mixed.segments = {{9}, {8, nullptr, &adapter}, {7, nullptr, &adapter}};
    const Tensor beside = model.logits(ids, mixed);
    Pass plain;
    plain.segments = {{9}, {8}, {7}};
    const Tensor before = model.logits(ids, plain);
    merge(model, adapter);
    Pass merged;
    merged.segments = plain.segments;
    const Tensor after = model.logits(ids, merged);
    CHECK(distance(beside.rows(0, 9), before.rows(0, 9)) <= 1e-12);
    CHECK(distance(beside.rows(9, 24), after.rows(9, 24)) <= 1e-9 * std::max(1.0, plume_test::largest(after)));
    CHECK(distance(before.rows(9, 24), after.rows(9, 24)) > 1e-3);
  }
}
