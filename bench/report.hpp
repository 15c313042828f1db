#pragma once
// What the whole-model programs share: shapes, work per token, and what stands beside every number.
#include <cstdio>
#include <string>

#include "../examples/command_line.hpp"
#include "machine.hpp"
#include "plume/base/json.hpp"
#include "plume/kernels/simd/level.hpp"
#include "plume/models/decoder.hpp"
#include "plume/train/named_configs.hpp"

namespace bench {

using plume::Index;

// The vocabulary that a named configuration is trained with elsewhere: its tokenizer decides, and a benchmark has none.
inline Index usual_vocabulary(const std::string& config) {
  if (config == "gpt2-124m") return 50257;
  if (config == "stories15m") return 32000;
  if (config == "tiny") return 1024;
  return 65;  // characters of tiny Shakespeare
}

// Floating-point operations of a token in one forward pass over `context` tokens: two for each weight of a matrix product, and for
// attention two products with all keys (no discount for the causal half). A training step is three of them.
inline double forward_flops(const plume::Config& config, Index context) {
  const auto width = static_cast<double>(config.width), hidden = static_cast<double>(config.hidden),
             heads = static_cast<double>(config.heads * config.head_width),
             keys = static_cast<double>(config.key_heads * config.head_width);
  const double block = width * (heads + 2 * keys) + heads * width + width * hidden * (config.gated ? 3 : 2);
  const double products = static_cast<double>(config.layers) * block + width * static_cast<double>(config.vocabulary);
  return 2 * products + 4 * static_cast<double>(config.layers) * heads * static_cast<double>(context);
}

// Compiler, its flags and the kernels in use: what a number was made with.
inline std::string built_with() {
#if defined(__clang__)
  const char* const compiler = "clang " __clang_version__;
#else
  const char* const compiler = "g++ " __VERSION__;
#endif
  std::string text = plume::concat(compiler, " ", PLUME_BENCH_FLAGS);
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

inline void set_statistics(plume::Json& json, const std::string& name, const Statistics& values) {
  json.set(name, values.median).set(name + "_min", values.min).set(name + "_max", values.max);
}

}  // namespace bench
