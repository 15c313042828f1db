// How fast texts become ids; bench/compare_tokenizers.sh puts it beside other libraries (peers/tokenizers_encode.py) on the same files.
//
//   bench_tokenizer TOKENIZER WAY THREADS TEXT ...
//
// TOKENIZER: what load_tokenizer() takes. WAY: "whole" encodes a text in one call; "documents" cuts it at line ends into parts of about 4
// KB for encode_batch(); "behind" encodes the first half of the documents, and is timed with the second. Prints per text: seconds of the
// first time, the least seconds of further times (as many as fit into two seconds), the number of ids, their CRC-32, and the bytes of text.
// On one thread seconds are the processor's, on several the clock's. A tokenizer remembers words that it met: the first time is that of one
// that met none, or, behind other documents, that of one in use that meets a new text.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "plume/kernels/parallel/context.hpp"
#include "plume/tokenizer/encode_batch.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"

namespace {

std::uint32_t crc32(std::uint32_t crc, const void* data, std::size_t size) {  // zlib's
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> rows{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      rows[i] = i;
      for (int bit = 0; bit < 8; ++bit) rows[i] = rows[i] >> 1 ^ (rows[i] & 1 ? 0xedb88320u : 0);
    }
    return rows;
  }();
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (crc = ~crc; size > 0; --size) crc = crc >> 8 ^ table[(crc ^ *bytes++) & 0xff];
  return ~crc;
}

std::vector<std::string_view> documents(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t line = text.find('\n', at + 4096), end = line == text.npos ? text.size() : line + 1;
    parts.push_back(text.substr(at, end - at));
    at = end;
  }
  return parts;
}

}  // namespace

int main(int count, char** arguments) try {
  if (count < 5) return std::fprintf(stderr, "usage: bench_tokenizer TOKENIZER WAY THREADS TEXT ...\n"), 2;
  const std::string_view way = arguments[2];
  if (way != "whole" && way != "documents" && way != "behind") return std::fprintf(stderr, "WAY is whole, documents or behind\n"), 2;
  const int threads = std::atoi(arguments[3]);
  plume::Context context({.threads = threads});
  const plume::ContextScope scope(context);
  const plume::EncodeOptions options{.begin = plume::Begin::nothing, .end = plume::End::nothing};
  const auto now = [&] {
    if (threads == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  for (int i = 4; i < count; ++i) {
    const plume::Tokenizer tokenizer = plume::load_tokenizer(arguments[1]);
    std::ifstream file(arguments[i], std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    std::vector<std::string_view> parts = documents(text);
    if (way == "behind") {
      const std::vector<std::string_view> before(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(parts.size() / 2));
      plume::encode_batch(tokenizer, before, options);
      parts.erase(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(before.size()));
    }
    std::vector<std::vector<plume::TokenId>> ids;
    std::vector<double> seconds;
    for (double sum = 0; seconds.size() < 2 || (sum < 2 && seconds.size() < 40); sum += seconds.back()) {
      const double start = now();
      if (way != "whole")
        ids = plume::encode_batch(tokenizer, parts, options);
      else if (ids.resize(1); threads == 1)
        ids[0] = tokenizer.encode(text, options);
      else
        ids[0] = plume::encode_parallel(tokenizer, text, options);
      seconds.push_back(now() - start);
    }
    std::size_t total = 0, bytes = 0;
    std::uint32_t crc = 0;
    for (const std::string_view part : parts) bytes += part.size();
    for (const std::vector<plume::TokenId>& part : ids) {
      total += part.size();
      crc = crc32(crc, part.data(), part.size() * sizeof(plume::TokenId));
    }
    std::printf("%s %.6f %.6f %zu %08x %zu\n", arguments[i], seconds[0], *std::min_element(seconds.begin() + 1, seconds.end()), total, crc,
                bytes);
    std::fflush(stdout);
  }
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
