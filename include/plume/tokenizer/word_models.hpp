#pragma once
// The models of tokenizer.json [huggingface/tokenizers tokenizers/src/models] and of SentencePiece [google/sentencepiece src/*_model.cc]:
// what turns one piece into ids. As data, and one function.
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/aligned_text.hpp"
#include "plume/tokenizer/byte_pairs.hpp"
#include "plume/tokenizer/piece_table.hpp"
#include "plume/tokenizer/text_matcher.hpp"
#include "plume/tokenizer/tokenizer_model.hpp"

namespace plume::inline PLUME_ABI {

// The entries of a model by their spelling; tokens that text must not become are left out.
using WordIds = std::unordered_map<std::string, TokenId>;

namespace word_models {

// Byte-pair encoding over characters.
struct Bpe {
  WordIds ids;
  std::vector<Merge> merges;
  MergeRanks ranks;
  std::optional<TokenId> unknown;
  std::string prefix, suffix;  // of characters that are not the first, of the last
  bool fuse_unknown = false, ignore_merges = false;
  std::optional<std::array<TokenId, 256>> bytes;  // byte_fallback: <0x00> to <0xFF>; -1 where there is none
};

enum class ScoreType : std::uint8_t { real64, real32 };  // real32: sums are rounded as SentencePiece's are

// SentencePiece 0.2.3 counts from zero again at a place with such a sum, so that rounding does not grow with the length of a text.
inline bool sum_is_large(double sum) { return sum > 100'000 || sum < -100'000; }

struct Unigram {
  TextMatcher pieces;          // values are ids
  std::vector<double> scores;  // by id
  std::optional<TokenId> unknown;
  double lowest = 0;  // score
  std::optional<std::array<TokenId, 256>> bytes;
  ScoreType sums = ScoreType::real64;
  float behind_space = 0;  // the score with which a piece that begins with U+2581 starts: it decides how sums are rounded
};

// Byte-pair encoding of SentencePiece and llama2.c: neighbours merge if together they are a piece, the best score first.
struct ScoredBpe {
  enum class Kind : std::uint8_t { absent, normal, unused, whole };  // absent: no text becomes it; whole: a user-defined symbol
  // Where a character ends that is not well-formed: SentencePiece's text is; llama.cpp believes the first byte, llama2.c takes up to three
  // continuation bytes.
  enum class Characters : std::uint8_t { code_points, first_byte, continuations };
  std::vector<std::string> pieces;  // by id
  std::vector<float> scores;
  std::vector<Kind> kinds;
  PieceTable table;  // of what is not absent
  TextMatcher whole;
  std::size_t longest = 0;
  std::optional<TokenId> unknown;
  std::optional<std::array<TokenId, 256>> bytes;
  Characters characters = Characters::code_points;
  bool joins_unknown = true;  // characters that are no piece merge too, if together they are one
  std::string space;          // as pieces spell it
};

// The two simplest models of SentencePiece: each character, or all from one U+2581 to the next, is a piece or unknown.
struct SimplePieces {
  enum class Cut : std::uint8_t { characters, words };
  WordIds ids;
  TextMatcher whole;  // user-defined symbols; characters only
  TokenId unknown;
  std::optional<std::array<TokenId, 256>> bytes;
  Cut cut;
};

struct WordPiece {
  WordIds ids;
  TokenId unknown;
  std::string prefix;
  std::size_t longest_word = 100;  // characters
  std::size_t longest = 0;
};

struct WordLevel {
  WordIds ids;
  std::optional<TokenId> unknown;
};

}  // namespace word_models

using WordModel = std::variant<word_models::Bpe, word_models::Unigram, word_models::WordPiece, word_models::WordLevel,
                               word_models::ScoredBpe, word_models::SimplePieces>;

struct WordToken {
  TokenId id;
  std::size_t begin, end;  // bytes of the piece
};

// Appends the tokens of a non-empty piece. ArgumentError: an unknown character and no unk token.
PLUME_FUNCTION void encode_word(const WordModel& model, std::string_view piece, std::vector<WordToken>& tokens);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

#include "plume/base/error.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

class EncodeWord {
 public:
  EncodeWord(std::string_view piece, std::vector<WordToken>& tokens) : piece_(piece), tokens_(tokens) {}

