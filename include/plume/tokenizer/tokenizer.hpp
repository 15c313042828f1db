#pragma once
// Text to token ids and back. A Tokenizer is a cheap immutable value: copies share one vocabulary, and any number of threads may use it.
// Most kinds remember words that they met, in a table that its copies share as well: up to some 48 MB for each thread that encodes at the
// same time as others.
//
//   Tokenizer tokenizer = load_tokenizer("path/to/model");        // tokenizer_files.hpp
//   std::vector<TokenId> ids = tokenizer.encode("Hello world");
//   std::string text = tokenizer.decode(ids);
#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/tokenizer/tokenizer_model.hpp"

namespace plume::inline PLUME_ABI {

// Whether text that spells a special token, such as "<|endoftext|>", becomes that token. Text from users must stay plain.
enum class SpecialText : std::uint8_t { plain, recognise };
// What stands before the text: the bos token, nothing, or what the tokenizer's files say.
enum class Begin : std::uint8_t { as_configured, bos, nothing };
// What stands behind it: nothing, or what the tokenizer's files say, such as [SEP].
enum class End : std::uint8_t { as_configured, nothing };

struct EncodeOptions {
  SpecialText special = SpecialText::plain;
  Begin begin = Begin::as_configured;
  End end = End::as_configured;
};

// The same spans counted in characters (code points; each malformed byte is one): every character that a span touches.
PLUME_FUNCTION std::vector<TokenSpan> character_spans(std::string_view text, std::span<const TokenSpan> spans);

class Tokenizer {
 public:
  Tokenizer() = default;  // none: false in a condition, and every use is an ArgumentError
  explicit Tokenizer(std::shared_ptr<const TokenizerModel> model) : model_(std::move(model)) {
    require(model_ != nullptr, "[Tokenizer] needs a model: use load_tokenizer, train_byte_bpe, character_tokenizer or byte_tokenizer");
  }

  // The ids of a text, in time O(n log n). ArgumentError: a character the vocabulary cannot express (characters only), bos asked
  // for where there is none, 4 GiB of text or more.
  PLUME_FUNCTION std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // The same ids, and for each the bytes of `text` it stands for: tokens around the text have an empty span, and the tokens of one
  // character that was cut into several (or changed by a normaliser) may share or split its bytes.
  PLUME_FUNCTION EncodedText encode_with_spans(std::string_view text, const EncodeOptions& options = {}) const;

  // The text of ids: valid UTF-8 where the ids came from valid UTF-8. For the SentencePiece kind the space that encoding put
  // before a text, at the start and after bos, is dropped. ArgumentError: an id outside the vocabulary.
  PLUME_FUNCTION std::string decode(std::span<const TokenId> ids, const DecodeOptions& options = {}) const;

  Index vocabulary() const { return static_cast<Index>(model().vocabulary.size()); }
  std::optional<TokenId> bos() const { return model().vocabulary.bos; }
  std::optional<TokenId> eos() const { return model().vocabulary.eos; }
  bool is_special(TokenId id) const { return model().vocabulary.is_special(checked(id, "is_special")); }

  // The vocabulary's entry as its files spell it: "Ġthe" for byte-level BPE, "<0x0A>" for a byte of the SentencePiece kind.
  // find(piece(id)) == id. decode({id}) gives the text instead. ArgumentError: an id outside the vocabulary.
  std::string piece(TokenId id) const { return model().vocabulary.pieces[static_cast<std::size_t>(checked(id, "piece"))]; }
  std::optional<TokenId> find(std::string_view piece) const { return model().vocabulary.find(piece); }

  // "byte-level BPE", "BPE", "Unigram", "WordPiece", "WordLevel", "SentencePiece BPE", "characters", "bytes" ...
  std::string_view kind() const { return model().kind(); }
  explicit operator bool() const { return model_ != nullptr; }
  const TokenizerModel& model() const {
    require(model_ != nullptr, "[Tokenizer] there is none: the model's files hold no tokenizer; load one with load_tokenizer");
    return *model_;
  }

