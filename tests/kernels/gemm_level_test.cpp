// The matrix product of every level against sums in double: tiles, packing, products of a few rows, float and bfloat16 operands.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "levels.hpp"
#include "plume/base/random.hpp"
#include "plume/kernels/gemm/table.hpp"

using namespace plume;
using namespace plume::kernels;

namespace {

// A matrix inside a larger one, so that its rows have gaps and start unaligned.
template <class T>
struct Framed {
  std::vector<T> data;
  View<T, 2> view;
  Framed(Index rows, Index columns, bool is_transposed, Random& random)
      : data(static_cast<std::size_t>((is_transposed ? columns : rows) * ((is_transposed ? rows : columns) + 3) + 5)) {
    for (T& value : data) value = T(static_cast<float>(random.normal()));
    const Index inner = is_transposed ? rows : columns, outer = is_transposed ? columns : rows;
    const View<T, 2> stored(data.data() + 3, {outer, inner}, {inner + 3, 1});
    view = is_transposed ? stored.transposed() : stored;
  }
};

enum class Start { nothing, itself, matrix, row, both };

struct Case {
  Index m, n, k;
  bool a_transposed = false, b_transposed = false;
  Start start = Start::itself;
};

double rounded(float x) { return static_cast<double>(static_cast<float>(Bfloat16(x))); }

// The largest error relative to the sum of magnitudes, or infinity if anything outside c was written.
template <class A, class B, class Product>
double error_of(const Case& c, Random& random, bool rounds, Product&& product) {
  Framed<A> a(c.m, c.k, c.a_transposed, random);
  Framed<B> b(c.k, c.n, c.b_transposed, random);
  Framed<float> y(c.m, c.n, false, random), residual(c.m, c.n, false, random), bias(1, c.n, false, random);
  const std::vector<float> before = y.data;
  const View<const float, 2> old(before.data() + 3, {c.m, c.n}, {c.n + 3, 1});
  View<const float, 2> matrix;
  View<const float, 1> row;
  if (c.start == Start::itself) matrix = y.view;
  if (c.start == Start::matrix || c.start == Start::both) matrix = residual.view;
  if (c.start == Start::row || c.start == Start::both) row = View<const float, 1>(bias.view.data(), {c.n});
  product(y.view, View<const A, 2>(a.view), View<const B, 2>(b.view), matrix, row);
  double worst = 0;
  for (Index i = 0; i < c.m; ++i) {
    for (Index j = 0; j < c.n; ++j) {
      double sum = c.start == Start::itself ? static_cast<double>(old(i, j)) : matrix ? static_cast<double>(matrix(i, j)) : 0.0;
      double size = std::abs(sum);
      if (row) sum += static_cast<double>(row[j]), size += std::abs(static_cast<double>(row[j]));
      for (Index l = 0; l < c.k; ++l) {
        const float x = static_cast<float>(a.view(i, l)), w = static_cast<float>(b.view(l, j));
        const double term = rounds ? rounded(x) * rounded(w) : static_cast<double>(x) * static_cast<double>(w);
        sum += term;
        size += std::abs(term);
      }
      worst = std::max(worst, std::abs(static_cast<double>(y.view(i, j)) - sum) / std::max(size, 1e-30));
      if (std::isnan(y.view(i, j))) return INFINITY;
      y.data[static_cast<std::size_t>(3 + i * (c.n + 3) + j)] = old(i, j);
    }
  }
  return y.data == before ? worst : INFINITY;
}

// Sizes: every one up to 67 in turn on each axis, then the edges of tiles and blocks.
std::vector<Case> cases(const GemmTile& tile) {
  std::vector<Case> list;
  const auto add = [&](Index m, Index n, Index k) {
    const auto number = list.size();
    list.push_back({m, n, k, number % 2 == 1, number / 2 % 2 == 1, static_cast<Start>(number % 5)});
  };
  for (Index size = 0; size <= 67; ++size) {
    for (int transposes = 0; transposes < 4; ++transposes) {
      add(size, 67 - size, size / 2 + 1);
      add(size / 3 + 1, size, 67 - size);
      add(67 - size, size / 2 + 1, size);
    }
  }
  const Index depth = gemm_detail::depth_block * tile.depth_step;
  for (const Index m : {tile.rows - 1, tile.rows, tile.rows + 1, 2 * tile.rows + 3, Index{47}, Index{57}, Index{99}})
    add(m, 35, 41), add(m, 34, 77);
  for (const Index n :
       {tile.columns - 1, tile.columns, tile.columns + 1, 2 * tile.columns + 3, Index{127}, Index{128}, Index{129}, Index{259}})
    for (int transposes = 0; transposes < 4; ++transposes) add(33, n, 19);
  for (const Index k : {depth - 1, depth, depth + 1, 2 * depth + 3})
    for (int transposes = 0; transposes < 4; ++transposes) add(19, 37, k);
  for (const Index n : {Index{4095}, Index{4096}, Index{4097}, Index{8195}}) add(18, n, 5), add(17, n, 3);
  return list;
}

}  // namespace

