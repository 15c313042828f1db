#pragma once
// Decoding while a model writes: text comes out token by token and no code point is ever cut in two.
#include <memory>
#include <string>
#include <utility>

#include "plume/base/config.hpp"
#include "plume/base/utf8.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

// All that push() and finish() return, joined, equals decode() of the same ids byte for byte. push() keeps back at most three bytes,
// the beginning of a code point (and what a tokenizer.json's decoder must see more of); bytes that cannot become one pass through as they
// are. To stream what follows a prompt, push the prompt's ids first and drop what comes out, so that the space rule of the SentencePiece
// kind sees the whole text.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, const DecodeOptions& options = {})
      : tokenizer_(std::move(tokenizer)), options_(options), decoder_(tokenizer_.model().decoder(options)) {}
  StreamDecoder(const StreamDecoder& other)
      : tokenizer_(other.tokenizer_), options_(other.options_), decoder_(other.decoder_->clone()), pending_(other.pending_) {}
  StreamDecoder(StreamDecoder&&) noexcept = default;
  StreamDecoder& operator=(StreamDecoder other) noexcept {
    tokenizer_ = std::move(other.tokenizer_);
    options_ = other.options_;
    decoder_ = std::move(other.decoder_);
    pending_ = std::move(other.pending_);
    return *this;
  }

  // The text that became complete with this token; may be empty. ArgumentError: an id outside the vocabulary; nothing changes then.
  std::string push(TokenId id) {
    decoder_->push(tokenizer_.checked(id, "decode"), pending_);
    const std::size_t held = incomplete_tail(pending_);
    std::string text = pending_.substr(0, pending_.size() - held);
    pending_.erase(0, text.size());
    return text;
  }

  // What is still held back, incomplete as it is; the decoder is then ready for a new text.
  std::string finish() {
    decoder_->finish(pending_);
    decoder_ = tokenizer_.model().decoder(options_);
    return std::exchange(pending_, std::string());
  }

 private:
  // Bytes at the end that more bytes could turn into one code point: 0 to 3.
  static std::size_t incomplete_tail(std::string_view text) {
    for (std::size_t tail = 1; tail <= 3 && tail <= text.size(); ++tail) {
      const auto lead = static_cast<unsigned char>(text[text.size() - tail]);
      if ((lead & 0xc0) == 0x80) continue;
      if (lead < 0xc2 || lead > 0xf4) return 0;
      const std::size_t wanted = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
      if (tail >= wanted) return 0;
      return can_begin(text.substr(text.size() - tail)) ? tail : 0;
    }
    return 0;
  }
  // Whether a lead byte and its continuation bytes can still become well-formed: only the second byte has narrower bounds.
  static bool can_begin(std::string_view start) {
    if (start.size() < 2) return true;
    const auto lead = static_cast<unsigned char>(start[0]), second = static_cast<unsigned char>(start[1]);
    if (lead == 0xe0) return second >= 0xa0;
    if (lead == 0xed) return second <= 0x9f;
    if (lead == 0xf0) return second >= 0x90;
    if (lead == 0xf4) return second <= 0x8f;
    return true;
  }

  Tokenizer tokenizer_;
  DecodeOptions options_;
  std::unique_ptr<TokenDecoder> decoder_;
  std::string pending_;
};

}  // namespace plume::inline PLUME_ABI