  void operator()(const word_models::Bpe& model) {
    if (model.ignore_merges)
      if (const auto found = model.ids.find(std::string(piece_)); found != model.ids.end()) {
        tokens_.push_back({found->second, 0, piece_.size()});
        return;
      }
    std::vector<Symbol> symbols;
    const auto add = [&](TokenId id, std::size_t begin, std::size_t end) {
      const auto index = static_cast<std::uint32_t>(symbols.size());
      symbols.push_back(
          {id, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), index == 0 ? no_symbol : index - 1, index + 1});
    };
    Piece unknown{0, 0};  // characters outside the vocabulary; empty: none
    const auto flush = [&] {
      if (unknown.begin < unknown.end) add(*model.unknown, unknown.begin, unknown.end);
      unknown = {0, 0};
    };
    std::string text;
    for (std::size_t at = 0, end = 0; at < piece_.size(); at = end) {
      end = at + code_point_at(piece_, at).length;
      text.clear();
      if (at > 0) text.append(model.prefix);
      text.append(piece_.substr(at, end - at));
      if (end == piece_.size()) text.append(model.suffix);
      if (const auto found = model.ids.find(text); found != model.ids.end()) {
        flush();
        add(found->second, at, end);
        continue;
      }
      if (model.bytes &&
          std::all_of(text.begin(), text.end(), [&](char c) { return (*model.bytes)[static_cast<unsigned char>(c)] >= 0; })) {
        for (std::size_t i = 0; i < text.size(); ++i)
          add((*model.bytes)[static_cast<unsigned char>(text[i])], std::min(at + i, end - 1), std::min(at + i + 1, end));
        continue;
      }
      if (!model.unknown) continue;  // as tokenizers: such a character leaves no trace
      if (unknown.begin < unknown.end && model.fuse_unknown) {
        unknown.end = end;
      } else {
        flush();
        unknown = {at, end};
      }
    }
    flush();
    if (symbols.empty()) return;
    symbols.back().next = no_symbol;
    // a merge is stale when its right part has grown; symbols may be empty or shared bytes, so their count tells, not their bytes
    std::vector<MergeCandidate<std::uint32_t>> heap;
    std::vector<TokenSpan> spans(symbols.size());
    for (std::uint32_t i = 0; i < symbols.size(); ++i) {
      spans[i] = {symbols[i].begin, symbols[i].end};
      symbols[i].begin = i, symbols[i].end = i + 1;
    }
    merge_symbols(symbols, heap, [&](const Symbol& left, const Symbol& right) -> std::optional<FoundMerge<std::uint32_t>> {
      const MergeRanks::Found found = model.ranks.find(left.id, right.id);
      if (found.rank == MergeRanks::none) return std::nullopt;
      return FoundMerge<std::uint32_t>{found.rank, found.result};
    });
    for (const Symbol& symbol : symbols)
      if (symbol.id != absorbed_symbol) tokens_.push_back({symbol.id, spans[symbol.begin].begin, spans[symbol.end - 1].end});
  }

  // The best path [Kudo 2018], as tokenizers' encode_optimized: an unknown character costs ten more than the worst piece.
  void operator()(const word_models::Unigram& model) {
    struct Node {
      double score = 0;
      TokenId id = -1;
      std::size_t begin = npos;
    };
    std::vector<Node> best(piece_.size() + 1);
    const bool rounded = model.sums == word_models::ScoreType::real32;
    if (model.behind_space != 0 && piece_.starts_with("\xe2\x96\x81")) best[0].score = model.behind_space;
    std::size_t reached = 0;
    for (std::size_t at = 0, length = 0; at < piece_.size(); at += length) {
      length = code_point_at(piece_, at).length;
      if (rounded && word_models::sum_is_large(best[at].score)) {
        const double base = best[at].score;
        for (std::size_t end = at; end <= reached; ++end) best[end].score = double{static_cast<float>(best[end].score - base)};
      }
      const double here = best[at].score;
      bool single = false;
      const auto offer = [&](std::size_t end, TokenId id, double exact) {
        const double score = rounded ? double{static_cast<float>(exact)} : exact;
        Node& node = best[end];
        reached = std::max(reached, end);
        if (node.begin == npos || score > node.score) node = {score, id, at};
      };
      model.pieces.each_at(piece_, at, [&](std::size_t end, std::uint32_t id) {
        offer(end, static_cast<TokenId>(id), model.scores[id] + here);
        single = single || end == at + length;
      });
      if (single) continue;
      require(model.unknown.has_value() || model.bytes.has_value(), "[encode] ", quoted(piece_.substr(at, length)),
              " is not in the vocabulary, which has no unk token");
      const double unknown =
          rounded ? double{static_cast<float>(model.lowest) - 10.0f + static_cast<float>(here)} : model.lowest - 10 + here;
      offer(at + length, model.unknown.value_or(-1), unknown);
    }
    std::vector<WordToken> path;  // from the end
    for (std::size_t end = piece_.size(); end > 0; end = best[end].begin) {
      const Node& node = best[end];
      const bool unknown = node.id == model.unknown.value_or(-1);
      if (unknown && !path.empty() && path.back().id == node.id && path.back().begin == end)
        path.back().begin = node.begin;
      else
        path.push_back({node.id, node.begin, end});
    }
    std::reverse(path.begin(), path.end());
    for (const WordToken& token : path) {
      if (token.id != model.unknown.value_or(-1)) {
        tokens_.push_back(token);
        continue;
      }
      const std::string_view run = piece_.substr(token.begin, token.end - token.begin);
      if (model.bytes && std::all_of(run.begin(), run.end(), [&](char c) { return (*model.bytes)[static_cast<unsigned char>(c)] >= 0; })) {
        for (std::size_t i = 0; i < run.size(); ++i) {  // in tokenizers each of them stands for the whole run
          const std::size_t begin = rounded ? token.begin + i : token.begin, end = rounded ? begin + 1 : token.end;
          tokens_.push_back({(*model.bytes)[static_cast<unsigned char>(run[i])], begin, end});
        }
      } else {
        require(model.unknown.has_value(), "[encode] ", quoted(run), " is not in the vocabulary, which has no unk token");
        tokens_.push_back(token);
      }
    }
  }

