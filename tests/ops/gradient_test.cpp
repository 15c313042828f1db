// Every differentiable op against central differences in f64, at odd sizes.
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <set>
#include <string>

#include "../numbers.hpp"
#include "../test_data.hpp"
#include "plume/autograd/gradient_check.hpp"
#include "plume/autograd/recompute.hpp"
#include "plume/ops/ops.hpp"

using namespace plume;
using plume_test::random_tensor;
using plume_test::same_bits;

namespace {

using Inputs = std::vector<Tensor>;
using Function = std::function<Tensor(const Inputs&)>;

struct Case {
  std::string op;     // as traced() or record() spells it
  std::string title;  // what is special
  Function function;
  Inputs inputs;
};

// Random inputs of the given shapes.
Inputs inputs(const std::vector<Shape>& shapes) {
  Inputs list;
  for (const Shape& shape : shapes) list.push_back(random_tensor(shape, 100 + list.size()));
  return list;
}

// Moves values that are close to a kink.
Inputs away_from(const std::vector<double>& kinks, Inputs list) {
  for (const Tensor& tensor : list)
    for (Index i = 0; i < tensor.size(); ++i)
      for (const double kink : kinks)
        if (double& value = tensor.writable<double>()[i]; std::abs(value - kink) < 0.01) value += 0.03;
  return list;
}

struct AttentionSetting {
  HeadShape heads{.query_heads = 4, .key_heads = 2, .head_width = 3, .value_width = 5};
  std::vector<Index> lengths{7};
  Mask mask = {};
  AttentionOptions options = {};
};

std::shared_ptr<const IntervalMask> intervals(const Mask& mask, Index first, Index count, Index keys) {
  return std::make_shared<const IntervalMask>(mask.intervals(first, count, keys));
}

// q, keys, values and, with buckets, a table; segments are row views of keys and values.
Case attention_case(std::string title, AttentionSetting setting) {
  Index rows = 0;
  for (const Index length : setting.lengths) rows += length;
  const HeadShape& heads = setting.heads;
  std::vector<Shape> shapes{{rows, heads.query_heads * heads.head_width},
                            {rows, heads.key_heads * heads.head_width},
                            {rows, heads.key_heads * heads.value_width}};
  if (!setting.options.relative.buckets.empty()) shapes.push_back({heads.query_heads, 4});
  const auto function = [setting](const Inputs& in) {
    std::vector<AttentionSegment> segments;
    Index begin = 0;
    for (const Index length : setting.lengths) {
      const Index end = begin + length;
      segments.push_back({begin, end, in[1].rows(begin, end), in[2].rows(begin, end), intervals(setting.mask, 0, length, length), 0});
      begin = end;
    }
    AttentionOptions options = setting.options;
    options.heads = setting.heads;
    options.scale = 0.7;
    if (in.size() > 3) options.relative.table = in[3];
    return attention(in[0], segments, options);
  };
  return {"attention", std::move(title), function, inputs(shapes)};
}

void add_attention(std::vector<Case>& cases) {
  const auto add = [&](std::string title, const AttentionSetting& setting) { cases.push_back(attention_case(std::move(title), setting)); };
  add("causal", {});
  add("one head", {.heads = {.query_heads = 1, .key_heads = 1, .head_width = 5, .value_width = 3}});
  add("multi-query", {.heads = {.query_heads = 3, .key_heads = 1, .head_width = 3, .value_width = 2}});
  add("full", {.mask = Mask::full()});
  add("prefix", {.mask = Mask::prefix(3)});
  add("sliding", {.mask = Mask::sliding(3)});
  add("sliding by one", {.mask = Mask::sliding(1)});
  add("documents", {.mask = Mask::documents({0, 2, 3})});
  add("holes, and a row that sees nothing", {.mask = Mask::predicate([](Index q, Index k) { return q != 2 && (k + q) % 3 != 1; })});
  add("ragged segments", {.lengths = {3, 1, 5}});
  add("ragged sliding segments with an empty one", {.lengths = {4, 0, 5}, .mask = Mask::sliding(2)});
  add("more than one query tile", {.heads = {.query_heads = 2, .key_heads = 1, .head_width = 2, .value_width = 1}, .lengths = {2, 37}});
  AttentionSetting alibi{.lengths = {3, 4}};
  alibi.options.slopes = {0.5, 0.25, 0.125, 1};
  add("ALiBi", alibi);
  AttentionSetting capped;
  capped.options.soft_cap = 1.3;
  add("soft cap", capped);
  AttentionSetting relative{.lengths = {4, 5}, .mask = Mask::full()};
  relative.options.relative = {.table = {}, .buckets = {0, 3, 1, 1, 2}, .zero = 2};
  add("learned relative bias", relative);
  AttentionSetting dropped{.lengths = {4, 5}};
  dropped.options.dropout = {.rate = 0.4, .seed = 3, .stream = 5};
  add("dropout", dropped);
  AttentionSetting all{.heads = {.query_heads = 4, .key_heads = 2, .head_width = 2, .value_width = 1},
                       .lengths = {3, 35},
                       .mask = Mask::predicate([](Index q, Index k) { return k <= q && q != 33 && (q + k) % 5 != 4; })};
  all.options.slopes = {0.5, 0.25, 0.125, 1};
  all.options.soft_cap = 1.5;
  all.options.relative = {.table = {}, .buckets = {1, 0, 3, 2, 2}, .zero = 4};
  all.options.dropout = {.rate = 0.3, .seed = 4, .stream = 1};
  add("everything at once", all);
  cases.push_back({"attention", "queries after a prefix of keys",
                   [](const Inputs& in) {
                     AttentionOptions options{.heads = {2, 2, 3, 3}, .scale = 0.5, .slopes = {0.5, 0.1}};
                     return attention(in[0], {{0, 3, in[1], in[2], intervals({}, 4, 3, 7), 4}}, options);
                   },
                   inputs({{3, 6}, {7, 6}, {7, 6}})});
  cases.push_back({"attention", "queries that no segment covers",
                   [](const Inputs& in) {
                     return attention(in[0], {{1, 4, in[1], in[2], intervals({}, 0, 3, 3), 0}}, {.heads = {1, 1, 3, 3}});
                   },
                   inputs({{5, 3}, {3, 3}, {3, 3}})});
  cases.push_back({"attention", "two sequences that read the same keys",
                   [](const Inputs& in) {
                     const auto mask = intervals(Mask::full(), 0, 3, 5), other = intervals(Mask::full(), 0, 4, 5);
                     return attention(in[0], {{0, 3, in[1], in[2], mask, 0}, {3, 7, in[1], in[2], other, 0}}, {.heads = {4, 2, 3, 2}});
                   },
                   inputs({{7, 12}, {5, 6}, {5, 4}})});
  cases.push_back({"attention", "column views of one fused projection",
                   [](const Inputs& in) {
                     const Tensor q = in[0].columns(0, 12), k = in[0].columns(12, 18), v = in[0].columns(18, 28);
                     return attention(q,
                                      {{0, 4, k.rows(0, 4), v.rows(0, 4), intervals({}, 0, 4, 4), 0},
                                       {4, 7, k.rows(4, 7), v.rows(4, 7), intervals(Mask::full(), 0, 3, 3), 0}},
                                      {.heads = {4, 2, 3, 5}, .scale = 0.6});
                   },
                   inputs({{7, 28}})});
  cases.push_back({"attention", "one tensor as queries, keys and values",
                   [](const Inputs& in) {
                     return attention(in[0], {{0, 5, in[0], in[0], intervals({}, 0, 5, 5), 0}}, {.heads = {2, 2, 3, 3}});
                   },
                   inputs({{5, 6}})});
}

void add_elementwise(std::vector<Case>& cases) {
  cases.push_back({"add", "", [](const Inputs& in) { return in[0] + in[1]; }, inputs({{5, 7}, {5, 7}})});
  cases.push_back({"add", "a tensor to itself", [](const Inputs& in) { return in[0] + in[0]; }, inputs({{5, 7}})});
  cases.push_back({"add", "overlapping row views", [](const Inputs& in) { return in[0].rows(0, 3) + in[0].rows(2, 5); }, inputs({{5, 7}})});
  cases.push_back(
      {"add", "column views", [](const Inputs& in) { return in[0].columns(0, 3) + in[1].columns(4, 7); }, inputs({{5, 7}, {5, 7}})});
  cases.push_back({"scale", "", [](const Inputs& in) { return -0.3 * in[0]; }, inputs({{5, 7}})});
  cases.push_back({"scale", "a column view", [](const Inputs& in) { return scale(in[0].columns(1, 4), 1.7); }, inputs({{5, 7}})});
  cases.push_back({"multiply", "", [](const Inputs& in) { return in[0] * in[1]; }, inputs({{5, 7}, {5, 7}})});
  cases.push_back({"multiply", "a tensor by itself", [](const Inputs& in) { return in[0] * in[0]; }, inputs({{5, 7}})});
  cases.push_back({"multiply", "overlapping column views", [](const Inputs& in) { return in[0].columns(0, 4) * in[0].columns(3, 7); },
                   inputs({{5, 7}})});
  cases.push_back({"softmax", "", [](const Inputs& in) { return softmax(in[0]); }, inputs({{5, 7}})});
  cases.push_back({"softmax", "a column view", [](const Inputs& in) { return softmax(in[0].columns(2, 7)); }, inputs({{5, 9}})});
  const Dropout rule{.rate = 0.35, .seed = 11, .stream = 2};
  cases.push_back({"dropout", "", [=](const Inputs& in) { return dropout(in[0], rule); }, inputs({{5, 7}})});
  cases.push_back({"dropout", "a column view", [=](const Inputs& in) { return dropout(in[0].columns(3, 6), rule); }, inputs({{5, 7}})});

  const std::vector<std::pair<std::string, Activation>> rules{
      {"silu", {.kind = ActivationKind::silu}},           {"silu with a slope", {.kind = ActivationKind::silu, .slope = 1.702}},
      {"gelu_tanh", {.kind = ActivationKind::gelu_tanh}}, {"gelu_erf", {.kind = ActivationKind::gelu_erf}},
      {"relu", {.kind = ActivationKind::relu}},
  };
  for (const auto& [name, rule_of_kind] : rules) {
    Activation shifted = rule_of_kind;
    shifted.shift = 0.7;
    shifted.limit = 0.8;
    const std::vector<double> kinks{0, 0.8, -0.8};
    cases.push_back({"activation", name, [rule = rule_of_kind](const Inputs& in) { return activation(in[0], rule); },
                     away_from(kinks, inputs({{5, 7}}))});
    cases.push_back({"gated", name, [rule = rule_of_kind](const Inputs& in) { return gated(in[0], in[1], rule); },
                     away_from(kinks, inputs({{5, 7}, {5, 7}}))});
    cases.push_back({"gated", name + " with shift and limit", [shifted](const Inputs& in) { return gated(in[0], in[1], shifted); },
                     away_from(kinks, inputs({{5, 7}, {5, 7}}))});
  }
  cases.push_back({"activation", "a column view", [](const Inputs& in) { return gelu(in[0].columns(1, 5)); }, inputs({{5, 7}})});
  cases.push_back({"gated", "halves of one tensor", [](const Inputs& in) { return gated(in[0].columns(0, 4), in[0].columns(4, 8), {}); },
                   inputs({{5, 8}})});
}

void add_rows_and_products(std::vector<Case>& cases) {
  cases.push_back({"layer_norm", "", [](const Inputs& in) { return layer_norm(in[0], in[1], in[2], 0.1); }, inputs({{5, 7}, {7}, {7}})});
  cases.push_back({"layer_norm", "no bias", [](const Inputs& in) { return layer_norm(in[0], in[1], {}, 1e-5); }, inputs({{5, 13}, {13}})});
  cases.push_back({"layer_norm", "a column view, weight and bias shared",
                   [](const Inputs& in) { return layer_norm(in[0].columns(1, 8), in[1], in[1], 0.1); }, inputs({{5, 9}, {7}})});
  cases.push_back({"rms_norm", "", [](const Inputs& in) { return rms_norm(in[0], in[1], 0.1); }, inputs({{5, 7}, {7}})});
  cases.push_back({"rms_norm", "a column view and a row view",
                   [](const Inputs& in) { return rms_norm(in[0].columns(1, 14), in[1].rows(1, 2), 1e-5); }, inputs({{5, 17}, {3, 13}})});
  cases.push_back({"linear", "", [](const Inputs& in) { return linear(in[0], in[1], in[2]); }, inputs({{5, 7}, {9, 7}, {9}})});
  cases.push_back({"linear", "no bias, one row", [](const Inputs& in) { return linear(in[0], in[1]); }, inputs({{1, 13}, {3, 13}})});
  cases.push_back({"linear", "views",
                   [](const Inputs& in) { return linear(in[0].columns(2, 7), in[1].rows(1, 8).columns(1, 6), in[2].rows(2, 3)); },
                   inputs({{6, 11}, {9, 7}, {3, 7}})});
  // Two terms on rows that overlap, one with dropout on some outputs alone; rows between them go through neither.
  const auto outputs = std::make_shared<const std::vector<ColumnRange>>(std::vector<ColumnRange>{{0, 2}, {5, 9}});
  cases.push_back({"low_rank_linear", "two parts",
                   [=](const Inputs& in) {
                     const LowRankRows parts[] = {{{in[3], in[4], 0.7, outputs}, 0, 4, {.rate = 0.3, .seed = 2, .stream = 5}},
                                                  {{in[5], in[6], 1.5}, 3, 5}};
                     return low_rank_linear(in[0], in[1], in[2], parts);
                   },
                   inputs({{6, 7}, {9, 7}, {9}, {2, 7}, {9, 2}, {3, 7}, {9, 3}})});
  cases.push_back({"low_rank_linear", "no bias, a view as x",
                   [](const Inputs& in) {
                     const LowRankRows parts[] = {{{in[2], in[3], -2}, 0, 3}};
                     return low_rank_linear(in[0].columns(2, 7), in[1], {}, parts);
                   },
                   inputs({{3, 8}, {4, 5}, {1, 5}, {4, 1}})});
  const Activation smooth{.kind = ActivationKind::gelu_erf, .shift = 0.3};
  cases.push_back({"activated_linear", "", [=](const Inputs& in) { return activated_linear(in[0], in[1], in[2], smooth); },
                   inputs({{5, 7}, {9, 7}, {9}})});
  cases.push_back({"activated_linear", "no bias, a view as x",
                   [=](const Inputs& in) { return activated_linear(in[0].columns(1, 6), in[1], {}, {}); }, inputs({{3, 8}, {4, 5}})});
  cases.push_back({"gated_linear", "", [=](const Inputs& in) { return gated_linear(in[3], in[0], in[1], in[2], smooth); },
                   inputs({{5, 7}, {9, 7}, {9}, {5, 9}})});
  cases.push_back({"gated_linear", "its own gate", [=](const Inputs& in) { return gated_linear(in[0], in[0], in[1], {}, {}); },
                   inputs({{5, 7}, {7, 7}})});
  cases.push_back({"linear", "one tensor as x and weight", [](const Inputs& in) { return linear(in[0], in[0]); }, inputs({{5, 7}})});
  static const std::vector<TokenId> ids{3, 0, 3, 10, 7, 3};
  cases.push_back({"embedding", "repeated ids", [](const Inputs& in) { return embedding(ids, in[0]); }, inputs({{11, 5}})});
  cases.push_back({"embedding", "a column view", [](const Inputs& in) { return embedding(ids, in[0].columns(1, 4)); }, inputs({{11, 5}})});
  cases.push_back({"embedding", "a table that is the head as well", [](const Inputs& in) { return linear(embedding(ids, in[0]), in[0]); },
                   inputs({{11, 5}})});
  static const std::vector<std::int32_t> positions{0, 1, 2, 17, 4};
  for (const RotaryLayout layout : {RotaryLayout::half_split, RotaryLayout::interleaved}) {
    for (const Index width : {6, 4}) {
      cases.push_back({"rope", width == 6 ? "whole heads" : "partial",
                       [=](const Inputs& in) { return rope(in[0], rotary_angles(positions, width, 500, DType::f64), 6, layout); },
                       inputs({{5, 18}})});
    }
    cases.push_back({"rope", "a column view",
                     [=](const Inputs& in) { return rope(in[0].columns(6, 18), rotary_angles(positions, 4, 500, DType::f64), 6, layout); },
                     inputs({{5, 21}})});
  }
}

void add_selections(std::vector<Case>& cases) {
  static const std::vector<ColumnRange> ranges{{6, 9}, {0, 2}, {2, 6}}, empty{{3, 3}, {1, 4}};
  cases.push_back({"gather_columns", "in another order", [](const Inputs& in) { return gather_columns(in[0], ranges); }, inputs({{5, 9}})});
  cases.push_back(
      {"gather_columns", "a part, a view", [](const Inputs& in) { return gather_columns(in[0].columns(2, 7), empty); }, inputs({{3, 8}})});
  cases.push_back({"soft_cap", "", [](const Inputs& in) { return soft_cap(in[0], 0.7); }, inputs({{5, 7}})});
  cases.push_back({"soft_cap", "a column view", [](const Inputs& in) { return soft_cap(in[0].columns(1, 4), 3); }, inputs({{3, 6}})});
  cases.push_back({"shift", "", [](const Inputs& in) { return shift(in[0], 1.5); }, inputs({{5, 7}})});
  cases.push_back(
      {"shift", "gains of a norm", [](const Inputs& in) { return rms_norm(in[0], shift(in[1], 1), 1e-5); }, inputs({{5, 7}, {7}})});
  for (const ExpertWeights weights : {ExpertWeights::renormalised, ExpertWeights::as_they_are}) {
    // Probabilities far enough apart that no difference changes the choice; expert 2 is chosen by nobody.
    const Tensor apart =
        Tensor::from(std::vector<double>{.5, .3, .01, .19, .2, .45, .02, .33, .35, .15, .03, .47, .3, .2, .05, .45}, {4, 4});
    const ExpertChoice choice = choose_experts(apart, 2);
    const auto rows = [&](std::size_t e) { return static_cast<Index>(choice.tokens[e].size()); };
    Inputs in = inputs({{rows(0), 3}, {rows(1), 3}, {rows(2), 3}, {rows(3), 3}});
    in.push_back(apart);
    cases.push_back({"mix_experts", weights == ExpertWeights::renormalised ? "renormalised" : "as they are",
                     [=](const Inputs& x) { return mix_experts(std::span(x).first(4), x[4], choice, weights); }, in});
  }
  cases.push_back({"gate_rows", "", [](const Inputs& in) { return gate_rows(in[0], in[1]); }, inputs({{5, 7}, {5, 1}})});
  cases.push_back({"gate_rows", "views of one tensor", [](const Inputs& in) { return gate_rows(in[0].columns(0, 3), in[0].columns(2, 3)); },
                   inputs({{4, 4}})});
}

void add_losses(std::vector<Case>& cases) {
  static const std::vector<TokenId> targets{3, -1, 0, 8, -1}, ignored(5, -1);
  cases.push_back({"cross_entropy", "ignored targets", [](const Inputs& in) { return cross_entropy(in[0], targets); }, inputs({{5, 9}})});
  cases.push_back({"cross_entropy", "normalizer, a column view",
                   [](const Inputs& in) { return cross_entropy(in[0].columns(1, 10), targets, 7.5); }, inputs({{5, 11}})});
  static const Tensor wanted = random_tensor({5, 3}, 42);
  cases.push_back({"mean_squared_error", "", [](const Inputs& in) { return mean_squared_error(in[0], wanted); }, inputs({{5, 3}})});
  cases.push_back({"mean_squared_error", "normalizer, a column view",
                   [](const Inputs& in) { return mean_squared_error(in[0].columns(1, 4), wanted, 2.5); }, inputs({{5, 6}})});
  static const Tensor likely = Tensor::from(std::vector<double>{0, 1, 0.3, 1, 0, 0.9}, {2, 3});
  cases.push_back({"binary_cross_entropy", "", [](const Inputs& in) { return binary_cross_entropy(in[0], likely); }, inputs({{2, 3}})});
  cases.push_back({"binary_cross_entropy", "normalizer, a column view",
                   [](const Inputs& in) { return binary_cross_entropy(in[0].columns(1, 4), likely, 0.7); }, inputs({{2, 6}})});
  cases.push_back({"classifier_loss", "bias", [](const Inputs& in) { return classifier_loss(in[0], in[1], in[2], targets); },
                   inputs({{5, 7}, {9, 7}, {9}})});
  cases.push_back({"classifier_loss", "normalizer, views",
                   [](const Inputs& in) { return classifier_loss(in[0].columns(1, 5), in[1].rows(2, 11), in[2].rows(1, 2), targets, 2.5); },
                   inputs({{5, 7}, {12, 4}, {3, 9}})});
  cases.push_back({"classifier_loss", "capped", [](const Inputs& in) { return classifier_loss(in[0], in[1], in[2], targets, 0, 0.9); },
                   inputs({{5, 7}, {9, 7}, {9}})});
  cases.push_back({"classifier_loss", "x and weight of one storage",
                   [](const Inputs& in) { return classifier_loss(in[0].rows(0, 5), in[0].rows(3, 12), {}, targets); }, inputs({{12, 4}})});
  static const std::vector<TokenId> many = [] {
    std::vector<TokenId> list(259);
    for (std::size_t t = 0; t < list.size(); ++t) list[t] = static_cast<TokenId>(t % 6) - 1;
    return list;
  }();
  cases.push_back({"classifier_loss", "more rows than a chunk", [](const Inputs& in) { return classifier_loss(in[0], in[1], {}, many); },
                   inputs({{259, 2}, {5, 2}})});
}

void add_recompute(std::vector<Case>& cases) {
  const Dropout rule{.rate = 0.35, .seed = 11, .stream = 2};
  const auto layer = [=](const Tensor& x, const Tensor& weight) { return gelu(linear(dropout(x, rule), weight)) + x; };
  cases.push_back({"recompute", "parameters and dropout inside",
                   [=](const Inputs& in) { return recompute(in[0], [=](const Tensor& x) { return layer(x, in[1]); }); },
                   inputs({{5, 7}, {7, 7}})});
  cases.push_back({"recompute", "nested",
                   [=](const Inputs& in) {
                     return recompute(in[0], [=](const Tensor& x) {
                       const Tensor h = recompute(x, [=](const Tensor& inner) { return layer(inner, in[1]); });
                       return recompute(h + x, [=](const Tensor& inner) { return layer(inner, in[2]) * x; });
                     });
                   },
                   inputs({{5, 7}, {7, 7}, {7, 7}})});
  cases.push_back({"recompute", "a chain, views on the way",
                   [=](const Inputs& in) {
                     const Tensor wide = linear(in[0], in[1]);
                     const Tensor y = recompute(wide.columns(2, 9), [=](const Tensor& x) { return layer(x, in[2]); });
                     const Tensor z = recompute(y.rows(1, 4), [=](const Tensor& x) { return rms_norm(x, in[3], 1e-3); });
                     return z + y.rows(2, 5) * wide.rows(0, 3).columns(0, 7);
                   },
                   inputs({{5, 3}, {11, 3}, {7, 7}, {7}})});
  cases.push_back({"recompute", "an input that is constant",
                   [=](const Inputs& in) {
                     static const Tensor constant = random_tensor({5, 7}, 77);
                     return recompute(constant, [=](const Tensor& x) { return linear(x, in[0]); });
                   },
                   inputs({{3, 7}})});
  cases.push_back({"recompute", "nothing inside to differentiate by",
                   [=](const Inputs& in) {
                     static const Tensor constant = random_tensor({5, 7}, 77);
                     return linear(recompute(constant, [](const Tensor& x) { return gelu(x); }), in[0]);
                   },
                   inputs({{3, 7}})});
  cases.push_back({"recompute", "a function that returns its input",
                   [=](const Inputs& in) { return recompute(0.5 * in[0], [](const Tensor& x) { return x; }) * in[0]; }, inputs({{5, 7}})});
  cases.push_back({"recompute", "a function that returns a view",
                   [=](const Inputs& in) {
                     return recompute(in[0], [=](const Tensor& x) { return linear(x, in[1]).columns(1, 4); }) * in[0].columns(0, 3);
                   },
                   inputs({{5, 7}, {6, 7}})});
  cases.push_back({"recompute", "an op output used twice and a captured intermediate",
                   [=](const Inputs& in) {
                     const Tensor h = in[0] * in[0];
                     return recompute(in[0], [=](const Tensor& x) { return x * h + h; });
                   },
                   inputs({{5, 7}})});
}

const std::vector<Case>& cases() {
  static const std::vector<Case> list = [] {
    std::vector<Case> all;
    add_elementwise(all);
    add_rows_and_products(all);
    add_selections(all);
    add_losses(all);
    add_attention(all);
    add_recompute(all);
    return all;
  }();
  return list;
}

// The names that ops record on the tape: what follows traced(" or record(".
std::set<std::string> recorded_names() {
  namespace fs = std::filesystem;
  const fs::path include = fs::path(PLUME_TEST_SOURCE_DIR).parent_path() / "include" / "plume";
  std::vector<fs::path> files{include / "autograd" / "recompute.hpp"};
  for (const auto& entry : fs::directory_iterator(include / "ops")) files.push_back(entry.path());
  std::set<std::string> names;
  for (const fs::path& file : files) {
    const std::string text = plume_test::read_all(file.string());
    for (const std::string call : {"traced(", "record("}) {
      for (std::size_t at = text.find(call); at != std::string::npos; at = text.find(call, at + 1)) {
        std::size_t begin = text.find_first_not_of(" \n", at + call.size());
        if (begin == std::string::npos || text[begin] != '"') continue;
        ++begin;
        names.insert(text.substr(begin, text.find('"', begin) - begin));
      }
    }
  }
  return names;
}

}  // namespace

