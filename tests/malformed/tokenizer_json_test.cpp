// The malformed-input catalogue for tokenizer.json and tiktoken rank files (T): type, path, field, position and reason.
#include "plume/tokenizer/tokenizer_json.hpp"

#include <functional>
#include <string>
#include <vector>

#include "plume/base/json.hpp"
#include "plume/tokenizer/base64.hpp"
#include "plume/tokenizer/byte_characters.hpp"
#include "plume/tokenizer/tiktoken.hpp"
#include "test_data.hpp"

namespace {

using namespace plume;

Json parsed(std::string_view text) { return Json::parse(text); }

// A sound byte-level file: 256 bytes, "ab", "abc", one added token.
Json sound() {
  Json vocab = Json::object();
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char raw = static_cast<char>(static_cast<unsigned char>(byte));
    vocab.set(bytes_to_characters({&raw, 1}), byte);
  }
  vocab.set("ab", 256);
  vocab.set("abc", 257);
  Json model = Json::object().set("type", "BPE").set("vocab", std::move(vocab)).set("merges", parsed(R"(["a b", "ab c"])"));
  Json file = Json::object();
  file.set("version", "1.0");
  file.set("added_tokens", parsed(R"([{"id": 258, "content": "<|end|>", "special": true, "normalized": false}])"));
  file.set("normalizer", nullptr);
  file.set("pre_tokenizer", parsed(R"({"type": "ByteLevel", "add_prefix_space": false})"));
  file.set("post_processor", nullptr);
  file.set("decoder", parsed(R"({"type": "ByteLevel"})"));
  return std::move(file).set("model", std::move(model));
}

Json with(std::string_view key, std::string_view value) { return sound().set(key, parsed(value)); }
Json with_model(std::string_view key, std::string_view value) {
  Json file = sound(), model = file.at("model");
  model.set(key, parsed(value));
  return std::move(file).set("model", std::move(model));
}
Json with_id(std::string_view piece, std::string_view id) {
  Json file = sound(), model = file.at("model"), vocab = model.at("vocab");
  vocab.set(piece, parsed(id));
  model.set("vocab", std::move(vocab));
  return std::move(file).set("model", std::move(model));
}
Json word_level(std::string_view vocab, std::string_view more = "{}") {
  Json file = sound(), model = Json::object().set("type", "WordLevel").set("vocab", parsed(vocab));
  const Json others = parsed(more);
  for (const auto& [key, value] : others.members()) model.set(key, value);
  file.set("added_tokens", Json::array());
  file.set("pre_tokenizer", nullptr);
  return std::move(file).set("model", std::move(model));
}

template <class Expected>
void rejects_text(const std::string& text, const std::string& field, const std::string& reason) {
  CAPTURE(field);
  CAPTURE(reason);
  try {
    read_tokenizer_json(text, {.path = "folder/tokenizer.json"});
    FAIL_CHECK("accepted");
  } catch (const InputError& error) {
    CAPTURE(std::string(error.what()));
    CHECK(dynamic_cast<const Expected*>(&error) != nullptr);
    CHECK(error.where().path == "folder/tokenizer.json");
    CHECK(error.where().field == field);
    CHECK(error.where().line.has_value());
    CHECK(std::string(error.what()).find(reason) != std::string::npos);
  }
}
template <class Expected>
void rejects(const Json& file, const std::string& field, const std::string& reason) {
  const std::string text = dump(file);
  rejects_text<Expected>(text, field, reason);
  for (const std::size_t size : {text.size() - 1, text.size() / 2, std::size_t{1}})  // and cut short
    CHECK_THROWS_AS(read_tokenizer_json(std::string_view(text).substr(0, size)), InputError);
}

