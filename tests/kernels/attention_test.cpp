// Attention of floats at every level of this processor, against the reference loop in double.
#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "../numbers.hpp"
#include "plume/kernels/attention/table.hpp"

using namespace plume;
using kernels::AttentionLevel;
using kernels::AttentionSequence;
using kernels::HeadShape;
using kernels::Level;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// A matrix whose rows have gaps and begin at an odd address, in float and in double.
struct Matrix {
  std::vector<float> storage;
  std::vector<double> exact;
  Index rows, columns, stride;

  Matrix(Index r, Index c) : rows(r), columns(c), stride(c + 5) {
    storage.assign(static_cast<std::size_t>(rows * stride + 3), 1e30f);  // gaps must not be read as part of a row
    exact.assign(static_cast<std::size_t>(rows * stride + 3), 1e30);
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < columns; ++j) set(i, j, 0);
  }
  Matrix(Index r, Index c, std::uint64_t seed) : Matrix(r, c) {
    Random random{.seed = seed};
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < columns; ++j) set(i, j, static_cast<float>(random.normal()));
  }
  std::size_t at(Index i, Index j) const { return static_cast<std::size_t>(1 + i * stride + j); }
  void set(Index i, Index j, float value) { storage[at(i, j)] = value, exact[at(i, j)] = static_cast<double>(value); }
  template <class T>
  View<T, 2> view() {
    if constexpr (std::is_same_v<T, float>)
      return {storage.data() + 1, {rows, columns}, {stride, 1}};
    else
      return {exact.data() + 1, {rows, columns}, {stride, 1}};
  }
  // The largest difference in relation to the largest number; infinite where only one is finite, or where a gap was written.
  double error() const {
    double worst = 0, most = 1e-30;
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < columns; ++j) {
        const double a = static_cast<double>(storage[at(i, j)]), b = exact[at(i, j)];
        if (std::isnan(a) && std::isnan(b)) continue;
        if (a == b) continue;
        if (!std::isfinite(a) || !std::isfinite(b)) return INFINITY;
        worst = std::max(worst, std::abs(a - b));
        most = std::max(most, std::abs(b));
      }
      for (Index j = columns; j < stride && at(i, j) < storage.size(); ++j)
        if (storage[at(i, j)] != 1e30f) return INFINITY;
    }
    return storage[0] != 1e30f ? INFINITY : worst / most;
  }
};

struct Segment {
  Index queries, keys;
  IntervalMask mask;
  Index first_query = 0;
  Index first_key = 0;  // row of the key matrix
};

struct Problem {
  HeadShape shape;
  std::vector<Segment> segments;
  double scale = 0.3, soft_cap = 0, slope = 0;
  bool has_relative = false;
  double dropout = 0;

  Index rows = 0, key_rows = 0;
  Matrix q{0, 0}, keys{0, 0}, values{0, 0}, y{0, 0}, log_sum_exp{0, 0}, dy{0, 0}, dq{0, 0}, dkeys{0, 0}, dvalues{0, 0}, table{0, 0},
      dtable{0, 0};
  std::vector<std::int32_t> buckets;

