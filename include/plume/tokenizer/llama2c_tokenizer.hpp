#pragma once
// llama2.c's tokenizer.bin (LLaMA 1 and 2): SentencePiece BPE with real spaces. A space is put before the text, every code point is looked
// up (or falls back to its bytes), and neighbours merge, best score first. Same ids as karpathy/llama2.c run.c.
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

// Reads the bytes of a tokenizer.bin: u32 longest piece, then per token f32 score, u32 length, bytes, until the end of the file.
// FormatError: cut, a length beyond the rest or the declared longest, a score that is not finite, byte tokens missing or
// duplicate pieces. LimitError: more than Limits allows.
PLUME_FUNCTION Tokenizer read_llama2c_tokenizer(std::string_view data, std::string_view path, const Limits& limits = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <bit>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "plume/base/error.hpp"
#include "plume/base/text.hpp"
#include "plume/tokenizer/sentencepiece_model.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Tokenizer read_llama2c_tokenizer(std::string_view data, std::string_view path, const Limits& limits) {
  constexpr TokenId unknown = 0, bos = 1, eos = 2, first_byte = 3, first_piece = 259;
  std::size_t at = 0;
  SentencePieceVocabulary vocabulary;
  std::vector<ScoredPiece>& pieces = vocabulary.pieces;
  const auto token = [](std::size_t id, std::string_view part) { return concat("tokens[", id, "]", part); };
  const auto where = [&](std::string field, std::size_t offset) {
    return Where{.path = std::string(path), .field = std::move(field), .offset = offset};
  };
  const auto fail = [&](std::string field, std::size_t offset, std::string_view reason) {
    throw FormatError(where(std::move(field), offset), reason);
  };
  const auto word = [&](std::string_view part) {
    if (data.size() - at < 4) {
      fail(at == 0 ? std::string(part) : token(pieces.size(), part), at, concat("needs 4 bytes, the file ends after ", data.size() - at));
    }
    std::uint32_t value = 0;
    for (unsigned i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<unsigned char>(data[at + i])} << (8 * i);
    at += 4;
    return value;
  };
  const std::uint32_t longest = word("max_token_length");
  while (at < data.size()) {
    const std::size_t id = pieces.size();
    if (id == limits.max_vocabulary) throw LimitError(where(token(id, ""), at), "max_vocabulary", limits.max_vocabulary, id + 1);
    const float score = std::bit_cast<float>(word(".score"));
    if (!std::isfinite(score)) fail(token(id, ".score"), at - 4, concat("the score ", score, " is not finite"));
    const std::uint32_t length = word(".length");
    if (length > longest) fail(token(id, ".length"), at - 4, concat("length ", length, " is more than max_token_length, ", longest));
    if (length > data.size() - at)
      fail(token(id, ".length"), at - 4, concat("length ", length, " is more than the ", data.size() - at, " bytes left"));
    if (length > limits.max_token_text)
      throw LimitError(where(token(id, ".length"), at - 4), "max_token_text", limits.max_token_text, length);
    pieces.push_back({std::string(data.substr(at, length)), score, PieceType::normal});
    at += length;
  }
  if (pieces.size() < static_cast<std::size_t>(first_piece))
    fail("tokens", at, concat("holds ", pieces.size(), " tokens; <unk>, <s>, </s> and 256 bytes are the least"));
  for (const TokenId id : {unknown, bos, eos}) {  // the file surrounds bos and eos with line breaks
    ScoredPiece& piece = pieces[static_cast<std::size_t>(id)];
    piece.type = id == unknown ? PieceType::unknown : PieceType::control;
    if (id != unknown && piece.text.size() > 2 && piece.text.front() == '\n' && piece.text.back() == '\n')
      piece.text = piece.text.substr(1, piece.text.size() - 2);
  }
  constexpr char digits[] = "0123456789ABCDEF";
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::size_t id = static_cast<std::size_t>(first_byte) + byte;
    const std::string expected{'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
    if (pieces[id].text != expected)
      fail(token(id, ""), data.size(), concat("is ", quoted(pieces[id].text), ", expected ", quoted(expected)));
    pieces[id].type = PieceType::byte;
  }
  vocabulary.model = PieceModel::bpe;
  vocabulary.byte_fallback = true;
  vocabulary.unknown = unknown;
  vocabulary.rules.remove_extra_whitespaces = vocabulary.rules.escape_whitespaces = false;
  vocabulary.rules.keep_malformed = true;
  vocabulary.characters = word_models::ScoredBpe::Characters::continuations;
  vocabulary.joins_unknown = vocabulary.blocks_are_spaces = false;
  Vocabulary entries = sentencepiece_entries(vocabulary);
  for (std::size_t id = 0; id < entries.size(); ++id)
    if (const auto first = *entries.find(entries.pieces[id]); static_cast<std::size_t>(first) != id)
      fail(token(id, ""), data.size(), concat("spells ", quoted(entries.pieces[id]), " like tokens[", first, "]"));
  entries.bos = bos;
  entries.eos = eos;
  entries.begins_with_bos = true;
  Pipeline pipeline;
  add_sentencepiece(vocabulary, pipeline);
  pipeline.added = special_pieces(vocabulary);
  pipeline.decoding = Decoding::bytes;
  pipeline.adds_leading_space = true;
  pipeline.files.push_back({"tokenizer.bin", std::string(data)});
  return Tokenizer(std::make_shared<PipelineModel>(std::move(entries), std::move(pipeline)));
}

}  // namespace plume::inline PLUME_ABI
#endif
