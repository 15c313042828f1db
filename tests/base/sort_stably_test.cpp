#include "plume/base/sort_stably.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "plume/base/random.hpp"

using namespace plume;

TEST_CASE("equal values stay in their order, what is before `first` stays, values are moved") {
  Random random{.seed = 3};
  for (std::size_t size = 0; size < 70; ++size)
    for (const std::size_t first : {std::size_t{0}, size / 3}) {
      std::vector<std::pair<std::uint64_t, std::unique_ptr<std::size_t>>> values;
      for (std::size_t i = 0; i < size; ++i) values.emplace_back(random.below(5), std::make_unique<std::size_t>(i));
      sort_stably(
          values, [](const auto& a, const auto& b) { return a.first < b.first; }, first);
      for (std::size_t i = 0; i < first; ++i) CHECK(*values[i].second == i);
      for (std::size_t i = first + 1; i < size; ++i)
        CHECK(std::pair(values[i - 1].first, *values[i - 1].second) < std::pair(values[i].first, *values[i].second));
    }
}

TEST_CASE("a comparison that contradicts itself loses nothing") {
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(i % 3 == 0 ? std::nan("") : 1000 - i);
  int calls = 0;
  sort_stably(values, [&](double a, double b) { return ++calls % 2 == 0 || a < b; });
  double sum = 0;
  int nans = 0;
  for (const double value : values) std::isnan(value) ? void(++nans) : void(sum += value);
  CHECK(nans == 334);
  CHECK(sum == 333'333);
}
