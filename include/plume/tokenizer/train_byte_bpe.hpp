#pragma once
// Training byte-level BPE [Sennrich, Haddow, Birch 2016; Radford et al. 2019]: count the pieces of the texts (word_counts.hpp), then merge
// the most frequent pair of neighbouring tokens again and again (pair_merger.hpp).
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/stop_token.hpp"
#include "plume/tokenizer/tokenizer.hpp"
#include "plume/tokenizer/word_counts.hpp"

namespace plume::inline PLUME_ABI {

struct TrainByteBpeOptions {
  Index vocabulary_size = 4096;                                 // special tokens and the 256 bytes included; fewer if the texts yield fewer
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // get the first ids; no piece crosses them; the first is bos and eos
  Index minimum_count = 2;                                      // rarer pairs are not merged
  StopToken stop = {};
  TrainTokenizerReport report = {};
};

// The same texts and options give the same tokenizer, whatever the machine and the number of threads; the order of the texts does not
// matter. Counting runs on the threads of the current Context.
class ByteBpeTrainer {
 public:
  // ArgumentError: a vocabulary below 256 plus the special tokens, empty or repeated special tokens.
  PLUME_FUNCTION explicit ByteBpeTrainer(const TrainByteBpeOptions& options);
  // A text; a file, which may be larger than memory. Cancelled: options.stop fired. IoError: the file cannot be read.
  void add(std::string_view text) { words_.add(text); }
  void add_file(const std::string& path) { words_.add_file(path); }
  PLUME_FUNCTION Tokenizer train();

 private:
  TrainByteBpeOptions options_;
  WordCounter words_;
  std::vector<TokenId> special_;
  std::vector<std::string> pieces_, bytes_;
  std::array<TokenId, 256> id_of_byte_{};
};

PLUME_FUNCTION Tokenizer train_byte_bpe(std::span<const std::string> texts, const TrainByteBpeOptions& options = {});
inline Tokenizer train_byte_bpe(const std::vector<std::string>& texts, const TrainByteBpeOptions& options = {}) {
  return train_byte_bpe(std::span<const std::string>(texts), options);
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>

#include "plume/base/error.hpp"
#include "plume/tokenizer/byte_bpe.hpp"
#include "plume/tokenizer/encode_batch.hpp"
#include "plume/tokenizer/pair_merger.hpp"

namespace plume::inline PLUME_ABI {

namespace byte_bpe_training {
inline void count(std::string_view text, TextPart, WordCounts& counts) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = gpt2_piece_end(text, at);
    counts.add(text.substr(at, end - at), text.size() - at);
    at = end;
  }
}
}  // namespace byte_bpe_training

PLUME_FUNCTION ByteBpeTrainer::ByteBpeTrainer(const TrainByteBpeOptions& options)
    : options_(options),
      words_({.special_tokens = options.special_tokens,
              .cut = batch_encoding::safe_cut,
              .count = byte_bpe_training::count,
              .stop = options.stop,
              .report = options.report}) {
  const auto fixed = static_cast<Index>(options.special_tokens.size()) + 256;
  require(options.vocabulary_size >= fixed, "[train_byte_bpe] vocabulary_size is ", options.vocabulary_size, ": ",
          options.special_tokens.size(), " special tokens and 256 bytes need at least ", fixed);
  require(options.minimum_count >= 1, "[train_byte_bpe] minimum_count is ", options.minimum_count, ", must be at least 1");
  const auto is_ascii = [](std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  };
  for (const std::string& token : options.special_tokens) {
    require(token.size() > 1, "[train_byte_bpe] the special token ", quoted(token), " is shorter than two bytes");
    require(std::count(options.special_tokens.begin(), options.special_tokens.end(), token) == 1, "[train_byte_bpe] the special token ",
            quoted(token), " is given twice");
    require(utf8_error(token) == token.size() && (is_ascii(token) || !characters_to_bytes(token)), "[train_byte_bpe] the special token ",
            quoted(token), " is not UTF-8 or reads like an ordinary piece; use another spelling");
    special_.push_back(static_cast<TokenId>(pieces_.size()));
    pieces_.push_back(token);
  }
  bytes_ = pieces_;
  // bytes in the order of the characters that spell them, as GPT-2 numbers them
  std::vector<unsigned> order(256);
  for (unsigned byte = 0; byte < 256; ++byte) order[byte] = byte;
  std::sort(order.begin(), order.end(), [](unsigned a, unsigned b) { return byte_characters::of_byte[a] < byte_characters::of_byte[b]; });
  for (const unsigned byte : order) {
    id_of_byte_[byte] = static_cast<TokenId>(pieces_.size());
    bytes_.emplace_back(1, static_cast<char>(static_cast<unsigned char>(byte)));
    pieces_.push_back(bytes_to_characters(bytes_.back()));
  }
}

PLUME_FUNCTION Tokenizer ByteBpeTrainer::train() try {
  // among equals the greater pair of byte strings, compared part by part
  const auto greater = [this](SymbolPair a, SymbolPair b) {
    const auto bytes = [this](TokenId id) { return std::string_view(bytes_[static_cast<std::size_t>(id)]); };
    return a.left != b.left ? bytes(a.left) > bytes(b.left) : bytes(a.right) > bytes(b.right);
  };
  PairMerger merger(greater);
  {
    const WordCounts counts = words_.take();
    std::vector<TokenId> ids;
    for (const WordCount& word : counts.sorted()) {
      ids.clear();
      for (const char byte : word.word) ids.push_back(id_of_byte_[static_cast<unsigned char>(byte)]);
      merger.add_word(ids, word.count);
    }
  }
  merger.count_pairs();
  std::unordered_map<std::string, TokenId> id_of;
  for (std::size_t id = special_.size(); id < bytes_.size(); ++id) id_of.emplace(bytes_[id], static_cast<TokenId>(id));
  std::vector<Merge> merges;
  while (static_cast<Index>(pieces_.size()) < options_.vocabulary_size) {
    options_.stop.check();
    const auto best = merger.best(options_.minimum_count);
    if (!best) break;
    // two pairs may spell the same bytes ("ab" + "c" and "a" + "bc"): that is one token with two merges
    const auto [left, right] = best->pair;
    std::string joined = bytes_[static_cast<std::size_t>(left)] + bytes_[static_cast<std::size_t>(right)];
    const auto [known, fresh] = id_of.try_emplace(joined, static_cast<TokenId>(pieces_.size()));
    if (fresh) {
      pieces_.push_back(bytes_to_characters(joined));
      bytes_.push_back(std::move(joined));
      if (options_.report)
        options_.report({TrainTokenizerProgress::Phase::merge, static_cast<Index>(pieces_.size()), options_.vocabulary_size});
    }
    merges.push_back({left, right, known->second});
    merger.merge(best->pair, known->second);
  }
  Vocabulary vocabulary(std::move(pieces_), std::move(bytes_), special_);
  if (!special_.empty()) vocabulary.bos = vocabulary.eos = special_.front();
  return Tokenizer(std::make_shared<ByteBpeModel>(std::move(vocabulary), std::move(merges)));
} catch (...) {
  rethrow_memory_failure("training a tokenizer");
}

PLUME_FUNCTION Tokenizer train_byte_bpe(std::span<const std::string> texts, const TrainByteBpeOptions& options) {
  ByteBpeTrainer trainer(options);
  for (const std::string& text : texts) trainer.add(text);
  return trainer.train();
}

}  // namespace plume::inline PLUME_ABI
#endif
