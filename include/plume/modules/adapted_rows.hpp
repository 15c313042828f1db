#pragma once
// How adapters reach the linear layers of a model that knows nothing of them: a pass says which rows go through which adapter.
#include <algorithm>
#include <span>

#include "plume/base/random.hpp"
#include "plume/ops/low_rank.hpp"

namespace plume::inline PLUME_ABI {

// What an adapter does to one layer.
struct LinearChange {
  LowRank term = {};
  double dropout = 0;        // of the term's input, in training
  std::uint64_t number = 0;  // of the layer in the adapter: dropout draws from a stream of its own
};

// An adapter, as linear layers see it.
class LinearAdapters {
 public:
  virtual ~LinearAdapters() = default;
  // The change of the layer with this weight, or null: the layer stays as it is.
  virtual const LinearChange* find(const Tensor& weight) const = 0;
  // How many layers before the output head a pass finds changed.
  virtual Index layers() const = 0;
};

// The rows of a pass that go through adapters. Empty, it costs nothing.
struct AdaptedRows {
  struct Range {
    const LinearAdapters* adapter = nullptr;
    Index begin = 0, end = 0;
  };
  PoolVector<Range> ranges = {};
  std::shared_ptr<Index> found = {};   // changed layers met so far, over all ranges
  bool training = false;               // adapters drop out
  std::uint64_t seed = 0, stream = 0;  // of their dropout

  static AdaptedRows all(Index rows, const LinearAdapters* adapter) {
    AdaptedRows adapted;
    adapted.add(adapter, 0, rows);
    return adapted;
  }
  bool empty() const { return ranges.empty(); }
  // Neighbours with one adapter are one range.
  void add(const LinearAdapters* adapter, Index begin, Index end) {
    if (adapter == nullptr || begin == end) return;
    if (!ranges.empty() && ranges.back().adapter == adapter && ranges.back().end == begin) {
      ranges.back().end = end;
      return;
    }
    if (!found) found = make_shared_in_pool<Index>(0);
    ranges.push_back({adapter, begin, end});
  }
  // The same for some of the rows, in ascending order, which become rows 0, 1, ...; layers that they meet are counted apart.
  AdaptedRows of_rows(std::span<const TokenId> rows) const {
    AdaptedRows part{.training = training, .seed = seed, .stream = stream};
    for (const Range& range : ranges) {
      const auto first = std::lower_bound(rows.begin(), rows.end(), range.begin), last = std::lower_bound(first, rows.end(), range.end);
      part.add(range.adapter, first - rows.begin(), last - rows.begin());
    }
    return part;
  }
  bool change(const Tensor& weight) const {
    for (const Range& range : ranges)
      if (range.adapter->find(weight)) return true;
    return false;
  }
  // The terms beside a weight.
  PoolVector<LowRankRows> beside(const Tensor& weight) const {
    PoolVector<LowRankRows> parts;
    for (const Range& range : ranges) {
      const LinearChange* const change = range.adapter->find(weight);
      if (change == nullptr) continue;
      ++*found;
      LowRankRows part{change->term, range.begin, range.end, {}};
      if (training && change->dropout > 0) {
        // Streams apart from those of the model's own dropout, of other layers and of other rows.
        const auto words = philox({static_cast<std::uint32_t>(change->number), static_cast<std::uint32_t>(range.begin),
                                   static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
                                  {0x6c6f7261u, 0x64726f70u});
        part.dropout = {change->dropout, (std::uint64_t{words[1]} << 32) | words[0], stream};
      }
      parts.push_back(std::move(part));
    }
    return parts;
  }
  // Every adapter must have met all of its layers: one that was made for another model would do nothing, silently.
  void check() const {
    Index wanted = 0;
    for (const Range& range : ranges) wanted += range.adapter->layers();
    require(!found || *found >= wanted, "[pass] adapters change ", wanted, " layers, the model has ", found ? *found : 0,
            " of them: an adapter was attached to another model, or is merged into this one");
  }
};

}  // namespace plume::inline PLUME_ABI
