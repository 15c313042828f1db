#include "plume/data/blank_infilling.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "plume/models/load.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/train/evaluate.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"
#include "tokenizer/hashed_strings.hpp"

using namespace plume;
using plume_test::golden, plume_test::read_all;

namespace {

constexpr TokenId mask = 50, gmask = 51, sop = 53, eop = 54;
const Infilling infilling{.masks = {gmask, mask}, .continuation = gmask, .begin = sop};

}  // namespace

TEST_CASE("samples are those of GLM's make_block_data, and their loss ChatGLM's") {
  const Model model = load(golden("families/chatglm"), {.dtype = DType::f64});
  std::size_t met = 0;
  TokenBatch batch;
  double total = 0;
  const nlohmann::json all = nlohmann::json::parse(read_all(golden("glm.json")));
  for (const auto& one : all["training"]) {
    const std::vector<TokenId> ids = one["ids"], theirs = one["targets"];
    const std::vector<int> trained = one["trained"];
    std::vector<BlankSpan> spans;
    for (const auto& span : one["spans"]) spans.push_back({span[0], span[1]});
    const InfillingSample sample = cut_blanks(ids, spans, infilling, one["mask"], eop);
    CHECK(sample.inputs == one["tokens"].get<std::vector<TokenId>>());
    CHECK(sample.blanks->context == one["context"].get<Index>());
    REQUIRE(sample.targets.size() == theirs.size());
    for (std::size_t t = 0; t < theirs.size(); ++t) {
      CHECK(sample.targets[t] == (trained[t] ? theirs[t] : -1));
      CHECK(sample.blanks->place(static_cast<Index>(t)) == TokenPlace{one["positions"][0][t], one["positions"][1][t]});
    }
    TokenBatch alone;
    append(alone, sample);
    Pass pass{.segments = segments_of(alone)};
    CHECK(std::abs(model.loss(alone.inputs, alone.targets, pass).item() - one["loss"].get<double>()) <= 1e-9);
    append(batch, sample);
    total += one["loss"].get<double>() * static_cast<double>(std::count(trained.begin(), trained.end(), 1));
    ++met;
  }
  CHECK(met == 5);
  Pass pass{.segments = segments_of(batch)};
  const auto trained = std::count_if(batch.targets.begin(), batch.targets.end(), [](TokenId id) { return id >= 0; });
  CHECK(std::abs(model.loss(batch.inputs, batch.targets, pass).item() - total / static_cast<double>(trained)) <= 1e-9);
}

TEST_CASE("a prompt with its answer: sop is trained as well") {
  const std::vector<TokenId> prompt{5, 6, 7}, answer{8, 9};
  const InfillingSample sample = answer_prompt(prompt, answer, infilling, eop);
  CHECK(sample.inputs == std::vector<TokenId>{5, 6, 7, gmask, sop, 8, 9});
  CHECK(sample.targets == std::vector<TokenId>{-1, -1, -1, sop, 8, 9, eop});
  CHECK(*sample.blanks == Blanks{4, {{4, 3}}});
  Infilling one_stream = infilling;
  one_stream.continuation_counts = true;
  CHECK(*answer_prompt(prompt, answer, one_stream, eop).blanks == Blanks{4, {{4, -1}}});
  CHECK(answer_prompt({}, answer, infilling, eop).inputs == std::vector<TokenId>{gmask, sop, 8, 9});
  CHECK(answer_prompt(prompt, {}, infilling, eop).targets == std::vector<TokenId>{-1, -1, -1, sop, eop});
}

