#pragma once
// White space as ChatGLM-6B and GLM-130B spell it before SentencePiece cuts a text: a line break is <n>, a tab <|tab|>, a run of spaces
// <|blank_2|> to <|blank_80|> [THUDM/chatglm-6b tokenization_chatglm.py, SPTokenizer].
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "plume/base/config.hpp"
#include "plume/base/text.hpp"
#include "plume/tokenizer/aligned_text.hpp"

namespace plume::inline PLUME_ABI {

namespace whitespace_tokens {

inline constexpr std::string_view line_break = "<n>", tab = "<|tab|>", blank = "<|blank_";
inline constexpr std::size_t longest_blank = 80;  // a longer run is several; one space alone stays

struct Token {
  std::size_t length = 0;  // of its spelling; 0: there is none
  char space = ' ';
  std::size_t count = 1;
  bool cut = false;  // the text ends before it can be told
};

// The token that a text begins with.
PLUME_FUNCTION Token read(std::string_view text);

// White space becomes its tokens.
PLUME_FUNCTION AlignedText spell(const AlignedText& text);

// Their spellings in a text that comes in parts become white space again, whichever pieces spelled them.
class Reader {
 public:
  PLUME_FUNCTION void push(std::string_view part, std::string& text);
  void finish(std::string& text) { take(true, text); }

 private:
  PLUME_FUNCTION void take(bool all, std::string& text);
  std::string waiting_;  // perhaps the beginning of a token
};

}  // namespace whitespace_tokens

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION whitespace_tokens::Token whitespace_tokens::read(std::string_view text) {
  for (const auto& [spelling, space] : {std::pair(line_break, '\n'), std::pair(tab, '\t')})
    if (text.starts_with(spelling)) return {spelling.size(), space};
  for (const std::string_view spelling : {line_break, tab, blank})
    if (spelling.starts_with(text)) return {.cut = true};
  if (!text.starts_with(blank)) return {};
  std::size_t at = blank.size(), count = 0;
  while (at < std::min(text.size(), blank.size() + 2) && text[at] >= '0' && text[at] <= '9')
    count = 10 * count + static_cast<std::size_t>(text[at++] - '0');
  const std::string_view rest = text.substr(at);
  if (text.substr(blank.size()).starts_with('0')) return {};
  if (rest.empty() || rest == "|") return {.cut = true};
  if (count < 2 || count > longest_blank || !rest.starts_with("|>")) return {};
  return {at + 2, ' ', count};
}

PLUME_FUNCTION AlignedText whitespace_tokens::spell(const AlignedText& source) {
  const std::string_view text = source.text;
  AlignedText out = source.empty_copy();
  out.starts = source.starts;
  std::size_t done = 0;
  const auto put = [&](std::string_view spelling, std::size_t begin, std::size_t end) {
    out.copy(source, done, begin);
    out.append(spelling, source, begin, end);
    done = end;
  };
  for (std::size_t at = text.find_first_of("\n\t "); at < text.size(); at = text.find_first_of("\n\t ", at)) {
    if (text[at] != ' ') {
      put(text[at] == '\n' ? line_break : tab, at, at + 1);
      ++at;
      continue;
    }
    const std::size_t end = std::min(text.find_first_not_of(' ', at), std::min(text.size(), at + longest_blank));
    if (end - at > 1) put(concat(blank, end - at, "|>"), at, end);
    at = end;
  }
  out.copy(source, done, text.size());
  return out;
}

PLUME_FUNCTION void whitespace_tokens::Reader::take(bool all, std::string& text) {
  const std::string_view waiting = waiting_;
  std::size_t at = 0;
  while (at < waiting.size()) {
    const std::size_t next = std::min(waiting.find('<', at), waiting.size());
    text.append(waiting, at, next - at);
    at = next;
    if (at == waiting.size()) break;
    const Token token = read(waiting.substr(at));
    if (token.cut && !all) break;
    if (token.length > 0)
      text.append(token.count, token.space);
    else
      text.push_back('<');
    at += std::max<std::size_t>(token.length, 1);
  }
  waiting_.erase(0, at);
}

PLUME_FUNCTION void whitespace_tokens::Reader::push(std::string_view part, std::string& text) {
  waiting_.append(part);
  take(false, text);
}

}  // namespace plume::inline PLUME_ABI
#endif
