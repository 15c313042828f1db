#pragma once
// A mask is a short list of visible key intervals for each query; the attention kernels visit nothing else.
#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "plume/base/error.hpp"
#include "plume/tensor/memory_pool.hpp"

namespace plume::inline PLUME_ABI {

// Keys [begin, end).
struct KeyInterval {
  std::int32_t begin = 0, end = 0;
  friend bool operator==(const KeyInterval&, const KeyInterval&) = default;
};

// For each query row its intervals: ascending, disjoint, not empty.
class IntervalMask {
 public:
  IntervalMask() = default;
  Index rows() const { return static_cast<Index>(first_.size()) - 1; }
  std::span<const KeyInterval> row(Index r) const {
    const auto begin = first_[static_cast<std::size_t>(r)], end = first_[static_cast<std::size_t>(r) + 1];
    return std::span(intervals_).subspan(begin, end - begin);
  }
  Index keys() const { return keys_; }  // no interval ends later
  // Adds to the row under construction, in ascending order; touching intervals join.
  void add(Index begin, Index end) {
    if (begin >= end) return;
    require(begin >= 0 && end <= INT32_MAX && (intervals_.size() == first_.back() || intervals_.back().begin <= begin), "[mask] interval [",
            begin, ", ", end, ") does not ascend from 0");
    keys_ = std::max(keys_, end);
    const auto from = static_cast<std::int32_t>(begin), to = static_cast<std::int32_t>(end);
    if (intervals_.size() > first_.back() && intervals_.back().end >= from) {
      intervals_.back().end = std::max(intervals_.back().end, to);
    } else {
      intervals_.push_back({from, to});
    }
  }
  void end_row() { first_.push_back(intervals_.size()); }
  // The same rows, of keys [begin, end) alone.
  IntervalMask clipped(Index begin, Index end) const {
    IntervalMask mask;
    for (Index r = 0; r < rows(); ++r) {
      for (const KeyInterval i : row(r)) mask.add(std::max<Index>(begin, i.begin), std::min<Index>(end, i.end));
      mask.end_row();
    }
    return mask;
  }
  // The same rows, of each the last `window` keys up to its query alone; row 0 is query `first`.
  IntervalMask within(Index window, Index first) const {
    IntervalMask mask;
    for (Index r = 0; r < rows(); ++r) {
      for (const KeyInterval i : row(r)) mask.add(std::max<Index>(first + r + 1 - window, i.begin), i.end);
      mask.end_row();
    }
    return mask;
  }

 private:
  PoolVector<std::size_t> first_{0};
  PoolVector<KeyInterval> intervals_;
  Index keys_ = 0;
};

// The rule from which intervals are made. Query and key are counted from the start of their sequence.
class Mask {
 public:
  using Predicate = std::function<bool(Index query, Index key)>;

  Mask() = default;  // causal: keys up to the query itself
  static Mask causal() { return {}; }
  static Mask full() { return Mask(Kind::full, 0); }  // every key: encoders
  static Mask prefix(Index length) {                  // the first `length` keys, and causal after them: GLM
    require(length >= 0, "[mask] prefix length ", length, " is negative");
    return Mask(Kind::prefix, length);
  }
  static Mask sliding(Index window) {  // the last `window` keys, the query's own among them
    require(window >= 1, "[mask] window ", window, " is less than 1");
    return Mask(Kind::sliding, window);
  }
  static Mask documents(std::vector<Index> starts) {  // causal inside each document; starts ascend from 0
    require(!starts.empty() && starts.front() == 0 && std::is_sorted(starts.begin(), starts.end()),
            "[mask] document starts must ascend from 0");
    Mask mask(Kind::documents, 0);
    mask.starts_ = std::move(starts);
    return mask;
  }
  static Mask predicate(Predicate visible) {  // anything else; asked for each pair
    require(static_cast<bool>(visible), "[mask] the predicate is empty");
    Mask mask(Kind::predicate, 0);
    mask.predicate_ = std::move(visible);
    return mask;
  }
  static Mask listed(IntervalMask rows) {  // row t: what query t sees
    Mask mask(Kind::listed, 0);
    mask.rows_ = std::make_shared<const IntervalMask>(std::move(rows));
    return mask;
  }

  // Intervals for queries [first, first + count) over keys [0, keys).
  IntervalMask intervals(Index first, Index count, Index keys) const {
    require(keys <= INT32_MAX, "[mask] ", keys, " keys are more than 2^31 - 1");
    require(kind_ != Kind::listed || first + count <= rows_->rows(), "[mask] query ", first + count - 1, " is past the ",
            rows_ ? rows_->rows() : 0, " rows of the mask");
    IntervalMask mask;
    for (Index query = first; query < first + count; ++query) {
      const Index seen = std::min(query + 1, keys);
      switch (kind_) {
        case Kind::causal:
          mask.add(0, seen);
          break;
        case Kind::full:
          mask.add(0, keys);
          break;
        case Kind::prefix:
          mask.add(0, std::min(keys, std::max(seen, length_)));
          break;
        case Kind::sliding:
          mask.add(std::max<Index>(0, query + 1 - length_), seen);
          break;
        case Kind::documents:
          mask.add(*(std::upper_bound(starts_.begin(), starts_.end(), query) - 1), seen);
          break;
        case Kind::predicate:
          for (Index key = 0; key < keys; ++key)
            if (predicate_(query, key)) mask.add(key, key + 1);
          break;
        case Kind::listed:
          for (const KeyInterval seen_keys : rows_->row(query)) mask.add(seen_keys.begin, std::min<Index>(seen_keys.end, keys));
          break;
      }
      mask.end_row();
    }
    return mask;
  }

 private:
  enum class Kind : std::uint8_t { causal, full, prefix, sliding, documents, predicate, listed };
  Mask(Kind kind, Index length) : kind_(kind), length_(length) {}

  Kind kind_ = Kind::causal;
  Index length_ = 0;
  std::vector<Index> starts_;
  Predicate predicate_;
  std::shared_ptr<const IntervalMask> rows_;
};

}  // namespace plume::inline PLUME_ABI
