#pragma once
// The one thread-local variable of plume: what is in force on this thread.
#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

class MemoryPool;  // tensor/memory_pool.hpp
class Context;     // kernels/parallel/context.hpp
class Tape;        // autograd/tape.hpp

struct ThreadSlot {
  MemoryPool* pool = nullptr;        // where new tensors take memory; null: from the system
  const Context* context = nullptr;  // threads and kernel choices; null: one thread
  Tape* tape = nullptr;              // where ops are recorded; null: nowhere
  // Tensors are made but neither written nor read, but for scalars: a step then shows what memory it takes without touching it.
  bool dry = false;
};

inline constinit thread_local ThreadSlot thread_slot{};

}  // namespace plume::inline PLUME_ABI