TEST_CASE("pairs of texts become what ChatGLM-6B's own code trains on, cut to its lengths") {
  const Json& rows = plume_test::hashes("chatglm/golden.json").at("tuned");
  const plume_test::TemporaryFolder folder;
  folder.write("ice_text.model", plume_test::read_all(plume_test::golden("chatglm/ice_text.model")));
  folder.write("tokenizer_config.json", dump(plume_test::hashes("chatglm/golden.json").at("images_0").at("config")));
  const Tokenizer tokenizer = load_tokenizer(folder.path());
  const Infilling published{.masks = {1001, 1000}, .continuation = 1001, .begin = 1004};
  std::size_t cut = 0;
  for (const Json& row : rows.items()) {
    const auto ids = [&](const char* key) { return tokenizer.encode(row.at(key).as_text(), {.end = End::nothing}); };
    const AnswerLimits limits{row.integer("max_source"), row.integer("max_target")};
    const InfillingSample sample = answer_prompt(ids("prompt"), ids("answer"), published, 1005, limits);
    std::vector<TokenId> inputs, labels;
    for (const Json& id : row.at("inputs").items()) inputs.push_back(static_cast<TokenId>(id.as_integer()));
    for (const Json& id : row.at("labels").items()) labels.push_back(id.as_integer() < 0 ? -1 : static_cast<TokenId>(id.as_integer()));
    // Theirs hold the end as well, and a label stands at the token that it names.
    CHECK(sample.inputs == std::vector<TokenId>(inputs.begin(), inputs.end() - 1));
    CHECK(sample.targets == std::vector<TokenId>(labels.begin() + 1, labels.end()));
    cut += ids("prompt").size() + 1 > static_cast<std::size_t>(limits.max_source) ||
           ids("answer").size() + 2 > static_cast<std::size_t>(limits.max_target);
  }
  CHECK(rows.size() == 18);
  CHECK(cut >= 8);
  const std::vector<TokenId> some{5, 6};
  for (const AnswerLimits& limits : {AnswerLimits{-1, 0}, AnswerLimits{0, -1}, AnswerLimits{0, 1}})
    CHECK_THROWS_WITH_AS(answer_prompt(some, some, infilling, eop, limits), doctest::Contains("[answer_prompt]"), ArgumentError);
}

TEST_CASE("spans that are none are refused") {
  const std::vector<TokenId> ids{5, 6, 7, 8};
  using Spans = std::vector<BlankSpan>;
  for (const Spans& spans : {Spans{{1, 1}}, Spans{{-1, 1}}, Spans{{3, 5}}, Spans{{1, 3}, {2, 4}}, Spans{{2, 1}}, Spans{{0, 1}, {0, 1}}})
    CHECK_THROWS_AS(cut_blanks(ids, spans, infilling, mask, eop), ArgumentError);
  CHECK(cut_blanks(ids, {}, infilling, mask, eop).inputs == ids);
}

TEST_CASE("blanks are drawn as GLM's are: lengths of a Poisson distribution, never two that touch, in any order and place") {
  Random random{.seed = 3};
  std::vector<double> lengths(40), starts(100);
  double drawn = 0;
  std::size_t ascending = 0, several = 0;
  for (int round = 0; round < 4000; ++round) {
    std::vector<BlankSpan> spans = draw_blanks(100, {}, random);
    Index total = 0;
    if (spans.size() > 1)
      ++several, ascending += std::is_sorted(spans.begin(), spans.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
    std::sort(spans.begin(), spans.end(), [](const BlankSpan& a, const BlankSpan& b) { return a.begin < b.begin; });
    Index end = -1;
    for (const BlankSpan& span : spans) {
      CHECK(span.begin > end);
      CHECK(span.end <= 100);
      end = span.end;
      total += span.end - span.begin;
      ++lengths[static_cast<std::size_t>(span.end - span.begin)], ++drawn;
      ++starts[static_cast<std::size_t>(span.begin)];
    }
    CHECK(total >= 15);
  }
  // 3^k / k! over their sum from 1: 3/19.0855, 4.5/…, 4.5/…, 3.375/…
  for (const auto& [length, chance] : {std::pair{1, 0.15719}, {2, 0.23578}, {3, 0.23578}, {4, 0.17684}, {8, 0.00853}})
    CHECK(lengths[static_cast<std::size_t>(length)] / drawn == doctest::Approx(chance).epsilon(0.06));
  CHECK(static_cast<double>(ascending) < 0.1 * static_cast<double>(several));
  for (std::size_t place = 0; place < 95; ++place) CHECK(starts[place] > 50);
  // Short texts get fewer, or none.
  for (Index tokens = 0; tokens < 12; ++tokens)
    for (int round = 0; round < 50; ++round) {
      Index end = -1;
      std::vector<BlankSpan> spans = draw_blanks(tokens, {.share = 0.9}, random);
      std::sort(spans.begin(), spans.end(), [](const BlankSpan& a, const BlankSpan& b) { return a.begin < b.begin; });
      for (const BlankSpan& span : spans) {
        CHECK(span.begin > end);
        CHECK(span.end <= tokens);
        end = span.end;
      }
    }
  CHECK_THROWS_AS(draw_blanks(10, {.share = 1}, random), ArgumentError);
  CHECK_THROWS_AS(draw_blanks(10, {.mean_length = 0}, random), ArgumentError);
  Random first{.seed = 5}, second{.seed = 5};
  CHECK(draw_blanks(60, {}, first) == draw_blanks(60, {}, second));
}
