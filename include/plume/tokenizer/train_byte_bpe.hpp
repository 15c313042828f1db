#pragma once
// Training byte-level BPE [Sennrich, Haddow, Birch 2016; Radford et al. 2019]: count the pieces of the texts, then merge the most
// frequent pair of neighbouring tokens again and again. Pair counts are kept up to date instead of counted anew, so a merge costs
// only the pieces that hold it.
#include <algorithm>
#include <array>
#include <compare>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/stop_token.hpp"
#include "plume/tokenizer/byte_bpe.hpp"

namespace plume::inline PLUME_ABI {

struct TrainByteBpeOptions {
  Index vocabulary_size = 4096;                                 // special tokens and the 256 bytes included; fewer if the texts yield fewer
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // get the first ids; no piece crosses them; the first is bos and eos
  Index minimum_count = 2;                                      // rarer pairs are not merged
  StopToken stop = {};
};

class ByteBpeTrainer {
 public:
  explicit ByteBpeTrainer(const TrainByteBpeOptions& options) : options_(options), special_text_(special_only(options)) {
    const auto fixed = static_cast<Index>(options.special_tokens.size()) + 256;
    require(options.vocabulary_size >= fixed, "[train_byte_bpe] vocabulary_size is ", options.vocabulary_size, ": ",
            options.special_tokens.size(), " special tokens and 256 bytes need at least ", fixed);
    require(options.minimum_count >= 1, "[train_byte_bpe] minimum_count is ", options.minimum_count, ", must be at least 1");
    for (const std::string& token : options.special_tokens) {
      require(token.size() > 1, "[train_byte_bpe] the special token ", quoted(token), " is shorter than two bytes");
      require(std::count(options.special_tokens.begin(), options.special_tokens.end(), token) == 1, "[train_byte_bpe] the special token ",
              quoted(token), " is given twice");
      require(utf8_error(token) == token.size() && (is_ascii(token) || !characters_to_bytes(token)), "[train_byte_bpe] the special token ",
              quoted(token), " is not UTF-8 or reads like an ordinary piece; use another spelling");
      pieces_.push_back(token);
    }
    special_ = special_text_.special();
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
    for (std::size_t id = special_.size(); id < bytes_.size(); ++id) id_of_.emplace(bytes_[id], static_cast<TokenId>(id));
  }

  void add(std::string_view text) {
    while (const auto found = special_text_.find_special(text)) {
      count(text.substr(0, found->begin));
      text.remove_prefix(found->end);
    }
    count(text);
  }

  Tokenizer train() {
    for (std::uint32_t word = 0; word < words_.size(); ++word)
      for (std::size_t i = 0; i + 1 < words_[word].ids.size(); ++i)
        pairs_[{words_[word].ids[i], words_[word].ids[i + 1]}].rise(words_[word].count, word);
    for (const auto& [pair, entry] : pairs_) heap_.push_back({entry.count, pair});
    const auto less = [this](const Candidate& a, const Candidate& b) { return before(a, b); };
    std::make_heap(heap_.begin(), heap_.end(), less);
    while (static_cast<Index>(pieces_.size()) < options_.vocabulary_size && !heap_.empty()) {
      options_.stop.check();
      std::pop_heap(heap_.begin(), heap_.end(), less);
      const Candidate best = heap_.back();
      heap_.pop_back();
      const Index now = pairs_.at(best.pair).count;
      if (now != best.count) {  // outdated: back in at its place
        if (now >= options_.minimum_count) push({now, best.pair}, less);
        continue;
      }
      if (now < options_.minimum_count) break;
      for (const Pair& pair : merge(best.pair)) push({pairs_.at(pair).count, pair}, less);
    }
    Vocabulary vocabulary(std::move(pieces_), std::move(bytes_), special_);
    if (!special_.empty()) vocabulary.bos = vocabulary.eos = special_.front();
    return Tokenizer(std::make_shared<ByteBpeModel>(std::move(vocabulary), std::move(merges_)));
  }

