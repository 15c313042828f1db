#pragma once
// What stands behind a Tokenizer: a vocabulary, and one class a kind that turns plain text into ids.
//
// A kind writes encode() (plain text to ids), kind() and files(). It overrides encode_with_spans() only if its tokens' bytes do not add
// up to the text (because it normalises), encode_special() only if its files say more about special tokens than their spelling, and
// decoder() only if text is not the tokens' bytes in a row. Ids around a text (bos, eos, [CLS] ...) are data: Vocabulary::before, after.
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/tokenizer/merge_symbols.hpp"

namespace plume::inline PLUME_ABI {

// Entry i of `pieces` and `bytes` belongs to token id i. Built once, then constant; the index holds views into `pieces`.
class Vocabulary {
 public:
  std::vector<std::string> pieces;  // as the files spell them
  std::vector<std::string> bytes;   // what a token adds to a text; empty for special tokens
  std::optional<TokenId> bos, eos;
  bool begins_with_bos = false;        // what the files say
  std::vector<TokenId> before, after;  // what the files put around a text; an empty `before` with begins_with_bos means {bos}

  PLUME_FUNCTION Vocabulary(std::vector<std::string> spelled, std::vector<std::string> text, const std::vector<TokenId>& special);
  Vocabulary(Vocabulary&&) noexcept = default;  // moving a vector leaves its strings where they are
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  std::size_t size() const { return pieces.size(); }
  bool is_special(TokenId id) const { return special_[static_cast<std::size_t>(id)] != 0; }
  PLUME_FUNCTION std::optional<TokenId> find(std::string_view piece) const;
  PLUME_FUNCTION std::vector<TokenId> special() const;

  struct SpecialMatch {
    std::size_t begin, end;
    TokenId id;
  };
  // The leftmost special token spelled in the text, the longest one if several start there.
  PLUME_FUNCTION std::optional<SpecialMatch> find_special(std::string_view text) const;

 private:
  std::vector<char> special_;
  std::array<std::vector<TokenId>, 256> special_by_first_byte_;  // longest first
  std::unordered_map<std::string_view, TokenId> index_;
};

enum class TextPart : std::uint8_t { first, later };  // later: a special token or other text came before
// Whether special tokens show up in decoded text.
enum class SpecialTokens : std::uint8_t { skip, keep };

struct DecodeOptions {
  SpecialTokens special = SpecialTokens::skip;
};

// Bytes [begin, end) of the text that was encoded; empty for a token that stands for no text, such as bos.
struct TokenSpan {
  std::size_t begin = 0, end = 0;
  bool operator==(const TokenSpan&) const = default;
};

// spans[i] belongs to ids[i].
struct EncodedText {
  std::vector<TokenId> ids;
  std::vector<TokenSpan> spans;
};
enum class Spans : std::uint8_t { skip, keep };

struct TokenizerFile {
  std::string name, content;
};

// Ids to text, one after the other. What push() and finish() append, joined, is the text. A fresh one for each text.
class TokenDecoder {
 public:
  virtual ~TokenDecoder() = default;
  virtual void push(TokenId id, std::string& text) = 0;  // id inside the vocabulary
  virtual void finish(std::string&) {}                   // what was kept back to see what follows
  virtual std::unique_ptr<TokenDecoder> clone() const = 0;
};

class TokenizerModel {
 public:
  const Vocabulary vocabulary;

  virtual ~TokenizerModel() = default;
  virtual std::string_view kind() const = 0;
  // Appends the ids of plain, non-empty text: no special token, however the text is spelled.
  virtual void encode(std::string_view text, TextPart part, std::vector<TokenId>& ids) const = 0;
  // The same, and for each id the bytes of `text` it stands for. This one lays the tokens' bytes side by side; the leading space that a
  // model adds belongs to no byte.
  PLUME_FUNCTION virtual void encode_with_spans(std::string_view text, TextPart part, EncodedText& out) const;
  // Text in which special tokens are meant. This one cuts the text at their spellings, leftmost and longest first.
  PLUME_FUNCTION virtual void encode_special(std::string_view text, TextPart part, Spans spans, EncodedText& out) const;
  // Whether encode() puts a space before the first part, which decoding takes away again.
  virtual bool adds_leading_space() const { return false; }
  // Whether such a space is dropped behind every bos, not only at the start.
  virtual bool starts_again_at_bos() const { return true; }
  // This one writes the tokens' bytes in a row. The decoder lives no longer than the model.
  PLUME_FUNCTION virtual std::unique_ptr<TokenDecoder> decoder(const DecodeOptions& options) const;
  // The files that load_tokenizer() reads back.
  virtual std::vector<TokenizerFile> files() const = 0;

