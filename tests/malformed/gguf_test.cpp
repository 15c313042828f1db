// The malformed-input catalogue for the header of GGUF files and the vocabularies in them (G): type, path, field, offset and reason.
#include "plume/formats/gguf.hpp"

#include <cmath>
#include <filesystem>

#include "malformed/gguf_writer.hpp"
#include "malformed/refused.hpp"
#include "plume/base/files.hpp"
#include "plume/formats/named_tensor.hpp"
#include "plume/tokenizer/byte_characters.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/gguf_tokenizer.hpp"

using namespace plume_test;

namespace {

void header(const std::string& path) {
  const auto file = plume::FileMapping::open(path);
  plume::GgufHeader::read(file->bytes(), path);
}
void tensors(const std::string& path) {
  const plume::GgufFile file = plume::read_gguf(path);
  for (const plume::GgufStored& stored : file.tensors()) file.tensor(stored.name).copy();
}
void vocabulary(const std::string& path) { plume::load_gguf_tokenizer(path); }
const std::string tokens_key = "tokenizer.ggml.tokens", scores_key = "tokenizer.ggml.scores", types_key = "tokenizer.ggml.token_type",
                  merges_key = "tokenizer.ggml.merges";

// A vocabulary of scored pieces.
struct Pieces {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "a", "b", "ab"};
  std::vector<float> scores = {0, 0, 0, -1, -2, -3};
  std::vector<std::int32_t> types = {2, 3, 3, 1, 1, 1};
  std::vector<std::string> more = {};
  std::string bytes() const {
    std::vector<std::string> entries = {gguf_string("tokenizer.ggml.model", "llama"), gguf_texts(tokens_key, tokens),
                                        gguf_numbers(scores_key, scores), gguf_numbers(types_key, types)};
    entries.insert(entries.end(), more.begin(), more.end());
    return gguf_file(entries);
  }
};
// A byte-level vocabulary: all bytes, then "ab", then the rest.
std::string byte_level(const std::vector<std::string>& rest, const std::vector<std::string>& merges, std::vector<std::string> more = {}) {
  std::vector<std::string> tokens;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char raw = static_cast<char>(static_cast<unsigned char>(byte));
    tokens.push_back(plume::bytes_to_characters({&raw, 1}));
  }
  tokens.push_back("ab");
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  std::vector<std::string> entries = {gguf_string("tokenizer.ggml.model", "gpt2"), gguf_string("tokenizer.ggml.pre", "gpt-2"),
                                      gguf_texts(tokens_key, tokens), gguf_texts(merges_key, merges)};
  entries.insert(entries.end(), more.begin(), more.end());
  return gguf_file(entries);
}
std::string one_tensor(const std::vector<std::uint64_t>& shape, std::uint32_t type, std::uint64_t offset, std::size_t data = 128) {
  return gguf_file({}, {gguf_tensor("w", shape, type, offset)}, std::string(data, '\0'));
}

}  // namespace

