#pragma once
// Byte-pair encoding without merging: the tokens of a piece are the only row of tokens in which each two neighbours, merged alone, would
// come out as those two. They are found from left to right, the longest token first, going back where that leads nowhere; no place is
// tried twice, so the work grows with the length of the piece [github/rust-gems crates/bpe, README].
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/huge_pages.hpp"
#include "plume/tokenizer/byte_trie.hpp"
#include "plume/tokenizer/worker_states.hpp"

namespace plume::inline PLUME_ABI {

// A token that its bytes merge to, the two it is made of last, and the rank of that merge.
struct MadeToken {
  TokenId left, right, result;
  std::uint32_t rank;
};

class TokenSearch {
 public:
  struct Scratch {
    std::vector<std::uint32_t> row = {};
    std::vector<std::uint64_t> dead = {};  // a bit a place: no row of tokens that ends there goes on. All 0 between calls
    void release_large() { plume::release_large(row, dead); }
  };

  TokenSearch() = default;
  // texts by id; `single`: the tokens that merging begins with, bytes or characters. Empty where ranks do not rise from the parts to the
  // whole, or two are equal: then only merging tells. The bytes of a made token merge to it.
  PLUME_FUNCTION TokenSearch(const std::vector<std::string>& texts, const std::vector<TokenId>& single, std::vector<MadeToken> made);
  explicit operator bool() const { return !ids_.empty(); }

  // Appends the ids of a piece from `at` on, up to where no token begins, or its end; returns that place.
  PLUME_FUNCTION std::size_t encode(std::string_view piece, std::size_t at, std::vector<TokenId>& ids, Scratch& scratch) const;

 private:
  // Tokens are numbered here in the order of their merges, behind the single ones.
  static constexpr std::uint32_t none = ByteTrie::none;
  struct Token {
    std::uint32_t left, right;  // parts; of no meaning for single ones
    std::uint32_t shorter;      // the longest token that this one begins with, or none
    std::uint32_t length;
  };
  PLUME_FUNCTION bool stay_apart(std::uint32_t left, std::uint32_t right) const;

  // From two tokens to the one they merge to. Most do not merge, which a small table of bits mostly tells; else linear probing, at most
  // half full: left, right and the result in one word, 0 where there is none.
  std::uint32_t merged(std::uint32_t left, std::uint32_t right) const {
    const std::uint64_t key = std::uint64_t{left} << bits | right, hash = hash_of(key);
    if ((may_merge_[bits_word(hash)] >> (hash >> 58) & 1) == 0) return none;
    for (std::size_t at = place(hash);; at = (at + 1) & (pairs_.size() - 1)) {
      if (pairs_[at] == 0) return none;  // asked first: the key of the first token twice is 0 as well
      if (pairs_[at] >> bits == key) return static_cast<std::uint32_t>(pairs_[at] & ((std::uint64_t{1} << bits) - 1));
    }
  }
  static std::uint64_t hash_of(std::uint64_t key) { return key * 0x9e3779b97f4a7c15u; }
  std::size_t place(std::uint64_t hash) const { return static_cast<std::size_t>(hash >> 32) & (pairs_.size() - 1); }
  std::size_t bits_word(std::uint64_t hash) const { return static_cast<std::size_t>(hash >> 28) & (may_merge_.size() - 1); }

