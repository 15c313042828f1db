#pragma once
// The inner loop of byte-pair encoding, shared by every byte-level vocabulary: a piece that is a token is looked up whole where that gives
// what merging gives (found out once, when loading); other pieces merge in a flat array while short, on a heap when long. Pieces that had
// to merge are remembered for the rest of the call.
#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/merge_symbols.hpp"
#include "plume/tokenizer/piece_table.hpp"

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
  std::vector<Slot> slots_;
};

enum class WholePieces : std::uint8_t { if_merges_make_them, always };  // always: ignore_merges of tokenizer.json, and tiktoken

class BytePairs {
 public:
  // What one call of encode keeps: room for merging, and the pieces that merged before.
  struct Scratch {
    std::vector<Symbol> symbols;
    std::vector<MergeCandidate<std::uint32_t>> heap;
    PieceTable known = PieceTable(0);
    struct Run {
      std::uint32_t begin, end;       // in `ids`
      std::uint32_t text, text_size;  // in `texts`, for long pieces
    };
    std::vector<Run> runs;
    std::vector<TokenId> ids;
    std::string texts;
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

  // Appends the ids of one piece. `readable`: bytes from its start that may be read.
  void encode(std::string_view piece, std::size_t readable, std::vector<TokenId>& ids, Scratch& scratch) const {
    encode(piece_key(piece, readable), piece, ids, scratch);
  }

  // Appends the ids of a text that piece_end(text, at) cuts. Several pieces are found before the first is looked up, so that the table's
  // memory has time to arrive.
  template <class PieceEnd>
  void encode_text(std::string_view text, PieceEnd&& piece_end, std::vector<TokenId>& ids, Scratch& scratch) const {
    constexpr std::size_t block = 16;
    std::array<PieceKey, block> keys;
    std::array<std::string_view, block> pieces;
    for (std::size_t at = 0; at < text.size();) {
      std::size_t count = 0;
      for (; count < block && at < text.size(); ++count) {
        const std::size_t end = piece_end(text, at);
        pieces[count] = text.substr(at, end - at);
        keys[count] = piece_key(pieces[count], text.size() - at);
        whole_.prefetch(keys[count]);
        at = end;
      }
      for (std::size_t i = 0; i < count; ++i) encode(keys[i], pieces[i], ids, scratch);
    }
  }

 private:
  void encode(const PieceKey& key, std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const {
    const std::uint32_t id = whole_.find(key, piece, [&](std::uint32_t value) -> const std::string& { return (*bytes_)[value]; });
    if (id != PieceTable::absent) [[likely]]
      ids.push_back(static_cast<TokenId>(id));
    else
      encode_merged(key, piece, ids, scratch);
  }
  PLUME_FUNCTION void encode_merged(const PieceKey& key, std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const;
  PLUME_FUNCTION void merge(std::string_view piece, std::vector<TokenId>& ids, Scratch& scratch) const;

  std::vector<Merge> merges_;
  MergeOrder order_;
  MergeRanks ranks_;
  std::array<TokenId, 256> id_of_byte_{};
  const std::vector<std::string>* bytes_;
  PieceTable whole_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION BytePairs::BytePairs(const std::vector<std::string>& bytes, std::vector<Merge> merges, WholePieces whole, MergeOrder order)
    : merges_(std::move(merges)), order_(order), ranks_(merges_, order), bytes_(&bytes), whole_(bytes.size()) {
  id_of_byte_.fill(-1);
  for (std::size_t id = bytes.size(); id-- > 0;)
    if (bytes[id].size() == 1) id_of_byte_[static_cast<unsigned char>(bytes[id][0])] = static_cast<TokenId>(id);
  Scratch scratch;
  std::vector<TokenId> ids;
  for (std::size_t id = 0; id < bytes.size(); ++id) {
    if (bytes[id].empty()) continue;
    if (whole == WholePieces::if_merges_make_them && bytes[id].size() > 1) {
      ids.clear();
      merge(bytes[id], ids, scratch);
      if (ids.size() != 1 || ids[0] != static_cast<TokenId>(id)) continue;
    }
    const PieceKey key = piece_key(bytes[id], bytes[id].size());
    if (whole_.find(key, bytes[id], [&](std::uint32_t value) -> const std::string& { return bytes[value]; }) == PieceTable::absent)
      whole_.insert(key, static_cast<std::uint32_t>(id));
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

PLUME_FUNCTION void BytePairs::encode_merged(const PieceKey& key, std::string_view piece, std::vector<TokenId>& ids,
                                             Scratch& scratch) const {
  constexpr std::size_t most_runs = 1 << 16, longest_known = 256;
  const std::uint32_t known = scratch.known.find(key, piece, [&](std::uint32_t value) {
    return std::string_view(scratch.texts).substr(scratch.runs[value].text, scratch.runs[value].text_size);
  });
  if (known != PieceTable::absent) {
    const Scratch::Run run = scratch.runs[known];
    for (std::uint32_t i = run.begin; i < run.end; ++i) ids.push_back(scratch.ids[i]);
    return;
  }
  const std::size_t first = ids.size();
  merge(piece, ids, scratch);
  if (piece.size() > longest_known || scratch.runs.size() >= most_runs) return;
  const auto begin = static_cast<std::uint32_t>(scratch.ids.size()), text = static_cast<std::uint32_t>(scratch.texts.size());
  scratch.ids.insert(scratch.ids.end(), ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
  if (piece.size() > 16) scratch.texts.append(piece);
  scratch.known.insert(key, static_cast<std::uint32_t>(scratch.runs.size()));
  scratch.runs.push_back({begin, static_cast<std::uint32_t>(scratch.ids.size()), text, static_cast<std::uint32_t>(piece.size())});
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
