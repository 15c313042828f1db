#pragma once
// Encoding on all threads of the current Context: many texts at once, or one long text cut where every pre-tokeniser cuts.
#include <span>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

// The ids of each text, as encode() gives them. Errors: those of encode(), of the first text that has one.
PLUME_FUNCTION std::vector<std::vector<TokenId>> encode_batch(const Tokenizer& tokenizer, std::span<const std::string_view> texts,
                                                              const EncodeOptions& options = {});

// Exactly encode(text, options). Byte-level tokenizers with a known expression work on several parts of the text at once, others on one
// thread.
PLUME_FUNCTION std::vector<TokenId> encode_parallel(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options = {});

namespace batch_encoding {
// A place at or behind `at` where each known expression begins a new piece, whatever is around: behind a letter, a space that leads a
// letter, or punctuation or a symbol that begins no contraction.
PLUME_FUNCTION std::size_t safe_cut(std::string_view text, std::size_t at);
}  // namespace batch_encoding

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

#include "plume/kernels/parallel/context.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/tokenizer/byte_bpe.hpp"
#include "plume/tokenizer/piece_scanner.hpp"
#include "plume/tokenizer/pipeline_model.hpp"

namespace plume::inline PLUME_ABI {

namespace batch_encoding {

PLUME_FUNCTION std::size_t safe_cut(std::string_view text, std::size_t at) {
  constexpr CategorySet marks = category_sets::punctuation | category_sets::symbol;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  std::size_t length = 0;
  for (bool behind_letter = false; at < text.size(); at += length) {
    const CategorySet bit = piece_scanner::bit_at(text, at, length);
    if (behind_letter && text[at] != '\'' && code_point_at(text, at).value != 0xfffd) {
      std::size_t next = 0;
      if (bit & marks) return at;
      if (text[at] == ' ' && at + 1 < text.size() && (piece_scanner::bit_at(text, at + 1, next) & category_sets::letter) != 0) return at;
    }
    behind_letter = (bit & category_sets::letter) != 0;
  }
  return text.size();
}

inline bool can_cut(const TokenizerModel& model) {
  if (dynamic_cast<const ByteBpeModel*>(&model)) return true;
  const auto* pipeline = dynamic_cast<const PipelineModel*>(&model);
  return pipeline && pipeline->cuts_at_spaces();
}

}  // namespace batch_encoding

PLUME_FUNCTION std::vector<std::vector<TokenId>> encode_batch(const Tokenizer& tokenizer, std::span<const std::string_view> texts,
                                                              const EncodeOptions& options) {
  std::vector<std::vector<TokenId>> out(texts.size());
  std::size_t bytes = 0;
  for (const std::string_view text : texts) bytes += text.size();
  if (texts.empty()) return out;
  const Index count = static_cast<Index>(texts.size());
  const int threads = thread_slot.context ? thread_slot.context->threads() : 1;
  // Many texts to a chunk, so that threads seldom ask for the next.
  constexpr std::size_t chunk_bytes = std::size_t{1} << 16;
  const Index grain = std::clamp(static_cast<Index>(chunk_bytes / (bytes / texts.size() + 1)), Index{1}, count / (16 * threads) + 1);
  parallel_for(count, grain, static_cast<Index>(64 * bytes), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) out[static_cast<std::size_t>(i)] = tokenizer.encode(texts[static_cast<std::size_t>(i)], options);
  });
  return out;
}

PLUME_FUNCTION std::vector<TokenId> encode_parallel(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options) {
  constexpr std::size_t part_bytes = std::size_t{1} << 20;
  if (text.size() < 2 * part_bytes || options.special == SpecialText::recognise || !batch_encoding::can_cut(tokenizer.model()))
    return tokenizer.encode(text, options);
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = at + part_bytes >= text.size() ? text.size() : batch_encoding::safe_cut(text, at + part_bytes);
    parts.push_back(text.substr(at, end - at));
    at = end;
  }
  std::vector<std::vector<TokenId>> pieces(parts.size());
  parallel_for(static_cast<Index>(parts.size()), 1, static_cast<Index>(64 * text.size()), [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i)
      tokenizer.model().encode(parts[static_cast<std::size_t>(i)], i == 0 ? TextPart::first : TextPart::later,
                               pieces[static_cast<std::size_t>(i)]);
  });
  EncodeOptions around = options;
  std::vector<TokenId> ids = tokenizer.encode("", around);  // what stands before and behind
  around.end = End::nothing;
  const std::size_t before = tokenizer.encode("", around).size();
  std::size_t total = ids.size();
  for (const auto& piece : pieces) total += piece.size();
  std::vector<TokenId> out;
  out.reserve(total);
  out.insert(out.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(before));
  for (const auto& piece : pieces) out.insert(out.end(), piece.begin(), piece.end());
  out.insert(out.end(), ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end());
  return out;
}

}  // namespace plume::inline PLUME_ABI
#endif
