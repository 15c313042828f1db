#pragma once
// Filling the blanks of a text with a model made for it (GLM-130B, ChatGLM-6B).
#include "plume/generate/generate.hpp"

namespace plume::inline PLUME_ABI {

struct InfillOptions {
  Index max_tokens = 128;  // of each blank
  SamplingOptions sampling = {};
  std::vector<TokenId> end_tokens = {};  // that end what fills a blank, beside the model's own
  Index context = 0;                     // text, sop and what fills one blank; 0: what the model was made for
  int threads = 0;                       // 0: all CPUs of the process
  StopToken cancel = {};
  const LinearAdapters* adapter = nullptr;
};

struct Infilled {
  std::vector<TokenId> ids;                         // the text with its blanks filled
  std::vector<std::vector<TokenId>> blanks;         // what was written into each, without the token that ended it
  FinishReason finish_reason = FinishReason::stop;  // length: one was cut by max_tokens or a full context
};

// Fills blanks one after the other: each mask token of one kind, the first that the text has any of, becomes what the model writes until an
// end token; later blanks see it. A text without mask tokens goes on: it gets the one for that. One that does not end with a mask is closed
// by the model's end of text, which is no part of the result. A mask token that the model writes ends a blank as well.
// ArgumentError: the model fills no blanks.      [THUDM/GLM-130B: generate.py]
PLUME_FUNCTION Infilled infill(const Model& model, std::vector<TokenId> ids, const InfillOptions& options = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Infilled infill(const Model& model, std::vector<TokenId> ids, const InfillOptions& options) try {
  require(model.config().infilling.has_value(), "[infill] this model fills no blanks: see generate()");
  require(options.max_tokens >= 0, "[infill] max_tokens is ", options.max_tokens);
  const Infilling& infilling = *model.config().infilling;
  const auto is_in = [](const auto& list, TokenId id) { return std::find(list.begin(), list.end(), id) != list.end(); };
  require(!is_in(ids, infilling.begin), "[infill] the text holds token ", infilling.begin, " (sop), which begins what fills a blank");
  Index place = find_mask(infilling, ids);
  if (place < 0) {
    require(infilling.continuation >= 0, "[infill] the text has no mask token, and the model none for a text that goes on");
    place = static_cast<Index>(ids.size());
    ids.push_back(infilling.continuation);
  }
  const TokenId mask = ids[static_cast<std::size_t>(place)];
  const bool closed = infilling.end_of_text >= 0 && !is_in(infilling.masks, ids.back());
  if (closed) ids.push_back(infilling.end_of_text);

  Infilled result;
  const auto ends = [&](TokenId id) {
    return is_in(model.config().end_tokens, id) || is_in(options.end_tokens, id) || is_in(infilling.masks, id) || id == infilling.begin;
  };
  for (auto at = ids.begin() + place; at != ids.end(); at = std::find(ids.begin(), ids.end(), mask)) {
    Session session(model, {.context = options.context, .threads = options.threads, .stop = options.cancel, .adapter = options.adapter});
    session.feed(ids);
    session.feed(infilling.begin);
    std::vector<TokenId> written;
    FinishReason reason = FinishReason::length;
    while (static_cast<Index>(written.size()) < options.max_tokens && static_cast<Index>(session.tokens().size()) < session.context()) {
      const TokenId id = session.next(options.sampling);
      if (ends(id)) {
        reason = FinishReason::stop;
        break;
      }
      written.push_back(id);
    }
    if (reason == FinishReason::length) result.finish_reason = reason;
    ids.insert(ids.erase(at), written.begin(), written.end());
    result.blanks.push_back(std::move(written));
  }
  if (closed) ids.pop_back();
  result.ids = std::move(ids);
  return result;
} catch (...) {
  rethrow_memory_failure("a text that is filled in");
}

}  // namespace plume::inline PLUME_ABI
#endif
