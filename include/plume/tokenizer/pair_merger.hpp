#pragma once
// The loop of byte-pair training [Sennrich, Haddow, Birch 2016]: words as rows of symbols, how often each pair of neighbours occurs, and
// merging the most frequent. Counts are kept up to date, so a merge costs only the words that hold its pair.
#include <algorithm>
#include <bit>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/tokenizer/piece_table.hpp"

namespace plume::inline PLUME_ABI {

struct SymbolPair {
  TokenId left, right;
  bool operator==(const SymbolPair&) const = default;
};

// Prefer(a, b): of two pairs that are equally frequent, whether a is merged before b. A total order, so that the result depends on nothing
// but the words.
template <class Prefer>
class PairMerger {
 public:
  explicit PairMerger(Prefer prefer) : prefer_(std::move(prefer)) {}

  void add_word(std::span<const TokenId> symbols, Index count) {
    words_.push_back({symbols_.size(), static_cast<std::uint32_t>(symbols.size()), count});
    symbols_.insert(symbols_.end(), symbols.begin(), symbols.end());
  }
  // After the last word.
  void count_pairs() {
    require(words_.size() < 0xffffffff, "[train] more than ", 0xffffffff, " different words");
    for (std::uint32_t w = 0; w < words_.size(); ++w)
      for (std::size_t i = words_[w].begin; i + 1 < words_[w].begin + words_[w].size; ++i) {
        Entry& entry = entry_of({symbols_[i], symbols_[i + 1]});
        entry.count += words_[w].count;
        if (entry.words.empty() || entry.words.back() != w) entry.words.push_back(w);
      }
    for (std::uint32_t i = 0; i < entries_.size(); ++i) heap_.push_back({entries_[i].count, i});
    std::make_heap(heap_.begin(), heap_.end(), order());
  }

  struct Best {
    SymbolPair pair;
    Index count;
  };
  // The pair to merge next; none where the most frequent occurs less than `least` times.
  std::optional<Best> best(Index least) {
    while (!heap_.empty()) {
      const Candidate top = heap_.front();
      const Entry& entry = entries_[top.entry];
      if (entry.count == top.count) return top.count < least ? std::nullopt : std::optional<Best>({entry.pair, top.count});
      std::pop_heap(heap_.begin(), heap_.end(), order());
      heap_.pop_back();
      if (entry.count < top.count && entry.count >= least) push({entry.count, top.entry});  // one that rose has a newer candidate
    }
    return std::nullopt;
  }

  // Replaces the pair by `result` in every word.
  void merge(SymbolPair pair, TokenId result) {
    const std::uint32_t merged = find(pair);
    const std::vector<std::uint32_t> words = std::move(entries_[merged].words);
    entries_[merged].words = {};
    Side twice;  // result beside result
    for (const std::uint32_t w : words) {
      Word& word = words_[w];
      TokenId* const begin = symbols_.data() + word.begin;
      const TokenId* const end = begin + word.size;
      TokenId* out = begin;
      bool after_result = false;  // a new one
      for (const TokenId* at = begin; at < end;) {
        if (at + 1 == end || at[0] != pair.left || at[1] != pair.right) {
          *out++ = *at++;
          after_result = false;
          continue;
        }
        if (after_result)
          twice.change(word.count, w);
        else if (out > begin)
          side(before_, out[-1]).change(word.count, w);
        at += 2;
        if (at < end && (at + 1 == end || at[0] != pair.left || at[1] != pair.right)) side(after_, *at).change(word.count, w);
        *out++ = result;
        after_result = true;
      }
      word.size = static_cast<std::uint32_t>(out - begin);
    }
    if (twice.count > 0) {
      fall({pair.right, pair.left}, twice.count);
      rise({result, result}, twice);
    }
    for (Side& each : before_.sides) {
      fall({each.neighbour, pair.left}, each.count);
      rise({each.neighbour, result}, each);
    }
    for (Side& each : after_.sides) {
      fall({pair.right, each.neighbour}, each.count);
      rise({result, each.neighbour}, each);
    }
    before_.clear();
    after_.clear();
    entries_[merged].count = 0;
  }

