// AdamW in one pass: every level against the reference in double, and moments of bfloat16 whose rounding keeps the mean.
#include "levels.hpp"
#include "plume/kernels/optimizer/table.hpp"

using namespace plume;
using kernels::AdamWStep;
using plume_test::at_each_level;

namespace {

AdamWStep step_of(std::uint64_t stream) {
  return {.learning_rate = 0.02,
          .beta1 = 0.9,
          .beta2 = 0.95,
          .epsilon = 1e-6,
          .decay = 0.1,
          .correction1 = 0.3,
          .correction2 = 0.2,
          .gradient_scale = 0.7,
          .seed = 0x123456789abcdefu,
          .stream = stream};
}

std::vector<Bfloat16> rounded(const std::vector<float>& values) {
  std::vector<Bfloat16> list;
  for (const float value : values) list.emplace_back(value);
  return list;
}

template <class T>
View<T, 1> line(std::vector<T>& values, std::size_t size) {
  return {values.data(), {static_cast<Index>(size)}};
}

struct Numbers {
  std::vector<float> weight, first, second, gradient;
  explicit Numbers(std::size_t size, std::uint64_t seed = 1) {
    Random random{.seed = seed};
    for (std::size_t i = 0; i < size + 3; ++i) {  // three more, which stay as they are
      weight.push_back(static_cast<float>(random.normal()));
      first.push_back(static_cast<float>(0.1 * random.normal()));
      second.push_back(static_cast<float>(0.01 * random.uniform()));
      gradient.push_back(static_cast<float>(random.normal()));
    }
  }
};

}  // namespace

TEST_CASE("every level is a kernel of its own") {
  CHECK(plume_test::is_distinct(kernels::optimizer_levels, &kernels::OptimizerTable<float>::adamw));
  CHECK(plume_test::is_distinct(kernels::optimizer_levels, &kernels::OptimizerTable<float>::adamw_bf16));
}

TEST_CASE("adamw of every level is the reference in double") {
  at_each_level(kernels::optimizer_levels, [&](const auto& table) {
    double worst = 0;
    bool kept = true;
    for (const Index width : plume_test::widths()) {
      const auto size = static_cast<std::size_t>(width);
      Numbers start(size), ours = start;
      std::vector<double> weight(start.weight.begin(), start.weight.end()), first(start.first.begin(), start.first.end()),
          second(start.second.begin(), start.second.end()), gradient(start.gradient.begin(), start.gradient.end());
      const AdamWStep step = step_of(1);
      table.adamw(line(ours.weight, size), line(ours.first, size), line(ours.second, size), line(ours.gradient, size), step, 0);
      kernels::reference::adamw<double, double>(line(weight, size), line(first, size), line(second, size), line(gradient, size), step, 0);
      for (std::size_t i = 0; i < size; ++i) {
        worst = std::max({worst, std::abs(ours.weight[i] - weight[i]), std::abs(ours.first[i] - first[i]),
                          std::abs(ours.second[i] - second[i]) / second[i]});
      }
      for (std::size_t i = size; i < size + 3; ++i)
        kept = kept && ours.weight[i] == start.weight[i] && ours.first[i] == start.first[i] && ours.second[i] == start.second[i];
    }
    CHECK(worst < 1e-6);
    CHECK(kept);
  });
}

// A level may differ from the reference by the last bit of a float, which then may round to the neighbour of a bfloat16: seldom.
TEST_CASE("adamw with moments of bfloat16: every level draws the reference's numbers") {
  at_each_level(kernels::optimizer_levels, [&](const auto& table) {
    std::size_t different = 0, all = 0;
    double worst = 0;
    bool kept = true;
    for (const Index width : plume_test::widths()) {
      for (const Index first_element : {0, 4096, 96}) {
        const auto size = static_cast<std::size_t>(width);
        Numbers start(size), ours = start, theirs = start;
        std::vector<Bfloat16> m = rounded(start.first), v = rounded(start.second), m_before = m, m_wanted = m, v_wanted = v;
        const AdamWStep step = step_of((std::uint64_t{7} << 40) + 5);
        table.adamw_bf16(line(ours.weight, size), line(m, size), line(v, size), line(ours.gradient, size), step, first_element);
        kernels::reference::adamw<float, Bfloat16>(line(theirs.weight, size), line(m_wanted, size), line(v_wanted, size),
                                                   line(theirs.gradient, size), step, first_element);
        for (std::size_t i = 0; i < size; ++i) {
          worst = std::max(worst, static_cast<double>(std::abs(ours.weight[i] - theirs.weight[i])));
          different += static_cast<std::size_t>(m[i].bits != m_wanted[i].bits) + static_cast<std::size_t>(v[i].bits != v_wanted[i].bits);
          const bool near = std::abs(m[i].bits - m_wanted[i].bits) <= 1 && std::abs(v[i].bits - v_wanted[i].bits) <= 1;
          kept = kept && near;
        }
        all += 2 * size;
        for (std::size_t i = size; i < size + 3; ++i) kept = kept && ours.weight[i] == start.weight[i] && m[i].bits == m_before[i].bits;
      }
    }
    CHECK(worst < 1e-6);
    CHECK(kept);
    CHECK(different <= all / 2000);
  });
}

