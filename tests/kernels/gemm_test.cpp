// Matrix products against a plain loop in double: all transposes, sizes 0 to 35, rows with gaps.
#include "plume/kernels/eigen/gemm.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

#include "../numbers.hpp"
#include "plume/kernels/gemm/table.hpp"

using namespace plume;

namespace {

// A matrix inside a larger one, so that its rows have gaps; filled from a generator.
template <class T>
struct Framed {
  std::vector<T> data;
  View<T, 2> view;
  Framed(Index rows, Index columns, bool is_transposed, Random& random)
      : data(static_cast<std::size_t>((is_transposed ? columns : rows) * ((is_transposed ? rows : columns) + 3) + 5)) {
    for (T& value : data) value = static_cast<T>(random.normal());
    const Index inner = is_transposed ? rows : columns, outer = is_transposed ? columns : rows;
    const View<T, 2> stored(data.data() + 2, {outer, inner}, {inner + 3, 1});
    view = is_transposed ? stored.transposed() : stored;
  }
};

// The largest error of c += a b, and whether anything outside c was written.
template <class T>
double error_of(Index m, Index n, Index k, bool a_transposed, bool b_transposed, Random& random) {
  Framed<T> a(m, k, a_transposed, random), b(k, n, b_transposed, random), c(m, n, false, random);
  const std::vector<T> before = c.data;
  const View<const T, 2> start(before.data() + 2, {m, n}, {n + 3, 1});
  kernels::gemm<T>(c.view, a.view, b.view);
  double worst = 0;
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      double sum = static_cast<double>(start(i, j)), size = std::abs(sum);
      for (Index l = 0; l < k; ++l) {
        const double product = static_cast<double>(a.view(i, l)) * static_cast<double>(b.view(l, j));
        sum += product;
        size += std::abs(product);
      }
      worst = std::max(worst, std::abs(static_cast<double>(c.view(i, j)) - sum) / std::max(size, 1e-30));
      c.data[static_cast<std::size_t>(2 + i * (n + 3) + j)] = start(i, j);
    }
  }
  return c.data == before ? worst : INFINITY;
}

}  // namespace

TEST_CASE("every transpose at sizes 0 to 35") {
  Random random{.seed = 3};
  const Index sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 31, 35};
  double worst = 0, worst_double = 0;
  for (const bool a_transposed : {false, true}) {
    for (const bool b_transposed : {false, true}) {
      for (const Index m : sizes)
        for (const Index n : sizes)
          for (const Index k : sizes) worst = std::max(worst, error_of<float>(m, n, k, a_transposed, b_transposed, random));
      for (Index size = 0; size <= 35; ++size) {
        worst = std::max(worst, error_of<float>(size, size, size, a_transposed, b_transposed, random));
        worst_double = std::max(worst_double, error_of<double>(size, 35 - size, size / 2, a_transposed, b_transposed, random));
      }
    }
  }
  CHECK(worst < 1e-6);
  CHECK(worst_double < 1e-15);
}

TEST_CASE("sizes past the blocks of the kernel, with threads and without") {
  for (const int threads : {1, 2, 3}) {
    const Context context({.threads = threads});
    const ContextScope scope(context);
    Random random{.seed = 5};
    for (const bool a_transposed : {false, true}) {
      for (const bool b_transposed : {false, true}) {
        CHECK(error_of<float>(301, 67, 419, a_transposed, b_transposed, random) < 1e-6);
        CHECK(error_of<float>(3, 517, 129, a_transposed, b_transposed, random) < 1e-6);
        CHECK(error_of<float>(67, 263, 33, a_transposed, b_transposed, random) < 1e-6);
      }
    }
  }
}

TEST_CASE("depths of several stretches, in one part of c and in several") {
  const Context context({.threads = 2});
  const ContextScope scope(context);
  Random random{.seed = 6};
  CHECK(error_of<float>(67, 2050, 1600, false, true, random) < 1e-6);
  CHECK(error_of<float>(41, 4500, 1300, true, false, random) < 1e-6);
  CHECK(error_of<float>(4500, 41, 1300, false, true, random) < 1e-6);
}

TEST_CASE("what is finished on the way is complete, and each element is finished once") {
  struct Size {
    Index m, n, k;
  };
  for (const Size& size :
       {Size{1, 1, 0}, Size{3, 301, 129}, Size{16, 67, 5}, Size{70, 515, 900}, Size{67, 2050, 1600}, Size{4500, 33, 1300}}) {
    CAPTURE(size.m);
    CAPTURE(size.k);
    const auto run = [&]<class T>(const ContextOptions& options, T) {
      const Context context(options);
      const ContextScope scope(context);
      Random random{.seed = 8};
      const Framed<T> a(size.m, size.k, false, random), b(size.k, size.n, true, random), c(size.m, size.n, false, random);
      const Framed<T> plain(size.m, size.n, false, random), row(1, size.n, false, random);
      const View<const T, 1> bias(row.view.row(0), {size.n});
      kernels::gemm<T>(plain.view, a.view, b.view, {}, bias);
      const auto negate = [&](Index i, Index i_end, Index j, Index j_end) {
        for (Index r = i; r < i_end; ++r)
          for (Index s = j; s < j_end; ++s) c.view(r, s) = -c.view(r, s) - 1;
      };
      kernels::gemm<T>(c.view, a.view, b.view, {}, bias, nullptr, negate);
      Index wrong = 0;
      for (Index i = 0; i < size.m; ++i)
        for (Index j = 0; j < size.n; ++j) wrong += c.view(i, j) != -plain.view(i, j) - 1;
      CHECK(wrong == 0);
    };
    run({.threads = 1}, float());
    run({.threads = 3}, float());
    run({.threads = 1}, double());
#if defined(PLUME_TEST_EMULATED)
    if (size.m * size.n * size.k > 100'000'000) continue;  // minutes of the reference loop
#endif
    run({.threads = 3, .gemm = &kernels::reference::gemm<float>}, float());
  }
}

TEST_CASE("a context can ask for another product: the reference loop, Eigen") {
  for (const GemmFunction<float> product : {&kernels::reference::gemm<float>, eigen_gemm}) {
    const Context context({.threads = 1, .gemm = product});
    const ContextScope scope(context);
    Random random{.seed = 7};
    CHECK(error_of<float>(35, 33, 31, false, true, random) < 1e-6);
    CHECK(error_of<float>(35, 33, 31, true, false, random) < 1e-6);
  }
}
