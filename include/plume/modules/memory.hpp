#pragma once
// What the blocks of a decoder read beside their own tokens: the output of an encoder.
#include "plume/modules/adapted_rows.hpp"
#include "plume/modules/kv_cache.hpp"

namespace plume::inline PLUME_ABI {

// Constant once made: any number of passes, of any threads, may read one.
struct Memory {
  struct Rows {
    Index begin = 0, end = 0;
    const LinearAdapters* adapter = nullptr;  // that the sequence went through, and goes through where a decoder reads it
  };
  Tensor states;                           // (S, width), the sequences one behind the other
  PoolVector<Rows> sequences = {};         // where each of them is
  std::vector<KvCache::Rows> layers = {};  // keys and values of the states in every block, made once; empty under a tape

  // The rows of the states that go through adapters; they drop out as those of a pass do.
  AdaptedRows adapted(const AdaptedRows& of_pass) const {
    AdaptedRows rows{.training = of_pass.training, .seed = of_pass.seed, .stream = of_pass.stream};
    for (const Rows& sequence : sequences) rows.add(sequence.adapter, sequence.begin, sequence.end);
    return rows;
  }
};

}  // namespace plume::inline PLUME_ABI