TEST_CASE("G1 another magic") {
  refused("", header, {"magic", 0, "ends"});
  refused("GGML" + std::string(40, '\0'), header, {"magic", 0, "GGUF"});
}
TEST_CASE("G2 versions 0, 1 and 4") {
  for (const std::uint32_t version : {0u, 1u, 4u}) refused(gguf_file({}, {}, "", version), header, {"version", 4, "2 and 3 are read"});
  const TemporaryFolder folder;
  CHECK_NOTHROW(header(folder.write("two", gguf_file({}, {}, "", 2))));
}
TEST_CASE("G3 a big-endian file") { refused(gguf_file({}, {}, "", 0x03000000), header, {"version", 4, "byte order"}); }
TEST_CASE("G4 a wrong number of entries") {
  for (const std::uint64_t count : {~std::uint64_t{0}, std::uint64_t{1} << 62, std::uint64_t{1}})
    refused("GGUF" + little(3u) + little(std::uint64_t{0}) + little(count), header, {"metadata_kv_count", 16, "entries"});
}
TEST_CASE("G5 a wrong number of tensors") {
  for (const std::uint64_t count : {~std::uint64_t{0}, std::uint64_t{1} << 62, std::uint64_t{1}})
    refused("GGUF" + little(3u) + little(count) + little(std::uint64_t{0}), header, {"tensor_count", 8, "tensors"});
}
TEST_CASE("G6 the length of a key: 2^64 - 1, beyond the rest, 0, over 64 KiB") {
  const auto with = [](std::uint64_t length, std::size_t rest) {
    return "GGUF" + little(3u) + little(std::uint64_t{0}) + little(std::uint64_t{1}) + little(length) + std::string(rest, 'k');
  };
  refused<plume::LimitError>(with(~std::uint64_t{0}, 20), header, {"metadata[0].key", {}, "max_gguf_key"});
  refused(with(21, 20), header, {"metadata[0].key", 32, "ends"});
  refused(with(0, 20), header, {"metadata[0].key", 24, "empty"});
  refused<plume::LimitError>(with(65'537, 70'000), header, {"metadata[0].key", {}, "max_gguf_key"});
}
TEST_CASE("G7 value types 13 and 255") {
  for (const std::uint32_t type : {13u, 255u}) refused(gguf_file({gguf_entry("k", type, "12345678")}), header, {"k", 33, "no value type"});
}
TEST_CASE("G8 an array of arrays, of a type that there is none of") {
  refused(gguf_file({gguf_array("k", 9, 1, "1234567890123")}), header, {"k", 37, "array of arrays"});
  refused(gguf_file({gguf_array("k", 14, 1, "1234567890123")}), header, {"k", 37, "no value type 14"});
}
TEST_CASE("G9 an array of 2^60 elements in 100 bytes") {
  for (const std::uint32_t element : {0u, 5u, 8u})
    refused<plume::LimitError>(gguf_file({gguf_array("k", element, std::uint64_t{1} << 60, std::string(60, '\0'))}), header,
                               {"k", {}, "max_gguf_elements"});
  refused(gguf_file({gguf_array("k", 5, 16, std::string(60, '\0'))}), header, {"k", {}, "16 elements"});
}
TEST_CASE("G10 a text of 1 GiB in a small file") {
  refused(gguf_file({gguf_entry("k", 8, little(std::uint64_t{1} << 30) + "text")}), header, {"k", {}, "ends"});
  refused(gguf_file({gguf_array("k", 8, 2, gguf_text("ok") + little(~std::uint64_t{0}))}), header, {"k[1]", {}, "ends"});
}
TEST_CASE("G11 a key twice") {
  refused(gguf_file({gguf_u32("k", 1), gguf_u32("k", 1)}), header, {"k", 24 + gguf_u32("k", 1).size(), "duplicate"});
}
TEST_CASE("G12 a tensor twice") {
  const std::string tensor = gguf_tensor("w", {4}, 0, 0), other = gguf_tensor("w", {4}, 0, 32);
  refused(gguf_file({}, {tensor, other}, std::string(64, '\0')), header, {"tensors[1].name", 24 + tensor.size(), "duplicate"});
}
TEST_CASE("G13 an alignment of 0, 13 or 2^31, or of another type") {
  const std::string key = "general.alignment";
  const std::uint64_t offset = 24 + 8 + key.size() + 4;
  for (const std::uint32_t value : {0u, 13u}) refused(gguf_file({gguf_u32(key, value)}), header, {key, offset, "power of two"});
  refused<plume::LimitError>(gguf_file({gguf_u32(key, 1u << 31)}), header, {key, offset, "max_gguf_alignment"});
  refused(gguf_file({gguf_entry(key, 10, little(std::uint64_t{32}))}), header, {key, offset, "u32"});
}
TEST_CASE("G14 the name of a tensor has 64 bytes, or none") {
  refused(gguf_file({}, {gguf_tensor(std::string(64, 'w'), {4}, 0, 0)}, std::string(32, '\0')), header, {"tensors[0].name", 24, "1 to 63"});
  refused(gguf_file({}, {gguf_tensor("", {4, 1}, 0, 0)}, std::string(32, '\0')), header, {"tensors[0].name", 24, "1 to 63"});
}
TEST_CASE("G15 a tensor of 0, 5 or 2^32 - 1 dimensions") {
  refused(gguf_file({}, {gguf_tensor("w", {}, 0, 0)}, std::string(64, '\0')), header, {"tensors[0].n_dims", 33, "1 to 4"});
  refused(gguf_file({}, {gguf_tensor("w", {1, 1, 1, 1, 1}, 0, 0)}, std::string(32, '\0')), header, {"tensors[0].n_dims", 33, "1 to 4"});
  std::string many = one_tensor({4}, 0, 0);
  many.replace(33, 4, 4, '\xff');
  refused(many, header, {"tensors[0].n_dims", 33, "1 to 4"});
}
TEST_CASE("G16 dimensions of 0 or below, a product that overflows") {
  refused(one_tensor({0}, 0, 0), header, {"tensors[0].dims", 37, "at least 1"});
  refused(one_tensor({~std::uint64_t{0}}, 0, 0), header, {"tensors[0].dims", 37, "at least 1"});
  refused(one_tensor({std::uint64_t{1} << 40, std::uint64_t{1} << 40}, 0, 0), header, {"tensors[0].dims", 37, "overflows"});
  refused(one_tensor({std::uint64_t{1} << 62}, 28, 0), header, {"tensors[0].dims", {}, "overflows"});
}
TEST_CASE("G17 tensor types that are unknown or were removed") {
  for (const std::uint32_t type : {4u, 5u, 31u, 36u, 255u}) refused(one_tensor({256}, type, 0), header, {"tensors[0].type", 45, "removed"});
}
TEST_CASE("G18 rows that are no whole blocks") {
  refused(one_tensor({33}, 8, 0), header, {"tensors[0].dims", {}, "multiple of a block of 32"});
  refused(one_tensor({128}, 12, 0, 512), header, {"tensors[0].dims", {}, "multiple of a block of 256"});
}
TEST_CASE("G19 offsets: misaligned, overlapping, past the end, near 2^64") {
  refused(one_tensor({4}, 0, 8), header, {"tensors[0].offset", 49, "alignment"});
  refused(one_tensor({4}, 0, 128), header, {"tensors[0].offset", 49, "past the end"});
  refused(one_tensor({4}, 0, ~std::uint64_t{31}), header, {"tensors[0].offset", 49, "past the end"});
  const std::string first = gguf_tensor("v", {16}, 0, 32), second = gguf_tensor("w", {16}, 0, 0);
  refused(gguf_file({}, {first, second}, std::string(128, '\0')), header,
          {"tensors[0].offset", 24 + first.size() - 8, "overlaps tensors[1]"});
  const TemporaryFolder folder;
  const std::string third = gguf_tensor("w", {8}, 0, 0);  // unsorted, but apart
  CHECK_NOTHROW(header(folder.write("ok", gguf_file({}, {first, third}, std::string(96, '\0')))));
}
TEST_CASE("G20 data that is cut") { refused(one_tensor({32}, 0, 0, 127), header, {"tensors[0].offset", 49, "past the end"}); }
TEST_CASE("G22 tokens that are no texts; scores and types of another number or kind") {
  Pieces pieces;
  const std::uint64_t tokens_at = 24 + gguf_string("tokenizer.ggml.model", "llama").size();
  const std::uint64_t scores_at = tokens_at + gguf_texts(tokens_key, pieces.tokens).size();
  const auto value = [](std::uint64_t entry, const std::string& key) { return entry + 8 + key.size() + 4 + 12; };
  refused(gguf_file({gguf_string("tokenizer.ggml.model", "llama"), gguf_numbers<std::int32_t>(tokens_key, {1, 2})}), vocabulary,
          {tokens_key, value(tokens_at, tokens_key), "array of text"});
  refused(gguf_file({gguf_string("tokenizer.ggml.model", "llama"), gguf_string(tokens_key, "a")}), vocabulary,
          {tokens_key, value(tokens_at, tokens_key) - 12, "array of text"});
  pieces.scores.pop_back();
  refused(pieces.bytes(), vocabulary, {scores_key, value(scores_at, scores_key), "5 values for 6 tokens"});
  pieces = {};
  pieces.types.push_back(1);
  refused(pieces.bytes(), vocabulary, {types_key, {}, "7 values for 6 tokens"});
  pieces = {};
  pieces.types[4] = 9;
  refused(pieces.bytes(), vocabulary, {types_key + "[4]", {}, "unknown type 9"});
  pieces = {};
  pieces.scores[3] = std::nanf("");
  refused(pieces.bytes(), vocabulary, {scores_key + "[3]", value(scores_at, scores_key) + 12, "not finite"});
  const std::string model = gguf_string("tokenizer.ggml.model", "llama"), tokens = gguf_texts(tokens_key, pieces.tokens);
  refused(gguf_file({model, tokens, gguf_texts(scores_key, pieces.tokens)}), vocabulary, {scores_key, {}, "array of f32"});
  refused(gguf_file({model, tokens, gguf_numbers(types_key, pieces.scores)}), vocabulary, {types_key, {}, "array of i32"});
}
TEST_CASE("G23 ids outside the vocabulary; the largest u32 stands for none: accepted") {
  for (const std::string role : {"bos", "eos", "padding", "unknown", "seperator"}) {
    Pieces pieces;
    const std::string key = "tokenizer.ggml." + role + "_token_id";
    pieces.more = {gguf_u32(key, 6)};
    refused<plume::ConfigError>(pieces.bytes(), vocabulary, {key, pieces.bytes().size() - 4, "has 6 tokens"});
    if (role == "bos" || role == "unknown") continue;
    pieces.more = {gguf_u32(key, 4294967295u)};
    const TemporaryFolder folder;
    CHECK_NOTHROW(vocabulary(folder.write("ok", pieces.bytes())));
  }
}
TEST_CASE("G24 tokens that are no byte, too long, empty, no UTF-8, or twice") {
  const std::uint64_t first = 24 + gguf_string("tokenizer.ggml.model", "llama").size() + 8 + tokens_key.size() + 4 + 12;
  const auto offset = [&](const Pieces& pieces, std::size_t id) {
    std::uint64_t at = first;
    for (std::size_t i = 0; i < id; ++i) at += 8 + pieces.tokens[i].size();
    return at + 8;
  };
  for (const char* text : {"<0x-1>", "<0xZZ>"}) {
    Pieces pieces;
    pieces.tokens[4] = text, pieces.types[4] = 6;
    refused(pieces.bytes(), vocabulary, {tokens_key + "[4]", offset(pieces, 4), "no byte"});
  }
  Pieces pieces;
  pieces.tokens[4] = std::string(70'000, 'x');
  refused<plume::LimitError>(pieces.bytes(), vocabulary, {tokens_key + "[4]", offset(pieces, 4), "max_token_text"});
  for (const auto& [text, word] : {std::pair("", "empty"), std::pair("\xff", "UTF-8"), std::pair("a", "duplicate")}) {
    pieces.tokens[4] = text;
    refused(pieces.bytes(), vocabulary, {tokens_key + "[4]", offset(pieces, 4), word});
  }
}
TEST_CASE("G25 merges without a space, with parts that are no tokens; an unknown pre-tokeniser or kind") {
  for (const char* line : {"ab", "a ", "a", "", " a"})
    refused(byte_level({}, {line}), vocabulary, {merges_key + "[0]", {}, "space between"});
  refused(byte_level({}, {"a b", "xyz b"}), vocabulary, {merges_key + "[1]", {}, "left part \"xyz\""});
  refused(byte_level({}, {"a xyz"}), vocabulary, {merges_key + "[0]", {}, "right part \"xyz\""});
  refused(byte_level({}, {"b a"}), vocabulary, {merges_key + "[0]", {}, "result \"ba\""});
  const std::string sound = byte_level({}, {"a b"});
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string bytes = sound;
    return bytes.replace(bytes.find(from), from.size(), to);
  };
  refused<plume::ConfigError>(changed(gguf_text("gpt-2"), gguf_text("gpt-9")), vocabulary,
                              {"tokenizer.ggml.pre", {}, "unknown pre-tokeniser \"gpt-9\""});
  refused<plume::ConfigError>(changed(gguf_text("gpt2"), gguf_text("rwkv")), vocabulary, {"tokenizer.ggml.model", {}, "unknown kind"});
  refused<plume::ConfigError>(gguf_file({gguf_u32("k", 1)}), vocabulary, {"tokenizer.ggml.model", 0, "no tokenizer"});
  const TemporaryFolder folder;
  const plume::Tokenizer tokenizer =
      plume::load_gguf_tokenizer(folder.write("ok", byte_level({"<x>"}, {"a b"}, {gguf_bool("tokenizer.ggml.add_bos_token", false)})));
  CHECK(tokenizer.encode("ab") == std::vector<plume::TokenId>{256});
}
TEST_CASE("G26 a bool that is 2") { refused(gguf_file({gguf_entry("k", 7, "\2")}), header, {"k", 37, "bool is 0 or 1"}); }

