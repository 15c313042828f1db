// Seconds in which a byte-level BPE vocabulary is trained; bench/compare_train_tokenizer.sh puts it beside Hugging Face tokenizers.
//
//   bench_train_tokenizer THREADS VOCABULARY TEXT ...
//
// Prints seconds on the clock, seconds of the processors and the size of the vocabulary.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "plume/kernels/parallel/context.hpp"
#include "plume/tokenizer/train_byte_bpe.hpp"

int main(int count, char** arguments) try {
  if (count < 4) return std::fprintf(stderr, "usage: bench_train_tokenizer THREADS VOCABULARY TEXT ...\n"), 2;
  const plume::Context context({.threads = std::atoi(arguments[1])});
  const plume::ContextScope scope(context);
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t processor = std::clock();
  plume::ByteBpeTrainer trainer({.vocabulary_size = std::atoi(arguments[2])});
  for (int i = 3; i < count; ++i) trainer.add_file(arguments[i]);
  const plume::Tokenizer tokenizer = trainer.train();
  std::printf("%.2f %.2f %lld\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
              static_cast<double>(std::clock() - processor) / CLOCKS_PER_SEC, static_cast<long long>(tokenizer.vocabulary()));
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
