// A back-reference: plume's own expressions know none, PCRE2's do.
#include <plume/tokenizer/pcre2_pattern.hpp>

int main() {
  const plume::TextPattern::Search search = plume::pcre2_expressions("(a|b)c\\1", plume::Where{.path = "here"});
  plume::Piece match{};
  return search("acb bcb", 0, match) && match.begin == 4 && match.end == 7 ? 0 : 1;
}
