// Normalisation of every level against the reference in double.
#include "levels.hpp"
#include "plume/kernels/norm/table.hpp"

using namespace plume;
using kernels::norm_levels;
using plume_test::Pair;
using Table = kernels::NormTable<float>;

TEST_CASE("rms_norm and its backward, each output alone and together") {
  Random random{.seed = 1};
  const double epsilon = 1e-5;
  plume_test::at_each_level(norm_levels, [&](const Table& table) {
    for (const Index width : plume_test::widths()) {
      CAPTURE(width);
      Pair x(3, width, random), weight(1, width, random), dy(3, width, random), y(3, width, random), inverse(1, 3, random),
          dx(3, width, random), dweight(1, width, random);
      table.rms_norm(y.fast, inverse.fast_line(), x.fast, weight.fast_line(), epsilon);
      kernels::reference::rms_norm<double>(y.exact, inverse.exact_line(), x.exact, weight.exact_line(), epsilon);
      CHECK(y.error(1e-3) < 1e-6);
      if (width > 0) CHECK(inverse.error(0) < 1e-6);
      table.rms_norm(y.fast, {}, x.fast, weight.fast_line(), epsilon);
      CHECK(y.error(1e-3) < 1e-6);
      for (const bool both : {false, true}) {
        table.rms_norm_backward(dx.fast, both ? dweight.fast_line() : View<float, 1>{}, dy.fast, x.fast, weight.fast_line(),
                                inverse.fast_line());
        kernels::reference::rms_norm_backward<double>(dx.exact, dy.exact, x.exact, weight.exact_line(), inverse.exact_line());
        CHECK(dx.error(1) < 3e-6);
        table.rms_norm_backward({}, dweight.fast_line(), dy.fast, x.fast, weight.fast_line(), inverse.fast_line());
        for (int time = 0; time < 1 + both; ++time)
          kernels::reference::rms_norm_weight_backward<double>(dweight.exact_line(), dy.exact, x.exact, inverse.exact_line());
        CHECK(dweight.error(1) < 3e-6);
      }
    }
  });
}

TEST_CASE("layer_norm and its backward, with and without a bias, around a mean far from 0") {
  Random random{.seed = 2};
  const double epsilon = 1e-5;
  plume_test::at_each_level(norm_levels, [&](const Table& table) {
    for (const float far : {0.0f, 30.0f}) {
      for (const Index width : plume_test::widths()) {
        if (far > 0 && width < 8) continue;  // the few values may be close to each other
        CAPTURE(width);
        Pair x(3, width, random), weight(1, width, random), bias(1, width, random), dy(3, width, random), y(3, width, random),
            means(1, 3, random), inverse(1, 3, random), dx(3, width, random), dweight(1, width, random), dbias(1, width, random);
        for (Index r = 0; r < 3; ++r)
          for (Index c = 0; c < width; ++c) x.fast(r, c) += far;
        if (width == 1) continue;  // one value has no deviation
        x.widen();
        const double tolerance = far > 0 ? 3e-5 : 1e-5;
        table.layer_norm(y.fast, means.fast_line(), inverse.fast_line(), x.fast, weight.fast_line(), bias.fast_line(), epsilon);
        kernels::reference::layer_norm<double>(y.exact, means.exact_line(), inverse.exact_line(), x.exact, weight.exact_line(),
                                               bias.exact_line(), epsilon);
        CHECK(y.error(1) < tolerance);
        if (width > 0) CHECK(means.error(1) < 1e-6);
        if (width > 0) CHECK(inverse.error(0) < tolerance);
        table.layer_norm(y.fast, {}, {}, x.fast, weight.fast_line(), {}, epsilon);
        kernels::reference::layer_norm<double>(y.exact, {}, {}, x.exact, weight.exact_line(), {}, epsilon);
        CHECK(y.error(1) < tolerance);
        table.layer_norm_backward(dx.fast, {}, {}, dy.fast, x.fast, weight.fast_line(), means.fast_line(), inverse.fast_line());
        table.layer_norm_backward({}, dweight.fast_line(), dbias.fast_line(), dy.fast, x.fast, weight.fast_line(), means.fast_line(),
                                  inverse.fast_line());
        kernels::reference::layer_norm_backward<double>(dx.exact, dy.exact, x.exact, weight.exact_line(), means.exact_line(),
                                                        inverse.exact_line());
        kernels::reference::layer_norm_weight_backward<double>(dweight.exact_line(), dy.exact, x.exact, means.exact_line(),
                                                               inverse.exact_line());
        kernels::reference::sum_rows<double>(dbias.exact_line(), dy.exact);
        CHECK(dx.error(2) < tolerance);
        CHECK(dweight.error(1) < tolerance);
        CHECK(dbias.error(1) < 1e-6);
      }
    }
  });
}

