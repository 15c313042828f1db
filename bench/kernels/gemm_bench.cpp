// Matrix products of a GPT-2 124M training step: forward (y = x w^T), input gradient (dx = dy w), weight gradient (dw = dy^T x), for M
// tokens; all of a step together; and products of a few tokens, as in decoding. PLUME_ISA=base shows the base level.
#include "plume/base/half.hpp"
#include "plume/kernels/gemm/table.hpp"
#include "tensors.hpp"

namespace {

using namespace bench;
using plume::Context;
using plume::ContextScope;
using plume::Precision;

enum Product : int { product_forward, input_gradient, weight_gradient };

struct LayerShape {
  const char* name;
  Index outputs, inputs, times;  // times: in a step
};
constexpr LayerShape shapes[] = {
    {"qkv", 2304, 768, 12}, {"output", 768, 768, 12}, {"up", 3072, 768, 12}, {"down", 768, 3072, 12}, {"head", 50257, 768, 1}};

struct Layer {
  Tensor x, w, y, dx, dw;
  Layer(Index tokens, Index outputs, Index inputs)
      : x(random_tensor({tokens, inputs}, 1)),
        w(random_tensor({outputs, inputs}, 2, 0.05f)),
        y(random_tensor({tokens, outputs}, 3, 0.05f)),
        dx(Tensor::zeros({tokens, inputs})),
        dw(Tensor::zeros({outputs, inputs})) {}
  // y is the gradient dy of the two backward products.
  void run(Product product) const {
    using plume::kernels::gemm;
    switch (product) {
      case product_forward:
        return gemm<float>(y.view<float, 2>(), x.view<const float, 2>(), w.view<const float, 2>().transposed(), {});
      case input_gradient:
        return gemm<float>(dx.view<float, 2>(), y.view<const float, 2>(), w.view<const float, 2>(), {});
      case weight_gradient:
        return gemm<float>(dw.view<float, 2>(), y.view<const float, 2>().transposed(), x.view<const float, 2>(), {});
    }
  }
  double operations() const { return 2.0 * static_cast<double>(x.rows() * w.size()); }
};

double gap(Product product, Precision precision) {
  const Context context({.threads = 2, .precision = precision});
  const ContextScope scope(context);
  const Layer layer(37, 70, 101);
  const auto x = values_of(layer.x), w = values_of(layer.w), dy = values_of(layer.y);
  const Tensor& result = product == product_forward ? layer.y : product == input_gradient ? layer.dx : layer.dw;
  std::vector<double> wanted(static_cast<std::size_t>(result.size()));
  for (std::size_t t = 0; t < 37; ++t)
    for (std::size_t o = 0; o < 70; ++o)
      for (std::size_t i = 0; i < 101; ++i) {
        if (product == product_forward) wanted[t * 70 + o] += x[t * 101 + i] * w[o * 101 + i];
        if (product == input_gradient) wanted[t * 101 + i] += dy[t * 70 + o] * w[o * 101 + i];
        if (product == weight_gradient) wanted[o * 101 + i] += dy[t * 70 + o] * x[t * 101 + i];
      }
  layer.run(product);
  return relative_gap(values_of(result), wanted);
}
template <Precision precision>
double largest_gap() {
  return std::max({gap(product_forward, precision), gap(input_gradient, precision), gap(weight_gradient, precision)});
}
const bool checked =
    add_check({"gemm", largest_gap<Precision::f32>, 1e-6}) && add_check({"gemm in bf16", largest_gap<Precision::bf16>, 1e-2});

// bf16 products are compared with the peak of bf16 instructions where there are any.
void report(benchmark::State& state, double operations, double seconds, Precision precision, int threads) {
  report_operations(state, operations, seconds, threads);
  if (const double peak = precision == Precision::bf16 ? recent_bf16_peak(threads) : 0; peak > 0)
    state.counters["share"] = operations / seconds / peak;
}

void layer_product(benchmark::State& state, const LayerShape& shape, Precision precision) {
  const auto product = static_cast<Product>(state.range(0));
  const int threads = static_cast<int>(state.range(2));
  const Context context({.threads = threads, .precision = precision});
  const ContextScope scope(context);
  const Layer layer(state.range(1), shape.outputs, shape.inputs);
  const double seconds = seconds_of(state, [&] { layer.run(product); });
  report(state, layer.operations(), seconds, precision, threads);
}

// Every product of one training step, the weights of all layers in turn.
void whole_step(benchmark::State& state, Precision precision) {
  const Index tokens = state.range(0);
  const int threads = static_cast<int>(state.range(1));
  const Context context({.threads = threads, .precision = precision});
  const ContextScope scope(context);
  std::vector<Layer> layers;
  double operations = 0;
  for (const LayerShape& shape : shapes) {
    const Layer first(tokens, shape.outputs, shape.inputs);
    for (Index i = 0; i < shape.times; ++i) {
      layers.push_back(first);
      layers.back().w = first.w.copy();
      operations += 3 * first.operations();
    }
  }
  const double seconds = seconds_of(state, [&] {
    for (const Layer& layer : layers)
      for (const Product product : {product_forward, input_gradient, weight_gradient}) layer.run(product);
  });
  report(state, operations, seconds, precision, threads);
}

// A few tokens times a weight, f32 or bf16 in memory: the weight is read once. 9.4 MB lie in the L3 cache, 154 MB do not.
template <class Weight>
void few_tokens(benchmark::State& state, Index outputs) {
  constexpr Index inputs = 768;
  const Index tokens = state.range(0);
  const int threads = static_cast<int>(state.range(1));
  const Context context({.threads = threads});
  const ContextScope scope(context);
  constexpr plume::DType dtype = std::is_same_v<Weight, float> ? plume::DType::f32 : plume::DType::bf16;
  const Tensor x = random_tensor({tokens, inputs}, 1), w = random_tensor({outputs, inputs}, 2).to(dtype),
               y = Tensor::zeros({tokens, outputs});
  const double seconds = seconds_of(state, [&] {
    plume::kernels::gemm<float>(y.view<float, 2>(), x.view<const float, 2>(), w.view<const Weight, 2>().transposed(), {});
  });
  report_operations(state, 2.0 * static_cast<double>(tokens * w.size()), seconds, threads);
  report_bytes(state, static_cast<double>(w.size()) * static_cast<double>(sizeof(Weight)), seconds, threads);
}

const bool registered = [] {
  const auto named = [](const char* kind, Precision precision, const char* name) {
    return std::string(kind) + (precision == Precision::bf16 ? "_bf16/" : "_f32/") + name;
  };
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    benchmark::RegisterBenchmark(named("step", precision, "124m").c_str(), [=](benchmark::State& state) { whole_step(state, precision); })
        ->ArgsProduct({{256, 1024}, {1, 2}})
        ->ArgNames({"M", "threads"})
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
    for (const LayerShape& shape : shapes)
      benchmark::RegisterBenchmark(named("product", precision, shape.name).c_str(),
                                   [=](benchmark::State& state) { layer_product(state, shape, precision); })
          ->ArgsProduct({{product_forward, input_gradient, weight_gradient}, {256, 1024}, {1, 2}})
          ->ArgNames({"product", "M", "threads"})
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
  }
  for (const auto& [where, outputs] : {std::pair{"L3", Index{3072}}, {"memory", Index{50257}}}) {
    for (const auto& [weight, run] : {std::pair{"f32/", &few_tokens<float>}, {"bf16/", &few_tokens<plume::Bfloat16>}})
      benchmark::RegisterBenchmark((std::string("few_tokens_") + weight + where).c_str(),
                                   [run = run, outputs = outputs](benchmark::State& state) { run(state, outputs); })
          ->ArgsProduct({{1, 2, 4, 8, 16}, {1, 2}})
          ->ArgNames({"tokens", "threads"})
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
  }
  return true;
}();

}  // namespace