TEST_CASE("GGUF: Limits are kept, and a getter of the wrong kind says what there is") {
  const auto one_allowed = [](const std::string& path) {
    const auto file = plume::FileMapping::open(path);
    plume::GgufHeader::read(file->bytes(), path, {.max_tensors = 1});
  };
  const std::string two = gguf_file({}, {gguf_tensor("v", {8}, 0, 0), gguf_tensor("w", {8}, 0, 32)}, std::string(64, '\0'));
  refused<plume::LimitError>(two, one_allowed, {"tensor_count", 8, "max_tensors"});
  const std::string one = gguf_file({}, {gguf_tensor("v", {8}, 0, 0)}, std::string(32, '\0'));
  CHECK_NOTHROW(plume::GgufHeader::read(std::as_bytes(std::span(one)), "one.gguf", {.max_tensors = 1}));
  const auto three_allowed = [](const std::string& path) { plume::load_gguf_tokenizer(path, {.limits = {.max_vocabulary = 3}}); };
  refused<plume::LimitError>(Pieces().bytes(), three_allowed, {tokens_key, {}, "max_vocabulary"});
  const std::string texts = gguf_file({gguf_texts("k", {"a"})});
  const auto reals = [](const std::string& path) {
    const auto file = plume::FileMapping::open(path);
    plume::GgufHeader::read(file->bytes(), path).reals("k");
  };
  refused<plume::ConfigError>(texts, reals, {"k", {}, "is an array of text, expected an array of f32"});
}
TEST_CASE("vocabularies of GGUF that lack what their kind needs") {
  Pieces pieces;
  pieces.tokens[4] = "<0x41>", pieces.types[4] = 6;
  refused(pieces.bytes(), vocabulary, {tokens_key, {}, "holds 1 of 256 byte tokens"});
  const std::string t5 = gguf_string("tokenizer.ggml.model", "t5"), tokens = gguf_texts(tokens_key, Pieces().tokens);
  const std::string map = "tokenizer.ggml.precompiled_charsmap";
  refused(gguf_file({t5, tokens, gguf_numbers<std::int32_t>(map, {1, 2})}), vocabulary, {map, {}, "array of u8"});
  refused(gguf_file({t5, tokens, gguf_string(map, "abcd")}), vocabulary, {map, {}, "array of u8"});
  const std::string gpt2 = gguf_string("tokenizer.ggml.model", "gpt2"), bytes = byte_level({}, {});
  refused<plume::ConfigError>(gguf_file({gpt2, tokens}), vocabulary, {merges_key, 0, "is missing"});
  refused(gguf_file({gpt2, tokens, gguf_numbers<std::int32_t>(merges_key, {1})}), vocabulary, {merges_key, {}, "array of text"});
  refused(gguf_file({gpt2, tokens, gguf_string(merges_key, "a b")}), vocabulary, {merges_key, {}, "array of text"});
  const std::string bert = gguf_string("tokenizer.ggml.model", "bert");
  refused<plume::ConfigError>(gguf_file({bert, tokens}), vocabulary, {"tokenizer.ggml.unknown_token_id", 0, "WordPiece needs it"});
  const std::string adds = "tokenizer.ggml.add_bos_token";
  refused<plume::ConfigError>(byte_level({}, {"a b"}, {gguf_bool(adds, true)}), vocabulary, {adds, 0, "names no such token"});
}