  static constexpr unsigned bits = 20;  // of a token's number
  std::uint32_t singles_ = 0;
  TableVector<Token> tokens_;
  std::vector<TokenId> ids_;
  TableVector<std::uint64_t> pairs_, may_merge_;
  ByteTrie trie_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <bit>

#include "plume/base/error.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION TokenSearch::TokenSearch(const std::vector<std::string>& texts, const std::vector<TokenId>& single,
                                        std::vector<MadeToken> made) {
  std::sort(made.begin(), made.end(), [](const MadeToken& a, const MadeToken& b) { return a.rank < b.rank; });
  for (std::size_t i = 1; i < made.size(); ++i)
    if (made[i].rank == made[i - 1].rank) return;
  singles_ = static_cast<std::uint32_t>(single.size());
  std::vector<std::uint32_t> number(texts.size(), none);  // of a token, by id
  for (std::uint32_t i = 0; i < singles_; ++i) {
    if (single[i] < 0) return;
    number[static_cast<std::size_t>(single[i])] = i;
    tokens_.push_back({i, i, none, static_cast<std::uint32_t>(texts[static_cast<std::size_t>(single[i])].size())});
  }
  std::vector<TokenId> ids = single;
  if (single.size() + made.size() >= std::size_t{1} << bits) return;
  pairs_.resize(std::bit_ceil(2 * made.size() + 2));
  may_merge_.resize(std::bit_ceil(made.size() / 4 + 1));
  for (const MadeToken& token : made) {
    const std::uint32_t left = number[static_cast<std::size_t>(token.left)], right = number[static_cast<std::size_t>(token.right)];
    if (left == none || right == none || number[static_cast<std::size_t>(token.result)] != none) return;
    const auto here = static_cast<std::uint32_t>(tokens_.size());
    number[static_cast<std::size_t>(token.result)] = here;
    tokens_.push_back({left, right, none, tokens_[left].length + tokens_[right].length});
    ids.push_back(token.result);
    const std::uint64_t key = std::uint64_t{left} << bits | right, hash = hash_of(key);
    may_merge_[bits_word(hash)] |= std::uint64_t{1} << (hash >> 58);
    std::size_t at = place(hash);
    while (pairs_[at] != 0) at = (at + 1) & (pairs_.size() - 1);
    pairs_[at] = key << bits | here;
  }
  std::vector<ByteTrie::Entry> entries;
  for (std::uint32_t i = 0; i < tokens_.size(); ++i) entries.emplace_back(texts[static_cast<std::size_t>(ids[i])], i);
  trie_ = ByteTrie(entries);
  for (const auto& [text, token] : entries)
    trie_.each_at(text, 0, [&, self = token](std::size_t, std::uint32_t other) {
      if (other != self) tokens_[self].shorter = other;
    });
  ids_ = std::move(ids);
}

// Whether two tokens side by side are what their bytes merge to: going back in time, no merge across the border came before a merge on
// either side of it. Of equal ranks the leftmost merges first.
PLUME_FUNCTION bool TokenSearch::stay_apart(std::uint32_t left, std::uint32_t right) const {
  for (std::uint32_t limit = none;;) {
    const std::uint32_t both = merged(left, right);
    if (both < limit) return false;  // none is never less
    const Token &a = tokens_[left], &b = tokens_[right];
    if (left < singles_ && right < singles_) return true;
    if (left > right) {
      limit = left;
      left = a.right;
    } else {
      limit = right + 1;
      right = b.left;
    }
  }
}

PLUME_FUNCTION std::size_t TokenSearch::encode(std::string_view piece, std::size_t at, std::vector<TokenId>& ids, Scratch& scratch) const {
  std::vector<std::uint32_t>& row = scratch.row;
  row.clear();
  if (scratch.dead.size() < piece.size() / 64 + 1) scratch.dead.resize(piece.size() / 64 + 1);
  const auto dead = [&](std::size_t place) -> bool { return (scratch.dead[place / 64] >> place % 64 & 1) != 0; };
  const std::size_t first = at;
  for (std::uint32_t next = trie_.longest_at(piece, at); next != none;) {
    std::uint32_t token = next;
    for (; token != none; token = tokens_[token].shorter)
      if (!dead(at + tokens_[token].length) && (row.empty() || stay_apart(row.back(), token))) break;
    if (token != none) {
      row.push_back(token);
      at += tokens_[token].length;
      next = trie_.longest_at(piece, at);
      continue;
    }
    scratch.dead[at / 64] |= std::uint64_t{1} << at % 64;
    if (row.empty()) {  // merging ends in some row; but whoever calls again must find all places alive
      std::fill(scratch.dead.begin(), scratch.dead.end(), 0);
      throw ArgumentError(concat("[tokens] no row of tokens spells a piece of ", piece.size(), " bytes"));
    }
    next = row.back();
    row.pop_back();
    at -= tokens_[next].length;
  }
  for (const std::uint32_t token : row) ids.push_back(ids_[token]);
  std::fill(scratch.dead.begin() + static_cast<std::ptrdiff_t>(first / 64), scratch.dead.begin() + static_cast<std::ptrdiff_t>(at / 64 + 1),
            0);
  return at;
}

}  // namespace plume::inline PLUME_ABI
#endif
