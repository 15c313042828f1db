#include "plume/generate/infill.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "plume/models/load.hpp"
#include "test_data.hpp"

using namespace plume;
using plume_test::golden, plume_test::read_all;

namespace {

constexpr SamplingOptions greedy{.temperature = 0};
constexpr TokenId mask = 50, gmask = 51, sop = 53;

std::vector<float> scores(Session& session) { return {session.logits().begin(), session.logits().end()}; }

}  // namespace

TEST_CASE("several blanks are filled and spliced into the text as GLM-130B's generate.py does") {
  const Model model = load(golden("families/glm_130b"));
  std::size_t blanks = 0;
  const nlohmann::json all = nlohmann::json::parse(read_all(golden("glm.json")));
  for (const auto& one : all["infilling"]) {
    const std::vector<TokenId> ids = one["ids"];
    CAPTURE(one.dump());
    const Infilled filled = infill(model, ids, {.max_tokens = 64, .sampling = greedy, .context = one["length"], .threads = 1});
    CHECK(filled.ids == one["answer"].get<std::vector<TokenId>>());
    CHECK(filled.blanks == one["blanks"].get<std::vector<std::vector<TokenId>>>());
    blanks += filled.blanks.size();
  }
  CHECK(blanks == 18);
}

TEST_CASE("ChatGLM fills blanks, and a blank may be cut") {
  const Model model = load(golden("families/chatglm"));
  const std::vector<TokenId> text{9, 10, mask, 12, 13, mask, 14};
  const Infilled filled = infill(model, text, {.max_tokens = 3, .sampling = greedy, .threads = 1});
  REQUIRE(filled.blanks.size() == 2);
  CHECK(filled.finish_reason == FinishReason::length);
  // Each blank by hand, with the whole sequence computed again for each token.
  std::vector<TokenId> ids = text;
  for (const auto& blank : filled.blanks) {
    const auto at = std::find(ids.begin(), ids.end(), mask);
    std::vector<TokenId> sequence = ids, written;
    sequence.push_back(sop);
    while (written.size() < 3) {
      const Tensor logits = model.logits(sequence);
      const auto row = plume_test::values_of(logits.rows(logits.rows() - 1, logits.rows()));
      const auto id = static_cast<TokenId>(std::max_element(row.begin(), row.end()) - row.begin());
      if (id == model.config().end_tokens.front() || id == mask || id == gmask) break;
      written.push_back(id);
      sequence.push_back(id);
    }
    CHECK(blank == written);
    ids.insert(ids.erase(at), written.begin(), written.end());
  }
  CHECK(filled.ids == ids);
  CHECK_THROWS_WITH_AS(infill(model, {9, sop}), doctest::Contains("holds token 53"), ArgumentError);
  CHECK_THROWS_WITH_AS(infill(load(golden("families/bloom")), {1, 2}), doctest::Contains("fills no blanks"), ArgumentError);
}

TEST_CASE("a session of a text with blanks goes on, is cut and reads long contexts as a whole") {
  const Model model = load(golden("families/chatglm"));
  std::vector<TokenId> ids;
  for (TokenId i = 0; i < 300; ++i) ids.push_back(4 + i * 7 % 45);  // longer than a session's chunk
  ids[123] = mask;
  ids.push_back(sop);
  for (TokenId i = 0; i < 290; ++i) ids.push_back(4 + i * 11 % 45);
  Session session(model, {.context = 640, .threads = 1});
  session.feed(ids);
  const auto whole = [&](std::size_t count) {
    const Tensor logits = model.logits(std::span(ids).first(count));
    const auto row = plume_test::values_of(logits.rows(logits.rows() - 1, logits.rows()));
    return std::vector<float>(row.begin(), row.end());
  };
  const auto apart = [](const std::vector<float>& a, const std::vector<float>& b) {
    double most = 0;
    for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    return most;
  };
  CHECK(apart(scores(session), whole(591)) <= 1e-5);
  const Index computed = session.computed_rows();
  CHECK(computed == 591);
  session.truncate(400);
  CHECK(apart(scores(session), whole(400)) <= 1e-5);
  CHECK(session.computed_rows() == computed + 1);
  // Cut within the context: another context, computed anew.
  session.truncate(200);
  CHECK_THROWS_WITH_AS(session.logits(), doctest::Contains("no token 53"), ArgumentError);
  ids.resize(200);
  ids.insert(ids.end(), {7, sop, 8, 9});
  session.feed(std::vector<TokenId>{7, sop, 8, 9});
  CHECK(apart(scores(session), whole(204)) <= 1e-5);
  // Cut behind the context: sop may come later than it did.
  session.truncate(201);
  ids.resize(201);
  ids.insert(ids.end(), {11, 12, sop, 9});
  session.feed(std::vector<TokenId>{11, 12, sop, 9});
  CHECK(apart(scores(session), whole(205)) <= 1e-5);
}
