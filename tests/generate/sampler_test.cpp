#include "plume/generate/sampler.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <numbers>
#include <numeric>
#include <set>
#include <string>
#include <vector>

// Counts allocations of this program, for the promise that a token allocates nothing. Not inlined: g++ 12 would see free() on memory of
// new.
namespace {
std::size_t allocations = 0;
}
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes > 0 ? bytes : 1);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using plume::Sampler;
using plume::SamplingOptions;
using plume::TokenId;
using Logits = std::vector<float>;
using History = std::vector<TokenId>;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

// The rules written down once more, plainly: full sorts, double softmax, one filter after the other over the whole vocabulary.
std::vector<double> softmax(const std::vector<double>& scores) {
  const double best = *std::max_element(scores.begin(), scores.end());
  std::vector<double> result;
  double sum = 0;
  for (const double score : scores) sum += result.emplace_back(std::exp(score - best));
  for (double& p : result) p /= sum;
  return result;
}

std::vector<double> oracle(const SamplingOptions& options, const Logits& logits, const History& history) {
  const double removed = -std::numeric_limits<double>::infinity();
  std::vector<double> scores(logits.begin(), logits.end());
  for (const TokenId token : std::set<TokenId>(history.begin(), history.end())) {
    double& score = scores[static_cast<std::size_t>(token)];
    score = score < 0 ? score * double{options.repetition_penalty} : score / double{options.repetition_penalty};
  }
  for (double& score : scores) score /= double{options.temperature};
  if (options.top_k > 0 && static_cast<std::size_t>(options.top_k) < scores.size()) {
    std::vector<double> sorted = scores;
    std::sort(sorted.rbegin(), sorted.rend());
    const double kth = sorted[static_cast<std::size_t>(options.top_k) - 1];
    for (double& score : scores)
      if (score < kth) score = removed;
  }
  if (options.top_p < 1) {
    const std::vector<double> p = softmax(scores);
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
    double cumulative = 0;
    for (const std::size_t token : order) {
      if (cumulative > double{options.top_p}) scores[token] = removed;  // shifted by one: the token that crosses stays
      cumulative += p[token];
    }
  }
  std::vector<double> p = softmax(scores);
  const double threshold = double{options.min_p} * *std::max_element(p.begin(), p.end());
  for (std::size_t i = 0; i < p.size(); ++i)
    if (p[i] < threshold) scores[i] = removed;
  return softmax(scores);
}

// P(chi^2 with `degrees` >= x): the upper incomplete gamma function Q(degrees / 2, x / 2), by its finite recurrence.
double chi_square_tail(double x, int degrees) {
  const double half = x / 2;
  double term = degrees % 2 ? std::sqrt(half / std::numbers::pi) * 2 * std::exp(-half) : std::exp(-half);
  double sum = degrees % 2 ? std::erfc(std::sqrt(half)) : term;
  if (degrees % 2 && degrees >= 3) sum += term;
  for (int k = degrees % 2 ? 5 : 4; k <= degrees; k += 2) {
    term *= half / (k / 2.0 - 1);
    sum += term;
  }
  return sum;
}

// p-value of 1e5 draws; a token of probability 0 must never appear.
double goodness(Sampler& sampler, const std::vector<double>& expected, const Logits& logits, const History& history) {
  const int draws = 100'000;
  std::vector<int> counts(expected.size());
  for (int i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(sampler.sample(logits, history))];
  double statistic = 0;
  int degrees = -1;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == 0) {
      REQUIRE(counts[i] == 0);
      continue;
    }
    const double mean = expected[i] * draws;
    REQUIRE(mean > 5);  // else the statistic is not chi-square distributed
    statistic += (counts[i] - mean) * (counts[i] - mean) / mean;
    ++degrees;
  }
  return degrees == 0 ? 1.0 : chi_square_tail(statistic, degrees);
}

std::size_t kept(const std::vector<double>& p) {
  return static_cast<std::size_t>(std::count_if(p.begin(), p.end(), [](double x) { return x > 0; }));
}

const Logits example = {1.5f, -0.5f, 2.0f, 0.25f, -1.0f, 2.0f, 0.75f, 0.75f, -2.0f, 1.0f, 0.75f, -infinity, 0.0f, 2.75f};
const History seen = {5, 13, 1, 5, 5, 8, 13, 11};

}  // namespace

TEST_CASE("the chi-square tail of the tests agrees with printed tables") {
  CHECK(chi_square_tail(3.841459, 1) == doctest::Approx(0.05).epsilon(1e-5));
  CHECK(chi_square_tail(9.210340, 2) == doctest::Approx(0.01).epsilon(1e-5));
  CHECK(chi_square_tail(11.344867, 3) == doctest::Approx(0.01).epsilon(1e-5));
  CHECK(chi_square_tail(15.086272, 5) == doctest::Approx(0.01).epsilon(1e-5));
  CHECK(chi_square_tail(18.307038, 10) == doctest::Approx(0.05).epsilon(1e-5));
  CHECK(chi_square_tail(27.688250, 13) == doctest::Approx(0.01).epsilon(1e-5));
}

