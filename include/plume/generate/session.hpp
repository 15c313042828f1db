#pragma once
// Session: one sequence that grows. It owns what generation needs to remember (cache, sampler, threads); the model is shared and constant.
//   Session session(model, {.context = 2048, .threads = 2});
//   session.feed(ids);
//   TokenId next = session.next({.temperature = 0.7f});
// Of an encoder-decoder it is what the decoder writes of a source:  Session session(model, source_ids);
#include "plume/generate/sampler.hpp"
#include "plume/kernels/parallel/context.hpp"
#include "plume/models/encoder_decoder.hpp"
#include "plume/models/model.hpp"

namespace plume::inline PLUME_ABI {

struct SessionOptions {
  Index context = 0;                        // tokens remembered at most; 0: what the model was made for
  int threads = 0;                          // 0: all CPUs of the process
  StopToken stop = {};                      // raised from another thread: the running call throws Cancelled, and the session can go on
  const LinearAdapters* adapter = nullptr;  // that the sequence goes through; it must outlive the session
  std::vector<TokenId> suppressed = {};     // never written: their scores are -infinity
};

// One thread at a time; any number of sessions share a model, which must outlive them.
class Session {
 public:
  explicit Session(const Model& model, const SessionOptions& options = {}) try
      : model_(&model),
        context_(ContextOptions{.threads = options.threads}),
        stop_(options.stop),
        adapter_(options.adapter),
        suppressed_(options.suppressed),
        cache_(shape(model.config(), model.decoder.embedding.weight, options)) {
    check_suppressed();
  } catch (...) {
    rethrow_memory_failure("a session");
  }

  // What an encoder-decoder writes of a source, which is encoded once, when logits are needed. The sequence is what the decoder has
  // written: it begins with the model's start token. ArgumentError: the source is empty; the model has no start token.
  Session(const EncoderDecoder& model, std::span<const TokenId> source, const SessionOptions& options = {}) try
      : pair_(&model),
        context_(ContextOptions{.threads = options.threads}),
        stop_(options.stop),
        adapter_(options.adapter),
        suppressed_(options.suppressed),
        source_(source.begin(), source.end()),
        cache_(shape(model.config.decoder, model.target_table(), options)) {
    require(!source_.empty(), "[session] the source has no tokens");
    require(!config().begin_tokens.empty(), "[session] the model has no start token");
    check_suppressed();
    feed(config().begin_tokens);
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
    memory_ = {};
  }

  const std::vector<TokenId>& tokens() const { return tokens_; }
  const std::vector<TokenId>& source() const { return source_; }  // that an encoder-decoder reads; else empty
  Index context() const { return cache_.capacity(); }
  const Config& config() const { return pair_ ? pair_->config.decoder : model_->config(); }  // of the decoder
  const Tokenizer& tokenizer() const { return pair_ ? pair_->tokenizer : model_->tokenizer; }
  Index computed_rows() const { return computed_rows_; }  // token rows that went through the model so far: what the work was

 private:
  PLUME_FUNCTION static KvCacheShape shape(const Config& config, const Tensor& table, const SessionOptions& options);
  PLUME_FUNCTION void check_suppressed() const;
  // Runs the tokens that the cache does not hold yet, in chunks, so that long prompts need little memory and stop soon.
  PLUME_FUNCTION void compute();

  const Model* model_ = nullptr;  // this or the next
  const EncoderDecoder* pair_ = nullptr;
  Context context_;
  StopToken stop_;
  const LinearAdapters* adapter_;
  std::vector<TokenId> suppressed_, source_;
  Memory memory_;  // of the source; empty until logits are needed
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
    require(id >= 0 && id < config().vocabulary, "[session] token ", id, " is not in a vocabulary of ", config().vocabulary);
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

PLUME_FUNCTION KvCacheShape Session::shape(const Config& config, const Tensor& table, const SessionOptions& options) {
  require(options.context >= 0, "[session] context ", options.context, " is negative");
  const bool has_no_end = config.position == PositionKind::rotary || config.position == PositionKind::relative;
  require(has_no_end || options.context <= config.context, "[session] context ", options.context, " is more than the ", config.context,
          " positions the model has learned");
  return config.cache(options.context > 0 ? options.context : config.context, compute_type(table.dtype()));
}

PLUME_FUNCTION void Session::check_suppressed() const {
  for (const TokenId id : suppressed_)
    require(id >= 0 && id < config().vocabulary, "[session] the suppressed token ", id, " is not in a vocabulary of ", config().vocabulary);
}

PLUME_FUNCTION void Session::compute() try {
  constexpr Index chunk = 256;
  const auto count = static_cast<Index>(tokens_.size());
  if (logits_of_ == count) return;
  // Logits belong to the end of the sequence: when it was cut there, its last token is computed again.
  if (cache_.used() == count) cache_.truncate(count - 1);
  const ContextScope scope(context_);
  const NoTape no_tape;
  if (pair_ && memory_.sequences.empty())
    memory_ = pair_->encode(source_, {.segments = {{static_cast<Index>(source_.size()), nullptr, adapter_}}, .stop = stop_});
  // The context of a text with blanks sees itself, and goes through as a whole.
  const auto& infilling = config().infilling;
  const Index whole = infilling ? std::find(tokens_.begin(), tokens_.end(), infilling->begin) - tokens_.begin() + 1 : 0;
  while (cache_.used() < count) {
    const auto pending = std::span<const TokenId>(tokens_).subspan(static_cast<std::size_t>(cache_.used()));
    const auto part = pending.first(std::min(pending.size(), static_cast<std::size_t>(std::max(chunk, whole - cache_.used()))));
    Pass pass{.segments = {{static_cast<Index>(part.size()), &cache_, adapter_}}, .stop = stop_};
    const Tensor hidden = pair_ ? pair_->hidden(memory_, part, pass) : model_->decoder.hidden(part, pass);
    computed_rows_ += hidden.rows();
    if (part.size() < pending.size()) continue;
    const Tensor last = hidden.rows(hidden.rows() - 1, hidden.rows());
    const AdaptedRows adapted = AdaptedRows::all(1, adapter_);
    logits_ = pair_ ? pair_->logits(last, adapted) : model_->decoder.logits(last, adapted);
    if (logits_.dtype() == DType::f64) logits_ = logits_.to(DType::f32);
    for (const TokenId id : suppressed_) logits_.writable<float>()[id] = -std::numeric_limits<float>::infinity();
  }
  logits_of_ = count;
} catch (...) {
  rethrow_memory_failure("a session");
}

}  // namespace plume::inline PLUME_ABI
#endif
