#pragma once
// Model: a decoder with its tokenizer. Shared and constant, it serves any number of threads; only optimisers change it.
#include "plume/models/decoder.hpp"
#include "plume/tokenizer/tokenizer.hpp"

namespace plume::inline PLUME_ABI {

struct Model {
  Decoder decoder;
  Tokenizer tokenizer;  // false in a condition when the files hold none

  const Config& config() const { return decoder.config; }

  // Logits of every position: ids (T) -> (T, vocabulary).
  Tensor logits(std::span<const TokenId> ids) const {
    Pass pass;
    return logits(ids, pass);
  }
  Tensor logits(std::span<const TokenId> ids, Pass& pass) const { return decoder.logits(ids, pass); }
  // Mean cross-entropy of targets (T, -1 = not trained).
  Tensor loss(std::span<const TokenId> inputs, std::span<const TokenId> targets, Pass& pass, double normalizer = 0) const {
    return decoder.loss(inputs, targets, pass, normalizer);
  }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    Decoder::visit(self.decoder, f);
  }
};

}  // namespace plume::inline PLUME_ABI
