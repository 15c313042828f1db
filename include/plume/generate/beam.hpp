#pragma once
// Beam search: the most probable texts rather than the most probable next token, by the rules of Hugging Face transformers 5.
//   std::vector<Hypothesis> best = beam_search(model, source_ids, {.beams = 4, .max_tokens = 200});
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "plume/base/stop_token.hpp"
#include "plume/models/encoder_decoder.hpp"

namespace plume::inline PLUME_ABI {

// When a search whose beams are all full of ended texts stops: when no running one can win if it ended now (transformers: False); at once
// (True); when none can win at whatever length ("never", exact without a length penalty).
enum class EarlyStopping : std::uint8_t { estimated, at_once, never };

struct BeamOptions {
  Index beams = 4;  // 1: the most probable token each time
  Index max_tokens = 128;
  double length_penalty = 1;  // scores are divided by length^penalty: above 0 favours long texts
  EarlyStopping early_stopping = EarlyStopping::estimated;
  std::vector<TokenId> suppressed = {};         // never written, unless they are end tokens
  std::vector<TokenId> end_tokens = {};         // empty: the model's own
  std::vector<TokenId> forced_end_tokens = {};  // what the last of max_tokens must be; empty: anything
  bool renormalised = false;                    // probabilities add up to 1 without what is suppressed
  int threads = 0;                              // 0: all CPUs of the process
  StopToken cancel = {};                        // raised from another thread: the call throws Cancelled
  const LinearAdapters* adapter = nullptr;      // an Adapter of the model, that source and texts go through
};

struct Hypothesis {
  std::vector<TokenId> ids;  // without the start token, with the end token
  double score = 0;          // sum of log probabilities / length^penalty
};

// The texts that a search found, best first, at most `beams`. The source is encoded once, and each token costs one row for each beam.
PLUME_FUNCTION std::vector<Hypothesis> beam_search(const EncoderDecoder& model, std::span<const TokenId> source,
                                                   const BeamOptions& options = {});

// The options that generation_config.json in a directory asks for; those above where there is none. ConfigError: it asks for a rule that
// the search does not have.
PLUME_FUNCTION BeamOptions read_beam_options(const std::string& directory, const Limits& limits = {});

// The search without a model: takes logits, says which tokens come next. For models of one's own.
class BeamSearch {
 public:
  // ArgumentError: an option is out of range.
  PLUME_FUNCTION explicit BeamSearch(const BeamOptions& options);

  struct Next {
    std::vector<Index> parents;   // row of the logits that each running text goes on from
    std::vector<TokenId> tokens;  // and its new token
  };
  // logits (texts, vocabulary) behind each running text, one at first -> the running texts after it.
  PLUME_FUNCTION Next step(const Tensor& logits);
  bool done() const { return done_; }
  // What has ended so far, best first.
  PLUME_FUNCTION std::vector<Hypothesis> found() const;

 private:
  struct Text {
    std::vector<TokenId> ids;
    double score;
    bool ended;
  };
  PLUME_FUNCTION std::vector<double> log_probabilities(const Tensor& row) const;
  bool is_end(TokenId id) const {
    return std::find(options_.end_tokens.begin(), options_.end_tokens.end(), id) != options_.end_tokens.end();
  }
  double penalised(double score, Index length) const { return score / std::pow(static_cast<double>(length), options_.length_penalty); }
  bool all_ended() const {
    return std::all_of(ended_.begin(), ended_.end(), [](const Text& text) { return text.ended; });
  }

