#pragma once
// Taps: what a pass computes on its way, kept by name.
//   Taps taps({"blocks.*.mlp", "blocks.2.attention.weights"});
//   Pass pass{.taps = &taps};
//   model.logits(ids, pass);
//   Tensor y = taps.at("blocks.1.mlp");
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI {

// Names, for the T rows of a pass:
//   embedding                  what the first block reads (T, width)
//   blocks.N                   the residual stream behind block N (T, width)
//   blocks.N.attention.input, .attention, .attention_output_norm       what attention reads, what it gives, and that behind its norm
//   blocks.N.attention.queries, .keys, .values, .context               (T, heads * head width); turned already; context: of all heads
//   blocks.N.attention.weights                                         the probabilities, one tensor (query heads, queries, keys) for each
//                                                                      sequence; those that dropout would leave out are there
//   blocks.N.mlp.input, .mlp.hidden, .mlp, .mlp_output_norm            of the feed-forward layer; hidden: what its last product reads
//   blocks.N.experts.input, .experts.router, .experts                  in place of mlp; router: its scores (T, experts)
//   norm                       behind the last norm (T, width)
// Kept tensors are part of the tape, but for weights and what lies within parts that Recompute runs again.
class Taps {
 public:
  // "*" in a name stands for any number.
  explicit Taps(std::vector<std::string> names) : names_(std::move(names)) {}

  // What the last pass kept under a name. ArgumentError: it was not asked for, or not met; the message says what was.
  PLUME_FUNCTION const Tensor& at(std::string_view name, std::size_t sequence = 0) const;

  struct Kept {
    std::string name;
    std::vector<Tensor> tensors;  // one; of weights one for each sequence
  };
  const std::vector<Kept>& all() const { return kept_; }  // in the order of the pass

  // For modules. `part` lies in a block, or, with layer -1, in the model.
  PLUME_FUNCTION bool want(Index layer, std::string_view part) const;
  PLUME_FUNCTION void keep(Index layer, std::string_view part, std::vector<Tensor> tensors);
  void clear() { kept_.clear(), met_.clear(); }
  // ArgumentError: a name that nothing in the pass was called.
  PLUME_FUNCTION void check() const;

 private:
  PLUME_FUNCTION static bool matches(std::string_view pattern, std::string_view name);
  [[noreturn]] PLUME_FUNCTION void fail(std::string_view name) const;
  static std::string full(Index layer, std::string_view part) {
    return layer < 0 ? std::string(part) : concat("blocks.", layer, part.empty() ? "" : ".", part);
  }

  std::vector<std::string> names_, met_ = {};  // met: all names of a pass, numbers as "*"
  std::vector<Kept> kept_ = {};
};

// Where modules show their results: the taps of a pass, if it has any, and the block they stand in.
struct Tap {
  Taps* taps = nullptr;
  Index layer = -1;
  bool copies = false;  // results are compressed when their block has ended

  const Tensor& operator()(std::string_view part, const Tensor& y) const {
    if (taps) keep(part, y);
    return y;
  }
  bool want(std::string_view part) const { return taps && taps->want(layer, part); }

 private:
  PLUME_FUNCTION void keep(std::string_view part, const Tensor& y) const;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION bool Taps::matches(std::string_view pattern, std::string_view name) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (; !pattern.empty(); pattern.remove_prefix(1)) {
    if (name.empty()) return false;
    if (pattern.front() == '*') {
      if (!is_digit(name.front())) return false;
      while (!name.empty() && is_digit(name.front())) name.remove_prefix(1);
    } else {
      if (pattern.front() != name.front()) return false;
      name.remove_prefix(1);
    }
  }
  return name.empty();
}

PLUME_FUNCTION bool Taps::want(Index layer, std::string_view part) const {
  const std::string name = full(layer, part);
  return std::any_of(names_.begin(), names_.end(), [&](const std::string& pattern) { return matches(pattern, name); });
}

PLUME_FUNCTION void Taps::keep(Index layer, std::string_view part, std::vector<Tensor> tensors) {
  std::string pattern = layer < 0 ? std::string(part) : concat("blocks.*", part.empty() ? "" : ".", part);
  if (std::find(met_.begin(), met_.end(), pattern) == met_.end()) met_.push_back(std::move(pattern));
  if (!tensors.empty() && want(layer, part)) kept_.push_back({full(layer, part), std::move(tensors)});
}

PLUME_FUNCTION const Tensor& Taps::at(std::string_view name, std::size_t sequence) const {
  for (const Kept& kept : kept_) {
    if (kept.name != name) continue;
    require(sequence < kept.tensors.size(), "[taps] ", name, " has ", kept.tensors.size(), " tensors, number ", sequence, " was asked for");
    return kept.tensors[sequence];
  }
  fail(name);
}

PLUME_FUNCTION void Taps::check() const {
  for (const std::string& name : names_)
    if (std::none_of(kept_.begin(), kept_.end(), [&](const Kept& kept) { return matches(name, kept.name); })) fail(name);
}

PLUME_FUNCTION void Taps::fail(std::string_view name) const {
  std::string known;
  for (const std::string& met : met_) known.append(known.empty() ? "" : ", ").append(met);
  throw ArgumentError(
      concat("[taps] nothing called ", name, " was kept; ", known.empty() ? "no pass has run" : concat("the pass met ", known)));
}

PLUME_FUNCTION void Tap::keep(std::string_view part, const Tensor& y) const {
  taps->keep(layer, part, {copies && taps->want(layer, part) ? y.copy() : y});
}

}  // namespace plume::inline PLUME_ABI
#endif
