#pragma once
// Compares a tokenizer with the CRC-32s that scripts of tests/golden/ made with other libraries, one for each 1,000 strings.
#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "plume/base/json.hpp"
#include "plume/tokenizer/stream_decoder.hpp"
#include "plume/tokenizer/tokenizer.hpp"
#include "string_generator.hpp"
#include "test_data.hpp"

namespace plume_test {

inline const plume::Json& hashes(const std::string& file) {
  static std::map<std::string, plume::Json> read;
  const auto found = read.find(file);
  if (found != read.end()) return found->second;
  const std::string path = golden(file);
  return read.emplace(file, plume::Json::parse(read_all(path), {.path = path})).first->second;
}

inline std::vector<std::string> spelled(const plume::Tokenizer& tokenizer) {
  std::vector<std::string> out;
  for (plume::TokenId id = 0; id < tokenizer.vocabulary(); ++id) out.push_back(tokenizer.piece(id));
  return out;
}
inline std::vector<std::string> special_spellings(const plume::Tokenizer& tokenizer) {
  std::vector<std::string> out;
  for (plume::TokenId id = 0; id < tokenizer.vocabulary(); ++id)
    if (tokenizer.is_special(id)) out.push_back(tokenizer.piece(id));
  return out;
}

struct HashedStrings {
  std::vector<std::string> vocabulary, special;
  std::size_t groups = generated_strings / strings_in_group;
};

// Every string is encoded as `mode` says and hashed; `decoded` is the list for the texts of those ids, if there is one.
inline void check_encoded(const plume::Tokenizer& tokenizer, const HashedStrings& strings, plume::SpecialText mode, const plume::Json& ids,
                          const plume::Json* decoded = nullptr) {
  StringGenerator generator(strings.vocabulary, strings.special);
  const plume::EncodeOptions options{mode, plume::Begin::nothing, plume::End::nothing};
  for (std::size_t group = 0; group < strings.groups; ++group) {
    CAPTURE(group);
    Crc32 encoded, text_sum;
    std::size_t wrong_spans = 0, wrong_streams = 0;
    for (std::size_t i = 0; i < strings_in_group; ++i) {
      const std::string text = generator.next();
      const std::vector<plume::TokenId> got = tokenizer.encode(text, options);
      for (const plume::TokenId id : got) encoded.add(id);
      encoded.add(plume::TokenId{-1});
      if (decoded) {
        text_sum.add(tokenizer.decode(got));
        text_sum.add(std::string_view("\0", 1));
      }
      if (i % 16 != 0) continue;
      const plume::EncodedText spans = tokenizer.encode_with_spans(text, options);
      wrong_spans += spans.ids != got || spans.spans.size() != got.size();
      for (const plume::TokenSpan& span : spans.spans) wrong_spans += span.begin > span.end || span.end > text.size();
      plume::StreamDecoder stream(tokenizer);
      std::string streamed;
      for (const plume::TokenId id : got) streamed += stream.push(id);
      wrong_streams += streamed + stream.finish() != tokenizer.decode(got);
    }
    CHECK(wrong_spans == 0);
    CHECK(wrong_streams == 0);
    CHECK(encoded.text() == ids.at(group).as_text());
    if (decoded) CHECK(text_sum.text() == decoded->at(group).as_text());
    if (encoded.text() != ids.at(group).as_text()) return;  // one group tells enough
  }
}

}  // namespace plume_test
