// Every operation of tests/golden/ops against what PyTorch computed in f64, and f32 against f64.
#include <doctest/doctest.h>

#include <functional>
#include <set>

#include "../fixtures.hpp"
#include "../numbers.hpp"
#include "../test_data.hpp"
#include "plume/kernels/parallel/context.hpp"
#include "plume/ops/ops.hpp"

using namespace plume;
using plume_test::relative_distance;

namespace {

// An operation of the fixture: which inputs it takes, and how it is computed from them (in their dtype).
struct Operation {
  std::string name;
  std::vector<std::string> inputs;  // fixture names; gradients are <name>.d<last part>
  std::function<Tensor(const std::vector<Tensor>&)> function;
  std::string direction = {};  // empty: <name>.dy
  Index last_rows = 0;         // > 0: the first input and the direction are cut to their last rows
};

struct Fixture {
  plume_test::Tensors tensors = plume_test::read_safetensors(plume_test::golden("ops/ops_f64.safetensors"));
  mutable std::set<std::string> used;

  const Tensor& operator[](const std::string& name) const {
    const auto found = tensors.find(name);
    REQUIRE_MESSAGE(found != tensors.end(), "the fixture has no " << name);
    used.insert(name);
    return found->second;
  }
  double number(const std::string& name) const { return (*this)[name].item(); }
  std::vector<std::int32_t> integers(const std::string& name) const {
    const auto span = (*this)[name].span<std::int32_t>();
    return {span.begin(), span.end()};
  }
};

std::vector<Operation> simple_operations(const Fixture& fixture) {
  std::vector<Operation> list;
  const double layer_epsilon = fixture.number("layer_norm.eps"), rms_epsilon = fixture.number("rms_norm.eps");
  list.push_back({"layer_norm", {"x", "weight", "bias"}, [=](const auto& in) { return layer_norm(in[0], in[1], in[2], layer_epsilon); }});
  list.push_back({"rms_norm", {"x", "weight"}, [=](const auto& in) { return rms_norm(in[0], in[1], rms_epsilon); }});
  const std::vector<std::pair<std::string, Activation>> rules{{"gelu_tanh", {.kind = ActivationKind::gelu_tanh}},
                                                              {"gelu_erf", {.kind = ActivationKind::gelu_erf}},
                                                              {"silu", {.kind = ActivationKind::silu}},
                                                              {"quick_gelu", {.kind = ActivationKind::silu, .slope = 1.702}},
                                                              {"relu", {.kind = ActivationKind::relu}}};
  for (const auto& pair : rules) {
    const Activation rule = pair.second;
    list.push_back({pair.first, {"x"}, [=](const auto& in) { return activation(in[0], rule); }});
    list.push_back({"gated_" + pair.first, {"gate", "up"}, [=](const auto& in) { return gated(in[0], in[1], rule); }});
  }
  const auto targets = fixture.integers("cross_entropy.targets"), ids = fixture.integers("embedding.ids");
  list.push_back({"cross_entropy", {"logits"}, [=](const auto& in) { return cross_entropy(in[0], targets).reshape({1}); }});
  list.push_back({"linear", {"x", "weight", "bias"}, [](const auto& in) { return linear(in[0], in[1], in[2]); }});
  list.push_back({"embedding", {"weight"}, [=](const auto& in) { return embedding(ids, in[0]); }});
  for (const std::string name : {"rotary_half_split", "rotary_interleaved", "rotary_half_split_partial", "rotary_interleaved_partial"}) {
    const auto positions = fixture.integers(name + ".positions");
    const auto heads = static_cast<Index>(fixture.number(name + ".heads")), width = static_cast<Index>(fixture.number(name + ".rotated"));
    const double base = fixture.number(name + ".theta");
    const RotaryLayout layout = name.find("half") != std::string::npos ? RotaryLayout::half_split : RotaryLayout::interleaved;
    list.push_back({name, {"x"}, [=](const auto& in) {
                      return rope(in[0], rotary_angles(positions, width, base, in[0].dtype()), in[0].columns() / heads, layout);
                    }});
  }
  return list;
}

std::vector<Operation> attention_operations(const Fixture& fixture) {
  AttentionOptions plain;
  plain.heads = {static_cast<Index>(fixture.number("attention.heads")), static_cast<Index>(fixture.number("attention.kv_heads")), 10, 10};
  plain.scale = fixture.number("attention.scale");
  const Index window = static_cast<Index>(fixture.number("attention_window.window"));
  std::vector<Operation> list;
  const auto add = [&](const std::string& name, const Mask& mask, const AttentionOptions& options, std::vector<std::int32_t> lengths = {},
                       bool has_table = false) {
    std::vector<std::string> inputs{"attention.q", "attention.k", "attention.v"};
    if (has_table) inputs.push_back(name + ".table");
    list.push_back({name, inputs,
                    [=](const std::vector<Tensor>& in) {
                      AttentionOptions here = options;
                      // The fixture's table is (buckets, heads): a transposed copy, whose gradient the test transposes back.
                      if (has_table) here.relative.table = in[3];
                      std::vector<AttentionSegment> segments;
                      Index begin = 0;
                      const auto all = lengths.empty() ? std::vector<std::int32_t>{static_cast<std::int32_t>(in[0].rows())} : lengths;
                      for (const Index length : all) {
                        const Index end = begin + length;
                        segments.push_back({begin, end, in[1].rows(begin, end), in[2].rows(begin, end),
                                            std::make_shared<const IntervalMask>(mask.intervals(0, length, length)), 0});
                        begin = end;
                      }
                      return attention(in[0], segments, here);
                    },
                    "attention.dy"});
  };
  add("attention_causal", Mask::causal(), plain);
  add("attention_full", Mask::full(), plain);
  add("attention_packed", Mask::causal(), plain, fixture.integers("attention_packed.lengths"));
  add("attention_window", Mask::sliding(window), plain);
  AttentionOptions alibi = plain;
  for (const double slope : plume_test::values_of(fixture["attention_alibi.slopes"])) alibi.slopes.push_back(slope);
  add("attention_alibi", Mask::causal(), alibi);
  AttentionOptions capped = plain;
  capped.soft_cap = fixture.number("attention_soft_cap.cap");
  add("attention_soft_cap", Mask::causal(), capped);
  capped.soft_cap = fixture.number("attention_soft_cap_window.cap");
  add("attention_soft_cap_window", Mask::sliding(static_cast<Index>(fixture.number("attention_soft_cap_window.window"))), capped);
  // Buckets by distance: under the causal mask, key - query goes from -22 to 0.
  AttentionOptions relative = plain;
  const Tensor& buckets = fixture["attention_relative.buckets"];
  for (Index distance = buckets.rows() - 1; distance >= 0; --distance)
    relative.relative.buckets.push_back(buckets.view<const std::int32_t, 2>()(buckets.rows() - 1, buckets.rows() - 1 - distance));
  relative.relative.zero = buckets.rows() - 1;
  add("attention_relative", Mask::causal(), relative, {}, true);
  list.push_back({"attention_cached",
                  {"attention.q", "attention.k", "attention.v"},
                  [=](const std::vector<Tensor>& in) {
                    const auto mask = std::make_shared<const IntervalMask>(Mask::causal().intervals(19, 4, 23));
                    return attention(in[0], {{0, 4, in[1], in[2], mask, 19}}, plain);
                  },
                  "attention.dy",
                  4});
  return list;
}

Tensor transposed(const Tensor& matrix) {
  const Tensor result = Tensor::empty({matrix.columns(), matrix.rows()}, matrix.dtype());
  visit_float(matrix.dtype(), [&]<class T>() {
    for (Index r = 0; r < matrix.rows(); ++r)
      for (Index c = 0; c < matrix.columns(); ++c) result.view<T, 2>()(c, r) = matrix.view<const T, 2>()(r, c);
  });
  return result;
}

// Values and gradients of an operation in a dtype, under the names of the fixture.
plume_test::Tensors compute(const Fixture& fixture, const Operation& operation, DType dtype) {
  std::vector<Tensor> in;
  const auto take = [&](const Tensor& tensor, bool is_table) {
    Tensor cut = operation.last_rows > 0 ? tensor.rows(tensor.rows() - operation.last_rows, tensor.rows()) : tensor;
    return is_table ? transposed(cut.to(dtype)) : cut.to(dtype);
  };
  for (const std::string& name : operation.inputs) {
    const bool is_full = name.find('.') != std::string::npos;
    const Tensor& tensor = fixture[is_full ? name : operation.name + "." + name];
    in.push_back(in.empty() ? take(tensor, false) : name.ends_with(".table") ? transposed(tensor.to(dtype)) : tensor.to(dtype));
  }
  const Tensor direction = take(fixture[operation.direction.empty() ? operation.name + ".dy" : operation.direction], false);
  Gradients gradients;
  Tape tape(in);
  plume_test::Tensors results;
  results["y"] = operation.function(in);
  tape.backward(results["y"], direction, gradients);
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::string& name = operation.inputs[i];
    const Tensor gradient = gradients.at(in[i]);
    results["d" + name.substr(name.find('.') + 1)] = name.ends_with(".table") ? transposed(gradient) : gradient;
  }
  return results;
}