template <class Expected>
void rejects_ranks(const std::string& text, const std::string& field, std::uint64_t line, const std::string& reason) {
  CAPTURE(reason);
  try {
    read_tiktoken(text, {.path = "folder/gpt2.tiktoken"});
    FAIL_CHECK("accepted");
  } catch (const InputError& error) {
    CAPTURE(std::string(error.what()));
    CHECK(dynamic_cast<const Expected*>(&error) != nullptr);
    CHECK(error.where().path == "folder/gpt2.tiktoken");
    CHECK(error.where().field == field);
    CHECK(error.where().line.value_or(0) == line);
    CHECK(error.reason().find(reason) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("The seed itself is sound") {
  const Tokenizer tokenizer = read_tokenizer_json(dump(sound()));
  CHECK(tokenizer.encode("abcab") == std::vector<TokenId>{257, 256});
  CHECK(tokenizer.encode("<|end|>", {.special = SpecialText::recognise}) == std::vector<TokenId>{258});
  CHECK(tokenizer.encode("<|end|>").size() == 7);
}

TEST_CASE("T1 tokenizer.json is not an object, empty or cut") {
  rejects_text<FormatError>("[1, 2]", "", "object");
  rejects_text<FormatError>("3", "", "object");
  rejects_text<FormatError>("", "", "ends");
  rejects_text<FormatError>("{} x", "", "more text");
  rejects_text<ConfigError>("{}", "model", "missing");
  rejects<ConfigError>(with("model", "[]"), "model", "object");
  rejects<ConfigError>(with("model", "{}"), "model.vocab", "missing");
}

TEST_CASE("T2 unknown model, normaliser, pre-tokeniser, post-processor, decoder: named, with the known ones") {
  rejects<ConfigError>(with_model("type", "\"Markov\""), "model.type", "unknown model \"Markov\" (known: BPE");
  rejects<ConfigError>(with("normalizer", R"({"type": "Rot13"})"), "normalizer.type", "unknown normalizer \"Rot13\"");
  rejects<ConfigError>(with("normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "X"}]})"),
                       "normalizer.normalizers[1].type", "unknown normalizer \"X\"");
  rejects<ConfigError>(with("pre_tokenizer", R"({"type": "Split2"})"), "pre_tokenizer.type", "unknown pre-tokenizer \"Split2\"");
  rejects<ConfigError>(with("pre_tokenizer", "{}"), "pre_tokenizer", "without a type");
  rejects<ConfigError>(with("decoder", R"({"type": "Y"})"), "decoder.type", "unknown decoder \"Y\"");
  rejects<ConfigError>(with("post_processor", R"({"type": "Z"})"), "post_processor.type", "unknown post-processor \"Z\"");
  rejects<ConfigError>(with("pre_tokenizer", R"({"type": "Punctuation", "behavior": "Exploded"})"), "pre_tokenizer.behavior",
                       "unknown behavior");
  rejects<ConfigError>(with("pre_tokenizer", R"({"type": "Metaspace", "prepend_scheme": "last"})"), "pre_tokenizer.prepend_scheme",
                       "unknown scheme");
}

TEST_CASE("T3 vocabulary id negative, duplicate, gap, > 2^31, float or text") {
  rejects<FormatError>(with_id("ab", "-1"), "model.vocab.ab", "outside 0 to 257");
  rejects<FormatError>(with_id("ab", "5"), "model.vocab.ab", "duplicate id 5");
  rejects<FormatError>(with_id("abc", "258"), "model.vocab.abc", "no gap");
  rejects<FormatError>(with_id("abc", "2147483648"), "model.vocab.abc", "outside");
  rejects<FormatError>(with_id("abc", "18446744073709551615"), "model.vocab.abc", "outside");
  rejects<FormatError>(with_id("abc", "257.0"), "model.vocab.abc", "whole number");
  rejects<FormatError>(with_id("abc", "\"257\""), "model.vocab.abc", "whole number");
}

TEST_CASE("T4 merge with one or three parts, parts or result not in the vocabulary, duplicates") {
  rejects<FormatError>(with_model("merges", R"(["a"])"), "model.merges[0]", "expected two tokens");
  rejects<FormatError>(with_model("merges", R"(["a b", "a b c"])"), "model.merges[1]", "expected two tokens");
  rejects<FormatError>(with_model("merges", R"(["a b", " c"])"), "model.merges[1]", "expected two tokens");
  rejects<FormatError>(with_model("merges", R"(["xy c"])"), "model.merges[0]", "left part \"xy\"");
  rejects<FormatError>(with_model("merges", R"(["c xy"])"), "model.merges[0]", "right part \"xy\"");
  rejects<FormatError>(with_model("merges", R"(["b c"])"), "model.merges[0]", "result \"bc\"");
  rejects<FormatError>(with_model("merges", R"(["a b", "ab c", "a b"])"), "model.merges[2]", "duplicate merge");
  rejects<ConfigError>(with_model("merges", R"([1])"), "model.merges[0]", "text");
}

TEST_CASE("T5 merge in array form with wrong arity") {
  rejects<FormatError>(with_model("merges", R"([["a"]])"), "model.merges[0]", "two parts, found 1");
  rejects<FormatError>(with_model("merges", R"([["a", "b"], ["a", "b", "c"]])"), "model.merges[1]", "two parts, found 3");
  rejects<ConfigError>(with_model("merges", R"([["a", 1]])"), "model.merges[0][1]", "text");
  CHECK(read_tokenizer_json(dump(with_model("merges", R"([["a", "b"], ["ab", "c"]])"))).encode("abc") == std::vector<TokenId>{257});
}

TEST_CASE("T6 added token: id collides or leaves a gap, empty, 1 MB long (L)") {
  const auto added = [](std::string_view id, std::string_view content) {
    return with("added_tokens", concat("[{\"id\": ", id, ", \"content\": \"", content, "\", \"special\": true}]"));
  };
  rejects<FormatError>(added("3", "<x>"), "added_tokens[0].id", "belongs to");
  rejects<FormatError>(added("300", "<x>"), "added_tokens[0].id", "gap");
  rejects<FormatError>(added("-1", "<x>"), "added_tokens[0].id", "gap");
  rejects<FormatError>(added("258", "ab"), "added_tokens[0].id", "in the vocabulary");
  rejects<FormatError>(added("258", ""), "added_tokens[0].content", "empty");
  rejects<ConfigError>(added("\"258\"", "<x>"), "added_tokens[0].id", "integer");
  rejects<LimitError>(added("258", std::string(1 << 20, 'x')), "added_tokens[0].content", "max_token_text");
}

TEST_CASE("a file without added tokens is sound") {
  const Json seed = sound();
  Json file = Json::object();
  for (const auto& [key, value] : seed.members())
    if (key != "added_tokens") file.set(key, value);
  for (const Json& each : {file, with("added_tokens", "null"), with("added_tokens", "[]")})
    CHECK(read_tokenizer_json(dump(each)).encode("abcab") == std::vector<TokenId>{257, 256});
  for (const char* model : {R"({"type": "WordLevel", "vocab": {"a": 0}})", R"({"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "a"})",
                            R"({"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 0})"})
    CHECK(read_tokenizer_json(concat("{\"model\": ", model, "}")).encode("a") == std::vector<TokenId>{0});
}

TEST_CASE("T7 a regular expression that is invalid, or may take exponential time elsewhere: refused by name, or matched in linear time") {
  const auto split = [](std::string_view regex) {
    Json pattern = Json::object().set("Regex", regex);
    return sound().set("pre_tokenizer", Json::object().set("type", "Split").set("pattern", std::move(pattern)).set("behavior", "Isolated"));
  };
  for (const char* regex : {"(a+)+$", "(a|a)*b", "[a", "\\p{L", "\\p{Greek}", "a{2,1}x(", "(?<=a)b", "a*", ""}) {
    CAPTURE(std::string(regex));
    rejects<ConfigError>(split(regex), "pre_tokenizer.pattern.Regex", regex[0] == '\0' ? "\"\"" : "regular expression");
  }
}

TEST_CASE("T8 a byte-level vocabulary lacks one of the 256 bytes") {
  Json file = sound(), model = file.at("model"), vocab = Json::object();
  for (const auto& [piece, id] : model.at("vocab").members()) vocab.set(piece == "z" ? "zz" : std::string_view(piece), id);
  model.set("vocab", std::move(vocab));
  rejects<FormatError>(std::move(file).set("model", std::move(model)), "model.vocab", "lacks the byte 122");
}

TEST_CASE("T9 unk needed but absent") {
  const Tokenizer tokenizer = read_tokenizer_json(dump(word_level(R"({"a": 0})")));
  CHECK(tokenizer.encode("a") == std::vector<TokenId>{0});
  CHECK_THROWS_AS(tokenizer.encode("b"), ArgumentError);
  rejects<ConfigError>(word_level(R"({"a": 0})", R"({"unk_token": "<unk>"})"), "model.unk_token", "not in the vocabulary");
  rejects<ConfigError>(word_level(R"({"a": 0})", R"({"type": "WordPiece"})"), "model.unk_token", "missing");
  rejects<ConfigError>(word_level(R"([["a", 0.0]])", R"({"type": "Unigram", "unk_id": 1})"), "model.unk_id", "outside");
}

TEST_CASE("T10 a post-processor names an unknown token") {
  rejects<ConfigError>(with("post_processor", R"({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["<|end|>", 258]})"),
                       "post_processor.sep[0]", "not in the vocabulary");
  const std::string single = R"("single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}])";
  rejects<ConfigError>(with("post_processor", R"({"type": "TemplateProcessing", "special_tokens": {}, )" + single + "}"),
                       "post_processor.single[0].SpecialToken.id", "special_tokens");
  rejects<ConfigError>(
      with("post_processor",
           R"({"type": "TemplateProcessing", "special_tokens": {"<s>": {"id": "<s>", "ids": [999], "tokens": ["<s>"]}}, )" + single + "}"),
      "post_processor.special_tokens[\"<s>\"].ids[0]", "outside");
  rejects<ConfigError>(with("post_processor", R"({"type": "TemplateProcessing", "special_tokens": {}, "single": []})"),
                       "post_processor.single", "no sequence A");
}

