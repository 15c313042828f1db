// The malformed-input catalogue for vocab.json + merges.txt (T) and llama2.c's tokenizer.bin (N): type, path, field and reason.
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "plume/base/json.hpp"
#include "plume/tokenizer/base64.hpp"
#include "plume/tokenizer/byte_characters.hpp"
#include "plume/tokenizer/byte_pair_files.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/llama2c_tokenizer.hpp"
#include "plume/tokenizer/tiktoken.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "test_data.hpp"

namespace {

struct Files {
  std::string directory = (std::filesystem::temp_directory_path() / "plume-malformed-XXXXXX").string();
  Files() { REQUIRE(mkdtemp(directory.data()) != nullptr); }
  ~Files() { std::filesystem::remove_all(directory); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(directory + "/" + name, std::ios::binary) << content;
  }
};

// Loading the directory must throw Expected that names this file, field and reason.
template <class Expected>
void rejects(const Files& files, const std::string& name, const std::string& field, const std::string& reason) {
  CAPTURE(name);
  CAPTURE(field);
  CAPTURE(reason);
  try {
    plume::load_tokenizer(files.directory);
    FAIL_CHECK("accepted");
  } catch (const plume::InputError& error) {
    CAPTURE(std::string(error.what()));
    CHECK(dynamic_cast<const Expected*>(&error) != nullptr);
    CHECK(error.where().path == files.directory + "/" + name);
    CHECK(error.where().field == field);
    CHECK((error.where().offset || error.where().line || field.empty()));
    CHECK(error.reason().find(reason) != std::string::npos);
  }
}

using Entries = std::vector<std::pair<std::string, std::string>>;  // piece and its id as JSON

// A sound vocabulary: 256 bytes and "ab", "abc", made by the merges "a b" and "ab c".
Entries sound() {
  Entries entries;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char raw = static_cast<char>(static_cast<unsigned char>(byte));
    entries.emplace_back(plume::bytes_to_characters({&raw, 1}), std::to_string(byte));
  }
  entries.emplace_back("ab", "256");
  entries.emplace_back("abc", "257");
  return entries;
}
const std::string sound_merges = "#version: 0.2\na b\nab c\n";

std::string json(const Entries& entries) {
  std::string out = "{";
  for (const auto& [piece, id] : entries) {
    if (out.size() > 1) out += ", ";
    plume::append_json_text(out, piece);
    out += ": " + id;
  }
  return out + "}";
}

void vocabulary_rejects(const Entries& entries, const std::string& field, const std::string& reason) {
  const Files files;
  files.write("vocab.json", json(entries));
  files.write("merges.txt", sound_merges);
  rejects<plume::FormatError>(files, "vocab.json", field, reason);
}
void merges_reject(const std::string& merges, const std::string& field, const std::string& reason) {
  const Files files;
  files.write("vocab.json", json(sound()));
  files.write("merges.txt", merges);
  rejects<plume::FormatError>(files, "merges.txt", field, reason);
}
Entries with(const std::string& piece, const std::string& id) {  // one entry replaced
  Entries entries = sound();
  for (auto& entry : entries)
    if (entry.first == piece) entry.second = id;
  return entries;
}

// A sound tokenizer.bin with the given tokens behind the 259 fixed ones.
struct Token {
  float score;
  std::int32_t length;
  std::string bytes;
};
std::string llama2c(const std::vector<Token>& more, std::int32_t longest = 8) {
  std::string out;
  const auto put = [&](const auto& value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    out.append(raw, sizeof value);
  };
  const auto token = [&](const Token& t) {
    put(t.score);
    put(t.length);
    out += t.bytes;
  };
  put(longest);
  for (const char* fixed : {"<unk>", "\n<s>\n", "\n</s>\n"}) token({0, static_cast<std::int32_t>(std::strlen(fixed)), fixed});
  for (unsigned byte = 0; byte < 256; ++byte) {
    char piece[8];
    std::snprintf(piece, sizeof piece, "<0x%02X>", byte);
    token({0, 6, piece});
  }
  for (const Token& t : more) token(t);
  return out;
}
void llama2c_rejects(const std::string& content, const std::string& field, const std::string& reason) {
  const Files files;
  files.write("tokenizer.bin", content);
  rejects<plume::FormatError>(files, "tokenizer.bin", field, reason);
}

}  // namespace

