#pragma once
// The inner part of unigram training [Kudo 2018]: all ways to write a word with the pieces (its lattice), how often each piece is expected
// to be used under the present scores, and what taking a piece away would cost.
#include <bit>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/stop_token.hpp"
#include "plume/tokenizer/word_counts.hpp"

namespace plume::inline PLUME_ABI {

// Pieces sorted by their bytes, each with its logarithmic probability. Every character of the words is a piece.
struct UnigramPieces {
  std::vector<std::string> texts;
  std::vector<double> scores;
};

// A trie over sorted texts; the children of a node lie in a row.
class SortedTrie {
 public:
  PLUME_FUNCTION explicit SortedTrie(const std::vector<std::string>& texts);

  // Calls found(end, index) for each text that begins at text[at], shortest first.
  template <class Found>
  void each_at(std::string_view text, std::size_t at, Found&& found) const {
    std::uint32_t node = roots_[static_cast<unsigned char>(text[at])];
    while (node != none) {
      ++at;
      if (nodes_[node].value != none) found(at, nodes_[node].value);
      if (at == text.size()) return;
      node = child(nodes_[node], static_cast<unsigned char>(text[at]));
    }
  }

 private:
  static constexpr std::uint32_t none = 0xffffffff;
  struct Node {
    std::uint32_t children = 0, value = none;
    std::uint16_t count = 0;
    unsigned char label = 0;
  };
  std::uint32_t child(const Node& node, unsigned char label) const {
    std::uint32_t low = node.children, high = low + node.count;
    while (low < high) {
      const std::uint32_t middle = low + (high - low) / 2;
      if (nodes_[middle].label < label)
        low = middle + 1;
      else
        high = middle;
    }
    return low < node.children + node.count && nodes_[low].label == label ? low : none;
  }
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> roots_ = std::vector<std::uint32_t>(256, none);
};

// Expected or counted uses, in units of 1 / scale: integers, so that sums are the same in any order.
struct PieceUses {
  std::vector<std::int64_t> uses;
  double scale = 1;
  double nats = 0;  // negative log-likelihood of all words
};

class UnigramEm {
 public:
  UnigramEm(const std::vector<WordCount>& words, StopToken stop) : words_(&words), stop_(std::move(stop)) {}

  // The expectation step, over all ways to write the words.
  PLUME_FUNCTION PieceUses expected(const UnigramPieces& pieces) const;
  // Uses on the best way to write each word; scale 1.
  PLUME_FUNCTION PieceUses best(const UnigramPieces& pieces) const;
  // For each piece the pieces of the best other way to write it; empty: there is none, or its own score is lower than that way's.
  struct Replacements {
    std::vector<std::vector<std::uint32_t>> pieces;
    std::vector<char> useless;  // its own score is lower
  };
  PLUME_FUNCTION Replacements replacements(const UnigramPieces& pieces) const;

 private:
  const std::vector<WordCount>* words_;
  StopToken stop_;
};

namespace unigram_em {
// The logarithmic derivative of the gamma function, x > 0.
PLUME_FUNCTION double digamma(double x);
}  // namespace unigram_em

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <cmath>
#include <limits>

#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/tokenizer/worker_states.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION double unigram_em::digamma(double x) {
  double below = 0;
  for (; x < 10; ++x) below += 1 / x;
  const double r = 1 / (x * x);  // asymptotic series [Bernardo 1976, AS 103]
  return std::log(x) - 0.5 / x - r * (1.0 / 12 - r * (1.0 / 120 - r * (1.0 / 252 - r / 240))) - below;
}

PLUME_FUNCTION SortedTrie::SortedTrie(const std::vector<std::string>& texts) {
  struct Range {  // the texts below a node
    std::uint32_t begin, end;
  };
  std::vector<Range> ranges;
  const auto children = [&](Range range, std::size_t depth, auto&& add) {
    for (std::uint32_t i = range.begin; i < range.end;) {
      const auto label = static_cast<unsigned char>(texts[i][depth]);
      std::uint32_t end = i + 1;
      while (end < range.end && static_cast<unsigned char>(texts[end][depth]) == label) ++end;
      add(label, Range{i, end});
      i = end;
    }
  };
  std::uint32_t level_begin = 0;
  children({0, static_cast<std::uint32_t>(texts.size())}, 0, [&](unsigned char label, Range range) {
    roots_[label] = static_cast<std::uint32_t>(nodes_.size());
    nodes_.push_back({.label = label});
    ranges.push_back(range);
  });
  for (std::size_t depth = 1; level_begin < nodes_.size(); ++depth) {
    const auto level_end = static_cast<std::uint32_t>(nodes_.size());
    for (std::uint32_t node = level_begin; node < level_end; ++node) {
      Range range = ranges[node];
      if (texts[range.begin].size() == depth) nodes_[node].value = range.begin++;
      const auto first = static_cast<std::uint32_t>(nodes_.size());
      children(range, depth, [&](unsigned char label, Range below) {
        nodes_.push_back({.label = label});
        ranges.push_back(below);
      });
      nodes_[node].children = first;
      nodes_[node].count = static_cast<std::uint16_t>(nodes_.size() - first);
    }
    level_begin = level_end;
  }
}

