#pragma once
// The models of word_models.hpp prepared for speed, where only ids are asked for: the same ids as encode_word() gives. Unigram has a search
// of its own, unigram_search.hpp.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/byte_trie.hpp"
#include "plume/tokenizer/token_search.hpp"
#include "plume/tokenizer/word_models.hpp"

namespace plume::inline PLUME_ABI {

class WordSearch {
 public:
  // Room for one call at a time.
  struct Scratch {
    TokenSearch::Scratch search = {};
  };

  WordSearch() = default;
  // `pieces` by id. Prepares nothing for models without a faster way.
  PLUME_FUNCTION WordSearch(const WordModel& model, const std::vector<std::string>& pieces);
  // Appends the ids of a non-empty piece; false, and nothing done: encode_word() is to be asked.
  PLUME_FUNCTION bool encode(const WordModel& model, std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const;

 private:
  PLUME_FUNCTION void prepare(const word_models::Bpe& model, const std::vector<std::string>& pieces);
  PLUME_FUNCTION void prepare(const word_models::ScoredBpe& model);
  PLUME_FUNCTION void prepare(const word_models::WordPiece& model);
  bool holds_tied(std::string_view text) const {
    if (!tied_.empty())
      for (std::size_t at = 0; at < text.size(); ++at)
        if (tied_.longest_at(text, at) != ByteTrie::none) return true;
    return false;
  }

  bool ready_ = false;
  TokenSearch tokens_;       // Bpe, ScoredBpe
  ByteTrie tied_;            // ScoredBpe: pieces that merge as soon as others; words that hold one merge step by step
  ByteTrie pieces_, inner_;  // WordPiece; inner_: what stands behind the prefix
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

#include "plume/base/error.hpp"
#include "plume/base/sort_stably.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

namespace word_search {

inline bool one_character(std::string_view text) { return !text.empty() && code_point_at(text, 0).length == text.size(); }

// Merges the characters of a text; merge(left, right, rank) gives the result or -1. The last merge, if it leaves one token.
template <class Merge>
std::optional<MadeToken> last_merge(std::vector<TokenId>& parts, Merge&& merge) {
  for (;;) {
    MadeToken best{0, 0, -1, 0xffffffff};
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      std::uint32_t rank = 0;
      if (const TokenId result = merge(parts[i], parts[i + 1], rank); result >= 0 && rank < best.rank)
        best = {parts[i], parts[i + 1], result, rank}, place = i;
    }
    if (best.result < 0) return std::nullopt;
    if (parts.size() == 2) return best;
    parts[place] = best.result;
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

inline constexpr std::size_t longest_piece = 512;  // last_merge() takes the square of it
inline constexpr std::size_t most_tied = 1000;     // with more, nearly every word would hold one

}  // namespace word_search

PLUME_FUNCTION WordSearch::WordSearch(const WordModel& model, const std::vector<std::string>& pieces) {
  if (const auto* bpe = std::get_if<word_models::Bpe>(&model)) prepare(*bpe, pieces);
  if (const auto* scored = std::get_if<word_models::ScoredBpe>(&model)) prepare(*scored);
  if (const auto* words = std::get_if<word_models::WordPiece>(&model)) prepare(*words);
}

// Characters, and what merges make of them; characters outside the vocabulary part a text, for no merge has them.
PLUME_FUNCTION void WordSearch::prepare(const word_models::Bpe& model, const std::vector<std::string>& pieces) {
  if (!model.prefix.empty() || !model.suffix.empty() || model.ignore_merges) return;
  if (model.bytes ? std::any_of(model.bytes->begin(), model.bytes->end(), [](TokenId id) { return id < 0; }) : !model.unknown) return;
  std::vector<TokenId> single, parts;
  std::vector<char> plain(pieces.size());  // what text is made of
  for (const auto& [text, id] : model.ids)
    if (word_search::one_character(text)) single.push_back(id), plain[static_cast<std::size_t>(id)] = 1;
  std::vector<MadeToken> made;
  for (const auto& [text, id] : model.ids) {
    if (word_search::one_character(text) || text.empty()) continue;
    if (text.size() > word_search::longest_piece) return;
    parts.clear();
    for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
      length = code_point_at(text, at).length;
      const auto found = model.ids.find(text.substr(at, length));
      if (found == model.ids.end()) break;
      parts.push_back(found->second);
      if (at + length < text.size()) continue;
      const auto last = word_search::last_merge(parts, [&](TokenId left, TokenId right, std::uint32_t& rank) {
        const MergeRanks::Found merge = model.ranks.find(left, right);
        rank = merge.rank;
        return merge.rank == MergeRanks::none ? TokenId{-1} : merge.result;
      });
      if (last && last->result == id) made.push_back(*last), plain[static_cast<std::size_t>(id)] = 1;
    }
  }
  const auto not_plain = [&](std::optional<TokenId> id) { return !id || *id < 0 || plain[static_cast<std::size_t>(*id)] == 0; };
  if (!not_plain(model.unknown)) return;
  if (model.bytes && !std::all_of(model.bytes->begin(), model.bytes->end(), not_plain)) return;
  for (const Merge& merge : model.merges)  // what stands for unknown characters must not merge
    if (merge.left == model.unknown || merge.right == model.unknown ||
        (model.bytes && std::any_of(model.bytes->begin(), model.bytes->end(),
                                    [&](TokenId byte) { return byte >= 0 && (byte == merge.left || byte == merge.right); })))
      return;
  tokens_ = TokenSearch(pieces, single, std::move(made));
  ready_ = static_cast<bool>(tokens_);
}

PLUME_FUNCTION void WordSearch::prepare(const word_models::ScoredBpe& model) {
  using Kind = word_models::ScoredBpe::Kind;
  if (model.characters != word_models::ScoredBpe::Characters::code_points || !model.whole.empty()) return;
  std::vector<TokenId> single, order, parts;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.kinds[id] == Kind::absent || model.pieces[id].empty()) continue;
    if (model.kinds[id] != Kind::normal || model.pieces[id].size() > word_search::longest_piece) return;
    (word_search::one_character(model.pieces[id]) ? single : order).push_back(static_cast<TokenId>(id));
  }
  const auto score = [&](TokenId id) { return model.scores[static_cast<std::size_t>(id)]; };
  sort_stably(order, [&](TokenId a, TokenId b) { return score(a) > score(b); });
  std::vector<std::uint32_t> rank_of(model.pieces.size(), 0);
  std::vector<ByteTrie::Entry> tied;
  for (std::size_t i = 0; i < order.size(); ++i) {
    rank_of[static_cast<std::size_t>(order[i])] = static_cast<std::uint32_t>(i);
    const bool as_before = i > 0 && !(score(order[i - 1]) > score(order[i]));
    if (as_before || (i + 1 < order.size() && !(score(order[i]) > score(order[i + 1]))))
      tied.emplace_back(model.pieces[static_cast<std::size_t>(order[i])], 0);
  }
  if (tied.size() > word_search::most_tied) return;
  tied_ = ByteTrie(std::move(tied));
  const auto find = [&](std::string_view text) {
    const std::uint32_t id = model.table.find(piece_key(text, text.size()), text,
                                              [&](std::uint32_t value) -> const std::string& { return model.pieces[value]; });
    return id == PieceTable::absent ? TokenId{-1} : static_cast<TokenId>(id);
  };
  std::vector<MadeToken> made;
  for (const TokenId id : order) {
    const std::string& text = model.pieces[static_cast<std::size_t>(id)];
    if (holds_tied(text)) continue;
    parts.clear();
    for (std::size_t at = 0, length = 0; at < text.size(); at += length) {
      length = code_point_at(text, at).length;
      const TokenId part = find(std::string_view(text).substr(at, length));
      if (part < 0) {
        if (model.joins_unknown) return;  // a character of its own may be unknown and yet merge
        break;
      }
      parts.push_back(part);
      if (at + length < text.size()) continue;
      const auto last = word_search::last_merge(parts, [&](TokenId left, TokenId right, std::uint32_t& rank) {
        const TokenId result = find(model.pieces[static_cast<std::size_t>(left)] + model.pieces[static_cast<std::size_t>(right)]);
        if (result >= 0) rank = rank_of[static_cast<std::size_t>(result)];
        return result;
      });
      if (last && last->result == id) made.push_back(*last);
    }
  }
  tokens_ = TokenSearch(model.pieces, single, std::move(made));
  ready_ = static_cast<bool>(tokens_);
}

PLUME_FUNCTION void WordSearch::prepare(const word_models::WordPiece& model) {
  std::vector<ByteTrie::Entry> first, inner;
  for (const auto& [text, id] : model.ids) {
    if (!text.empty()) first.emplace_back(text, static_cast<std::uint32_t>(id));
    if (text.size() > model.prefix.size() && text.starts_with(model.prefix))
      inner.emplace_back(std::string_view(text).substr(model.prefix.size()), static_cast<std::uint32_t>(id));
  }
  pieces_ = ByteTrie(std::move(first));
  inner_ = ByteTrie(std::move(inner));
  ready_ = true;
}

PLUME_FUNCTION bool WordSearch::encode(const WordModel& model, std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const {
  if (!ready_) return false;
  if (const auto* words = std::get_if<word_models::WordPiece>(&model)) {
    std::size_t characters = 0;
    for (std::size_t at = 0; at < piece.size() && characters <= words->longest_word; ++characters) at += code_point_at(piece, at).length;
    const std::size_t first = ids.size();
    for (std::size_t at = 0; at < piece.size();) {
      std::uint32_t best = ByteTrie::none;
      std::size_t best_end = at;
      if (characters <= words->longest_word)
        (at == 0 ? pieces_ : inner_).each_at(piece, at, [&](std::size_t end, std::uint32_t id) {
          if (end == piece.size() || (static_cast<unsigned char>(piece[end]) & 0xc0) != 0x80) best = id, best_end = end;
        });
      if (best == ByteTrie::none) {
        ids.resize(first);
        ids.push_back(words->unknown);
        return true;
      }
      ids.push_back(static_cast<TokenId>(best));
      at = best_end;
    }
    return true;
  }
  const auto* bpe = std::get_if<word_models::Bpe>(&model);
  const auto* scored = std::get_if<word_models::ScoredBpe>(&model);
  const std::optional<TokenId> unknown = bpe ? bpe->unknown : scored->unknown;
  const std::optional<std::array<TokenId, 256>>& bytes = bpe ? bpe->bytes : scored->bytes;
  if (scored && ((!bytes && !unknown) || holds_tied(piece))) return false;
  bool behind_unknown = false;
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t end = tokens_.encode(piece, at, ids, scratch.search);
    if (end > at) behind_unknown = false;
    if (end == piece.size()) break;
    at = end + code_point_at(piece, end).length;
    const std::string_view character = piece.substr(end, at - end);
    if (bytes &&
        (scored || std::all_of(character.begin(), character.end(), [&](char c) { return (*bytes)[static_cast<unsigned char>(c)] >= 0; }))) {
      for (const char c : character) ids.push_back((*bytes)[static_cast<unsigned char>(c)]);
      behind_unknown = false;
    } else if (unknown) {
      if (!behind_unknown || (bpe && !bpe->fuse_unknown)) ids.push_back(*unknown);
      behind_unknown = true;
    }
  }
  return true;
}

}  // namespace plume::inline PLUME_ABI
#endif
