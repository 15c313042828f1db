// Tokenizers put together at random: ids, spans and texts are those of tokenizers 0.23.3 (tests/golden/make_pipelines.py).
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/tokenizer_json.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"
#include "tokenizer/hashed_strings.hpp"

using namespace plume;

namespace {

// Malformed bytes and U+FFFD, each run of them as one question mark.
std::string question_marks(std::string_view text) {
  std::string out;
  bool behind = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    const bool bad = length == 0 || text.substr(at, length) == "\ufffd";
    if (!bad) out.append(text, at, length);
    if (bad && !behind) out.push_back('?');
    behind = bad;
    at += std::max<std::size_t>(length, 1);
  }
  return out;
}

}  // namespace

TEST_CASE("Ids that come part after part are moved seldom: many special tokens in a text take no more time each than few") {
  const auto moves = [](const Tokenizer& tokenizer, std::string_view part) {
    std::vector<TokenId> ids;
    std::size_t capacity = 0, moved = 0;
    for (int i = 0; i < 3000; ++i) {
      tokenizer.model().encode(part, TextPart::later, ids);
      moved += ids.capacity() != std::exchange(capacity, ids.capacity());
    }
    CHECK(ids.size() >= 3000);
    return moved;
  };
  const Json& rows = plume_test::hashes("tokenizers/pipelines.json");
  for (std::size_t i = 0; i < 20; ++i) {
    CAPTURE(i);
    Json file = plume_test::hashes("tokenizers/" + rows.at(i).text("base") + ".json");
    for (const auto& [key, value] : rows.at(i).at("set").members()) file.set(key, value);
    const Tokenizer tokenizer = read_tokenizer_json(dump(file));
    for (const std::string_view part : {"the ", "a part of a text ", "some more of it, and 12 again"}) CHECK(moves(tokenizer, part) < 30);
  }
  for (const std::string_view part : {"the ", "a part of a text ", " text text part text"}) {
    CHECK(moves(character_tokenizer(part), part) < 30);
    const std::vector<std::string> texts{"the the a part of a text text part text text"};
    CHECK(moves(train_byte_bpe(texts, {.vocabulary_size = 280}), part) < 30);
  }
}

TEST_CASE("Pipelines put together at random give the ids, spans and texts of tokenizers 0.23.3") {
  const Json& rows = plume_test::hashes("tokenizers/pipelines.json");
  REQUIRE(rows.size() == 60);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CAPTURE(i);
    const Json& row = rows.at(i);
    Json file = plume_test::hashes("tokenizers/" + row.text("base") + ".json");
    const std::size_t own = file.at("model").at("vocab").size();
    for (const auto& [key, value] : row.at("set").members()) file.set(key, value);
    const Tokenizer tokenizer = read_tokenizer_json(dump(file));
    std::vector<std::string> vocabulary, added;
    for (TokenId id = 0; id < static_cast<TokenId>(own); ++id) vocabulary.push_back(tokenizer.piece(id));
    for (const Json& token : file.at("added_tokens").items()) added.push_back(token.text("content"));  // by id
    plume_test::StringGenerator generator(vocabulary, added);
    plume_test::Crc32 ids, spans, text, special;
    for (int k = 0; k < 200; ++k) {
      const std::string given = generator.next();
      const EncodedText encoded = tokenizer.encode_with_spans(given, {.special = SpecialText::recognise});
      CHECK(tokenizer.encode(given, {.special = SpecialText::recognise}) == encoded.ids);
      for (const TokenId id : encoded.ids) ids.add(id);
      for (const TokenSpan& span : character_spans(given, encoded.spans)) {
        spans.add(static_cast<TokenId>(span.begin < span.end ? span.begin : 0));
        spans.add(static_cast<TokenId>(span.begin < span.end ? span.end : 0));
      }
      text.add(question_marks(tokenizer.decode(encoded.ids)));
      special.add(question_marks(tokenizer.decode(encoded.ids, {.special = SpecialTokens::keep})));
      for (plume_test::Crc32* sum : {&ids, &spans}) sum->add(TokenId{-1});
      for (plume_test::Crc32* sum : {&text, &special}) sum->add(std::string_view("\0", 1));
    }
    CHECK(ids.text() == row.text("ids"));
    CHECK(spans.text() == row.text("spans"));
    CHECK(text.text() == row.text("text"));
    CHECK(special.text() == row.text("special"));
  }
}

