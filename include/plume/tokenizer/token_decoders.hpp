#pragma once
// The decoders of tokenizer.json [huggingface/tokenizers tokenizers/src/decoders], as data, and a chain of them that streams: a stage keeps
// back only what it must see more of.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/pre_tokenizers.hpp"

namespace plume::inline PLUME_ABI {

namespace token_decoders {
struct ByteLevel {};
struct Bpe {
  std::string suffix;
};
struct WordPiece {
  std::string prefix;
  bool cleanup = true;
};
struct Metaspace {
  std::string replacement;
  PrependScheme prepend = PrependScheme::always;
};
struct Ctc {
  std::string pad, delimiter;
  bool cleanup = true;
};
struct Fuse {};
struct ByteFallback {};
struct Strip {
  char32_t content;
  std::size_t start, stop;
};
struct Replace {
  TextPattern pattern;
  std::string content;
};
}  // namespace token_decoders

using DecodeStep =
    std::variant<token_decoders::ByteLevel, token_decoders::Bpe, token_decoders::WordPiece, token_decoders::Metaspace, token_decoders::Ctc,
                 token_decoders::Fuse, token_decoders::ByteFallback, token_decoders::Strip, token_decoders::Replace>;

// The bytes of a token as ByteLevel spells them; a token with a character that spells no byte stands for itself.
PLUME_FUNCTION std::string byte_level_bytes(std::string_view token);

class DecodeChain {
 public:
  explicit DecodeChain(const std::vector<DecodeStep>& steps) : steps_(&steps), states_(steps.size() + 1) {}
  // One more token; its text is appended, as far as it is certain.
  PLUME_FUNCTION void push(std::string token, std::string& text);
  PLUME_FUNCTION void finish(std::string& text);

 private:
  struct State {
    bool started = false, fused = false;  // fused: what arrives are parts of one token
    std::string held, previous;
    std::size_t count = 0;
  };
  PLUME_FUNCTION void feed(std::size_t stage, std::string token, std::string& text);
  PLUME_FUNCTION void end(std::size_t stage, std::string& text);
  PLUME_FUNCTION void flush_bytes(std::size_t stage, std::string& text);