TEST_CASE("1e5 draws follow the exact distribution") {
  struct Case {
    std::string name;
    SamplingOptions options;
    std::size_t kept;  // by hand
  };
  const Case cases[] = {
      {"softmax", {.temperature = 1}, 13},
      {"cold", {.temperature = 0.7f}, 13},
      {"hot", {.temperature = 2.5f}, 13},
      {"top-k", {.temperature = 1, .top_k = 4}, 4},
      {"top-k, three tie at the sixth", {.temperature = 1, .top_k = 6}, 8},
      {"top-k past the vocabulary", {.temperature = 1, .top_k = 1000}, 13},
      {"top-p", {.temperature = 1, .top_p = 0.6f}, 3},
      {"min-p", {.temperature = 1, .min_p = 0.15f}, 5},
      {"repetition penalty", {.temperature = 1, .repetition_penalty = 1.4f}, 13},
      {"reward for repetition", {.temperature = 1, .repetition_penalty = 0.8f}, 13},
      {"top-k, top-p", {.temperature = 0.9f, .top_k = 6, .top_p = 0.8f}, 4},
      {"all", {.temperature = 1.3f, .top_k = 9, .top_p = 0.9f, .min_p = 0.35f, .repetition_penalty = 1.2f}, 5},
  };
  for (const Case& test : cases) {
    CAPTURE(test.name);
    const History history = test.options.repetition_penalty == 1 ? History{} : seen;
    const std::vector<double> expected = oracle(test.options, example, history);
    CHECK(kept(expected) == test.kept);
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
      CAPTURE(seed);
      SamplingOptions options = test.options;
      options.seed = seed;
      Sampler sampler(options);
      CHECK(goodness(sampler, expected, example, history) > 0.01);
    }
  }
}