TEST_CASE("The seeds themselves are sound") {
  const Files files;
  files.write("vocab.json", json(sound()));
  files.write("merges.txt", sound_merges);
  CHECK(plume::load_tokenizer(files.directory).encode("abcab") == std::vector<plume::TokenId>{257, 256});
  const Files other;
  other.write("tokenizer.bin", llama2c({{-1, 1, "a"}, {-2, 1, " "}, {-3, 2, " a"}}));
  CHECK(plume::load_tokenizer(other.directory).encode("a") == std::vector<plume::TokenId>{1, 261});
}

TEST_CASE("T1 vocab.json is not an object, empty or cut") {
  for (const auto& [content, reason] :
       {std::pair("[1, 2]", "object"), std::pair("", "ends"), std::pair("{\"a\": 0", "ends"), std::pair("{} x", "more text")}) {
    const Files files;
    files.write("vocab.json", content);
    files.write("merges.txt", sound_merges);
    rejects<plume::FormatError>(files, "vocab.json", "", reason);
  }
}

TEST_CASE("T2 an unknown kind, class or way to cut is named") {
  const Files files;
  files.write("vocab.json", json(sound()));
  files.write("merges.txt", sound_merges);
  for (const auto& [content, field, reason] :
       {std::tuple(R"({"tokenizer_class": "LlamaTokenizer"})", "tokenizer_class", "\"LlamaTokenizer\" cuts text"),
        {R"({"tokenizer_class": 3})", "tokenizer_class", "expected a text"},
        {R"({"add_bos_token": true})", "add_bos_token", "there is no bos_token"},
        {R"({"add_prefix_space": true})", "add_prefix_space", "only false"},
        {R"({"added_tokens_decoder": {"258": {"content": "<x>"}}})", "added_tokens_decoder.258", "is not special"},
        {R"([])", "", "expected an object"}}) {
    files.write("tokenizer_config.json", content);
    rejects<plume::ConfigError>(files, "tokenizer_config.json", field, reason);
  }
  files.write("plume-tokenizer.json", R"({"kind": "unigram"})");
  rejects<plume::ConfigError>(files, "plume-tokenizer.json", "kind", "unknown kind \"unigram\" (known: characters, bytes)");
  files.write("plume-tokenizer.json", R"({"kind": "characters", "characters": []})");
  rejects<plume::ConfigError>(files, "plume-tokenizer.json", "characters", "is empty");
  files.write("plume-tokenizer.json", R"({"kind": "characters", "characters": ["a", "bc"]})");
  rejects<plume::ConfigError>(files, "plume-tokenizer.json", "characters[1]", "is not one character");
  files.write("plume-tokenizer.json", R"({"kind": "characters", "characters": ["b", "a"]})");
  rejects<plume::ConfigError>(files, "plume-tokenizer.json", "characters[1]", "code point order");
}

TEST_CASE("T3 vocabulary id negative, duplicate, gap, > 2^31, float or text") {
  vocabulary_rejects(with("ab", "-1"), "ab", "outside 0 to 257");
  vocabulary_rejects(with("ab", "5"), "ab", "duplicate id 5");
  vocabulary_rejects(with("abc", "258"), "abc", "no gap");
  vocabulary_rejects(with("abc", "2147483648"), "abc", "outside");
  vocabulary_rejects(with("abc", "18446744073709551615"), "abc", "outside");
  vocabulary_rejects(with("abc", "257.0"), "abc", "whole number");
  vocabulary_rejects(with("abc", "\"257\""), "abc", "whole number");
  vocabulary_rejects(with("abc", "null"), "abc", "whole number");
}

TEST_CASE("T4 merge with one or three parts, parts or result not in the vocabulary, duplicates") {
  merges_reject("#version: 0.2\na\n", "merges[0]", "expected two tokens");
  merges_reject("a b\na b c\n", "merges[1]", "expected two tokens");
  merges_reject("a b\nab \n", "merges[1]", "expected two tokens");
  merges_reject("a b\n c\n", "merges[1]", "expected two tokens");
  merges_reject("a b\nxy c\n", "merges[1]", "left part \"xy\"");
  merges_reject("a b\nc xy\n", "merges[1]", "right part \"xy\"");
  merges_reject("a b\nb c\n", "merges[1]", "result \"bc\"");
  merges_reject("a b\nab c\na b\n", "merges[2]", "duplicate merge");
}

