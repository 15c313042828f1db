// What encoder-decoders write of a source, one token at a time: greedy ids, and what is drawn from, against transformers' generate()
// (tests/golden/make_generated.py); texts as they are written.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "../models/encoder_decoder_fixture.hpp"
#include "../temporary_folder.hpp"
#include "plume/generate/beam.hpp"
#include "plume/generate/generate.hpp"

using namespace plume;
using plume_test::EncoderDecoderFixture, plume_test::golden, plume_test::read_all;

namespace {

constexpr SamplingOptions greedy{.temperature = 0};
const nlohmann::json& all_generated() {
  static const auto json = nlohmann::json::parse(read_all(golden("generated.json")));
  return json;
}

std::vector<TokenId> written(Session& session, std::size_t count, const SamplingOptions& sampling) {
  std::vector<TokenId> ids;
  while (ids.size() < count) ids.push_back(session.next(sampling));
  return ids;
}

// The tiny T5 with 53 pieces of a vocabulary, of which one is a character that no byte spells alone.
EncoderDecoder with_tokenizer(const std::string& name) {
  const plume_test::TemporaryFolder folder;
  for (const char* file : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(golden("encoder_decoders/" + name + "/") + file, folder / file);
  const auto words = EncoderDecoderFixture(name).model(DType::f32).config.decoder.vocabulary;
  nlohmann::json pieces = {{"<pad>", 0.0}, {"</s>", 0.0}, {"<unk>", 0.0}};
  nlohmann::json added = nlohmann::json::array();
  const char* special[] = {"<pad>", "</s>", "<unk>"};
  for (int id = 0; id < 3; ++id)
    added.push_back({{"id", id},
                     {"content", special[id]},
                     {"special", true},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false}});
  nlohmann::json vocabulary = nlohmann::json::array();
  for (const char* piece : special) vocabulary.push_back({piece, 0.0});
  for (int id = 3; id < words; ++id) {
    const std::string letters = std::string(1, static_cast<char>('a' + id % 26)) + (id < 29 ? "" : "x");
    vocabulary.push_back({(id % 3 == 0 ? "\u2581" : "") + letters + (id % 7 == 0 ? "\u00e9" : ""), -1.0 - id});
  }
  const nlohmann::json space = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "always"}, {"split", true}};
  const nlohmann::json end = {
      {"type", "TemplateProcessing"},
      {"single", {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"SpecialToken", {{"id", "</s>"}, {"type_id", 0}}}}}},
      {"pair", {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "B"}, {"type_id", 0}}}}}},
      {"special_tokens", {{"</s>", {{"id", "</s>"}, {"ids", {1}}, {"tokens", {"</s>"}}}}}}};
  const nlohmann::json tokenizer = {{"version", "1.0"},
                                    {"added_tokens", added},
                                    {"normalizer", nullptr},
                                    {"pre_tokenizer", space},
                                    {"post_processor", end},
                                    {"decoder", space},
                                    {"model", {{"type", "Unigram"}, {"unk_id", 2}, {"vocab", vocabulary}, {"byte_fallback", false}}}};
  folder.write("tokenizer.json", tokenizer.dump());
  folder.write("tokenizer_config.json", R"({"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"})");
  return load_encoder_decoder(folder.path());
}

}  // namespace

TEST_CASE("64 greedy ids of every encoder-decoder, plain and under penalties, are those of transformers") {
  for (const std::string& name : plume_test::encoder_decoders()) {
    INFO(name);
    const EncoderDecoderFixture fixture(name);
    const auto& theirs = all_generated()["models"][name];
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      const EncoderDecoder model = fixture.model(dtype);
      Session session(model, fixture.first_source(), {.context = 80, .threads = 1});
      CHECK(session.tokens() == model.config.decoder.begin_tokens);
      const std::vector<TokenId> ids = written(session, 64, greedy);
      if (dtype != DType::bf16) CHECK(ids == fixture.integers("greedy_ids"));  // else a whole text went through
      CHECK(session.computed_rows() == 64);                                    // one row a token
      if (dtype == DType::bf16) continue;
      SamplingOptions penalised = greedy;
      penalised.repetition_penalty = all_generated()["origin"]["repetition_penalty"];
      Session other(model, fixture.first_source(),
                    {.context = 80, .threads = 1, .suppressed = theirs["suppressed"].get<std::vector<TokenId>>()});
      CHECK(written(other, 64, penalised) == theirs["penalised"].get<std::vector<TokenId>>());
    }
  }
}

