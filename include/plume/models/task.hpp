#pragma once
// Task: what a model answers, as data. The decoder has one slot for it beside the head of next tokens.
#include <string>
#include <vector>

#include "plume/base/error.hpp"

namespace plume::inline PLUME_ABI {

enum class TaskKind : std::uint8_t {
  next_token,       // logits over the vocabulary
  sequence_labels,  // a row of scores for each sequence, read at its last token. One label: a reward, or the value of a text
  token_labels,     // a row of scores for each token
  double_heads      // next tokens, and a score of each sequence as one option of a multiple choice      [Radford et al. 2018]
};

// What the scores of labels are trained for.
enum class Problem : std::uint8_t {
  by_targets,     // one label: regression; label numbers: one of them; rows of numbers: any of them
  regression,     // mean squared error
  one_label,      // cross-entropy
  several_labels  // binary cross-entropy of each label
};

struct Task {
  TaskKind kind = TaskKind::next_token;
  Index labels = 0;   // 1 for double heads
  bool bias = false;  // of the head of labels; sequence_labels has none
  Problem problem = Problem::by_targets;
  std::vector<std::string> names = {};  // of the labels
  TokenId padding = -1;                 // sequences are read before trailing tokens of this kind; -1: at their very last token

  bool has_tokens() const { return kind == TaskKind::next_token || kind == TaskKind::double_heads; }
  bool has_labels() const { return kind != TaskKind::next_token; }

  // One number for each sequence: reward models, critics.
  static Task scalar() { return {.kind = TaskKind::sequence_labels, .labels = 1, .problem = Problem::regression, .names = {"LABEL_0"}}; }
  static Task sequence_labels(std::vector<std::string> names) {
    const auto count = static_cast<Index>(names.size());
    return {.kind = TaskKind::sequence_labels, .labels = count, .names = std::move(names)};
  }
  static Task token_labels(std::vector<std::string> names) {
    const auto count = static_cast<Index>(names.size());
    return {.kind = TaskKind::token_labels, .labels = count, .bias = true, .names = std::move(names)};
  }
  static Task double_heads() { return {.kind = TaskKind::double_heads, .labels = 1, .bias = true, .names = {"LABEL_0"}}; }

  friend bool operator==(const Task&, const Task&) = default;
};

}  // namespace plume::inline PLUME_ABI
