#pragma once
// Session: one sequence that grows. It owns what generation needs to remember (cache, sampler, threads); the model is shared and constant.
//   Session session(model, {.context = 2048, .threads = 2});
//   session.feed(ids);
//   TokenId next = session.next({.temperature = 0.7f});
#include "plume/generate/sampler.hpp"
#include "plume/kernels/parallel/context.hpp"
#include "plume/models/model.hpp"

namespace plume::inline PLUME_ABI {

struct SessionOptions {
  Index context = 0;                        // tokens remembered at most; 0: what the model was made for
  int threads = 0;                          // 0: all CPUs of the process
  StopToken stop = {};                      // raised from another thread: the running call throws Cancelled, and the session can go on
  const LinearAdapters* adapter = nullptr;  // that the sequence goes through; it must outlive the session
};

// One thread at a time; any number of sessions share a model, which must outlive them.
class Session {
 public:
  explicit Session(const Model& model, const SessionOptions& options = {}) try
      : model_(&model),
        context_(ContextOptions{.threads = options.threads}),
        stop_(options.stop),
        adapter_(options.adapter),
        cache_(shape(model, options)) {
  } catch (...) {
    rethrow_memory_failure("a session");
  }

  // Adds tokens to the sequence. They are computed when logits are needed.
  PLUME_FUNCTION void feed(std::span<const TokenId> ids);
  void feed(TokenId id) { feed(std::span(&id, 1)); }

  // Scores of the next token, (vocabulary). Valid until the next call.
  std::span<const float> logits() {
    require(!tokens_.empty(), "[session] nothing was fed: start with the model's begin token or a prompt");
    compute();
    return logits_.span<float>();
  }
  // Draws the next token and feeds it.
  PLUME_FUNCTION TokenId next(const SamplingOptions& sampling = {});
  // Forgets all but the first `count` tokens; what was computed for those stays.
  PLUME_FUNCTION void truncate(Index count);

  // Goes on through another adapter, or none (null). The tokens stay and are computed again when logits are needed.
  void use(const LinearAdapters* adapter) {
    adapter_ = adapter;
    cache_.truncate(0);
    logits_of_ = 0;
  }

  const std::vector<TokenId>& tokens() const { return tokens_; }
  Index context() const { return cache_.capacity(); }
  const Model& model() const { return *model_; }
  Index computed_rows() const { return computed_rows_; }  // token rows that went through the model so far: what the work was

 private:
  PLUME_FUNCTION static KvCacheShape shape(const Model& model, const SessionOptions& options);
  // Runs the tokens that the cache does not hold yet, in chunks, so that long prompts need little memory and stop soon.
  PLUME_FUNCTION void compute();

  const Model* model_;
  Context context_;
  StopToken stop_;
  const LinearAdapters* adapter_;
  KvCache cache_;
  Sampler sampler_;
  std::vector<TokenId> tokens_;
  Tensor logits_;
  Index computed_rows_ = 0;
  Index logits_of_ = 0;  // the number of tokens that logits_ follows
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void Session::feed(std::span<const TokenId> ids) try {
  for (const TokenId id : ids)
    require(id >= 0 && id < model_->config().vocabulary, "[session] token ", id, " is not in a vocabulary of ",
            model_->config().vocabulary);
  require(static_cast<Index>(tokens_.size() + ids.size()) <= context(), "[session] ", tokens_.size() + ids.size(),
          " tokens do not fit the context of ", context(), ": shorten the text, or truncate() the session");
  tokens_.insert(tokens_.end(), ids.begin(), ids.end());
} catch (...) {
  rethrow_memory_failure("a session");
}

PLUME_FUNCTION TokenId Session::next(const SamplingOptions& sampling) try {
  require(static_cast<Index>(tokens_.size()) < context(), "[session] the context of ", context(), " tokens is full");
  sampler_.configure(sampling);
  if (tokens_.size() == tokens_.capacity()) tokens_.reserve(2 * tokens_.size());  // before the draw: a failure must not lose its token
  const TokenId id = sampler_.sample(logits(), tokens_);
  tokens_.push_back(id);
  return id;
} catch (...) {
  rethrow_memory_failure("a session");
}

PLUME_FUNCTION void Session::truncate(Index count) {
  require(count >= 0 && count <= static_cast<Index>(tokens_.size()), "[session] cannot keep ", count, " of ", tokens_.size(), " tokens");
  tokens_.resize(static_cast<std::size_t>(count));
  if (cache_.used() > count) cache_.truncate(count);
  logits_of_ = 0;
}

PLUME_FUNCTION KvCacheShape Session::shape(const Model& model, const SessionOptions& options) {
  const Config& config = model.config();
  require(options.context >= 0, "[session] context ", options.context, " is negative");
  require(config.position == PositionKind::rotary || options.context <= config.context, "[session] context ", options.context,
          " is more than the ", config.context, " positions the model has learned");
  return config.cache(options.context > 0 ? options.context : config.context, compute_type(model.decoder.embedding.weight.dtype()));
}

PLUME_FUNCTION void Session::compute() try {
  constexpr Index chunk = 256;
  const auto count = static_cast<Index>(tokens_.size());
  if (logits_of_ == count) return;
  // Logits belong to the end of the sequence: when it was cut there, its last token is computed again.
  if (cache_.used() == count) cache_.truncate(count - 1);
  const ContextScope scope(context_);
  const NoTape no_tape;
  // The context of a text with blanks sees itself, and goes through as a whole.
  const auto& infilling = model_->config().infilling;
  const Index whole = infilling ? std::find(tokens_.begin(), tokens_.end(), infilling->begin) - tokens_.begin() + 1 : 0;
  while (cache_.used() < count) {
    const auto pending = std::span<const TokenId>(tokens_).subspan(static_cast<std::size_t>(cache_.used()));
    const auto part = pending.first(std::min(pending.size(), static_cast<std::size_t>(std::max(chunk, whole - cache_.used()))));
    Pass pass{.segments = {{static_cast<Index>(part.size()), &cache_, adapter_}}, .stop = stop_};
    const Tensor hidden = model_->decoder.hidden(part, pass);
    computed_rows_ += hidden.rows();
    if (part.size() == pending.size())
      logits_ = model_->decoder.logits(hidden.rows(hidden.rows() - 1, hidden.rows()), AdaptedRows::all(1, adapter_));
    if (logits_.dtype() == DType::f64) logits_ = logits_.to(DType::f32);
  }
  logits_of_ = count;
} catch (...) {
  rethrow_memory_failure("a session");
}

}  // namespace plume::inline PLUME_ABI
#endif
