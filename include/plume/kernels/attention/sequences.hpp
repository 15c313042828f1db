#pragma once
// The packed batch that attention works on.
#include "plume/kernels/attention/intervals.hpp"
#include "plume/tensor/view.hpp"

namespace plume::inline PLUME_ABI::kernels {

// Head counts and widths: q (T, query_heads * head_width), keys (S, key_heads * head_width), values (S, key_heads * value_width).
struct HeadShape {
  Index query_heads = 1, key_heads = 1, head_width = 0, value_width = 0;
  Index group() const { return query_heads / key_heads; }  // query heads that share a key head
};

// One sequence of the packed rows: its queries are rows [begin, end), its keys and values are tensors of their own.
template <class T>
struct AttentionSequence {
  Index begin = 0, end = 0;
  View<const T, 2> keys, values;
  View<T, 2> dkeys = {}, dvalues = {};  // where the backward pass adds; may be absent
  const IntervalMask* mask = nullptr;
  Index first_query = 0;  // position of the first query among the keys
};

// Whether two sequences add to the same rows of keys or values: several queries that read one memory.
template <class T>
bool share_keys(std::span<const AttentionSequence<T>> sequences) {
  const auto overlap = [&](View<T, 2> AttentionSequence<T>::*member) {
    PoolVector<std::pair<const T*, const T*>> ranges;
    for (const auto& s : sequences) {
      const View<T, 2> rows = s.*member;
      if (rows && rows.rows() > 0) ranges.emplace_back(rows.data(), rows.row(rows.rows() - 1) + rows.columns());
    }
    std::sort(ranges.begin(), ranges.end());
    return std::adjacent_find(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return b.first < a.second; }) !=
           ranges.end();
  };
  return overlap(&AttentionSequence<T>::dkeys) || overlap(&AttentionSequence<T>::dvalues);
}

}  // namespace plume::inline PLUME_ABI::kernels