TEST_CASE("every op agrees with central differences") {
  for (const Case& c : cases()) {
    INFO(c.op << ": " << c.title);
    GradientCheck check;
    CHECK_NOTHROW(check = gradient_check(c.function, c.inputs));
    INFO("input " << check.input << " element " << check.element << ": " << check.gradient << " but " << check.difference);
    CHECK(check.worst <= 1e-6);
  }
}

TEST_CASE("a differentiable op without a gradient check fails here") {
  const std::set<std::string> names = recorded_names();
  CHECK(names.size() >= 14);
  for (const std::string& name : names) {
    bool known = false;
    for (const Case& c : cases()) known = known || c.op == name;
    CHECK_MESSAGE(known, "op \"" << name << "\" is recorded on the tape but has no case in this test");
  }
}

// What is differentiated by one input must not depend on who else is watched, nor on how it is asked for.
TEST_CASE("each input alone has the gradient that it has among all") {
  for (const Case& c : cases()) {
    INFO(c.op << ": " << c.title);
    Gradients all;
    Tensor direction;
    {
      Tape tape(c.inputs);
      const Tensor y = c.function(c.inputs);
      direction = random_tensor(y.shape(), 5);
      tape.backward(y, direction, all);
    }
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      Gradients one;
      Tape tape(std::span(&c.inputs[i], 1));
      const Tensor y = c.function(c.inputs);
      CHECK_NOTHROW(tape.backward(y, direction, one));
      for (std::size_t j = 0; j < c.inputs.size(); ++j) {
        if (j == i)
          CHECK(same_bits(one.find(c.inputs[j]), all.find(c.inputs[j])));
        else
          CHECK(!one.find(c.inputs[j]));
      }
    }
    Inputs marked;
    for (const Tensor& x : c.inputs) marked.push_back(parameter(x.copy()));
    Gradients by_mark;
    Tape tape;
    tape.backward(c.function(marked), direction, by_mark);
    for (std::size_t i = 0; i < c.inputs.size(); ++i) CHECK(same_bits(by_mark.find(marked[i]), all.find(c.inputs[i])));
  }
}

