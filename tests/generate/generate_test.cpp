#include "plume/generate/generate.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "plume/generate/score.hpp"
#include "plume/models/load.hpp"
#include "test_data.hpp"

using namespace plume;
using plume_test::read_all;

namespace {

std::optional<Model> stories() {
  const auto path = plume_test::test_data("stories260k/stories260K.bin");
  if (!path) return std::nullopt;
  return load(*path);
}
constexpr SamplingOptions greedy{.temperature = 0};

}  // namespace

TEST_CASE("stories260K writes the documented story, whatever the number of threads") {
  const auto model = stories();
  if (!model) return;
  const auto golden = nlohmann::json::parse(read_all(*plume_test::test_data("stories260k/golden.json")));
  const std::string expected = golden["greedy"][0]["text"];
  std::vector<float> logits;
  for (const int threads : {1, 2, 3, 5}) {
    CAPTURE(threads);
    std::string streamed;
    const Generated result = generate(*model, "", {.max_tokens = 200, .sampling = greedy, .threads = threads},
                                      [&](std::string_view piece) { streamed += piece; });
    CHECK(streamed == result.text);
    CHECK(result.text.substr(0, expected.size()) == expected);
    CHECK(result.finish_reason == FinishReason::length);
    CHECK(result.ids.size() == 200);
    CHECK(result.prompt_tokens == 1);

    // Bit-identical scores, too.
    Session session(*model, {.threads = threads});
    session.feed(result.ids);
    const auto scores = session.logits();
    if (logits.empty()) logits.assign(scores.begin(), scores.end());
    CHECK(std::equal(logits.begin(), logits.end(), scores.begin()));
  }
}

TEST_CASE("a session keeps its prefix: feeding in parts, truncating and going on equal starting over") {
  const auto model = stories();
  if (!model) return;
  const std::vector<TokenId> ids = model->tokenizer.encode("Once upon a time, there was a big dog who liked the sun");
  Session whole(*model, {.threads = 1}), parts(*model, {.threads = 1});
  whole.feed(ids);
  for (const TokenId id : ids) {
    parts.feed(id);
    parts.logits();
  }
  for (std::size_t v = 0; v < whole.logits().size(); ++v) CHECK(whole.logits()[v] == doctest::Approx(parts.logits()[v]).epsilon(1e-5));

  const TokenId first = parts.next(greedy);
  parts.next(greedy);
  parts.truncate(static_cast<Index>(ids.size()));
  CHECK(parts.next(greedy) == first);
  parts.truncate(3);
  Session three(*model, {.threads = 1});
  three.feed(std::span(ids).first(3));
  CHECK(parts.next(greedy) == three.next(greedy));
}

TEST_CASE("each generated token costs one row: the prefix is not computed again") {
  const auto model = stories();
  if (!model) return;
  Session session(*model, {.threads = 1});
  session.feed(model->tokenizer.encode("Once upon a time"));
  session.logits();
  const auto before = session.tokens().size();
  for (int i = 0; i < 5; ++i) session.next(greedy);
  CHECK(session.computed_rows() == static_cast<Index>(before) + 4);
}

TEST_CASE("seeds repeat, other seeds differ, and a session's draws do not depend on other sessions") {
  const auto model = stories();
  if (!model) return;
  const GenerateOptions options{.max_tokens = 40, .sampling = {.temperature = 1, .seed = 7}, .threads = 1};
  const std::string once = generate(*model, "The cat", options).text;
  CHECK(generate(*model, "The cat", options).text == once);
  GenerateOptions other = options;
  other.sampling.seed = 8;
  CHECK(generate(*model, "The cat", other).text != once);

  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < texts.size(); ++i) threads.emplace_back([&, i] { texts[i] = generate(*model, "The cat", options).text; });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) CHECK(text == once);
}

TEST_CASE("stop strings end the text across token boundaries and are not shown") {
  const auto model = stories();
  if (!model) return;
  std::string streamed;
  const Generated result =
      generate(*model, "", {.max_tokens = 200, .sampling = greedy, .stop = {"zzz", "outside in the park"}, .threads = 1},
               [&](std::string_view piece) { streamed += piece; });
  CHECK(result.finish_reason == FinishReason::stop);
  CHECK(result.text == "Once upon a time, there was a little girl named Lily. She loved to play ");
  CHECK(streamed == result.text);
}

TEST_CASE("further tokens may end the text, as those of a chat template do") {
  const auto model = stories();
  if (!model) return;
  const Generated whole = generate(*model, "", {.max_tokens = 10, .sampling = greedy, .threads = 1});
  const Generated cut = generate(*model, "", {.max_tokens = 10, .sampling = greedy, .end_tokens = {whole.ids[5]}, .threads = 1});
  CHECK(cut.finish_reason == FinishReason::stop);
  CHECK(cut.ids == std::vector<TokenId>(whole.ids.begin(), whole.ids.begin() + 6));
  CHECK(cut.text == whole.text.substr(0, cut.text.size()));
  CHECK(cut.text.size() < whole.text.size());
}

