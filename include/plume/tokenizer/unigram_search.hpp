#pragma once
// Unigram prepared for speed, where only ids are asked for: the same ids as encode_word() gives. A text is cut where no piece reaches
// across, and a word that was seen before has the path that it had, unless scores are so close that the rounding of sums could tell
// otherwise.
#include <array>
#include <bit>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/character_trie.hpp"
#include "plume/tokenizer/piece_borders.hpp"
#include "plume/tokenizer/word_cache.hpp"
#include "plume/tokenizer/word_models.hpp"
#include "plume/tokenizer/worker_states.hpp"

namespace plume::inline PLUME_ABI {

class UnigramSearch {
 public:
  // Where a path through a word may stop.
  template <class Real>
  struct Node {
    Real score, other;    // of the best path that comes here, and of the next; minus infinity: there is none
    std::uint64_t token;  // of the best path, that which ends here: its id, and from bit 32 on its characters
  };
  // Room for one call at a time.
  struct Scratch {
    std::vector<Node<float>> floats = {};
    std::vector<Node<double>> doubles = {};
    std::vector<CharacterTrie::Number> numbers = {};
    std::vector<std::size_t> begins = {};  // of characters, and the end
    std::vector<std::uint64_t> path = {};  // tokens, from the end
    std::vector<TokenId> ids = {};
    template <class Real>
    std::vector<Node<Real>>& nodes() {
      if constexpr (sizeof(Real) == sizeof(float))
        return floats;
      else
        return doubles;
    }
    void release_large() { plume::release_large(floats, doubles, numbers, begins, path, ids); }
  };

  UnigramSearch() = default;
  // Prepares nothing for a model without an unknown token, or with scores whose sums could be infinite.
  PLUME_FUNCTION explicit UnigramSearch(const word_models::Unigram& model);
  explicit operator bool() const { return longest_ > 0; }

  // Appends the ids of a part of a text, [begin, end). known.expect() came before.
  PLUME_FUNCTION void encode(const word_models::Unigram& model, std::string_view text, Piece part, std::vector<TokenId>& ids,
                             WordCache& known, Scratch& scratch) const;

 private:
  // What is kept with a path: the binary exponent of sums up to which it is sure to be the best (all 0: it is not kept), a bit if it is one
  // unknown token, whatever ids stand for that, and what the sum may change within the word, in units of reach_unit.
  using Note = std::uint16_t;
  static constexpr Note exponent_bits = 0xff, unknown_character = 0x100, largest_exponent = 60;
  static constexpr int reach_at = 9;  // the first of its seven bits
  static constexpr double reach_unit = 32, largest_reach = 127 * reach_unit;
  static constexpr auto limits = [] {  // by exponent: of the sum before a word
    std::array<double, largest_exponent + 1> rows{};
    double power = 1;
    for (double& row : rows) row = power - largest_reach, power *= 2;
    return rows;
  }();
  bool is_sure(Note kept, double sum) const {
    const double size = sum < 0 ? -sum : sum;
    return size < limits[kept & exponent_bits] && !(is_rounded_ && word_models::sum_is_large(size + (kept >> reach_at) * reach_unit));
  }

  // Of normal numbers, as std::ilogb() and std::ldexp() give them, which are calls.
  static int exponent_of(double positive) { return static_cast<int>(std::bit_cast<std::uint64_t>(positive) >> 52) - 1023; }
  static double power_of_two(int exponent) { return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52); }

  // Sums are of floats, of doubles, or of doubles rounded to floats: the latter where a score is no float, else the sum of two floats is
  // the float next to the exact one either way.
  template <class Real>
  Real add(Real score, Real sum) const {
    if constexpr (sizeof(Real) == sizeof(float))
      return score + sum;
    else
      return is_rounded_ ? Real{static_cast<float>(score + sum)} : score + sum;
  }
  // An unknown character costs ten more than the worst piece.
  template <class Real>
  Real behind_unknown(const word_models::Unigram& model, Real sum) const {
    if (is_rounded_) return static_cast<float>(model.lowest) - 10.0f + static_cast<float>(sum);
    return static_cast<Real>(model.lowest - 10 + sum);
  }
  template <class Real>
  void encode_with(const Real* scores, const word_models::Unigram& model, std::string_view text, Piece part, std::vector<TokenId>& ids,
                   WordCache& known, Scratch& scratch) const;
  template <class Real>
  Note best_path(const Real* scores, const word_models::Unigram& model, std::string_view word, Real& sum, std::vector<TokenId>& ids,
                 Scratch& scratch) const;
  PLUME_FUNCTION void encode_unknown(const word_models::Unigram& model, std::string_view run, std::vector<TokenId>& ids) const;