  BeamOptions options_;
  std::vector<Text> running_, ended_;
  Index length_ = 0;
  bool can_improve_ = true, done_ = false;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/autograd/tape.hpp"
#include "plume/base/files.hpp"
#include "plume/kernels/parallel/context.hpp"
#include "plume/models/config_json.hpp"

namespace plume::inline PLUME_ABI {

namespace beam_detail {

constexpr double out_of_the_race = -1e9;

// The places of the `count` largest scores, best first; of equal ones the first.
inline std::vector<std::size_t> largest(const std::vector<double>& scores, std::size_t count) {
  std::vector<std::size_t> order(scores.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  count = std::min(count, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                    [&](std::size_t a, std::size_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; });
  order.resize(count);
  return order;
}

inline void log_softmax(std::vector<double>& scores) {
  const double most = *std::max_element(scores.begin(), scores.end());
  if (!std::isfinite(most)) throw NumericError("[beam_search] the model's scores are not numbers");
  double total = 0;
  for (const double score : scores) total += std::exp(score - most);
  for (double& score : scores) score -= most + std::log(total);
}

// Caches that go on from those of their parents: moved where one goes on alone, copied where several do.
inline void reorder(std::vector<KvCache>& caches, const std::vector<Index>& parents) {
  std::vector<Index> heir(caches.size(), -1);
  std::vector<KvCache> next(caches);  // handles: no tokens are copied
  for (std::size_t i = 0; i < parents.size(); ++i)
    if (Index& first = heir[static_cast<std::size_t>(parents[i])]; first < 0) {
      first = static_cast<Index>(i);
      next[i] = caches[static_cast<std::size_t>(parents[i])];
    }
  std::vector<KvCache> free;
  for (std::size_t i = 0; i < caches.size(); ++i)
    if (heir[i] < 0) free.push_back(caches[i]);
  for (std::size_t i = 0; i < parents.size(); ++i) {
    const Index first = heir[static_cast<std::size_t>(parents[i])];
    if (first == static_cast<Index>(i)) continue;
    next[i] = free.back();
    free.pop_back();
    next[i].assign(next[static_cast<std::size_t>(first)]);
  }
  for (std::size_t i = parents.size(); i < next.size() && !free.empty(); ++i) {
    next[i] = free.back();
    free.pop_back();
  }
  caches = std::move(next);
}

}  // namespace beam_detail

PLUME_FUNCTION BeamSearch::BeamSearch(const BeamOptions& options) : options_(options) {
  require(options.beams >= 1 && options.beams <= 4096, "[beam_search] beams is ", options.beams, ", expected 1 .. 4096");
  require(options.max_tokens >= 1, "[beam_search] max_tokens is ", options.max_tokens, ", expected at least 1");
  require(std::isfinite(options.length_penalty), "[beam_search] length_penalty is not a number");
  running_.push_back({{}, 0, false});
  ended_.assign(static_cast<std::size_t>(options.beams), {{}, beam_detail::out_of_the_race, false});
}

PLUME_FUNCTION std::vector<double> BeamSearch::log_probabilities(const Tensor& row) const {
  constexpr double never = -std::numeric_limits<double>::infinity();
  const Tensor values = row.to(DType::f64);
  std::vector<double> scores(values.data<double>(), values.data<double>() + values.size());
  beam_detail::log_softmax(scores);
  const auto at = [&](TokenId id) -> double& {
    require(id >= 0 && static_cast<std::size_t>(id) < scores.size(), "[beam_search] token ", id, " is not in a vocabulary of ",
            scores.size());
    return scores[static_cast<std::size_t>(id)];
  };
  for (const TokenId id : options_.suppressed)
    if (!is_end(id)) at(id) = never;
  if (length_ == options_.max_tokens - 1 && !options_.forced_end_tokens.empty()) {
    std::fill(scores.begin(), scores.end(), never);
    for (const TokenId id : options_.forced_end_tokens) at(id) = 0;
  }
  if (options_.renormalised) beam_detail::log_softmax(scores);
  return scores;
}

PLUME_FUNCTION BeamSearch::Next BeamSearch::step(const Tensor& logits) {
  require(!done_ && logits.rows() == static_cast<Index>(running_.size()), "[beam_search] ", logits.rows(), " rows of logits for ",
          running_.size(), " texts", done_ ? " of a search that is done" : "");
  const auto beams = static_cast<std::size_t>(options_.beams), vocabulary = static_cast<std::size_t>(logits.columns());
  std::vector<double> scores;
  for (std::size_t row = 0; row < running_.size(); ++row)
    for (const double score : log_probabilities(logits.rows(static_cast<Index>(row), static_cast<Index>(row) + 1)))
      scores.push_back(score + running_[row].score);
  ++length_;

  // So many that `beams` go on even if all the others end here. With one beam the best token is the choice, an end token or not.
  const std::size_t kept = beams == 1 ? 1 : std::max<std::size_t>(2, 1 + options_.end_tokens.size()) * beams;
  std::vector<Text> candidates;
  std::vector<Index> parents;
  std::vector<double> goes_on;
  bool all_end = true;
  for (const std::size_t place : beam_detail::largest(scores, kept)) {
    const Text& parent = running_[place / vocabulary];
    const auto token = static_cast<TokenId>(place % vocabulary);
    Text text{parent.ids, scores[place], is_end(token) || length_ == options_.max_tokens};
    text.ids.push_back(token);
    goes_on.push_back(text.score + (text.ended ? beam_detail::out_of_the_race : 0));
    all_end = all_end && text.ended;
    parents.push_back(static_cast<Index>(place / vocabulary));
    candidates.push_back(std::move(text));
  }
  std::vector<Text> running;
  Next next;
  for (const std::size_t i : beam_detail::largest(goes_on, beams)) {
    running.push_back(candidates[i]);
    running.back().score = goes_on[i];
    next.parents.push_back(parents[i]);
    next.tokens.push_back(candidates[i].ids.back());
  }

  // Of what ended here only the best `beams` candidates count, and nothing once the search is decided.
  const bool closed = (all_ended() && options_.early_stopping == EarlyStopping::at_once) || !can_improve_;
  std::vector<Text> merged = ended_;
  std::vector<double> order;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Text text = candidates[i];
    text.ended = text.ended && i < beams;
    text.score =
        penalised(text.score, length_) + (closed ? beam_detail::out_of_the_race : 0) + (text.ended ? 0 : beam_detail::out_of_the_race);
    merged.push_back(std::move(text));
  }
  for (const Text& text : merged) order.push_back(text.score);
  ended_.clear();
  for (const std::size_t i : beam_detail::largest(order, beams)) ended_.push_back(merged[i]);
  running_ = std::move(running);

