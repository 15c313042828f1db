// Prefill and decoding of a whole model. Decoding reads every weight once a token, so the rate at which this machine reads memory is
// measured between the repetitions, and decoding is quoted as a share of it.
//
//   bench_model --model stories15M.bin --prompt-tokens 1 --generate-tokens 255 --threads 1
//   bench_model --shape gpt2-124m --prompt-tokens 128,512 --generate-tokens 64 --threads 1,2      random weights
//   bench_model --shape stories15m --save random.bin --generate-tokens 1                          the same weights for another program
#include <charconv>

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

// The numbers of a list like 128,512.
std::vector<int> numbers_of(std::string_view flag, const std::string& text, int most) {
  std::vector<int> list;
  const char* at = text.c_str();
  for (const char* const end = at + text.size(); at < end;) {
    int value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 1 || value > most || (next < end && *next != ','))
      throw example::UsageError(flag, plume::concat(plume::quoted(text), " is not a list of numbers from 1 to ", most));
    list.push_back(value);
    at = next + 1;
  }
  return list;
}

struct Result {
  std::string test;
  int threads;
  bench::Statistics rate;
  bool is_decode;
  double flops_per_second, share_of_read;
};

}  // namespace

int main(int argc, char** argv) {
  example::Flags flags("bench_model", "Measures prefill and decoding of a model.");
  const auto& path = flags.text("--model PATH", "", "Hugging Face directory or llama2.c .bin");
  const auto& shape = flags.text("--shape NAME|FILE", "", "instead: a named configuration with random weights");
  const auto& vocabulary = flags.number("--vocabulary N", plume::Index{0}, "with --shape: tokens known; 0: as usual for it", {.min = 0});
  const auto& save = flags.text("--save PATH", "", "write the model there first (.bin: llama2.c)");
  const auto& type = flags.choice("--type", "f32", {"f32", "bf16"}, "what matrices are kept as in memory");
  const auto& prompt_list = flags.text("--prompt-tokens N,N", "128", "lengths of prompts to measure; decoding follows the first");
  const auto& generated = flags.number("--generate-tokens N", plume::Index{64}, "tokens to decode", {.min = 1});
  const auto& thread_list = flags.text("--threads N,N", "1", "numbers of threads to measure");
  const auto& repeat = flags.number("--repeat N", 5, "repetitions of each, after one that is not measured", {.min = 1});
  const auto& seed = flags.seed();
  const auto& json = flags.json();

  return flags.run(argc, argv, [&] {
    flags.require_one_of({"--model", "--shape"});
    const std::vector<int> prompts = numbers_of("--prompt-tokens", prompt_list, 1 << 20),
                           threads = numbers_of("--threads", thread_list, 1024);
    const plume::DType dtype = type == "bf16" ? plume::DType::bf16 : plume::DType::f32;
    plume::Model model;
    if (flags.given("--model")) {
      model = plume::load(path, {.dtype = dtype});
    } else {
      plume::Config config = plume::pretrain_config(shape).model;
      config.vocabulary = vocabulary > 0 ? vocabulary : bench::usual_vocabulary(shape);
      model.decoder = plume::Decoder::described(config);
      plume::initialise(model.decoder, seed);
      // As load() keeps them: matrices alone. The peak of memory is then that of the f32 weights.
      if (dtype == plume::DType::bf16)
        plume::for_each_parameter(model.decoder, [&](std::string_view, plume::Tensor& tensor) {
          if (tensor.rank() == 2) tensor = tensor.to(dtype);
        });
    }
    if (flags.given("--save")) plume::save(model, save);
    const double bytes = weight_bytes(model.decoder);

    // One prompt of random tokens and what follows it; returns tokens a second of both.
    const auto one_sequence = [&](int prompt, int thread_count, plume::Index tokens) {
      plume::Random random{.seed = seed, .stream = 1};
      std::vector<plume::TokenId> ids(static_cast<std::size_t>(prompt));
      for (plume::TokenId& id : ids) id = static_cast<plume::TokenId>(random.below(static_cast<std::uint64_t>(model.config().vocabulary)));
      plume::Session session(model, {.context = prompt + tokens, .threads = thread_count});
      session.feed(ids);
      const double begin = bench::now();
      session.logits();
      const double middle = bench::now();
      for (plume::Index i = 0; i < tokens; ++i) {
        session.next({.temperature = 0});
        session.logits();
      }
      return std::pair{prompt / (middle - begin), static_cast<double>(tokens) / (bench::now() - middle)};
    };

    one_sequence(prompts.front(), threads.back(), generated);
    const std::int64_t rss = example::peak_rss_bytes();  // before the buffer of the read test
    const bench::ReadTest read_test;
    std::vector<double> all_reads;
    std::vector<Result> results;
    for (const int count : threads) {
      for (std::size_t p = 0; p < prompts.size(); ++p) {
        const bool decodes = p == 0;
        std::vector<double> prefill, decode, reads = {read_test.rate(count).median};
        one_sequence(prompts[p], count, decodes ? generated : 0);
        for (int i = 0; i < repeat; ++i) {
          const auto [prompt_rate, token_rate] = one_sequence(prompts[p], count, decodes ? generated : 0);
          prefill.push_back(prompt_rate);
          decode.push_back(token_rate);
          reads.push_back(read_test.rate(count).median);
        }
        const bench::Statistics prompt_rate = bench::statistics(prefill), token_rate = bench::statistics(decode);
        results.push_back({plume::concat("prefill", prompts[p]), count, prompt_rate, false,
                           prompt_rate.median * bench::forward_flops(model.config(), prompts[p]), 0});
        if (decodes)
          results.push_back({plume::concat("decode", generated), count, token_rate, true, 0,
                             bytes * token_rate.median / bench::statistics(reads).median});
        all_reads.insert(all_reads.end(), reads.begin(), reads.end());
      }
    }

    const std::string name = flags.given("--model") ? path : shape;
    const bench::Statistics read = bench::statistics(all_reads);
    if (json) {
      plume::Json list = plume::Json::array();
      for (const Result& result : results) {
        plume::Json entry = plume::Json::object();
        entry.set("test", result.test).set("threads", result.threads).set("tokens_per_second_median", result.rate.median);
        entry.set("min", result.rate.min).set("max", result.rate.max);
        if (result.is_decode)
          entry.set("share_of_read", result.share_of_read);
        else
          entry.set("flops_per_second", result.flops_per_second);
        list.push(std::move(entry));
      }
      plume::Json report = plume::Json::object();
      report.set("program", "plume").set("version", bench::built_with()).set("model", name).set("precision", type);
      report.set("prompt", prompts.front()).set("tokens", generated).set("threads", threads.front()).set("results", std::move(list));
      report.set("decode_tokens_per_second", results[1].rate.median).set("decode_bytes_per_second", bytes * results[1].rate.median);
      report.set("share_of_read", results[1].share_of_read)
          .set("weight_bytes", bytes)
          .set("read_gb_per_s", 1e-9 * read.median)
          .set("read_bytes_per_second", read.median);
      report.set("peak_rss_bytes", rss);
      std::printf("%s\n", plume::dump(report).c_str());
      return;
    }
    std::printf("%s %s, %.1f MB a token, read test %.2f GB/s (min %.2f, max %.2f), peak RSS %.0f MB, %s\n", name.c_str(), type.c_str(),
                1e-6 * bytes, 1e-9 * read.median, 1e-9 * read.min, 1e-9 * read.max, 1e-6 * static_cast<double>(rss),
                bench::built_with().c_str());
    for (const Result& result : results) {
      std::printf("%-12s %d threads: %9.2f tokens/s (min %.2f, max %.2f), ", result.test.c_str(), result.threads, result.rate.median,
                  result.rate.min, result.rate.max);
      if (result.is_decode)
        std::printf("%.0f %% of the read test\n", 100 * result.share_of_read);
      else
        std::printf("%.1f GFLOP/s\n", 1e-9 * result.flops_per_second);
    }
  });
}