 private:
  static bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  }
  static Vocabulary special_only(const TrainByteBpeOptions& options) {
    std::vector<TokenId> ids(options.special_tokens.size());
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i);
    return Vocabulary(options.special_tokens, options.special_tokens, ids);
  }
  struct Pair {
    TokenId left, right;
    auto operator<=>(const Pair&) const = default;
  };
  struct PairHash {
    std::size_t operator()(const Pair& pair) const {
      const auto key = std::uint64_t{static_cast<std::uint32_t>(pair.left)} << 32 | static_cast<std::uint32_t>(pair.right);
      return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15u) >> 16);
    }
  };
  struct Word {  // a distinct piece of the texts
    std::vector<TokenId> ids;
    Index count;
  };
  struct PairEntry {
    Index count = 0;
    std::vector<std::uint32_t> words;  // that held the pair at some time; may repeat
    void rise(Index amount, std::uint32_t word) {
      count += amount;
      if (words.empty() || words.back() != word) words.push_back(word);
    }
  };
  struct Candidate {
    Index count;
    Pair pair;
  };

  // Most frequent first; among equals the greater pair of byte strings, compared part by part. A total order, so that the
  // result depends on nothing but the texts.
  bool before(const Candidate& a, const Candidate& b) const {
    if (a.count != b.count) return a.count < b.count;
    const auto bytes = [this](TokenId id) { return std::string_view(bytes_[static_cast<std::size_t>(id)]); };
    if (a.pair.left != b.pair.left) return bytes(a.pair.left) < bytes(b.pair.left);
    return bytes(a.pair.right) < bytes(b.pair.right);
  }
  template <class Less>
  void push(const Candidate& candidate, const Less& less) {
    heap_.push_back(candidate);
    std::push_heap(heap_.begin(), heap_.end(), less);
  }

  void count(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      options_.stop.check();
      const std::size_t end = gpt2_piece_end(text, at);
      const auto [found, fresh] = word_of_.try_emplace(std::string(text.substr(at, end - at)), static_cast<std::uint32_t>(words_.size()));
      if (fresh) {
        words_.push_back({.ids = {}, .count = 0});
        for (const char byte : found->first) words_.back().ids.push_back(id_of_byte_[static_cast<unsigned char>(byte)]);
      }
      ++words_[found->second].count;
      at = end;
    }
  }

  // Merges a pair in every word; returns the pairs that became more frequent.
  std::vector<Pair> merge(Pair pair) {
    // two pairs may spell the same bytes ("ab" + "c" and "a" + "bc"): that is one token with two merges
    std::string joined = bytes_[static_cast<std::size_t>(pair.left)] + bytes_[static_cast<std::size_t>(pair.right)];
    const auto [known, fresh] = id_of_.try_emplace(joined, static_cast<TokenId>(pieces_.size()));
    const TokenId result = known->second;
    if (fresh) {
      pieces_.push_back(bytes_to_characters(joined));
      bytes_.push_back(std::move(joined));
    }
    merges_.push_back({pair.left, pair.right, result});
    std::vector<Pair> risen;
    const std::vector<std::uint32_t> words = std::move(pairs_.at(pair).words);
    for (const std::uint32_t index : words) {
      Word& word = words_[index];
      std::vector<TokenId> merged;
      for (std::size_t i = 0; i < word.ids.size();) {
        const bool here = i + 1 < word.ids.size() && word.ids[i] == pair.left && word.ids[i + 1] == pair.right;
        merged.push_back(here ? result : word.ids[i]);
        i += here ? 2 : 1;
      }
      if (merged.size() == word.ids.size()) continue;  // an earlier merge took the pair away
      for (std::size_t i = 0; i + 1 < word.ids.size(); ++i) pairs_.at({word.ids[i], word.ids[i + 1]}).count -= word.count;
      word.ids = std::move(merged);
      for (std::size_t i = 0; i + 1 < word.ids.size(); ++i) {
        const Pair next{word.ids[i], word.ids[i + 1]};
        if (next.left != result && next.right != result) {
          pairs_.at(next).count += word.count;
          continue;
        }
        pairs_[next].rise(word.count, index);
        risen.push_back(next);
      }
    }
    std::sort(risen.begin(), risen.end());
    risen.erase(std::unique(risen.begin(), risen.end()), risen.end());
    return risen;
  }

  TrainByteBpeOptions options_;
  Vocabulary special_text_;  // the special tokens alone, to find them in the texts
  std::vector<TokenId> special_;
  std::vector<std::string> pieces_, bytes_;
  std::array<TokenId, 256> id_of_byte_{};
  std::unordered_map<std::string, TokenId> id_of_;
  std::unordered_map<std::string, std::uint32_t> word_of_;
  std::vector<Word> words_;
  std::unordered_map<Pair, PairEntry, PairHash> pairs_;
  std::vector<Candidate> heap_;
  std::vector<Merge> merges_;
};

// The same texts and options give the same tokenizer, whatever the machine; the order of the texts does not matter.
// ArgumentError: a vocabulary below 256 plus the special tokens, empty or repeated special tokens. Cancelled: options.stop fired.
inline Tokenizer train_byte_bpe(std::span<const std::string> texts, const TrainByteBpeOptions& options = {}) try {
  ByteBpeTrainer trainer(options);
  for (const std::string& text : texts) trainer.add(text);
  return trainer.train();
} catch (...) {
  rethrow_memory_failure("training a tokenizer");
}
inline Tokenizer train_byte_bpe(const std::vector<std::string>& texts, const TrainByteBpeOptions& options = {}) {
  return train_byte_bpe(std::span<const std::string>(texts), options);
}

}  // namespace plume::inline PLUME_ABI