std::vector<Operation> operations(const Fixture& fixture) {
  std::vector<Operation> list = simple_operations(fixture);
  for (Operation& operation : attention_operations(fixture)) list.push_back(std::move(operation));
  return list;
}

}  // namespace

TEST_CASE("values and gradients in f64 are those of PyTorch") {
  const Fixture fixture;
  for (const Operation& operation : operations(fixture)) {
    for (const auto& [name, result] : compute(fixture, operation, DType::f64)) {
      const std::string full = operation.name + "." + name;
      if (operation.name == "attention_cached" && (name == "dk" || name == "dv") && !fixture.tensors.contains(full)) continue;
      CHECK_MESSAGE(plume_test::distance(result, fixture[full]) <= 1e-10, full);
    }
  }
  // GPT-2's Conv1D keeps its matrix as (inputs, outputs).
  const Tensor weight = transposed(fixture["conv1d.weight"]);
  const std::vector<Tensor> in{fixture["conv1d.x"], weight, fixture["conv1d.bias"]};
  Tape tape(in);
  Gradients gradients;
  const Tensor y = linear(in[0], in[1], in[2]);
  tape.backward(y, fixture["conv1d.dy"], gradients);
  CHECK(plume_test::distance(y, fixture["conv1d.y"]) <= 1e-10);
  CHECK(plume_test::distance(gradients.at(in[0]), fixture["conv1d.dx"]) <= 1e-10);
  CHECK(plume_test::distance(transposed(gradients.at(in[1])), fixture["conv1d.dweight"]) <= 1e-10);
  CHECK(plume_test::distance(gradients.at(in[2]), fixture["conv1d.dbias"]) <= 1e-10);
  for (const auto& entry : fixture.tensors)
    CHECK_MESSAGE(fixture.used.contains(entry.first), entry.first << " of the fixture is not compared");
}

