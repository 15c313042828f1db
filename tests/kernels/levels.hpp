#pragma once
// Fast kernels of every level against the reference in double: rows with gaps that start anywhere.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "plume/base/random.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/kernels/simd/level.hpp"

namespace plume_test {

using plume::Index;
using plume::View;

// Calls body(table) for every level that can run here: all under emulation (kernels/*_emulated), else those of this processor.
template <class Table, class Body>
void at_each_level(const plume::kernels::Levels<Table>& levels, Body&& body) {
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const auto level = static_cast<plume::kernels::Level>(i);
    if (levels[i] == nullptr) continue;  // another architecture's
#if !defined(PLUME_EMULATE_LEVELS)
    if (level > plume::kernels::available_level()) continue;
#endif
    INFO(plume::kernels::name_of(level));
    body(*levels[i]);
  }
}

// Whether a member of the tables is another function at each level.
template <class Table, class Member>
bool is_distinct(const plume::kernels::Levels<Table>& levels, Member member) {
  for (std::size_t i = 0; i < levels.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (levels[i] != nullptr && levels[j] != nullptr && levels[i]->*member == levels[j]->*member) return false;
  return true;
}

// Widths of rows: every remainder of every vector, and longer ones.
inline std::vector<Index> widths() {
  std::vector<Index> list;
  for (Index i = 0; i <= 67; ++i) list.push_back(i);
  list.push_back(129);
  list.push_back(1000);
  return list;
}

// The same numbers as a float matrix with gaps between its rows, and as a dense one of doubles.
struct Pair {
  std::vector<float> data, before;
  std::vector<double> wide;
  View<float, 2> fast;
  View<double, 2> exact;

  Pair(Index rows, Index columns, plume::Random& random, double size = 1)
      : data(static_cast<std::size_t>(rows * (columns + 3) + 7)), wide(static_cast<std::size_t>(rows * columns + 1)) {
    fast = View<float, 2>(data.data() + 1 + random.below(4), {rows, columns}, {columns + 3, 1});
    exact = View<double, 2>(wide.data(), {rows, columns});
    for (float& value : data) value = static_cast<float>(size * random.normal());
    widen();
  }
  // After `fast` was filled by hand.
  void widen() {
    for (Index r = 0; r < fast.rows(); ++r)
      for (Index c = 0; c < fast.columns(); ++c) exact(r, c) = static_cast<double>(fast(r, c));
    before = data;
  }
  void set(Index r, Index c, float value) {
    fast(r, c) = value;
    widen();
  }
  View<float, 1> fast_line() const { return {fast.data(), {fast.columns()}}; }
  View<double, 1> exact_line() const { return {exact.data(), {exact.columns()}}; }

  // The largest |fast - exact| / (|exact| + floor); infinite where one is not a number or infinite and the other is not, or where
  // something beside the matrix was written.
  double error(double floor) const {
    std::vector<float> outside = data;
    double worst = 0;
    for (Index r = 0; r < fast.rows(); ++r) {
      for (Index c = 0; c < fast.columns(); ++c) {
        const auto index = static_cast<std::size_t>(&fast(r, c) - data.data());
        outside[index] = before[index];
        const double got = static_cast<double>(fast(r, c)), wanted = exact(r, c);
        if (std::isnan(wanted) && std::isnan(got)) continue;
        if (got == wanted) continue;
        const double gap = std::abs(got - wanted) / (std::abs(wanted) + floor);
        worst = std::isfinite(gap) ? std::max(worst, gap) : INFINITY;
      }
    }
    for (std::size_t i = 0; i < outside.size(); ++i) {
      const bool is_kept = outside[i] == before[i] || (std::isnan(outside[i]) && std::isnan(before[i]));
      if (!is_kept) return INFINITY;
    }
    return worst;
  }
};

// Runs `compute`, which returns floats, with 1, 2, 3 and 5 threads; whether all results have the same bits.
template <class Compute>
bool is_independent_of_threads(Compute&& compute) {
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 5}) {
    const plume::Context context({.threads = threads});
    const plume::ContextScope scope(context);
    const std::vector<float> result = compute();
    if (threads == 1) first = result;
    if (result.size() != first.size() || std::memcmp(result.data(), first.data(), result.size() * sizeof(float)) != 0) return false;
  }
  return !first.empty();
}

}  // namespace plume_test