  std::size_t longest_ = 0;  // characters of the longest piece, or more
  double steepest_ = 0;      // the largest change of a sum by a token
  bool is_rounded_ = false;
  // Scores by id; minus infinity of what is no piece, and at last of none. One of them is empty.
  TableVector<float> floats_;
  TableVector<double> doubles_;
  CharacterTrie pieces_;
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
  constexpr double most = 1e30, never = -std::numeric_limits<double>::infinity();
  const auto texts = model.pieces.entries();
  steepest_ = std::abs(model.lowest - 10);
  bool are_floats = is_rounded_;
  for (const auto& [text, id] : texts) {
    const double score = model.scores[id];
    if (!(std::abs(score) < most)) return;
    steepest_ = std::max(steepest_, std::abs(score));
    are_floats = are_floats && double{static_cast<float>(score)} == score;
  }
  if (!(steepest_ < most)) return;
  if (are_floats)
    floats_.assign(model.scores.size() + 1, static_cast<float>(never));
  else
    doubles_.assign(model.scores.size() + 1, never);
  std::vector<CharacterTrie::Entry> entries;
  std::vector<std::string_view> views;
  for (const auto& [text, id] : texts) {
    entries.emplace_back(text, id);
    views.push_back(text);
    longest_ = std::max(longest_, text.size());
    if (are_floats)
      floats_[id] = static_cast<float>(model.scores[id]);
    else
      doubles_[id] = model.scores[id];
  }
  pieces_ = CharacterTrie(entries, static_cast<std::uint32_t>(model.scores.size()));
  // Without a token for each byte, characters in a row are bytes or one unknown token together.
  const bool has_all_bytes = model.bytes && std::all_of(model.bytes->begin(), model.bytes->end(), [](TokenId id) { return id >= 0; });
  borders_ = PieceBorders(views, has_all_bytes ? PieceBorders::Unknown::bytes : PieceBorders::Unknown::shared);
}

PLUME_FUNCTION void UnigramSearch::encode(const word_models::Unigram& model, std::string_view text, Piece part, std::vector<TokenId>& ids,
                                          WordCache& known, Scratch& scratch) const {
  if (!floats_.empty())
    encode_with(floats_.data(), model, text, part, ids, known, scratch);
  else
    encode_with(doubles_.data(), model, text, part, ids, known, scratch);
}

template <class Real>
void UnigramSearch::encode_with(const Real* scores, const word_models::Unigram& model, std::string_view text, Piece part,
                                std::vector<TokenId>& ids, WordCache& known, Scratch& scratch) const {
  const std::string_view before_end = text.substr(0, part.end);
  Real sum = model.behind_space != 0 && before_end.substr(part.begin).starts_with("\xe2\x96\x81") ? Real{model.behind_space} : 0;
  const auto may_use = [&](const WordCache::Found& found) {
    if (!is_sure(found.note, double{sum})) return false;
    if ((found.note & unknown_character) != 0)
      sum = behind_unknown(model, sum);
    else
      for (std::uint32_t i = 0; i < found.count; ++i) sum = add(scores[static_cast<std::size_t>(found.ids[i])], sum);
    return true;
  };
  const auto make = [&](const WordCache::Key& key, std::string_view word, bool is_known) -> WordCache::Found {
    scratch.ids.clear();
    const Note note = best_path(scores, model, word, sum, scratch.ids, scratch);
    if (!is_known && note != 0) known.insert(key, word, scratch.ids, note);
    scratch.ids.reserve(WordCache::readable_ids);
    return {scratch.ids.data(), static_cast<std::uint32_t>(scratch.ids.size())};
  };
  PieceBorders::Cursor borders(borders_, before_end, part.begin);
  const auto next_word = [&](std::size_t at) { return Piece{at, borders.next()}; };
  encode_known_words(text, part.begin, part.end, known, ids, next_word, may_use, make);
}

