// Sets of code points beside the same sets as bits.
#include "plume/tokenizer/code_point_set.hpp"

#include <doctest/doctest.h>

#include <bitset>
#include <memory>
#include <random>
#include <utility>
#include <vector>

using plume::CodePointSet;

namespace {

constexpr std::size_t all = CodePointSet::last + 1;
using Bits = std::bitset<all>;

std::unique_ptr<Bits> bits_of(const CodePointSet& set) {
  auto bits = std::make_unique<Bits>();
  char32_t next = 0;  // ranges ascend, and do not touch
  for (const auto& [first, end] : set.ranges()) {
    CHECK((first <= end && first >= next));
    for (char32_t c = first; c <= end; ++c) bits->set(c);
    next = end + 2;
  }
  return bits;
}

}  // namespace

TEST_CASE("Unions, what sets have in common, and the rest, with ranges that touch and at both ends") {
  std::mt19937 random(20261127);
  for (int round = 0; round < 20; ++round) {
    std::vector<CodePointSet> sets(2);
    for (CodePointSet& set : sets) {
      std::vector<CodePointSet::Range> ranges;
      for (auto count = random() % 6; count > 0; --count) {
        const char32_t first = static_cast<char32_t>(random() % 40), end = first + static_cast<char32_t>(random() % 5);
        if (random() % 2 == 0)
          ranges.emplace_back(first, end);
        else
          ranges.emplace_back(CodePointSet::last - end, CodePointSet::last - first);
      }
      set = CodePointSet(ranges);
      auto expected = std::make_unique<Bits>();
      for (const auto& [first, end] : ranges)
        for (char32_t c = first; c <= end; ++c) expected->set(c);
      CHECK(*bits_of(set) == *expected);
      CHECK(set.empty() == expected->none());
      for (char32_t c = 0; c < 50; ++c) {
        CHECK(set.contains(c) == expected->test(c));
        CHECK(set.contains(CodePointSet::last - c) == expected->test(CodePointSet::last - c));
      }
    }
    const auto a = bits_of(sets[0]), b = bits_of(sets[1]);
    CHECK(*bits_of(sets[0] | sets[1]) == (*a | *b));
    CHECK(*bits_of(sets[0] & sets[1]) == (*a & *b));
    CHECK(*bits_of(~sets[0]) == ~*a);
    CHECK(~~sets[0] == sets[0]);
  }
}

TEST_CASE("The code points of categories are those of the tables") {
  using plume::Category;
  for (const plume::CategorySet categories : {plume::category_sets::letter, plume::category_set(Category::Cn),
                                              plume::category_set(Category::Co, Category::Cs), plume::category_set(Category::Mn)}) {
    const auto bits = bits_of(CodePointSet::of(categories));
    std::size_t wrong = 0;
    for (char32_t c = 0; c < all; ++c) wrong += bits->test(c) != ((plume::category_bit(c) & categories) != 0);
    CHECK(wrong == 0);
  }
}
