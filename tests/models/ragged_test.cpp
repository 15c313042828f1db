// Sequences of different length, caches, chunks and packing: one forward pass for all of it.
#include <doctest/doctest.h>

#include "decoder_fixture.hpp"

using namespace plume;
using plume_test::distance;
using plume_test::Golden;

namespace {

constexpr const char* models[] = {"gpt2", "llama", "llama_tied_biased"};

std::vector<TokenId> sequence(Index length, std::uint64_t seed) {
  Random random{.seed = seed};
  std::vector<TokenId> ids;
  for (Index t = 0; t < length; ++t) ids.push_back(static_cast<TokenId>(random.below(131)));
  return ids;
}

std::vector<TokenId> joined(const std::vector<std::vector<TokenId>>& parts) {
  std::vector<TokenId> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Tensor alone(const Decoder& model, std::span<const TokenId> ids) {
  Pass pass;
  return model.logits(ids, pass);
}

}  // namespace

TEST_CASE("three sequences with caches in one pass equal each alone, and so do the tokens that follow") {
  for (const std::string name : models) {
    INFO(name);
    const Golden golden(name);
    const Decoder model = golden.decoder(DType::f32);
    const std::vector<std::vector<TokenId>> prompts{sequence(17, 1), sequence(1, 2), sequence(34, 3)},
        more{sequence(3, 4), sequence(5, 5), sequence(1, 6)};
    std::vector<KvCache> caches(3, KvCache(model.config.cache(70, DType::f32)));
    Pass pass;
    for (std::size_t i = 0; i < 3; ++i) pass.segments.push_back({static_cast<Index>(prompts[i].size()), &caches[i]});
    const Tensor first = model.logits(joined(prompts), pass);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(caches[i].used() == static_cast<Index>(prompts[i].size()));
      pass.segments[i].tokens = static_cast<Index>(more[i].size());
    }
    const Tensor second = model.logits(joined(more), pass);
    // Positions go on where the cache ends.
    CHECK(pass.positions == PoolVector<std::int32_t>{17, 18, 19, 1, 2, 3, 4, 5, 34});
    Index row = 0, later = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const Index length = static_cast<Index>(prompts[i].size()), added = static_cast<Index>(more[i].size());
      const Tensor whole = alone(model, joined({prompts[i], more[i]}));
      CHECK(distance(first.rows(row, row + length), whole.rows(0, length)) <= 1e-5);
      CHECK(distance(second.rows(later, later + added), whole.rows(length, length + added)) <= 1e-5);
      row += length, later += added;
    }
  }
}

TEST_CASE("token by token and in chunks of three equal the whole") {
  for (const std::string name : models) {
    const Golden golden(name);
    const Decoder model = golden.decoder(DType::f32);
    const auto ids = sequence(67, 9);
    const Tensor whole = alone(model, ids);
    for (const Index chunk : {1, 3, 64}) {
      INFO(name << " in chunks of " << chunk);
      KvCache cache(model.config.cache(67, DType::f32));
      double worst = 0;
      for (Index begin = 0; begin < 67; begin += chunk) {
        const Index end = std::min<Index>(67, begin + chunk);
        Pass pass;
        pass.segments = {{end - begin, &cache}};
        const Tensor logits =
            model.logits(std::span(ids).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)), pass);
        worst = std::max(worst, distance(logits, whole.rows(begin, end)));
      }
      CHECK(worst <= 1e-5);
      CHECK(cache.used() == 67);
    }
  }
}

TEST_CASE("a cache that is cut back goes on as if it had never seen the rest") {
  const Golden golden("llama");
  const Decoder model = golden.decoder(DType::f32);
  const auto ids = sequence(30, 9), other = sequence(5, 10);
  KvCache cache(model.config.cache(40, DType::f32));
  Pass pass;
  pass.segments = {{30, &cache}};
  model.logits(ids, pass);
  cache.truncate(20);
  pass.segments = {{5, &cache}};
  const Tensor logits = model.logits(other, pass);
  const Tensor whole = alone(model, joined({{ids.begin(), ids.begin() + 20}, other}));
  CHECK(distance(logits, whole.rows(20, 25)) <= 1e-5);
  CHECK_THROWS_AS(cache.truncate(26), ArgumentError);
}

