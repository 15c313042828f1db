#pragma once
// A small corpus and a small model that learn in a second.
#include <cmath>
#include <string>
#include <vector>

#include "plume/models/decoder.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/train/train.hpp"

namespace toy {

using namespace plume;

// Lines such as "bob sees the red cat" drawn from a seed: characters that depend on those before.
inline std::string corpus(std::size_t lines) {
  const std::vector<std::string> who = {"ann", "bob", "the old man", "a girl"}, does = {"sees", "likes", "paints", "finds"},
                                 what = {"the red cat", "a small house", "the blue sea", "an apple"};
  std::string text;
  Random random{.seed = 7};
  for (std::size_t i = 0; i < lines; ++i)
    for (const auto* words : {&who, &does, &what}) text += (*words)[random.below(4)] + (words == &what ? "\n" : " ");
  return text;
}

struct Data {
  Tokenizer tokenizer = character_tokenizer(corpus(10));
  TokenDataset training, validation;
  Data() { std::tie(training, validation) = token_dataset(corpus(400), tokenizer).split(0.1); }
};

inline Decoder model(Index vocabulary, std::uint64_t seed, Index width = 32, Index context = 32) {
  Config config;
  config.vocabulary = vocabulary;
  config.context = context;
  config.width = width;
  config.layers = 2;
  config.hidden = 2 * width;
  config.heads = 4;
  config.key_heads = 2;
  config.head_width = width / 4;
  config.rotary.width = width / 4;
  config.tied_head = true;
  Decoder decoder = Decoder::described(config);
  initialise(decoder, seed);
  return decoder;
}

inline TrainOptions options(Index steps) {
  TrainOptions result;
  result.steps = steps;
  result.batch = 4;
  result.schedule = {3e-3, 3e-4, 5, steps};
  result.threads = 1;
  return result;
}

// All weights in one vector.
inline std::vector<float> weights(const Decoder& decoder) {
  std::vector<float> all;
  for_each_parameter(decoder, [&](std::string_view, const Tensor& tensor) {
    const auto values = tensor.span<float>();
    all.insert(all.end(), values.begin(), values.end());
  });
  return all;
}

// Cross-entropy of `text` under the frequencies of single tokens in `from`.
inline double unigram_entropy(const TokenDataset& from, const TokenDataset& text) {
  std::vector<double> counts(256, 0.5);
  double total = 128;
  for (const TokenId id : from.ids()) ++counts[static_cast<std::size_t>(id)], ++total;
  double sum = 0;
  for (const TokenId id : text.ids()) sum -= std::log(counts[static_cast<std::size_t>(id)] / total);
  return sum / static_cast<double>(text.size());
}

}  // namespace toy
