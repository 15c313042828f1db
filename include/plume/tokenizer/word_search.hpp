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
    void release_large() { search.release_large(); }
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

  // Many vocabularies merge runs of spaces, all with the worst score, after everything else: a run before a word is cut off then, all but
  // the space that the word takes. True where they do.
  PLUME_FUNCTION bool prepare_runs(const word_models::ScoredBpe& model);
  PLUME_FUNCTION void append_run(const WordModel& model, std::size_t spaces, std::vector<TokenId>& ids) const;

  bool ready_ = false;
  std::vector<std::vector<TokenId>> runs_;  // the tokens of so many spaces; empty where that rule does not hold
  TokenId space_ = -1;
  TokenSearch tokens_;       // Bpe, ScoredBpe
  ByteTrie tied_;            // ScoredBpe: pieces that merge as soon as others; words that hold one merge step by step
  ByteTrie pieces_, inner_;  // WordPiece; inner_: what stands behind the prefix
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <limits>

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
inline constexpr std::size_t known_runs = 64;
inline constexpr std::size_t most_tied = 1000;  // with more, nearly every word would hold one

}  // namespace word_search

PLUME_FUNCTION WordSearch::WordSearch(const WordModel& model, const std::vector<std::string>& pieces) {
  if (const auto* bpe = std::get_if<word_models::Bpe>(&model)) prepare(*bpe, pieces);
  if (const auto* scored = std::get_if<word_models::ScoredBpe>(&model)) {
    prepare(*scored);
    if (ready_ && prepare_runs(*scored))
      for (std::size_t spaces = 0; spaces < word_search::known_runs; ++spaces) {
        std::vector<TokenId> ids;
        if (spaces > 0) append_run(model, spaces, ids);
        runs_.push_back(std::move(ids));
      }
  }
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

PLUME_FUNCTION bool WordSearch::prepare_runs(const word_models::ScoredBpe& model) {
  using Kind = word_models::ScoredBpe::Kind;
  const std::string& space = model.space;
  float best_run = -std::numeric_limits<float>::infinity(), worst = std::numeric_limits<float>::infinity();
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const std::string& piece = model.pieces[id];
    if (model.kinds[id] == Kind::absent || piece.empty()) continue;
    if (piece == space) space_ = static_cast<TokenId>(id);
    std::size_t spaces = 0;
    while (piece.compare(spaces * space.size(), space.size(), space) == 0) ++spaces;
    const bool is_run = spaces * space.size() == piece.size();
    if (is_run && spaces > 1) best_run = std::max(best_run, model.scores[id]);
    if (is_run) continue;
    if (spaces > 1 || piece.find(space, spaces * space.size()) != piece.npos) return false;
    if (!word_search::one_character(piece)) worst = std::min(worst, model.scores[id]);
  }
  return space_ >= 0 && best_run < worst;
}

PLUME_FUNCTION void WordSearch::append_run(const WordModel& model, std::size_t spaces, std::vector<TokenId>& ids) const {
  if (spaces < runs_.size()) {
    ids.insert(ids.end(), runs_[spaces].begin(), runs_[spaces].end());
    return;
  }
  std::string run;
  for (std::size_t i = 0; i < spaces; ++i) run += std::get<word_models::ScoredBpe>(model).space;
  std::vector<WordToken> tokens;
  encode_word(model, run, tokens);
  for (const WordToken& token : tokens) ids.push_back(token.id);
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
  if (scored && !bytes && !unknown) return false;
  std::size_t word = 0;  // where it begins, behind a run of spaces
  if (!runs_.empty())
    while (piece.compare(word, scored->space.size(), scored->space) == 0 &&
           piece.compare(word + scored->space.size(), scored->space.size(), scored->space) == 0)
      word += scored->space.size();
  if (scored && holds_tied(piece.substr(word))) return false;
  const std::size_t first = ids.size();
  bool behind_unknown = false;
  for (std::size_t at = word; at < piece.size();) {
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
  if (word > 0) {
    if (ids.size() > first && ids[first] == space_) {  // no merge took the last space
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(first));
      word += scored->space.size();
    }
    const std::size_t behind = ids.size();
    append_run(model, word / scored->space.size(), ids);
    std::rotate(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.begin() + static_cast<std::ptrdiff_t>(behind), ids.end());
  }
  return true;
}

}  // namespace plume::inline PLUME_ABI
#endif
