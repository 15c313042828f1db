#pragma once
// TokenBatch: what one pass trains on. Sequences are packed: their rows follow each other, `lengths` says where each one ends.
#include <concepts>
#include <vector>

#include "plume/modules/blanks.hpp"

namespace plume::inline PLUME_ABI {

struct TokenBatch {
  std::vector<TokenId> inputs;   // of all sequences, one after the other
  std::vector<TokenId> targets;  // as many; -1: not trained
  std::vector<Index> lengths;    // of the sequences; their sum is inputs.size()
  std::vector<std::shared_ptr<const Blanks>> blanks =
      {};  // of the sequences, where they are texts with blanks; empty: as the model finds them
};

// Where a source of training batches stands. Three numbers are the whole state, because its random numbers are counter-based.
struct DataCursor {
  std::uint64_t seed = 0;     // of the order
  std::int64_t epoch = 0;     // times the data has been gone through
  std::int64_t position = 0;  // sequences taken in this epoch
  friend bool operator==(const DataCursor&, const DataCursor&) = default;
};

// What train() draws batches from: an endless stream that can be put back to any cursor.
template <class S>
concept BatchSource = requires(S& source, const S& constant, Index sequences, const DataCursor& cursor) {
  { source.next(sequences) } -> std::same_as<TokenBatch>;
  { constant.cursor() } -> std::same_as<DataCursor>;
  source.seek(cursor);                                               // ConfigError: the cursor does not fit the data
  { constant.fingerprint() } -> std::convertible_to<std::uint64_t>;  // of all that decides what next() returns, the seed apart
};

// What evaluate() goes through: a fixed list of batches.
template <class S>
concept BatchList = requires(const S& list, Index index) {
  { list.size() } -> std::convertible_to<Index>;
  { list.at(index) } -> std::same_as<TokenBatch>;
};

}  // namespace plume::inline PLUME_ABI
