#pragma once
// Unigram prepared for speed, where only ids are asked for: the same ids as encode_word() gives. A text is cut where no piece reaches
// across, and a word that was seen before has the path that it had, unless scores are so close that the rounding of sums could tell
// otherwise.
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/byte_trie.hpp"
#include "plume/tokenizer/piece_borders.hpp"
#include "plume/tokenizer/word_cache.hpp"
#include "plume/tokenizer/word_models.hpp"
#include "plume/tokenizer/worker_states.hpp"

namespace plume::inline PLUME_ABI {

class UnigramSearch {
 public:
  // Room for one call at a time.
  struct Scratch {
    struct Node {           // where a path through a word may stop
      double score, other;  // of the best path that comes here, and of the next
      TokenId id;
      std::uint32_t length;  // of the token that ends here; 0: no path comes here
    };
    std::vector<Node> nodes = {};
    std::vector<Node> path = {};  // from the end
    std::vector<TokenId> ids = {};
    void release_large() { plume::release_large(nodes, path, ids); }
  };

  UnigramSearch() = default;
  // Prepares nothing for a model without an unknown token.
  PLUME_FUNCTION explicit UnigramSearch(const word_models::Unigram& model);
  explicit operator bool() const { return longest_ > 0; }

  // Appends the ids of a part of a text, [begin, end). known.expect() came before.
  PLUME_FUNCTION void encode(const word_models::Unigram& model, std::string_view text, Piece part, std::vector<TokenId>& ids,
                             WordCache& known, Scratch& scratch) const;

 private:
  // A path is kept with the binary exponent of sums up to which it is sure to be the best; 0: it is not kept. unknown_character: it is one
  // unknown token, whatever ids stand for that.
  using Exponent = std::uint16_t;
  static constexpr Exponent unknown_character = 0x100;
  static constexpr double word_cost = 4096;  // what the sum may change within a word that is kept
  static constexpr Exponent largest = 60;
  static constexpr auto limits = [] {  // by exponent: of the sum before a word
    std::array<double, largest + 1> rows{};
    double power = 1;
    for (double& row : rows) row = power - word_cost, power *= 2;
    return rows;
  }();
  bool is_sure(Exponent kept, double sum) const {
    const double size = sum < 0 ? -sum : sum;
    return size < limits[kept & 0xff] && !(is_rounded_ && word_models::sum_is_large(size + word_cost));
  }

  // An unknown character costs ten more than the worst piece.
  double behind_unknown(const word_models::Unigram& model, double sum) const {
    if (!is_rounded_) return model.lowest - 10 + sum;
    const float rounded = static_cast<float>(model.lowest) - 10.0f + static_cast<float>(sum);
    return double{rounded};
  }
  PLUME_FUNCTION Exponent best_path(const word_models::Unigram& model, std::string_view word, double& sum, std::vector<TokenId>& ids,
                                    Scratch& scratch) const;
  PLUME_FUNCTION void encode_unknown(const word_models::Unigram& model, std::string_view run, std::vector<TokenId>& ids) const;

