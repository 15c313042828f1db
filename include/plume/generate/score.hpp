#pragma once
// How probable a model finds given tokens.
#include <cmath>

#include "plume/models/model.hpp"

namespace plume::inline PLUME_ABI {

struct ScoreOptions {
  Index context = 0;  // tokens a window holds; 0: what the model was made for
  Index stride = 0;   // tokens by which the window moves on a text longer than it; 0: a whole window, so that no token is computed twice
  StopToken stop = {};
  const LinearAdapters* adapter = nullptr;
};

struct Score {
  std::vector<double> logprobs;  // of tokens 1, 2, …: natural logarithm of the probability given the tokens before it in its window
  double nll = 0;                // mean negative log-probability
  double perplexity() const { return std::exp(nll); }
};

// Receives the logits of rows of the text: first row, (rows, vocabulary).
using OnLogits = std::function<void(Index first_row, const Tensor& logits)>;

// Scores ids[1..]. A long text is read in overlapping windows of `context` tokens; each token is scored once, in the first window that has
// it. on_logits, if given, gets the logits of every token once, in order.
PLUME_FUNCTION Score score(const Model& model, std::span<const TokenId> ids, const ScoreOptions& options = {},
                           const OnLogits& on_logits = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Score score(const Model& model, std::span<const TokenId> ids, const ScoreOptions& options, const OnLogits& on_logits) try {
  const Index count = static_cast<Index>(ids.size()), context = options.context > 0 ? options.context : model.config().context;
  const Index stride = options.stride > 0 ? options.stride : context;
  require(count >= 1, "[score] there are no tokens");
  require(stride <= context, "[score] stride ", stride, " is more than the context of ", context, " tokens");
  for (const TokenId id : ids)
    require(id >= 0 && id < model.config().vocabulary, "[score] token ", id, " is not in a vocabulary of ", model.config().vocabulary);
  const NoTape no_tape;
  Score result;
  double sum = 0;
  Index done = 0;  // rows whose logits were given out
  for (Index end = std::min(context, count);; end = std::min(end + stride, count)) {
    const Index begin = std::max<Index>(0, end - context);
    Pass pass{.segments = {{end - begin, nullptr, options.adapter}}, .stop = options.stop};
    const Tensor hidden = model.decoder.hidden(ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)), pass);
    constexpr Index chunk = 64;
    for (Index row = done; row < end; row += chunk) {
      const Index last = std::min(end, row + chunk);
      const Tensor logits =
          model.decoder.logits(hidden.rows(row - begin, last - begin), AdaptedRows::all(last - row, options.adapter)).to(DType::f32);
      if (on_logits) on_logits(row, logits);
      const auto scores = logits.view<const float, 2>();
      for (Index r = row; r < last && r + 1 < count; ++r) {
        const float* line = scores.row(r - row);
        double total = 0;
        const double largest = *std::max_element(line, line + scores.columns());
        for (Index v = 0; v < scores.columns(); ++v) total += std::exp(static_cast<double>(line[v]) - largest);
        result.logprobs.push_back(static_cast<double>(line[ids[static_cast<std::size_t>(r) + 1]]) - largest - std::log(total));
        sum -= result.logprobs.back();
      }
    }
    done = end;
    if (end == count) break;
  }
  if (!result.logprobs.empty()) result.nll = sum / static_cast<double>(result.logprobs.size());
  return result;
} catch (...) {
  rethrow_memory_failure("a score");
}

}  // namespace plume::inline PLUME_ABI
#endif
