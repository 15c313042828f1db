#pragma once
// Drawing the next token from logits, in the order and with the variants of Hugging Face transformers (generation/logits_process.py):
// repetition penalty -> temperature -> top-k -> top-p -> min-p -> draw.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/random.hpp"

namespace plume::inline PLUME_ABI {

struct SamplingOptions {
  float temperature = 0.8f;         // scores are divided by it; 0 = greedy
  Index top_k = 0;                  // keep the k largest scores and those equal to the k-th; 0 = off
  float top_p = 1.0f;               // keep the most probable tokens up to and with the one that takes their sum past p; 1 = off
  float min_p = 0.0f;               // keep tokens at least min_p times as probable as the best one; 0 = off
  float repetition_penalty = 1.0f;  // once per distinct token of the history: a score below 0 is multiplied by it, another divided; 1 = off
  std::uint64_t seed = 0;

  // Throws ArgumentError for a value out of range (NaN included).
  PLUME_FUNCTION void check() const;
};

// One sampler per sequence: its draws depend on its seed and on how many it made, never on other sequences. Not for two threads at once.
// Cost for a vocabulary of V: O(V + history) expected, no sort; one exponential per token that top-k keeps. Allocates on the first call
// only (and when V grows): 8 to 40 bytes per token of the vocabulary, by the filters in use.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options = {}) { configure(options); }

  // logits (vocabulary), history: every token of the sequence so far, prompt included (read only when a repetition penalty is set).
  // Greedy takes the first of equal maxima and uses no random number; any other draw uses exactly one. Logits of -infinity are never drawn.
  // Throws NumericError for NaN, +infinity or nothing but -infinity, ArgumentError for a history token outside the vocabulary; the random
  // state is then unchanged.
  PLUME_FUNCTION TokenId sample(std::span<const float> logits, std::span<const TokenId> history);

  // The probabilities that sample() draws from, (vocabulary); 0 for what is filtered out. Leaves the random state as it is.
  PLUME_FUNCTION std::vector<double> distribution(std::span<const float> logits, std::span<const TokenId> history);

  // Other options from the next call on. The same seed goes on where it is, another one starts anew.
  PLUME_FUNCTION void configure(const SamplingOptions& options);
  const SamplingOptions& options() const noexcept { return options_; }

  // All that a saved session needs to go on with the same draws.
  const Random& random() const noexcept { return random_; }
  void restore(const Random& random) {
    random_ = random;
    options_.seed = random.seed;
  }

 private:
  struct Candidate {
    double weight;  // exp((score - best score) / temperature)
    float score;
    TokenId token;
  };
  // A total order, so that every filter keeps the same set whatever the selection algorithm.
  static bool better(const Candidate& a, const Candidate& b) { return a.score != b.score ? a.score > b.score : a.token < b.token; }

  // Leaves in candidates_, in token order, what may be drawn; returns the sum of the weights.
  PLUME_FUNCTION double filter(std::span<const float> logits, std::span<const TokenId> history);

  // Marks the distinct tokens of the history without clearing the marks of the call before.
  PLUME_FUNCTION void mark(std::span<const TokenId> history, std::size_t vocabulary);

  // Ties with the k-th are kept.
  PLUME_FUNCTION void keep_top_k();

  // Keeps a token when the tokens better than it sum to at most p: the one that crosses p stays. Halving around the median finds the
  // crossing token in linear time.
  PLUME_FUNCTION void keep_top_p(double total);

