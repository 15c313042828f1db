#pragma once
#include "plume/autograd/recompute.hpp"
#include "plume/modules/block.hpp"

namespace plume::inline PLUME_ABI {

// Blocks one after the other. `BlockType` is called as block(x, pass).
template <class BlockType>
Tensor run_blocks(const std::vector<BlockType>& blocks, Tensor x, Pass& pass) {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    pass.stop.check();
    pass.layer = static_cast<Index>(i);
    if (pass.recompute == Recompute::blocks) {
      x = recompute(x, [&block = blocks[i], kept = make_shared_in_pool<Pass>(pass)](const Tensor& input) { return block(input, *kept); });
    } else {
      x = blocks[i](x, pass);
    }
  }
  return x;
}

}  // namespace plume::inline PLUME_ABI
