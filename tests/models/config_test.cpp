// Configurations made by hand: what cannot be is refused by the name of its field.
#include "plume/models/config.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "plume/base/error.hpp"

using namespace plume;

namespace {

Config sound() {
  Config config;
  config.vocabulary = 101, config.context = 53, config.width = 24, config.layers = 3, config.hidden = 35;
  config.heads = 4, config.key_heads = 2, config.head_width = 6;
  config.rotary.width = 6;
  return config;
}

}  // namespace

TEST_CASE("a sound configuration passes") { CHECK_NOTHROW(sound().check()); }

TEST_CASE("what is out of range is named") {
  struct Case {
    const char *field, *reason;
    std::function<void(Config&)> change;
  };
  const auto layered = [](Config& config, LayerKind kind) { config.layer_kinds.assign(3, kind); };
  const auto mixed = [&](Config& config) {
    layered(config, {.experts = true});
    config.experts.count = 4, config.experts.chosen = 2, config.experts.hidden = 7;
  };
  const Case cases[] = {
      {"vocabulary", "is 0, expected at least 1", [](Config& config) { config.vocabulary = 0; }},
      {"width", "is -1, expected 1 ..", [](Config& config) { config.width = -1; }},
      {"key_heads", "4 heads cannot share 3 key heads", [](Config& config) { config.key_heads = 3; }},
      {"heads", "is 6: four blocks of queries, values and keys need a multiple of 4",
       [](Config& config) { config.qkv_layout = QkvLayout::blocks, config.heads = config.key_heads = 6; }},
      {"norm_epsilon", "expected a number in (0, 1)", [](Config& config) { config.norm_epsilon = 0; }},
      {"residual_scale", "expected a positive number", [](Config& config) { config.residual_scale = -2; }},
      {"logit_cap", "expected a positive number", [](Config& config) { config.logit_cap = -1; }},
      {"rotary.base", "expected a positive number", [](Config& config) { config.rotary.base = 0; }},
      {"rotary.width", "is 5 of a head of 6", [](Config& config) { config.rotary.width = 5; }},
      {"rotary.width", "is 2, dynamic scaling needs at least 4",
       [](Config& config) { config.rotary.width = 2, config.rotary.scaling = RotaryScaling::dynamic; }},
      {"rotary.trained_context", "is 0, expected at least 1", [](Config& config) { config.rotary.scaling = RotaryScaling::yarn; }},
      {"rotary.fast", "is 1, expected more than slow, 2",
       [](Config& config) {
         config.rotary.scaling = RotaryScaling::llama3, config.rotary.trained_context = 40;
         config.rotary.fast = 1, config.rotary.slow = 2;
       }},
      {"rotary.fast", "the base must be over 1, fast and slow positive",
       [](Config& config) {
         config.rotary.scaling = RotaryScaling::yarn, config.rotary.trained_context = 40;
         config.rotary.slow = -1;
       }},
      {"rotary.short_factors", "there are 0, expected 3",
       [](Config& config) { config.rotary.scaling = RotaryScaling::longrope, config.rotary.trained_context = 40; }},
      {"rotary.long_factors", "there are 2, expected 3",
       [](Config& config) {
         config.rotary.scaling = RotaryScaling::longrope, config.rotary.trained_context = 40;
         config.rotary.short_factors = {1, 1, 1}, config.rotary.long_factors = {1, 2};
       }},
      {"rotary.long_factors", "expected a positive number",
       [](Config& config) {
         config.rotary.scaling = RotaryScaling::longrope, config.rotary.trained_context = 40;
         config.rotary.short_factors = {1, 1, 1}, config.rotary.long_factors = {1, 2, 0};
       }},
      {"local_rotary.width", "is 8 of a head of 6",
       [](Config& config) { config.local_rotary = config.rotary, config.local_rotary->width = 8; }},
      {"layer_kinds", "there are 2 for 3 layers", [](Config& config) { config.layer_kinds.resize(2); }},
      {"window", "is 0, but there are layers of local scope", [&](Config& config) { layered(config, {.scope = AttentionScope::local}); }},
      {"experts.count", "is 0, expected 1 ..", [&](Config& config) { mixed(config), config.experts.count = 0; }},
      {"experts.hidden", "is 2097152, expected 1 ..", [&](Config& config) { mixed(config), config.experts.hidden = 1 << 21; }},
      {"experts.chosen", "is 5 of 4 experts", [&](Config& config) { mixed(config), config.experts.chosen = 5; }},
      {"experts.chosen", "is 0 of 4 experts", [&](Config& config) { mixed(config), config.experts.chosen = 0; }},
      {"experts.shared_hidden", "is -1, expected 0 ..", [&](Config& config) { mixed(config), config.experts.shared_hidden = -1; }},
      {"relative.count", "is 2, expected 4 .. 4096",
       [](Config& config) { config.position = PositionKind::relative, config.relative.count = 2; }},
      {"relative.reach", "is 4, expected more than half of the 8 buckets",
       [](Config& config) { config.position = PositionKind::relative, config.relative = {.count = 8, .reach = 4}; }},
      {"qkv_layout", "cross-attention has separate projections",
       [](Config& config) { config.cross_attention = true, config.qkv_layout = QkvLayout::contiguous; }},
      {"frozen_token", "token 101 is not in a vocabulary of 101", [](Config& config) { config.frozen_token = 101; }},
      {"rotary.two_streams", "a multiple of 4 wide, of a fused projection", [](Config& config) { config.rotary.two_streams = true; }},
      {"rotary.two_streams", "only texts with blanks have the second stream",
       [](Config& config) {
         config.head_width = config.rotary.width = 8, config.qkv_layout = QkvLayout::grouped;
         config.rotary.two_streams = true;
       }},
      {"infilling.begin", "token 101 is not in a vocabulary of 101",
       [](Config& config) {
         config.infilling = Infilling{};
         config.infilling->masks = {5}, config.infilling->begin = 101;
       }},
      {"infilling.masks", "token 102 is not in a vocabulary of 101",
       [](Config& config) {
         config.infilling = Infilling{};
         config.infilling->masks = {5, 102}, config.infilling->begin = 7;
       }},
      {"end_tokens", "token 101 is not in a vocabulary of 101",
       [](Config& config) {
         config.end_tokens = {100, 101};
       }},
      {"begin_tokens", "token -1 is not in a vocabulary of 101", [](Config& config) { config.begin_tokens = {-1}; }},
  };
  for (const Case& each : cases) {
    INFO(std::string(each.field), ": ", std::string(each.reason));
    Config config = sound();
    each.change(config);
    try {
      config.check("here.json");
      FAIL_CHECK("was accepted");
    } catch (const ConfigError& error) {
      CHECK(error.where().path == "here.json");
      CHECK(error.where().field == each.field);
      CHECK(error.reason().find(each.reason) != std::string::npos);
    }
  }
  Config long_context = sound();
  long_context.context = Index{1} << 40;
  CHECK_THROWS_AS(long_context.check(), LimitError);
}