TEST_CASE("stochastic rounding: exact values stay, others go up as often as they must, and the mean is kept") {
  for (const float exact : {0.0f, 1.0f, -2.5f, 0x1.02p-30f})
    for (const std::uint32_t word : {0u, 1u, 0xffffu})
      CHECK(static_cast<float>(kernels::reference::round_stochastically(exact, word)) == exact);
  CHECK(std::isinf(static_cast<float>(kernels::reference::round_stochastically(INFINITY, 0xffff))));
  CHECK(std::isnan(static_cast<float>(kernels::reference::round_stochastically(NAN, 0xffff))));
  const AdamWStep step = step_of(3);
  // A quarter of the way from 1 to the next bfloat16.
  const float value = 1 + 0.25f / 128;
  double sum_low = 0, sum_high = 0;
  const int groups = 20000;
  for (Index group = 0; group < groups; ++group)
    for (const std::uint32_t word : kernels::reference::rounding_words(step, group)) {
      sum_low += static_cast<double>(static_cast<float>(kernels::reference::round_stochastically(value, word & 0xffff)));
      sum_high += static_cast<double>(static_cast<float>(kernels::reference::round_stochastically(-value, word >> 16)));
    }
  const double count = 32.0 * groups, deviation = std::sqrt(0.25 * 0.75 / count) / 128;
  CHECK(std::abs(sum_low / count - static_cast<double>(value)) < 4 * deviation);
  CHECK(std::abs(sum_high / count + static_cast<double>(value)) < 4 * deviation);
}

// Nearest rounding would never move: each step changes the moment by less than half of a bfloat16's last bit.
TEST_CASE("moments of bfloat16 follow the moments of float in the mean") {
  const std::size_t size = 4096;
  std::vector<float> weight(size, 0.0f), other(size, 0.0f), m(size, 0.0f), v(size, 0.0f), gradient(size);
  std::vector<Bfloat16> m16 = rounded(m), v16 = rounded(v);
  Random random{.seed = 4};
  for (std::uint64_t t = 1; t <= 300; ++t) {
    for (float& g : gradient) g = static_cast<float>(0.5 + 0.1 * random.normal());
    AdamWStep step = step_of(t);
    step.beta1 = 0.99, step.beta2 = 0.999;
    kernels::reference::adamw<float, float>(line(weight, size), line(m, size), line(v, size), line(gradient, size), step, 0);
    kernels::adamw(line(other, size), line(m16, size), line(v16, size), View<const float, 1>(gradient.data(), {static_cast<Index>(size)}),
                   step);
  }
  double mean_m = 0, mean_v = 0, wanted_m = 0, wanted_v = 0;
  for (std::size_t i = 0; i < size; ++i) {
    mean_m += static_cast<double>(static_cast<float>(m16[i])), wanted_m += static_cast<double>(m[i]);
    mean_v += static_cast<double>(static_cast<float>(v16[i])), wanted_v += static_cast<double>(v[i]);
  }
  CHECK(mean_m == doctest::Approx(wanted_m).epsilon(1e-3));
  CHECK(mean_v == doctest::Approx(wanted_v).epsilon(2e-3));
}

TEST_CASE("updates and norms are the same bits for any number of threads, and for the whole as for its chunks") {
  const std::size_t size = 9 * 4096 + 77;
  CHECK(plume_test::is_independent_of_threads([&] {
    Numbers now(size);
    std::vector<Bfloat16> m = rounded(now.first), v = rounded(now.second);
    const View<const float, 1> gradient(now.gradient.data(), {static_cast<Index>(size)});
    kernels::adamw(line(now.weight, size), line(m, size), line(v, size), gradient, step_of(1));
    std::vector<float> result = now.weight;
    for (std::size_t i = 0; i < size; ++i) result.push_back(static_cast<float>(m[i])), result.push_back(static_cast<float>(v[i]));
    kernels::adamw<float>(line(now.weight, size), line(now.first, size), line(now.second, size), gradient, step_of(2));
    result.insert(result.end(), now.weight.begin(), now.weight.end());
    const double sum = kernels::sum_of_squares<float>(gradient);
    result.push_back(static_cast<float>(sum));
    result.push_back(static_cast<float>(sum - static_cast<double>(static_cast<float>(sum))));
    return result;
  }));
}

TEST_CASE("sums of squares are the reference's, whatever the level") {
  at_each_level(kernels::optimizer_levels, [&](const auto& table) {
    bool is_same = true;
    for (const Index width : plume_test::widths()) {
      Numbers now(static_cast<std::size_t>(width));
      const View<const float, 1> x(now.gradient.data(), {width});
      const double wanted = kernels::reference::sum_of_squares<float>(x);
      is_same = is_same && std::abs(table.sum_of_squares(x) - wanted) <= 1e-13 * wanted;
    }
    CHECK(is_same);
  });
}