TEST_CASE("a later token changes nothing before it, in values and in gradients of other sequences") {
  for (const std::string name : models) {
    INFO(name);
    const Golden golden(name);
    const Decoder model = golden.decoder(DType::f32);
    auto ids = sequence(37, 21);
    const Tensor before = alone(model, ids);
    for (const Index changed : {36, 20, 1}) {
      auto other = ids;
      other[static_cast<std::size_t>(changed)] = (other[static_cast<std::size_t>(changed)] + 1) % 131;
      const Tensor after = alone(model, other);
      CHECK(plume_test::same_bits(after.rows(0, changed), before.rows(0, changed)));
      CHECK(distance(after.rows(changed, 37), before.rows(changed, 37)) > 1e-3);
    }
    // A packed neighbour is another sequence: nothing of it is seen.
    Pass pass, again;
    pass.segments = again.segments = {{20}, {17}};
    const Tensor packed = model.logits(ids, pass);
    ids[3] = (ids[3] + 1) % 131;
    CHECK(plume_test::same_bits(model.logits(ids, again).rows(20, 37), packed.rows(20, 37)));
  }
}

TEST_CASE("the order of packing does not matter, nor do empty sequences") {
  for (const std::string name : models) {
    INFO(name);
    const Golden golden(name);
    const Decoder model = golden.decoder(DType::f32);
    const auto a = sequence(13, 31), b = sequence(24, 32), c = sequence(7, 33);
    Pass one, other;
    one.segments = {{13}, {24}, {7}};
    other.segments = {{7}, {0}, {13}, {24}};
    const Tensor abc = model.logits(joined({a, b, c}), one), cab = model.logits(joined({c, a, b}), other);
    CHECK(distance(abc.rows(0, 37), cab.rows(7, 44)) <= 1e-6);
    CHECK(distance(abc.rows(37, 44), cab.rows(0, 7)) <= 1e-6);
    std::vector<TokenId> targets = joined({b, c, a});
    Pass pass, turned;
    pass.segments = {{13}, {24}, {7}};
    turned.segments = {{7}, {13}, {24}};
    const std::vector<TokenId> target_a(targets.begin(), targets.begin() + 13), target_b(targets.begin() + 13, targets.begin() + 37),
        target_c(targets.begin() + 37, targets.end());
    const double loss = model.loss(joined({a, b, c}), joined({target_a, target_b, target_c}), pass).item();
    CHECK(loss == doctest::Approx(model.loss(joined({c, a, b}), joined({target_c, target_a, target_b}), turned).item()).epsilon(1e-6));
  }
}

TEST_CASE("a Pass may be used again for a batch of another size") {
  const Golden golden("llama");
  const Decoder model = golden.decoder(DType::f32);
  Pass pass;
  const auto ids = sequence(9, 1);
  const Tensor all = model.logits(ids, pass), fewer = model.logits(std::span(ids).first(4), pass);
  CHECK(fewer.rows() == 4);
  CHECK(distance(fewer, all.rows(0, 4)) <= 1e-5);
}

TEST_CASE("what a pass refuses") {
  const Golden golden("gpt2");
  const Decoder model = golden.decoder(DType::f32);
  const auto ids = sequence(6, 1);
  KvCache cache(model.config.cache(8, DType::f32));
  Pass pass;
  pass.segments = {{6, &cache}};
  model.logits(ids, pass);
  // A full context leaves the cache as it was.
  CHECK_THROWS_WITH_AS(model.logits(ids, pass), doctest::Contains("12 tokens do not fit the context of 8"), ArgumentError);
  CHECK(cache.used() == 6);
  const auto two = sequence(2, 2);
  pass.segments = {{2, &cache}};
  CHECK(model.logits(two, pass).rows() == 2);
  CHECK(cache.used() == 8);
  {
    Tape tape;
    KvCache fresh(model.config.cache(8, DType::f32));
    Pass taped;
    taped.segments = {{6, &fresh}};
    CHECK_THROWS_WITH_AS(model.logits(ids, taped), doctest::Contains("a cache cannot be used under a Tape"), ArgumentError);
  }
  Pass wrong;
  wrong.segments = {{5}};
  CHECK_THROWS_WITH_AS(model.logits(ids, wrong), doctest::Contains("the segments hold 5 tokens, the batch has 6"), ArgumentError);
  KvCache shared(model.config.cache(8, DType::f32));
  wrong.segments = {{3, &shared}, {3, &shared}};
  CHECK_THROWS_WITH_AS(model.logits(ids, wrong), doctest::Contains("one cache"), ArgumentError);
  // GPT-2 learned 71 positions.
  Pass far;
  CHECK_THROWS_WITH_AS(model.logits(sequence(72, 1), far), doctest::Contains("position 71 is past the context of 71"), ArgumentError);
  const std::vector<TokenId> unknown{131};
  Pass plain;
  CHECK_THROWS_WITH_AS(model.logits(unknown, plain), doctest::Contains("id 131"), ArgumentError);
  CHECK_THROWS_AS(KvCache({.layers = 0}), ArgumentError);
  const Decoder empty = Decoder::described(golden.config);
  CHECK_THROWS_WITH_AS(alone(empty, ids), doctest::Contains("has no memory"), ArgumentError);
}
