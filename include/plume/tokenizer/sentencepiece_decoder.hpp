#pragma once
// Ids to text as SentencePiece does it [google/sentencepiece src/sentencepiece_processor.cc, Decode].
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/sentencepiece_rules.hpp"
#include "plume/tokenizer/tokenizer_model.hpp"
#include "plume/tokenizer/whitespace_tokens.hpp"

namespace plume::inline PLUME_ABI {

struct SentencePieceDecoding {
  enum class LeadingSpace : std::uint8_t { keep, drop_one, drop_all };
  LeadingSpace leading_space = LeadingSpace::drop_one;
  std::optional<TokenId> unknown;
  std::string unknown_text;                                // what the unknown token adds to a text
  std::vector<char> is_byte;                               // by id
  std::shared_ptr<const SentencePieceRules> denormalizer;  // of the whole text: with one, nothing comes out before finish()
  bool whitespace_tokens = false;                          // their spellings become white space
};

class SentencePieceDecoder final : public TokenDecoder {
 public:
  SentencePieceDecoder(const Vocabulary& vocabulary, const SentencePieceDecoding& decoding, const DecodeOptions& options)
      : vocabulary_(&vocabulary), decoding_(&decoding), options_(options) {}
  PLUME_FUNCTION void push(TokenId id, std::string& text) override;
  PLUME_FUNCTION void finish(std::string& text) override;
  std::unique_ptr<TokenDecoder> clone() const override { return std::make_unique<SentencePieceDecoder>(*this); }

 private:
  PLUME_FUNCTION void add(std::string_view part, std::string& text);
  PLUME_FUNCTION void take_bytes(bool all, std::string& text);
  void write(std::string_view part, std::string& text) {
    if (decoding_->whitespace_tokens)
      whitespace_.push(part, text);
    else
      text.append(part);
  }

  const Vocabulary* vocabulary_;
  const SentencePieceDecoding* decoding_;
  DecodeOptions options_;
  std::string bytes_, held_;  // of byte tokens, the beginning of a character; what waits for the denormaliser
  whitespace_tokens::Reader whitespace_;
  bool wrote_ = false;                   // the text is no longer empty
  bool leads_ = true, dropped_ = false;  // a leading space may still be dropped; the last piece lost one
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/utf8.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void SentencePieceDecoder::add(std::string_view part, std::string& text) {
  wrote_ = wrote_ || !part.empty();
  if (decoding_->denormalizer)
    held_.append(part);
  else
    write(part, text);
}

// Whole characters of bytes_; with `all`, malformed bytes too, each as U+FFFD.
PLUME_FUNCTION void SentencePieceDecoder::take_bytes(bool all, std::string& text) {
  std::size_t at = 0;
  while (at < bytes_.size()) {
    const std::size_t length = utf8_length(bytes_, at);
    if (length == 0 && !all && bytes_.size() - at < 4) {
      // more bytes may make it well-formed, unless the first ones cannot begin a character
      const auto lead = static_cast<unsigned char>(bytes_[at]);
      const std::size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
      if (lead < 0xf5 && bytes_.size() - at < wanted) break;
    }
    add(length > 0 ? std::string_view(bytes_).substr(at, length) : "\xef\xbf\xbd", text);
    at += length > 0 ? length : 1;
  }
  bytes_.erase(0, at);
}

PLUME_FUNCTION void SentencePieceDecoder::push(TokenId id, std::string& text) {
  using enum SentencePieceDecoding::LeadingSpace;
  const auto index = static_cast<std::size_t>(id);
  if (decoding_->is_byte[index] != 0) {
    bytes_.append(vocabulary_->bytes[index]);
    return take_bytes(false, text);
  }
  take_bytes(true, text);
  if (dropped_ || wrote_) leads_ = false;
  dropped_ = false;
  if (vocabulary_->is_special(id)) {
    if (options_.special == SpecialTokens::keep)
      add(vocabulary_->pieces[index], text);
    else if (id == decoding_->unknown)
      add(decoding_->unknown_text, text);
    return;
  }
  std::string_view part = vocabulary_->bytes[index];
  if (leads_ && decoding_->leading_space != keep && vocabulary_->pieces[index].starts_with(SentencePieceRules::block)) {
    part.remove_prefix(1);
    dropped_ = decoding_->leading_space == drop_one;
  }
  add(part, text);
}

PLUME_FUNCTION void SentencePieceDecoder::finish(std::string& text) {
  take_bytes(true, text);
  if (decoding_->denormalizer) write(decoding_->denormalizer->apply(AlignedText::of(std::exchange(held_, {}), 0, Spans::skip)).text, text);
  whitespace_.finish(text);
}

}  // namespace plume::inline PLUME_ABI
#endif
