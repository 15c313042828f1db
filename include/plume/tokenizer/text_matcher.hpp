#pragma once
// Several texts searched for at once.
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

// A trie over bytes; its edges live in one hash table.
class TextMatcher {
 public:
  void add(std::string_view text, std::uint32_t value) {
    if (text.empty()) return;
    std::uint32_t node = 0;
    for (const char c : text) {
      const auto [child, fresh] = children_.emplace(key(node, c), static_cast<std::uint32_t>(values_.size()));
      if (fresh) values_.push_back(none);
      node = child->second;
    }
    if (values_[node] == none) values_[node] = value;
    begins_[static_cast<unsigned char>(text[0])] = true;
  }
  bool empty() const { return values_.size() == 1; }
  // What add() was given, each text once.
  std::vector<std::pair<std::string, std::uint32_t>> entries() const {
    std::vector<std::pair<std::uint32_t, char>> parents(values_.size());
    for (const auto& [edge, child] : children_) parents[child] = {static_cast<std::uint32_t>(edge >> 8), static_cast<char>(edge & 0xff)};
    std::vector<std::pair<std::string, std::uint32_t>> result;
    for (std::uint32_t node = 1; node < values_.size(); ++node) {
      if (values_[node] == none) continue;
      std::string text;
      for (std::uint32_t at = node; at != 0; at = parents[at].first) text.push_back(parents[at].second);
      result.emplace_back(std::string(text.rbegin(), text.rend()), values_[node]);
    }
    return result;
  }

  // Calls found(end, value) for each of the texts that begins at text[at], shortest first.
  template <class Found>
  void each_at(std::string_view text, std::size_t at, Found&& found) const {
    std::uint32_t node = 0;
    for (std::size_t end = at; end < text.size();) {
      const auto child = children_.find(key(node, text[end]));
      if (child == children_.end()) return;
      node = child->second;
      ++end;
      if (values_[node] != none) found(end, values_[node]);
    }
  }

  // Bytes of the longest of the texts that begins at text[at]; 0 when there is none.
  std::size_t longest_at(std::string_view text, std::size_t at) const {
    std::size_t longest = at;
    if (begins_[static_cast<unsigned char>(text[at])]) each_at(text, at, [&](std::size_t end, std::uint32_t) { longest = end; });
    return longest - at;
  }

  struct Match {
    std::size_t begin, end;
    std::uint32_t value;
  };
  std::optional<Match> find(std::string_view text, std::size_t from) const {
    if (empty()) return std::nullopt;
    for (std::size_t at = from; at < text.size(); ++at) {
      if (!begins_[static_cast<unsigned char>(text[at])]) continue;
      std::optional<Match> best;
      each_at(text, at, [&](std::size_t end, std::uint32_t value) { best = Match{at, end, value}; });
      if (best) return best;
    }
    return std::nullopt;
  }

 private:
  static constexpr std::uint32_t none = 0xffffffff;
  static std::uint64_t key(std::uint32_t node, char c) { return std::uint64_t{node} << 8 | static_cast<unsigned char>(c); }
  std::unordered_map<std::uint64_t, std::uint32_t> children_;
  std::vector<std::uint32_t> values_ = {none};
  std::array<bool, 256> begins_{};
};

}  // namespace plume::inline PLUME_ABI
