// Beam search against transformers' generate() on the tiny encoder-decoders: every returned text and its score.
#include "plume/generate/beam.hpp"

#include <doctest/doctest.h>

#include "../models/encoder_decoder_fixture.hpp"
#include "../numbers.hpp"
#include "../temporary.hpp"
#include "plume/base/atomic_save.hpp"

using namespace plume;
using plume_test::EncoderDecoderFixture;

namespace {

// What make_encoder_decoders.py asked generate() for.
std::vector<BeamOptions> searches(const EncoderDecoderFixture& fixture, const EncoderDecoder& model) {
  BeamOptions plain{.beams = 4, .max_tokens = 24, .end_tokens = fixture.integers("end_tokens"), .threads = 1};
  std::vector<BeamOptions> all(5, plain);
  all[1].early_stopping = EarlyStopping::at_once, all[1].length_penalty = 0.6;
  all[2].early_stopping = EarlyStopping::never, all[2].length_penalty = 1.7;
  all[3].early_stopping = EarlyStopping::never, all[3].length_penalty = 0;
  all[4].suppressed = {model.config.padding}, all[4].renormalised = true, all[4].forced_end_tokens = {1};
  return all;
}

// Whether a search found what transformers found.
bool agrees(const EncoderDecoderFixture& fixture, const EncoderDecoder& model, std::size_t search, const BeamOptions& options) {
  const std::vector<Hypothesis> found = beam_search(model, fixture.first_source(), options);
  const auto scores = plume_test::values_of(fixture.numbers.at(concat("beam.", search, ".scores")));
  if (found.size() != scores.size()) return false;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i].ids != fixture.integers(concat("beam.", search, ".", i))) return false;
    if (!(std::abs(found[i].score - scores[i]) <= 1e-4)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("four beams, their texts and scores are those of transformers") {
  for (const std::string& name : plume_test::encoder_decoders()) {
    const EncoderDecoderFixture fixture(name);
    const EncoderDecoder model = fixture.model(DType::f32);
    const std::vector<BeamOptions> all = searches(fixture, model);
    for (std::size_t i = 0; i < all.size(); ++i) CHECK_MESSAGE(agrees(fixture, model, i, all[i]), name << ", search " << i);
  }
}

TEST_CASE("one beam is greedy") {
  for (const std::string& name : plume_test::encoder_decoders()) {
    INFO(name);
    const EncoderDecoderFixture fixture(name);
    const BeamOptions options{.beams = 1, .max_tokens = 24, .end_tokens = fixture.integers("end_tokens"), .threads = 1};
    const auto found = beam_search(fixture.model(DType::f32), fixture.first_source(), options);
    REQUIRE(found.size() == 1);
    CHECK(found[0].ids == fixture.integers("generated_ids"));
  }
}

// Each of these slips must show in one of the searches of one of the models at least.
TEST_CASE("slips of a beam search do not pass") {
  using Change = std::function<void(BeamOptions&)>;
  const std::vector<std::pair<std::string, Change>> changes{
      {"three beams", [](BeamOptions& o) { o.beams = 3; }},
      {"no length penalty", [](BeamOptions& o) { o.length_penalty = o.length_penalty == 0 ? 1 : 0; }},
      {"a length penalty of another length", [](BeamOptions& o) { o.length_penalty *= 0.9; }},
      {"stops as early as it can", [](BeamOptions& o) { o.early_stopping = EarlyStopping::at_once; }},
      {"stops by the estimate", [](BeamOptions& o) { o.early_stopping = EarlyStopping::estimated; }},
      {"never stops early", [](BeamOptions& o) { o.early_stopping = EarlyStopping::never; }},
      {"one end token", [](BeamOptions& o) { o.end_tokens = {1}; }},
      {"not renormalised", [](BeamOptions& o) { o.renormalised = false; }},
      {"no forced end", [](BeamOptions& o) { o.forced_end_tokens.clear(); }}};
  for (const auto& change : changes) {
    bool shows = false;
    for (const std::string& name : plume_test::encoder_decoders()) {
      const EncoderDecoderFixture fixture(name);
      const EncoderDecoder model = fixture.model(DType::f32);
      std::vector<BeamOptions> all = searches(fixture, model);
      for (std::size_t i = 0; i < all.size() && !shows; ++i) {
        change.second(all[i]);
        shows = !agrees(fixture, model, i, all[i]);
      }
      if (shows) break;
    }
    CHECK_MESSAGE(shows, change.first);
  }
}

TEST_CASE("suppressed tokens are not written, and the last token can be forced") {
  const EncoderDecoderFixture fixture("marian");
  const EncoderDecoder model = fixture.model(DType::f32);
  const std::vector<TokenId> source = fixture.first_source();
  const TokenId first = beam_search(model, source, {.beams = 4, .max_tokens = 9})[0].ids[0];
  for (const Hypothesis& text : beam_search(model, source, {.beams = 4, .max_tokens = 9, .suppressed = {first}}))
    CHECK(std::find(text.ids.begin(), text.ids.end(), first) == text.ids.end());
  for (const Hypothesis& text : beam_search(model, source, {.beams = 4, .max_tokens = 3, .forced_end_tokens = {1}}))
    CHECK(text.ids.back() == 1);
}

TEST_CASE("the results do not depend on the number of threads") {
  const EncoderDecoderFixture fixture("t5");
  const EncoderDecoder model = fixture.model(DType::f32);
  const auto one = beam_search(model, fixture.first_source(), {.max_tokens = 12, .threads = 1}),
             three = beam_search(model, fixture.first_source(), {.max_tokens = 12, .threads = 3});
  REQUIRE(one.size() == three.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK(one[i].ids == three[i].ids);
    CHECK(one[i].score == three[i].score);
  }
}

TEST_CASE("a search that is cancelled, and options out of range") {
  const EncoderDecoderFixture fixture("t5");
  const EncoderDecoder model = fixture.model(DType::f32);
  const StopSource stop;
  stop.request();
  CHECK_THROWS_AS(beam_search(model, fixture.first_source(), {.cancel = stop.token()}), Cancelled);
  CHECK_THROWS_WITH_AS(beam_search(model, fixture.first_source(), {.beams = 0}), doctest::Contains("beams is 0"), ArgumentError);
  CHECK_THROWS_WITH_AS(beam_search(model, fixture.first_source(), {.max_tokens = 0}), doctest::Contains("max_tokens is 0"), ArgumentError);
  CHECK_THROWS_WITH_AS(beam_search(model, fixture.first_source(), {.suppressed = {53}}), doctest::Contains("token 53"), ArgumentError);
  BeamSearch search({.beams = 2});
  CHECK_THROWS_WITH_AS(search.step(Tensor::zeros({2, 5})), doctest::Contains("2 rows of logits for 1 texts"), ArgumentError);
  const Tensor broken = Tensor::zeros({1, 5});
  broken.fill(NAN);
  CHECK_THROWS_AS(search.step(broken), NumericError);
}

TEST_CASE("generation_config.json becomes options, and what the search lacks is refused by name") {
  const plume_test::TemporaryDirectory directory;
  const auto read = [&](const std::string& text) {
    atomic_save(directory / "generation_config.json", [&](FileWriter& out) { out.write(text); });
    return read_beam_options(directory.path());
  };
  CHECK(read_beam_options(directory.path()).beams == 4);
  // As opus-mt models have it.
  const BeamOptions marian = read(R"({"bad_words_ids": [[58100]], "bos_token_id": 0, "decoder_start_token_id": 58100, "eos_token_id": 0,
    "forced_eos_token_id": 0, "max_length": 512, "num_beams": 6, "pad_token_id": 58100, "renormalize_logits": true})");
  CHECK(marian.beams == 6);
  CHECK(marian.max_tokens == 511);
  CHECK(marian.suppressed == std::vector<TokenId>{58100});
  CHECK(marian.end_tokens == std::vector<TokenId>{0});
  CHECK(marian.forced_end_tokens == std::vector<TokenId>{0});
  CHECK(marian.renormalised);
  CHECK(read(R"({"early_stopping": "never", "length_penalty": 0.6, "max_new_tokens": 7})").early_stopping == EarlyStopping::never);
  CHECK(read(R"({"early_stopping": true})").early_stopping == EarlyStopping::at_once);
  CHECK(read(R"({"num_beams": null, "max_length": 20})").max_tokens == 19);
  for (const auto& [text, field] : {std::pair<std::string, std::string>{R"({"no_repeat_ngram_size": 3})", "no_repeat_ngram_size"},
                                    {R"({"early_stopping": "soon"})", "early_stopping"},
                                    {R"({"do_sample": true})", "do_sample"},
                                    {R"({"forced_bos_token_id": 3})", "forced_bos_token_id"},
                                    {R"({"bad_words_ids": [[3, 4]]})", "bad_words_ids"},
                                    {R"({"num_beam_groups": 2})", "num_beam_groups"}}) {
    CHECK_THROWS_WITH_AS(read(text), doctest::Contains(field.c_str()), ConfigError);
  }
}
