// Embedding look-ups of every level against the reference in double.
#include "levels.hpp"
#include "plume/kernels/embedding/table.hpp"

using namespace plume;
using kernels::embedding_levels;
using plume_test::Pair;
using Table = kernels::EmbeddingTable<float>;

namespace {

std::vector<TokenId> ids_of(Index count, Index vocabulary, Random& random) {
  std::vector<TokenId> ids;
  for (Index t = 0; t < count; ++t) ids.push_back(static_cast<TokenId>(random.below(static_cast<std::uint64_t>(vocabulary))));
  return ids;
}

}  // namespace

TEST_CASE("rows are copied, and gradients of equal ids meet in one row") {
  Random random{.seed = 1};
  plume_test::at_each_level(embedding_levels, [&](const Table& levels) {
    for (const Index width : plume_test::widths()) {
      CAPTURE(width);
      Pair table(5, width, random), y(9, width, random), dy(9, width, random), dtable(5, width, random);
      const std::vector<TokenId> ids = ids_of(9, 5, random);
      if (width > 0) table.set(2, width - 1, NAN), table.set(3, 0, 1e-40f), table.set(4, width / 2, INFINITY);
      levels.embedding(y.fast, ids, table.fast);
      kernels::reference::embedding<double>(y.exact, ids, table.exact);
      CHECK(y.error(0) == 0);
      levels.embedding_backward(dtable.fast, ids, dy.fast);
      kernels::reference::embedding_backward<double>(dtable.exact, ids, dy.exact);
      CHECK(dtable.error(1) < 5e-7);
    }
  });
}

TEST_CASE("bits do not depend on the number of threads") {
  Random random{.seed = 2};
  Pair table(50, 777, random), dy(600, 777, random);
  const std::vector<TokenId> ids = ids_of(600, 50, random);
  CHECK(plume_test::is_independent_of_threads([&] {
    Random again{.seed = 3};
    Pair y(600, 777, again), dtable(50, 777, again);
    kernels::embedding<float>(y.fast, ids, table.fast);
    kernels::embedding_backward<float>(dtable.fast, ids, dy.fast);
    std::vector<float> all = y.data;
    all.insert(all.end(), dtable.data.begin(), dtable.data.end());
    return all;
  }));
}

TEST_CASE("levels have kernels of their own") { CHECK(plume_test::is_distinct(embedding_levels, &Table::embedding_backward)); }
