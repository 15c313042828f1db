// Element-wise kernels, row sums and dropout of every level against the reference in double.
#include "levels.hpp"
#include "plume/kernels/elementwise/table.hpp"

using namespace plume;
using kernels::Dropout;
using kernels::elementwise_levels;
using kernels::Write;
using plume_test::Pair;
using Table = kernels::ElementwiseTable<float>;

TEST_CASE("sums, products and row sums") {
  Random random{.seed = 1};
  plume_test::at_each_level(elementwise_levels, [&](const Table& table) {
    for (const Index width : plume_test::widths()) {
      CAPTURE(width);
      for (const Index rows : {1, 3, 4, 9}) {
        Pair a(rows, width, random), b(rows, width, random), y(rows, width, random), line(1, width, random);
        table.add(y.fast, a.fast, b.fast);
        kernels::reference::add<double>(y.exact, a.exact, b.exact);
        CHECK(y.error(1e-37) < 6e-8);
        table.multiply(y.fast, a.fast, b.fast, Write::over);
        kernels::reference::multiply<double>(y.exact, a.exact, b.exact);
        CHECK(y.error(1e-37) < 6e-8);
        table.multiply(y.fast, a.fast, b.fast, Write::add);
        kernels::reference::multiply_backward<double>(y.exact, a.exact, b.exact);
        CHECK(y.error(1) < 2e-7);
        table.scale(y.fast, a.fast, -1.5f, Write::over);
        table.scale(y.fast, b.fast, 0.3f, Write::add);
        for (Index r = 0; r < rows; ++r)
          for (Index c = 0; c < width; ++c) y.exact(r, c) = 0;
        kernels::reference::accumulate<double>(y.exact, a.exact, -1.5);
        kernels::reference::accumulate<double>(y.exact, b.exact, static_cast<double>(0.3f));
        CHECK(y.error(1) < 2e-7);
        table.sum_rows(line.fast_line(), a.fast);
        kernels::reference::sum_rows<double>(line.exact_line(), a.exact);
        CHECK(line.error(1) < 1e-6);
      }
    }
  });
}

TEST_CASE("what is not a number, infinities and subnormal values go through; what is written over is not read") {
  Random random{.seed = 2};
  plume_test::at_each_level(elementwise_levels, [&](const Table& table) {
    Pair a(1, 19, random), b(1, 19, random), y(1, 19, random);
    const float values[] = {NAN, INFINITY, -INFINITY, 1e-40f, 3e38f, -0.0f};
    for (Index c = 0; c < 18; ++c) a.fast(0, c) = values[c % 6], y.fast(0, c) = NAN;
    a.widen(), y.widen();
    table.add(y.fast, a.fast, b.fast);
    for (Index c = 0; c < 19; ++c) {
      const float wanted = a.fast(0, c) + b.fast(0, c);
      CHECK((y.fast(0, c) == wanted || (std::isnan(wanted) && std::isnan(y.fast(0, c)))));
      y.fast(0, c) = NAN;
    }
    table.scale(y.fast, a.fast, 0.5f, Write::over);
    for (Index c = 0; c < 19; ++c) {
      const float wanted = a.fast(0, c) * 0.5f;
      CHECK((y.fast(0, c) == wanted || (std::isnan(wanted) && std::isnan(y.fast(0, c)))));
      y.fast(0, c) = NAN;
    }
    table.multiply(y.fast, a.fast, b.fast, Write::over);
    for (Index c = 0; c < 19; ++c) {
      const float wanted = a.fast(0, c) * b.fast(0, c);
      CHECK((y.fast(0, c) == wanted || (std::isnan(wanted) && std::isnan(y.fast(0, c)))));
    }
  });
}

TEST_CASE("scaling in place") {
  float single[] = {1, -2, 3, 0.5f, 7};
  double twice[] = {1, -2, 3, 0.5, 7};
  scale<float>(View<float, 2>(single, {1, 5}), View<const float, 2>(single, {1, 5}), 3.0f, Write::over);
  scale<double>(View<double, 2>(twice, {1, 5}), View<const double, 2>(twice, {1, 5}), 3.0, Write::over);
  const double wanted[] = {3, -6, 9, 1.5, 21};
  for (int i = 0; i < 5; ++i) {
    CHECK(single[i] == wanted[i]);
    CHECK(twice[i] == wanted[i]);
  }
}

