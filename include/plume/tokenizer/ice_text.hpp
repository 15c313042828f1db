#pragma once
// ice_text.model, the SentencePiece model of ChatGLM-6B and GLM-130B, as their tokenizer completes it [THUDM/chatglm-6b
// tokenization_chatglm.py, and its first revisions; THUDM/GLM-130B tokenization/]: ids begin behind those of images, and early files lack
// the special tokens, the tokens of white space and the bytes.
#include <string>

#include "plume/base/config.hpp"
#include "plume/tokenizer/sentencepiece_model.hpp"
#include "plume/tokenizer/whitespace_tokens.hpp"

namespace plume::inline PLUME_ABI {

class Json;

// What tokenizer_config.json says of it.
struct IceText {
  std::string begin = "<sop>", end = "<eop>", continuation = "[gMASK]";
  std::uint64_t images = 20'000;  // ids before the first piece

  // ConfigError: more images than any published model has, or a way of changing the text that none uses.
  PLUME_FUNCTION static IceText read(const Json& config);
};

// Pieces that the file lacks. Returns how many of them are bytes.
PLUME_FUNCTION std::size_t complete_ice_text(SentencePieceVocabulary& vocabulary);

// <image_0> and so on stand before all pieces, and are no text.
PLUME_FUNCTION void add_images(SentencePieceVocabulary& vocabulary, std::uint64_t images);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <unordered_set>
#include <vector>

#include "plume/base/json.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION IceText IceText::read(const Json& config) {
  IceText text;
  for (const std::string_view key : {"remove_space", "do_lower_case"})
    if (config.boolean(key, false)) config.at(key).fail("is true, which is not supported: the published tokenizers keep spaces and case");
  const auto name = [&](std::string_view key, std::string& token) {
    if (const Json* value = config.find(key); value && !value->is_null())
      token = value->is_object() ? value->text("content") : value->as_text();
  };
  name("bos_token", text.begin);
  name(config.find("eop_token") ? "eop_token" : "eos_token", text.end);  // of the first revision, whose eos closes a context
  name("gmask_token", text.continuation);
  const std::int64_t images = config.integer("num_image_tokens", 20'000);
  if (images < 0 || images > 20'000) config.at("num_image_tokens").fail("must be 0 to 20000, as in the published files");
  text.images = static_cast<std::uint64_t>(images);
  return text;
}

PLUME_FUNCTION std::size_t complete_ice_text(SentencePieceVocabulary& vocabulary) {
  std::unordered_set<std::string_view> known;
  for (const ScoredPiece& piece : vocabulary.pieces) known.insert(piece.text);
  if (known.contains("[gMASK]")) return 0;
  std::vector<ScoredPiece> more;
  const auto add = [&](std::string text, PieceType type) {
    if (!known.contains(text)) more.push_back({std::move(text), 0, type});
  };
  for (const char* text : {"[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>"})
    add(text, PieceType::control);
  add(std::string(whitespace_tokens::tab), PieceType::user_defined);
  for (std::size_t spaces = 2; spaces <= whitespace_tokens::longest_blank; ++spaces)
    add(concat(whitespace_tokens::blank, spaces, "|>"), PieceType::user_defined);
  std::size_t bytes = more.size();
  constexpr std::string_view digits = "0123456789ABCDEF";
  if (!vocabulary.byte_fallback)
    for (std::size_t byte = 0; byte < 256; ++byte) add(concat("<0x", digits[byte >> 4], digits[byte & 15], '>'), PieceType::byte);
  bytes = more.size() - bytes;
  vocabulary.byte_fallback = true;
  vocabulary.pieces.insert(vocabulary.pieces.end(), more.begin(), more.end());
  return bytes;
}

PLUME_FUNCTION void add_images(SentencePieceVocabulary& vocabulary, std::uint64_t images) {
  std::vector<ScoredPiece> all;
  for (std::uint64_t i = 0; i < images; ++i) all.push_back({concat("<image_", i, '>'), 0, PieceType::control});
  all.insert(all.end(), vocabulary.pieces.begin(), vocabulary.pieces.end());
  vocabulary.pieces = std::move(all);
  if (vocabulary.unknown) *vocabulary.unknown += static_cast<TokenId>(images);
}

}  // namespace plume::inline PLUME_ABI
#endif
