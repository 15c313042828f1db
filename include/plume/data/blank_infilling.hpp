#pragma once
// Training samples of models that fill blanks [Du et al. 2022]: parts of a text become mask tokens, and are written behind it, in any
// order.
//
//   std::vector<BlankSpan> spans = draw_blanks(ids.size(), {.share = 0.15}, random);
//   append(batch, cut_blanks(ids, spans, *config.infilling, mask, end));
#include <numeric>

#include "plume/base/random.hpp"
#include "plume/data/batch.hpp"

namespace plume::inline PLUME_ABI {

// Tokens [begin, end) of a text, which become a blank.
struct BlankSpan {
  Index begin = 0, end = 0;
  friend bool operator==(const BlankSpan&, const BlankSpan&) = default;
};

// One sequence. The place of token t is blanks->place(t); the first blanks->context tokens see each other.
struct InfillingSample {
  std::vector<TokenId> inputs, targets;  // what follows each token; -1: not trained
  std::shared_ptr<const Blanks> blanks;
};

struct BlankOptions {
  double share = 0.15;     // of the tokens, that blanks hold at least
  double mean_length = 3;  // of the Poisson distribution that lengths are drawn from, 1 ... longest
  Index longest = 39;
};

// Blanks for a text of `tokens` tokens, in random order: no two touch, every place is as likely. A text too short for all of them gets
// fewer.
PLUME_FUNCTION std::vector<BlankSpan> draw_blanks(Index tokens, const BlankOptions& options, Random& random);

// The text with a mask token for each span, then for each span, in the order in which they are given, sop and its tokens. Trained is what
// follows each sop: the tokens of the span and `end`. ArgumentError: spans overlap, or are empty or out of range.
PLUME_FUNCTION InfillingSample cut_blanks(std::span<const TokenId> ids, std::span<const BlankSpan> spans, const Infilling& infilling,
                                          TokenId mask, TokenId end);

// Tokens of the longest prompt with its mask token, and of the longest answer with sop and its end; 0: as many as there are. What is longer
// loses its end: prompts keep the first max_source - 1 tokens, answers the first max_target - 2.
struct AnswerLimits {
  Index max_source = 0, max_target = 0;
};

// A prompt and its answer, as ChatGLM-6B is tuned: prompt, [gMASK], sop, answer. Trained is what follows the prompt's [gMASK]: sop, the
// answer and `end`. ArgumentError: limits that leave no room for those tokens.      [THUDM/ChatGLM-6B: ptuning/main.py]
PLUME_FUNCTION InfillingSample answer_prompt(std::span<const TokenId> prompt, std::span<const TokenId> answer, const Infilling& infilling,
                                             TokenId end, const AnswerLimits& limits = {});

// Adds a sequence to a batch of such.
PLUME_FUNCTION void append(TokenBatch& batch, const InfillingSample& sample);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION std::vector<BlankSpan> draw_blanks(Index tokens, const BlankOptions& options, Random& random) {
  require(options.share >= 0 && options.share < 1 && options.mean_length > 0 && options.longest >= 1, "[draw_blanks] share ", options.share,
          ", mean length ", options.mean_length, ", longest ", options.longest);
  std::vector<double> chances;  // in proportion, that a length is at most 1, 2, ...
  double chance = 1;
  for (Index k = 1; k <= options.longest; ++k) {
    chance *= options.mean_length / static_cast<double>(k);
    chances.push_back(chance + (chances.empty() ? 0 : chances.back()));
  }
  const auto wanted = static_cast<Index>(options.share * static_cast<double>(tokens));
  std::vector<Index> lengths;
  Index total = 0;
  while (total < wanted) {
    const auto found = std::upper_bound(chances.begin(), chances.end() - 1, random.uniform() * chances.back());
    const Index length = 1 + (found - chances.begin());
    if (total + length + static_cast<Index>(lengths.size()) > tokens) break;  // with a token between any two
    lengths.push_back(length);
    total += length;
  }
  // Blanks with the token behind them shrink to nothing; then every place is free.
  const Index room = tokens - total - static_cast<Index>(lengths.size()) + 1;
  std::vector<Index> places;
  for (std::size_t i = 0; i < lengths.size(); ++i) places.push_back(static_cast<Index>(random.below(static_cast<std::uint64_t>(room + 1))));
  std::sort(places.begin(), places.end());
  std::vector<BlankSpan> spans;
  Index before = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    spans.push_back({before + places[i], before + places[i] + lengths[i]});
    before += lengths[i] + 1;
  }
  for (std::size_t i = spans.size(); i > 1; --i) std::swap(spans[i - 1], spans[random.below(i)]);
  return spans;
}