TEST_CASE("packed products of floats and of bfloat16 at each level, every size and block edge") {
  plume_test::at_each_level(gemm_levels, [](const GemmLevel& level) {
    Random random{.seed = 11};
    double single = 0, mixed = 0, rounding = 0, bf16 = 0;
    for (const Case& c : cases(level.single)) {
      if (c.m * c.n == 0 || c.k == 0) continue;  // the door's business
      const auto product = [&](const GemmTile& tile) {
        return [&](View<float, 2> y, auto a, auto b, View<const float, 2> matrix, View<const float, 1> row) {
          gemm_blocked(tile, y, a, b, {matrix, row});
        };
      };
      single = std::max(single, error_of<float, float>(c, random, false, product(level.single)));
      mixed = std::max(mixed, error_of<float, Bfloat16>(c, random, false, product(level.single)));
      rounding = std::max(rounding, error_of<float, float>(c, random, true, product(level.bf16)));
      bf16 = std::max(bf16, error_of<Bfloat16, Bfloat16>(c, random, true, product(level.bf16)));
    }
    for (const Case& c : cases(level.bf16)) {
      if (c.k > 384)
        bf16 = std::max(bf16, error_of<Bfloat16, float>(c, random, true, [&](View<float, 2> y, auto a, auto b, auto matrix, auto row) {
                          gemm_blocked(level.bf16, y, a, b, {matrix, row});
                        }));
    }
    CHECK(single < 1e-6);
    CHECK(mixed < 1e-6);
    CHECK(rounding < 1e-6);
    CHECK(bf16 < 1e-6);
  });
}

TEST_CASE("products of a few rows at each level") {
  plume_test::at_each_level(gemm_levels, [](const GemmLevel& level) {
    Random random{.seed = 13};
    double worst = 0;
    for (Index m = 1; m <= 16; ++m) {
      for (const Index n : {1, 2, 3, 5, 8, 31, 67}) {
        for (Index k : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 67, 131}) {
          for (const bool reads_rows : {true, false}) {
            const Case c{m, n, k, false, reads_rows, Start::itself};
            const auto product = [&]<class B>(View<float, 2> y, View<const float, 2> a, View<const B, 2> b, auto, auto) {
              constexpr int type = std::is_same_v<B, Bfloat16> ? 1 : 0;
              if (reads_rows)
                level.few_rows_product[type](y, a, b.data(), b.stride(1));
              else
                level.few_rows_sum[type](y, a, b.data(), b.stride(0));
            };
            worst = std::max(worst, error_of<float, float>(c, random, false, product));
            worst = std::max(worst, error_of<float, Bfloat16>(c, random, false, product));
          }
        }
      }
    }
    CHECK(worst < 1e-6);
  });
}

TEST_CASE("NaN and infinity reach the result at each level; subnormals do no harm") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  plume_test::at_each_level(gemm_levels, [&](const GemmLevel& level) {
    for (const GemmTile* tile : {&level.single, &level.bf16}) {
      for (const float special : {inf, -inf, nan, 1e-41f}) {
        const Index m = 19, n = 21, k = 23;
        std::vector<float> a(static_cast<std::size_t>(m * k), 1.0f), b(static_cast<std::size_t>(k * n), 1.0f),
            c(static_cast<std::size_t>(m * n));
        a[static_cast<std::size_t>(7 * k + 5)] = special;
        gemm_blocked(*tile, View<float, 2>(c.data(), {m, n}), View<const float, 2>(a.data(), {m, k}),
                     View<const float, 2>(b.data(), {k, n}), {});
        for (Index i = 0; i < m; ++i) {
          for (Index j = 0; j < n; ++j) {
            const float value = c[static_cast<std::size_t>(i * n + j)];
            if (i != 7)
              CHECK(value == 23.0f);
            else if (std::isnan(special))
              CHECK(std::isnan(value));
            else
              CHECK(value == (std::isinf(special) ? special : 22.0f));
          }
        }
      }
    }
  });
}

TEST_CASE("no two levels share a kernel, and bit-identical results for any number of threads") {
  for (std::size_t i = 0; i < gemm_levels.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (gemm_levels[i] == nullptr || gemm_levels[j] == nullptr) continue;
      const GemmLevel &one = *gemm_levels[i], &other = *gemm_levels[j];
      CHECK((one.single.multiply != other.single.multiply));
      CHECK((one.bf16.multiply != other.bf16.multiply));
      CHECK((one.single.pack != other.single.pack));
      CHECK((one.few_rows_product[0] != other.few_rows_product[0]));
      CHECK((one.few_rows_sum[1] != other.few_rows_sum[1]));
    }
  }
  plume_test::at_each_level(gemm_levels, [](const GemmLevel& level) {
    for (const GemmTile* tile : {&level.single, &level.bf16}) {
      std::vector<float> results[4];
      const int threads[] = {1, 2, 3, 5};
      for (int t = 0; t < 4; ++t) {
        const Context context({.threads = threads[t]});
        const ContextScope scope(context);
        Random random{.seed = 17};
        Framed<float> a(203, 405, false, random), b(405, 517, true, random);
        results[t].resize(203 * 517);
        gemm_blocked(*tile, View<float, 2>(results[t].data(), {203, 517}), a.view, b.view, {});
      }
      for (int t = 1; t < 4; ++t) CHECK(results[t] == results[0]);
    }
  });
}
