// Activations and gated units of every level against the reference in double.
#include "levels.hpp"
#include "plume/kernels/activation/table.hpp"

using namespace plume;
using kernels::Activation;
using kernels::activation_levels;
using kernels::ActivationKind;
using plume_test::Pair;
using Table = kernels::ActivationTable<float>;

namespace {

const std::vector<Activation> rules{
    {.kind = ActivationKind::silu},      {.kind = ActivationKind::silu, .slope = 1.702, .shift = 1, .limit = 1.5},
    {.kind = ActivationKind::gelu_tanh}, {.kind = ActivationKind::gelu_tanh, .shift = 0.25, .limit = 1},
    {.kind = ActivationKind::gelu_erf},  {.kind = ActivationKind::gelu_erf, .limit = 2},
    {.kind = ActivationKind::relu},      {.kind = ActivationKind::relu, .shift = 1, .limit = 0.5}};

// Where a limit is crossed the derivative jumps: it must be one that a float has.
Activation rounded(Activation rule) {
  rule.limit = static_cast<double>(static_cast<float>(rule.limit));
  return rule;
}

}  // namespace

TEST_CASE("activations, their derivatives, gated units") {
  Random random{.seed = 1};
  plume_test::at_each_level(activation_levels, [&](const Table& table) {
    for (const Activation& given : rules) {
      const Activation rule = rounded(given);
      for (const Index width : plume_test::widths()) {
        CAPTURE(static_cast<int>(rule.kind));
        CAPTURE(width);
        Pair x(3, width, random, 2), up(3, width, random, 2), dy(3, width, random), y(3, width, random), dx(3, width, random),
            dup(3, width, random), other(3, width, random);
        table.activation(y.fast, x.fast, rule);
        kernels::reference::activation<double>(y.exact, x.exact, rule);
        CHECK(y.error(1e-2) < 1e-6);
        table.activation_backward(dx.fast, dy.fast, x.fast, rule);
        kernels::reference::activation_backward<double>(dx.exact, dy.exact, x.exact, rule);
        CHECK(dx.error(1) < 1e-6);
        table.gated(y.fast, x.fast, up.fast, rule);
        kernels::reference::gated<double>(y.exact, x.exact, up.exact, rule);
        CHECK(y.error(1e-1) < 1e-6);
        table.gated_backward(dx.fast, dup.fast, dy.fast, x.fast, up.fast, rule);
        kernels::reference::gated_backward<double>(dx.exact, dup.exact, dy.exact, x.exact, up.exact, rule);
        CHECK(dx.error(2) < 1e-6);
        CHECK(dup.error(2) < 1e-6);
        // One alone, the other absent.
        table.gated_backward({}, other.fast, dy.fast, x.fast, up.fast, rule);
        kernels::reference::gated_backward<double>(dx.exact, other.exact, dy.exact, x.exact, up.exact, rule);
        CHECK(other.error(2) < 1e-6);
      }
    }
  });
}

TEST_CASE("what is not a number or infinite, huge and subnormal arguments") {
  const std::vector<float> values{NAN,     INFINITY, -INFINITY, 3e38f,  -3e38f,  1e20f, -1e20f, 1e-40f,
                                  -1e-40f, 0.0f,     -0.0f,     100.0f, -100.0f, 50.0f, -50.0f};
  Random random{.seed = 2};
  const auto width = static_cast<Index>(values.size());
  plume_test::at_each_level(activation_levels, [&](const Table& table) {
    for (const Activation& rule : rules) {
      CAPTURE(static_cast<int>(rule.kind));
      Pair x(1, width, random), y(1, width, random);
      for (Index i = 0; i < width; ++i) x.set(0, i, values[static_cast<std::size_t>(i)]);
      table.activation(y.fast, x.fast, rule);
      kernels::reference::activation<double>(y.exact, x.exact, rule);
      for (Index i = 0; i < width; ++i) {
        CAPTURE(x.fast(0, i));
        const double wanted = y.exact(0, i), got = static_cast<double>(y.fast(0, i));
        // 0 times infinity, below and far below: the limit or no number.
        if (std::isinf(x.fast(0, i)) && x.fast(0, i) < 0 && rule.kind != ActivationKind::relu)
          CHECK((std::isnan(got) || std::abs(got) == 0));
        else if (std::isnan(wanted))
          CHECK(std::isnan(got));
        else
          CHECK((got == wanted || std::abs(got - wanted) <= 1e-6 * std::abs(wanted) + 1e-37));
      }
      // The derivative is finite wherever x is.
      Pair dx(1, width, random), one(1, width, random);
      for (Index i = 0; i < width; ++i) one.fast(0, i) = 1, dx.fast(0, i) = 0;
      table.activation_backward(dx.fast, one.fast, x.fast, rule);
      for (Index i = 0; i < width; ++i)
        if (std::isfinite(x.fast(0, i)))
          CHECK_MESSAGE(std::abs(dx.fast(0, i) - (x.fast(0, i) > 1    ? 1.0f
                                                  : x.fast(0, i) < -1 ? 0.0f
                                                                      : dx.fast(0, i))) <= 1e-6f,
                        x.fast(0, i));
    }
  });
}

TEST_CASE("bits do not depend on the number of threads") {
  Random random{.seed = 3};
  Pair x(501, 769, random), up(501, 769, random), dy(501, 769, random);
  for (const Activation& rule : {rules[0], rules[4]}) {
    CHECK(plume_test::is_independent_of_threads([&] {
      Random again{.seed = 4};
      Pair y(501, 769, again), dx(501, 769, again), dup(501, 769, again), product(501, 769, again);
      kernels::activation<float>(y.fast, x.fast, rule);
      kernels::activation_backward<float>(dx.fast, dy.fast, x.fast, rule);
      kernels::gated_backward<float>(dx.fast, dup.fast, dy.fast, x.fast, up.fast, rule);
      kernels::gated<float>(product.fast, x.fast, up.fast, rule);
      std::vector<float> all = y.data;
      for (const Pair* pair : {&dx, &dup, &product}) all.insert(all.end(), pair->data.begin(), pair->data.end());
      return all;
    }));
  }
}

TEST_CASE("levels have kernels of their own") {
  CHECK(plume_test::is_distinct(activation_levels, &Table::activation));
  CHECK(plume_test::is_distinct(activation_levels, &Table::activation_backward));
  CHECK(plume_test::is_distinct(activation_levels, &Table::gated));
  CHECK(plume_test::is_distinct(activation_levels, &Table::gated_backward));
}
