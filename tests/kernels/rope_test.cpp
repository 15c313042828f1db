// Rotary embeddings of every level against the reference in double: both layouts, both directions, whole heads and parts of them.
#include "levels.hpp"
#include "plume/kernels/rope/table.hpp"

using namespace plume;
using kernels::rope_levels;
using kernels::RotaryLayout;
using kernels::Write;
using plume_test::Pair;
using Table = kernels::RopeTable<float>;

namespace {

// Angles of three rows: any numbers, since the kernel does not ask that cos^2 + sin^2 is 1.
struct Angles {
  Pair cosine, sine;
  Angles(Index rows, Index half, Random& random) : cosine(rows, half, random), sine(rows, half, random) {}
};

void fill_exact(Pair& pair, double value) {
  for (double& element : pair.wide) element = value;
}

}  // namespace

TEST_CASE("heads of every width") {
  Random random{.seed = 1};
  plume_test::at_each_level(rope_levels, [&](const Table& table) {
    std::vector<Index> halves = plume_test::widths();
    for (const Index half : halves) {
      CAPTURE(half);
      const Index rest = half % 5;
      const Index head_width = 2 * half + rest, heads = 3;
      if (head_width == 0) continue;
      Angles angles(2, half, random);
      Pair x(2, heads * head_width, random), y(2, heads * head_width, random);
      for (const RotaryLayout layout : {RotaryLayout::half_split, RotaryLayout::interleaved}) {
        for (const int direction : {+1, -1}) {
          fill_exact(y, 0);
          table.rope(y.fast, x.fast, angles.cosine.fast, angles.sine.fast, head_width, layout, direction, Write::over);
          kernels::reference::rope<double>(y.exact, x.exact, angles.cosine.exact, angles.sine.exact, head_width, layout, direction);
          CHECK(y.error(1) < 3e-7);
          table.rope(y.fast, x.fast, angles.cosine.fast, angles.sine.fast, head_width, layout, -direction, Write::add);
          kernels::reference::rope<double>(y.exact, x.exact, angles.cosine.exact, angles.sine.exact, head_width, layout, -direction);
          CHECK(y.error(1) < 1e-6);
        }
      }
    }
  });
}

TEST_CASE("what is not a number or infinite stays in its pair; what is written over is not read") {
  Random random{.seed = 2};
  plume_test::at_each_level(rope_levels, [&](const Table& table) {
    for (const RotaryLayout layout : {RotaryLayout::half_split, RotaryLayout::interleaved}) {
      Angles angles(1, 11, random);
      Pair x(1, 23, random), y(1, 23, random);
      for (Index c = 0; c < 23; ++c) y.fast(0, c) = NAN;
      x.set(0, 4, NAN);
      x.set(0, 22, INFINITY);
      x.set(0, 7, 1e-40f);
      fill_exact(y, 0);
      table.rope(y.fast, x.fast, angles.cosine.fast, angles.sine.fast, 23, layout, 1, Write::over);
      kernels::reference::rope<double>(y.exact, x.exact, angles.cosine.exact, angles.sine.exact, 23, layout, 1);
      Index count = 0;
      for (Index c = 0; c < 23; ++c) count += std::isnan(y.fast(0, c)) ? 1 : 0;
      CHECK(count == 2);
      CHECK(y.error(1) < 3e-7);
    }
  });
}

TEST_CASE("doors: f64 is the reference, and bits do not depend on the number of threads") {
  Random random{.seed = 3};
  Angles angles(501, 32, random);
  Pair x(501, 768, random), y(501, 768, random);
  fill_exact(y, 0);
  kernels::rope<float>(y.fast, x.fast, angles.cosine.fast, angles.sine.fast, 64, RotaryLayout::half_split, 1, Write::over);
  kernels::reference::rope<double>(y.exact, x.exact, angles.cosine.exact, angles.sine.exact, 64, RotaryLayout::half_split, 1);
  CHECK(y.error(1) < 3e-7);
  Pair again(501, 768, random);
  kernels::rope<double>(again.exact, x.exact, angles.cosine.exact, angles.sine.exact, 64, RotaryLayout::half_split, 1, Write::over);
  CHECK(std::equal(y.wide.begin(), y.wide.end() - 1, again.wide.begin()));
  CHECK(plume_test::is_independent_of_threads([&] {
    kernels::rope<float>(y.fast, x.fast, angles.cosine.fast, angles.sine.fast, 64, RotaryLayout::interleaved, -1, Write::over);
    return y.data;
  }));
}

TEST_CASE("levels have kernels of their own") { CHECK(plume_test::is_distinct(rope_levels, &Table::rope)); }
