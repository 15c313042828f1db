#pragma once
// Texts with blanks [Du et al. 2022, "GLM"]:  context with mask tokens | sop, what fills a blank | sop, what fills another …
// Every token sees the whole context; from the first sop on, the sequence is causal. What fills a blank stands at its mask token.
#include <algorithm>
#include <span>
#include <vector>

#include "plume/tensor/memory_pool.hpp"

namespace plume::inline PLUME_ABI {

// Where one token stands: its position, and its number within the piece that fills a blank, from 1; 0 in the context.
struct TokenPlace {
  std::int32_t position = 0, in_block = 0;
  friend bool operator==(const TokenPlace&, const TokenPlace&) = default;
};

// How the tokens of one sequence stand to each other.
struct Blanks {
  struct Piece {
    Index begin = 0;     // its first token, sop
    Index position = 0;  // of all its tokens: that of the mask token; -1: each counts on
    friend bool operator==(const Piece&, const Piece&) = default;
  };
  Index context = 0;              // tokens that every token sees
  PoolVector<Piece> pieces = {};  // in order; the last goes on for as long as the sequence does

  PLUME_FUNCTION TokenPlace place(Index token) const;
  friend bool operator==(const Blanks&, const Blanks&) = default;
};

// The tokens that such texts are made of.
struct Infilling {
  std::vector<TokenId> masks = {};   // the first kind that a text has is the one that is filled
  TokenId continuation = -1;         // of them the one for a text that goes on, [gMASK]; -1: none
  bool continuation_counts = false;  // what fills it counts on, and does not stand at its mask
  TokenId begin = -1;                // sop: the context ends before the first one
  TokenId end_of_text = -1;          // closes a context that does not end with a mask; -1: nothing does

  friend bool operator==(const Infilling&, const Infilling&) = default;
};

// Index of the mask token that is filled next: the first one of the first kind that the tokens have. -1: they have none.
PLUME_FUNCTION Index find_mask(const Infilling& infilling, std::span<const TokenId> ids);

// The blanks of a sequence that fills one: its context with a mask token, sop, what has been written so far. ArgumentError: it has no sop,
// or no mask token before it.
PLUME_FUNCTION Blanks find_blanks(const Infilling& infilling, std::span<const TokenId> ids);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION TokenPlace Blanks::place(Index token) const {
  const auto after = std::upper_bound(pieces.begin(), pieces.end(), token, [](Index at, const Piece& piece) { return at < piece.begin; });
  if (after == pieces.begin()) return {static_cast<std::int32_t>(token), 0};
  const Piece& piece = *(after - 1);
  return {static_cast<std::int32_t>(piece.position < 0 ? token : piece.position), static_cast<std::int32_t>(token - piece.begin + 1)};
}

PLUME_FUNCTION Index find_mask(const Infilling& infilling, std::span<const TokenId> ids) {
  for (const TokenId mask : infilling.masks)
    if (const auto found = std::find(ids.begin(), ids.end(), mask); found != ids.end()) return found - ids.begin();
  return -1;
}

PLUME_FUNCTION Blanks find_blanks(const Infilling& infilling, std::span<const TokenId> ids) {
  const Index context = std::find(ids.begin(), ids.end(), infilling.begin) - ids.begin(), count = static_cast<Index>(ids.size());
  require(context < count, "[infilling] the sequence of ", count, " tokens has no token ", infilling.begin,
          " (sop): it goes behind the context, which holds a mask token");
  const Index mask = find_mask(infilling, ids.first(static_cast<std::size_t>(context)));
  require(mask >= 0, "[infilling] the context of ", context, " tokens has no mask token", ", such as ", infilling.continuation);
  const bool counts = infilling.continuation_counts && ids[static_cast<std::size_t>(mask)] == infilling.continuation;
  return {context, {{context, counts ? -1 : mask}}};
}

}  // namespace plume::inline PLUME_ABI
#endif
