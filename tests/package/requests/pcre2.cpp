// Expressions that plume's own matcher does not know, found as Oniguruma finds them, for which tokenizer.json writes them.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <plume/tokenizer/pcre2_pattern.hpp>
#include <string>

#include "expressions.hpp"

namespace {

std::string found(const plume::TextPattern& pattern, std::string_view text) {
  std::string out;
  pattern.each(text, [&](plume::Piece match) { out.append("|").append(text.substr(match.begin, match.end - match.begin)); });
  return out;
}

plume::TextPattern expression(std::string_view regex) {
  return plume::TextPattern::expression(regex, plume::Where{.path = "here"}, plume::pcre2_expressions);
}

// What tests/golden/make_expressions.py asked Oniguruma.
int compare_with_oniguruma() {
  int wrong = 0;
  for (const auto& [regex, text, expected] : expressions::found)
    for (const bool alone : {true, false}) {  // in a group it is none of plume's own
      const std::string all = alone ? std::string(regex) : "(?:" + std::string(regex) + ")";
      const std::string matches = found(expression(all), text);
      if (matches != expected) std::printf("%s: %s instead of %s\n", all.c_str(), matches.c_str(), expected.data()), ++wrong;
    }
  std::string everything, unpaired;
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    plume::append_utf8(everything, c);
    if (std::ranges::find(expressions::paired, c) == std::end(expressions::paired)) plume::append_utf8(unpaired, c);
  }
  for (const auto& [regex, count, sum] : expressions::classes) {
    std::uint64_t points = 0, total = 0;
    const std::string& text = regex.starts_with("(?i)") ? unpaired : everything;
    expression("(?:)" + std::string(regex) + "+").each(text, [&](plume::Piece match) {
      for (std::size_t at = match.begin; at < match.end; at += plume::code_point_at(text, at).length)
        total += ++points * plume::code_point_at(text, at).value;
    });
    if (points != count || total != sum)
      std::printf("%s matches %zu code points, not %zu\n", regex.data(), static_cast<std::size_t>(points), count), ++wrong;
  }
  return wrong;
}

// Matches longer than the stack that PCRE2 has by itself.
int match_long_texts() {
  int wrong = 0;
  for (const char* regex : {"\"(?:[^\"\\\\]|\\\\.)*\"", "(?:a|\")+", "(?:(a)|(\"))+"})
    for (const std::size_t length : {std::size_t{1500}, std::size_t{100000}, std::size_t{2000000}}) {
      const std::string text = '"' + std::string(length, 'a') + '"';
      if (found(expression(regex), text) != "|" + text) std::printf("%s finds less than %zu letters\n", regex, length), ++wrong;
    }
  return wrong;
}

}  // namespace

int main() {
  const struct {
    const char *regex, *text, *expected;  // the matches, each behind a bar
  } cases[] = {{"(a|b)c\\1", "acb bcb", "|bcb"},
               {"a$", "a\nba", "|a|a"},  // lines end, too
               {"^b", "a\nb", "|b"},
               {"[a-z&&[^aeiou]]+", "hello", "|h|ll"},                       // an intersection
               {"[a[bc]]+", "xabcx", "|abc"},                                // a class in a class
               {"\\h+", "xBEEFx", "|BEEF"},                                  // hexadecimal digits
               {"a{1,2}+", "aaaaa", "|aaaaa"},                               // repeated, not possessive
               {"(?m:a.b)", "a\nb", "|a\nb"},                                // a dot is any character
               {"\\w+", "e\xcc\x81t\xc2\xbd_ x", "|e\xcc\x81t\xc2\xbd_|x"},  // marks, fractions and connectors
               {"[\\w']+",
                "\xc2\xbd"
                "a'",
                "|a'"},                                  // but no fractions in a class
               {"\\s", "a\xe1\xa0\x8e b", "| "},         // U+180E is none
               {"(?=(\\d\\d)+(?!\\d))", "12345", "||"},  // empty matches
               {"\\p{Latin}+",
                "a\xc2\xb2"
                "b\xcd\x83",
                "|a|b"},  // the script alone
               {"\\p{L}+",
                "\xf0\x90\x97\xa7"
                "a",
                "|\xf0\x90\x97\xa7"
                "a"}};  // a letter of Unicode 16
  int wrong = compare_with_oniguruma() + match_long_texts();
  for (const auto& one : cases) {
    const std::string matches = found(expression(std::string("(?:") + one.regex + ")"), one.text);
    if (matches != one.expected) std::printf("%s: %s instead of %s\n", one.regex, matches.c_str(), one.expected), ++wrong;
  }
  for (const char* regex : {"[a-z&&]", "\\y", "[[:punct:]]", "a{2}?", "(?s)a", "(a", "\\X", "\\M-a", "\\xe9", "\\u12", "[a", "[b-a]",
                            "[a-\\d]", "\\p{Nothing}", "\\p{L", "[\\x", "[\\"}) {
    try {
      plume::pcre2_expressions(regex, plume::Where{.path = "here"});
      std::printf("%s is not refused\n", regex), ++wrong;
    } catch (const plume::ConfigError& error) {
    }
  }
  std::string many;  // classes, no two alike
  for (char c = '!'; c < '~'; ++c)
    if (c != '[' && c != '\\' && c != ']' && c != '^' && c != '-' && c != '&')
      many += std::string("[") + c + "\\p{Lu}][" + c + "\\s][" + c + "\\d]";
  try {
    plume::pcre2_expressions(many, plume::Where{.path = "here"});
    std::printf("more classes than there may be are not refused\n"), ++wrong;
  } catch (const plume::ConfigError& error) {
  }
  return wrong == 0 ? 0 : 1;
}
