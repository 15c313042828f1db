#pragma once
// Regular expressions that plume does not know itself, by PCRE2 (optional: Debian libpcre2-dev; link -lpcre2-8):
//
//   Tokenizer tokenizer = load_tokenizer("path/to/model", {.expressions = pcre2_expressions});
//
// Without <pcre2.h> this header is empty.
#if __has_include(<pcre2.h>)
#include <memory>
#include <string>
#include <string_view>

#if defined(PCRE2_CODE_UNIT_WIDTH)
#include <pcre2.h>
#else
#define PCRE2_CODE_UNIT_WIDTH 0  // functions are called by their full names
#include <pcre2.h>
#undef PCRE2_CODE_UNIT_WIDTH
#endif

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/tokenizer/text_pattern.hpp"

namespace plume::inline PLUME_ABI {

// The search for an expression, compiled once and shared by all threads. ConfigError: the expression is invalid, with its position.
// Searching: ArgumentError when the expression backtracks beyond PCRE2's limits on a text.
inline TextPattern::Search pcre2_expressions(std::string_view regex, const Where& where) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  const auto free_code = [](pcre2_code_8* code) { pcre2_code_free_8(code); };
  const std::shared_ptr<pcre2_code_8> code(
      pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(regex.data()), regex.size(),
                      PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_INVALID_UTF, &error, &offset, nullptr),
      free_code);
  if (!code) {
    PCRE2_UCHAR8 message[256] = {};
    pcre2_get_error_message_8(error, message, sizeof message);
    throw ConfigError(where, concat("the regular expression ", quoted(regex), " is invalid at byte ", offset, ": ",
                                    std::string_view(reinterpret_cast<const char*>(message))));
  }
  pcre2_jit_compile_8(code.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT, matching interprets
  return [code, source = std::string(regex)](std::string_view text, std::size_t from, Piece& match) {
    const auto free_data = [](pcre2_match_data_8* data) { pcre2_match_data_free_8(data); };
    const std::unique_ptr<pcre2_match_data_8, decltype(free_data)> data(pcre2_match_data_create_8(1, nullptr), free_data);
    if (!data) throw OutOfMemory(sizeof(PCRE2_SIZE) * 2, "a regular expression's match");
    for (std::size_t at = from; at <= text.size();) {
      const int found = pcre2_match_8(code.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()), text.size(), at, 0, data.get(), nullptr);
      if (found == PCRE2_ERROR_NOMATCH) return false;
      if (found < 0) throw ArgumentError(concat("[encode] the regular expression ", quoted(source), " needs too many steps on this text"));
      const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer_8(data.get());
      match = {ends[0], ends[1]};
      if (match.begin < match.end) return true;
      if (match.end >= text.size()) return false;
      at = match.end + code_point_at(text, match.end).length;  // an empty match cuts nothing
    }
    return false;
  };
}

}  // namespace plume::inline PLUME_ABI
#endif