TEST_CASE("A token that no merge makes and nothing declares special, first or last") {
  Entries first = sound();
  first[0].second = "258";
  first.emplace_back("zz", "0");
  vocabulary_rejects(first, "zz", "no merge of");
  Entries last = sound();
  last.emplace_back("zz", "258");
  vocabulary_rejects(last, "zz", "no merge of");
}

TEST_CASE("T6 added token: id collides or leaves a gap, empty, 1 MB long (L)") {
  const auto added = [](const std::string& content) {
    auto files = std::make_unique<Files>();
    files->write("vocab.json", json(sound()));
    files->write("merges.txt", sound_merges);
    files->write("added_tokens.json", content);
    return files;
  };
  rejects<plume::FormatError>(*added(R"({"<x>": 3})"), "added_tokens.json", "[\"<x>\"]", "belongs to");
  rejects<plume::FormatError>(*added(R"({"<x>": 300})"), "added_tokens.json", "[\"<x>\"]", "gap");
  rejects<plume::FormatError>(*added(R"({"<x>": -1})"), "added_tokens.json", "[\"<x>\"]", "gap");
  rejects<plume::FormatError>(*added(R"({"ab": 258})"), "added_tokens.json", "ab", "in the vocabulary");
  rejects<plume::FormatError>(*added(R"({"": 258})"), "added_tokens.json", "[\"\"]", "empty");
  const Files large;
  large.write("vocab.json", json(sound()));
  large.write("merges.txt", sound_merges);
  large.write("added_tokens.json", "{\"" + std::string(1 << 20, 'x') + "\": 258}");
  CHECK_THROWS_AS(plume::load_tokenizer(large.directory), plume::LimitError);
  large.write("added_tokens.json", "{}");
  large.write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  rejects<plume::ConfigError>(large, "tokenizer_config.json", "bos_token", "not in the vocabulary");
  large.write("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "<s>", "special": true}}})");
  rejects<plume::FormatError>(large, "tokenizer_config.json", "added_tokens_decoder.x", "not a token id");
}

TEST_CASE("T8 byte-level vocabulary lacks one of the 256 bytes") {
  Entries entries = sound();
  entries['z'].first = "<|z|>";
  vocabulary_rejects(entries, "", "lacks the byte 122");
}

TEST_CASE("a piece that no byte spells; an added token twice; Limits") {
  Entries entries = sound();
  entries.emplace_back("\xe6\x97\xa5", "258");
  vocabulary_rejects(entries, "[\"\\xe6\\x97\\xa5\"]", "stands for no byte");
  const Files files;
  files.write("vocab.json", json(sound()));
  files.write("merges.txt", sound_merges);
  files.write("tokenizer_config.json",
              R"({"added_tokens_decoder": {"258": {"content": "<x>", "special": true}, "259": {"content": "<x>", "special": true}}})");
  rejects<plume::FormatError>(files, "tokenizer_config.json", "added_tokens_decoder.259", "has id 258 already");
  std::filesystem::remove(files.directory + "/tokenizer_config.json");
  const auto limited = [&](const plume::Limits& limits, std::string_view limit, std::string_view field) {
    try {
      plume::load_tokenizer(files.directory, {.limits = limits});
      FAIL_CHECK("accepted");
    } catch (const plume::LimitError& error) {
      CHECK(error.limit() == limit);
      CHECK(error.where().field == field);
      CHECK((error.where().line || error.where().offset));
    }
  };
  limited({.max_vocabulary = 257}, "max_vocabulary", "");
  limited({.max_token_text = 2}, "max_token_text", "abc");
  std::filesystem::remove(files.directory + "/vocab.json");
  files.write("tokenizer.bin", llama2c({{-1, 1, "a"}, {-2, 6, "abcdef"}, {-3, 7, "abcdefg"}}));
  limited({.max_vocabulary = 260}, "max_vocabulary", "tokens[260]");
  limited({.max_token_text = 6}, "max_token_text", "tokens[261].length");
}

