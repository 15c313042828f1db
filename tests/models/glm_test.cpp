// What models that fill blanks know besides their fixtures in families_test: positions and masks of ChatGLM's published code, what sees
// what, cut caches, sequences that are none. tests/golden/make_glm.py made glm.json.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "../test_data.hpp"
#include "plume/formats/safetensors.hpp"
#include "plume/models/families/families.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"

using namespace plume;
using plume_test::distance, plume_test::golden, plume_test::read_all, plume_test::same_bits;

namespace {

nlohmann::json cases() { return nlohmann::json::parse(read_all(golden("glm.json"))); }
std::string folder_of(const std::string& name) { return golden("families/" + name); }
const char* const fixtures[] = {"chatglm", "chatglm_one_stream", "glm_130b", "glm_130b_two_streams"};

// The first sequence of the fixtures: 20 tokens with [MASK] at 7, sop, 16 more.
std::vector<TokenId> sequence(const std::string& name) {
  const auto numbers = plume_test::read_safetensors(folder_of(name) + "/golden.safetensors");
  const auto ids = numbers.at("input_ids").span<TokenId>().first(37);
  return {ids.begin(), ids.end()};
}
Tensor logits_of(const Model& model, const std::vector<TokenId>& ids, std::shared_ptr<const Blanks> blanks = {}) {
  Pass pass{.segments = {{.tokens = static_cast<Index>(ids.size()), .blanks = std::move(blanks)}}};
  return model.logits(ids, pass);
}
Tensor row(const Tensor& logits, Index index) { return logits.rows(index, index + 1); }

}  // namespace

TEST_CASE("positions and masks are those of ChatGLM's published code") {
  std::size_t met = 0;
  const nlohmann::json all = cases();
  for (const auto& one : all["positions"]) {
    const Config config = load(folder_of(one["model"])).config();
    const std::vector<TokenId> ids = one["ids"];
    Pass pass{.segments = {{static_cast<Index>(ids.size())}}};
    const Blanks blanks = find_blanks(*config.infilling, ids);
    pass.segments[0].blanks = std::make_shared<const Blanks>(blanks);
    pass.begin(static_cast<Index>(ids.size()));
    const std::vector<std::vector<std::int32_t>> positions = one["positions"];
    CHECK(std::equal(pass.positions.begin(), pass.positions.end(), positions[0].begin(), positions[0].end()));
    if (positions.size() == 2) CHECK(std::equal(pass.in_blocks.begin(), pass.in_blocks.end(), positions[1].begin(), positions[1].end()));
    const std::vector<std::vector<int>> seen = one["seen"];
    for (std::size_t query = 0; query < ids.size(); ++query) {
      std::vector<int> ours(ids.size());
      for (const KeyInterval& keys : pass.masks[0]->row(static_cast<Index>(query)))
        std::fill(ours.begin() + keys.begin, ours.begin() + keys.end, 1);
      CHECK(ours == seen[query]);
    }
    ++met;
  }
  CHECK(met == 10);
}

TEST_CASE("rotary frequencies are rounded to half precision, bit for bit") {
  const nlohmann::json all = cases();
  REQUIRE(all["frequencies"].size() == 4);
  for (const auto& [width, bits] : all["frequencies"].items()) {
    const Rotary rotary{.width = std::stoi(width), .half_precision = true};
    const auto frequencies = rotary_frequencies(rotary, 0);
    REQUIRE(frequencies.size() == bits.size());
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
      Half theirs;
      theirs.bits = bits[i].get<std::uint16_t>();
      CHECK(frequencies[i] == static_cast<double>(static_cast<float>(theirs)));
    }
  }
}

TEST_CASE("the context sees itself, what fills a blank sees no later token") {
  for (const std::string name : fixtures) {
    CAPTURE(name);
    const Model model = load(folder_of(name));
    const std::vector<TokenId> ids = sequence(name);
    const Tensor whole = logits_of(model, ids);
    for (const Index changed : {0, 12, 19}) {  // of the context: every row sees it, the first too
      std::vector<TokenId> other = ids;
      other[static_cast<std::size_t>(changed)] = ids[static_cast<std::size_t>(changed)] == 9 ? 10 : 9;
      const Tensor logits = logits_of(model, other);
      for (Index t = 0; t < 37; ++t) CHECK(distance(row(logits, t), row(whole, t)) > 1e-6);
    }
    for (const Index changed : {21, 30, 36}) {  // behind sop: no row before it does
      std::vector<TokenId> other = ids;
      other[static_cast<std::size_t>(changed)] = ids[static_cast<std::size_t>(changed)] == 9 ? 10 : 9;
      const Tensor logits = logits_of(model, other);
      CHECK(same_bits(logits.rows(0, changed).copy(), whole.rows(0, changed).copy()));
      for (Index t = changed; t < 37; ++t) CHECK(distance(row(logits, t), row(whole, t)) > 1e-6);
    }
  }
}

