#include "plume/formats/llama2c.hpp"

#include <doctest/doctest.h>

#include "formats/gguf_numbers.hpp"
#include "plume/base/json.hpp"
#include "plume/testing/failing_files.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"

using plume::Shape;
using plume::Tensor;

TEST_CASE("stories260K.bin is read without a copy and written back: all bytes, rotary tables within float rounding") {
  const auto path = plume_test::test_data("stories260k/stories260K.bin");
  if (!path) return;
  const auto model = plume::read_llama2c(*path);
  CHECK(model.header.dim == 64);
  CHECK(model.header.n_layers == 5);
  CHECK(model.header.n_heads == 8);
  CHECK(model.header.n_kv_heads == 4);
  CHECK(model.header.vocab_size == 512);
  CHECK(model.header.shared_classifier);
  CHECK(model.tensors.front().name == "tok_embeddings");
  CHECK(model.tensors.front().tensor.shape() == Shape{512, 64});
  CHECK(model.tensors.front().tensor.storage()->kind() == plume::StorageKind::mapped);
  CHECK(model.tensors.back().name == "norm");
  const plume_test::TemporaryFolder folder;
  plume::write_llama2c(folder / "out.bin", model);
  const std::string ours = plume_test::read_all(folder / "out.bin"), theirs = plume_test::read_all(*path);
  REQUIRE(ours.size() == theirs.size());
  const std::size_t tables = 2 * static_cast<std::size_t>(model.header.seq_len) * 4 * sizeof(float), begin = ours.size() - tables;
  CHECK(ours.substr(0, begin) == theirs.substr(0, begin));
  double worst = 0;
  for (std::size_t at = begin; at < ours.size(); at += 4) {
    float a, b;
    std::memcpy(&a, ours.data() + at, 4);
    std::memcpy(&b, theirs.data() + at, 4);
    worst = std::max(worst, static_cast<double>(std::abs(a - b)));
  }
  CHECK(worst < 1e-4);  // angles reach seq_len = 512: half an ulp of the angle is 3e-5
}

TEST_CASE("an unshared classifier, other dtypes and views are written as f32") {
  const plume_test::TemporaryFolder folder;
  const plume::Llama2cHeader header{
      .dim = 4, .hidden_dim = 6, .n_layers = 2, .n_heads = 2, .n_kv_heads = 1, .vocab_size = 3, .seq_len = 5, .shared_classifier = false};
  plume::Llama2cFile model{.header = header, .tensors = {}};
  const auto add = [&](std::string name, const Shape& shape) {
    Tensor tensor = Tensor::zeros(shape, plume::DType::f64);
    tensor.fill(static_cast<double>(model.tensors.size() + 1));
    model.tensors.push_back({std::move(name), tensor});
  };
  for (const char* layer : {"layers.0.", "layers.1."}) {
    for (const char* norm : {"att_norm", "ffn_norm"}) add(plume::concat(layer, norm), {4});
    for (const char* square : {"wq", "wo"}) add(plume::concat(layer, square), {4, 4});
    for (const char* narrow : {"wk", "wv"}) add(plume::concat(layer, narrow), {2, 4});
    for (const char* wide : {"w1", "w3"}) add(plume::concat(layer, wide), {6, 4});
    add(plume::concat(layer, "w2"), {4, 6});
  }
  add("tok_embeddings", {3, 4});
  add("norm", {4});
  add("wcls", {3, 4});
  plume::write_llama2c(folder / "m.bin", model);
  const auto read = plume::read_llama2c(folder / "m.bin", {.mapping = plume::Mapping::copy});
  CHECK(!read.header.shared_classifier);
  CHECK(read.header.vocab_size == 3);
  REQUIRE(read.tensors.size() == model.tensors.size());
  for (const auto& named : read.tensors) {
    const auto same = std::find_if(model.tensors.begin(), model.tensors.end(), [&](const auto& other) { return other.name == named.name; });
    REQUIRE(same != model.tensors.end());
    CHECK(named.tensor.shape() == same->tensor.shape());
    CHECK(static_cast<double>(named.tensor.data<float>()[0]) == same->tensor.data<double>()[0]);
  }
  // The order of the file: sizes before wq of layer 0 are the header, the embeddings and both att_norm.
  const std::string bytes = plume_test::read_all(folder / "m.bin");
  float first;
  std::memcpy(&first, bytes.data() + 28 + (12 + 8) * 4, 4);
  CHECK(first == 3.0f);
  auto broken = model;
  broken.tensors.pop_back();
  CHECK_THROWS_AS(plume::write_llama2c(folder / "m.bin", broken), plume::ArgumentError);
  broken = model;
  broken.tensors.push_back({"extra", Tensor::zeros({1})});
  CHECK_THROWS_AS(plume::write_llama2c(folder / "m.bin", broken), plume::ArgumentError);
  broken = model;
  broken.tensors[0].tensor = Tensor::zeros({3, 5});
  CHECK_THROWS_WITH_AS(plume::write_llama2c(folder / "m.bin", broken), doctest::Contains("needed is"), plume::ArgumentError);
  broken = model;
  broken.header.n_kv_heads = 0;
  CHECK_THROWS_AS(plume::write_llama2c(folder / "m.bin", broken), plume::ArgumentError);
  CHECK_THROWS_AS(plume::write_llama2c(folder / "m.bin", model, plume::testing::FailingFiles({.call = 1})), plume::IoError);
  CHECK(plume_test::read_all(folder / "m.bin") == bytes);
}