 private:
  struct Word {
    std::size_t begin;
    std::uint32_t size;
    Index count;
  };
  struct Entry {
    SymbolPair pair;
    Index count = 0;
    std::vector<std::uint32_t> words = {};  // that held the pair at some time; may repeat
  };
  struct Candidate {
    Index count;
    std::uint32_t entry;
  };
  // The neighbours on one side of the places where a merge happens.
  struct Side {
    TokenId neighbour = 0;
    Index count = 0;
    std::vector<std::uint32_t> words = {};
    void change(Index amount, std::uint32_t word) {
      count += amount;
      if (words.empty() || words.back() != word) words.push_back(word);
    }
  };
  struct Sides {
    std::vector<Side> sides;
    std::vector<std::uint32_t> of;  // by symbol: place in `sides` and 1; 0: none
    void clear() {
      for (const Side& each : sides) of[static_cast<std::size_t>(each.neighbour)] = 0;
      sides.clear();
    }
  };
  static Side& side(Sides& all, TokenId neighbour) {
    const auto at = static_cast<std::size_t>(neighbour);
    if (at >= all.of.size()) all.of.resize(std::bit_ceil(at + 1));
    if (all.of[at] == 0) {
      all.sides.push_back({neighbour});
      all.of[at] = static_cast<std::uint32_t>(all.sides.size());
    }
    return all.sides[all.of[at] - 1];
  }

  auto order() const {  // a heap's "less": what is merged later
    return [this](const Candidate& a, const Candidate& b) {
      return a.count != b.count ? a.count < b.count : prefer_(entries_[b.entry].pair, entries_[a.entry].pair);
    };
  }
  void push(const Candidate& candidate) {
    heap_.push_back(candidate);
    std::push_heap(heap_.begin(), heap_.end(), order());
  }
  void fall(SymbolPair pair, Index amount) { entries_[find(pair)].count -= amount; }
  void rise(SymbolPair pair, Side& by) {
    Entry& entry = entry_of(pair);
    entry.count += by.count;
    if (entry.words.empty())
      entry.words = std::move(by.words);
    else
      entry.words.insert(entry.words.end(), by.words.begin(), by.words.end());
    push({entry.count, static_cast<std::uint32_t>(&entry - entries_.data())});
  }

  // ---- from a pair to its entry: open addressing ----
  static std::uint64_t hash(SymbolPair pair) {
    return piece_keys::mix(std::uint64_t{static_cast<std::uint32_t>(pair.left)} << 32 | static_cast<std::uint32_t>(pair.right), 0);
  }
  std::size_t slot_of(SymbolPair pair) const {
    std::size_t at = hash(pair) & (slots_.size() - 1);
    while (slots_[at] != none && entries_[slots_[at]].pair != pair) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  std::uint32_t find(SymbolPair pair) const { return slots_[slot_of(pair)]; }
  Entry& entry_of(SymbolPair pair) {
    std::size_t at = slot_of(pair);
    if (slots_[at] != none) return entries_[slots_[at]];
    if (2 * (entries_.size() + 1) > slots_.size()) {
      slots_.assign(2 * slots_.size(), none);
      for (std::uint32_t i = 0; i < entries_.size(); ++i) slots_[slot_of(entries_[i].pair)] = i;
      at = slot_of(pair);
    }
    slots_[at] = static_cast<std::uint32_t>(entries_.size());
    return entries_.emplace_back(Entry{.pair = pair});
  }

  static constexpr std::uint32_t none = 0xffffffff;
  Prefer prefer_;
  std::vector<TokenId> symbols_;  // of all words in a row; a word that shrinks leaves a gap
  std::vector<Word> words_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_ = std::vector<std::uint32_t>(1 << 12, none);
  std::vector<Candidate> heap_;
  Sides before_, after_;
};

}  // namespace plume::inline PLUME_ABI
