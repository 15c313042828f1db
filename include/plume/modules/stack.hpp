#pragma once
#include "plume/autograd/recompute.hpp"
#include "plume/modules/block.hpp"

namespace plume::inline PLUME_ABI {

// Blocks one after the other. `BlockType` is called as block(x, pass).
template <class BlockType>
Tensor run_blocks(const std::vector<BlockType>& blocks, Tensor x, Pass& pass) {
  Tape* const tape = pass.activations == Activations::bf16 ? Tape::current() : nullptr;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    pass.stop.check();
    pass.layer = static_cast<Index>(i);
    const Tensor before = tape ? x : Tensor{};
    const std::size_t first = tape ? tape->size() : 0;
    if (pass.recompute == Recompute::blocks) {
      x = recompute(x, [&block = blocks[i], kept = make_shared_in_pool<Pass>(pass)](const Tensor& input) { return block(input, *kept); });
    } else {
      x = blocks[i](x, pass);
    }
    if (tape) tape->compress(first, before, x);
  }
  return x;
}

}  // namespace plume::inline PLUME_ABI
