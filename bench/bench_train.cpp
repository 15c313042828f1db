// Speed and memory of whole training steps: the step is that of train(), which `pretrain` runs, on random tokens.
//
//   bench_train --shape gpt2-124m --batch 4 --sequence 256 --threads 2
//
// One step is one update of one micro-step (accumulation 1). The steps of --warmup are not counted; the peak of memory is that of all
// steps.
#include "plume/data/token_dataset.hpp"
#include "plume/peft/adapted_model.hpp"
#include "plume/train/train.hpp"
#include "report.hpp"

namespace {

// Fresh weights with the matrices in bfloat16; part by part, so that the whole model never stands in memory as f32. What stays is allocated
// first, so that the f32 parts leave no holes in the heap.
void initialise_bf16(plume::Decoder& model, std::uint64_t seed) {
  const double scale = 1 / std::sqrt(2.0 * static_cast<double>(model.config.layers));
  const plume::Decoder shapes = model;
  plume::for_each_parameter(model, [](std::string_view, plume::Tensor& tensor) {
    tensor = plume::Tensor::empty(tensor.shape(), tensor.rank() == 2 ? plume::DType::bf16 : plume::DType::f32);
  });
  const auto make = [&](auto& part, auto fresh) {
    plume::initialise(fresh, seed++, {.residual_scale = scale});
    std::vector<plume::Tensor> values;
    plume::for_each_parameter(fresh, [&](std::string_view, plume::Tensor& tensor) { values.push_back(tensor); });
    std::size_t next = 0;
    plume::for_each_parameter(part, [&](std::string_view, plume::Tensor& tensor) { tensor.assign(values[next++]); });
  };
  make(model.embedding, shapes.embedding);
  make(model.position, shapes.position);
  for (std::size_t i = 0; i < model.blocks.size(); ++i) make(model.blocks[i], shapes.blocks[i]);
  make(model.norm, shapes.norm);
  make(model.head, shapes.head);
}

}  // namespace

