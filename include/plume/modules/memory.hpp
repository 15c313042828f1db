#pragma once
// What the blocks of a decoder read beside their own tokens: the output of an encoder.
#include "plume/modules/kv_cache.hpp"

namespace plume::inline PLUME_ABI {

// Constant once made: any number of passes, of any threads, may read one.
struct Memory {
  struct Rows {
    Index begin = 0, end = 0;
  };
  Tensor states;                           // (S, width), the sequences one behind the other
  PoolVector<Rows> sequences = {};         // where each of them is
  std::vector<KvCache::Rows> layers = {};  // keys and values of the states in every block, made once; empty under a tape
};

}  // namespace plume::inline PLUME_ABI