TEST_CASE("T11 truncation stride, FixedLength 0; Strip longer than the text is fine") {
  rejects<ConfigError>(with("truncation", R"({"max_length": 8, "stride": 8, "strategy": "LongestFirst", "direction": "Right"})"),
                       "truncation.stride", "less than max_length");
  rejects<ConfigError>(with("pre_tokenizer", R"({"type": "FixedLength", "length": 0})"), "pre_tokenizer.length", "at least 1");
  const Json file = with("decoder", R"({"type": "Strip", "content": "a", "start": 5, "stop": 5})");
  const Tokenizer tokenizer = read_tokenizer_json(dump(file));
  CHECK(tokenizer.decode(std::vector<TokenId>{'a'}) == "");
  rejects<ConfigError>(with("decoder", R"({"type": "Strip", "content": "ab", "start": 1, "stop": 0})"), "decoder.content",
                       "not one character");
}

TEST_CASE("T13 depth 10,000 (L)") {
  CHECK_THROWS_AS(read_tokenizer_json(std::string(10000, '[')), LimitError);
  CHECK_THROWS_AS(read_tokenizer_json("{\"model\": " + std::string(10000, '[') + std::string(10000, ']') + "}"), LimitError);
}

TEST_CASE("T14 invalid surrogates and invalid UTF-8 in tokenizer.json") {
  CHECK_THROWS_AS(read_tokenizer_json(R"({"model": {"vocab": {"\uD800": 0}}})"), FormatError);
  CHECK_THROWS_AS(read_tokenizer_json("{\"model\": {\"vocab\": {\"\xff\": 0}}}"), FormatError);
}

