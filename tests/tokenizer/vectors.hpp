#pragma once
// The strings and ids that llama.cpp tests its vocabularies with: ggml-vocab-<name>.gguf.inp and .out.
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "test_data.hpp"

namespace plume_test {

struct Vector {
  std::string text;
  std::vector<plume::TokenId> ids;
};

inline std::optional<std::vector<Vector>> llama_cpp_vectors(const std::string& name) {
  const auto inputs = test_data("tokenizers/llama.cpp/ggml-vocab-" + name + ".gguf.inp");
  const auto outputs = test_data("tokenizers/llama.cpp/ggml-vocab-" + name + ".gguf.out");
  if (!inputs || !outputs) return std::nullopt;
  const std::string texts = read_all(*inputs), lines = read_all(*outputs);
  constexpr std::string_view marker = "\n__ggml_vocab_test__\n";
  std::vector<Vector> vectors;
  std::size_t at = 0, line = 0;
  for (std::size_t end = texts.find(marker); end != texts.npos; at = end + marker.size(), end = texts.find(marker, at)) {
    Vector vector{texts.substr(at, end - at), {}};
    const std::size_t stop = std::min(lines.find('\n', line), lines.size());
    while (line < stop) {
      plume::TokenId id = -1;
      const auto [next, error] = std::from_chars(lines.data() + line + 1, lines.data() + stop, id);
      REQUIRE(error == std::errc());
      vector.ids.push_back(id);
      line = static_cast<std::size_t>(next - lines.data());
    }
    line = stop + 1;
    vectors.push_back(std::move(vector));
  }
  return vectors;
}

}  // namespace plume_test
