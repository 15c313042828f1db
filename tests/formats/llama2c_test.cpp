#include "plume/formats/llama2c.hpp"

#include <doctest/doctest.h>

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