TEST_CASE("paths that hold no tokenizer, or several") {
  const Files files;
  const auto rejected = [&](const std::string& path, std::string_view word) {
    try {
      plume::load_tokenizer(path);
      FAIL_CHECK("accepted");
    } catch (const plume::ConfigError& error) {
      CHECK(error.where().path == path);
      CHECK_MESSAGE(error.reason().find(word) != std::string::npos, std::string(error.what()));
    }
  };
  rejected(files.directory, "holds no tokenizer; known are tokenizer.json");
  files.write("notes.txt", "hello");
  rejected(files.directory + "/notes.txt", "is no tokenizer file; known are");
  CHECK_THROWS_WITH_AS(plume::load_tokenizer(files.directory + "/absent.json"), doctest::Contains("absent.json: cannot open"),
                       plume::IoError);
  for (const char* name : {"tok512.bin", "tok4096.bin"}) files.write(name, llama2c({{-1, 1, "a"}}));
  rejected(files.directory, "holds 2 tokenizers (tok4096.bin, tok512.bin ...)");
  files.write("tokenizer.bin", llama2c({{-1, 1, "a"}, {-1, 1, "b"}}));
  CHECK(plume::load_tokenizer(files.directory).vocabulary() == 261);
}

TEST_CASE("what a kind of file cannot hold is refused when it is written") {
  const plume::Tokenizer bytes = plume::byte_tokenizer();
  CHECK_THROWS_WITH_AS(plume::write_tokenizer_json(bytes), doctest::Contains("came from tokenizer.json"), plume::ArgumentError);
  CHECK_THROWS_WITH_AS(plume::write_byte_bpe(bytes), doctest::Contains("needs a byte-level tokenizer"), plume::ArgumentError);
  CHECK_THROWS_WITH_AS(plume::write_tiktoken(bytes), doctest::Contains("needs a byte-level tokenizer"), plume::ArgumentError);
  Entries entries = sound();
  entries[256] = {"bc", "256"}, entries[257] = {"ab", "257"};
  const Files files;
  files.write("vocab.json", json(entries));
  files.write("merges.txt", "a b\nb c\n");
  CHECK_THROWS_WITH_AS(plume::write_tiktoken(plume::load_tokenizer(files.directory)),
                       doctest::Contains("the merge that makes token 256 comes after the one of 257"), plume::ArgumentError);
  entries[256] = {"<|x|>", "256"};
  files.write("vocab.json", json(entries));
  files.write("merges.txt", "a b\n");
  CHECK_THROWS_WITH_AS(plume::write_tiktoken(plume::load_tokenizer(files.directory)), doctest::Contains("special tokens stand among"),
                       plume::ArgumentError);
  std::string ranks;
  for (unsigned byte = 0; byte < 256; ++byte) {
    plume::encode_base64(std::string(1, static_cast<char>(static_cast<unsigned char>(byte))), ranks);
    ranks += plume::concat(" ", byte, "\n");
  }
  const plume::Tokenizer digits = plume::read_tiktoken(ranks, {.encoding = "cl100k_base", .special = {{"<x>", 256}}});
  CHECK_THROWS_WITH_AS(plume::write_byte_bpe(digits), doctest::Contains("in another way than GPT-2"), plume::ArgumentError);
  const Files gpt1;
  gpt1.write("encoder_bpe_40000.json", "[1]");
  gpt1.write("vocab_40000.bpe", "#version: 0.2\n");
  rejects<plume::FormatError>(gpt1, "encoder_bpe_40000.json", "", "expected an object of tokens");
}

TEST_CASE("T13 depth 10,000 (L)") {
  const Files files;
  files.write("vocab.json", std::string(10000, '['));
  files.write("merges.txt", sound_merges);
  CHECK_THROWS_AS(plume::load_tokenizer(files.directory), plume::LimitError);
}

TEST_CASE("T14 invalid surrogates and invalid UTF-8 in vocab.json") {
  const Files files;
  files.write("merges.txt", sound_merges);
  files.write("vocab.json", R"({"\uD800": 0})");
  CHECK_THROWS_AS(plume::load_tokenizer(files.directory), plume::FormatError);
  files.write("vocab.json", "{\"\xff\": 0}");
  CHECK_THROWS_AS(plume::load_tokenizer(files.directory), plume::FormatError);
}

TEST_CASE("T15 vocab.json and merges.txt do not belong together; CRLF and no #version line are fine") {
  const Files files;
  files.write("vocab.json", json(sound()));
  files.write("merges.txt", "a b\n");
  rejects<plume::FormatError>(files, "vocab.json", "abc", "do not belong together");
  files.write("merges.txt", "");
  rejects<plume::FormatError>(files, "vocab.json", "ab", "do not belong together");
  for (const char* merges : {"a b\nab c", "a b\r\nab c\r\n", "#version: 0.2\r\na b\r\nab c\r\n\r\n", "#version: 0.2\na b\nab c\n\n"}) {
    files.write("merges.txt", merges);
    CHECK(plume::load_tokenizer(files.directory).encode("abc") == std::vector<plume::TokenId>{257});
  }
}

