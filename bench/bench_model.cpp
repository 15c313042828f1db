// Prefill and decoding of a whole model. Decoding reads every weight once a token, so the rate at which this machine reads memory is
// measured between the repetitions, and decoding is quoted as a share of it.
//
//   bench_model --model stories15M.bin --prompt 1 --tokens 255 --threads 1
//   bench_model --config gpt2-124m --prompt 128 --tokens 64              random weights
//   bench_model --config stories15m --save random.bin --tokens 1         the same weights for another program
#include "plume/generate/session.hpp"
#include "plume/models/load.hpp"
#include "plume/models/save.hpp"
#include "report.hpp"

namespace {

// Bytes of weights that computing one token reads: all but the tables of which a token takes one row.
double weight_bytes(const plume::Decoder& model) {
  double bytes = 0;
  plume::for_each_parameter(model, [&](std::string_view path, const plume::Tensor& tensor) {
    const bool table = path.starts_with("position.") || (path.starts_with("embedding.") && !model.config.tied_head);
    if (!table) bytes += static_cast<double>(tensor.size()) * static_cast<double>(plume::bytes_of(tensor.dtype()));
  });
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  example::Flags flags("bench_model", "Measures prefill and decoding of a model.");
  const auto& path = flags.text("--model PATH", "", "Hugging Face directory or llama2.c .bin");
  const auto& config_name = flags.text("--config NAME|FILE", "", "instead: a named configuration with random weights");
  const auto& vocabulary = flags.number("--vocabulary N", plume::Index{0}, "with --config: tokens known; 0: as usual for it", {.min = 0});
  const auto& save = flags.text("--save PATH", "", "write the model there first (.bin: llama2.c)");
  const auto& prompt = flags.number("--prompt N", plume::Index{128}, "random tokens to begin with", {.min = 1});
  const auto& tokens = flags.number("--tokens N", plume::Index{64}, "tokens to decode", {.min = 1});
  const auto& dtype_name = flags.choice("--dtype", "f32", {"f32", "bf16"}, "what matrices are kept as in memory");
  const auto& repetitions = flags.number("--repetitions N", 5, "sequences to measure, after one that is not", {.min = 1});
  const auto& threads = flags.threads();
  const auto& seed = flags.seed();
  const auto& json = flags.json();

  return flags.run(argc, argv, [&] {
    flags.require_one_of({"--model", "--config"});
    const double began = bench::now();
    const plume::DType dtype = dtype_name == "bf16" ? plume::DType::bf16 : plume::DType::f32;
    plume::Model model;
    if (flags.given("--model")) {
      model = plume::load(path, {.dtype = dtype});
    } else {
      plume::Config config = plume::pretrain_config(config_name).model;
      config.vocabulary = vocabulary > 0 ? vocabulary : bench::usual_vocabulary(config_name);
      model.decoder = plume::Decoder::described(config);
      plume::initialise(model.decoder, seed);
      // As load() keeps them: matrices alone. The peak of memory is then that of the f32 weights.
      if (dtype == plume::DType::bf16)
        plume::for_each_parameter(model.decoder, [&](std::string_view, plume::Tensor& tensor) {
          if (tensor.rank() == 2) tensor = tensor.to(dtype);
        });
    }
    if (flags.given("--save")) plume::save(model, save);

    plume::Random random{.seed = seed, .stream = 1};
    std::vector<plume::TokenId> ids(static_cast<std::size_t>(prompt));
    for (plume::TokenId& id : ids) id = static_cast<plume::TokenId>(random.below(static_cast<std::uint64_t>(model.config().vocabulary)));

    std::vector<double> prefill, decode;
    const auto one_sequence = [&] {
      plume::Session session(model, {.context = prompt + tokens, .threads = threads});
      session.feed(ids);
      double from = bench::now();
      session.logits();
      const double after_prompt = bench::now() - from;
      from = bench::now();
      for (plume::Index i = 0; i < tokens; ++i) {
        session.next({.temperature = 0});
        session.logits();
      }
      prefill.push_back(static_cast<double>(prompt) / after_prompt);
      decode.push_back(static_cast<double>(tokens) / (bench::now() - from));
    };
    one_sequence();
    prefill.clear();
    decode.clear();
    const std::int64_t rss = example::peak_rss_bytes();  // before the buffer of the read test
    const double first_seconds = bench::now() - began;

    const bench::ReadTest read_test;
    std::vector<double> reads = {read_test.rate(threads).median};
    for (int i = 0; i < repetitions; ++i) {
      one_sequence();
      reads.push_back(read_test.rate(threads).median);
    }

    const bench::Statistics prompt_rate = bench::statistics(prefill), token_rate = bench::statistics(decode),
                            read = bench::statistics(reads);
    const double bytes = weight_bytes(model.decoder), decode_bytes = bytes * token_rate.median;
    const double prefill_flops = prompt_rate.median * bench::forward_flops(model.config(), prompt);
    const std::string name = flags.given("--model") ? path : config_name;
    const std::string precision(plume::name_of(model.decoder.embedding.weight.dtype()));
    if (json) {
      plume::Json report = plume::Json::object();
      report.set("program", "plume").set("version", bench::built_with()).set("model", name).set("precision", precision);
      report.set("prompt", prompt).set("tokens", tokens).set("threads", threads).set("repetitions", repetitions);
      bench::set_statistics(report, "prefill_tokens_per_second", prompt_rate);
      bench::set_statistics(report, "decode_tokens_per_second", token_rate);
      report.set("prefill_flops_per_second", prefill_flops).set("weight_bytes", bytes).set("decode_bytes_per_second", decode_bytes);
      bench::set_statistics(report, "read_bytes_per_second", read);
      report.set("share_of_read", decode_bytes / read.median).set("peak_rss_bytes", rss).set("first_sequence_seconds", first_seconds);
      std::printf("%s\n", plume::dump(report).c_str());
    } else {
      std::printf("%s %s, %d threads: prefill of %lld tokens %.1f tokens/s (min %.1f, max %.1f), %.1f GFLOP/s; ", name.c_str(),
                  precision.c_str(), threads, static_cast<long long>(prompt), prompt_rate.median, prompt_rate.min, prompt_rate.max,
                  1e-9 * prefill_flops);
      std::printf("decode of %lld tokens %.2f tokens/s (min %.2f, max %.2f), %.1f MB a token, %.2f GB/s = %.0f %% of the read test's %.2f ",
                  static_cast<long long>(tokens), token_rate.median, token_rate.min, token_rate.max, 1e-6 * bytes, 1e-9 * decode_bytes,
                  100 * decode_bytes / read.median, 1e-9 * read.median);
      std::printf("(min %.2f, max %.2f); peak RSS %.0f MB; %s\n", 1e-9 * read.min, 1e-9 * read.max, 1e-6 * static_cast<double>(rss),
                  bench::built_with().c_str());
    }
  });
}