  std::size_t longest_ = 0;  // bytes of the longest piece
  double steepest_ = 0;      // the largest change of a sum by a token
  bool is_rounded_ = false;
  ByteTrie pieces_;
  PieceBorders borders_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <cmath>
#include <limits>

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION UnigramSearch::UnigramSearch(const word_models::Unigram& model) : is_rounded_(model.sums == word_models::ScoreType::real32) {
  if (!model.unknown) return;
  const auto texts = model.pieces.entries();
  std::vector<ByteTrie::Entry> entries;
  std::vector<std::string_view> views;
  steepest_ = std::abs(model.lowest - 10);
  for (const auto& [text, id] : texts) {
    entries.emplace_back(text, id);
    views.push_back(text);
    longest_ = std::max(longest_, text.size());
    steepest_ = std::max(steepest_, std::abs(model.scores[id]));
  }
  pieces_ = ByteTrie(std::move(entries));
  borders_ = PieceBorders(views, model.bytes ? PieceBorders::Unknown::bytes : PieceBorders::Unknown::shared);
}

PLUME_FUNCTION void UnigramSearch::encode(const word_models::Unigram& model, std::string_view text, Piece part, std::vector<TokenId>& ids,
                                          WordCache& known, Scratch& scratch) const {
  const double* const scores = model.scores.data();
  const std::string_view before_end = text.substr(0, part.end);
  double sum = model.behind_space != 0 && before_end.substr(part.begin).starts_with("\xe2\x96\x81") ? double{model.behind_space} : 0;
  const auto may_use = [&](const WordCache::Found& found) {
    if (!is_sure(found.note, sum)) return false;
    if ((found.note & unknown_character) != 0) {
      sum = behind_unknown(model, sum);
      return true;
    }
    for (std::uint32_t i = 0; i < found.count; ++i) {
      const double exact = scores[static_cast<std::size_t>(found.ids[i])] + sum;
      sum = is_rounded_ ? double{static_cast<float>(exact)} : exact;
    }
    return true;
  };
  const auto make = [&](const WordCache::Key& key, std::string_view word, bool is_known) -> WordCache::Found {
    scratch.ids.clear();
    const Exponent sure = best_path(model, word, sum, scratch.ids, scratch);
    if (!is_known && sure > 0) known.insert(key, word, scratch.ids, sure);
    scratch.ids.reserve(3);  // that many may be read
    return {scratch.ids.data(), static_cast<std::uint32_t>(scratch.ids.size())};
  };
  PieceBorders::Cursor borders(borders_, before_end, part.begin);
  encode_known_words(
      text, part.begin, part.end, known, ids, [&](std::size_t) { return borders.next(); }, may_use, make);
}

// The best path [Kudo 2018], as encode_word() finds it, and up to which sums it is; where all paths go through one place, what lies before
// is settled.
PLUME_FUNCTION UnigramSearch::Exponent UnigramSearch::best_path(const word_models::Unigram& model, std::string_view word, double& sum,
                                                                std::vector<TokenId>& ids, Scratch& scratch) const {
  using Node = Scratch::Node;
  constexpr double never = -std::numeric_limits<double>::infinity();
  const TokenId unknown_id = *model.unknown;
  const double* const scores = model.scores.data();
  if (is_rounded_ && word_models::sum_is_large(sum)) sum = 0;
  const double begins = std::abs(sum);
  scratch.nodes.resize(std::max(scratch.nodes.size(), 2 * longest_ + 8));
  Node* nodes = scratch.nodes.data();  // of the places from `origin` on
  nodes[0] = {sum, never, -1, 0};
  std::size_t origin = 0, reached = 0, unknown_begin = 0, unknown_end = 0;  // reached: the furthest end of a token
  std::size_t characters = 0;
  double gap = std::numeric_limits<double>::infinity();  // the least between the path and another at one of its places
  bool holds_unknown = false, is_rebased = false;
  const auto settle = [&](std::size_t at) {
    scratch.path.clear();
    for (std::size_t end = at; end > origin; end -= nodes[end - origin].length) {
      scratch.path.push_back(nodes[end - origin]);
      gap = std::min(gap, nodes[end - origin].score - nodes[end - origin].other);
    }
    std::size_t begin = origin;
    for (std::size_t i = scratch.path.size(); i-- > 0;) {
      const Node& node = scratch.path[i];
      if (node.id == unknown_id) {
        if (unknown_begin == unknown_end) unknown_begin = begin;
        unknown_end = begin + node.length;
        holds_unknown = true;
      } else {
        if (unknown_begin < unknown_end) encode_unknown(model, word.substr(unknown_begin, unknown_end - unknown_begin), ids);
        unknown_begin = unknown_end = 0;
        ids.push_back(node.id);
      }
      begin += node.length;
    }
    nodes[0] = {nodes[at - origin].score, never, -1, 0};
    origin = at;
  };
  for (std::size_t at = 0, length = 0; at < word.size(); at += length, ++characters) {
    if (at == reached && at > origin) settle(at);
    if (at - origin + longest_ + 8 > scratch.nodes.size()) {
      scratch.nodes.resize(2 * scratch.nodes.size());
      nodes = scratch.nodes.data();
    }
    length = static_cast<unsigned char>(word[at]) < 0x80 ? 1 : code_point_at(word, at).length;
    if (is_rounded_ && word_models::sum_is_large(nodes[at - origin].score)) {
      const double base = nodes[at - origin].score;
      for (std::size_t end = at; end <= reached; ++end)
        nodes[end - origin].score = double{static_cast<float>(nodes[end - origin].score - base)};
      is_rebased = true;
    }
    const double here = nodes[at - origin].score;
    const auto offer = [&](std::size_t end, TokenId id, double exact) {
      const double score = is_rounded_ ? double{static_cast<float>(exact)} : exact;
      while (reached < end) nodes[++reached - origin].length = 0;
      Node& node = nodes[end - origin];
      const auto from = static_cast<std::uint32_t>(end - at);
      if (node.length == 0)
        node = {score, never, id, from};
      else if (score > node.score)
        node = {score, node.score, id, from};
      else
        node.other = std::max(node.other, score);
    };
    bool single = false;
    pieces_.each_at(word, at, [&](std::size_t end, std::uint32_t id) {
      offer(end, static_cast<TokenId>(id), scores[id] + here);
      single = single || end == at + length;
    });
    if (!single) offer(at + length, unknown_id, behind_unknown(model, here));
  }
  settle(word.size());
  sum = nodes[0].score;
  if (unknown_begin < unknown_end) encode_unknown(model, word.substr(unknown_begin, unknown_end - unknown_begin), ids);

  // A sum of n terms is off by at most n / 2 units in its last place, and so is the other. The path is the best as long as the true gap is
  // wider than n units; the true one may be n units, of the sums here, narrower than what was found.
  const auto terms = static_cast<double>(characters);
  if (holds_unknown) return characters == 1 ? largest | unknown_character : 0;
  if (is_rebased || terms * steepest_ > word_cost) return 0;
  if (gap == std::numeric_limits<double>::infinity()) return largest;
  const int digits = is_rounded_ ? std::numeric_limits<float>::digits : std::numeric_limits<double>::digits;
  const double unit = std::ldexp(1.0, std::ilogb(begins + word_cost) + 1 - digits);
  const double wanted = (gap - terms * unit) / (2 * terms);
  return wanted > 0 ? static_cast<Exponent>(std::clamp(std::ilogb(wanted) + digits, 0, int{largest})) : Exponent{0};
}

PLUME_FUNCTION void UnigramSearch::encode_unknown(const word_models::Unigram& model, std::string_view run,
                                                  std::vector<TokenId>& ids) const {
  if (model.bytes && std::all_of(run.begin(), run.end(), [&](char c) { return (*model.bytes)[static_cast<unsigned char>(c)] >= 0; })) {
    for (const char c : run) ids.push_back((*model.bytes)[static_cast<unsigned char>(c)]);
  } else {
    ids.push_back(*model.unknown);
  }
}

}  // namespace plume::inline PLUME_ABI
#endif