TEST_CASE("T17 text of one megabyte of one thing, not UTF-8, NUL: encoded in linear time, and byte-level text comes back") {
  const Files files, other;
  files.write("vocab.json", json(sound()));
  files.write("merges.txt", sound_merges);
  other.write("tokenizer.bin", llama2c({{-1, 1, "A"}, {-2, 2, "AA"}, {-3, 4, "AAAA"}, {-4, 1, " "}, {-5, 2, "  "}}));
  const plume::Tokenizer byte_level = plume::load_tokenizer(files.directory), pieces = plume::load_tokenizer(other.directory);
  const auto repeated = [](std::string_view part, std::size_t size) {
    std::string text;
    while (text.size() < size) text += part;
    return text;
  };
  constexpr std::size_t megabyte = 1u << 20;
  const auto seconds = [](const plume::Tokenizer& tokenizer, const std::string& text) {
    const std::clock_t begin = std::clock();
    const auto ids = tokenizer.encode(text);
    CHECK(!ids.empty());
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  for (const char* part : {"A", " ", "abc", "ab ab", "\n", "1", "'s"}) {
    CAPTURE(part);
    const std::string text = repeated(part, megabyte);
    CHECK(byte_level.decode(byte_level.encode(text)) == text);
    for (const plume::Tokenizer& tokenizer : {byte_level, pieces}) {  // eight times the text: quadratic would be 64 times
      const double small = seconds(tokenizer, text.substr(0, megabyte / 8));
      CHECK(seconds(tokenizer, text) < 24 * small + 0.1);
    }
  }
  for (const std::string& text : {std::string("\0\0a\0", 4), std::string("\xff\xfe\x80"), std::string("\xed\xa0\x80 a"),
                                  repeated("\xe2\x80\x8d", 65536), std::string("\xf0\x9f"), repeated("\xff", 65536)}) {
    CHECK(byte_level.decode(byte_level.encode(text)) == text);
    CHECK(!pieces.encode(text).empty());
  }
}

TEST_CASE("N1 tokenizer.bin empty or cut at every byte") {
  const std::string whole = llama2c({{-1, 2, "ab"}});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (size == llama2c({}).size()) continue;  // a whole file of 259 tokens
    try {
      plume::read_llama2c_tokenizer(std::string_view(whole).substr(0, size), "tokenizer.bin");
      FAIL_CHECK("accepted " << size << " bytes");
    } catch (const plume::FormatError& error) {
      const plume::Where where = error.where();
      REQUIRE(where.path == "tokenizer.bin");
      REQUIRE(where.field.starts_with(size < 4 ? "max_token_length" : "tokens"));
      REQUIRE(where.offset.value_or(size + 1) <= size);
    }
  }
}

TEST_CASE("N4 tokenizer.bin: length negative, beyond the rest or max_token_length; score not a number; wrong pieces") {
  llama2c_rejects(llama2c({{-1, -1, "a"}}), "tokens[259].length", "more than max_token_length");
  llama2c_rejects(llama2c({{-1, 7, "a"}}), "tokens[259].length", "more than the 1 bytes left");
  llama2c_rejects(llama2c({{-1, 9, "abcdefghi"}}), "tokens[259].length", "more than max_token_length, 8");
  llama2c_rejects(llama2c({{-1, -1, "a"}}, -1), "tokens[259].length", "bytes left");
  llama2c_rejects(llama2c({{std::numeric_limits<float>::quiet_NaN(), 1, "a"}}), "tokens[259].score", "not finite");
  llama2c_rejects(llama2c({{std::numeric_limits<float>::infinity(), 1, "a"}}), "tokens[259].score", "not finite");
  llama2c_rejects(llama2c({{-1, 1, "a"}, {-2, 1, "a"}}), "tokens[260]", "like tokens[259]");
  llama2c_rejects(llama2c({}).substr(0, 4), "tokens", "holds 0 tokens");
  std::string wrong = llama2c({});
  wrong.replace(wrong.find("<0x41>"), 6, "<0x4Z>");
  llama2c_rejects(wrong, "tokens[68]", "expected \"<0x41>\"");
}
