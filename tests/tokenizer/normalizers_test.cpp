// BertNormalizer copies runs of characters that no step joins to others: beside the steps one after the other.
#include "plume/tokenizer/normalizers.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

using plume::AlignedText, plume::Spans;

namespace {

// Whether where each byte comes from is kept decides which way is gone.
void check(const plume::normalizers::Bert& bert, std::string_view text) {
  AlignedText quick = AlignedText::of(text, 0, Spans::skip), slow = AlignedText::of(text, 0, Spans::keep);
  plume::normalize(bert, quick);
  plume::normalize(bert, slow);
  REQUIRE(quick.text == slow.text);
}

}  // namespace

TEST_CASE("Runs of ASCII and of Chinese, and what lies between them") {
  std::vector<std::string> parts;
  for (int byte = 0; byte < 256; ++byte) parts.emplace_back(1, static_cast<char>(byte));
  for (const std::string_view part :
       {"Word",       "\u4e00",     "\u9fff",       "\u4dbf", "\u4dff",       "\ua000",       "\u3000",   "\u3001",
        "\u3011",     "\u3012",     "\uff00",       "\uff01", "\uff1f",       "\uff20",       "\uff21",   "\u00c9",
        "e\u0301",    "\u0301",     "\u1100\u1161", "\uac00", "\u0130",       "\u200d",       "\ufffd",   "\u2028",
        "\U00020000", "\U0001f642", "\xe4\xb8",     "\xe4",   "\xed\xa0\x80", "\xe0\x80\x80", "\xef\xbf", "\xf0\x9f"})
    parts.emplace_back(part);
  std::mt19937 random(20261127);
  for (const bool accents : {false, true})
    for (const bool lower : {false, true}) {
      const plume::normalizers::Bert bert{.clean_text = true, .chinese = true, .accents = accents, .lower = lower};
      for (const std::string& left : parts)
        for (const std::string& right : parts) check(bert, left + right);
      for (int round = 0; round < 300; ++round) {
        std::string text(round % 5 == 0 ? 4085 + random() % 20 : 0, 'x');  // the end of a buffer may lie anywhere
        while (random() % 40 != 0) {
          const std::size_t what = random() % 4;
          text += what == 0 ? "Plain text, " : what == 1 ? "\u4e2d\u6587\uff0c" : parts[random() % parts.size()];
        }
        if (round % 7 == 0)
          for (int i = 0; i < 1500; ++i) text += "\u4e2d";
        check(bert, text);
      }
    }
}
