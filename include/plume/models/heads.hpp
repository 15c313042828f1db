#pragma once
// What models with labels compute: scores and losses of sequences and tokens, rewards, and the double heads of GPT-1 and GPT-2. The head
// itself is a Task of the configuration and Decoder::label_head.
#include <algorithm>

#include "plume/models/decoder.hpp"

namespace plume::inline PLUME_ABI {

// Scores of the labels: one row for each sequence of the pass, read at its last token that is not the task's padding (transformers'
// *ForSequenceClassification), or one for each token (*ForTokenClassification).      ids (T) -> (sequences or T, labels)
// ArgumentError: the model has no such head; an empty sequence.
PLUME_FUNCTION Tensor label_scores(const Decoder& model, std::span<const TokenId> ids, Pass& pass);

// What a head of one label says at every token: ids (T) -> (T, 1). The values that policies are trained with.
PLUME_FUNCTION Tensor token_values(const Decoder& model, std::span<const TokenId> ids, Pass& pass);

// Mean cross-entropy of label numbers, one for each row of label_scores() (-1: not trained). `normalizer` replaces the number of trained
// rows.
PLUME_FUNCTION Tensor label_loss(const Decoder& model, std::span<const TokenId> ids, std::span<const TokenId> labels, Pass& pass,
                                 double normalizer = 0);
// Loss of targets (sequences, labels): their mean squared error, or the mean binary cross-entropy of each label, as Task::problem says;
// where it does not, a single label is a regression and several are not. `normalizer` replaces the number of elements.
PLUME_FUNCTION Tensor label_loss(const Decoder& model, std::span<const TokenId> ids, const Tensor& targets, Pass& pass,
                                 double normalizer = 0);

// Double heads. Each sequence of the pass is one option of a question; the options of a question stand side by side.
struct Choices {
  std::vector<Index> options = {};      // how many there are for each question
  std::vector<Index> answers = {};      // the right one of each, from 0; -1: the question is not trained
  std::vector<TokenId> positions = {};  // of the token of each option at which it is scored; empty: its last
};
struct DoubleHeads {
  Tensor logits;  // (T, vocabulary)
  Tensor scores;  // (options of all questions, 1): a choice is the softmax over those of one question
};
PLUME_FUNCTION DoubleHeads double_heads(const Decoder& model, std::span<const TokenId> ids, std::span<const TokenId> positions, Pass& pass);

struct DoubleHeadsLoss {
  Tensor tokens;   // mean cross-entropy of the next tokens
  Tensor choices;  // mean cross-entropy of the answers
  // What is trained; the auxiliary weight of the language model was 0.5 in GPT-1.      [Radford et al. 2018, equation 5]
  Tensor combined(double token_weight = 0.5) const { return scale(tokens, token_weight) + choices; }
};
// targets (T, -1 = not trained) are the next tokens.
PLUME_FUNCTION DoubleHeadsLoss double_heads_loss(const Decoder& model, std::span<const TokenId> ids, std::span<const TokenId> targets,
                                                 const Choices& choices, Pass& pass);

// Gives a model the head of a task, fresh weights from the seed: N(0, 0.02), biases 0. What it has already and the task still needs stays;
// what it does not need goes. Labels without names are called LABEL_0, LABEL_1 ...
PLUME_FUNCTION void put_head(Decoder& model, Task task, std::uint64_t seed);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/ops/binary_cross_entropy.hpp"
#include "plume/ops/mean_squared_error.hpp"

namespace plume::inline PLUME_ABI {

namespace heads_detail {

inline void require_labels(const Decoder& model, std::string_view function, bool has_kind) {
  require(has_kind && model.label_head.weight, "[", function, "] the model has no head of this kind: load one that has, or put_head()");
}

// The row of each sequence at which it is read: the last token that is no padding, the first where all are (as in transformers).
inline std::vector<TokenId> last_rows(std::span<const TokenId> ids, const Pass& pass, TokenId padding) {
  std::vector<TokenId> rows;
  Index begin = 0;
  for (const Segment& sequence : pass.sequences) {
    require(sequence.tokens > 0, "[label_scores] sequence ", rows.size(), " is empty: there is no token to read it at");
    Index row = begin + sequence.tokens - 1;
    while (row > begin && ids[static_cast<std::size_t>(row)] == padding) --row;
    rows.push_back(static_cast<TokenId>(row));
    begin += sequence.tokens;
  }
  return rows;
}

// The head of labels on some rows.
inline Tensor scores_of(const Decoder& model, const Tensor& states, std::span<const TokenId> rows, const Pass& pass) {
  return model.label_head(embedding(rows, states), pass.adapted.of_rows(rows));
}

inline Tensor dropped(const Tensor& states, const Pass& pass) { return dropout(states, pass.dropout_at(5)); }

}  // namespace heads_detail

PLUME_FUNCTION Tensor label_scores(const Decoder& model, std::span<const TokenId> ids, Pass& pass) {
  const TaskKind kind = model.config.task.kind;
  heads_detail::require_labels(model, "label_scores", kind == TaskKind::sequence_labels || kind == TaskKind::token_labels);
  const Tensor states = model.hidden(ids, pass);
  if (kind == TaskKind::token_labels) return model.label_head(heads_detail::dropped(states, pass), pass.adapted);
  return heads_detail::scores_of(model, states, heads_detail::last_rows(ids, pass, model.config.task.padding), pass);
}

PLUME_FUNCTION Tensor token_values(const Decoder& model, std::span<const TokenId> ids, Pass& pass) {
  heads_detail::require_labels(model, "token_values", model.config.task.kind == TaskKind::sequence_labels && model.config.task.labels == 1);
  const Tensor states = model.hidden(ids, pass);
  return model.label_head(states, pass.adapted);
}

namespace heads_detail {

inline void require_numbers(const Task& task) {
  require(task.kind == TaskKind::token_labels ||
              (task.labels > 1 && (task.problem == Problem::by_targets || task.problem == Problem::one_label)),
          "[label_loss] this task is trained on rows of numbers, not on label numbers");
}
inline void require_rows(const Task& task) {
  require(task.kind == TaskKind::sequence_labels && task.problem != Problem::one_label,
          "[label_loss] this task is trained on label numbers, not on rows of numbers");
}
inline Tensor loss_of_rows(const Task& task, const Tensor& scores, const Tensor& targets, double normalizer) {
  const bool is_regression = task.problem == Problem::regression || (task.problem == Problem::by_targets && task.labels == 1);
  return is_regression ? mean_squared_error(scores, targets, normalizer) : binary_cross_entropy(scores, targets, normalizer);
}

}  // namespace heads_detail

PLUME_FUNCTION Tensor label_loss(const Decoder& model, std::span<const TokenId> ids, std::span<const TokenId> labels, Pass& pass,
                                 double normalizer) {
  heads_detail::require_numbers(model.config.task);
  return cross_entropy(label_scores(model, ids, pass), labels, normalizer);
}

PLUME_FUNCTION Tensor label_loss(const Decoder& model, std::span<const TokenId> ids, const Tensor& targets, Pass& pass, double normalizer) {
  heads_detail::require_rows(model.config.task);
  return heads_detail::loss_of_rows(model.config.task, label_scores(model, ids, pass), targets, normalizer);
}

namespace heads_detail {
// Scores of the options, from states that the pass has just computed.
inline Tensor option_scores(const Decoder& model, std::span<const TokenId> ids, const Tensor& states, std::span<const TokenId> positions,
                            const Pass& pass) {
  std::vector<TokenId> rows = last_rows(ids, pass, -1);
  require(positions.empty() || positions.size() == rows.size(), "[double_heads] ", positions.size(), " positions for ", rows.size(),
          " options");
  for (std::size_t i = 0; i < positions.size(); ++i) {
    require(positions[i] >= 0 && positions[i] < pass.sequences[i].tokens, "[double_heads] position ", positions[i], " of option ", i,
            ", which has ", pass.sequences[i].tokens, " tokens");
    rows[i] = static_cast<TokenId>(rows[i] - (pass.sequences[i].tokens - 1) + positions[i]);
  }
  return model.label_head(dropped(embedding(rows, states), pass), pass.adapted.of_rows(rows));
}
}  // namespace heads_detail

PLUME_FUNCTION DoubleHeads double_heads(const Decoder& model, std::span<const TokenId> ids, std::span<const TokenId> positions,
                                        Pass& pass) {
  heads_detail::require_labels(model, "double_heads", model.config.task.kind == TaskKind::double_heads);
  const Tensor states = model.hidden(ids, pass);
  return {model.logits(states, pass.adapted), heads_detail::option_scores(model, ids, states, positions, pass)};
}

PLUME_FUNCTION DoubleHeadsLoss double_heads_loss(const Decoder& model, std::span<const TokenId> ids, std::span<const TokenId> targets,
                                                 const Choices& choices, Pass& pass) {
  heads_detail::require_labels(model, "double_heads_loss", model.config.task.kind == TaskKind::double_heads);
  require(choices.options.size() == choices.answers.size() && !choices.options.empty(), "[double_heads_loss] ", choices.options.size(),
          " questions, ", choices.answers.size(), " answers");
  const Tensor states = model.hidden(ids, pass);
  const Tensor scores = heads_detail::option_scores(model, ids, states, choices.positions, pass);
  const auto trained = std::count_if(choices.answers.begin(), choices.answers.end(), [](Index answer) { return answer != ignored_target; });
  DoubleHeadsLoss loss{model.token_loss(states, targets, pass), {}};
  Index begin = 0;
  for (std::size_t q = 0; q < choices.options.size(); ++q) {
    const Index end = begin + choices.options[q];
    require(choices.options[q] >= 1 && end <= scores.rows(), "[double_heads_loss] question ", q, " has ", choices.options[q],
            " options, the pass has ", scores.rows(), " in all");
    const TokenId answer[] = {static_cast<TokenId>(choices.answers[q])};
    const Tensor part =
        cross_entropy(scores.rows(begin, end).reshape({1, end - begin}), answer, static_cast<double>(std::max<Index>(trained, 1)));
    loss.choices = loss.choices ? loss.choices + part : part;
    begin = end;
  }
  require(begin == scores.rows(), "[double_heads_loss] the questions have ", begin, " options, the pass has ", scores.rows());
  return loss;
}

namespace heads_detail {

inline void name_labels(Task& task) {
  if (task.names.empty())
    for (Index i = 0; i < task.labels; ++i) task.names.push_back(concat("LABEL_", i));
}
inline Linear fresh(Linear head, std::uint64_t seed, DType dtype) {
  initialise(head, seed ^ 0x68656164, {.dtype = compute_type(dtype)});  // numbers apart from those of initialise(model, seed)
  if (head.weight && head.weight.dtype() != dtype) head.weight = head.weight.to(dtype);
  return head;
}

}  // namespace heads_detail

PLUME_FUNCTION void put_head(Decoder& model, Task task, std::uint64_t seed) {
  heads_detail::name_labels(task);
  Config config = model.config;
  config.task = std::move(task);
  const DType dtype = model.embedding.weight.dtype();
  const Decoder shape = Decoder::described(config, dtype);
  const auto fresh = [&](const Linear& head) { return heads_detail::fresh(head, seed, dtype); };
  if (!shape.head.weight && !shape.head.bias) model.head = {};
  if (shape.head.weight && !model.head.weight) model.head = fresh(shape.head);
  model.label_head = fresh(shape.label_head);
  model.config = std::move(config);
}

}  // namespace plume::inline PLUME_ABI
#endif
