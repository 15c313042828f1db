#pragma once
// The models of tests/golden/make_sentencepiece_hashes.py.
#include <optional>
#include <string>

#include "plume/tokenizer/tokenizer_files.hpp"
#include "tokenizer/hashed_strings.hpp"

namespace plume_test {

inline std::optional<std::string> sentencepiece_sample(const std::string& name) {
  return name.ends_with(".model") ? test_data("tokenizers/" + name) : std::optional(golden("sentencepiece/" + name + ".model"));
}

// All that hashes.json knows of every model, as many groups of 1,000 strings as asked for.
inline void check_sentencepiece(std::size_t groups) {
  using enum plume::LegacySpaces;
  for (const auto& member : hashes("sentencepiece/hashes.json").members()) {
    const std::string& name = member.key;
    const plume::Json& ways = member.value;
    const auto path = sentencepiece_sample(name);
    if (!path) continue;
    CAPTURE(name);
    const plume::Tokenizer tokenizer = plume::load_tokenizer(*path);
    const HashedStrings strings{spelled(tokenizer), special_spellings(tokenizer), groups};
    check_encoded(tokenizer, strings, plume::SpecialText::plain, ways.at("encode"), &ways.at("decode"));
    if (!ways.find("legacy")) continue;
    check_encoded(plume::load_tokenizer(*path, {.legacy = yes}), strings, plume::SpecialText::recognise, ways.at("legacy"));
    if (!ways.find("non_legacy")) continue;
    check_encoded(plume::load_tokenizer(*path, {.legacy = no}), strings, plume::SpecialText::recognise, ways.at("non_legacy"));
  }
}

}  // namespace plume_test