TEST_CASE("a tokenizer.json cannot say how some vocabularies of GGUF cut text") {
  std::string bytes = byte_level({}, {"a b"});
  bytes.replace(bytes.find(gguf_text("gpt-2")), gguf_text("gpt-2").size(), gguf_text("starcoder"));
  const TemporaryFolder folder;
  const plume::Tokenizer tokenizer = plume::load_gguf_tokenizer(folder.write("ok", bytes));
  CHECK_THROWS_WITH_AS(plume::write_tokenizer_json(tokenizer), doctest::Contains("has no expression"), plume::ArgumentError);
}

TEST_CASE("every byte of a GGUF vocabulary changed, every part of it") {
  Pieces pieces;
  pieces.more = {gguf_bool("tokenizer.ggml.add_bos_token", true), gguf_u32("tokenizer.ggml.eos_token_id", 2)};
  const TemporaryFolder folder;
  const std::string valid = pieces.bytes();
  const auto read = [](const std::string& path) {
    const plume::Tokenizer tokenizer = plume::load_gguf_tokenizer(path);
    tokenizer.decode(tokenizer.encode("a  ab<s>\xff\n", {.special = plume::SpecialText::recognise}));
  };
  for (std::size_t size = 0; size < valid.size(); ++size)
    CHECK_THROWS_AS(read(folder.write("cut", valid.substr(0, size))), plume::InputError);
  for (std::size_t at = 0; at < valid.size(); ++at)
    for (const unsigned change : {0x01u, 0x80u, 0xffu}) {
      std::string bytes = valid;
      bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ change);
      try {
        read(folder.write("flipped", bytes));
      } catch (const plume::InputError& error) {
        CHECK(!error.reason().empty());
      }
    }
}