  void operator()(const word_models::ScoredBpe& model) {
    constexpr TokenId no_piece = -2;  // -1: absorbed
    using Kind = word_models::ScoredBpe::Kind;
    const auto find = [&](std::size_t begin, std::size_t end) -> TokenId {
      if (end - begin > model.longest) return no_piece;
      const std::string_view text = piece_.substr(begin, end - begin);
      const std::uint32_t id = model.table.find(piece_key(text, piece_.size() - begin), text,
                                                [&](std::uint32_t value) -> const std::string& { return model.pieces[value]; });
      return id == PieceTable::absent ? no_piece : static_cast<TokenId>(id);
    };
    std::vector<Symbol> symbols;
    for (std::size_t at = 0, end = 0; at < piece_.size(); at = end) {
      const std::size_t whole = model.whole.empty() ? 0 : model.whole.longest_at(piece_, at);
      end = at + (whole > 0 ? whole : character_length(model.characters, at));
      const auto index = static_cast<std::uint32_t>(symbols.size());
      symbols.push_back(
          {find(at, end), static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(end), index == 0 ? no_symbol : index - 1, index + 1});
    }
    symbols.back().next = no_symbol;
    struct Halves {
      TokenId left, right;
      std::uint32_t left_bytes;
    };
    std::unordered_map<TokenId, Halves> halves;  // of unused pieces, from the merge last considered
    const auto merges = [&](const Symbol& symbol) {
      return symbol.id == no_piece ? model.joins_unknown : model.kinds[static_cast<std::size_t>(symbol.id)] != Kind::whole;
    };
    std::vector<MergeCandidate<float>> heap;
    merge_symbols(symbols, heap, [&](const Symbol& left, const Symbol& right) -> std::optional<FoundMerge<float>> {
      if (!merges(left) || !merges(right)) return std::nullopt;
      const TokenId id = find(left.begin, right.end);
      if (id == no_piece) return std::nullopt;
      if (model.kinds[static_cast<std::size_t>(id)] == Kind::unused) halves[id] = {left.id, right.id, left.end - left.begin};
      return FoundMerge<float>{-model.scores[static_cast<std::size_t>(id)], id};
    });
    std::vector<WordToken> open;  // the last is next; an unused piece gives way to its halves
    for (const Symbol& symbol : symbols) {
      if (symbol.id == absorbed_symbol) continue;
      open.push_back({symbol.id, symbol.begin, symbol.end});
      while (!open.empty()) {
        const WordToken token = open.back();
        open.pop_back();
        const bool known = token.id != no_piece;
        if (known && model.kinds[static_cast<std::size_t>(token.id)] != Kind::unused) {
          tokens_.push_back(token);
          continue;
        }
        const auto parts = halves.find(token.id);
        if (parts == halves.end()) {
          add_unknown(token.begin, token.end, model.unknown, model.bytes);
          continue;
        }
        const std::size_t middle = token.begin + parts->second.left_bytes;
        open.push_back({parts->second.right, middle, token.end});
        open.push_back({parts->second.left, token.begin, middle});
      }
    }
  }