PLUME_FUNCTION InfillingSample cut_blanks(std::span<const TokenId> ids, std::span<const BlankSpan> spans, const Infilling& infilling,
                                          TokenId mask, TokenId end) {
  std::vector<std::size_t> order(spans.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return spans[a].begin < spans[b].begin; });
  InfillingSample sample;
  std::vector<Index> masks(spans.size());
  Index done = 0;
  const auto text = [&](Index first, Index last) {
    return ids.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
  };
  const auto copy = [&](Index first, Index last) {
    sample.inputs.insert(sample.inputs.end(), text(first, last).begin(), text(first, last).end());
  };
  for (const std::size_t i : order) {
    require(spans[i].begin >= done && spans[i].begin < spans[i].end && spans[i].end <= static_cast<Index>(ids.size()),
            "[cut_blanks] span [", spans[i].begin, ", ", spans[i].end, ") of ", ids.size(),
            " tokens: spans hold tokens, and do not overlap");
    copy(done, spans[i].begin);
    masks[i] = static_cast<Index>(sample.inputs.size());
    sample.inputs.push_back(mask);
    done = spans[i].end;
  }
  copy(done, static_cast<Index>(ids.size()));
  Blanks blanks{.context = static_cast<Index>(sample.inputs.size())};
  sample.targets.assign(sample.inputs.size(), -1);
  for (std::size_t i = 0; i < spans.size(); ++i) {
    const bool counts = infilling.continuation_counts && mask == infilling.continuation;
    blanks.pieces.push_back({static_cast<Index>(sample.inputs.size()), counts ? -1 : masks[i]});
    const auto tokens = text(spans[i].begin, spans[i].end);
    sample.inputs.push_back(infilling.begin);
    copy(spans[i].begin, spans[i].end);
    sample.targets.insert(sample.targets.end(), tokens.begin(), tokens.end());
    sample.targets.push_back(end);
  }
  sample.blanks = std::make_shared<const Blanks>(std::move(blanks));
  return sample;
}

PLUME_FUNCTION InfillingSample answer_prompt(std::span<const TokenId> prompt, std::span<const TokenId> answer, const Infilling& infilling,
                                             TokenId end, const AnswerLimits& limits) {
  require(limits.max_source >= 0 && limits.max_target >= 0 && limits.max_target != 1, "[answer_prompt] max_source ", limits.max_source,
          ", max_target ", limits.max_target, ": a prompt has a mask token, an answer sop and its end");
  if (limits.max_source > 0) prompt = prompt.first(std::min(prompt.size(), static_cast<std::size_t>(limits.max_source - 1)));
  if (limits.max_target > 0) answer = answer.first(std::min(answer.size(), static_cast<std::size_t>(limits.max_target - 2)));
  InfillingSample sample;
  sample.inputs.assign(prompt.begin(), prompt.end());
  sample.inputs.insert(sample.inputs.end(), {infilling.continuation, infilling.begin});
  sample.inputs.insert(sample.inputs.end(), answer.begin(), answer.end());
  sample.targets.assign(prompt.size(), -1);
  sample.targets.push_back(infilling.begin);
  sample.targets.insert(sample.targets.end(), answer.begin(), answer.end());
  sample.targets.push_back(end);
  const auto mask = static_cast<Index>(prompt.size());
  sample.blanks = std::make_shared<const Blanks>(Blanks{mask + 1, {{mask + 1, infilling.continuation_counts ? -1 : mask}}});
  return sample;
}

PLUME_FUNCTION void append(TokenBatch& batch, const InfillingSample& sample) {
  batch.inputs.insert(batch.inputs.end(), sample.inputs.begin(), sample.inputs.end());
  batch.targets.insert(batch.targets.end(), sample.targets.begin(), sample.targets.end());
  batch.lengths.push_back(static_cast<Index>(sample.inputs.size()));
  batch.blanks.push_back(sample.blanks);
}

}  // namespace plume::inline PLUME_ABI
#endif
