#include "plume/formats/safetensors.hpp"

#include <doctest/doctest.h>

#include "plume/formats/npy.hpp"
#include "plume/testing/failing_files.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"

using plume::NamedTensor;
using plume::Shape;
using plume::Tensor;
using plume_test::TemporaryFolder;

namespace {
std::vector<NamedTensor> all_tensors(const plume::SafetensorsFile& file) {
  std::vector<NamedTensor> tensors;
  for (const auto& name : file.names()) tensors.push_back({name, file.tensor(name)});
  std::reverse(tensors.begin(), tensors.end());  // so that the writer's order is its own
  return tensors;
}
}  // namespace

TEST_CASE("tensors of a file of the Python package have its values, without a copy") {
  const auto file = plume::read_safetensors(plume_test::golden("safetensors/mixed.safetensors"));
  CHECK(file.names().size() == 10);
  CHECK(file.metadata() == plume::Metadata{{"format", "pt"}});
  CHECK(file.tensor("scalar").shape() == Shape{});
  CHECK(file.tensor("scalar").item() == 3.141592653589793);
  CHECK(file.tensor("scalar").storage()->kind() == plume::StorageKind::mapped);
  const Tensor half = file.tensor("half");
  CHECK(half.shape() == Shape{2, 1, 3});
  CHECK(half.to(plume::DType::f32).data<float>()[5] == 5.0f);
  CHECK(file.tensor("brain").to(plume::DType::f32).data<float>()[1] == -2.5f);
  CHECK(file.tensor("ids").data<std::int32_t>()[2] == 2147483647);
  CHECK(file.tensor("bytes").data<std::uint8_t>()[1] == 128);
  CHECK(file.tensor("signed").shape() == Shape{1, 1, 1, 3});
  CHECK(file.tensor("signed").data<std::int8_t>()[0] == -128);
  CHECK(file.tensor("empty").shape() == Shape{0, 7});
  CHECK(file.tensor("a/f32 \"quoted\"\n").data<float>()[0] == 1.5f);
  CHECK(file.tensor("caf\xc3\xa9").item() == 2.0);
  CHECK_THROWS_AS(file.tensor("wte.weight").writable<float>(), plume::ArgumentError);
  CHECK(file.find("absent") == nullptr);
  CHECK_THROWS_AS(file.tensor("absent"), plume::ConfigError);
}

TEST_CASE("dtypes and ranks that Tensor lacks are legal in a file, an error when asked for; odd offsets are copied") {
  const auto file = plume::read_safetensors(plume_test::golden("safetensors/other.safetensors"));
  CHECK(file.find("long")->dtype == "I64");
  for (const char* name : {"long", "flag", "f8", "rank5"}) {
    try {
      file.tensor(name);
      FAIL(name);
    } catch (const plume::ConfigError& error) {
      CHECK(error.where().path == file.path());
      CHECK(error.where().field == plume::concat("[\"", name, "\"]"));
      CHECK(error.where().offset);
    }
  }
  CHECK(file.tensor("odd").item() == 7.0);
  const TemporaryFolder folder;
  const std::string header =
      R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"f":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  bytes += header + std::string("\x05\x00\x00\x80\x3f", 5);
  for (const auto mapping : {plume::Mapping::automatic, plume::Mapping::map, plume::Mapping::copy})
    CHECK(plume::read_safetensors(folder.write("odd.safetensors", bytes), {.mapping = mapping}).tensor("f").item() == 1.0);
}

TEST_CASE("property: files of the Python package are written back byte for byte") {
  const TemporaryFolder folder;
  for (const char* name : {"mixed", "bare"}) {
    const std::string source = plume_test::golden(plume::concat("safetensors/", name, ".safetensors")), target = folder / "out.safetensors";
    const auto file = plume::read_safetensors(source);
    plume::write_safetensors(target, all_tensors(file), file.metadata());
    CHECK(plume_test::read_all(target) == plume_test::read_all(source));
  }
}