  void operator()(const word_models::SimplePieces& model) {
    constexpr std::string_view block = "\xe2\x96\x81";
    for (std::size_t at = 0, end = 0; at < piece_.size(); at = end) {
      if (model.cut == word_models::SimplePieces::Cut::words) {
        end = std::min(piece_.find(block, at + 1), piece_.size());
      } else {
        const std::size_t whole = model.whole.empty() ? 0 : model.whole.longest_at(piece_, at);
        end = at + (whole > 0 ? whole : code_point_at(piece_, at).length);
      }
      if (const auto found = model.ids.find(std::string(piece_.substr(at, end - at))); found != model.ids.end())
        tokens_.push_back({found->second, at, end});
      else
        add_unknown(at, end, model.unknown, model.bytes);
    }
  }

  void operator()(const word_models::WordPiece& model) {
    std::size_t characters = 0;
    for (std::size_t at = 0; at < piece_.size(); ++characters) at += code_point_at(piece_, at).length;
    const std::size_t first = tokens_.size();
    const auto unknown = [&] {
      tokens_.resize(first);
      tokens_.push_back({model.unknown, 0, piece_.size()});
    };
    if (characters > model.longest_word) return unknown();
    std::string text;
    for (std::size_t at = 0; at < piece_.size();) {
      text = at > 0 ? model.prefix : std::string();
      const std::size_t front = text.size();
      text.append(piece_.substr(at, model.longest));
      bool found = false;
      for (; text.size() > front && !found;) {
        const std::size_t end = at + text.size() - front;
        const bool whole = end == piece_.size() || (static_cast<unsigned char>(piece_[end]) & 0xc0) != 0x80;
        if (const auto entry = whole ? model.ids.find(text) : model.ids.end(); entry != model.ids.end()) {
          tokens_.push_back({entry->second, at, end});
          at = end;
          found = true;
        } else {
          text.pop_back();
        }
      }
      if (!found) return unknown();
    }
  }

  void operator()(const word_models::WordLevel& model) {
    const auto found = model.ids.find(std::string(piece_));
    if (found != model.ids.end()) {
      tokens_.push_back({found->second, 0, piece_.size()});
      return;
    }
    require(model.unknown.has_value(), "[encode] ", quoted(piece_), " is not in the vocabulary, which has no unk token");
    tokens_.push_back({*model.unknown, 0, piece_.size()});
  }

 private:
  static constexpr std::size_t npos = std::string::npos;

  // The bytes of an unknown part of the piece where there are byte tokens, else unk, once for what follows each other.
  void add_unknown(std::size_t begin, std::size_t end, std::optional<TokenId> unknown,
                   const std::optional<std::array<TokenId, 256>>& bytes) {
    if (bytes) {
      for (std::size_t i = begin; i < end; ++i) tokens_.push_back({(*bytes)[static_cast<unsigned char>(piece_[i])], i, i + 1});
      return;
    }
    require(unknown.has_value(), "[encode] ", quoted(piece_.substr(begin, end - begin)),
            " is not in the vocabulary, which has no unk token");
    if (!tokens_.empty() && tokens_.back().id == *unknown && tokens_.back().end == begin)
      tokens_.back().end = end;
    else
      tokens_.push_back({*unknown, begin, end});
  }
  std::size_t character_length(word_models::ScoredBpe::Characters rule, std::size_t at) const {
    using enum word_models::ScoredBpe::Characters;
    if (rule == code_points) return code_point_at(piece_, at).length;
    const auto first = static_cast<unsigned char>(piece_[at]);
    const std::size_t left = piece_.size() - at;
    if (rule == first_byte) return std::min<std::size_t>(left, first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4);
    std::size_t length = 1;
    while (length < std::min<std::size_t>(left, 4) && (static_cast<unsigned char>(piece_[at + length]) & 0xc0) == 0x80) ++length;
    return length;
  }

  std::string_view piece_;
  std::vector<WordToken>& tokens_;
};

PLUME_FUNCTION void encode_word(const WordModel& model, std::string_view piece, std::vector<WordToken>& tokens) {
  std::visit(EncodeWord(piece, tokens), model);
}

}  // namespace plume::inline PLUME_ABI
#endif