namespace {

// One of several files with a tensor of one number.
std::string part(std::uint16_t no, std::uint16_t count, std::int32_t all, std::string_view name) {
  return gguf_file({gguf_entry("split.no", 2, little(no)), gguf_entry("split.count", 2, little(count)),
                    gguf_entry("split.tensors.count", 5, little(all))},
                   {gguf_tensor(name, {1}, 0, 0)}, little(1.5f));
}
constexpr std::uint64_t no_at = 24 + 8 + 8 + 4, count_at = no_at + 2 + 8 + 11 + 4, all_at = count_at + 2 + 8 + 19 + 4;

}  // namespace

TEST_CASE("G17 tensor types that plume does not read are named when they are asked for") {
  const std::string bytes = one_tensor({256}, 17, 0);
  const TemporaryFolder folder;
  CHECK_NOTHROW(header(folder.write("ok", bytes)));
  refused_file<plume::ConfigError>(folder.write("bad", bytes), tensors, {"tensors[0] \"w\"", 24, "IQ2_XS"});
}
TEST_CASE("G27 parts: wrong numbers, a missing one, one of another file, a tensor in two") {
  const TemporaryFolder folder;
  const std::string first = folder / "m-00001-of-00002.gguf", second = folder / "m-00002-of-00002.gguf";
  const auto with = [&](const std::string& one, const std::string& two) {
    folder.write("m-00001-of-00002.gguf", one);
    folder.write("m-00002-of-00002.gguf", two);
  };
  const auto second_refused = [&]<class Error>(const Error&, const Expected& expected) {
    try {
      tensors(first);
      FAIL_CHECK("not refused");
    } catch (const Error& error) {
      CHECK(error.where().path == second);
      CHECK(error.where().field == expected.field);
      CHECK(error.where().offset == expected.offset);
      CHECK(error.reason().find(expected.word) != std::string::npos);
    }
  };
  const plume::ConfigError config({}, "");
  const plume::FormatError format({}, "");
  with(part(0, 2, 2, "v"), part(1, 2, 2, "w"));
  CHECK_NOTHROW(tensors(first));
  refused_file<plume::ConfigError>(second, tensors, {"split.no", no_at, "open the first"});
  folder.write("other.gguf", part(0, 2, 2, "v"));
  refused_file<plume::ConfigError>(folder / "other.gguf", tensors, {"split.count", count_at, "-00001-of-00002.gguf"});
  for (const std::uint16_t no : {std::uint16_t{2}, std::uint16_t{65535}}) {
    with(part(no, 2, 2, "v"), part(1, 2, 2, "w"));
    refused_file<plume::ConfigError>(first, tensors, {"split.no", no_at, "not one of 2"});
  }
  with(part(0, 3, 2, "v"), part(1, 2, 2, "w"));
  refused_file<plume::ConfigError>(first, tensors, {"split.count", count_at, "-00001-of-00003.gguf"});
  with(part(0, 2, 3, "v"), part(1, 2, 2, "w"));
  refused_file<plume::ConfigError>(first, tensors, {"split.tensors.count", all_at, "the parts hold 2"});
  with(gguf_file({gguf_bool("split.count", true)}), part(1, 2, 2, "w"));
  refused_file<plume::ConfigError>(first, tensors, {"split.count", {}, "a whole number"});
  with(gguf_file({gguf_entry("split.count", 3, little(std::int16_t{-2}))}), part(1, 2, 2, "w"));
  refused_file<plume::ConfigError>(first, tensors, {"split.count", {}, "-2"});
  with(part(0, 2, 2, "v"), part(0, 2, 2, "w"));
  second_refused(config, {"split.no", no_at, "expected 1"});
  with(part(0, 2, 2, "v"), part(1, 3, 2, "w"));
  second_refused(config, {"split.count", count_at, "is 3"});
  with(part(0, 2, 2, "v"), gguf_file({}));
  second_refused(config, {"split.no", 0, "missing"});
  with(part(0, 2, 2, "v"), part(1, 2, 2, "v"));
  second_refused(format, {"tensors[0] \"v\"", all_at + 4, "another part"});
  with(part(0, 2, 2, "v"), part(1, 2, 2, "w").substr(0, 90));
  CHECK_THROWS_AS(tensors(first), plume::FormatError);
  std::filesystem::remove(second);
  CHECK_THROWS_AS(tensors(first), plume::IoError);
  std::filesystem::create_symlink(folder.write("elsewhere", part(1, 2, 2, "w")), second);
  refused_file<plume::FormatError>(first, tensors, {"split.count", count_at, "symbolic link"});
  CHECK_NOTHROW(plume::read_gguf(first, {.symlinks = plume::Symlinks::follow}));
  with(part(0, 0, 2, "v"), "");  // what llama.cpp leaves in a file that it has joined
  CHECK_NOTHROW(tensors(first));
  with(part(0, 2, 2, "v"), part(1, 2, 2, "w"));
  plume::Limits limits;
  limits.max_tensors = 1;
  CHECK_THROWS_AS(plume::read_gguf(first, {.limits = limits}), plume::LimitError);
}
TEST_CASE("G29 scales that are NaN or infinite are read; check_finite names tensor and place") {
  const TemporaryFolder folder;
  for (const char* scale : {"\x00\x7c", "\x00\x7e", "\x00\xfc"}) {
    std::string block(34, '\x01');
    block.replace(0, 2, scale, 2);
    const plume::GgufFile file =
        plume::read_gguf(folder.write("m.gguf", gguf_file({}, {gguf_tensor("w", {32, 2}, 8, 0)}, std::string(34, '\x01') + block)));
    CHECK_THROWS_WITH_AS(plume::check_finite({"w", file.tensor("w")}, file.path()),
                         doctest::Contains("m.gguf: tensor \"w\" is not finite at row 1, column 0"), plume::NumericError);
  }
}