TEST_CASE("rounding to bfloat16 is that of the scalar type at every level, and widening is exact") {
  Random random{.seed = 9};
  plume_test::at_each_level(elementwise_levels, [&](const Table& table) {
    for (const Index width : plume_test::widths()) {
      CAPTURE(width);
      Pair x(1, width, random);
      const float special[] = {NAN,      INFINITY, -INFINITY,   1e-40f,      3.4e38f,      -0.0f,
                               -3.4e38f, 1e38f,    1.00390625f, 1.01171875f, -1.00390625f, 1 + 0x1.02p-8f};
      for (Index c = 0; c < width; c += 2) x.fast(0, c) = special[(c / 2) % 12];
      std::vector<Bfloat16> rounded(static_cast<std::size_t>(width) + 1), expected = rounded;
      std::vector<float> wide(static_cast<std::size_t>(width) + 1, 7), expected_wide = wide;
      rounded.back() = expected.back() = Bfloat16(5.0f);
      const View<const float, 1> line = x.fast_line();
      table.round_bf16(View<Bfloat16, 1>(rounded.data(), {width}), line);
      kernels::reference::round_bf16<float>(View<Bfloat16, 1>(expected.data(), {width}), line);
      table.widen_bf16(View<float, 1>(wide.data(), {width}), View<const Bfloat16, 1>(rounded.data(), {width}));
      kernels::reference::widen_bf16<float>(View<float, 1>(expected_wide.data(), {width}),
                                            View<const Bfloat16, 1>(rounded.data(), {width}));
      for (std::size_t i = 0; i <= static_cast<std::size_t>(width); ++i) {
        const auto one = static_cast<float>(rounded[i]), other = static_cast<float>(expected[i]);
        CHECK((std::isnan(other) ? std::isnan(one) : rounded[i].bits == expected[i].bits));
        CHECK((std::isnan(other) ? std::isnan(wide[i])
                                 : std::bit_cast<std::uint32_t>(wide[i]) == std::bit_cast<std::uint32_t>(expected_wide[i])));
      }
    }
  });
}

TEST_CASE("doors: a row is added to every row, sums of chunks are those of all rows, dropout is the reference's") {
  Random random{.seed = 3};
  for (const Index rows : {1, 5, 700}) {
    Pair x(rows, 301, random), y(rows, 301, random), line(1, 301, random);
    const Dropout rule{.rate = 0.3, .seed = 4, .stream = 5};
    kernels::add_row<float>(y.fast, line.fast_line());
    kernels::reference::add_row<double>(y.exact, line.exact_line());
    CHECK(y.error(1) < 1e-7);
    kernels::sum_rows<float>(line.fast_line(), x.fast);
    kernels::reference::sum_rows<double>(line.exact_line(), x.exact);
    CHECK(line.error(10) < 2e-6);
    Pair dropped(rows, 301, random), double_dropped(rows, 301, random);
    for (const Write write : {Write::over, Write::add}) {
      if (write == Write::over) {
        for (Index r = 0; r < rows; ++r)
          for (Index c = 0; c < 301; ++c) dropped.exact(r, c) = 0;
      }
      kernels::dropout<float>(dropped.fast, x.fast, rule, write);
      kernels::reference::dropout<double>(dropped.exact, x.exact, rule, 0);
      CHECK(dropped.error(1) < 2e-7);
      if (write == Write::over) {
        kernels::dropout<double>(double_dropped.exact, x.exact, rule, write);
        CHECK(std::equal(double_dropped.wide.begin(), double_dropped.wide.end(), dropped.wide.begin()));
      }
    }
  }
}

TEST_CASE("bits do not depend on the number of threads") {
  Random random{.seed = 6};
  Pair x(901, 513, random), b(901, 513, random);
  CHECK(plume_test::is_independent_of_threads([&] {
    Random again{.seed = 7};
    Pair y(901, 513, again), line(1, 513, again);
    kernels::add<float>(y.fast, x.fast, b.fast);
    kernels::multiply<float>(y.fast, x.fast, b.fast, Write::add);
    kernels::accumulate<float>(y.fast, x.fast, 0.7f);
    kernels::add_row<float>(y.fast, line.fast_line());
    kernels::dropout<float>(y.fast, x.fast, {.rate = 0.1, .seed = 8}, Write::add);
    kernels::sum_rows<float>(line.fast_line(), y.fast);
    std::vector<float> all = y.data;
    std::vector<Bfloat16> half(all.size());
    const Index count = static_cast<Index>(all.size());
    kernels::round_bf16<float>(View<Bfloat16, 1>(half.data(), {count}), View<const float, 1>(all.data(), {count}));
    kernels::widen_bf16<float>(View<float, 1>(all.data(), {count}), View<const Bfloat16, 1>(half.data(), {count}));
    for (std::size_t i = 0; i < all.size(); ++i) REQUIRE(static_cast<float>(Bfloat16(y.data[i])) == all[i]);
    all.insert(all.end(), y.data.begin(), y.data.end());
    all.insert(all.end(), line.data.begin(), line.data.end());
    return all;
  }));
}

TEST_CASE("levels have kernels of their own") {
  CHECK(plume_test::is_distinct(elementwise_levels, &Table::add));
  CHECK(plume_test::is_distinct(elementwise_levels, &Table::scale));
  CHECK(plume_test::is_distinct(elementwise_levels, &Table::multiply));
  CHECK(plume_test::is_distinct(elementwise_levels, &Table::sum_rows));
  CHECK(plume_test::is_distinct(elementwise_levels, &Table::round_bf16));
  CHECK(plume_test::is_distinct(elementwise_levels, &Table::widen_bf16));
}