TEST_CASE("distribution() equals plain filters over the whole vocabulary") {
  plume::Random random{.seed = 11};
  std::size_t strictly_filtered = 0;
  for (int round = 0; round < 3'000; ++round) {
    CAPTURE(round);
    const std::size_t size = 1 + random.below(round % 10 == 0 ? 700 : 40);
    Logits logits(size);
    // Every third round on a grid, so that equal scores are common.
    for (float& logit : logits)
      logit = static_cast<float>(round % 3 == 0 ? static_cast<double>(random.below(9)) - 4.0 : 3 * random.normal());
    for (std::size_t i = 1; i < size; ++i)
      if (random.below(10) == 0) logits[i] = -infinity;
    SamplingOptions options{.temperature = static_cast<float>(0.2 + 2 * random.uniform())};
    if (random.below(2) == 0) options.top_k = static_cast<plume::Index>(1 + random.below(size + 3));
    if (random.below(2) == 0) options.top_p = static_cast<float>(0.02 + 0.97 * random.uniform());
    if (random.below(2) == 0) options.min_p = static_cast<float>(0.9 * random.uniform());
    History history;
    if (random.below(2) == 0) {
      options.repetition_penalty = random.below(2) == 0 ? 0.5f : 2.0f;  // exact in float, so that ties stay ties in the oracle
      for (std::uint64_t i = 0, count = random.below(2 * size); i < count; ++i) history.push_back(static_cast<TokenId>(random.below(size)));
    }
    Sampler sampler(options);
    const std::vector<double> expected = oracle(options, logits, history), got = sampler.distribution(logits, history);
    REQUIRE(got.size() == size);
    for (std::size_t i = 0; i < size; ++i) {
      REQUIRE((got[i] > 0) == (expected[i] > 0));
      REQUIRE(got[i] == doctest::Approx(expected[i]).epsilon(1e-12));
    }
    strictly_filtered += kept(expected) < size;
  }
  CHECK(strictly_filtered > 1'000);
}

TEST_CASE("top-p keeps the token that crosses p, top-k the ties of the k-th") {
  const Logits uniform(4, 0.5f), powers = {std::log(4.0f), std::log(2.0f), std::log(1.0f), std::log(1.0f)};  // 1/2 1/4 1/8 1/8
  const auto count = [](const SamplingOptions& options, const Logits& logits) { return kept(Sampler(options).distribution(logits, {})); };
  CHECK(count({.temperature = 1, .top_p = 0.01f}, powers) == 1);  // one always stays
  CHECK(count({.temperature = 1, .top_p = 0.45f}, powers) == 1);
  CHECK(count({.temperature = 1, .top_p = 0.55f}, powers) == 2);
  CHECK(count({.temperature = 1, .top_p = 0.8f}, powers) == 3);
  CHECK(count({.temperature = 1, .top_p = 0.9f}, powers) == 4);
  CHECK(count({.temperature = 1, .top_p = 0.5f}, uniform) == 3);  // a sum equal to p has not passed it
  CHECK(Sampler({.temperature = 1, .top_p = 0.3f}).distribution(uniform, {}) ==
        std::vector<double>{0.5, 0.5, 0, 0});  // of equals, the lower ids
  CHECK(count({.temperature = 1, .top_k = 1}, uniform) == 4);
  CHECK(count({.temperature = 1, .top_k = 2}, powers) == 2);
  CHECK(count({.temperature = 1, .top_k = 3}, powers) == 4);
  CHECK(count({.temperature = 1, .top_k = 3, .top_p = 0.999f}, powers) == 4);
  CHECK(count({.temperature = 1, .top_k = 2, .top_p = 0.6f}, powers) == 1);  // p is taken after top-k: 2/3 1/3
  CHECK(count({.temperature = 1, .min_p = 1}, powers) == 1);
  CHECK(count({.temperature = 1, .min_p = 1}, uniform) == 4);
  CHECK(count({.temperature = 1, .min_p = 0.3f}, powers) == 2);
}

TEST_CASE("greedy takes the first maximum and no random number") {
  Sampler sampler({.temperature = 0, .seed = 9});
  CHECK(sampler.sample(Logits{1, 3, 2, 3}, {}) == 1);
  CHECK(sampler.sample(Logits{-infinity, -5, -infinity, -4}, {}) == 3);
  CHECK(sampler.distribution(Logits{1, 3, 2, 3}, {}) == std::vector<double>{0, 1, 0, 0});
  CHECK(sampler.random().counter == 0);
  // The penalty counts for greedy too, once per distinct token: 3 / 1.25 = 2.4 > 2.
  Sampler penalised({.temperature = 0, .repetition_penalty = 1.25f});
  CHECK(penalised.sample(Logits{1, 3, 2}, History{1, 1, 1, 1}) == 1);
  CHECK(penalised.sample(Logits{1, 3, 2.5f}, History{1}) == 2);
  CHECK(penalised.sample(Logits{-2, -2.2f}, History{0}) == 1);  // below 0 multiplied: -2.5
  CHECK(penalised.sample(Logits{-2, -2.2f}, History{}) == 0);   // marks of an earlier call do not stay
}

TEST_CASE("draws depend on the seed and the number of draws only") {
  const auto draws = [](Sampler& sampler, int count) {
    std::vector<TokenId> result;
    for (int i = 0; i < count; ++i) result.push_back(sampler.sample(example, seen));
    return result;
  };
  const SamplingOptions options{.temperature = 1.5f, .top_p = 0.95f, .seed = 42};
  Sampler first(options);
  const std::vector<TokenId> alone = draws(first, 200);

  // Among others that draw in between, from vocabularies of other sizes.
  Sampler second(options), other({.temperature = 1, .seed = 43}), third({.temperature = 1, .top_k = 3, .seed = 42});
  std::vector<TokenId> together, others;
  for (int i = 0; i < 200; ++i) {
    others.push_back(other.sample(example, {}));
    together.push_back(second.sample(example, seen));
    third.sample(Logits(static_cast<std::size_t>(5 + i), 0.0f), {});
  }
  CHECK(together == alone);
  CHECK(others != alone);

  // One random number per draw; distribution() takes none; a saved state goes on where it was.
  CHECK(first.random().counter == 200);
  first.distribution(example, seen);
  CHECK(first.random().counter == 200);
  Sampler resumed({.temperature = 1.5f, .top_p = 0.95f});
  resumed.restore(first.random());
  CHECK(resumed.options().seed == 42);
  CHECK(draws(resumed, 50) == draws(first, 50));

  // Other options keep the place, another seed starts anew.
  first.configure({.temperature = 0.5f, .seed = 42});
  CHECK(first.random().counter == 250);
  first.configure({.temperature = 1.5f, .top_p = 0.95f, .seed = 7});
  CHECK(first.random().counter == 0);
  first.configure(options);
  CHECK(draws(first, 200) == alone);

  // Another stream of the same seed is another sequence.
  resumed.restore({.seed = 42, .stream = 1});
  CHECK(draws(resumed, 200) != alone);
}

TEST_CASE("extreme logits and temperatures stay exact") {
  const float huge = std::numeric_limits<float>::max();
  Sampler tiny({.temperature = std::numeric_limits<float>::denorm_min()});
  CHECK(tiny.distribution(Logits{huge, -huge, 1, huge}, {}) == std::vector<double>{0.5, 0, 0, 0.5});
  Sampler hot({.temperature = huge, .top_p = 0.999f});
  for (const double p : hot.distribution(Logits{3, 1, 2}, {})) CHECK(p == doctest::Approx(1.0 / 3));
  Sampler plain({.temperature = 1, .top_k = 5, .top_p = 0.5f, .min_p = 0.5f});
  CHECK(plain.distribution(Logits{-infinity, -1000, -infinity}, {}) == std::vector<double>{0, 1, 0});
  for (int i = 0; i < 1000; ++i) REQUIRE(plain.sample(Logits{-infinity, -1000, -infinity}, {}) == 1);
  // Weights that underflow to 0 are never drawn, wherever they stand.
  Sampler cold({.temperature = 1e-3f});
  for (int i = 0; i < 1000; ++i) REQUIRE(cold.sample(Logits{-50, 7, -50, -60}, {}) == 1);
}

TEST_CASE("broken logits are errors and leave the random state") {
  for (const float temperature : {0.0f, 1.0f}) {
    Sampler sampler({.temperature = temperature, .top_k = 2, .top_p = 0.9f, .repetition_penalty = 1.1f});
    CHECK_THROWS_AS(sampler.sample(Logits{1, not_a_number, 2}, {}), plume::NumericError);
    CHECK_THROWS_AS(sampler.sample(Logits{not_a_number, not_a_number}, {}), plume::NumericError);
    CHECK_THROWS_AS(sampler.sample(Logits{1, not_a_number}, History{1}), plume::NumericError);
    CHECK_THROWS_AS(sampler.sample(Logits{1, infinity}, {}), plume::NumericError);
    CHECK_THROWS_AS(sampler.sample(Logits{-infinity, -infinity}, {}), plume::NumericError);
    CHECK_THROWS_AS(sampler.distribution(Logits{1, not_a_number}, {}), plume::NumericError);
    CHECK_THROWS_AS(sampler.sample(Logits{}, {}), plume::ArgumentError);
    CHECK_THROWS_AS(sampler.sample(Logits{1, 2}, History{0, 2}), plume::ArgumentError);
    CHECK_THROWS_AS(sampler.sample(Logits{1, 2}, History{-1}), plume::ArgumentError);
    CHECK(sampler.random().counter == 0);
    CHECK(sampler.sample(Logits{5, -infinity}, {}) == 0);  // still usable
  }
  try {
    Sampler().sample(Logits{1, 2, not_a_number}, {});
    FAIL("no exception");
  } catch (const plume::NumericError& error) {
    CHECK(std::string(error.what()).find("token 2 is nan") != std::string::npos);
  }
}

TEST_CASE("options out of range are refused") {
  const SamplingOptions bad[] = {
      {.temperature = -0.1f},
      {.temperature = not_a_number},
      {.temperature = infinity},
      {.top_k = -1},
      {.top_p = 0},
      {.top_p = 1.01f},
      {.top_p = not_a_number},
      {.top_p = -1},
      {.min_p = -0.01f},
      {.min_p = 1.01f},
      {.min_p = not_a_number},
      {.repetition_penalty = 0},
      {.repetition_penalty = -1},
      {.repetition_penalty = not_a_number},
      {.repetition_penalty = infinity},
  };
  Sampler sampler({.seed = 5});
  for (const SamplingOptions& options : bad) {
    CHECK_THROWS_AS(options.check(), plume::ArgumentError);
    CHECK_THROWS_AS(Sampler{options}, plume::ArgumentError);
    CHECK_THROWS_AS(sampler.configure(options), plume::ArgumentError);
  }
  CHECK(sampler.options().seed == 5);  // a refused configuration changes nothing
  CHECK_NOTHROW(SamplingOptions{}.check());
  CHECK_NOTHROW(SamplingOptions{.temperature = 0, .min_p = 1}.check());
}

TEST_CASE("after the first token sampling allocates nothing") {
  plume::Random random{.seed = 3};
  Logits logits(50'000);
  const SamplingOptions cases[] = {{.temperature = 0},
                                   {.temperature = 1},
                                   {.temperature = 1, .top_k = 40, .top_p = 0.9f, .min_p = 0.05f, .repetition_penalty = 1.1f},
                                   {.top_p = 0.99f}};
  for (const SamplingOptions& options : cases) {
    Sampler sampler(options);
    for (int i = 0; i < 4; ++i) {
      // Flat at the end: then no filter can be smaller than the vocabulary.
      for (float& logit : logits) logit = i == 3 ? 1.0f : static_cast<float>(4 * random.normal());
      const std::size_t before = allocations;
      sampler.sample(logits, seen);
      CHECK((i == 0 || allocations == before));
    }
  }
}
