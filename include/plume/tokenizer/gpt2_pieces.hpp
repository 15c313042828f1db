#pragma once
// GPT-2's pre-tokeniser: cuts a text into the pieces inside which byte pairs may merge. Equal to the regular expression of
// openai/gpt-2 src/encoder.py, written as a scanner that takes linear time and no memory:
//
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

// Where the piece that starts at `at` ends: at < result <= text.size(). Each malformed UTF-8 byte counts as a symbol, so none is lost.
inline std::size_t gpt2_piece_end(std::string_view text, std::size_t at) {
  const auto class_at = [&](std::size_t i, std::size_t& length) {
    const CodePoint point = code_point_at(text, i);
    length = point.length;
    return code_point_class(point.value);
  };
  std::size_t length = 0;
  if (text[at] == '\'' && at + 1 < text.size()) {
    const char first = text[at + 1];
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    const std::string_view two = text.substr(at + 1, 2);
    if (two == "re" || two == "ve" || two == "ll") return at + 3;
  }
  // " ?" and then a run of one class that is not space
  std::size_t end = text[at] == ' ' && at + 1 < text.size() ? at + 1 : at;
  const CodePointClass kind = class_at(end, length);
  if (kind != CodePointClass::space) {
    do end += length;
    while (end < text.size() && class_at(end, length) == kind);
    return end;
  }
  // white space: all of it at the end of the text, else all but its last character, which belongs to what follows
  std::size_t last = at;
  for (end = at; end < text.size() && class_at(end, length) == CodePointClass::space; end += length) last = end;
  return end == text.size() || last == at ? end : last;
}

}  // namespace plume::inline PLUME_ABI