TEST_CASE("An added token that is looked for in normalised text is written as that, and a special one still left out") {
  const Json file = Json::parse(R"({"version": "1.0", "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
      "added_tokens": [{"id": 0, "content": "[PAD]", "special": true, "normalized": true}, {"id": 2, "content": "YES", "normalized": true},
                       {"id": 3, "content": "New", "normalized": true}, {"id": 4, "content": "Raw", "normalized": false}],
      "model": {"type": "WordLevel", "vocab": {"[PAD]": 0, "a": 1, "YES": 2}, "unk_token": "a"}})");
  const Tokenizer tokenizer = read_tokenizer_json(dump(file));
  const std::vector<TokenId> ids = tokenizer.encode("[pad] Yes nEw Raw a", {.special = SpecialText::recognise});
  CHECK(ids == std::vector<TokenId>{0, 2, 3, 4, 1});
  CHECK(tokenizer.decode(ids) == "yes new Raw a");
  CHECK(tokenizer.decode(ids, {.special = SpecialTokens::keep}) == "[pad] yes new Raw a");
}

TEST_CASE("Spaces that trimming leaves, and white space that two added tokens want, as tokenizers 0.23.3 has them") {
  using Spans = std::vector<TokenSpan>;
  using Ids = std::vector<TokenId>;
  const auto check = [](const Json& file, std::string_view text, const Ids& ids, const Spans& spans) {
    CAPTURE(std::string(text));
    EncodedText encoded = read_tokenizer_json(dump(file)).encode_with_spans(text);
    for (TokenSpan& span : encoded.spans)
      if (span.begin >= span.end) span = {};
    CHECK(encoded.ids == ids);
    CHECK(encoded.spans == spans);
  };
  Json level = plume_test::hashes("tokenizers/byte_bpe.json");
  const auto part = [](std::string_view text) { return Json::parse(text, {}); };
  level.set("pre_tokenizer", part(R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})"));
  level.set("post_processor", part(R"({"type": "RobertaProcessing", "sep": ["<|im_end|>", 2], "cls": ["<|im_start|>", 1],
                                       "trim_offsets": true, "add_prefix_space": true})"));
  Json stripped = level, doubled = level;
  stripped.set("normalizer", part(R"({"type": "Strip", "strip_left": true, "strip_right": false})"));
  // the first token of the text, though [CLS] stands before it: its space is the pre-tokeniser's
  check(stripped, "  the the", {1, 311, 311, 2}, {{}, {2, 5}, {6, 9}, {}});
  Json added = level.at("added_tokens");
  added.push(part(R"({"id": 900, "content": "  q", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})"));
  doubled.set("added_tokens", added);
  // two spaces are the text's own
  check(doubled, "  q  q", {1, 900, 900, 2}, {{}, {2, 3}, {5, 6}, {}});
  for (const bool strips_left : {true, false}) {
    Json words = plume_test::hashes("tokenizers/word_level.json"), list = words.at("added_tokens");
    list.push(
        part(R"({"id": 500, "content": "  ", "single_word": false, "rstrip": true, "normalized": false})").set("lstrip", strips_left));
    words.set("added_tokens", list).set("post_processor", part(R"({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]})"));
    // the first takes all four spaces; the second is left with none, or takes its own two once more
    if (strips_left)
      check(words, "a    the", {1, 10, 500, 4, 2}, {{}, {0, 1}, {}, {5, 8}, {}});
    else
      check(words, "a    the", {1, 10, 500, 500, 4, 2}, {{}, {0, 1}, {}, {}, {5, 8}, {}});
  }
}

