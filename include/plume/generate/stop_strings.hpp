#pragma once
// Stop strings over streamed text: show what is safe, hold back what may still become a stop string, cut before the first match.
// One Knuth-Morris-Pratt automaton per stop string: time O(bytes x stop strings) over the whole stream, nothing is rescanned.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/limits.hpp"

namespace plume::inline PLUME_ABI {

// The stop string that is complete first ends the text; of several complete at the same byte, the longest. So the result does not depend on
// how the text is cut into pieces. Works on bytes; with valid UTF-8 stop strings and pieces of whole code points it shows whole code
// points.
class StopStrings {
 public:
  // Throws ArgumentError for an empty stop string, LimitError past Limits::max_stop_strings and Limits::max_stop_string. An empty list is
  // fine.
  PLUME_FUNCTION explicit StopStrings(std::vector<std::string> stops, const Limits& limits = {});

  // Takes the next piece, returns the text that may be shown now. After a stop everything further is dropped.
  PLUME_FUNCTION std::string push(std::string_view piece);

  // The text ended: returns what was held back (nothing after a stop).
  PLUME_FUNCTION std::string finish();

  bool stopped() const noexcept { return matched_.has_value(); }
  std::optional<std::size_t> matched() const noexcept { return matched_; }  // position in the constructor's list
  std::string_view held() const noexcept { return held_; }

  // Ready for another text.
  void reset() {
    finish();
    matched_.reset();
  }

 private:
  struct Automaton {
    explicit Automaton(std::string stop) : text(std::move(stop)), fallback(text.size(), 0) {
      for (std::size_t i = 1, length = 0; i < text.size(); ++i) {
        while (length > 0 && text[i] != text[length]) length = fallback[length - 1];
        if (text[i] == text[length]) ++length;
        fallback[i] = length;
      }
    }
    // True when `byte` completes the stop string; the caller stops there, so a full state is never stepped again.
    bool step(char byte) {
      while (state > 0 && text[state] != byte) state = fallback[state - 1];
      if (text[state] == byte) ++state;
      return state == text.size();
    }
    std::string text;
    std::vector<std::size_t> fallback;  // [i]: longest proper prefix of text that ends text[0..i]
    std::size_t state = 0;              // longest prefix of text that ends the stream
  };

  std::vector<Automaton> automata_;
  std::string held_;
  std::optional<std::size_t> matched_;
};

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
namespace plume::inline PLUME_ABI {

PLUME_FUNCTION StopStrings::StopStrings(std::vector<std::string> stops, const Limits& limits) {
  if (stops.size() > limits.max_stop_strings)
    throw LimitError({.path = "stop strings"}, "max_stop_strings", limits.max_stop_strings, stops.size());
  automata_.reserve(stops.size());
  for (std::size_t i = 0; i < stops.size(); ++i) {
    require(!stops[i].empty(), "[stop strings] string ", i, " is empty: it would match everywhere; leave it out");
    if (stops[i].size() > limits.max_stop_string)
      throw LimitError({.path = "stop strings", .field = concat("[", i, "]")}, "max_stop_string", limits.max_stop_string, stops[i].size());
    automata_.emplace_back(std::move(stops[i]));
  }
}

PLUME_FUNCTION std::string StopStrings::push(std::string_view piece) {
  if (stopped()) return {};
  std::string text = std::move(held_);
  held_.clear();
  for (const char byte : piece) {
    text.push_back(byte);
    std::size_t longest_match = 0;
    for (std::size_t i = 0; i < automata_.size(); ++i) {
      if (automata_[i].step(byte) && automata_[i].text.size() > longest_match) {
        longest_match = automata_[i].text.size();
        matched_ = i;
      }
    }
    if (stopped()) {
      text.resize(text.size() - longest_match);
      return text;
    }
  }
  std::size_t longest_prefix = 0;
  for (const Automaton& automaton : automata_) longest_prefix = std::max(longest_prefix, automaton.state);
  held_.assign(text, text.size() - longest_prefix);
  text.resize(text.size() - longest_prefix);
  return text;
}

PLUME_FUNCTION std::string StopStrings::finish() {
  for (Automaton& automaton : automata_) automaton.state = 0;
  return std::exchange(held_, {});
}

}  // namespace plume::inline PLUME_ABI
#endif