  const std::vector<DecodeStep>* steps_;
  std::vector<State> states_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/tokenizer/byte_characters.hpp"

namespace plume::inline PLUME_ABI {

namespace token_decoders {

inline std::string replaced(std::string text, std::string_view what, std::string_view with) {
  if (what.empty()) return text;
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + with.size())) text.replace(at, what.size(), with);
  return text;
}
inline std::string cleaned(std::string text) {
  for (const auto& [what, with] : {std::pair(" .", "."), std::pair(" ?", "?"), std::pair(" !", "!"), std::pair(" ,", ","),
                                   std::pair(" ' ", "'"), std::pair(" n't", "n't"), std::pair(" 'm", "'m"), std::pair(" do not", " don't"),
                                   std::pair(" 's", "'s"), std::pair(" 've", "'ve"), std::pair(" 're", "'re")})
    text = replaced(std::move(text), what, with);
  return text;
}
inline int hexadecimal(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace token_decoders

PLUME_FUNCTION std::string byte_level_bytes(std::string_view token) { return characters_to_bytes(token).value_or(std::string(token)); }

PLUME_FUNCTION void DecodeChain::push(std::string token, std::string& text) { feed(0, std::move(token), text); }
PLUME_FUNCTION void DecodeChain::finish(std::string& text) { end(0, text); }

PLUME_FUNCTION void DecodeChain::flush_bytes(std::size_t stage, std::string& text) {
  std::string bytes = std::exchange(states_[stage].held, std::string());
  if (bytes.empty()) return;
  if (utf8_error(bytes) == bytes.size()) return feed(stage + 1, std::move(bytes), text);
  for (std::size_t i = 0; i < bytes.size(); ++i) feed(stage + 1, "\xef\xbf\xbd", text);
}

PLUME_FUNCTION void DecodeChain::feed(std::size_t stage, std::string token, std::string& text) {
  namespace td = token_decoders;
  if (stage == steps_->size()) {
    text.append(token);
    return;
  }
  State& state = states_[stage];
  const bool first = !std::exchange(state.started, true);
  const DecodeStep& step = (*steps_)[stage];
  if (std::holds_alternative<td::ByteLevel>(step)) {
    states_[stage + 1].fused = true;
    return feed(stage + 1, byte_level_bytes(token), text);
  }
  if (std::holds_alternative<td::Fuse>(step)) {
    states_[stage + 1].fused = true;
    return feed(stage + 1, std::move(token), text);
  }
  if (state.fused && !std::holds_alternative<td::Strip>(step)) {  // must see the whole token
    state.held.append(token);
    return;
  }
  if (state.fused) states_[stage + 1].fused = true;
  if (const auto* bpe = std::get_if<td::Bpe>(&step)) {  // the suffix of the last token is dropped, of the others becomes a space
    if (!first) feed(stage + 1, td::replaced(std::move(state.previous), bpe->suffix, " "), text);
    state.previous = std::move(token);
  } else if (const auto* piece = std::get_if<td::WordPiece>(&step)) {
    if (!first) token = !piece->prefix.empty() && token.starts_with(piece->prefix) ? token.substr(piece->prefix.size()) : " " + token;
    feed(stage + 1, piece->cleanup ? td::cleaned(std::move(token)) : std::move(token), text);
  } else if (const auto* space = std::get_if<td::Metaspace>(&step)) {
    const bool drops = first && space->prepend != PrependScheme::never;
    feed(stage + 1, td::replaced(std::move(token), space->replacement, drops ? "" : " "), text);
  } else if (const auto* ctc = std::get_if<td::Ctc>(&step)) {
    if (!first && token == state.previous) return;
    state.previous = token;
    token = td::replaced(std::move(token), ctc->pad, "");
    if (ctc->cleanup) token = td::replaced(td::cleaned(std::move(token)), ctc->delimiter, " ");
    if (!token.empty()) feed(stage + 1, std::move(token), text);
  } else if (std::holds_alternative<td::ByteFallback>(step)) {
    const bool shaped = token.size() == 6 && token.starts_with("<0x") && token.back() == '>';
    const int high = shaped ? td::hexadecimal(token[3]) : -1, low = shaped ? td::hexadecimal(token[4]) : -1;
    if (high >= 0 && low >= 0) {
      state.held.push_back(static_cast<char>(static_cast<unsigned char>(high * 16 + low)));
      return;
    }
    flush_bytes(stage, text);
    feed(stage + 1, std::move(token), text);
  } else if (const auto* strip = std::get_if<td::Strip>(&step)) {
    std::string content;
    append_utf8(content, strip->content);
    if (!state.fused) state.count = 0, state.held.clear();
    std::string_view rest = token;
    // count: characters taken from the front; beyond `start` once something else was seen
    while (state.count < strip->start && rest.starts_with(content)) rest.remove_prefix(content.size()), ++state.count;
    if (!rest.empty()) state.count = strip->start;
    std::string all = state.held + std::string(rest);
    std::size_t stop = 0, keep = all.size();
    while (stop < strip->stop && std::string_view(all).substr(0, keep).ends_with(content)) keep -= content.size(), ++stop;
    state.held = all.substr(keep);
    all.resize(keep);
    if (!state.fused) state.held.clear();
    feed(stage + 1, std::move(all), text);
  } else if (const auto* replace = std::get_if<td::Replace>(&step)) {
    std::string out;
    std::size_t at = 0;
    replace->pattern.each(token, [&](Piece match) {
      out.append(token, at, match.begin - at);
      out.append(replace->content);
      at = match.end;
    });
    out.append(token, at);
    feed(stage + 1, std::move(out), text);
  }
}

PLUME_FUNCTION void DecodeChain::end(std::size_t stage, std::string& text) {
  namespace td = token_decoders;
  if (stage == steps_->size()) return;
  State& state = states_[stage];
  const DecodeStep& step = (*steps_)[stage];
  if (state.fused && !std::holds_alternative<td::Strip>(step) && !std::holds_alternative<td::Fuse>(step) &&
      !std::holds_alternative<td::ByteLevel>(step)) {
    state.fused = state.started = false;
    std::string whole = std::exchange(state.held, std::string());
    feed(stage, std::move(whole), text);
  }
  if (const auto* bpe = std::get_if<td::Bpe>(&step)) {
    if (state.started) feed(stage + 1, td::replaced(std::move(state.previous), bpe->suffix, ""), text);
  } else if (std::holds_alternative<td::ByteFallback>(step)) {
    flush_bytes(stage, text);
  }
  end(stage + 1, text);
}

}  // namespace plume::inline PLUME_ABI
#endif
