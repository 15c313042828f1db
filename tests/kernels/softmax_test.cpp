// Softmax and cross-entropy of every level against the reference in double.
#include "levels.hpp"
#include "plume/kernels/softmax/table.hpp"

using namespace plume;
using kernels::softmax_levels;
using plume_test::Pair;
using Table = kernels::SoftmaxTable<float>;

namespace {

// Widths of at least one element, and rows of several blocks.
std::vector<Index> softmax_widths() {
  std::vector<Index> list = plume_test::widths();
  list.erase(list.begin());
  for (const Index width : {1024, 1025, 2053, 50257, 70001}) list.push_back(width);
  return list;
}

std::vector<TokenId> targets_of(Index rows, Index width, Random& random) {
  std::vector<TokenId> targets;
  for (Index r = 0; r < rows; ++r)
    targets.push_back(r % 3 == 1 ? kernels::ignored_target : static_cast<TokenId>(random.below(static_cast<std::uint64_t>(width))));
  return targets;
}

}  // namespace

TEST_CASE("softmax and its backward") {
  Random random{.seed = 1};
  plume_test::at_each_level(softmax_levels, [&](const Table& table) {
    for (const Index width : softmax_widths()) {
      CAPTURE(width);
      const double mean = 1 / static_cast<double>(width);
      Pair x(3, width, random, 3), y(3, width, random), dy(3, width, random), dx(3, width, random);
      table.softmax(y.fast, x.fast);
      kernels::reference::softmax<double>(y.exact, x.exact);
      CHECK(y.error(1e-3 * mean) < 2e-6);
      y.widen();
      table.softmax_backward(dx.fast, dy.fast, y.fast);
      kernels::reference::softmax_backward<double>(dx.exact, dy.exact, y.exact);
      CHECK(dx.error(1) < 1e-6);
      // In place.
      table.softmax(x.fast, x.fast);
      kernels::reference::softmax<double>(x.exact, x.exact);
      CHECK(x.error(1e-3 * mean) < 2e-6);
    }
  });
}

TEST_CASE("cross-entropy, with a gradient in place and without") {
  Random random{.seed = 2};
  plume_test::at_each_level(softmax_levels, [&](const Table& table) {
    for (const Index width : softmax_widths()) {
      CAPTURE(width);
      Pair logits(4, width, random, 3), losses(1, 4, random), alone(1, 4, random);
      const std::vector<TokenId> targets = targets_of(4, width, random);
      // Blocks whose largest elements rise, and one of nothing but -infinity.
      if (width > 4096) {
        for (Index c = 0; c < width; ++c) {
          logits.fast(2, c) += static_cast<float>(c / 1000);
          if (c < 3000) logits.fast(3, c) = -INFINITY;
        }
        logits.fast(3, targets[3]) = 1.0f;
        logits.widen();
      }
      const std::vector<float> before = logits.data;
      table.cross_entropy(logits.fast, targets, alone.fast_line(), nullptr);
      CHECK(logits.data == before);
      const float scale = 0.125f;
      const double exact_scale = 0.125;
      table.cross_entropy(logits.fast, targets, losses.fast_line(), &scale);
      kernels::reference::cross_entropy<double>(logits.exact, targets, losses.exact_line(), &exact_scale);
      // At a target the probability less 1 is rounded where 1 is.
      for (Index r = 0; r < 4; ++r) {
        const TokenId target = targets[static_cast<std::size_t>(r)];
        if (target == kernels::ignored_target) continue;
        CHECK(std::abs(static_cast<double>(logits.fast(r, target)) - logits.exact(r, target)) <= 3e-7 * exact_scale);
        logits.fast(r, target) = static_cast<float>(logits.exact(r, target));
      }
      CHECK(logits.error(1e-3 / static_cast<double>(width)) < 3e-6);
      CHECK(losses.error(1) < 1e-6);
      CHECK(std::equal(losses.fast.data(), losses.fast.data() + 4, alone.fast.data()));
    }
  });
}

TEST_CASE("infinite logits, and what is not a number") {
  Random random{.seed = 3};
  plume_test::at_each_level(softmax_levels, [&](const Table& table) {
    for (const Index width : {1, 5, 33, 3000}) {
      CAPTURE(width);
      // Masked elements have probability 0; huge ones do not overflow; subnormal ones are as good as 0.
      Pair x(6, width, random), y(6, width, random);
      for (Index c = 0; c < width; ++c) {
        if (c % 2 == 1) x.fast(0, c) = -INFINITY;
        x.fast(1, c) = c == width / 2 ? 3e38f : -3e38f;
        x.fast(2, c) = 1e-40f;
        x.fast(3, c) = -INFINITY;
      }
      x.fast(4, width / 2) = INFINITY;
      x.fast(5, width / 2) = NAN;
      x.widen();
      table.softmax(y.fast, x.fast);
      kernels::reference::softmax<double>(y.exact, x.exact);
      CHECK(y.error(1e-7) < 2e-6);
      for (Index c = 0; c < width; ++c)
        for (const Index r : {3, 4, 5}) CHECK(std::isnan(y.fast(r, c)));
      Pair losses(1, 6, random);
      const std::vector<TokenId> targets(6, 0);
      table.cross_entropy(x.fast, targets, losses.fast_line(), nullptr);
      for (const Index r : {3, 4, 5}) CHECK(std::isnan(losses.fast(0, r)));
      CHECK(std::isfinite(losses.fast(0, 0)));
    }
  });
}

TEST_CASE("bits do not depend on the number of threads") {
  Random random{.seed = 4};
  Pair x(64, 3001, random), dy(64, 3001, random);
  const std::vector<TokenId> targets = targets_of(64, 3001, random);
  CHECK(plume_test::is_independent_of_threads([&] {
    Random again{.seed = 5};
    Pair y(64, 3001, again), dx(64, 3001, again), losses(1, 64, again);
    kernels::softmax<float>(y.fast, x.fast);
    kernels::softmax_backward<float>(dx.fast, dy.fast, y.fast);
    const float scale = 0.5f;
    kernels::cross_entropy<float>(y.fast, targets, losses.fast_line(), &scale);
    std::vector<float> all = y.data;
    for (const Pair* pair : {&dx, &losses}) all.insert(all.end(), pair->data.begin(), pair->data.end());
    return all;
  }));
}

TEST_CASE("levels have kernels of their own") {
  CHECK(plume_test::is_distinct(softmax_levels, &Table::softmax));
  CHECK(plume_test::is_distinct(softmax_levels, &Table::softmax_backward));
  CHECK(plume_test::is_distinct(softmax_levels, &Table::cross_entropy));
}
