#pragma once
#include "plume/modules/visit.hpp"
#include "plume/ops/embedding.hpp"

namespace plume::inline PLUME_ABI {

// A table of vectors: tokens, or learned positions.
struct Embedding {
  Tensor weight;  // (rows, width), or absent

  static Embedding described(Index rows, Index width, DType dtype = DType::f32) { return {Tensor::described({rows, width}, dtype)}; }
  Tensor operator()(std::span<const TokenId> ids) const { return embedding(ids, weight); }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("weight", self.weight);
  }
};

}  // namespace plume::inline PLUME_ABI