TEST_CASE("another thread cancels, and the session goes on") {
  const auto model = stories();
  if (!model) return;
  StopSource source;
  Session session(*model, {.threads = 1, .stop = source.token()});
  session.feed(prompt_tokens(*model, ""));
  std::size_t pieces = 0;
  std::thread other;
  const Generated cut = generate(session, {.max_tokens = 100000, .sampling = greedy}, [&](std::string_view) {
    if (++pieces == 10) other = std::thread([&] { source.request(); });
  });
  other.join();
  CHECK(cut.finish_reason == FinishReason::cancelled);
  CHECK(cut.ids.size() >= 9);
  source.reset();
  const Generated rest = generate(session, {.max_tokens = 5, .sampling = greedy});
  CHECK(rest.ids.size() == 5);

  Session straight(*model, {.threads = 1});
  straight.feed(prompt_tokens(*model, ""));
  const Generated all = generate(straight, {.max_tokens = static_cast<Index>(cut.ids.size()) + 5, .sampling = greedy});
  CHECK(all.text == cut.text + rest.text);
}

TEST_CASE("the space before a continuation is kept, and a full context ends with length") {
  const auto model = stories();
  if (!model) return;
  const Generated result = generate(*model, "Once upon a", {.max_tokens = 3, .sampling = greedy, .threads = 1});
  CHECK(result.text.substr(0, 6) == " time,");
  const Generated full = generate(*model, "Once upon a time", {.max_tokens = 1000, .sampling = greedy, .context = 20, .threads = 1});
  CHECK(full.finish_reason == FinishReason::length);
  CHECK(full.prompt_tokens + static_cast<Index>(full.ids.size()) == 20);
}

TEST_CASE("wrong arguments are told at the door") {
  const auto model = stories();
  if (!model) return;
  Session session(*model, {.context = 8, .threads = 1});
  CHECK_THROWS_WITH_AS(session.logits(), doctest::Contains("nothing was fed"), ArgumentError);
  CHECK_THROWS_WITH_AS(session.feed(TokenId{512}), doctest::Contains("512"), ArgumentError);
  CHECK_THROWS_AS(session.feed(TokenId{-1}), ArgumentError);
  CHECK_THROWS_WITH_AS(session.feed(std::vector<TokenId>(9, 5)), doctest::Contains("context of 8"), ArgumentError);
  session.feed(std::vector<TokenId>(8, 5));
  CHECK_THROWS_WITH_AS(session.next(), doctest::Contains("full"), ArgumentError);
  CHECK_THROWS_AS(generate(*model, "a", {.max_tokens = -1}), ArgumentError);
  CHECK_THROWS_AS(generate(*model, "a", {.sampling = {.temperature = -1}}), ArgumentError);
  CHECK_THROWS_AS(generate(*model, "a", {.stop = {""}}), ArgumentError);
  CHECK_THROWS_AS(Context({.threads = -1}), ArgumentError);
}

TEST_CASE("scores: one forward, windows and the session agree") {
  const auto model = stories();
  if (!model) return;
  const std::vector<TokenId> ids = model->tokenizer.encode("Once upon a time, there was a little girl named Lily.");
  Tensor logits = Tensor::zeros({static_cast<Index>(ids.size()), 512});
  const Score all = score(*model, ids, {}, [&](Index row, const Tensor& part) { logits.rows(row, row + part.rows()).assign(part); });
  REQUIRE(all.logprobs.size() == ids.size() - 1);
  Session session(*model, {.threads = 1});
  Sampler sampler({.temperature = 1});
  double sum = 0;
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
    session.feed(ids[i]);
    const auto scores = session.logits();
    for (std::size_t v = 0; v < 512; ++v) CHECK(logits.data<float>()[i * 512 + v] == doctest::Approx(scores[v]).epsilon(1e-4));
    const double probability = sampler.distribution(scores, {})[static_cast<std::size_t>(ids[i + 1])];
    CHECK(all.logprobs[i] == doctest::Approx(std::log(probability)).epsilon(1e-4));
    sum -= std::log(probability);
  }
  CHECK(all.nll == doctest::Approx(sum / static_cast<double>(all.logprobs.size())).epsilon(1e-4));
  CHECK(all.nll < 1.0);  // it is a story of its kind
  // Every token is scored once, with at least context - stride tokens before it.
  const Score windows = score(*model, ids, {.context = 8, .stride = 3});
  CHECK(windows.logprobs.size() == all.logprobs.size());
  for (std::size_t i = 0; i < 7; ++i) CHECK(windows.logprobs[i] == doctest::Approx(all.logprobs[i]).epsilon(1e-4));
  CHECK(windows.nll > all.nll);
}
