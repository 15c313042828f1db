#pragma once
// Added tokens of tokenizer.json [huggingface/tokenizers tokenizers/src/tokenizer/added_vocabulary.rs]: spellings that are cut out of a
// text before anything else, leftmost and longest first.
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/text_matcher.hpp"
#include "plume/tokenizer/unicode_normal_forms.hpp"

namespace plume::inline PLUME_ABI {

struct AddedToken {
  std::string content;
  TokenId id = 0;
  bool single_word = false, left_strip = false, right_strip = false, normalized = true, special = false;
};

// A stretch of a text: an added token, or what lies between them.
struct AddedSection {
  std::size_t begin, end;
  const AddedToken* token;  // null: text
};

// Cuts a text at the matches of `matcher`, whose values are indices of `tokens`. Special tokens are passed over unless `specials`.
enum class MatchSpecial : std::uint8_t { yes, no };
PLUME_FUNCTION std::vector<AddedSection> cut_at_added_tokens(std::string_view text, const TextMatcher& matcher,
                                                             const std::vector<AddedToken>& tokens, MatchSpecial special);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/tokenizer/piece_scanner.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION std::vector<AddedSection> cut_at_added_tokens(std::string_view text, const TextMatcher& matcher,
                                                             const std::vector<AddedToken>& tokens, MatchSpecial special) {
  std::vector<AddedSection> sections;
  const auto before = [&](std::size_t at) {  // where the character before `at` begins
    std::size_t begin = at - 1;
    while (begin > 0 && at - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
    return begin;
  };
  const auto is_word = [&](std::size_t at) {
    const char32_t c = code_point_at(text, at).value;
    if (c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0xbc || c == 0xbd || c == 0xbe) return false;
    return c == 0x200c || c == 0x200d || in_set(c, CharacterSet::word);
  };
  std::size_t done = 0;
  for (auto match = matcher.find(text, 0); match; match = matcher.find(text, match->end)) {
    const AddedToken& token = tokens[match->value];
    if (special == MatchSpecial::no && token.special) continue;
    std::size_t begin = match->begin, end = match->end, length = 0;
    if (token.single_word && ((begin > 0 && is_word(before(begin))) || (end < text.size() && is_word(end)))) continue;
    if (token.left_strip)
      while (begin > done) {
        const std::size_t previous = before(begin);
        if (previous < done || (piece_scanner::bit_at(text, previous, length) & category_sets::space) == 0) break;
        begin = previous;
      }
    if (token.right_strip) end = piece_scanner::skip(text, end, category_sets::space);
    // White space that the last token took may be this one's too, as in tokenizers; one that takes white space takes what is left, if any.
    if (token.left_strip) begin = std::max(begin, done);
    if (begin > done) sections.push_back({done, begin, nullptr});
    if (begin < end) sections.push_back({begin, end, &token});
    done = std::max(begin, end);
  }
  if (done < text.size()) sections.push_back({done, text.size(), nullptr});
  return sections;
}

}  // namespace plume::inline PLUME_ABI
#endif