TEST_CASE("a loss called as backward(loss) has half the gradients of direction two, and adds to earlier ones") {
  const Inputs in = inputs({{5, 7}, {9, 7}, {9}});
  const std::vector<TokenId> targets{3, -1, 0, 8, -1};
  Gradients once, twice;
  const Tensor two = Tensor::from(std::vector<double>{2}, {});
  {
    Tape tape(in);
    once = tape.backward(classifier_loss(in[0], in[1], in[2], targets));
  }
  {
    Tape tape(in);
    const Tensor loss = classifier_loss(in[0], in[1], in[2], targets);
    tape.backward(loss, two, twice);
  }
  for (const Tensor& x : in) CHECK(plume_test::distance(2.0 * once.at(x), twice.at(x)) < 1e-15);
  Tape tape(in);
  tape.backward(classifier_loss(in[0], in[1], in[2], targets), once);
  for (const Tensor& x : in) CHECK(plume_test::distance(once.at(x), twice.at(x)) < 1e-15);
}

TEST_CASE("no trained target gives a loss of zero and zero gradients") {
  const Inputs in = inputs({{5, 7}, {9, 7}});
  const std::vector<TokenId> targets(5, ignored_target);
  Tape tape(in);
  const Tensor loss = classifier_loss(in[0], in[1], {}, targets);
  CHECK(loss.item() == 0);
  const Gradients gradients = tape.backward(loss);
  for (const Tensor& x : in) CHECK(plume_test::largest(gradients.at(x)) == 0);
}

TEST_CASE("nothing is recorded where nothing is differentiated by") {
  const Inputs in = inputs({{5, 7}, {7}});
  Tape tape;
  const Tensor y = rms_norm(in[0], in[1], 1e-5);
  CHECK(tape.size() == 0);
  CHECK_THROWS_WITH_AS(tape.backward(Tensor::zeros({}, DType::f64)), "[backward] the output depends on no parameter and no watched tensor",
                       ArgumentError);
  CHECK_THROWS_AS(tape.backward(y), ArgumentError);
  const NoTape pause;
  CHECK(Tape::current() == nullptr);
}