TEST_CASE("writing onto the mapped source, views, and refusals") {
  const TemporaryFolder folder;
  const std::string path = folder.write("m.safetensors", plume_test::read_all(plume_test::golden("safetensors/mixed.safetensors")));
  const auto file = plume::read_safetensors(path);
  const Tensor weight = file.tensor("wte.weight");
  const float last = weight.data<float>()[14];
  plume::write_safetensors(path, {{"part", weight.columns(1, 3)}, {"row", weight.rows(2, 3)}});
  CHECK(weight.data<float>()[14] == last);  // the old inode lives on
  const auto again = plume::read_safetensors(path);
  CHECK(again.tensor("part").shape() == Shape{3, 2});
  CHECK(again.tensor("part").data<float>()[5] == weight.data<float>()[12]);
  CHECK(again.tensor("row").data<float>()[4] == last);
  CHECK_THROWS_AS(plume::write_safetensors(path, {{"a", weight}, {"a", weight}}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::write_safetensors(path, {{"__metadata__", weight}}), plume::ArgumentError);
  CHECK_THROWS_AS(plume::write_safetensors(path, {{"a", Tensor::described({2})}}), plume::ArgumentError);
  CHECK_THROWS_WITH_AS(plume::write_safetensors(path, {{"a\xff", weight}}), doctest::Contains("not plain UTF-8"), plume::ArgumentError);
  CHECK_THROWS_WITH_AS(plume::write_safetensors(path, {{std::string("a\0", 2), weight}}), doctest::Contains("not plain UTF-8"),
                       plume::ArgumentError);
  CHECK_THROWS_WITH_AS(plume::bytes_of(Tensor::described({2})), doctest::Contains("must have memory"), plume::ArgumentError);
  CHECK_THROWS_WITH_AS(plume::bytes_of(Tensor::zeros({4, 4}).columns(0, 2)), doctest::Contains("dense rows"), plume::ArgumentError);
  for (int call = 0; call < 4; ++call)
    CHECK_THROWS_AS(plume::write_safetensors(path, {{"a", weight}}, {}, plume::testing::FailingFiles({.call = call})), plume::IoError);
  CHECK(plume::read_safetensors(path).names().size() == 2);
  CHECK(folder.entries() == 1);
}

TEST_CASE("the header is padded to a multiple of 8 by at most 7 blanks") {
  const TemporaryFolder folder;
  for (std::size_t length = 1; length <= 8; ++length) {
    plume::write_safetensors(folder / "p.safetensors", {{std::string(length, 'n'), Tensor::zeros({1})}});
    const std::string bytes = plume_test::read_all(folder / "p.safetensors");
    std::uint64_t size = 0;
    std::memcpy(&size, bytes.data(), sizeof size);
    CHECK(size % 8 == 0);
    CHECK(size + 7 - bytes.find_last_of('}') < 8);
  }
}

TEST_CASE("shards of an index are one file") {
  const TemporaryFolder folder;
  plume::write_safetensors(folder / "one.safetensors", {{"a", Tensor::zeros({2})}});
  plume::write_safetensors(folder / "two.safetensors", {{"b", Tensor::zeros({3})}, {"c", Tensor::zeros({1})}});
  const auto file = plume::read_safetensors(
      folder.write("model.safetensors.index.json",
                   R"({"metadata":{"total_size":24},"weight_map":{"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"}})"));
  CHECK(file.names() == std::vector<std::string>{"a", "b", "c"});
  CHECK(file.tensor("b").shape() == Shape{3});
}

TEST_CASE("an .npy matrix is what NumPy writes") {
  const TemporaryFolder folder;
  const Tensor matrix = Tensor::from(std::vector<float>{9, 1.5f, -2, 0.25f, 9, 3, 4, -0.0f}, {2, 4}).columns(1, 4);
  plume::write_npy(folder / "l.npy", matrix);
  CHECK(plume_test::read_all(folder / "l.npy") == plume_test::read_all(plume_test::golden("safetensors/logits.npy")));
  CHECK_THROWS_AS(plume::write_npy(folder / "l.npy", Tensor::zeros({3})), plume::ArgumentError);
}
