#pragma once
// The inner loop of byte-pair encoding, shared by every byte-level vocabulary. A piece that came before is in the memory; one that
// is a token is looked up whole where that gives what merging gives (found out once, when loading); others are searched for the one row of
// tokens in which no neighbours would have merged before (token_search.hpp), or merge step by step where the vocabulary is not regular.
// Long pieces, of scripts without spaces, are cut first where no token reaches across (piece_borders.hpp): their parts come again. One that
// comes again itself is kept whole as well.
#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/huge_pages.hpp"
#include "plume/tokenizer/merge_symbols.hpp"
#include "plume/tokenizer/piece_borders.hpp"
#include "plume/tokenizer/piece_table.hpp"
#include "plume/tokenizer/token_search.hpp"
#include "plume/tokenizer/word_cache.hpp"
#include "plume/tokenizer/worker_states.hpp"

namespace plume::inline PLUME_ABI {

struct Merge {
  TokenId left, right, result;
};

enum class MergeOrder : std::uint8_t { as_listed, by_result };  // by_result: the lowest resulting id first, as in tiktoken

// From a pair of tokens to the rank of its merge and its result: a hash table with linear probing, at most half full.
class MergeRanks {
 public:
  struct Found {
    std::uint32_t rank;  // none: no merge
    TokenId result;
  };
  static constexpr std::uint32_t none = 0xffffffff;

  explicit MergeRanks(const std::vector<Merge>& merges, MergeOrder order = MergeOrder::as_listed)
      : slots_(std::bit_ceil(std::max<std::size_t>(2 * merges.size(), 2))) {
    for (std::uint32_t rank = 0; rank < merges.size(); ++rank)
      insert(merges[rank], order == MergeOrder::by_result ? static_cast<std::uint32_t>(merges[rank].result) : rank);
  }
  Found find(TokenId left, TokenId right) const {
    const std::uint64_t key = pair_key(left, right);
    for (std::size_t at = start(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) return {slots_[at].rank, slots_[at].result};
      if (slots_[at].key == empty) return {none, 0};
    }
  }

 private:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};  // no pair: ids are not negative
  struct Slot {
    std::uint64_t key = empty;
    std::uint32_t rank = none;
    TokenId result = 0;
  };
  static std::uint64_t pair_key(TokenId left, TokenId right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t start(std::uint64_t key) const { return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15u) >> 32) & (slots_.size() - 1); }
  void insert(const Merge& merge, std::uint32_t rank) {  // a pair that comes twice has its last rank, as in tokenizers
    const std::uint64_t key = pair_key(merge.left, merge.right);
    std::size_t at = start(key);
    while (slots_[at].key != empty && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {key, rank, merge.result};
  }
  TableVector<Slot> slots_;
};

enum class WholePieces : std::uint8_t { if_merges_make_them, always };  // always: ignore_merges of tokenizer.json, and tiktoken

class BytePairs {
 public:
  // What calls of encode leave for others: room for merging, and the pieces that came before. For one thread at a time.
  struct Scratch {
    WordCache known = {};
    TokenSearch::Scratch search = {};
    std::vector<Symbol> symbols = {};
    std::vector<MergeCandidate<std::uint32_t>> heap = {};
    std::vector<TokenId> ids = {}, part_ids = {};  // of one piece, of a part of it
    void release_large() {
      search.release_large();
      plume::release_large(symbols, heap, ids, part_ids);
    }
  };

  // bytes[i] is what token i stands for; empty for tokens that no text becomes. Every single byte has a token, or the ids of the others
  // are -1 and such a byte yields no id.
  PLUME_FUNCTION BytePairs(const std::vector<std::string>& bytes, std::vector<Merge> merges, WholePieces whole,
                           MergeOrder order = MergeOrder::as_listed);

  const std::vector<Merge>& merges() const { return merges_; }
  const std::vector<std::string>& bytes() const { return *bytes_; }
  MergeOrder order() const { return order_; }
  // For each token that merging makes, in the order of ids, the last merge that makes it: what a list of merges needs in place of ranks.
  PLUME_FUNCTION std::vector<Merge> making_merges() const;

  // Appends the ids of one piece. `readable`: bytes from its start that may be read. scratch.known.expect() came before.
  void encode(std::string_view piece, std::size_t readable, std::vector<TokenId>& ids, Scratch& scratch) const {
    const WordCache::Key key = scratch.known.key(piece, readable);
    WordCache::Found found = scratch.known.find(key, piece);
    if (found.ids == nullptr) found = encode_new(key, piece, readable, scratch);
    ids.insert(ids.end(), found.ids, found.ids + found.count);
  }