TEST_CASE("(?i:'s) matches the long s, [sS] does not; no other letter folds to that of a contraction") {
  const std::string rest = R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  using Pieces = std::vector<std::string>;
  const auto pieces = [&](const std::string& contractions, std::string_view text) {
    const TextPattern pattern = TextPattern::expression(contractions + rest, {});
    CHECK(pattern.style());
    Pieces out;
    pattern.each(text, [&](Piece piece) { out.emplace_back(text.substr(piece.begin, piece.end - piece.begin)); });
    return out;
  };
  const std::string folded = "(?i:'s|'t|'re|'ve|'m|'ll|'d)", listed = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
  CHECK(pieces(folded, "it'\u017fx") == Pieces{"it", "'\u017f", "x"});
  CHECK(pieces(listed, "it'\u017fx") == Pieces{"it", "'\u017fx"});
  for (const std::string& contractions : {folded, listed}) {
    CHECK(pieces(contractions, "it'Sx") == Pieces{"it", "'S", "x"});
    CHECK(pieces(contractions, "we'LLx") == Pieces{"we", "'LL", "x"});
    CHECK(pieces(contractions, "'\u1e9e'Rex") == Pieces{"'\u1e9e", "'Re", "x"});
    for (const char* other : {"'\u212ax", "'\u00dfx", "'\u0131x", "'\ufb06x", "'l\u017fx", "'v\u0113x"})
      CHECK(pieces(contractions, other) == Pieces{other});
  }
}

TEST_CASE("A special token that stays is written as the bytes that its characters spell, as tokenizers 0.23.3 has it") {
  struct Case {
    const char* content;
    bool normalized;
    std::vector<TokenId> ids;
    std::string text;
  };
  for (const Case& each : {Case{"\u4e16\u754c", true, {67, 900, 131, 257, 68}, "a\u4e16\u754c\u0120b"},
                           {"\u4e16\u754c", false, {67, 900, 131, 257, 68}, "a\u4e16\u754c\u0120b"},
                           {"\u0120x", true, {67, 900, 131, 257, 68}, "a\u0120x\u0120b"},
                           {"\u0120x", false, {67, 900, 131, 257, 68}, "a x\u0120b"},
                           {"<|a|>", true, {67, 900, 131, 257, 68}, "a<|a|>\u0120b"}}) {
    CAPTURE(each.content);
    CAPTURE(each.normalized);
    Json file = plume_test::hashes("tokenizers/byte_bpe.json"), added = file.at("added_tokens");
    added.push(Json::object().set("id", 900).set("content", each.content).set("special", true).set("normalized", each.normalized));
    const Json level = Json::parse(R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})", {});
    file.set("added_tokens", added).set("pre_tokenizer", level).set("normalizer", Json::object().set("type", "ByteLevel"));
    const Tokenizer tokenizer = read_tokenizer_json(dump(file));
    const std::vector<TokenId> ids = tokenizer.encode(concat("a", each.content, " b"), {.special = SpecialText::recognise});
    CHECK(ids == each.ids);
    CHECK(tokenizer.decode(ids, {.special = SpecialTokens::keep}) == each.text);
    CHECK(tokenizer.decode(ids) == "a\u0120b");
  }
}

// As tokenizers' trainer writes it where the text itself spells a special token.
TEST_CASE("Of a Unigram piece that the vocabulary lists more than once the last counts") {
  const Tokenizer tokenizer = read_tokenizer_json(R"({"added_tokens": [{"id": 6, "content": "<unk>", "special": true}],
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -2.0], ["b", -2.5], ["ab", -3.0], ["c", -1.0],
      ["ab", -9.0], ["<unk>", -4.0], ["b", -1.0], ["\u00e9", -3.0]]}})");
  struct Case {
    std::string text;
    std::vector<TokenId> ids;  // of tokenizers 0.23.3
  };
  for (const Case& each :
       {Case{"ab", {1, 7}}, {"abab", {1, 7, 1, 7}}, {"cab<unk>b", {4, 1, 7, 6, 7}}, {"zzab", {0, 1, 7}}, {"\u00e9<unk>", {8, 6}}}) {
    CAPTURE(each.text);
    CHECK(tokenizer.encode(each.text, {.special = SpecialText::recognise}) == each.ids);
  }
}

TEST_CASE("A backslash before a character of several bytes stands for that character") {
  const auto matches = [](std::string_view regex, std::string_view text) {
    std::vector<std::string> out;
    TextPattern::expression(regex, {}).each(text,
                                            [&](Piece piece) { out.emplace_back(text.substr(piece.begin, piece.end - piece.begin)); });
    return out;
  };
  CHECK(matches("\\\u00e9+", "\u00e9\u00e9e\u00c3") == std::vector<std::string>{"\u00e9\u00e9"});
  CHECK(matches("[\\\u00e9\\\u3002]+", "\u00e9\u3002e\u00c3") == std::vector<std::string>{"\u00e9\u3002"});
}