  explicit Problem(HeadShape s, std::vector<Segment> parts) : shape(s), segments(std::move(parts)) {
    rows = 2;  // rows that belong to no segment
    for (const Segment& segment : segments) {
      rows += segment.queries;
      key_rows = std::max(key_rows, segment.first_key + segment.keys);
    }
    q = Matrix(rows, shape.query_heads * shape.head_width, 1);
    keys = Matrix(key_rows, shape.key_heads * shape.head_width, 2);
    values = Matrix(key_rows, shape.key_heads * shape.value_width, 3);
    dy = Matrix(rows, shape.query_heads * shape.value_width, 4);
    y = Matrix(rows, shape.query_heads * shape.value_width);
    log_sum_exp = Matrix(shape.query_heads, rows);
    dq = Matrix(rows, q.columns, 5);  // gradients add
    dkeys = Matrix(key_rows, keys.columns, 6);
    dvalues = Matrix(key_rows, values.columns, 7);
    table = Matrix(shape.query_heads, 9, 8);
    dtable = Matrix(shape.query_heads, 9, 9);
    for (Index distance = -20; distance <= 20; ++distance) buckets.push_back(static_cast<std::int32_t>((distance + 40) % 9));
  }
  template <class T>
  std::vector<AttentionSequence<T>> sequences() {
    std::vector<AttentionSequence<T>> list;
    Index row = 1;
    for (const Segment& s : segments) {
      const auto part = [&](Matrix& m) { return m.view<T>().rows(s.first_key, s.first_key + s.keys); };
      list.push_back({row, row + s.queries, part(keys), part(values), part(dkeys), part(dvalues), &s.mask, s.first_query});
      row += s.queries;
    }
    return list;
  }
  template <class T>
  auto rules() {
    return [this](Index head) {
      kernels::ScoreRule<T> rule;
      rule.scale = static_cast<T>(scale);
      rule.soft_cap = static_cast<T>(soft_cap);
      rule.slope = static_cast<T>(slope / static_cast<double>(head + 1));
      if (has_relative) {
        rule.relative = {table.view<T>().row(head), {9}};
        rule.buckets = buckets;
        rule.bucket_zero = 20;
      }
      rule.dropout = {.rate = dropout, .seed = 11, .stream = 3};
      rule.dropout_row = static_cast<std::uint64_t>(head * rows);
      return rule;
    };
  }
  void run_exact() {
    const auto list = sequences<double>();
    kernels::attention<double>(y.view<double>(), log_sum_exp.view<double>(), q.view<double>(), list, shape, rules<double>());
    kernels::attention_backward<double>(dq.view<double>(), has_relative ? dtable.view<double>() : View<double, 2>{}, dy.view<double>(),
                                        y.view<double>(), log_sum_exp.view<double>(), q.view<double>(), list, shape, rules<double>());
  }
  // Returns the tiles of scores that the forward and the backward pass computed.
  std::pair<Index, Index> run(const AttentionLevel& level) {
    const auto list = sequences<float>();
    const auto rule = rules<float>();
    std::atomic<Index> forward{0}, backward{0};
    kernels::attention_forward(level, y.view<float>(), log_sum_exp.view<float>(), q.view<float>(), list, shape,
                               kernels::attention_detail::erase(rule), &forward);
    kernels::attention_backward(level, dq.view<float>(), has_relative ? dtable.view<float>() : View<float, 2>{}, dy.view<float>(),
                                y.view<float>(), log_sum_exp.view<float>(), q.view<float>(), list, shape,
                                kernels::attention_detail::erase(rule), &backward);
    return {forward, backward};
  }
  std::vector<const Matrix*> results() const { return {&y, &log_sum_exp, &dq, &dkeys, &dvalues, &dtable}; }
};

const std::string result_names[] = {"y", "log_sum_exp", "dq", "dkeys", "dvalues", "drelative"};

// Levels that this processor has, or that are emulated.
std::vector<Level> levels() {
#if defined(PLUME_EMULATE_LEVELS)
  const Level last = Level::avx512bf16;
#else
  const Level last = kernels::available_level();
#endif
  std::vector<Level> list;
  for (std::size_t i = 0; i <= static_cast<std::size_t>(last); ++i) list.push_back(static_cast<Level>(i));
  return list;
}
const AttentionLevel& kernels_of(Level level) { return *kernels::attention_levels[static_cast<std::size_t>(level)]; }

void check(Problem problem, const std::string& title, double tolerance = 2e-6) {
  INFO(title);
  problem.run_exact();
  for (const Level level : levels()) {
    Problem mine = problem;
    mine.run(kernels_of(level));
    for (std::size_t i = 0; i < 6; ++i) {
      const double error = mine.results()[i]->error(), allowed = i == 5 ? 2 * tolerance : tolerance;  // a bucket sums thousands of terms
      CHECK_MESSAGE(error < allowed, result_names[i] << " at level " << kernels::name_of(level) << ": " << error);
    }
  }
}