// The best path [Kudo 2018], as encode_word() finds it, and up to which sums it is. Which of two paths is better is hard to foresee:
// nothing branches on it.
template <class Real>
UnigramSearch::Note UnigramSearch::best_path(const Real* scores, const word_models::Unigram& model, std::string_view word, Real& sum,
                                             std::vector<TokenId>& ids, Scratch& scratch) const {
  constexpr Real never = -std::numeric_limits<Real>::infinity();
  constexpr std::size_t block = 4096;  // characters; behind so many, where all paths go through one place, what lies before is settled
  const auto unknown_id = static_cast<std::uint32_t>(*model.unknown), no_piece = static_cast<std::uint32_t>(model.scores.size());
  if (is_rounded_ && word_models::sum_is_large(double{sum})) sum = 0;
  const double sum_before = std::abs(double{sum});

  if (scratch.numbers.size() < word.size()) scratch.numbers.resize(word.size()), scratch.begins.resize(word.size() + 1);
  CharacterTrie::Number* const numbers = scratch.numbers.data();
  std::size_t* const begins = scratch.begins.data();
  std::size_t characters = 0;
  for (std::size_t at = 0; at < word.size();) {
    const auto [number, length] = pieces_.number_at(word, at);
    numbers[characters] = number;
    begins[characters++] = at;
    at += length;
  }
  begins[characters] = word.size();

  std::vector<Node<Real>>& room = scratch.template nodes<Real>();
  std::size_t origin = 0, ready = 0;  // the places from `origin` on before `ready` have nodes
  Node<Real>* nodes = nullptr;        // from `origin` on
  const auto prepare = [&](std::size_t last) {
    if (room.size() <= last - origin) room.resize(2 * (last - origin) + 1);
    nodes = room.data();
    for (; ready <= last; ++ready) nodes[ready - origin] = {never, never, 0};
  };
  prepare(std::min(characters, block));
  nodes[0].score = sum;
  double gap = std::numeric_limits<double>::infinity();  // the least between the path and another at one of its places
  std::size_t unknown_begin = 0, unknown_end = 0;
  bool holds_unknown = false, is_rebased = false;
  const auto append_unknown = [&] {
    const std::size_t first = begins[unknown_begin];
    encode_unknown(model, word.substr(first, begins[unknown_end] - first), ids);
  };
  const auto append = [&](std::uint32_t id, std::size_t begin, std::size_t end) {
    if (id == unknown_id) {
      if (unknown_begin == unknown_end) unknown_begin = begin;
      unknown_end = end;
      holds_unknown = true;
      return;
    }
    if (unknown_begin < unknown_end) append_unknown();
    unknown_begin = unknown_end = 0;
    ids.push_back(static_cast<TokenId>(id));
  };
  const auto settle = [&](std::size_t at) {
    if (scratch.path.size() < at - origin) scratch.path.resize(at - origin);
    std::uint64_t* const path = scratch.path.data();
    std::size_t tokens = 0, place = at;
    for (; place > origin; ++tokens) {
      const Node<Real>& node = nodes[place - origin];
      gap = std::min(gap, double{node.score} - double{node.other});
      path[tokens] = node.token;
      place -= node.token >> 32;
    }
    while (tokens > 0) {
      const std::uint64_t token = path[--tokens];
      append(static_cast<std::uint32_t>(token), place, place + (token >> 32));
      place += token >> 32;
    }
  };
  std::size_t reached = 0;  // the furthest end of a token
  for (std::size_t at = 0; at < characters; ++at) {
    if (at - origin >= block && at == reached) {
      settle(at);
      const Real score = nodes[at - origin].score;
      origin = ready = at;
      prepare(std::min(characters, at + block));
      nodes[0].score = score;
    }
    if (at + longest_ >= ready && ready <= characters) prepare(std::min(characters, at + longest_ + block));
    Node<Real>* const from = nodes + (at - origin);
    if (is_rounded_ && word_models::sum_is_large(double{from->score})) {
      const Real base = from->score;
      for (std::size_t i = 0; i <= reached - at; ++i) from[i].score = static_cast<float>(double{from[i].score} - double{base});
      is_rebased = true;
    }
    const Real here = from->score;
    const auto offer = [&](std::size_t length, std::uint32_t id, Real score) {
      Node<Real>& node = from[length];
      const std::uint64_t changes = 0 - std::uint64_t{score > node.score};
      node.other = std::max(node.other, std::min(node.score, score));
      node.score = std::max(node.score, score);
      node.token ^= (node.token ^ (std::uint64_t{length} << 32 | id)) & changes;
    };
    std::size_t furthest = 1;
    bool single = false;
    pieces_.each_at(numbers, at, characters, [&](std::size_t length, std::uint32_t id) {
      offer(length, id, add(scores[id], here));
      single |= (length == 1) & (id != no_piece);
      furthest = length;
    });
    if (!single) offer(1, unknown_id, behind_unknown(model, here));
    reached = std::max(reached, at + furthest);
  }
  settle(characters);
  sum = nodes[characters - origin].score;
  if (unknown_begin < unknown_end) append_unknown();

  // A sum of n terms is off by at most n / 2 units in its last place, and so is the other. The path is the best as long as the true gap is
  // wider than n units; the true one may be n units, of the sums here, narrower than what was found.
  const auto terms = static_cast<double>(characters);
  if (terms * steepest_ >= largest_reach) return 0;
  const auto reach = static_cast<Note>((static_cast<int>(terms * steepest_ / reach_unit) + 1) << reach_at);
  if (holds_unknown) return characters == 1 ? largest_exponent | unknown_character | reach : 0;
  if (is_rebased) return 0;
  if (gap == std::numeric_limits<double>::infinity()) return largest_exponent | reach;
  const int digits = is_rounded_ ? std::numeric_limits<float>::digits : std::numeric_limits<double>::digits;
  const double unit = power_of_two(exponent_of(sum_before + largest_reach) + 1 - digits);
  const double wanted = (gap - terms * unit) / (2 * terms);
  const int exponent = wanted > 0 ? std::clamp(exponent_of(wanted) + digits, 0, int{largest_exponent}) : 0;
  return exponent > 0 ? static_cast<Note>(exponent | reach) : Note{0};
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
