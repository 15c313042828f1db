// Expressions that plume's own matcher does not know, found as Oniguruma finds them, for which tokenizer.json writes them.
#include <cstdio>
#include <plume/tokenizer/pcre2_pattern.hpp>
#include <string>

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
  int wrong = 0;
  for (const auto& one : cases) {
    const plume::TextPattern pattern =
        plume::TextPattern::expression(std::string("(?:") + one.regex + ")", plume::Where{.path = "here"}, plume::pcre2_expressions);
    std::string found;
    const std::string text = one.text;
    pattern.each(text, [&](plume::Piece match) { found += "|" + text.substr(match.begin, match.end - match.begin); });
    if (found != one.expected) std::printf("%s: %s instead of %s\n", one.regex, found.c_str(), one.expected), ++wrong;
  }
  for (const char* regex : {"[a-z&&]", "\\y", "[[:punct:]]", "[^a&&b]", "a{2}?", "(?s)a", "(a"}) {
    try {
      plume::pcre2_expressions(regex, plume::Where{.path = "here"});
      std::printf("%s is not refused\n", regex), ++wrong;
    } catch (const plume::ConfigError& error) {
    }
  }
  return wrong;
}
