#pragma once
// Completing a prompt.
#include <chrono>
#include <functional>

#include "plume/generate/session.hpp"

namespace plume::inline PLUME_ABI {

enum class FinishReason : std::uint8_t {
  stop,
  length,
  cancelled
};  // an end token or stop string; max_tokens or a full context; the StopToken

inline std::string_view name_of(FinishReason reason) {
  constexpr std::string_view names[] = {"stop", "length", "cancelled"};
  return names[static_cast<std::size_t>(reason)];
}

struct GenerateOptions {
  Index max_tokens = 128;
  SamplingOptions sampling = {};
  std::vector<std::string> stop = {};    // texts that end the answer and are not part of it
  std::vector<TokenId> end_tokens = {};  // that end the answer, beside the model's own
  Index context = 0;                     // 0: what the model was made for
  int threads = 0;                       // 0: all CPUs of the process
  StopToken cancel = {};
  const LinearAdapters* adapter = nullptr;  // an Adapter of the model; used by generate(model, …), a Session has its own
  std::vector<TokenId> suppressed = {};     // never written; used by generate(model, …), a Session has its own
};

struct Generated {
  std::string text;          // the completion, without the prompt
  std::vector<TokenId> ids;  // its tokens, an end token included
  Index prompt_tokens = 0;   // or those of an encoder-decoder's source
  FinishReason finish_reason = FinishReason::length;
  double prompt_seconds = 0, generate_seconds = 0;
};

// Receives text as it is written; never a part of a stop string, and never half a character: one that max_tokens or a cancel cut stays
// out, and comes whole when the same session goes on.
using OnText = std::function<void(std::string_view piece)>;

// Completes the sequence of a session in place, which keeps everything for a next turn. A cancelled call returns what it has.
PLUME_FUNCTION Generated generate(Session& session, const GenerateOptions& options, const OnText& on_text = {});

// The tokens a prompt becomes: an empty one is the model's begin token. For a model that fills blanks, the one for a text that goes on and
// sop follow, as from ChatGLM's tokenizer.
PLUME_FUNCTION std::vector<TokenId> prompt_tokens(const Model& model, std::string_view prompt);

// Completes a prompt:  generate(model, "Once upon a time", {.max_tokens = 100}, [](std::string_view piece) { std::cout << piece; });
PLUME_FUNCTION Generated generate(const Model& model, std::string_view prompt, const GenerateOptions& options = {},
                                  const OnText& on_text = {});

// What an encoder-decoder writes of a source:  generate(model, "translate English to German: Hello", {.sampling = {.temperature = 0}});
// beam_search() in generate/beam.hpp looks for the most probable text instead. read_beam_options(directory).suppressed are the tokens that
// a model's files ban, such as Marian's padding.
PLUME_FUNCTION Generated generate(const EncoderDecoder& model, std::string_view source, const GenerateOptions& options = {},
                                  const OnText& on_text = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/generate/stop_strings.hpp"
#include "plume/tokenizer/stream_decoder.hpp"

namespace plume::inline PLUME_ABI {

namespace generate_detail {
inline SessionOptions session_options(const GenerateOptions& options) {
  return {.context = options.context,
          .threads = options.threads,
          .stop = options.cancel,
          .adapter = options.adapter,
          .suppressed = options.suppressed};
}
}  // namespace generate_detail

PLUME_FUNCTION Generated generate(Session& session, const GenerateOptions& options, const OnText& on_text) try {
  const Tokenizer& tokenizer = session.tokenizer();
  require(options.max_tokens >= 0, "[generate] max_tokens is ", options.max_tokens);
  require(static_cast<bool>(tokenizer), "[generate] the model has no tokenizer: use Session for token ids");
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); };

  Generated result;
  result.prompt_tokens = static_cast<Index>(session.source().empty() ? session.tokens().size() : session.source().size());
  StreamDecoder decoder(tokenizer);
  // A model may know more tokens than its tokenizer (padded vocabularies): those are no text.
  const auto text_of = [&](TokenId id) { return id < tokenizer.vocabulary() ? decoder.push(id) : std::string(); };
  // The prompt's own text is not shown again; what fills a blank is a text of its own.
  auto told = session.tokens().begin();
  if (const auto& infilling = session.config().infilling) told = std::find(told, session.tokens().end(), infilling->begin);
  for (; told != session.tokens().end(); ++told) text_of(*told);
  StopStrings stops(options.stop);
  const auto show = [&](const std::string& text) {
    if (text.empty()) return;
    result.text.append(text);
    if (on_text) on_text(text);
  };
  const auto is_end = [&](TokenId id) {
    const auto& ends = session.config().end_tokens;
    const auto& more = options.end_tokens;
    return std::find(ends.begin(), ends.end(), id) != ends.end() || std::find(more.begin(), more.end(), id) != more.end() ||
           tokenizer.eos() == id;
  };

  try {
    auto start = Clock::now();
    if (options.max_tokens > 0) session.logits();
    result.prompt_seconds = seconds_since(start);
    start = Clock::now();
    while (static_cast<Index>(result.ids.size()) < options.max_tokens && static_cast<Index>(session.tokens().size()) < session.context()) {
      const TokenId id = session.next(options.sampling);
      result.ids.push_back(id);
      result.generate_seconds = seconds_since(start);
      if (is_end(id)) {
        result.finish_reason = FinishReason::stop;
        break;
      }
      show(stops.push(text_of(id)));
      if (stops.stopped()) {
        result.finish_reason = FinishReason::stop;
        break;
      }
    }
  } catch (const Cancelled&) {
    result.finish_reason = FinishReason::cancelled;
  }
  if (!stops.stopped()) show(stops.finish());
  return result;
} catch (...) {
  rethrow_memory_failure("a generated text");
}

PLUME_FUNCTION std::vector<TokenId> prompt_tokens(const Model& model, std::string_view prompt) try {
  require(static_cast<bool>(model.tokenizer), "[generate] the model has no tokenizer: use Session for token ids");
  const auto& infilling = model.config().infilling;
  const bool goes_on = infilling && infilling->continuation >= 0;
  // ChatGLM's tokenizer would put the two tokens there itself
  std::vector<TokenId> ids = model.tokenizer.encode(prompt, {.end = goes_on ? End::nothing : End::as_configured});
  if (goes_on) ids.insert(ids.end(), {infilling->continuation, infilling->begin});
  if (!ids.empty()) return ids;
  if (!model.config().begin_tokens.empty()) return {model.config().begin_tokens.front()};
  if (const auto begin = model.tokenizer.bos()) return {*begin};
  throw ArgumentError("[generate] the prompt is empty and the model has no begin token: give a prompt");
} catch (...) {
  rethrow_memory_failure("a generated text");
}

PLUME_FUNCTION Generated generate(const Model& model, std::string_view prompt, const GenerateOptions& options, const OnText& on_text) try {
  Session session(model, generate_detail::session_options(options));
  session.feed(prompt_tokens(model, prompt));
  return generate(session, options, on_text);
} catch (...) {
  rethrow_memory_failure("a generated text");
}

PLUME_FUNCTION Generated generate(const EncoderDecoder& model, std::string_view source, const GenerateOptions& options,
                                  const OnText& on_text) try {
  SessionOptions of_session = generate_detail::session_options(options);
  const Config& config = model.config.decoder;
  if (options.context == 0 && config.position == PositionKind::relative)
    of_session.context = std::max(config.context, options.max_tokens + 1);
  Session session(model, model.tokenizer.encode(source), of_session);
  return generate(session, options, on_text);
} catch (...) {
  rethrow_memory_failure("a generated text");
}

}  // namespace plume::inline PLUME_ABI
#endif