namespace {

std::string sum_of_file(const std::string& path) {
  const std::string bytes = plume_test::read_all(path);
  return plume::sha256(std::as_bytes(std::span(bytes)));
}
// The file of version 1, and those of version 2 in groups of some sizes, are the exporter's; and what is read of them is what was written.
void check_versions(plume::Llama2cFile model, const plume::Json& sums) {
  const plume_test::TemporaryFolder folder;
  for (const plume::Json::Member& member : sums.members()) {
    const std::string& version = member.key;
    CAPTURE(version);
    model.header.version = version[0] - '0';
    if (model.header.version == 2) model.header.group_size = std::stoi(version.substr(version.rfind(' ')));
    plume::write_llama2c(folder / "m.bin", model);
    CHECK(sum_of_file(folder / "m.bin") == member.value.as_text());
    const plume::Llama2cFile read = plume::read_llama2c(folder / "m.bin");
    CHECK(read.header.version == model.header.version);
    CHECK(read.header.shared_classifier == model.header.shared_classifier);
    CHECK(read.header.n_kv_heads == model.header.n_kv_heads);
    REQUIRE(read.tensors.size() == model.tensors.size());
    double worst = 0;
    for (const auto& named : read.tensors) {
      const auto same =
          std::find_if(model.tensors.begin(), model.tensors.end(), [&](const auto& other) { return other.name == named.name; });
      REQUIRE(same != model.tensors.end());
      REQUIRE(named.tensor.shape() == same->tensor.shape());
      const bool exact = model.header.version == 1 || named.tensor.rank() == 1;
      const auto ours = named.tensor.span<float>(), theirs = same->tensor.span<float>();
      float largest = 0;
      for (const float value : theirs) largest = std::max(largest, std::abs(value));
      for (std::size_t i = 0; i < ours.size(); ++i) {
        if (exact) REQUIRE(ours[i] == theirs[i]);
        worst = std::max(worst, static_cast<double>(std::abs(ours[i] - theirs[i]) / std::max(largest, 1e-9f)));
      }
    }
    CHECK(worst <= 0.501 / 127);  // half a level, and rounding
  }
}
const plume::Json& exported() {
  static const plume::Json json = plume::Json::parse(plume_test::read_all(plume_test::golden("llama2c.json")), {.path = "llama2c.json"});
  return json;
}

}  // namespace

TEST_CASE("versions 1 and 2 of a small model are the bytes that llama2.c's exporter writes") {
  plume::Llama2cFile model{.header = {.dim = 32,
                                      .hidden_dim = 48,
                                      .n_layers = 2,
                                      .n_heads = 4,
                                      .n_kv_heads = 2,
                                      .vocab_size = 20,
                                      .seq_len = 16,
                                      .shared_classifier = false},
                           .tensors = {}};
  std::uint64_t stream = 200;
  const auto add = [&](std::string name, const Shape& shape) {
    const Tensor tensor = Tensor::empty(shape);
    auto* const values = tensor.writable<float>();
    for (plume::Index i = 0; i < shape.size(); ++i)
      values[i] =
          static_cast<float>((static_cast<double>(plume_test::hashed(stream, static_cast<std::uint64_t>(i)) >> 44) - 0x1p19) * 0x1p-20);
    if (name == "layers.1.wk") std::fill(values, values + 32, 0.0f);
    constexpr float between[] = {127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5};  // two whole numbers
    if (name == "layers.0.wq") std::copy(std::begin(between), std::end(between), values);
    model.tensors.push_back({std::move(name), tensor});
    ++stream;
  };
  add("tok_embeddings", {20, 32});
  for (const auto& [name, shape] : {std::pair<const char*, Shape>{"att_norm", {32}},
                                    {"wq", {32, 32}},
                                    {"wk", {16, 32}},
                                    {"wv", {16, 32}},
                                    {"wo", {32, 32}},
                                    {"ffn_norm", {32}},
                                    {"w1", {48, 32}},
                                    {"w2", {32, 48}},
                                    {"w3", {48, 32}}})
    for (int layer = 0; layer < 2; ++layer) add(plume::concat("layers.", layer, ".", name), shape);
  add("norm", {32});
  add("wcls", {20, 32});
  check_versions(model, exported().at("small"));
  model.header.version = 2;
  model.header.group_size = 7;
  const plume_test::TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(plume::write_llama2c(folder / "m.bin", model), doctest::Contains("divide"), plume::ArgumentError);
  model.header.version = 3;
  CHECK_THROWS_AS(plume::write_llama2c(folder / "m.bin", model), plume::ArgumentError);
  model.header.version = 2;
  model.header.group_size = 32;
  model.tensors[3].tensor.writable<float>()[5] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH_AS(plume::write_llama2c(folder / "m.bin", model), doctest::Contains("wq"), plume::NumericError);
  CHECK(folder.entries() == 0);
}

TEST_CASE("versions 1 and 2 of stories260K are the bytes that llama2.c's exporter writes") {
  if (const auto path = plume_test::test_data("stories260k/stories260K.bin"))
    check_versions(plume::read_llama2c(*path), exported().at("stories260K"));
}
