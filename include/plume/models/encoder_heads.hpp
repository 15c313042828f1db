#pragma once
// What encoders with heads compute: scores of labels, as classifiers and re-rankers (a pair of texts is one sequence with token types 0 and
// 1), and of the tokens behind mask tokens.      [Devlin et al. 2018]
#include "plume/models/encoder.hpp"
#include "plume/models/heads.hpp"

namespace plume::inline PLUME_ABI {

// Scores of the labels: one row for each sequence of the pass (transformers' *ForSequenceClassification, of one label for a re-ranker), or
// one for each token (*ForTokenClassification).      ids (T), types (T, or empty: all 0) -> (sequences or T, labels)
// ArgumentError: the model has no such head, and whatever Encoder::hidden() refuses.
PLUME_FUNCTION Tensor label_scores(const Encoder& model, std::span<const TokenId> ids, Pass& pass, std::span<const TokenId> types = {});

// Losses as those of decoders with heads (models/heads.hpp): of label numbers, one for each row of label_scores() (-1: not trained), and of
// targets (sequences, labels).
PLUME_FUNCTION Tensor label_loss(const Encoder& model, std::span<const TokenId> ids, std::span<const TokenId> labels, Pass& pass,
                                 std::span<const TokenId> types = {}, double normalizer = 0);
PLUME_FUNCTION Tensor label_loss(const Encoder& model, std::span<const TokenId> ids, const Tensor& targets, Pass& pass,
                                 std::span<const TokenId> types = {}, double normalizer = 0);

// Scores of the token at each place: ids (T) -> (T, vocabulary). Those at mask tokens are what the head was made for.
PLUME_FUNCTION Tensor masked_logits(const Encoder& model, std::span<const TokenId> ids, Pass& pass, std::span<const TokenId> types = {});
// Mean cross-entropy of the tokens that stood at masked places: targets (T, -1 = not trained).
PLUME_FUNCTION Tensor masked_loss(const Encoder& model, std::span<const TokenId> ids, std::span<const TokenId> targets, Pass& pass,
                                  std::span<const TokenId> types = {}, double normalizer = 0);

// Gives an encoder a head of labels in place of the one it has, fresh weights from the seed: N(0, 0.02), biases 0; scores of sequences need
// a pooler, which comes with it if there is none. Labels without names are called LABEL_0, LABEL_1 ...
PLUME_FUNCTION void put_head(Encoder& model, Task task, std::uint64_t seed);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

namespace heads_detail {

// What the scores of masked tokens are linear in.
inline Tensor mask_states(const Encoder& model, std::span<const TokenId> ids, Pass& pass, std::span<const TokenId> types) {
  require(model.config.fills_masks, "[masked_logits] the model has no head of masked tokens: load one that has");
  return model.transform_norm(model.transform.activated(model.hidden(ids, pass, types), model.config.mask_activation, {}));
}
inline const Task& task_of(const Encoder& model) {
  require(model.config.task.has_value(), "[label_scores] the model has no head of labels: load one that has, or put_head()");
  return *model.config.task;
}

}  // namespace heads_detail

PLUME_FUNCTION Tensor label_scores(const Encoder& model, std::span<const TokenId> ids, Pass& pass, std::span<const TokenId> types) {
  const bool of_sequence = heads_detail::task_of(model).kind == TaskKind::sequence_labels;
  const Tensor states = model.hidden(ids, pass, types);
  return model.label_head(heads_detail::dropped(of_sequence ? model.pooled(states, pass) : states, pass));
}

PLUME_FUNCTION Tensor label_loss(const Encoder& model, std::span<const TokenId> ids, std::span<const TokenId> labels, Pass& pass,
                                 std::span<const TokenId> types, double normalizer) {
  heads_detail::require_numbers(heads_detail::task_of(model));
  return cross_entropy(label_scores(model, ids, pass, types), labels, normalizer);
}

PLUME_FUNCTION Tensor label_loss(const Encoder& model, std::span<const TokenId> ids, const Tensor& targets, Pass& pass,
                                 std::span<const TokenId> types, double normalizer) {
  const Task& task = heads_detail::task_of(model);
  heads_detail::require_rows(task);
  return heads_detail::loss_of_rows(task, label_scores(model, ids, pass, types), targets, normalizer);
}

PLUME_FUNCTION Tensor masked_logits(const Encoder& model, std::span<const TokenId> ids, Pass& pass, std::span<const TokenId> types) {
  return linear(heads_detail::mask_states(model, ids, pass, types), model.embedding.weight, model.head.bias);
}

PLUME_FUNCTION Tensor masked_loss(const Encoder& model, std::span<const TokenId> ids, std::span<const TokenId> targets, Pass& pass,
                                  std::span<const TokenId> types, double normalizer) {
  return classifier_loss(heads_detail::mask_states(model, ids, pass, types), model.embedding.weight, model.head.bias, targets, normalizer);
}

PLUME_FUNCTION void put_head(Encoder& model, Task task, std::uint64_t seed) {
  heads_detail::name_labels(task);
  task.bias = true;
  EncoderConfig config = model.config;
  config.pooler = config.pooler || task.kind == TaskKind::sequence_labels;
  config.fills_masks = false;
  config.dense.reset();
  config.task = std::move(task);
  const DType dtype = model.embedding.weight.dtype();
  const Encoder shape = Encoder::described(config, dtype);
  if (config.pooler && !model.pooler.weight) model.pooler = heads_detail::fresh(shape.pooler, seed + 1, dtype);
  model.label_head = heads_detail::fresh(shape.label_head, seed, dtype);
  model.transform = model.head = model.dense = {};
  model.transform_norm = {};
  model.config = std::move(config);
}

}  // namespace plume::inline PLUME_ABI
#endif