Segment self(Index tokens, const Mask& mask) { return {tokens, tokens, mask.intervals(0, tokens, tokens)}; }

Mask with_holes() {
  return Mask::predicate([](Index query, Index key) { return (query * 7 + key * key) % 5 < 2 && query % 6 != 3; });
}

std::vector<std::pair<std::string, Mask>> masks() {
  return {{"causal", Mask::causal()},
          {"full", Mask::full()},
          {"prefix", Mask::prefix(21)},
          {"sliding", Mask::sliding(17)},
          {"documents", Mask::documents({0, 3, 40, 41, 100})},
          {"holes and hidden rows", with_holes()}};
}

}  // namespace

TEST_CASE("levels have kernels of their own") {
  for (std::size_t i = 1; i < kernels::attention_levels.size(); ++i) {
    const AttentionLevel *const level = kernels::attention_levels[i], *const below = kernels::attention_levels[i - 1];
    if (level == nullptr) continue;
    const bool are_distinct = level->forward != below->forward && level->backward != below->backward && level->chunk != below->chunk;
    CHECK(are_distinct);
  }
}

TEST_CASE("lengths, under every mask") {
  for (const Index tokens : {1, 2, 5, 8, 9, 63, 64, 65, 129})
    for (const auto& [name, mask] : masks()) check(Problem({2, 1, 16, 16}, {self(tokens, mask)}), concat(tokens, " tokens, ", name));
  check(Problem({1, 1, 16, 16}, {self(1000, Mask::causal())}), "1000 tokens");
}

TEST_CASE("head widths and groups") {
  for (const Index width : {1, 7, 16, 33, 64, 80, 128})
    for (const Index group : {1, 2, 3})
      for (const Index tokens : {3, 70})
        check(Problem({2 * group, 2, width, width + (group - 1) * 5}, {self(tokens, Mask::causal())}),
              concat("width ", width, ", group ", group, ", ", tokens, " tokens"), 4e-6);
}

TEST_CASE("score rules: soft cap, slope, relative table, dropout") {
  for (const Index tokens : {6, 75, 150}) {
    for (const auto& [name, mask] : masks()) {
      for (int rule = 0; rule < 6; ++rule) {
        Problem problem({2, 1, 12, 10}, {self(tokens, mask)});
        if (rule == 0 || rule >= 4) problem.soft_cap = 1.5;
        if (rule == 1 || rule >= 4) problem.slope = 0.125;
        if (rule == 2 || rule >= 4) problem.has_relative = true;
        if (rule == 3 || rule >= 5) problem.dropout = 0.25;
        if (rule == 5) problem.scale = -0.4;
        check(problem, concat("rule ", rule, ", ", tokens, " tokens, ", name), 4e-6);
      }
    }
  }
}

TEST_CASE("a packed batch: sequences of their own, queries that continue a cache, keys shared by two sequences") {
  Problem problem({4, 2, 24, 20}, {self(30, Mask::causal()),
                                   {20, 90, Mask::causal().intervals(70, 20, 90), 70, 30},
                                   {1, 300, Mask::causal().intervals(299, 1, 300), 299, 120},
                                   {4, 600, Mask::sliding(280).intervals(596, 4, 600), 596, 420},
                                   {100, 700, Mask::sliding(150).intervals(600, 100, 700), 600, 1020},
                                   {0, 0, IntervalMask{}}});
  check(problem, "own keys");
  problem.dropout = 0.5;
  check(problem, "own keys and dropout");
  Problem shared({4, 2, 24, 20}, {self(30, Mask::full()), self(30, Mask::causal()), {3, 30, Mask::full().intervals(0, 3, 30)}});
  check(shared, "shared keys");
  shared.has_relative = true;
  check(shared, "shared keys and a relative table");
}

