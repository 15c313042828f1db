#pragma once
// Sets of code points as ranges: what a class of a regular expression holds, and what is left of it.
#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/tokenizer/unicode.hpp"

namespace plume::inline PLUME_ABI {

class CodePointSet {
 public:
  using Range = std::pair<char32_t, char32_t>;  // both ends are inside
  static constexpr char32_t last = 0x10ffff;

  CodePointSet() = default;
  CodePointSet(std::initializer_list<Range> ranges) : ranges_(ranges) { order(); }
  explicit CodePointSet(std::vector<Range> ranges) : ranges_(std::move(ranges)) { order(); }
  // The last of some code points from c on that are of one category: much of what no table need be asked for.
  static constexpr char32_t alike(char32_t c) {
    if (c < 0x40000 || (c >= 0xe0000 && c < unicode_table::end)) return c;
    if (c < 0xf0000) return c < 0xe0000 ? 0xdffff : 0xeffff;   // unassigned
    return (c & 0xfffe) == 0xfffe ? c | 1 : (c | 0xffff) - 2;  // private use, and two that are none
  }
  // All code points of these categories.
  static CodePointSet of(CategorySet categories) {
    std::vector<Range> ranges;
    for (char32_t c = 0, end = 0; c <= last; c = end + 1) {
      end = alike(c);
      if ((category_bit(c) & categories) == 0) continue;
      if (!ranges.empty() && ranges.back().second + 1 == c)
        ranges.back().second = end;
      else
        ranges.emplace_back(c, end);
    }
    return CodePointSet(std::move(ranges));
  }

  // Ascending and apart from each other.
  const std::vector<Range>& ranges() const { return ranges_; }
  bool empty() const { return ranges_.empty(); }
  bool contains(char32_t c) const {
    const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), Range(c, last));
    return after != ranges_.begin() && std::prev(after)->second >= c;
  }
  bool operator==(const CodePointSet&) const = default;

  CodePointSet& operator|=(const CodePointSet& other) {
    ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
    order();
    return *this;
  }
  friend CodePointSet operator|(CodePointSet a, const CodePointSet& b) { return std::move(a |= b); }
  friend CodePointSet operator~(const CodePointSet& set) {
    CodePointSet rest;
    char32_t next = 0;
    for (const auto& [first, end] : set.ranges_) {
      if (first > next) rest.ranges_.emplace_back(next, first - 1);
      next = end + 1;
    }
    if (next <= last) rest.ranges_.emplace_back(next, last);
    return rest;
  }
  friend CodePointSet operator&(const CodePointSet& a, const CodePointSet& b) { return ~(~a | ~b); }

 private:
  void order() {
    std::sort(ranges_.begin(), ranges_.end());
    std::size_t kept = 0;
    for (const Range& range : ranges_) {
      if (kept != 0 && range.first <= ranges_[kept - 1].second + 1)
        ranges_[kept - 1].second = std::max(ranges_[kept - 1].second, range.second);
      else
        ranges_[kept++] = range;
    }
    ranges_.resize(kept);
  }
  std::vector<Range> ranges_;
};

}  // namespace plume::inline PLUME_ABI
