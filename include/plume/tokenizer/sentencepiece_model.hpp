#pragma once
// A vocabulary of scored pieces, as SentencePiece's files, llama2.c's and GGUF's hold it, and the Pipeline that it becomes.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/pipeline_model.hpp"

namespace plume::inline PLUME_ABI {

// The numbers of sentencepiece_model.proto and of tokenizer.ggml.token_type. added: not the model's, but looked for in the text before it.
enum class PieceType : std::uint8_t { normal = 1, unknown, control, user_defined, unused, byte, added };
enum class PieceModel : std::uint8_t { unigram = 1, bpe, word, character };

struct ScoredPiece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::normal;
};

struct SentencePieceVocabulary {
  std::vector<ScoredPiece> pieces;
  PieceModel model = PieceModel::unigram;
  SentencePieceRules rules = {};
  bool byte_fallback = false;      // the byte pieces stand for what is unknown
  std::optional<TokenId> unknown;  // the piece of that type
  word_models::ScoredBpe::Characters characters = word_models::ScoredBpe::Characters::code_points;
  bool joins_unknown = true;
  bool blocks_are_spaces = true;  // U+2581 in a piece is a space of the text
};

// The byte that a piece such as "<0x0A>" stands for; nothing when it is spelled otherwise.
PLUME_FUNCTION std::optional<unsigned char> byte_of_piece(std::string_view piece);

// The normaliser and the model. User-defined pieces are found by both.
PLUME_FUNCTION void add_sentencepiece(const SentencePieceVocabulary& vocabulary, Pipeline& pipeline);

// The vocabulary: control and unknown pieces are special.
PLUME_FUNCTION Vocabulary sentencepiece_entries(const SentencePieceVocabulary& vocabulary);

// The special pieces, as tokens to look for where special text is meant.
PLUME_FUNCTION std::vector<AddedToken> special_pieces(const SentencePieceVocabulary& vocabulary);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <array>
#include <limits>
#include <memory>

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION std::optional<unsigned char> byte_of_piece(std::string_view piece) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>' || digit(piece[3]) < 0 || digit(piece[4]) < 0) return std::nullopt;
  return static_cast<unsigned char>(digit(piece[3]) * 16 + digit(piece[4]));
}

namespace sentencepiece_details {

inline std::optional<std::array<TokenId, 256>> byte_ids(const SentencePieceVocabulary& vocabulary) {
  if (!vocabulary.byte_fallback) return std::nullopt;
  std::array<TokenId, 256> ids;
  ids.fill(-1);
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id)
    if (vocabulary.pieces[id].type == PieceType::byte)
      if (const auto byte = byte_of_piece(vocabulary.pieces[id].text)) ids[*byte] = static_cast<TokenId>(id);
  return ids;
}

inline bool is_text(PieceType type) { return type == PieceType::normal || type == PieceType::user_defined || type == PieceType::unused; }

inline word_models::Unigram unigram(const SentencePieceVocabulary& vocabulary) {
  word_models::Unigram model;
  float lowest = std::numeric_limits<float>::max();
  for (const ScoredPiece& piece : vocabulary.pieces)
    if (piece.type == PieceType::normal) lowest = std::min(lowest, piece.score);
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const ScoredPiece& piece = vocabulary.pieces[id];
    // a user-defined piece is to win against any way of cutting it: its score is that of SentencePiece 0.2.3, whatever the file says
    const double bonus = static_cast<double>(piece.text.size()) * 0.1 - 0.1;
    model.scores.push_back(piece.type == PieceType::user_defined ? bonus : double{piece.score});
    if (piece.type == PieceType::normal || piece.type == PieceType::user_defined)
      model.pieces.add(piece.text, static_cast<std::uint32_t>(id));
  }
  model.lowest = lowest;
  model.sums = word_models::ScoreType::real32;
  model.unknown = vocabulary.unknown;
  model.bytes = byte_ids(vocabulary);
  return model;
}

// transformers' slow tokenizers keep a text's leading space by putting the unk token's spelling before it and dropping those pieces
// afterwards: the score of that spelling is where the sums of such a text start.
inline float score_of_unknown(const WordModel& words, const SentencePieceVocabulary& vocabulary) {
  const auto& model = std::get<word_models::Unigram>(words);
  const std::string& spelling = vocabulary.pieces[static_cast<std::size_t>(*vocabulary.unknown)].text;
  std::vector<WordToken> tokens;
  encode_word(words, spelling, tokens);
  float score = 0;
  for (const WordToken& token : tokens) {
    const auto id = static_cast<std::size_t>(token.id);
    if (token.id != *vocabulary.unknown && vocabulary.pieces[id].type != PieceType::byte) {
      score = static_cast<float>(model.scores[id] + double{score});
      continue;
    }
    for (std::size_t at = token.begin; at < token.end; ++at)  // each unknown character costs the same, also where bytes stand for it
      if ((static_cast<unsigned char>(spelling[at]) & 0xc0) != 0x80) score = static_cast<float>(model.lowest) - 10.0f + score;
  }
  return score;
}