  SamplingOptions options_;
  Random random_;
  std::vector<Candidate> candidates_, order_;
  std::vector<float> scores_;
  std::vector<std::uint32_t> marks_;  // == mark_: the token is in the history
  std::uint32_t mark_ = 0;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void SamplingOptions::check() const {
  require(std::isfinite(temperature) && temperature >= 0, "[sampling] temperature is ", temperature,
          ": give 0 (greedy) or a positive number");
  require(top_k >= 0, "[sampling] top_k is ", top_k, ": give 0 (off) or a positive number");
  require(top_p > 0 && top_p <= 1, "[sampling] top_p is ", top_p, ": give a number above 0, at most 1 (off)");
  require(min_p >= 0 && min_p <= 1, "[sampling] min_p is ", min_p, ": give a number from 0 (off) to 1");
  require(std::isfinite(repetition_penalty) && repetition_penalty > 0, "[sampling] repetition_penalty is ", repetition_penalty,
          ": give a positive number, 1 is off");
}

PLUME_FUNCTION TokenId Sampler::sample(std::span<const float> logits, std::span<const TokenId> history) {
  const double total = filter(logits, history);
  if (options_.temperature == 0) return candidates_.front().token;
  const double target = random_.uniform() * total;
  double sum = 0;
  TokenId last = candidates_.front().token;
  for (const Candidate& candidate : candidates_) {
    if (candidate.weight == 0) continue;  // underflow
    sum += candidate.weight;
    last = candidate.token;
    if (sum > target) break;
  }
  return last;
}

PLUME_FUNCTION std::vector<double> Sampler::distribution(std::span<const float> logits, std::span<const TokenId> history) {
  const double total = filter(logits, history);
  std::vector<double> probabilities(logits.size(), 0.0);
  for (const Candidate& candidate : candidates_) probabilities[static_cast<std::size_t>(candidate.token)] = candidate.weight / total;
  return probabilities;
}

PLUME_FUNCTION void Sampler::configure(const SamplingOptions& options) {
  options.check();
  if (options.seed != random_.seed) random_ = Random{.seed = options.seed};
  options_ = options;
}

PLUME_FUNCTION double Sampler::filter(std::span<const float> logits, std::span<const TokenId> history) {
  require(!logits.empty(), "[sampler] no logits");
  require(logits.size() <= std::size_t{std::numeric_limits<TokenId>::max()}, "[sampler] ", logits.size(),
          " logits: more than a TokenId can name");
  const bool penalise = options_.repetition_penalty != 1;
  if (penalise) mark(history, logits.size());
  candidates_.clear();
  if (options_.temperature > 0) candidates_.reserve(logits.size());
  Candidate best{.weight = 1, .score = -std::numeric_limits<float>::infinity(), .token = 0};
  for (std::size_t i = 0; i < logits.size(); ++i) {
    float score = logits[i];
    if (penalise && marks_[i] == mark_) score = score < 0 ? score * options_.repetition_penalty : score / options_.repetition_penalty;
    if (!(score < std::numeric_limits<float>::infinity())) [[unlikely]]
      throw NumericError(concat("[sampler] the logit of token ", i, " is ", logits[i], ": the model or its input is broken"));
    if (score > best.score) best = {.weight = 1, .score = score, .token = static_cast<TokenId>(i)};
    if (options_.temperature > 0 && score > -std::numeric_limits<float>::infinity())
      candidates_.push_back({.weight = 0, .score = score, .token = static_cast<TokenId>(i)});
  }
  if (!(best.score > -std::numeric_limits<float>::infinity())) [[unlikely]]
    throw NumericError(concat("[sampler] all ", logits.size(), " logits are -inf: no token may be drawn"));
  if (options_.temperature == 0) {
    candidates_.push_back(best);
    return 1;
  }
  // Temperature keeps the order of the scores, so top-k may come first and spare exponentials. In double: score / temperature may
  // overflow a float.
  keep_top_k();
  double total = 0;
  for (Candidate& candidate : candidates_) {
    candidate.weight = std::exp((double{candidate.score} - double{best.score}) / double{options_.temperature});
    total += candidate.weight;
  }
  if (options_.top_p < 1) keep_top_p(total);
  if (options_.min_p > 0) std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.weight < double{options_.min_p}; });
  total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  return total;
}

PLUME_FUNCTION void Sampler::mark(std::span<const TokenId> history, std::size_t vocabulary) {
  if (marks_.size() < vocabulary) marks_.resize(vocabulary, 0);
  if (++mark_ == 0) {
    std::fill(marks_.begin(), marks_.end(), 0u);
    mark_ = 1;
  }
  for (const TokenId token : history) {
    require(token >= 0 && static_cast<std::size_t>(token) < vocabulary, "[sampler] history holds token ", token, ", the vocabulary has ",
            vocabulary);
    marks_[static_cast<std::size_t>(token)] = mark_;
  }
}

PLUME_FUNCTION void Sampler::keep_top_k() {
  if (options_.top_k == 0 || static_cast<std::uint64_t>(options_.top_k) >= candidates_.size()) return;
  scores_.clear();
  scores_.reserve(candidates_.capacity());
  for (const Candidate& candidate : candidates_) scores_.push_back(candidate.score);
  const auto last_kept = scores_.begin() + static_cast<std::ptrdiff_t>(options_.top_k - 1);
  std::nth_element(scores_.begin(), last_kept, scores_.end(), std::greater<>());
  std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.score < *last_kept; });
}

PLUME_FUNCTION void Sampler::keep_top_p(double total) {
  const double limit = double{options_.top_p} * total;
  // Tokens below this weight sum to less than half of what may be dropped: they lie behind the crossing token and need not be ordered.
  const double negligible = 0.5 * (total - limit) / static_cast<double>(candidates_.size());
  order_.clear();
  order_.reserve(candidates_.capacity());
  for (const Candidate& candidate : candidates_)
    if (candidate.weight >= negligible) order_.push_back(candidate);
  double before = 0;  // sum of the weights of [order_.begin(), first)
  auto first = order_.begin(), last = order_.end();
  while (last - first > 1) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, better);
    double sum = before;
    for (auto at = first; at != middle; ++at) sum += at->weight;
    if (sum > limit) {
      last = middle;
    } else {
      before = sum;
      first = middle;
    }
  }
  const Candidate crossing = *first;
  std::erase_if(candidates_, [&](const Candidate& candidate) { return better(crossing, candidate); });
}

}  // namespace plume::inline PLUME_ABI
#endif
