#pragma once
// Keys and values of the tokens a sequence has seen, layer by layer, so that a new token costs one row of attention.
#include <algorithm>
#include <memory>
#include <vector>

#include "plume/modules/blanks.hpp"
#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI {

struct KvCacheShape {
  Index layers = 0;
  Index key_width = 0, value_width = 0;  // key heads * head width
  Index capacity = 0;                    // tokens
  DType dtype = DType::f32;
};

class KvCache {
 public:
  explicit KvCache(const KvCacheShape& shape) : shape_(shape), layers_(static_cast<std::size_t>(shape.layers)) {
    require(shape.layers >= 1 && shape.key_width >= 1 && shape.value_width >= 1 && shape.capacity >= 1, "[kv_cache] layers ", shape.layers,
            ", key width ", shape.key_width, ", value width ", shape.value_width, ", capacity ", shape.capacity,
            ": all must be at least 1");
  }

  Index used() const { return used_; }  // tokens held in every layer
  Index capacity() const { return shape_.capacity; }
  Index layers() const { return shape_.layers; }

  struct Rows {
    Tensor keys, values;
  };
  // Writes rows after the used ones in one layer and returns all rows of that layer. They count as used after advance().
  PLUME_FUNCTION Rows append(Index layer, const Tensor& keys, const Tensor& values);
  void advance(Index tokens) { used_ += tokens; }
  // Holds the same tokens as another cache of the same shape.
  PLUME_FUNCTION void assign(const KvCache& other);
  // Forgets all but the first `tokens` tokens; all of them if that cuts into a context that its tokens see as a whole.
  PLUME_FUNCTION void truncate(Index tokens);
  // How the sequence goes on where it has blanks; null: it has none. Pass::begin() sets it.
  const std::shared_ptr<const Blanks>& blanks() const { return blanks_; }
  void remember(std::shared_ptr<const Blanks> blanks) { blanks_ = std::move(blanks); }

 private:
  // Room for `rows` rows; grows by doubling, so that a short answer does not pay for a long context.
  PLUME_FUNCTION void reserve(Tensor& tensor, Index width, Index rows) const;

  KvCacheShape shape_;
  std::vector<Rows> layers_;
  Index used_ = 0;
  std::shared_ptr<const Blanks> blanks_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION KvCache::Rows KvCache::append(Index layer, const Tensor& keys, const Tensor& values) {
  require(layer >= 0 && layer < shape_.layers, "[kv_cache] layer ", layer, " of ", shape_.layers);
  const Index end = used_ + keys.rows();
  require(end <= shape_.capacity, "[kv_cache] ", end, " tokens do not fit the context of ", shape_.capacity);
  Rows& rows = layers_[static_cast<std::size_t>(layer)];
  reserve(rows.keys, shape_.key_width, end);
  reserve(rows.values, shape_.value_width, end);
  rows.keys.rows(used_, end).assign(keys);
  rows.values.rows(used_, end).assign(values);
  return {rows.keys.rows(0, end), rows.values.rows(0, end)};
}

PLUME_FUNCTION void KvCache::assign(const KvCache& other) {
  require(layers() == other.layers() && other.used_ <= capacity(), "[kv_cache] a cache of ", layers(), " layers and ", capacity(),
          " tokens cannot hold ", other.used_, " tokens of ", other.layers(), " layers");
  used_ = 0;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (other.used_ > 0)
      append(static_cast<Index>(i), other.layers_[i].keys.rows(0, other.used_), other.layers_[i].values.rows(0, other.used_));
  }
  used_ = other.used_;
  blanks_ = other.blanks_;
}

PLUME_FUNCTION void KvCache::truncate(Index tokens) {
  require(tokens >= 0 && tokens <= used_, "[kv_cache] cannot keep ", tokens, " of ", used_, " tokens");
  used_ = blanks_ && tokens <= blanks_->context ? 0 : tokens;
}

PLUME_FUNCTION void KvCache::reserve(Tensor& tensor, Index width, Index rows) const {
  if (tensor && tensor.rows() >= rows) return;
  constexpr Index first = 64;
  const Index room = std::min(shape_.capacity, std::max({first, rows, tensor ? 2 * tensor.rows() : 0}));
  const Tensor larger = Tensor::zeros({room, width}, shape_.dtype);
  if (tensor) larger.rows(0, used_).assign(tensor.rows(0, used_));
  tensor = larger;
}

}  // namespace plume::inline PLUME_ABI
#endif