int main(int argc, char** argv) {
  example::Flags flags("bench_train", "Measures training steps of a named configuration on random tokens.");
  const auto& config_name = flags.text("--shape NAME|FILE", "gpt2-124m", "a named configuration, or a JSON file with the same keys");
  const auto& batch = flags.number("--batch N", plume::Index{4}, "sequences of a step", {.min = 1});
  const auto& method =
      flags.choice("--method", "full", {"full", "lora"}, "what is trained: all weights, or LoRA of rank 8 on queries and values");
  const auto& weights = flags.choice("--weights", "f32", {"f32", "bf16"}, "how the weights are kept that LoRA leaves alone");
  const auto& context = flags.number("--sequence N", plume::Index{64}, "tokens of a sequence; 0: as the configuration says", {.min = 0});
  const auto& vocabulary = flags.number("--vocabulary N", plume::Index{0}, "tokens known; 0: as usual for the configuration", {.min = 0});
  const auto& precision = flags.choice("--precision", "f32", {"f32", "bf16"}, "arithmetic of matrix products, as for pretrain");
  const auto& steps = flags.number("--steps N", plume::Index{5}, "steps to measure", {.min = 1});
  const auto& warmup = flags.number("--warmup N", plume::Index{1}, "steps before them", {.min = 1});
  const auto& clip = flags.number("--clip X", -1.0, "bound of the gradient norm, 0: none; -1: as the configuration says", {.min = -1});
  const auto& recompute = flags.toggle("--recompute", "save memory: compute each block's activations again in the backward pass");
  const auto& moments = flags.choice("--moments", "f32", {"f32", "bf16"}, "how AdamW keeps its moments");
  const auto& activations = flags.choice("--activations", "f32", {"f32", "bf16"}, "how what is kept for the backward pass is kept");
  const auto& release = flags.toggle("--release-gradients", "save memory: update each parameter in the backward pass; needs --clip 0");
  const auto& threads = flags.threads();
  const auto& seed = flags.seed();
  const auto& json = flags.json();

  return flags.run(argc, argv, [&] {
    plume::PretrainConfig config = plume::pretrain_config(config_name);
    config.model.vocabulary = vocabulary > 0 ? vocabulary : bench::usual_vocabulary(config_name);
    if (context > config.model.context)
      throw example::UsageError("--sequence", plume::concat("is longer than the context of ", config.model.context));
    if (context > 0) config.sequence = context;
    if (clip >= 0) config.clip = clip;
    if (moments == "bf16") config.optimizer.moments = plume::Moments::bf16;
    const bool is_bf16 = precision == "bf16";

    const bool is_lora = method == "lora";
    if (weights == "bf16" && !is_lora) throw example::UsageError("--weights", "bf16 is for weights that are not trained: --method lora");
    plume::Decoder model = plume::Decoder::described(config.model);
    weights == "bf16" ? initialise_bf16(model, seed) : plume::initialise(model, seed);
    plume::Random random{.seed = seed, .stream = 1};
    std::vector<plume::TokenId> ids(static_cast<std::size_t>((steps + warmup + 1) * batch * config.sequence + 1));
    for (plume::TokenId& id : ids) id = static_cast<plume::TokenId>(random.below(static_cast<std::uint64_t>(config.model.vocabulary)));
    plume::PackedWindows windows(plume::TokenDataset(std::move(ids)), {.sequence = config.sequence, .seed = seed});

    const auto measure_peak = [&] {
      const double bf16 = is_bf16 ? bench::bf16_peak(threads) : 0;
      return bf16 > 0 ? bf16 : bench::f32_peak(threads);
    };
    double peak = measure_peak();
    std::vector<double> seconds;
    std::vector<double> losses;
    double before = 0;
    const plume::TrainOptions options{.steps = steps + warmup,
                                      .batch = batch,
                                      .schedule = config.schedule(),
                                      .optimizer = config.optimizer,
                                      .clip = config.clip,
                                      .dropout = config.dropout,
                                      .precision = is_bf16 ? plume::Precision::bf16 : plume::Precision::f32,
                                      .recompute = recompute ? plume::Recompute::blocks : plume::Recompute::nothing,
                                      .activations = activations == "bf16" ? plume::Activations::bf16 : plume::Activations::full,
                                      .release_gradients = release,
                                      .seed = seed,
                                      .evaluate_every = 0,
                                      .log_every = 1,
                                      .checkpoint_every = 0,
                                      .threads = threads};
    const plume::TrainCallbacks callbacks{.progress = [&](const plume::Progress& progress) {
      const double now = bench::now();
      losses.push_back(progress.loss);
      if (progress.step > warmup) seconds.push_back(now - before);
      before = now;
    }};
    if (is_lora) {
      plume::Adapter adapter = plume::attach(model, plume::Lora{.rank = 8, .fused_qkv = plume::FusedQkv::query_and_value, .seed = seed});
      plume::AdaptedModel adapted(model, adapter);
      plume::train(adapted, windows, plume::NoEvaluation{}, options, callbacks);
    } else {
      plume::train(model, windows, plume::NoEvaluation{}, options, callbacks);
    }
    const std::int64_t rss = example::peak_rss_bytes();
    peak = std::max(peak, measure_peak());

    // Backward costs twice the forward pass, or once where no weight has a gradient.
    const double tokens = static_cast<double>(batch * config.sequence),
                 flops = (is_lora ? 2 : 3) * bench::forward_flops(config.model, config.sequence);
    std::vector<double> rates;
    for (const double step : seconds) rates.push_back(tokens / step);
    const bench::Statistics rate = bench::statistics(rates), step = bench::statistics(seconds);
    const double flops_per_second = rate.median * flops;
    const std::string used = plume::concat(is_lora ? plume::concat("LoRA rank 8 on q and v, ", weights, " weights, ") : std::string(),
                                           "clip ", config.clip, ", ", moments, " moments, ", activations, " activations",
                                           release ? ", release_gradients" : "", recompute ? ", recompute" : "");
    if (json) {
      plume::Json report = plume::Json::object();
      report.set("program", "plume").set("version", bench::built_with()).set("config", config_name).set("precision", precision);
      report.set("method", method).set("weights", weights);
      report.set("batch", batch).set("context", config.sequence).set("threads", threads).set("steps", steps);
      report.set("options", used);
      bench::set_statistics(report, "tokens_per_second", rate);
      report.set("tokens_per_second_median", rate.median).set("step_seconds_median", step.median).set("peak_rss_bytes", rss);
      report.set("flops_per_second", flops_per_second).set("peak_flops_per_second", peak);
      report.set("peak_of", is_bf16 && bench::bf16_peak(1) > 0 ? "bf16" : "f32");
      plume::Json curve = plume::Json::array();
      for (const double loss : losses) curve.push(loss);
      report.set("losses", std::move(curve)).set("gemm_peak_fraction", peak > 0 ? flops_per_second / peak : 0.0);
      std::printf("%s\n", plume::dump(report).c_str());
    } else {
      std::printf(
          "%s %s B%lld T%lld, %d threads: %.1f tokens/s (min %.1f, max %.1f, %lld steps), %.1f ms a step, peak RSS %.0f MB, %.1f GFLOP/s",
          config_name.c_str(), precision.c_str(), static_cast<long long>(batch), static_cast<long long>(config.sequence), threads,
          rate.median, rate.min, rate.max, static_cast<long long>(steps), 1e3 * step.median, 1e-6 * static_cast<double>(rss),
          1e-9 * flops_per_second);
      if (peak > 0) std::printf(" = %.0f %% of %.1f", 100 * flops_per_second / peak, 1e-9 * peak);
      std::printf("; %s; loss %.4f to %.4f; %s\n", used.c_str(), losses.front(), losses.back(), bench::built_with().c_str());
    }
  });
}
