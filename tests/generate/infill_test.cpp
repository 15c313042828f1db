#include "plume/generate/infill.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "plume/models/families/families.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "temporary_folder.hpp"
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

TEST_CASE("a directory of ChatGLM-6B with its ice_text.model: prompts, answers as texts of their own") {
  // the published keys, with the ids of a smaller file
  const plume_test::TemporaryFolder folder;
  const std::string config = R"({"architectures": ["ChatGLMModel"], "model_type": "chatglm", "bos_token_id": 1004, "eos_token_id": 1005,
      "mask_token_id": 1000, "gmask_token_id": 1001, "pad_token_id": 3, "hidden_size": 24, "inner_hidden_size": 40, "layernorm_epsilon": 1e-5,
      "max_sequence_length": 64, "num_attention_heads": 2, "num_layers": 2, "position_encoding_2d": true, "vocab_size": 1360})";
  folder.write("tokenizer_config.json", R"({"bos_token": "<sop>", "eos_token": "<eop>", "gmask_token": "[gMASK]", "num_image_tokens": 0})");
  folder.write("ice_text.model", read_all(golden("chatglm/ice_text.model")));
  Model model{Decoder::described(families::read_config(families::chatglm, Json::parse(config))), load_tokenizer(folder.path())};
  const TokenId the = model.tokenizer.encode("the").front();
  CHECK(model.tokenizer.piece(the) == "\u2581the");
  initialise(model.decoder, 3);  // whatever comes before, the same token follows
  model.decoder.norm.weight.fill(0);
  model.decoder.norm.bias.fill(1);
  model.decoder.head.weight.fill(0);
  model.decoder.head.weight.rows(the, the + 1).fill(1);
  const plume_test::TemporaryFolder saved;
  save(model, saved.path());
  const Model loaded = load(saved.path());
  const std::vector<TokenId> prompt = prompt_tokens(loaded, "the  boss");
  CHECK(prompt == loaded.tokenizer.encode("the  boss"));  // [gMASK] and sop once
  CHECK(std::count(prompt.begin(), prompt.end(), 1004) == 1);
  CHECK(prompt_tokens(loaded, "") == std::vector<TokenId>{1001, 1004});
  // The answer's first piece begins with a space, as any text does, which is no part of it.
  Session session(loaded, {.threads = 1});
  session.feed(prompt);
  const Generated answer = generate(session, {.max_tokens = 2, .sampling = greedy});
  CHECK(answer.ids == std::vector<TokenId>{the, the});
  CHECK(answer.text == "the the");
  CHECK(generate(session, {.max_tokens = 1, .sampling = greedy}).text == " the");  // it goes on
}