TEST_CASE("what is not a number, infinities, subnormal values") {
  Random random{.seed = 3};
  plume_test::at_each_level(norm_levels, [&](const Table& table) {
    Pair x(4, 21, random), weight(1, 21, random), y(4, 21, random);
    x.fast(0, 17) = NAN;
    x.fast(1, 20) = INFINITY;
    for (Index c = 0; c < 21; ++c) x.fast(2, c) = 1e-40f, x.fast(3, c) = 0;
    x.widen();
    table.rms_norm(y.fast, {}, x.fast, weight.fast_line(), 1e-5);
    kernels::reference::rms_norm<double>(y.exact, {}, x.exact, weight.exact_line(), 1e-5);
    CHECK(y.error(1e-30) < 1e-6);
    table.layer_norm(y.fast, {}, {}, x.fast, weight.fast_line(), {}, 1e-5);
    for (Index c = 0; c < 21; ++c) {
      CHECK((std::isnan(y.fast(0, c)) && std::isnan(y.fast(1, c))));
      CHECK((std::abs(y.fast(2, c)) < 1e-35f && y.fast(3, c) == 0));
    }
  });
}

TEST_CASE("doors: sums of chunks are those of all rows, and bits do not depend on the number of threads") {
  Random random{.seed = 4};
  for (const Index rows : {1, 7, 601}) {
    Pair x(rows, 769, random), dy(rows, 769, random), weight(1, 769, random), means(1, rows, random), inverse(1, rows, random);
    const auto compute = [&] {
      Random again{.seed = 5};
      Pair y(rows, 769, again), dx(rows, 769, again), dweight(1, 769, again), dbias(1, 769, again);
      kernels::layer_norm<float>(y.fast, means.fast_line(), inverse.fast_line(), x.fast, weight.fast_line(), {}, 1e-5);
      kernels::layer_norm_backward<float>(dx.fast, dweight.fast_line(), dbias.fast_line(), dy.fast, x.fast, weight.fast_line(),
                                          means.fast_line(), inverse.fast_line());
      means.widen(), inverse.widen();
      kernels::reference::layer_norm_backward<double>(dx.exact, dy.exact, x.exact, weight.exact_line(), means.exact_line(),
                                                      inverse.exact_line());
      kernels::reference::layer_norm_weight_backward<double>(dweight.exact_line(), dy.exact, x.exact, means.exact_line(),
                                                             inverse.exact_line());
      kernels::reference::sum_rows<double>(dbias.exact_line(), dy.exact);
      CHECK(dx.error(1) < 1e-5);
      CHECK(dweight.error(10) < 2e-6);
      CHECK(dbias.error(10) < 2e-6);
      std::vector<float> all = y.data;
      for (const Pair* pair : {&dx, &dweight, &dbias}) all.insert(all.end(), pair->data.begin(), pair->data.end());
      dx.widen(), dweight.widen();
      kernels::rms_norm<float>(y.fast, inverse.fast_line(), x.fast, weight.fast_line(), 1e-5);
      kernels::rms_norm_backward<float>(dx.fast, dweight.fast_line(), dy.fast, x.fast, weight.fast_line(), inverse.fast_line());
      inverse.widen();
      kernels::reference::rms_norm_backward<double>(dx.exact, dy.exact, x.exact, weight.exact_line(), inverse.exact_line());
      kernels::reference::rms_norm_weight_backward<double>(dweight.exact_line(), dy.exact, x.exact, inverse.exact_line());
      CHECK(dx.error(1) < 1e-5);
      CHECK(dweight.error(10) < 2e-6);
      for (const Pair* pair : {&y, &dx, &dweight}) all.insert(all.end(), pair->data.begin(), pair->data.end());
      return all;
    };
    CHECK(plume_test::is_independent_of_threads(compute));
  }
}

TEST_CASE("levels have kernels of their own") {
  CHECK(plume_test::is_distinct(norm_levels, &Table::rms_norm));
  CHECK(plume_test::is_distinct(norm_levels, &Table::rms_norm_backward));
  CHECK(plume_test::is_distinct(norm_levels, &Table::layer_norm));
  CHECK(plume_test::is_distinct(norm_levels, &Table::layer_norm_backward));
}