inline word_models::ScoredBpe scored_bpe(const SentencePieceVocabulary& vocabulary) {
  using Kind = word_models::ScoredBpe::Kind;
  word_models::ScoredBpe model;
  model.table = PieceTable(vocabulary.pieces.size());
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const ScoredPiece& piece = vocabulary.pieces[id];
    const bool known = is_text(piece.type);
    model.pieces.push_back(known ? piece.text : std::string());
    model.scores.push_back(piece.score);
    model.kinds.push_back(!known                                  ? Kind::absent
                          : piece.type == PieceType::unused       ? Kind::unused
                          : piece.type == PieceType::user_defined ? Kind::whole
                                                                  : Kind::normal);
    if (!known) continue;
    model.longest = std::max(model.longest, piece.text.size());
    model.table.insert(piece_key(piece.text, piece.text.size()), static_cast<std::uint32_t>(id));
    if (piece.type == PieceType::user_defined) model.whole.add(piece.text, static_cast<std::uint32_t>(id));
  }
  model.unknown = vocabulary.unknown;
  model.bytes = byte_ids(vocabulary);
  model.characters = vocabulary.characters;
  model.joins_unknown = vocabulary.joins_unknown;
  model.space = vocabulary.rules.escape_whitespaces ? SentencePieceRules::block : std::string_view(" ");
  return model;
}

inline word_models::SimplePieces simple_pieces(const SentencePieceVocabulary& vocabulary) {
  using Cut = word_models::SimplePieces::Cut;
  word_models::SimplePieces model{
      {}, {}, vocabulary.unknown.value_or(0), byte_ids(vocabulary), vocabulary.model == PieceModel::word ? Cut::words : Cut::characters};
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const ScoredPiece& piece = vocabulary.pieces[id];
    if (!is_text(piece.type) || piece.type == PieceType::unused) continue;
    model.ids.emplace(piece.text, static_cast<TokenId>(id));
    if (piece.type == PieceType::user_defined) model.whole.add(piece.text, static_cast<std::uint32_t>(id));
  }
  return model;
}

}  // namespace sentencepiece_details

PLUME_FUNCTION void add_sentencepiece(const SentencePieceVocabulary& vocabulary, Pipeline& pipeline) {
  namespace details = sentencepiece_details;
  auto rules = std::make_shared<SentencePieceRules>(vocabulary.rules);
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id)
    if (vocabulary.pieces[id].type == PieceType::user_defined) rules->kept.add(vocabulary.pieces[id].text, static_cast<std::uint32_t>(id));
  pipeline.normalizers.push_back(normalizers::SentencePiece{std::move(rules)});
  switch (vocabulary.model) {
    case PieceModel::unigram:
      pipeline.kind = "SentencePiece Unigram";
      pipeline.words = details::unigram(vocabulary);
      if (vocabulary.rules.keep_leading_space && vocabulary.unknown)
        std::get<word_models::Unigram>(*pipeline.words).behind_space = details::score_of_unknown(*pipeline.words, vocabulary);
      break;
    case PieceModel::bpe:
      pipeline.kind = "SentencePiece BPE";
      pipeline.words = details::scored_bpe(vocabulary);
      break;
    case PieceModel::word:
      pipeline.kind = "SentencePiece words";
      pipeline.words = details::simple_pieces(vocabulary);
      break;
    case PieceModel::character:
      pipeline.kind = "SentencePiece characters";
      pipeline.words = details::simple_pieces(vocabulary);
      break;
  }
}

PLUME_FUNCTION Vocabulary sentencepiece_entries(const SentencePieceVocabulary& vocabulary) {
  std::vector<std::string> pieces, bytes;
  std::vector<TokenId> special;
  for (const ScoredPiece& piece : vocabulary.pieces) {
    const auto id = static_cast<TokenId>(pieces.size());
    pieces.push_back(piece.text);
    bytes.push_back(piece.text);
    if (piece.type == PieceType::control || piece.type == PieceType::unknown) special.push_back(id);
    std::string& text = bytes.back();
    if (piece.type == PieceType::byte) {
      if (const auto byte = byte_of_piece(piece.text)) text.assign(1, static_cast<char>(*byte));
      continue;
    }
    if (!vocabulary.blocks_are_spaces) continue;
    for (std::size_t at = text.find(SentencePieceRules::block); at != text.npos; at = text.find(SentencePieceRules::block, at + 1))
      text.replace(at, SentencePieceRules::block.size(), 1, ' ');
  }
  return Vocabulary(std::move(pieces), std::move(bytes), special);
}

PLUME_FUNCTION std::vector<AddedToken> special_pieces(const SentencePieceVocabulary& vocabulary) {
  std::vector<AddedToken> added;
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const ScoredPiece& piece = vocabulary.pieces[id];
    if (piece.type != PieceType::control && piece.type != PieceType::unknown) continue;
    AddedToken token;
    token.content = piece.text;
    token.id = static_cast<TokenId>(id);
    token.normalized = false;
    token.special = true;
    added.push_back(std::move(token));
  }
  return added;
}

}  // namespace plume::inline PLUME_ABI
#endif
