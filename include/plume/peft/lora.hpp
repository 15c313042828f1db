#pragma once
// LoRA, what it is asked to be: which layers, of what rank, scaled how.      [Hu et al. 2021; rank-stabilised: Kalajdzievski 2023]
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/error.hpp"

namespace plume::inline PLUME_ABI {

// Which outputs of a fused query-key-value projection change.
enum class FusedQkv : std::uint8_t { all, query_and_value };

// Patterns are names of modules, ours ("attention.q") or Hugging Face's ("q_proj", "self_attn.q_proj"): a whole path or its end, as in
// peft; or a path in which "*" stands for any text ("model.layers.1*.q_proj"). "all-linear" means every linear layer but the output head.
struct Lora {
  Index rank = 8;
  double alpha = 16;                                               // the change is scaled by alpha / rank
  std::vector<std::string> targets = {};                           // empty: queries and values, or the fused projection that holds them
  std::vector<std::pair<std::string, Index>> rank_pattern = {};    // ranks of some layers; the first pattern that matches counts
  std::vector<std::pair<std::string, double>> alpha_pattern = {};  // the same for alpha
  bool rslora = false;                                             // scale by alpha / sqrt(rank)
  double dropout = 0;                                              // of the input of A, in training
  FusedQkv fused_qkv = FusedQkv::all;
  std::uint64_t seed = 0;  // of A's first values; B begins at zero
};

namespace peft_detail {
// What answers: adapters of all layers leave it as it is.
inline bool is_output_head(std::string_view path) { return path == "head" || path == "label_head"; }

// "*" in the pattern stands for any text.
inline bool matches_glob(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = pattern.npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == pattern.npos;
}

// Whether a pattern means the module at this path.
inline bool matches(std::string_view pattern, std::string_view path) {
  if (pattern.empty() || path.empty()) return false;
  if (pattern.find('*') != pattern.npos) return matches_glob(pattern, path);
  if (!path.ends_with(pattern)) return false;
  return path.size() == pattern.size() || path[path.size() - pattern.size() - 1] == '.';
}

// The value of the first pattern that matches one of a module's two names.
template <class T>
T pattern_value(const std::vector<std::pair<std::string, T>>& patterns, std::string_view path, std::string_view module, T otherwise) {
  for (const auto& [pattern, value] : patterns)
    if (matches(pattern, path) || matches(pattern, module)) return value;
  return otherwise;
}

inline double scaling(const Lora& options, Index rank, double alpha) {
  const auto r = static_cast<double>(rank);
  return alpha / (options.rslora ? std::sqrt(r) : r);
}

}  // namespace peft_detail
}  // namespace plume::inline PLUME_ABI
