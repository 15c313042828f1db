// Which bytes and characters each token stands for, as Hugging Face tokenizers has it.
#include <doctest/doctest.h>

#include "plume/tokenizer/tokenizer_json.hpp"
#include "tokenizer/hashed_strings.hpp"

using namespace plume;

TEST_CASE("The characters of every token are those of tokenizers 0.23.3") {
  for (const auto& member : plume_test::hashes("tokenizers/spans.json").members()) {
    const std::string& name = member.key;
    CAPTURE(name);
    Json file = plume_test::hashes("tokenizers/" + member.value.text("base") + ".json");
    for (const auto& [key, value] : member.value.at("set").members()) file.set(key, value);
    const Tokenizer tokenizer = read_tokenizer_json(dump(file));
    std::vector<std::string> added;
    std::vector<std::pair<std::int64_t, std::string>> order;
    if (const Json* list = file.find("added_tokens"))
      for (const Json& token : list->items()) order.emplace_back(token.integer("id"), token.text("content"));
    std::sort(order.begin(), order.end());
    for (const auto& entry : order) added.push_back(entry.second);
    plume_test::StringGenerator generator(plume_test::spelled(tokenizer), added);
    plume_test::Crc32 sum;
    for (int i = 0; i < 1000; ++i) {
      const std::string text = generator.next();
      const EncodedText encoded =
          tokenizer.encode_with_spans(text, {.special = SpecialText::recognise, .begin = Begin::nothing, .end = End::nothing});
      const std::vector<TokenSpan> spans = character_spans(text, encoded.spans);
      for (std::size_t k = 0; k < spans.size(); ++k) {
        sum.add(encoded.ids[k]);
        const bool something = spans[k].begin < spans[k].end;
        sum.add(static_cast<TokenId>(something ? spans[k].begin : 0));
        sum.add(static_cast<TokenId>(something ? spans[k].end : 0));
      }
      sum.add(TokenId{-1});
    }
    CHECK(sum.text() == member.value.text("spans"));
  }
}

TEST_CASE("Spans in characters: code points, and malformed bytes one by one") {
  const std::string text = "a\u00e9\U0001f642\xff\xffz";
  const std::vector<TokenSpan> bytes = {{0, 1}, {1, 3}, {2, 3}, {1, 4}, {3, 7}, {7, 8}, {7, 9}, {9, 10}, {10, 10}, {3, 3}};
  CHECK(character_spans(text, bytes) ==
        std::vector<TokenSpan>{{0, 1}, {1, 2}, {1, 2}, {1, 3}, {2, 3}, {3, 4}, {3, 5}, {5, 6}, {6, 6}, {2, 2}});
  CHECK_THROWS_AS(character_spans(text, std::vector<TokenSpan>{{0, 11}}), ArgumentError);
  CHECK_THROWS_AS(character_spans(text, std::vector<TokenSpan>{{2, 1}}), ArgumentError);
}
