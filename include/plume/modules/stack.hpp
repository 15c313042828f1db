#pragma once
#include "plume/autograd/recompute.hpp"
#include "plume/modules/block.hpp"

namespace plume::inline PLUME_ABI {

// Blocks one after the other. `BlockType` is called as block(x, pass). `first` is the number of the first in its model: by it, caches,
// dropout and taps know the layers.
template <class BlockType>
Tensor run_blocks(std::span<const BlockType> blocks, Tensor x, Pass& pass, Index first = 0) {
  Tape* const tape = pass.activations == Activations::bf16 ? Tape::current() : nullptr;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    pass.stop.check();
    pass.layer = first + static_cast<Index>(i);
    const Tensor before = tape ? x : Tensor{};
    const std::size_t first_node = tape ? tape->size() : 0;
    if (pass.recompute == Recompute::blocks) {
      x = recompute(x, [&block = blocks[i], kept = make_shared_in_pool<Pass>(pass)](const Tensor& input) {
        const Tensor y = block(input, *kept);
        kept->taps = nullptr;  // what runs again shows nothing
        return y;
      });
    } else {
      x = blocks[i](x, pass);
    }
    pass.tap()("", x);
    if (tape) tape->compress(first_node, before, x);
  }
  return x;
}
template <class BlockType>
Tensor run_blocks(const std::vector<BlockType>& blocks, const Tensor& x, Pass& pass) {
  return run_blocks(std::span<const BlockType>(blocks), x, pass);
}

}  // namespace plume::inline PLUME_ABI
