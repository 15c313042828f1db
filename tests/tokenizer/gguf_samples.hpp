#pragma once
// The vocabularies of tests/golden/make_gguf_hashes.py, and GGUF vocabularies made of the byte-level tokenizer.json of
// make_tokenizer_hashes.py.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "malformed/gguf_writer.hpp"
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/gguf_tokenizer.hpp"
#include "plume/tokenizer/sentencepiece_model.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "tokenizer/hashed_strings.hpp"

namespace plume_test {

inline std::optional<std::string> gguf_sample(const std::string& name) {
  return name == "t5" ? std::optional(golden("gguf/t5.gguf")) : test_data("tokenizers/llama.cpp/ggml-vocab-" + name + ".gguf");
}

// byte_bpe.json as a converter to GGUF writes it.
inline std::string byte_level_gguf(const std::string& pre) {
  const plume::Json& file = hashes("tokenizers/byte_bpe.json");
  std::vector<std::string> tokens(file.at("model").at("vocab").size()), merges;
  std::vector<std::int32_t> types(tokens.size(), 1);
  for (const auto& [piece, id] : file.at("model").at("vocab").members()) tokens[static_cast<std::size_t>(id.as_integer())] = piece;
  for (const plume::Json& merge : file.at("model").at("merges").items())
    merges.push_back(merge.is_array() ? merge.at(0).as_text() + " " + merge.at(1).as_text() : merge.as_text());
  for (const plume::Json& token : file.at("added_tokens").items())
    types[static_cast<std::size_t>(token.integer("id"))] = token.boolean("special", false) ? 3 : 4;
  return gguf_file({gguf_string("general.architecture", "llama"), gguf_string("tokenizer.ggml.model", "gpt2"),
                    gguf_string("tokenizer.ggml.pre", pre), gguf_texts("tokenizer.ggml.tokens", tokens),
                    gguf_numbers("tokenizer.ggml.token_type", types), gguf_texts("tokenizer.ggml.merges", merges)});
}
// llama.json as a converter to GGUF writes Gemma's vocabularies: tokens and merges spelled as text is.
inline std::string plain_gguf(const std::vector<std::string>& kind) {
  const plume::Json& file = hashes("tokenizers/llama.json");
  std::vector<std::string> tokens(file.at("model").at("vocab").size()), merges, entries = kind;
  std::vector<std::int32_t> types(tokens.size(), 1);
  for (const auto& [piece, id] : file.at("model").at("vocab").members()) {
    tokens[static_cast<std::size_t>(id.as_integer())] = piece;
    if (plume::byte_of_piece(piece)) types[static_cast<std::size_t>(id.as_integer())] = 6;
  }
  for (const plume::Json& merge : file.at("model").at("merges").items())
    merges.push_back(merge.at(0).as_text() + " " + merge.at(1).as_text());
  for (const plume::Json& token : file.at("added_tokens").items()) types[static_cast<std::size_t>(token.integer("id"))] = 3;
  entries.push_back(gguf_texts("tokenizer.ggml.tokens", tokens));
  entries.push_back(gguf_numbers("tokenizer.ggml.token_type", types));
  entries.push_back(gguf_texts("tokenizer.ggml.merges", merges));
  entries.push_back(gguf_u32("tokenizer.ggml.unknown_token_id", 0));
  entries.push_back(gguf_u32("tokenizer.ggml.bos_token_id", 1));
  return gguf_file(entries);
}
// Names of pre-tokenisers and the variation of byte_bpe.json that cuts in the same way.
inline const std::vector<std::pair<std::string, std::string>>& same_cuts() {
  static const std::vector<std::pair<std::string, std::string>> list = {{"gpt-2", "gpt2"},
                                                                        {"mpt", "gpt2"},
                                                                        {"smaug-bpe", "llama3"},
                                                                        {"qwen2", "qwen2"},
                                                                        {"gpt-4o", "o200k"},
                                                                        {"starcoder", "starcoder"},
                                                                        {"falcon", "falcon"},
                                                                        {"bloom", "bloom"},
                                                                        {"command-r", "starcoder"},
                                                                        {"deepseek-v3", "deepseek_v3"},
                                                                        {"deepseek-coder", "deepseek_coder"},
                                                                        {"deepseek-llm", "deepseek_llm"},
                                                                        {"jais-2", "jais2"},
                                                                        {"spark2_5", "spark"},
                                                                        {"exaone-moe", "exaone_moe"},
                                                                        {"kimi-k2", "kimi"},
                                                                        {"cohere2moe", "tiny_aya"},
                                                                        {"superbpe", "superbpe"}};
  return list;
}

inline void check_gguf(std::size_t groups) {
  using enum plume::SpecialText;
  for (const auto& member : hashes("gguf/hashes.json").members()) {
    const std::string& name = member.key;
    const plume::Json& ways = member.value;
    const auto path = gguf_sample(name);
    if (!path) continue;
    CAPTURE(name);
    const plume::Tokenizer tokenizer = plume::load_tokenizer(*path);
    const plume::GgufTokenizerOptions options;
    const auto file = plume::FileMapping::open(*path);
    const plume::GgufHeader header = plume::GgufHeader::read(file->bytes(), *path);
    HashedStrings strings{{}, {}, groups};
    const std::vector<std::int64_t> types = header.integers("tokenizer.ggml.token_type");
    for (const std::string_view token : header.texts("tokenizer.ggml.tokens")) {
      if (const std::int64_t type = types[strings.vocabulary.size()]; type == 2 || type == 3) strings.special.emplace_back(token);
      strings.vocabulary.emplace_back(token);
    }
    check_encoded(tokenizer, strings, plain, ways.at("plain"));
    check_encoded(tokenizer, strings, recognise, ways.at("recognise"));
  }
  const plume::Json& expected = hashes("tokenizers/hashes.json");
  for (const auto& kind : std::vector<std::vector<std::string>>{
           {gguf_string("tokenizer.ggml.model", "gemma4")},
           {gguf_string("tokenizer.ggml.model", "gpt2"), gguf_string("tokenizer.ggml.pre", "granite-embed-multi-311m")}}) {
    const std::string bytes = plain_gguf(kind);
    const plume::Tokenizer tokenizer = plume::read_gguf_tokenizer(plume::GgufHeader::read(std::as_bytes(std::span(bytes)), "llama"));
    const plume::Json& ways = expected.at("llama/gemma");
    const HashedStrings strings{spelled(tokenizer), special_spellings(tokenizer), groups};
    check_encoded(tokenizer, strings, recognise, ways.at("recognise"), &ways.at("decode"));
    check_encoded(tokenizer, strings, plain, ways.at("plain"));
    CHECK(tokenizer.bos() == 1);
    CHECK(tokenizer.encode("a").front() == 1);
  }
  for (const auto& same : same_cuts()) {
    const std::string &pre = same.first, &variation = same.second;
    CAPTURE(pre);
    const std::string bytes = byte_level_gguf(pre);
    const plume::Tokenizer tokenizer = plume::read_gguf_tokenizer(plume::GgufHeader::read(std::as_bytes(std::span(bytes)), "byte_bpe"));
    std::vector<std::string> added;  // as they stand in tokenizer.json
    for (const plume::Json& token : hashes("tokenizers/byte_bpe.json").at("added_tokens").items()) added.push_back(token.text("content"));
    const plume::Json& ways = expected.at("byte_bpe/" + variation);
    check_encoded(tokenizer, {spelled(tokenizer), added, groups}, recognise, ways.at("recognise"));
    check_encoded(tokenizer, {spelled(tokenizer), added, groups}, plain, ways.at("plain"));
  }
}

}  // namespace plume_test