TEST_CASE("rows that see no key give zero, and nothing flows back") {
  for (const Index tokens : {5, 70}) {
    IntervalMask mask;
    for (Index row = 0; row < tokens; ++row) mask.end_row();
    check(Problem({1, 1, 16, 16}, {{tokens, tokens, mask}}), "no row sees a key");
  }
}

TEST_CASE("what is not finite reaches what sees it and nothing else, as in the reference") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), denormal = 1e-40f;
  for (const float value : {nan, infinity, -infinity, denormal}) {
    for (const Index tokens : {6, 75, 150}) {
      for (int where = 0; where < 4; ++where) {
        Problem problem({2, 1, 12, 10}, {self(tokens, Mask::causal())});
        Matrix& matrix = where == 0 ? problem.q : where == 1 ? problem.keys : where == 2 ? problem.values : problem.dy;
        matrix.set(tokens / 2, 3, value);
        check(problem, concat("place ", where, ", value ", value, ", ", tokens, " tokens"));
      }
    }
  }
}

TEST_CASE("large scores") {
  Problem problem({2, 1, 12, 10}, {self(75, Mask::causal())});
  problem.scale = 300;
  check(problem, "scores of hundreds", 2e-3);
}

TEST_CASE("tiles outside the mask are not visited") {
  for (const Level level : levels()) {
    const AttentionLevel& fast = kernels_of(level);
    const double tile = static_cast<double>(fast.tile_rows * fast.tile_columns);
    const auto tiles = [&](Index tokens, const Mask& mask) { return Problem({1, 1, 16, 16}, {self(tokens, mask)}).run(fast); };
    const auto [full, full_back] = tiles(512, Mask::full());
    const double all = static_cast<double>(((512 + fast.tile_rows - 1) / fast.tile_rows + 8) * 512) * static_cast<double>(fast.tile_rows);
    CHECK(static_cast<double>(full) * tile >= 512.0 * 512.0);
    CHECK(static_cast<double>(full) * tile <= all);
    CHECK(full_back == full);
    const auto [causal, causal_back] = tiles(512, Mask::causal());
    CHECK(static_cast<double>(causal) < 0.58 * static_cast<double>(full));
    CHECK(causal_back == causal);
    const auto [window, window_back] = tiles(512, Mask::sliding(32));
    CHECK(static_cast<double>(window) < 0.17 * static_cast<double>(full));
    CHECK(window_back == window);
    std::vector<Index> starts;
    for (Index start = 0; start < 512; start += 64) starts.push_back(start);
    const auto [documents, documents_back] = tiles(512, Mask::documents(starts));
    CHECK(static_cast<double>(documents) < 0.12 * static_cast<double>(full));
    CHECK(documents_back == documents);
  }
}

TEST_CASE("the same bits for any number of threads") {
  Problem heads({8, 8, 16, 16}, {self(200, Mask::causal()), self(130, Mask::causal())});
  heads.segments[1].first_key = 200;
  heads = Problem(heads.shape, heads.segments);
  Problem few_heads({2, 1, 16, 16}, {self(700, Mask::causal())});  // slices of keys
  few_heads.has_relative = true;
  Problem decode({2, 1, 16, 16}, {{3, 2100, Mask::causal().intervals(2097, 3, 2100), 2097}});
  for (const Problem* problem : {&heads, &few_heads, &decode}) {
    for (const Level level : levels()) {
      Problem alone = *problem;
      alone.run(kernels_of(level));
      for (const int threads : {1, 2, 3, 5}) {
        const Context context({.threads = threads});
        const ContextScope scope(context);
        Problem together = *problem;
        together.run(kernels_of(level));
        for (std::size_t i = 0; i < 6; ++i)
          CHECK_MESSAGE(together.results()[i]->storage == alone.results()[i]->storage,
                        result_names[i] << " with " << threads << " threads");
      }
    }
  }
}