TEST_CASE("T16 tiktoken: a line with bad base64, a rank gap, a byte missing") {
  rejects_ranks<FormatError>("", "ranks", 0, "lacks the byte 0");
  rejects_ranks<FormatError>("IQ== 0\nIg=! 1\n", "ranks[1]", 2, "base64");
  rejects_ranks<FormatError>("IQ== 0\n\nIg= 1\n", "ranks[1]", 3, "base64");
  rejects_ranks<FormatError>("IQ==0\n", "ranks[0]", 1, "base64");
  rejects_ranks<FormatError>("IQ== 0\nIg== 2\n", "ranks[1]", 2, "no gap");
  rejects_ranks<FormatError>("IQ== 0\nIg== -1\n", "ranks[1]", 2, "whole number");
  rejects_ranks<FormatError>("IQ== 0\nIg== 1x\n", "ranks[1]", 2, "whole number");
  rejects_ranks<FormatError>("IQ== 0\r\nIQ== 1\r\n", "ranks[1]", 2, "came before");
  CHECK_THROWS_AS(read_tiktoken("IQ== 0\n", {.path = "mine.tiktoken"}), ConfigError);
}

TEST_CASE("a vocabulary of another form than its model's, and what else a model or a step may not say") {
  rejects<FormatError>(word_level(R"([["a", 0.0], ["b"]])", R"({"type": "Unigram"})"), "model.vocab[1]", "expected [piece, score]");
  rejects<FormatError>(word_level(R"(["a"])", R"({"type": "Unigram"})"), "model.vocab[0]", "expected [piece, score]");
  rejects<ConfigError>(word_level(R"({"a": 0})", R"({"type": "Unigram"})"), "model.vocab", "an array of [piece, score]");
  rejects<ConfigError>(word_level(R"([["a", 0.0]])"), "model.vocab", "an object of tokens");
  for (const char* most : {"0", "-1"})
    rejects<ConfigError>(
        word_level(R"({"a": 0})", concat(R"({"type": "WordPiece", "unk_token": "a", "max_input_chars_per_word": )", most, "}")),
        "model.max_input_chars_per_word", "at least 1");
  const std::string bpe = R"({"type": "BPE", "continuing_subword_prefix": "##", "merges": )";
  rejects<FormatError>(word_level(R"({"a": 0, "b": 1})", bpe + R"(["a b"]})"), "model.merges[0]", "lacks the prefix \"##\"");
  CHECK(read_tokenizer_json(dump(word_level(R"({"a": 0, "##b": 1, "ab": 2})", bpe + R"(["a ##b"]})"))).encode("ab") ==
        std::vector<TokenId>{2});
  const auto twice = [](std::string_view second) {
    return with("post_processor", concat(R"({"type": "TemplateProcessing", "special_tokens": {}, "single": [{"Sequence": {"id": "A"}}, )",
                                         R"({"Sequence": {"id": ")", second, R"("}}]})"));
  };
  rejects<ConfigError>(twice("A"), "post_processor.single[1].Sequence", "sequence A once");
  rejects<ConfigError>(
      with("post_processor", R"({"type": "TemplateProcessing", "special_tokens": {}, "single": [{"Sequence": {"id": "B"}}]})"),
      "post_processor.single[0].Sequence", "sequence A once");
  rejects<ConfigError>(with("pre_tokenizer", R"({"type": "Metaspace", "add_prefix_space": false, "prepend_scheme": "first"})"),
                       "pre_tokenizer.prepend_scheme", "must be \"never\"");
  for (const char* map : {"a", "AA=!", "A==="})
    rejects<FormatError>(with("normalizer", concat(R"({"type": "Precompiled", "precompiled_charsmap": ")", map, "\"}")),
                         "normalizer.precompiled_charsmap", "is not base64");
  rejects<ConfigError>(with("decoder", R"({"type": "Strip", "content": "a", "start": -1, "stop": 0})"), "decoder", "at least 0");
  rejects<ConfigError>(with("decoder", R"({"type": "Strip", "content": "a", "start": 0, "stop": -1})"), "decoder", "at least 0");
}

TEST_CASE("Limits of tokenizer.json and of rank files; special tokens of rank files") {
  const auto limited = [](const std::function<void()>& read, std::string_view limit, std::string_view field) {
    CAPTURE(limit);
    try {
      read();
      FAIL_CHECK("accepted");
    } catch (const LimitError& error) {
      CHECK(error.limit() == limit);
      CHECK(error.where().path == "p");
      CHECK(error.where().field == field);
    }
  };
  const std::string file = dump(sound());
  limited([&] { read_tokenizer_json(file, {.path = "p", .limits = {.max_vocabulary = 257}}); }, "max_vocabulary", "model.vocab");
  limited([&] { read_tokenizer_json(file, {.path = "p", .limits = {.max_token_text = 2}}); }, "max_token_text", "model.vocab.abc");
  std::string ranks;
  for (unsigned byte = 0; byte < 256; ++byte) {
    encode_base64(std::string(1, static_cast<char>(static_cast<unsigned char>(byte))), ranks);
    ranks += concat(" ", byte, "\n");
  }
  ranks += "YWI= 256\n";
  const auto reads = [&](TiktokenOptions options) {
    options.path = "p", options.encoding = "gpt2";
    if (options.special.empty()) options.special = {{"<x>", 257}};
    return read_tiktoken(ranks, options);
  };
  CHECK(reads({}).encode("ab<x>", {.special = SpecialText::recognise}) == std::vector<TokenId>{256, 257});
  limited([&] { reads({.limits = {.max_vocabulary = 256}}); }, "max_vocabulary", "");
  limited([&] { reads({.limits = {.max_token_text = 1}}); }, "max_token_text", "");
  for (const auto& [id, word] :
       {std::pair(-1, "has the id -1"), std::pair(300, "has the id 300"), std::pair(256, "of a rank"), std::pair(0, "of a rank")}) {
    CHECK_THROWS_WITH_AS(reads({.special = {{"<x>", id}}, .limits = {.max_vocabulary = 300}}), doctest::Contains(word), ConfigError);
  }
  CHECK(reads({.special = {{"<x>", 299}}, .limits = {.max_vocabulary = 300}}).vocabulary() == 300);
}

TEST_CASE("T17 1 MB of one letter, spaces or combining marks, NUL, invalid UTF-8, encoded surrogates, joiners: the same bytes come back") {
  std::vector<std::string> texts = {std::string(1 << 20, 'A'), std::string(1 << 20, ' '), std::string(1 << 16, '\0'),
                                    "\xff\xfe\xc0\x80\xed\xa0\x80", ""};
  std::string marks, joiners;
  for (int i = 0; i < 1 << 19; ++i) marks += "\xcc\x81";
  for (int i = 0; i < 1 << 14; ++i) joiners += "\xe2\x80\x8d";
  texts.push_back(marks);
  texts.push_back(joiners);
  texts.push_back("a" + marks);
  const Json variations = Json::parse(plume_test::read_all(plume_test::golden("tokenizers/variations.json")));
  const Json base = Json::parse(plume_test::read_all(plume_test::golden("tokenizers/byte_bpe.json")));
  for (const char* name : {"byte_bpe", "byte_bpe/gpt2", "byte_bpe/llama3", "byte_bpe/o200k", "byte_bpe/deepseek_v3", "byte_bpe/falcon"}) {
    Json file = base;
    for (const auto& [key, value] : variations.at(name).at("set").members()) file.set(key, value);
    const Tokenizer tokenizer = read_tokenizer_json(dump(file));
    for (const std::string& text : texts) CHECK_MESSAGE(tokenizer.decode(tokenizer.encode(text)) == text, name, " ", text.size());
  }
}