 private:
  friend class StreamDecoder;

  PLUME_FUNCTION TokenId checked(TokenId id, std::string_view function) const;
  PLUME_FUNCTION EncodedText encode(std::string_view text, const EncodeOptions& options, Spans spans) const;

  std::shared_ptr<const TokenizerModel> model_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/utf8.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION EncodedText Tokenizer::encode(std::string_view text, const EncodeOptions& options, Spans spans) const try {
  require(text.size() < no_symbol, "[encode] a text of ", text.size(), " bytes is too long; encode it in parts below 4 GiB");
  const Vocabulary& vocabulary = model().vocabulary;
  EncodedText out;
  if (options.begin == Begin::as_configured && !vocabulary.before.empty()) {
    out.ids = vocabulary.before;
  } else if (options.begin == Begin::bos || (options.begin == Begin::as_configured && vocabulary.begins_with_bos)) {
    require(bos().has_value(), "[encode] this tokenizer has no bos token; use Begin::nothing");
    out.ids.push_back(*bos());
  }
  if (spans == Spans::keep) out.spans.resize(out.ids.size());
  if (options.special == SpecialText::recognise)
    model().encode_special(text, TextPart::first, spans, out);
  else if (!text.empty() && spans == Spans::keep)
    model().encode_with_spans(text, TextPart::first, out);
  else if (!text.empty())
    model().encode(text, TextPart::first, out.ids);
  if (options.end == End::as_configured) out.ids.insert(out.ids.end(), vocabulary.after.begin(), vocabulary.after.end());
  if (spans == Spans::keep) out.spans.resize(out.ids.size(), {text.size(), text.size()});
  return out;
} catch (...) {
  rethrow_memory_failure("text and its tokens");
}

PLUME_FUNCTION std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  return encode(text, options, Spans::skip).ids;
}

PLUME_FUNCTION EncodedText Tokenizer::encode_with_spans(std::string_view text, const EncodeOptions& options) const {
  return encode(text, options, Spans::keep);
}

PLUME_FUNCTION std::string Tokenizer::decode(std::span<const TokenId> ids, const DecodeOptions& options) const try {
  std::string text;
  const std::unique_ptr<TokenDecoder> decoder = model().decoder(options);
  for (const TokenId id : ids) decoder->push(checked(id, "decode"), text);
  decoder->finish(text);
  return text;
} catch (...) {
  rethrow_memory_failure("text and its tokens");
}

PLUME_FUNCTION std::vector<TokenSpan> character_spans(std::string_view text, std::span<const TokenSpan> spans) try {
  std::vector<std::uint32_t> character(text.size() + 1);  // of each byte
  std::uint32_t count = 0;
  for (std::size_t at = 0, length = 0; at < text.size(); at += length, ++count) {
    length = std::max<std::size_t>(utf8_length(text, at), 1);
    for (std::size_t i = 0; i < length; ++i) character[at + i] = count;
  }
  character[text.size()] = count;
  std::vector<TokenSpan> result;
  for (const TokenSpan& span : spans) {
    require(span.begin <= span.end && span.end <= text.size(), "[character_spans] the span ", span.begin, " to ", span.end,
            " lies outside a text of ", text.size(), " bytes");
    const std::size_t begin = character[span.begin];
    result.push_back({begin, span.begin == span.end ? begin : character[span.end - 1] + std::size_t{1}});
  }
  return result;
} catch (...) {
  rethrow_memory_failure("the spans of tokens");
}

PLUME_FUNCTION TokenId Tokenizer::checked(TokenId id, std::string_view function) const {
  require(id >= 0 && id < vocabulary(), "[", function, "] token id ", id, " is outside the vocabulary of ", vocabulary(), " tokens");
  return id;
}

}  // namespace plume::inline PLUME_ABI
#endif
