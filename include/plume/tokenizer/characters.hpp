#pragma once
// The two simplest tokenizers: one token a character of a given text, and one token a byte.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/json.hpp"
#include "plume/tokenizer/tokenizer.hpp"
#include "plume/tokenizer/unicode.hpp"
#include "plume/tokenizer/worker_states.hpp"

namespace plume::inline PLUME_ABI {

inline constexpr std::string_view simple_tokenizer_file = "plume-tokenizer.json";

// Ids are the ranks of the characters (Unicode code points) in code point order, as in nanoGPT's character-level data.
class CharacterModel final : public TokenizerModel {
 public:
  explicit CharacterModel(const std::vector<std::string>& characters) : TokenizerModel(Vocabulary(characters, characters, {})) {}
  std::string_view kind() const override { return "characters"; }
  void encode(std::string_view text, TextPart, std::vector<TokenId>& ids) const override {
    reserve_more(ids, text.size());
    for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
      length = code_point_at(text, at).length;
      const auto id = vocabulary.find(text.substr(at, length));
      require(id.has_value(), "[encode] the character ", quoted(text.substr(at, length)), " at byte ", at, " is not among the ",
              vocabulary.size(), " of this vocabulary; build it from text that has it, or use byte_tokenizer()");
      ids.push_back(*id);
    }
  }
  std::vector<TokenizerFile> files() const override {
    Json characters = Json::array();
    for (const std::string& character : vocabulary.pieces) characters.push(character);
    Json file = Json::object();
    file.set("kind", "characters");
    file.set("characters", std::move(characters));
    return {{std::string(simple_tokenizer_file), dump(file) + "\n"}};
  }
};

class ByteModel final : public TokenizerModel {
 public:
  ByteModel() : TokenizerModel(entries()) {}
  std::string_view kind() const override { return "bytes"; }
  void encode(std::string_view text, TextPart, std::vector<TokenId>& ids) const override {
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  }
  std::vector<TokenizerFile> files() const override {
    Json file = Json::object();
    file.set("kind", "bytes");
    return {{std::string(simple_tokenizer_file), dump(file) + "\n"}};
  }

 private:
  static Vocabulary entries() {
    constexpr char digits[] = "0123456789ABCDEF";
    std::vector<std::string> pieces, bytes;
    for (unsigned byte = 0; byte < 256; ++byte) {
      pieces.push_back({'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'});
      bytes.emplace_back(1, static_cast<char>(static_cast<unsigned char>(byte)));
    }
    return Vocabulary(std::move(pieces), std::move(bytes), {});
  }
};

// One token for each different character of the text. ArgumentError: empty text or text that is not UTF-8.
inline Tokenizer character_tokenizer(std::string_view text) {
  require(!text.empty(), "[character_tokenizer] the text is empty");
  const std::size_t error = utf8_error(text);
  require(error == text.size(), "[character_tokenizer] byte ", error, " of the text is not UTF-8; convert it, or use byte_tokenizer()");
  std::vector<bool> seen(0x110000);
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    seen[point.value] = true;
    at += point.length;
  }
  std::vector<std::string> characters;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (!seen[c]) continue;
    characters.emplace_back();
    append_utf8(characters.back(), c);
  }
  return Tokenizer(std::make_shared<CharacterModel>(characters));
}

// 256 tokens, one a byte: any text, nothing to train.
inline Tokenizer byte_tokenizer() { return Tokenizer(std::make_shared<ByteModel>()); }

}  // namespace plume::inline PLUME_ABI
