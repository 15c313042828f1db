// GGUF headers: typed values, arrays, tensors of a real file.
#include "plume/base/gguf.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "malformed/gguf_writer.hpp"
#include "plume/base/files.hpp"
#include "test_data.hpp"

using namespace plume;
using namespace plume_test;

namespace {

GgufHeader read(const std::string& bytes) { return GgufHeader::read(std::as_bytes(std::span(bytes)), "made"); }

}  // namespace

TEST_CASE("Values of every type, arrays, and what is asked for in another type") {
  const std::string bytes = gguf_file(
      {gguf_entry("u8", 0, "\xff"), gguf_entry("i8", 1, "\xff"), gguf_entry("i64", 11, little(std::int64_t{-5})),
       gguf_entry("u64", 10, little(std::uint64_t{1} << 40)), gguf_bool("yes", true), gguf_string("text", "hello"),
       gguf_texts("texts", {"a", "", "bc"}), gguf_numbers<std::int32_t>("ints", {3, -1}), gguf_numbers<float>("reals", {0.5f, 2})});
  const GgufHeader header = read(bytes);
  CHECK(header.version() == 3);
  CHECK(header.entries().size() == 9);
  CHECK(header.integer("u8") == 255);
  CHECK(header.integer("i8") == -1);
  CHECK(header.integer("i64") == -5);
  CHECK(header.integer("u64") == std::int64_t{1} << 40);
  CHECK(header.boolean("yes") == true);
  CHECK(header.text("text") == "hello");
  CHECK(header.texts("texts") == std::vector<std::string_view>{"a", "", "bc"});
  CHECK(header.integers("ints") == std::vector<std::int64_t>{3, -1});
  CHECK(header.reals("reals") == std::vector<float>{0.5f, 2});
  CHECK(header.reals("ints") == std::vector<float>{3, -1});
  CHECK(!header.integer("absent"));
  CHECK(header.texts("absent").empty());
  CHECK_THROWS_AS(header.integer("text"), ConfigError);
  CHECK_THROWS_AS(header.boolean("u8"), ConfigError);
  CHECK_THROWS_WITH_AS(header.number("texts"), doctest::Contains("a number"), ConfigError);
  CHECK_THROWS_AS(header.text("texts"), ConfigError);
  CHECK_THROWS_AS(header.integers("u8"), ConfigError);
  CHECK_THROWS_AS(header.texts("ints"), ConfigError);
}

TEST_CASE("The tensors of a real model lie side by side to the end of the file") {
  const auto folder = test_data("stories260k");
  if (!folder) return;
  for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
    if (entry.path().extension() != ".gguf") continue;
    const auto file = FileMapping::open(entry.path().string());
    const GgufHeader header = GgufHeader::read(file->bytes(), entry.path().string());
    CHECK(header.text("general.architecture") == "llama");
    CHECK(header.tensors().size() > 40);
    std::uint64_t bytes = 0, end = 0;
    for (const GgufTensor& tensor : header.tensors()) bytes += tensor.bytes, end = std::max(end, tensor.offset + tensor.bytes);
    CHECK(end == file->bytes().size());
    CHECK(header.tensors()[0].offset + bytes <= end);
    const auto embedding =
        std::find_if(header.tensors().begin(), header.tensors().end(), [](const auto& t) { return t.name == "token_embd.weight"; });
    REQUIRE(embedding != header.tensors().end());
    CHECK(embedding->shape == std::vector<std::uint64_t>{64, 512});
  }
}
