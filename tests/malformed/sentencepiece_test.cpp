// The malformed-input catalogue for SentencePiece's tokenizer.model (P): type, path, field, offset and reason.
#include <limits>

#include "malformed/protobuf_writer.hpp"
#include "malformed/refused.hpp"
#include "plume/tokenizer/read_sentencepiece.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"

using namespace plume_test;

namespace {

void load(const std::string& path) { plume::load_sentencepiece(path); }

const ModelPiece unknown{"<unk>", 0.0f, 2};
// The unknown piece stands last, so that no part of the file is a whole one.
std::string model(std::vector<ModelPiece> pieces, const std::string& before = "") {
  pieces.push_back(unknown);
  return before + pieces_bytes(pieces);
}
std::string trainer(const std::string& fields) { return bytes_field(2, fields); }
std::string with_map(const std::string& map) { return bytes_field(3, bytes_field(2, map)); }
std::string map_rejected(const std::vector<std::uint32_t>& units, std::string_view texts = std::string_view("b\0", 2)) {
  return model({{"a"}}, with_map(character_map(units, texts)));
}
constexpr std::uint64_t map_offset = 3;  // of field 2 of normalizer_spec: its key and a length of two bytes stand before it

}  // namespace

TEST_CASE("P1 an empty file") { refused("", load, {"", 0, "empty"}); }
TEST_CASE("P2 a varint of more than ten bytes, of more than 64 bits, cut") {
  refused("\x48" + std::string(11, '\xff'), load, {"field 9", {}, "64 bits"});
  refused("\x48" + std::string(9, '\xff') + '\x02', load, {"field 9", {}, "64 bits"});
  refused("\x48\xff", load, {"field 9", 2, "ends"});
}
TEST_CASE("P3 a length beyond the rest") {
  refused("\x0a\x7f\x0a", load, {"pieces[0]", 2, "ends"});
  refused("\x0a" + varint(std::uint64_t{1} << 63) + "x", load, {"pieces[0]", {}, "ends"});
  refused(bytes_field(1, "\x0a\x09x"), load, {"pieces[0].piece", {}, "ends"});
}
TEST_CASE("P4 a known field of another wire type") {
  refused("\x08\x01", load, {"pieces[0]", 0, "wire type"});
  refused(bytes_field(1, bytes_field(1, "a") + number_field(2, 7)), load, {"pieces[0].score", 5, "wire type"});
  refused(bytes_field(1, bytes_field(1, "a") + bytes_field(3, "x")), load, {"pieces[0].type", 5, "wire type"});
  refused(trainer(bytes_field(3, "x")), load, {"trainer_spec.model_type", 2, "wire type"});
}
TEST_CASE("P5 groups, nested 10,000 deep") {
  refused(std::string(10'000, '\x0b') + std::string(10'000, '\x0c'), load, {"key", 0, "wire type 3"});
}
TEST_CASE("P6 a piece without a text") {
  refused(model({{"a"}, {""}}), load, {"pieces[1].piece", ModelPiece{"a"}.bytes().size(), "empty"});
  refused(bytes_field(1, "") + model({}), load, {"pieces[0].piece", 0, "empty"});
}
TEST_CASE("P7 a piece twice") {
  const std::uint64_t second = ModelPiece{"a"}.bytes().size();
  refused(model({{"a"}, {"a"}}), load, {"pieces[1].piece", second, "duplicate"});
  refused(model({{"a"}, {"a", 0.0f, 4}}), load, {"pieces[1].piece", second, "duplicate"});
  refused(model({{"x", 0.0f, 3}, {"x", 0.0f, 3}}), load, {"pieces[1].piece", {}, "duplicate"});
}
TEST_CASE("P8 no unknown piece, or two") {
  const std::string none = pieces_bytes({{"a"}, {"b"}});
  refused(none, load, {"pieces", none.size(), "unknown piece"});
  refused(model({{"<other>", 0.0f, 2}}), load, {"pieces[1].type", {}, "second unknown"});
}
TEST_CASE("P9 byte pieces that are none, too few, or not asked for") {
  for (const char* text : {"<0x-1>", "<0xZZ>", "<0x0>", "<0x00", "<0x0a>"})
    refused(model({{text, 0.0f, 6}}, trainer(number_field(35, 1))), load, {"pieces[0].piece", 5, "no byte"});
  auto few = byte_pieces();
  few.pop_back();
  const std::string bytes = model(few, trainer(number_field(35, 1)));
  refused(bytes, load, {"pieces", bytes.size(), "found 255"});
  refused(model(byte_pieces()), load, {"pieces", 0, "byte_fallback is off"});
}
TEST_CASE("P10 scores that are not finite or absent") {
  for (const float score : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    refused(model({{"a", score}}), load, {"pieces[0].score", 5, "not finite"});
  refused(model({{"a", std::nullopt}}), load, {"pieces[0].score", 0, "has a score"});
}
TEST_CASE("P11 a type that there is none of") {
  refused(model({{"a", -1.0f, 99}}), load, {"pieces[0].type", 10, "unknown type 99"});
  refused(model({{"a", -1.0f, 0}}), load, {"pieces[0].type", 10, "unknown type 0"});
}
TEST_CASE("P12 a piece of 100 KB, one with NUL, one that is not UTF-8") {
  refused<plume::LimitError>(model({{std::string(100'000, 'a')}}), load, {"pieces[0].piece", {}, "max_token_text"});
  refused(model({{std::string("a\0b", 3)}}), load, {"pieces[0].piece", 2, "NUL"});
  refused(model({{"\xff"}}), load, {"pieces[0].piece", 2, "UTF-8"});
}
TEST_CASE("P13 a character map whose size is wrong") {
  const std::string field = "normalizer_spec.precompiled_charsmap";
  for (const char* map : {"\1", "\4\0\0"}) refused(model({{"a"}}, with_map(map)), load, {field, 2, "at least 4"});
  refused(model({{"a"}}, with_map(std::string("\x08\0\0\0\0\0\0\0", 8))), load, {field, 2, "within the 4"});
  refused(model({{"a"}}, with_map(std::string("\x03\0\0\0abc", 7))), load, {field, 2, "multiple of 4"});
  refused(model({{"a"}}, with_map(std::string("\xff\xff\xff\xff", 4))), load, {field, 2, "multiple of 4"});
}
TEST_CASE("P14 a character map whose trie leads out of it or round in a circle") {
  const std::string field = "normalizer_spec.precompiled_charsmap";
  auto units = one_key_trie();
  units[0] = 1u << 8;
  refused(map_rejected(units), load, {field, map_offset, "root"});
  units[0] = 300u << 10;
  refused(map_rejected(units), load, {field, map_offset, "leads to unit 300"});
  units = one_key_trie();
  units[97] = 97u | 1u << 8 | 4096u << 10;
  refused(map_rejected(units), load, {field, map_offset, "leads to unit"});
  units[97] = 97u | 97u << 10;  // back to the root's children
  refused(map_rejected(units), load, {field, map_offset, "circle"});
}
TEST_CASE("P15 a character map that leads beyond its texts, or whose last text does not end") {
  const std::string field = "normalizer_spec.precompiled_charsmap";
  auto units = one_key_trie();
  units[96] = 0x80000000u | 2;
  refused(map_rejected(units), load, {field, map_offset, "byte 2 of 2"});
  refused(map_rejected(one_key_trie(), "b"), load, {field, map_offset, "NUL"});
}
TEST_CASE("P16 many pieces that begin alike, many user-defined symbols: accepted") {
  std::vector<ModelPiece> pieces;
  for (std::size_t length = 1; length <= 200; ++length) pieces.push_back({std::string(length, 'a'), -static_cast<float>(length)});
  for (std::size_t length = 1; length <= 100; ++length) pieces.push_back({std::string(length, '-'), 0.0f, 4});
  for (const unsigned kind : {1u, 2u}) {
    const plume::Tokenizer tokenizer =
        plume::read_sentencepiece(model(pieces, trainer(number_field(3, kind)) + bytes_field(3, number_field(3, 0))));
    CHECK(tokenizer.encode(std::string(100, '-')) == std::vector<plume::TokenId>{299});
    CHECK(tokenizer.encode(std::string(200, '-')) == std::vector<plume::TokenId>{299, 299});
  }
  const TemporaryFolder folder;
  const plume::Tokenizer mapped = plume::load_sentencepiece(folder.write("ok", map_rejected(one_key_trie())));
  CHECK(mapped.encode("a") == std::vector<plume::TokenId>{1});  // it became b, which is unknown
}
TEST_CASE("P17 a model type that there is none of") {
  refused<plume::ConfigError>(model({{"a"}}, trainer(number_field(3, 5))), load, {"trainer_spec.model_type", 2, "unknown model type 5"});
  refused<plume::ConfigError>(model({{"a"}}, trainer(number_field(3, 0))), load, {"trainer_spec.model_type", 2, "unknown model type 0"});
  for (const unsigned kind : {1u, 2u, 3u, 4u}) CHECK_NOTHROW(plume::read_sentencepiece(model({{"a"}}, trainer(number_field(3, kind)))));
}
TEST_CASE("P18 half a million pieces without a text") {
  std::string bytes;
  for (int i = 0; i < 500'000; ++i) bytes += std::string_view("\x0a\0", 2);
  refused(bytes, load, {"pieces[0].piece", 0, "empty"});
  CHECK_THROWS_AS(plume::read_sentencepiece(model({{"a"}, {"b"}}), {.limits = {.max_vocabulary = 2}}), plume::LimitError);
}
TEST_CASE("P19 unknown fields are passed over: accepted") {
  const std::string more = number_field(9, 5) + varint(200 << 3 | 1) + "12345678" + bytes_field(201, "x") + float_field(202, 1);
  const std::string bytes = more + bytes_field(1, bytes_field(1, "a") + more + float_field(2, -1)) + trainer(more) + bytes_field(3, more) +
                            unknown.bytes() + more;
  CHECK(plume::read_sentencepiece(bytes).vocabulary() == 2);
}
TEST_CASE("tokens that stand beside a SentencePiece model, in added_tokens.json and tokenizer_config.json") {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", model({{"a"}, {"b"}}));
  const auto beside = [&](const std::string& name, const std::string& text) {
    for (const char* other : {"added_tokens.json", "tokenizer_config.json"}) std::filesystem::remove(folder / other);
    folder.write(name, text);
    return folder / "tokenizer.model";
  };
  const auto rejects = [&]<class Error>(const Error*, const std::string& name, const std::string& text, const Expected& expected) {
    const std::string path = beside(name, text);
    refused_file<Error>(
        folder / name, [&](const std::string&) { load(path); }, expected);
    for (const std::size_t size : {std::size_t{1}, text.size() / 2, text.size() - 1})
      CHECK_THROWS_AS(load(beside(name, text.substr(0, size))), plume::InputError);
  };
  constexpr const plume::FormatError* format = nullptr;
  constexpr const plume::ConfigError* config = nullptr;
  constexpr const plume::LimitError* limit = nullptr;
  rejects(format, "added_tokens.json", R"({"": 3})", {"[\"\"]", 5, "an added token is empty"});
  rejects(limit, "added_tokens.json", "{\"" + std::string(70'000, 'x') + "\": 3}",
          {"[\"" + std::string(80, 'x') + "...\"]", {}, "max_token_text"});
  rejects(format, "added_tokens.json", R"({"<x>": 4})", {"[\"<x>\"]", 8, "leaves a gap after 3 pieces"});
  rejects(format, "added_tokens.json", R"({"<x>": -1})", {"[\"<x>\"]", 8, "leaves a gap"});
  rejects(format, "added_tokens.json", R"({"<x>": 1})", {"[\"<x>\"]", 8, "belongs to \"b\""});
  const std::string decoder = "added_tokens_decoder";
  for (const std::string key : {"x", "-1", "3x", "", "99999999999999999999"})
    rejects(format, "tokenizer_config.json", R"({"added_tokens_decoder": {")" + key + R"(": {"content": "<x>"}}})",
            {key.empty() ? decoder + "[\"\"]" : decoder + "." + key, {}, "is not a token id"});
  rejects(config, "tokenizer_config.json", R"({"tokenizer_class": "PegasusTokenizerFast"})",
          {"tokenizer_class", 20, "\"PegasusTokenizer\" renumbers the pieces"});
  CHECK(plume::load_sentencepiece(beside("added_tokens.json", R"({"<x>": 3})")).vocabulary() == 4);
  CHECK_NOTHROW(load(beside("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer"})")));
  try {
    plume::read_sentencepiece(model({{"a"}}), {.path = "m", .limits = {.max_tokenizer_bytes = 8}});
    FAIL_CHECK("accepted");
  } catch (const plume::LimitError& error) {
    CHECK(error.where().path == "m");
    CHECK(error.where().offset == 0);
    CHECK(error.limit() == "max_tokenizer_bytes");
  }
}
TEST_CASE("every byte of a SentencePiece model changed, every part of it") {
  std::vector<ModelPiece> pieces = {{"<s>", 0.0f, 3},
                                    {"a"},
                                    {"\xe2\x96\x81"
                                     "a"},
                                    {"ab", -2.0f},
                                    {"u", 0.0f, 4},
                                    {"n", -3.0f, 5}};
  for (const unsigned kind : {1u, 2u, 3u, 4u})
    sweep(model(pieces, trainer(number_field(3, kind)) + bytes_field(3, number_field(4, kind % 2))), [](const std::string& path) {
      const plume::Tokenizer tokenizer = plume::load_sentencepiece(path);
      tokenizer.decode(tokenizer.encode("a  ab<s> nu\xff\n", {.special = plume::SpecialText::recognise}));
    });
}

TEST_CASE("what begins a model of SentencePiece, cut anywhere, is not taken for one") {
  for (const std::string& beginning : {std::string("\x0a\x0e\x0a\x05"), std::string("\x0a\x80\x80\x01\x0a\x05")}) {
    const std::size_t enough = beginning.size() - 1;
    for (std::size_t size = 0; size <= beginning.size(); ++size)
      CHECK(plume::looks_like_sentencepiece(std::string_view(beginning).substr(0, size)) == (size >= enough));
  }
  for (const std::string_view other : {"\x0b\x0e\x0a\x05", "\x0a\x0e\x0b\x05", "{\"a\": 1}"})
    CHECK(!plume::looks_like_sentencepiece(other));
  CHECK(!plume::looks_like_sentencepiece(std::string_view("\x0a\x00\x0a\x05", 4)));
  CHECK(!plume::looks_like_sentencepiece("\x0a\xff\xff\xff\xff\xff\x01\x0a"));
}
