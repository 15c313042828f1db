#pragma once
// Text to token ids and back. A Tokenizer is a cheap immutable value: copies share one vocabulary, and any number of threads may use it.
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
// Whether special tokens show up in decoded text.
enum class SpecialTokens : std::uint8_t { skip, keep };

struct EncodeOptions {
  SpecialText special = SpecialText::plain;
  Begin begin = Begin::as_configured;
};

struct DecodeOptions {
  SpecialTokens special = SpecialTokens::skip;
};

class Tokenizer {
 public:
  Tokenizer() = default;  // none: false in a condition, and every use is an ArgumentError
  explicit Tokenizer(std::shared_ptr<const TokenizerModel> model) : model_(std::move(model)) {
    require(model_ != nullptr, "[Tokenizer] needs a model: use load_tokenizer, train_byte_bpe, character_tokenizer or byte_tokenizer");
  }

  // The ids of a text, in time O(n log n). ArgumentError: a character the vocabulary cannot express (characters only), bos asked
  // for where there is none, 4 GiB of text or more.
  PLUME_FUNCTION std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;

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

  // "byte-level BPE", "SentencePiece BPE", "characters" or "bytes".
  std::string_view kind() const { return model().kind(); }
  explicit operator bool() const { return model_ != nullptr; }
  const TokenizerModel& model() const {
    require(model_ != nullptr, "[Tokenizer] there is none: the model's files hold no tokenizer; load one with load_tokenizer");
    return *model_;
  }

 private:
  friend class StreamDecoder;

  PLUME_FUNCTION TokenId checked(TokenId id, std::string_view function) const;
  // `starts`: the next text token stands at the start of a text; read and written.
  PLUME_FUNCTION void append_decoded(std::string& text, TokenId id, bool& starts, const DecodeOptions& options) const;

  std::shared_ptr<const TokenizerModel> model_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const try {
  require(text.size() < no_symbol, "[encode] a text of ", text.size(), " bytes is too long; encode it in parts below 4 GiB");
  std::vector<TokenId> ids;
  const bool configured = options.begin == Begin::as_configured && model().vocabulary.begins_with_bos;
  if (options.begin == Begin::bos || configured) {
    require(bos().has_value(), "[encode] this tokenizer has no bos token; use Begin::nothing");
    ids.push_back(*bos());
  }
  TextPart part = TextPart::first;
  const auto plain = [&](std::string_view run) {
    if (!run.empty()) model().encode(run, part, ids);
    part = TextPart::later;
  };
  if (options.special == SpecialText::recognise) {
    while (const auto found = model().vocabulary.find_special(text)) {
      if (found->begin > 0) plain(text.substr(0, found->begin));
      part = TextPart::later;
      ids.push_back(found->id);
      text.remove_prefix(found->end);
    }
  }
  plain(text);
  return ids;
} catch (...) {
  rethrow_memory_failure("text and its tokens");
}

PLUME_FUNCTION std::string Tokenizer::decode(std::span<const TokenId> ids, const DecodeOptions& options) const try {
  std::string text;
  bool starts = true;
  for (const TokenId id : ids) append_decoded(text, id, starts, options);
  return text;
} catch (...) {
  rethrow_memory_failure("text and its tokens");
}

PLUME_FUNCTION TokenId Tokenizer::checked(TokenId id, std::string_view function) const {
  require(id >= 0 && id < vocabulary(), "[", function, "] token id ", id, " is outside the vocabulary of ", vocabulary(), " tokens");
  return id;
}

PLUME_FUNCTION void Tokenizer::append_decoded(std::string& text, TokenId id, bool& starts, const DecodeOptions& options) const {
  const Vocabulary& vocabulary = model().vocabulary;
  if (vocabulary.is_special(checked(id, "decode"))) {
    if (options.special == SpecialTokens::keep) text.append(vocabulary.pieces[static_cast<std::size_t>(id)]);
    if (id == vocabulary.bos) starts = true;
    return;
  }
  std::string_view bytes = vocabulary.bytes[static_cast<std::size_t>(id)];
  if (std::exchange(starts, false) && model().adds_leading_space() && bytes.starts_with(' ')) bytes.remove_prefix(1);
  text.append(bytes);
}

}  // namespace plume::inline PLUME_ABI
#endif