namespace unigram_em {

inline bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }
inline std::size_t characters(std::string_view text) {
  return text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), continues));
}

struct Edge {
  std::uint32_t begin, end, piece;
};

// Probabilities as they are: fast, for words too short to underflow.
struct Linear {
  static constexpr double nothing = 0, one = 1;
  static double times(double a, double b) { return a * b; }
  static void add(double& sum, double value) { sum += value; }
  static double log(double value) { return std::log(value); }
  static double share(double a, double total) { return a / total; }
};
// Their logarithms.
struct Logarithmic {
  static constexpr double nothing = -std::numeric_limits<double>::infinity(), one = 0;
  static double times(double a, double b) { return a + b; }
  static void add(double& sum, double value) {
    if (value == nothing) return;
    const double high = std::max(sum, value), low = std::min(sum, value);
    sum = high + std::log1p(std::exp(low - high));
  }
  static double log(double value) { return value; }
  static double share(double a, double total) { return std::exp(a - total); }
};

struct Scratch {
  std::vector<Edge> edges;
  std::vector<double> forward, backward;
  std::vector<std::int64_t> uses;
  explicit Scratch(std::size_t pieces) : uses(pieces) {}
};

// Adds the expected uses of each piece in a word (whose edges are in `scratch`); gives the word's log-probability.
template <class Numbers>
double expect(std::size_t size, double weight, const std::vector<double>& values, Scratch& scratch) {
  scratch.forward.assign(size + 1, Numbers::nothing);
  scratch.backward.assign(size + 1, Numbers::nothing);
  scratch.forward[0] = scratch.backward[size] = Numbers::one;
  for (const Edge& edge : scratch.edges)
    Numbers::add(scratch.forward[edge.end], Numbers::times(scratch.forward[edge.begin], values[edge.piece]));
  const double total = scratch.forward[size];
  for (auto edge = scratch.edges.rbegin(); edge != scratch.edges.rend(); ++edge) {
    const double behind = Numbers::times(values[edge->piece], scratch.backward[edge->end]);
    Numbers::add(scratch.backward[edge->begin], behind);
    const double used = Numbers::share(Numbers::times(scratch.forward[edge->begin], behind), total);
    scratch.uses[edge->piece] += static_cast<std::int64_t>(weight * used + 0.5);
  }
  return Numbers::log(total);
}

// The best way to write a text without the one edge (0, size) where `whole` is left out; its score, and the pieces from the last.
enum class Whole : std::uint8_t { allowed, left_out };
struct BestPath {
  struct Node {
    double score;
    std::uint32_t begin, piece;
  };
  std::vector<Node> nodes;
  std::vector<std::uint32_t> pieces;
  double score = 0;

  bool find(std::string_view text, const SortedTrie& trie, const std::vector<double>& scores, Whole whole) {
    constexpr double nothing = -std::numeric_limits<double>::infinity();
    nodes.assign(text.size() + 1, {nothing, 0, 0});
    nodes[0].score = 0;
    for (std::uint32_t at = 0; at < text.size(); ++at) {
      if (nodes[at].score == nothing) continue;
      trie.each_at(text, at, [&](std::size_t end, std::uint32_t piece) {
        const double reached = nodes[at].score + scores[piece];
        if (reached <= nodes[end].score || (whole == Whole::left_out && at == 0 && end == text.size())) return;
        nodes[end] = {reached, at, piece};
      });
    }
    score = nodes.back().score;
    pieces.clear();
    if (score == nothing) return false;
    for (std::size_t end = text.size(); end > 0; end = nodes[end].begin) pieces.push_back(nodes[end].piece);
    return true;
  }
};

inline PieceUses sum(WorkerStates<Scratch>& workers, std::size_t pieces, double scale) {
  PieceUses total{std::vector<std::int64_t>(pieces), scale, 0};
  for (const auto& worker : workers.all())
    for (std::size_t i = 0; i < pieces; ++i) total.uses[i] += worker->uses[i];
  return total;
}

constexpr Index grain = 1024, cost_of_word = 1024;

}  // namespace unigram_em

