#pragma once
#include "plume/autograd/tape.hpp"
#include "plume/data/batch.hpp"
#include "plume/modules/pass.hpp"
#include "plume/ops/cross_entropy.hpp"

namespace plume::inline PLUME_ABI {

// The segments of a pass over a batch of whole sequences.
inline PoolVector<Segment> segments_of(const TokenBatch& batch) {
  PoolVector<Segment> segments;
  segments.reserve(batch.lengths.size());
  for (std::size_t i = 0; i < batch.lengths.size(); ++i) {
    segments.push_back({batch.lengths[i]});
    if (i < batch.blanks.size()) segments.back().blanks = batch.blanks[i];
  }
  return segments;
}

// Mean cross-entropy over all trained tokens of all batches. ArgumentError: there are none. Cancelled: `stop` fired.
template <class M, BatchList List>
double evaluate_loss(const M& model, const List& batches, const StopToken& stop = {}) {
  const NoTape pause;
  double sum = 0;
  Index tokens = 0;
  for (Index i = 0; i < batches.size(); ++i) {
    const TokenBatch batch = batches.at(i);
    const Index trained = trained_tokens(batch.targets);
    if (trained == 0) continue;
    Pass pass;
    pass.segments = segments_of(batch);
    pass.stop = stop;
    sum += model.loss(batch.inputs, batch.targets, pass).item() * static_cast<double>(trained);
    tokens += trained;
  }
  require(tokens > 0, "[evaluate_loss] the validation data holds no token to predict");
  return sum / static_cast<double>(tokens);
}

}  // namespace plume::inline PLUME_ABI