  // Appends the ids of a text that next_end(at) cuts.
  template <class NextEnd>
  void encode_text(std::string_view text, NextEnd&& next_end, std::vector<TokenId>& ids, Scratch& scratch) const {
    scratch.known.expect(text.size());
    encode_pieces(
        text, text.size(),
        [&](std::size_t at) {
          return Piece{at, next_end(at)};
        },
        ids, scratch);
  }
  // Of pieces as encode_known_words() takes words, up to `end`. scratch.known.expect() came before.
  template <class NextPiece>
  void encode_pieces(std::string_view text, std::size_t end, NextPiece&& next_piece, std::vector<TokenId>& ids, Scratch& scratch) const {
    encode_known_words(
        text, 0, end, scratch.known, ids, next_piece, [](const WordCache::Found&) { return true; },
        [&](const WordCache::Key& key, std::string_view piece, bool) {
          return encode_new(key, piece, static_cast<std::size_t>(text.data() + text.size() - piece.data()), scratch);
        });
  }

 private:
  PLUME_FUNCTION WordCache::Found encode_new(const WordCache::Key& key, std::string_view piece, std::size_t readable,
                                             Scratch& scratch) const;
  PLUME_FUNCTION void encode_part(std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const;
  PLUME_FUNCTION void merge(std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const;
  PLUME_FUNCTION std::optional<Merge> last_merge(std::string_view token, std::vector<TokenId>& parts) const;

  std::vector<Merge> merges_;
  MergeOrder order_;
  MergeRanks ranks_;
  std::array<TokenId, 256> id_of_byte_{};
  const std::vector<std::string>* bytes_;
  PieceTable whole_;
  TokenSearch search_;    // empty where the vocabulary is not regular
  PieceBorders borders_;  // where a piece may be cut; none where a part could be a token that merging does not make
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION BytePairs::BytePairs(const std::vector<std::string>& bytes, std::vector<Merge> merges, WholePieces whole, MergeOrder order)
    : merges_(std::move(merges)), order_(order), ranks_(merges_, order), bytes_(&bytes), whole_(bytes.size()) {
  id_of_byte_.fill(-1);
  for (std::size_t id = bytes.size(); id-- > 0;)
    if (bytes[id].size() == 1) id_of_byte_[static_cast<unsigned char>(bytes[id][0])] = static_cast<TokenId>(id);
  constexpr std::size_t longest_regular = 512;  // last_merge() takes the square of it
  bool regular = true, all_made = true;
  std::vector<MadeToken> made;
  std::vector<TokenId> parts;
  Scratch scratch;
  for (std::size_t id = 0; id < bytes.size(); ++id) {
    const std::string& token = bytes[id];
    if (token.empty()) continue;
    if (token.size() > longest_regular) {
      regular = false;
      parts.clear();
      merge(token, parts, scratch);
      if (whole == WholePieces::if_merges_make_them && (parts.size() != 1 || parts[0] != static_cast<TokenId>(id))) continue;
    } else if (token.size() > 1) {
      const std::optional<Merge> last = last_merge(token, parts);
      const bool merges_make_it = last && last->result == static_cast<TokenId>(id);
      all_made = all_made && merges_make_it;
      if (merges_make_it) made.push_back({last->left, last->right, last->result, ranks_.find(last->left, last->right).rank});
      if (!merges_make_it && whole == WholePieces::if_merges_make_them) continue;
    }
    const PieceKey key = piece_key(token, token.size());
    if (whole_.find(key, token, [&](std::uint32_t value) -> const std::string& { return bytes[value]; }) == PieceTable::absent)
      whole_.insert(key, static_cast<std::uint32_t>(id));
  }
  if (regular) search_ = TokenSearch(bytes, {id_of_byte_.begin(), id_of_byte_.end()}, std::move(made));
  if (regular && (all_made || whole == WholePieces::if_merges_make_them) &&
      std::none_of(id_of_byte_.begin(), id_of_byte_.end(), [](TokenId id) { return id < 0; }))
    borders_ = PieceBorders(std::vector<std::string_view>(bytes.begin(), bytes.end()), PieceBorders::Unknown::bytes);
}

// The merge that ends in one token, which is in `result` what its bytes merge to; none where they stay apart.
PLUME_FUNCTION std::optional<Merge> BytePairs::last_merge(std::string_view token, std::vector<TokenId>& parts) const {
  parts.clear();
  for (const char byte : token) parts.push_back(id_of_byte_[static_cast<unsigned char>(byte)]);
  for (;;) {  // tokens are short
    std::size_t best = 0;
    MergeRanks::Found lowest{MergeRanks::none, 0};
    for (std::size_t i = 0; i + 1 < parts.size(); ++i)
      if (const MergeRanks::Found found = ranks_.find(parts[i], parts[i + 1]); found.rank < lowest.rank) lowest = found, best = i;
    if (lowest.rank == MergeRanks::none) return std::nullopt;
    if (parts.size() == 2) return Merge{parts[0], parts[1], lowest.result};
    parts[best] = lowest.result;
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

PLUME_FUNCTION std::vector<Merge> BytePairs::making_merges() const {
  std::vector<Merge> out;
  std::vector<TokenId> parts;
  for (std::size_t id = 0; id < bytes_->size(); ++id) {
    const std::string& token = (*bytes_)[id];
    if (token.size() < 2) continue;
    parts.clear();
    for (const char byte : token) parts.push_back(id_of_byte_[static_cast<unsigned char>(byte)]);
    while (parts.size() > 2) {  // all merges of lower rank; tokens are short
      std::size_t best = 0;
      MergeRanks::Found lowest{MergeRanks::none, 0};
      for (std::size_t i = 0; i + 1 < parts.size(); ++i)
        if (const MergeRanks::Found found = ranks_.find(parts[i], parts[i + 1]); found.rank < lowest.rank) lowest = found, best = i;
      if (lowest.rank == MergeRanks::none) break;
      parts[best] = lowest.result;
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    if (parts.size() == 2) out.push_back({parts[0], parts[1], static_cast<TokenId>(id)});
  }
  return out;
}

PLUME_FUNCTION WordCache::Found BytePairs::encode_new(const WordCache::Key& key, std::string_view piece, std::size_t readable,
                                                      Scratch& scratch) const {
  constexpr std::size_t short_piece = 16;  // bytes; longer ones seldom come again, but parts of them do
  scratch.ids.clear();
  PieceBorders::Cursor borders(borders_, piece, 0);
  std::size_t end = piece.size() > short_piece && !borders_.empty() ? borders.next() : piece.size();
  if (end == piece.size()) {
    encode_part(piece, scratch.ids, scratch);
    scratch.known.insert(key, piece, scratch.ids);
  } else {
    scratch.known.prefetch_extra(key);
    encode_known_words(
        std::string_view(piece.data(), readable), 0, piece.size(), scratch.known, scratch.ids,
        [&](std::size_t at) {
          return Piece{at, at == 0 ? end : borders.next()};
        },
        [](const WordCache::Found&) { return true; },
        [&](const WordCache::Key& part_key, std::string_view part, bool) -> WordCache::Found {
          std::vector<TokenId>& ids = scratch.part_ids;
          ids.clear();
          encode_part(part, ids, scratch);
          scratch.known.insert(part_key, part, ids);
          ids.reserve(WordCache::readable_ids);
          return {ids.data(), static_cast<std::uint32_t>(ids.size())};
        });
    scratch.known.insert_extra(key, piece, scratch.ids);
  }
  scratch.ids.reserve(WordCache::readable_ids);
  return {scratch.ids.data(), static_cast<std::uint32_t>(scratch.ids.size())};
}

PLUME_FUNCTION void BytePairs::encode_part(std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const {
  const std::uint32_t id =
      whole_.find(piece_key(piece, piece.size()), piece, [&](std::uint32_t value) -> const std::string& { return (*bytes_)[value]; });
  if (id != PieceTable::absent)
    ids.push_back(static_cast<TokenId>(id));
  else if (search_)
    search_.encode(piece, 0, ids, scratch.search);
  else
    merge(piece, ids, scratch);
}

PLUME_FUNCTION void BytePairs::merge(std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const {
  constexpr std::size_t small = 48;
  if (piece.size() <= small) {
    std::array<TokenId, small + 1> id;
    std::array<std::uint32_t, small + 1> rank;  // of the merge of i and i + 1
    std::array<TokenId, small + 1> result;
    std::size_t count = 0;
    for (const char byte : piece)
      if (const TokenId one = id_of_byte_[static_cast<unsigned char>(byte)]; one >= 0) id[count++] = one;
    if (count == 0) return;
    const auto look_up = [&](std::size_t i) {
      if (i + 1 >= count) {
        rank[i] = MergeRanks::none;
        return;
      }
      const MergeRanks::Found found = ranks_.find(id[i], id[i + 1]);
      rank[i] = found.rank, result[i] = found.result;
    };
    for (std::size_t i = 0; i < count; ++i) look_up(i);
    for (;;) {
      std::size_t best = 0;
      for (std::size_t i = 1; i + 1 < count; ++i)
        if (rank[i] < rank[best]) best = i;
      if (rank[best] == MergeRanks::none) break;
      id[best] = result[best];
      --count;
      for (std::size_t i = best + 1; i < count; ++i) id[i] = id[i + 1], rank[i] = rank[i + 1], result[i] = result[i + 1];
      look_up(best);
      if (best > 0) look_up(best - 1);
    }
    ids.insert(ids.end(), id.begin(), id.begin() + static_cast<std::ptrdiff_t>(count));
    return;
  }
  std::vector<Symbol>& symbols = scratch.symbols;
  symbols.clear();
  for (std::uint32_t i = 0; i < piece.size(); ++i) {
    const TokenId one = id_of_byte_[static_cast<unsigned char>(piece[i])];
    const auto index = static_cast<std::uint32_t>(symbols.size());
    if (one >= 0) symbols.push_back({one, i, i + 1, index == 0 ? no_symbol : index - 1, index + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = no_symbol;
  merge_symbols(symbols, scratch.heap, [&](const Symbol& left, const Symbol& right) -> std::optional<FoundMerge<std::uint32_t>> {
    const MergeRanks::Found found = ranks_.find(left.id, right.id);
    if (found.rank == MergeRanks::none) return std::nullopt;
    return FoundMerge<std::uint32_t>{found.rank, found.result};
  });
  for (const Symbol& symbol : symbols)
    if (symbol.id != absorbed_symbol) ids.push_back(symbol.id);
}

}  // namespace plume::inline PLUME_ABI
#endif