  const bool at_full_length = options_.early_stopping == EarlyStopping::never && options_.length_penalty > 0;
  const double best = penalised(running_.front().score, at_full_length ? options_.max_tokens : length_), worst = ended_.back().score;
  can_improve_ = can_improve_ && std::any_of(ended_.begin(), ended_.end(),
                                             [&](const Text& text) { return best > (text.ended ? worst : beam_detail::out_of_the_race); });
  done_ = !can_improve_ || (all_ended() && options_.early_stopping == EarlyStopping::at_once) || all_end;
  return next;
}

PLUME_FUNCTION std::vector<Hypothesis> BeamSearch::found() const {
  std::vector<Hypothesis> texts;
  for (const Text& text : ended_)
    if (text.ended) texts.push_back({text.ids, text.score});
  return texts;
}

PLUME_FUNCTION std::vector<Hypothesis> beam_search(const EncoderDecoder& model, std::span<const TokenId> source,
                                                   const BeamOptions& options) try {
  require(!source.empty(), "[beam_search] the source has no tokens");
  BeamOptions chosen = options;
  if (chosen.end_tokens.empty()) chosen.end_tokens = model.config.decoder.end_tokens;
  BeamSearch search(chosen);
  Context context(ContextOptions{.threads = options.threads});
  const ContextScope scope(context);
  const NoTape no_tape;
  const Memory memory =
      model.encode(source, {.segments = {{static_cast<Index>(source.size()), nullptr, options.adapter}}, .stop = options.cancel});
  std::vector<KvCache> caches;
  for (Index i = 0; i < options.beams; ++i) caches.push_back(model.cache(options.max_tokens));
  std::vector<TokenId> tokens = model.config.decoder.begin_tokens;
  require(tokens.size() == 1, "[beam_search] the model has no start token");
  while (!search.done()) {
    Pass pass{.stop = options.cancel};
    for (std::size_t i = 0; i < tokens.size(); ++i) pass.segments.push_back({1, &caches[i], options.adapter, 0});
    const BeamSearch::Next next = search.step(model.logits(memory, tokens, pass));
    if (!search.done()) beam_detail::reorder(caches, next.parents);
    tokens = next.tokens;
  }
  return search.found();
} catch (...) {
  rethrow_memory_failure("a beam search");
}

PLUME_FUNCTION BeamOptions read_beam_options(const std::string& directory, const Limits& limits) try {
  using namespace config_json;
  BeamOptions options;
  const std::string path = directory + "/generation_config.json";
  if (!file_exists(path)) return options;
  const Json json = Json::parse(read_file(path, limits.max_json_bytes, "max_json_bytes"), {.path = path, .limits = limits});
  const auto vocabulary = static_cast<Index>(limits.max_vocabulary);
  options.beams = positive(json, "num_beams", 1);
  if (json.find("max_length")) options.max_tokens = std::max<Index>(1, positive(json, "max_length", options.max_tokens + 1) - 1);
  options.max_tokens = positive(json, "max_new_tokens", options.max_tokens);
  options.length_penalty = json.number("length_penalty", 1);
  if (const Json* const early = json.find("early_stopping"); early && !early->is_null()) {
    const bool never = early->is_text();
    if (never && early->as_text() != "never") fail(json, "early_stopping", "expected true, false or \"never\"");
    options.early_stopping = never ? EarlyStopping::never : early->as_boolean() ? EarlyStopping::at_once : EarlyStopping::estimated;
  }
  options.end_tokens = tokens(json, "eos_token_id", vocabulary);
  options.forced_end_tokens = tokens(json, "forced_eos_token_id", vocabulary);
  options.suppressed = tokens(json, "suppress_tokens", vocabulary);
  options.renormalised = json.boolean("renormalize_logits", false);
  if (const Json* const words = json.find("bad_words_ids"); words && !words->is_null())
    for (const Json& word : words->items()) {
      if (word.size() != 1) word.fail("only single tokens can be suppressed");
      const Index id = word.at(std::size_t{0}).as_integer();
      if (id < 0 || id >= vocabulary) word.fail(concat("token ", id, " is not in a vocabulary of ", vocabulary));
      options.suppressed.push_back(static_cast<TokenId>(id));
    }
  for (const auto& [key, neutral] : {std::pair<std::string_view, double>{"num_beam_groups", 1},
                                     {"diversity_penalty", 0},
                                     {"no_repeat_ngram_size", 0},
                                     {"encoder_no_repeat_ngram_size", 0},
                                     {"repetition_penalty", 1},
                                     {"encoder_repetition_penalty", 1},
                                     {"min_length", 0},
                                     {"min_new_tokens", 0},
                                     {"penalty_alpha", 0}})
    if (json.number(key, neutral) != neutral) fail(json, key, concat("only ", neutral, " is supported in a beam search"));
  only(json, "do_sample", false);
  for (const std::string_view key : {"forced_bos_token_id", "begin_suppress_tokens", "sequence_bias", "exponential_decay_length_penalty"})
    if (const Json* const value = json.find(key); value && !value->is_null()) fail(json, key, "is not supported in a beam search");
  return options;
} catch (...) {
  rethrow_memory_failure("the options of a beam search");
}

}  // namespace plume::inline PLUME_ABI
#endif