 protected:
  explicit TokenizerModel(Vocabulary entries) : vocabulary(std::move(entries)) {}
  TokenizerModel(const TokenizerModel&) = delete;
  TokenizerModel& operator=(const TokenizerModel&) = delete;
};

// The decoder of most kinds: bytes in a row, special tokens skipped or spelled, the space that encoding added taken away.
class BytesDecoder final : public TokenDecoder {
 public:
  BytesDecoder(const TokenizerModel& model, const DecodeOptions& options) : model_(&model), options_(options) {}
  void push(TokenId id, std::string& text) override {
    const Vocabulary& vocabulary = model_->vocabulary;
    if (vocabulary.is_special(id)) {
      if (options_.special == SpecialTokens::keep) text.append(vocabulary.pieces[static_cast<std::size_t>(id)]);
      if (id == vocabulary.bos && model_->starts_again_at_bos()) starts_ = true;
      return;
    }
    std::string_view bytes = vocabulary.bytes[static_cast<std::size_t>(id)];
    if (std::exchange(starts_, false) && model_->adds_leading_space() && bytes.starts_with(' ')) bytes.remove_prefix(1);
    text.append(bytes);
  }
  std::unique_ptr<TokenDecoder> clone() const override { return std::make_unique<BytesDecoder>(*this); }

 private:
  const TokenizerModel* model_;
  DecodeOptions options_;
  bool starts_ = true;  // the next text token stands at the start of a text
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Vocabulary::Vocabulary(std::vector<std::string> spelled, std::vector<std::string> text, const std::vector<TokenId>& special)
    : pieces(std::move(spelled)), bytes(std::move(text)), special_(pieces.size(), 0) {
  index_.reserve(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) index_.emplace(pieces[i], static_cast<TokenId>(i));
  for (const TokenId id : special) {
    const auto at = static_cast<std::size_t>(id);
    if (std::exchange(special_[at], char{1}) != 0) continue;
    bytes[at].clear();
    if (!pieces[at].empty()) special_by_first_byte_[static_cast<unsigned char>(pieces[at][0])].push_back(id);
  }
  for (auto& ids : special_by_first_byte_)
    std::sort(ids.begin(), ids.end(), [&](TokenId a, TokenId b) {
      const std::size_t first = pieces[static_cast<std::size_t>(a)].size(), second = pieces[static_cast<std::size_t>(b)].size();
      return first != second ? first > second : a < b;
    });
}

PLUME_FUNCTION std::optional<TokenId> Vocabulary::find(std::string_view piece) const {
  const auto found = index_.find(piece);
  return found == index_.end() ? std::nullopt : std::optional<TokenId>(found->second);
}

PLUME_FUNCTION std::vector<TokenId> Vocabulary::special() const {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < special_.size(); ++i)
    if (special_[i] != 0) ids.push_back(static_cast<TokenId>(i));
  return ids;
}

PLUME_FUNCTION std::optional<Vocabulary::SpecialMatch> Vocabulary::find_special(std::string_view text) const {
  for (std::size_t at = 0; at < text.size(); ++at)
    for (const TokenId id : special_by_first_byte_[static_cast<unsigned char>(text[at])]) {
      const std::string& piece = pieces[static_cast<std::size_t>(id)];
      if (text.substr(at).starts_with(piece)) return SpecialMatch{at, at + piece.size(), id};
    }
  return std::nullopt;
}

PLUME_FUNCTION void TokenizerModel::encode_with_spans(std::string_view text, TextPart part, EncodedText& out) const {
  std::size_t next = out.ids.size(), at = 0;
  encode(text, part, out.ids);
  std::size_t added = adds_leading_space() && part == TextPart::first ? 1 : 0;  // bytes in front of the text that are not in it
  for (; next < out.ids.size(); ++next) {
    std::size_t size = vocabulary.bytes[static_cast<std::size_t>(out.ids[next])].size();
    const std::size_t outside = std::min(size, added);
    added -= outside;
    size = std::min(size - outside, text.size() - at);
    out.spans.push_back({at, at + size});
    at += size;
  }
}

PLUME_FUNCTION void TokenizerModel::encode_special(std::string_view text, TextPart part, Spans spans, EncodedText& out) const {
  std::size_t at = 0;
  const auto plain = [&](std::string_view run) {
    if (run.empty()) return;
    const std::size_t first = out.spans.size();
    if (spans == Spans::skip) return encode(run, part, out.ids);
    encode_with_spans(run, part, out);
    for (std::size_t i = first; i < out.spans.size(); ++i) out.spans[i].begin += at, out.spans[i].end += at;
  };
  while (const auto found = vocabulary.find_special(text.substr(at))) {
    plain(text.substr(at, found->begin));
    part = TextPart::later;
    out.ids.push_back(found->id);
    if (spans == Spans::keep) out.spans.push_back({at + found->begin, at + found->end});
    at += found->end;
  }
  plain(text.substr(at));
}

PLUME_FUNCTION std::unique_ptr<TokenDecoder> TokenizerModel::decoder(const DecodeOptions& options) const {
  return std::make_unique<BytesDecoder>(*this, options);
}

}  // namespace plume::inline PLUME_ABI
#endif
