#pragma once
// A model and an adapter, as one thing that train() trains: every row goes through the adapter, and only the adapter is a parameter.
//   AdaptedModel tuned{model, adapter};
//   train(tuned, batches, NoEvaluation{}, {.steps = 500});
#include "plume/base/checksum.hpp"
#include "plume/peft/adapter.hpp"

namespace plume::inline PLUME_ABI {

// Both must outlive it. `M` is a Model, a Decoder, or what offers loss(inputs, targets, pass, normalizer) as they do. Under accumulation,
// prepare(model, Products::forward_and_backward) packs the weights, which stay, once for the whole training.
template <class M>
class AdaptedModel {
 public:
  AdaptedModel(const M& model, Adapter& adapter) : model_(&model), adapter_(&adapter) {}

  // As model.loss(); segments that name no adapter go through this one.
  Tensor loss(std::span<const TokenId> inputs, std::span<const TokenId> targets, Pass& pass, double normalizer = 0) const {
    if (pass.segments.empty()) pass.segments.push_back({static_cast<Index>(inputs.size())});
    for (Segment& segment : pass.segments)
      if (segment.adapter == nullptr) segment.adapter = adapter_;
    return model_->loss(inputs, targets, pass, normalizer);
  }
  const M& model() const { return *model_; }
  Adapter& adapter() const { return *adapter_; }

  // What a checkpoint must agree with: the layers and their scaling, and the weights they stand beside (a sample of each).
  std::string description() const {
    const Lora& options = adapter_->options();
    std::uint32_t sum = 0;
    std::string layers;
    for (const LoraLayer& layer : adapter_->all()) {
      layers.append(concat(" ", layer.path, " ", layer.base.shape(), " ", layer.rank, " ", layer.alpha));
      const Tensor sample = layer.base.rows(0, std::min<Index>(layer.base.rows(), 4)).copy();
      sum = crc32c({sample.storage()->data(), sample.storage()->bytes()}, sum);
    }
    return concat("LoRA of ", adapter_->all().size(), " layers, rank ", options.rank, ", alpha ", options.alpha, ", rslora ",
                  options.rslora, ", dropout ", options.dropout, ", qkv ", static_cast<int>(options.fused_qkv), ", layers ",
                  crc32c(std::as_bytes(std::span(layers))), ", base ", sum);
  }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    Adapter::visit(*self.adapter_, f);
  }

 private:
  const M* model_;
  Adapter* adapter_;
};

}  // namespace plume::inline PLUME_ABI