TEST_CASE("places matter: each stream, and the mask that is filled") {
  for (const std::string name : fixtures) {
    CAPTURE(name);
    const Model model = load(folder_of(name));
    const bool two_streams = model.config().rotary.two_streams;
    const std::vector<TokenId> ids = sequence(name);
    const Tensor whole = logits_of(model, ids);
    const auto with = [&](const Blanks& blanks) { return logits_of(model, ids, std::make_shared<const Blanks>(blanks)); };
    CHECK(same_bits(with({20, {{20, 7}}}), whole));
    CHECK(distance(with({20, {{20, 8}}}), whole) > 1e-3);
    CHECK(distance(with({20, {{20, -1}}}), whole) > 1e-3);
    CHECK(distance(with({19, {{20, 7}}}), whole) > 1e-3);
    // A second piece at the same place begins to count anew: models of one stream cannot tell.
    const Tensor halves = with({20, {{20, 7}, {28, 7}}});
    CHECK((distance(halves, whole) > 1e-3) == two_streams);
    CHECK(same_bits(halves.rows(0, 28).copy(), whole.rows(0, 28).copy()));
  }
}

TEST_CASE("a context goes through in one pass, and a cache that is cut within it forgets all") {
  const Model model = load(folder_of("chatglm"));
  const std::vector<TokenId> ids = sequence("chatglm");
  const Tensor whole = model.logits(ids);
  KvCache cache(model.config().cache(64, DType::f32));
  const auto go_on = [&](Index count) {
    const auto part = std::span(ids).subspan(static_cast<std::size_t>(cache.used()), static_cast<std::size_t>(count));
    Pass pass{.segments = {{count, &cache}}};
    return model.logits(part, pass);
  };
  CHECK_THROWS_WITH_AS(go_on(20), doctest::Contains("no token 53 (sop)"), ArgumentError);
  CHECK(cache.used() == 0);
  CHECK(distance(go_on(23), whole.rows(0, 23)) <= 1e-5);
  CHECK(distance(go_on(14), whole.rows(23, 37)) <= 1e-5);
  cache.truncate(21);
  CHECK(cache.used() == 21);
  CHECK(distance(go_on(16), whole.rows(21, 37)) <= 1e-5);
  cache.truncate(20);
  CHECK(cache.used() == 0);
  CHECK(distance(go_on(37), whole) <= 1e-5);
  // The same with blanks that are named.
  KvCache other(model.config().cache(64, DType::f32));
  Pass pass{.segments = {{.tokens = 12, .cache = &other, .blanks = std::make_shared<const Blanks>(Blanks{20, {{20, 7}}})}}};
  CHECK_THROWS_WITH_AS(model.logits(std::span(ids).first(12), pass), doctest::Contains("of a context of 20"), ArgumentError);
  KvCache copy(model.config().cache(64, DType::f32));
  cache.truncate(30);
  copy.assign(cache);
  Pass last{.segments = {{7, &copy}}};
  CHECK(distance(model.logits(std::span(ids).subspan(30), last), whole.rows(30, 37)) <= 1e-5);
}

TEST_CASE("several sequences of one pass have contexts of their own") {
  const Model model = load(folder_of("chatglm"));
  const std::vector<TokenId> first = sequence("chatglm"), second{9, 51, 53, 12, 13};
  std::vector<TokenId> both = first;
  both.insert(both.end(), second.begin(), second.end());
  Pass pass{.segments = {{37}, {5}}};
  const Tensor logits = model.logits(both, pass);
  CHECK(distance(logits.rows(0, 37), model.logits(first)) <= 1e-5);
  CHECK(distance(logits.rows(37, 42), model.logits(second)) <= 1e-5);
}

TEST_CASE("sequences that fill no blank are refused") {
  const Model model = load(folder_of("chatglm"));
  CHECK_THROWS_WITH_AS(model.logits(std::vector<TokenId>{4, 5, 51}), doctest::Contains("no token 53 (sop)"), ArgumentError);
  CHECK_THROWS_WITH_AS(model.logits(std::vector<TokenId>{4, 5, 53, 51}), doctest::Contains("no mask token, such as 51"), ArgumentError);
}

TEST_CASE("files of both heads, with the buffers of the hub and under either class") {
  const plume_test::TemporaryDirectory directory;
  const Model model = load(folder_of("chatglm"));
  save(model, directory.path());
  const SafetensorsFile file = read_safetensors(directory / "model.safetensors");
  std::vector<NamedTensor> tensors;
  for (const auto& entry : file.entries()) tensors.push_back({std::string(entry.name), file.tensor(entry.name).copy()});
  for (const char* layer : {"0", "1", "2"})
    tensors.push_back({concat("transformer.layers.", layer, ".attention.rotary_emb.inv_freq"), Tensor::zeros({3})});
  write_safetensors(directory / "model.safetensors", tensors);
  std::string config = read_all(directory / "config.json");
  config.replace(config.find("ChatGLMModel"), 12, "ChatGLMForConditionalGeneration");
  plume_test::write_all(directory / "config.json", config);
  const Model again = load(directory.path());
  CHECK(again.config() == model.config());
  const std::vector<TokenId> ids = sequence("chatglm");
  CHECK(same_bits(again.logits(ids), model.logits(ids)));
  // No other family and no GGUF file has a place for them.
  CHECK_THROWS_AS(save(model, directory / "model.gguf"), ArgumentError);
  Config moved = model.config();
  moved.infilling->masks.push_back(40);
  CHECK(families::fitting(moved) == nullptr);
}
