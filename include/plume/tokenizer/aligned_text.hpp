#pragma once
// Text that a normaliser changed, with the bytes of the original that each of its bytes comes from.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/tokenizer_model.hpp"

namespace plume::inline PLUME_ABI {

struct AlignedText {
  std::string text;
  std::vector<TokenSpan> from;  // one a byte of `text`; empty and unused unless `aligned`
  bool aligned = false;
  bool starts = true;  // no text comes before it: where SentencePiece puts a space

  static AlignedText of(std::string_view original, std::size_t offset, Spans spans) {
    AlignedText result;
    result.text = original;
    result.aligned = spans == Spans::keep;
    if (result.aligned)
      for (std::size_t i = 0; i < original.size(); ++i) result.from.push_back({offset + i, offset + i + 1});
    return result;
  }
  AlignedText empty_copy() const {
    AlignedText result;
    result.aligned = aligned;
    result.text.reserve(text.size() + text.size() / 8);
    return result;
  }
  // Bytes [begin, end) of `text` in the original.
  TokenSpan span(std::size_t begin, std::size_t end) const {
    if (!aligned || from.empty()) return {};
    if (begin >= end)
      return begin < from.size() ? TokenSpan{from[begin].begin, from[begin].begin} : TokenSpan{from.back().end, from.back().end};
    TokenSpan result = from[begin];
    for (std::size_t i = begin + 1; i < end; ++i) {
      result.begin = std::min(result.begin, from[i].begin);
      result.end = std::max(result.end, from[i].end);
    }
    return result;
  }
  // `bytes` in place of [begin, end) of `source`.
  void append(std::string_view bytes, const AlignedText& source, std::size_t begin, std::size_t end) {
    text.append(bytes);
    if (aligned) from.insert(from.end(), bytes.size(), source.span(begin, end));
  }
  // `bytes` before the text of `source`: they share the bytes of its first character, as in tokenizers.
  void prepend(std::string_view bytes, const AlignedText& source) {
    std::size_t first = source.text.empty() ? 0 : 1;
    while (first < source.text.size() && (static_cast<unsigned char>(source.text[first]) & 0xc0) == 0x80) ++first;
    append(bytes, source, 0, first);
  }
  void copy(const AlignedText& source, std::size_t begin, std::size_t end) {
    text.append(source.text, begin, end - begin);
    if (aligned)
      from.insert(from.end(), source.from.begin() + static_cast<std::ptrdiff_t>(begin),
                  source.from.begin() + static_cast<std::ptrdiff_t>(end));
  }
};

// Bytes [begin, end) of an AlignedText.
struct Piece {
  std::size_t begin, end;
};

}  // namespace plume::inline PLUME_ABI