TEST_CASE("f32 agrees with f64") {
  const Fixture fixture;
  for (const Operation& operation : operations(fixture)) {
    const auto exact = compute(fixture, operation, DType::f64);
    for (const auto& entry : compute(fixture, operation, DType::f32)) {
      CHECK(entry.second.dtype() == DType::f32);
      CHECK_MESSAGE(relative_distance(entry.second, exact.at(entry.first)) <= 1e-4, operation.name << "." << entry.first);
    }
  }
}

// cross_entropy(linear(...)) and classifier_loss are two ways to one number.
TEST_CASE("classifier_loss equals cross_entropy after linear") {
  for (const Index rows : {7, 600}) {
    const Tensor x = plume_test::random_tensor({rows, 5}, 1), weight = plume_test::random_tensor({11, 5}, 2),
                 bias = plume_test::random_tensor({11}, 3);
    std::vector<TokenId> targets;
    for (Index t = 0; t < rows; ++t) targets.push_back(static_cast<TokenId>(t % 12) - 1);
    const std::vector<Tensor> in{x, weight, bias};
    Tape tape(in);
    const Tensor one = classifier_loss(x, weight, bias, targets), two = cross_entropy(linear(x, weight, bias), targets);
    CHECK(std::abs(one.item() - two.item()) < 1e-14);
    Gradients difference;
    const Tensor gap = one + -1.0 * two;
    tape.backward(gap, difference = {});
    for (const Tensor& input : in) CHECK(plume_test::largest(difference.at(input)) < 1e-14);
  }
}

TEST_CASE("a product whose activation is taken on the way equals the two ops, bit by bit") {
  const Activation rule{.kind = ActivationKind::gelu_tanh, .shift = 0.5, .limit = 1.5};
  for (const Index rows : {1, 3, 17, 65, 130}) {
    for (const Index width : {5, 131, 800}) {
      CAPTURE(rows);
      CAPTURE(width);
      const Tensor x = plume_test::random_tensor({rows, width}, 1), weight = plume_test::random_tensor({2 * width + 1, width}, 2),
                   bias = plume_test::random_tensor({2 * width + 1}, 3), gate = plume_test::random_tensor({rows, 2 * width + 1}, 4);
      for (const DType dtype : {DType::f32, DType::f64}) {
        const Tensor in = x.to(dtype), w = weight.to(dtype), b = bias.to(dtype), g = gate.to(dtype);
        const Tensor activated = activation(linear(in, w, b), rule), gated_up = gated(g, linear(in, w, b), rule);
        for (const int threads : {1, 3}) {
          const Context context({.threads = threads});
          const ContextScope scope(context);
          CHECK(plume_test::same_bits(activated_linear(in, w, b, rule), activated));
          CHECK(plume_test::same_bits(gated_linear(g, in, w, b, rule), gated_up));
          const Tape tape(std::span<const Tensor>(&in, 1));
          CHECK(plume_test::same_bits(activated_linear(in, w, b, rule), activated));
          CHECK(plume_test::same_bits(gated_linear(g, in, w, b, rule), gated_up));
        }
      }
    }
  }
}