TEST_CASE("tokens are drawn from the probabilities of transformers") {
  const auto& origin = all_generated()["origin"];
  const SamplingOptions sampling{.temperature = origin["temperature"], .top_k = origin["top_k"], .top_p = origin["top_p"]};
  for (const std::string& name : plume_test::encoder_decoders()) {
    INFO(name);
    const EncoderDecoderFixture fixture(name);
    const EncoderDecoder model = fixture.model(DType::f32);
    const auto& theirs = all_generated()["models"][name];
    Session session(model, fixture.first_source(), {.context = 80, .threads = 1});
    Sampler sampler(sampling);
    for (std::size_t step = 0; step < theirs["sampled"].size(); ++step) {
      const std::vector<double> ours = sampler.distribution(session.logits(), session.tokens());
      REQUIRE(ours.size() == theirs["probabilities"][step].size());
      double apart = 0;
      for (std::size_t id = 0; id < ours.size(); ++id)
        apart = std::max(apart, std::abs(ours[id] - theirs["probabilities"][step][id].get<double>()));
      CHECK(apart <= 1e-5);
      session.feed(theirs["sampled"][step].get<TokenId>());
    }
  }
}

TEST_CASE("the first token comes as often as its softmax says; top_k = 1 is greedy; a seed repeats") {
  const EncoderDecoderFixture fixture("t5");
  const EncoderDecoder model = fixture.model(DType::f32);
  Session session(model, fixture.first_source(), {.context = 80, .threads = 1});
  const auto scores = session.logits();
  const float best = *std::max_element(scores.begin(), scores.end());
  std::vector<double> expected;
  double total = 0;
  for (const float score : scores) expected.push_back(std::exp((double{score} - best) / 2)), total += expected.back();
  // 20,000 draws: a frequency's standard error is at most 0.0036, and none of 53 is five of them away.
  constexpr int draws = 20000;
  std::vector<int> seen(expected.size());
  for (int i = 0; i < draws; ++i) {
    ++seen[static_cast<std::size_t>(session.next({.temperature = 2, .seed = 3}))];
    session.truncate(1);
    if (i == 20) CHECK(session.computed_rows() == 21);
  }
  for (std::size_t id = 0; id < seen.size(); ++id) {
    const double p = expected[id] / total;
    CHECK(std::abs(static_cast<double>(seen[id]) / draws - p) <= 5 * std::sqrt(p * (1 - p) / draws) + 1e-4);
  }

  const auto ids = [&](const SamplingOptions& sampling) {
    Session fresh(model, fixture.first_source(), {.context = 80, .threads = 1});
    return written(fresh, 32, sampling);
  };
  CHECK(ids({.temperature = 1, .top_k = 1, .seed = 5}) == ids(greedy));
  CHECK(ids({.temperature = 1, .top_p = 1e-6f, .seed = 5}) == ids(greedy));
  const std::vector<TokenId> once = ids({.temperature = 3, .seed = 5});
  CHECK(ids({.temperature = 3, .seed = 5}) == once);
  CHECK(ids({.temperature = 3, .seed = 6}) != once);
}

TEST_CASE("texts: end tokens, stop strings, max_tokens, pieces as they are written") {
  EncoderDecoder model = with_tokenizer("t5_gated");
  const std::string source = " ab cd dex";
  const std::vector<TokenId> source_ids = model.tokenizer.encode(source);
  REQUIRE(source_ids.back() == 1);
  model.config.decoder.end_tokens = {};
  GenerateOptions options{.max_tokens = 12, .sampling = {.temperature = 2, .seed = 4}, .threads = 1, .suppressed = {0, 1, 2}};
  const auto with = [&](auto change) {
    GenerateOptions changed = options;
    change(changed);
    return generate(model, source, changed);
  };
  Session session(model, source_ids, {.threads = 1, .suppressed = {0, 1, 2}});
  const std::vector<TokenId> ids = written(session, 12, options.sampling);
  std::string streamed;
  const auto show = [&](std::string_view piece) { streamed += piece; };
  const Generated text = generate(model, source, options, show);
  CHECK(text.ids == ids);
  CHECK(text.text == model.tokenizer.decode(ids));
  CHECK(streamed == text.text);
  CHECK(text.finish_reason == FinishReason::length);
  CHECK(text.prompt_tokens == static_cast<Index>(source_ids.size()));
  for (const int threads : {2, 3}) CHECK(with([&](GenerateOptions& o) { o.threads = threads; }).ids == ids);

  const auto place = static_cast<std::size_t>(std::find(ids.begin(), ids.end(), ids[9]) - ids.begin());
  const Generated ended = with([&](GenerateOptions& o) { o.end_tokens = {ids[9]}; });
  CHECK(ended.finish_reason == FinishReason::stop);
  CHECK(ended.ids == std::vector<TokenId>(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(place) + 1));
  CHECK(ended.text == model.tokenizer.decode(std::span(ids).first(place)));
  model.config.decoder.end_tokens = {ids[9]};
  CHECK(generate(model, source, options).ids == ended.ids);
  model.config.decoder.end_tokens = {};
  // The tokenizer's end token, where it may be written.
  const Generated by_tokenizer = with([](GenerateOptions& o) { o.suppressed = {}, o.max_tokens = 400; });
  CHECK(by_tokenizer.finish_reason == FinishReason::stop);
  CHECK(by_tokenizer.ids.back() == 1);

  // Pieces that begin with a space alone: the first one's is dropped, as where a text is decoded.
  const Generated words = with([](GenerateOptions& o) {
    o.suppressed = {0};
    for (TokenId id = 1; id < 53; ++id)
      if (id % 3 != 0) o.suppressed.push_back(id);
  });
  CHECK(words.text == model.tokenizer.decode(words.ids));
  CHECK(words.text.find(' ') > 0);

  const std::string stop = text.text.substr(text.text.size() / 2, 3);
  options.stop = {stop};
  streamed.clear();
  const Generated stopped = generate(model, source, options, show);
  CHECK(stopped.finish_reason == FinishReason::stop);
  CHECK(stopped.text == text.text.substr(0, text.text.find(stop)));
  CHECK(streamed == stopped.text);
}

