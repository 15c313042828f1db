// How fast texts become ids, beside Hugging Face tokenizers and tiktoken on the same files: bench/peers/tokenizers_encode.py prints theirs.
//
//   bench_tokenizer TOKENIZER TEXT ...     TOKENIZER: what load_tokenizer() takes; each TEXT is read whole
//
// Prints, per text: megabytes a second on one thread, on all threads, the best of five runs, and a checksum of the ids.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "plume/kernels/parallel/context.hpp"
#include "plume/tokenizer/encode_batch.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"

int main(int count, char** arguments) try {
  if (count < 3) return std::fprintf(stderr, "usage: bench_tokenizer TOKENIZER TEXT ...\n"), 2;
  const plume::Tokenizer tokenizer = plume::load_tokenizer(arguments[1]);
  for (int i = 2; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    double best[2] = {1e9, 1e9};
    std::vector<plume::TokenId> ids;
    for (int run = 0; run < 5; ++run)
      for (const int way : {0, 1}) {
        plume::Context context({.threads = way == 0 ? 1 : 0});
        const plume::ContextScope scope(context);
        const auto start = std::chrono::steady_clock::now();
        ids = way == 0 ? tokenizer.encode(text) : plume::encode_parallel(tokenizer, text);
        best[way] = std::min(best[way], std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      }
    std::uint64_t sum = 14695981039346656037u;
    for (const plume::TokenId id : ids) sum = (sum ^ static_cast<std::uint32_t>(id)) * 1099511628211u;
    const double megabytes = static_cast<double>(text.size()) / 1e6;
    std::printf("%s: %.1f MB, %zu ids (%016llx): %.1f MB/s on one thread, %.1f on %d\n", arguments[i], megabytes, ids.size(),
                static_cast<unsigned long long>(sum), megabytes / best[0], megabytes / best[1], plume::available_threads());
  }
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