PLUME_FUNCTION PieceUses UnigramEm::expected(const UnigramPieces& pieces) const {
  namespace em = unigram_em;
  const SortedTrie trie(pieces.texts);
  std::vector<double> probabilities(pieces.scores.size());
  double lowest = 0;  // of a character
  for (std::size_t i = 0; i < pieces.scores.size(); ++i) {
    probabilities[i] = std::exp(pieces.scores[i]);
    if (em::characters(pieces.texts[i]) == 1) lowest = std::min(lowest, pieces.scores[i]);
  }
  double most = 1;  // uses altogether
  for (const WordCount& word : *words_) most += static_cast<double>(word.count) * static_cast<double>(em::characters(word.word));
  const double scale = std::exp2(std::floor(61 - std::log2(most)));

  const auto count = static_cast<Index>(words_->size());
  std::vector<double> nats(static_cast<std::size_t>((count + em::grain - 1) / em::grain));
  WorkerStates<em::Scratch> workers;
  parallel_for(count, em::grain, em::cost_of_word * count, [&](Index begin, Index end) {
    stop_.check();
    workers.with([&] { return em::Scratch(pieces.texts.size()); },
                 [&](em::Scratch& scratch) {
                   double sum = 0;
                   for (Index w = begin; w < end; ++w) {
                     const WordCount& word = (*words_)[static_cast<std::size_t>(w)];
                     scratch.edges.clear();
                     std::size_t characters = 0;
                     for (std::uint32_t at = 0; at < word.word.size(); ++at) {
                       if (em::continues(word.word[at])) continue;
                       ++characters;
                       trie.each_at(word.word, at, [&](std::size_t to, std::uint32_t piece) {
                         scratch.edges.push_back({at, static_cast<std::uint32_t>(to), piece});
                       });
                     }
                     const auto weight = static_cast<double>(word.count);
                     const bool is_short = -lowest * static_cast<double>(characters) < 600;  // e^-600 is far from underflow
                     sum -= weight * (is_short ? em::expect<em::Linear>(word.word.size(), weight * scale, probabilities, scratch)
                                               : em::expect<em::Logarithmic>(word.word.size(), weight * scale, pieces.scores, scratch));
                   }
                   nats[static_cast<std::size_t>(begin / em::grain)] = sum;
                 });
  });
  PieceUses result = em::sum(workers, pieces.texts.size(), scale);
  for (const double part : nats) result.nats += part;
  return result;
}

PLUME_FUNCTION PieceUses UnigramEm::best(const UnigramPieces& pieces) const {
  namespace em = unigram_em;
  const SortedTrie trie(pieces.texts);
  const auto count = static_cast<Index>(words_->size());
  std::vector<double> nats(static_cast<std::size_t>((count + em::grain - 1) / em::grain));
  WorkerStates<em::Scratch> workers;
  parallel_for(count, em::grain, em::cost_of_word * count, [&](Index begin, Index end) {
    stop_.check();
    workers.with([&] { return em::Scratch(pieces.texts.size()); },
                 [&](em::Scratch& scratch) {
                   double sum = 0;
                   em::BestPath path;
                   for (Index w = begin; w < end; ++w) {
                     const WordCount& word = (*words_)[static_cast<std::size_t>(w)];
                     path.find(word.word, trie, pieces.scores, em::Whole::allowed);
                     for (const std::uint32_t piece : path.pieces) scratch.uses[piece] += word.count;
                     sum -= static_cast<double>(word.count) * path.score;
                   }
                   nats[static_cast<std::size_t>(begin / em::grain)] = sum;
                 });
  });
  PieceUses result = em::sum(workers, pieces.texts.size(), 1);
  for (const double part : nats) result.nats += part;
  return result;
}

PLUME_FUNCTION UnigramEm::Replacements UnigramEm::replacements(const UnigramPieces& pieces) const {
  namespace em = unigram_em;
  const SortedTrie trie(pieces.texts);
  Replacements result{std::vector<std::vector<std::uint32_t>>(pieces.texts.size()), std::vector<char>(pieces.texts.size())};
  const auto count = static_cast<Index>(pieces.texts.size());
  parallel_for(count, em::grain, em::cost_of_word * count, [&](Index begin, Index end) {
    stop_.check();
    em::BestPath path;
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      if (!path.find(pieces.texts[i], trie, pieces.scores, em::Whole::left_out)) continue;
      if (path.score > pieces.scores[i])
        result.useless[i] = 1;
      else
        result.pieces[i] = path.pieces;
    }
  });
  return result;
}

}  // namespace plume::inline PLUME_ABI
#endif