TEST_CASE("distances have no end, learned or fixed positions do") {
  const EncoderDecoder t5 = with_tokenizer("t5"), marian = with_tokenizer("marian");
  const GenerateOptions many{.max_tokens = 600, .sampling = {.temperature = 5, .seed = 1}, .threads = 1, .suppressed = {1}};
  CHECK(generate(t5, "ab", many).ids.size() == 600);
  CHECK(generate(marian, "ab", many).ids.size() == 95);  // and the start token
  GenerateOptions cut = many;
  cut.context = 9;
  const Generated few = generate(t5, "ab", cut);
  CHECK(few.ids.size() == 8);
  CHECK(few.finish_reason == FinishReason::length);
  CHECK_THROWS_WITH_AS(Session(marian, std::vector<TokenId>{3}, {.context = 97}), doctest::Contains("more than the 96 positions"),
                       ArgumentError);
}

TEST_CASE("a cancelled text comes back as far as it is, and the session goes on, also where the source was not read yet") {
  const EncoderDecoder model = with_tokenizer("t5");
  const StopSource source;
  const std::vector<TokenId> ids = model.tokenizer.encode("ab cd");
  Session session(model, ids, {.context = 2000, .threads = 1, .stop = source.token()});
  const SamplingOptions sampling{.temperature = 4, .seed = 2};
  source.request();
  CHECK(generate(session, {.max_tokens = 5, .sampling = sampling}).finish_reason == FinishReason::cancelled);
  CHECK(session.computed_rows() == 0);
  source.reset();
  int pieces = 0;
  const Generated cut = generate(session, {.max_tokens = 400, .sampling = sampling}, [&](std::string_view) {
    if (++pieces == 5) source.request();
  });
  CHECK((cut.finish_reason == FinishReason::cancelled || cut.finish_reason == FinishReason::stop));
  source.reset();
  Session straight(model, ids, {.context = 2000, .threads = 1});
  const std::vector<TokenId> all = written(straight, cut.ids.size() + 3, sampling);
  CHECK(std::equal(cut.ids.begin(), cut.ids.end(), all.begin()));
  CHECK(written(session, 3, sampling) == std::vector<TokenId>(all.end() - 3, all.end()));
}

TEST_CASE("sessions of one model in several threads write what each writes alone") {
  const EncoderDecoderFixture fixture("marian");
  const EncoderDecoder model = fixture.model(DType::f32);
  const auto text = [&](std::uint64_t seed) {
    Session session(model, fixture.first_source(), {.context = 60, .threads = 1});
    return written(session, 40, {.temperature = 2, .seed = seed});
  };
  std::vector<std::vector<TokenId>> texts(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < texts.size(); ++i) threads.emplace_back([&, i] { texts[i] = text(i); });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < texts.size(); ++i) CHECK(texts[i] == text(i));
}

TEST_CASE("what a session of an encoder-decoder cannot begin with is told at the door") {
  const EncoderDecoderFixture fixture("t5");
  EncoderDecoder model = fixture.model(DType::f32);
  CHECK_THROWS_WITH_AS(Session(model, std::vector<TokenId>{}), doctest::Contains("the source has no tokens"), ArgumentError);
  CHECK_THROWS_WITH_AS(Session(model, std::vector<TokenId>{3}, {.suppressed = {53}}), doctest::Contains("suppressed token 53"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(Session(model, std::vector<TokenId>{3}, {.suppressed = {-1}}), doctest::Contains("suppressed token -1"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(generate(model, "ab"), doctest::Contains("there is none"), ArgumentError);
  Session session(model, std::vector<TokenId>{3}, {.threads = 1});
  CHECK_THROWS_WITH_AS(generate(session, {}), doctest::Contains("has no tokenizer"), ArgumentError);
  model.config.decoder.begin_tokens = {};
  CHECK_THROWS_WITH_AS(Session(model, std::vector<TokenId>{3}), doctest::Contains("no start token"), ArgumentError);
}
