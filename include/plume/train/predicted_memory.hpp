#pragma once
// What memory a training run will take, before it takes it.
#include "plume/base/process.hpp"
#include "plume/models/decoder.hpp"
#include "plume/train/train.hpp"

namespace plume::inline PLUME_ABI {

// In bytes.
struct MemoryPrediction {
  std::size_t parameters = 0;
  std::size_t moments = 0;      // of the optimiser
  std::size_t gradients = 0;    // the most of those of parameters at one time
  std::size_t activations = 0;  // kept by the forward pass for the backward pass
  std::size_t classifier = 0;   // logits of one chunk of rows
  std::size_t working = 0;      // packed operands, gradients of activations, and blocks that are free for a time
  std::size_t process = 0;      // program and data as they are now

  std::size_t total() const { return parameters + moments + gradients + activations + classifier + working + process; }
};

namespace memory_detail {

// While it lives, kernels on this thread do nothing.
class DryRun {
 public:
  DryRun() : before_(thread_slot.dry) { thread_slot.dry = true; }
  DryRun(const DryRun&) = delete;
  DryRun& operator=(const DryRun&) = delete;
  ~DryRun() { thread_slot.dry = before_; }

 private:
  bool before_;
};

// Batches of the right size.
struct AnyTokens {
  Index sequence;
  TokenBatch next(Index sequences) const {
    const auto tokens = static_cast<std::size_t>(sequences * sequence);
    return {std::vector<TokenId>(tokens), std::vector<TokenId>(tokens), std::vector<Index>(static_cast<std::size_t>(sequences), sequence)};
  }
  DataCursor cursor() const { return {}; }
  void seek(const DataCursor&) const {}
  std::uint64_t fingerprint() const { return 0; }
};

inline std::size_t size_in_bytes(const Tensor& tensor) { return static_cast<std::size_t>(tensor.size()) * plume::bytes_of(tensor.dtype()); }

}  // namespace memory_detail

// The peak of a run of train() on windows of `sequence` tokens, evaluation and checkpoints left aside (they take less). The steps are run
// without touching memory: the address space is taken for a moment, the memory is not. ArgumentError: as train().
inline MemoryPrediction predicted_memory(const Config& config, Index sequence, TrainOptions options) {
  using memory_detail::size_in_bytes;
  MemoryPrediction result;
  result.process = static_cast<std::size_t>(resident_bytes());
  const memory_detail::DryRun dry;
  Decoder model = Decoder::described(config);
  for_each_parameter(model, [](std::string_view, Tensor& tensor) { tensor = Tensor::empty(tensor.shape()); });
  memory_detail::AnyTokens data{sequence};
  options.steps = 3;
  options.directory = {};
  options.time_limit = 0;
  options.stop = {};
  const std::size_t pool = train(model, data, NoEvaluation{}, options).pool_bytes;

  // Parts of it: one pass looked at on the way.
  const std::vector<NamedParameter> parameters = trainable_parameters(model);
  for (const NamedParameter& parameter : parameters) result.parameters += size_in_bytes(parameter.tensor);
  const auto* adamw = std::get_if<AdamWOptions>(&options.optimizer);
  result.moments = adamw == nullptr ? result.parameters : adamw->moments == Moments::bf16 ? result.parameters : 2 * result.parameters;
  const Context context({.threads = options.threads, .precision = options.precision});
  const ContextScope scope(context);
  const TokenBatch batch = data.next(options.batch);
  Pass pass;
  pass.segments = segments_of(batch);
  pass.dropout = {.rate = options.dropout};
  pass.recompute = options.recompute;
  pass.activations = options.activations;
  Tape tape;
  const Tensor loss = model.loss(batch.inputs, batch.targets, pass);
  const std::size_t classifier_gradients =
      size_in_bytes(model.head_weight()) + 4 * batch.inputs.size() * static_cast<std::size_t>(config.width);
  const std::size_t after_forward = context.pool().bytes_in_use();
  result.activations = after_forward > classifier_gradients ? after_forward - classifier_gradients : 0;
  result.classifier =
      4 * std::min(static_cast<std::size_t>(classifier_chunk), batch.inputs.size()) * static_cast<std::size_t>(config.vocabulary);
  result.gradients = result.parameters;
  if (options.release_gradients) {
    result.gradients = 0;
    Gradients gradients;
    tape.backward(loss, gradients, [&](const Storage& storage) {
      std::size_t alive = 0;
      for (const NamedParameter& parameter : parameters)
        if (gradients.find(parameter.tensor)) alive += size_in_bytes(parameter.tensor);
      result.gradients = std::max(result.gradients, alive);
      gradients.release(storage);
    });
  }
  const std::size_t parts = result.gradients + result.activations + result.classifier;
  result.working = pool > parts ? pool - parts : 0;
  return result;
}

}  // namespace plume::inline PLUME_ABI
