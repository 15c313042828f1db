// Tensors of GGUF files against Python's gguf package and llama.cpp; tests/golden/make_gguf_blocks.py and check_gguf.py say how.
#include "plume/formats/gguf.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <utility>

#include "formats/gguf_numbers.hpp"
#include "malformed/gguf_writer.hpp"
#include "plume/base/json.hpp"
#include "plume/formats/gguf_blocks.hpp"
#include "plume/formats/gguf_quantise.hpp"
#include "plume/formats/llama2c.hpp"
#include "plume/formats/write_gguf.hpp"
#include "plume/testing/failing_files.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"

using namespace plume;
using namespace plume_test;

namespace {

const Json& expected() {
  static const Json json = Json::parse(read_all(golden("gguf/blocks.json")), {.path = "blocks.json"});
  return json;
}
GgmlType type_named(std::string_view name) {
  for (std::size_t i = 0; i < ggml_layouts.size(); ++i)
    if (ggml_layouts[i].name == name) return static_cast<GgmlType>(i);
  FAIL("no such type");
  return {};
}
std::vector<float> values_of(GgmlType type, std::span<const std::byte> blocks) {
  std::vector<float> values(blocks.size() / layout_of(type).bytes * layout_of(type).weights);
  dequantise(type, blocks, values);
  return values;
}
std::vector<std::byte> blocks_of(GgmlType type, std::span<const float> weights) {
  std::vector<std::byte> blocks(weights.size() / layout_of(type).weights * layout_of(type).bytes);
  quantise(type, weights, blocks);
  return blocks;
}
// Squared error of a round trip, and the sum of squares.
std::pair<double, double> errors_of(GgmlType type, std::span<const float> weights) {
  const std::vector<float> again = values_of(type, blocks_of(type, weights));
  double error = 0, size = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double difference = static_cast<double>(again[i]) - static_cast<double>(weights[i]);
    error += difference * difference, size += static_cast<double>(weights[i]) * static_cast<double>(weights[i]);
  }
  return {error, size};
}
Tensor matrix(const std::vector<float>& weights, std::initializer_list<Index> shape) { return Tensor::from(weights, Shape(shape)); }
// The first columns of the first rows of 256.
std::vector<float> corner(const std::vector<float>& weights, std::size_t rows, std::size_t columns) {
  std::vector<float> part;
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t column = 0; column < columns; ++column) part.push_back(weights[row * 256 + column]);
  return part;
}
std::vector<float> floats(const Tensor& tensor) {
  const Tensor copy = tensor.to(DType::f32);
  return {copy.span<float>().begin(), copy.span<float>().end()};
}

std::string sum_of_file(const std::string& path) {
  const std::string bytes = read_all(path);
  return plume::sha256(std::as_bytes(std::span(bytes)));
}

}  // namespace

TEST_CASE("Blocks of random bytes of every type are the numbers that Python's gguf package makes of them") {
  std::map<GgmlType, int> known;
  for (const Json::Member& member : expected().at("decoded").members()) {
    const std::string& name = member.key;
    const Json& facts = member.value;
    CAPTURE(name);
    const GgmlType type = type_named(name);
    ++known[type];
    CHECK(static_cast<std::int64_t>(type) == facts.integer("number"));
    CHECK(layout_of(type).weights == facts.integer("weights"));
    REQUIRE(layout_of(type).bytes == facts.integer("bytes"));
    const auto packed = hashed_bytes(static_cast<std::uint64_t>(facts.integer("stream")),
                                     static_cast<std::size_t>(facts.integer("blocks") * facts.integer("bytes")));
    REQUIRE(sum_of(packed) == facts.text("packed"));
    const std::vector<float> values = values_of(type, packed);
    for (std::size_t i = 0; i < 4; ++i)
      if (const Json& value = facts.at("first").at(i); !value.is_null()) CHECK(static_cast<double>(values[i]) == value.as_number());
    CHECK(sum_of(values) == facts.text("sha256"));
  }
  for (std::size_t i = 0; i < ggml_layouts.size(); ++i)
    CHECK(can_dequantise(static_cast<GgmlType>(i)) == known.contains(static_cast<GgmlType>(i)));
  std::vector<float> few(31), block(256);
  CHECK_THROWS_AS(dequantise(GgmlType::q8_0, std::vector<std::byte>(34), few), ArgumentError);
  std::vector<std::byte> no_block(33);
  CHECK_THROWS_WITH_AS(quantise(GgmlType::q8_0, std::vector<float>(32), no_block), doctest::Contains("32 weights for 33 bytes of Q8_0"),
                       ArgumentError);
  CHECK_THROWS_AS(dequantise(GgmlType::iq2_xs, std::vector<std::byte>(74), block), ArgumentError);
}

TEST_CASE("F16, BF16, Q8_0 and Q4_0 of weights are the bytes that Python's gguf package writes") {
  const std::vector<float> weights = hashed_weights(100, 64);
  REQUIRE(sum_of(weights) == expected().at("weights").text("sha256"));
  for (const Json::Member& member : expected().at("encoded").members()) {
    const std::string& name = member.key;
    CAPTURE(name);
    CHECK(sum_of(blocks_of(type_named(name), weights)) == member.value.as_text());
  }
}

TEST_CASE("Q4_K and Q6_K come nearer to weights than llama.cpp's, and every type within ggml's bounds") {
  const std::vector<float> weights = hashed_weights(100, 64);
  for (const Json::Member& member : expected().at("errors of llama.cpp").members()) {
    const std::string& name = member.key;
    const Json& rows = member.value;
    CAPTURE(name);
    double ours = 0, theirs = 0;
    for (std::size_t row = 0; row < 64; ++row) {
      const auto [error, size] = errors_of(type_named(name), std::span(weights).subspan(256 * row, 256));
      const double bar = rows.at(row).as_number(), relative = size > 0 ? error / size : error;
      CAPTURE(row);
      CHECK(relative <= std::max(1.02 * bar, 0x1p-20));  // 2^-10: to round two halfs
      ours += relative, theirs += bar;
    }
    CHECK(ours < theirs);
  }
  std::vector<float> waves;  // ggml's own test [tests/test-quantize-fns.cpp]: its measure and its bound
  for (int i = 0; i < 4096; ++i) waves.push_back(0.1f + 2 * std::cos(static_cast<float>(i)));
  for (const GgmlType type : {GgmlType::q8_0, GgmlType::q4_0, GgmlType::q4_k, GgmlType::q6_k})
    CHECK(std::sqrt(errors_of(type, waves).first) / 4096 <= 0.002);
}

TEST_CASE("Weights at the edges: the smallest, the largest, all of one sign, and those that a type cannot hold") {
  for (const GgmlType type : {GgmlType::q8_0, GgmlType::q4_0, GgmlType::q4_k, GgmlType::q6_k}) {
    CAPTURE(layout_of(type).name);
    for (const float size : {1e-45f, 1e-40f, 1e-30f, 1e-6f, 1.0f, 65504.0f})
      for (const int signs : {0, 1, 2}) {
        std::vector<float> weights(256);
        for (std::size_t i = 0; i < 256; ++i)
          weights[i] = size * (signs == 0 ? 1.0f : signs == 1 ? -1.0f : i % 2 == 0 ? 1.0f : -1.0f) * static_cast<float>(i % 5) / 4.0f;
        const auto [error, squares] = errors_of(type, weights);
        CHECK(error <= (size < 1e-5f ? 1.0 : 0.01) * squares);
      }
    for (const float wrong : {65520.0f, -1e30f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> weights(256);
      weights[200] = wrong;
      CHECK_THROWS_WITH_AS(blocks_of(type, weights), doctest::Contains("weight 200"), NumericError);
    }
  }
  const auto infinity = std::numeric_limits<float>::infinity();
  CHECK(values_of(GgmlType::f16, blocks_of(GgmlType::f16, std::array{infinity, 65519.0f})) == std::vector<float>{infinity, 65504.0f});
  CHECK_THROWS_AS(blocks_of(GgmlType::f16, std::array{65520.0f}), NumericError);
  CHECK_THROWS_AS(blocks_of(GgmlType::bf16, std::array{std::numeric_limits<float>::max()}), NumericError);
  CHECK_THROWS_AS(blocks_of(GgmlType::q5_0, std::vector<float>(32)), ArgumentError);
}

TEST_CASE("A file of Python's gguf package is read, and written again with the same bytes") {
  const std::string path = golden("gguf/written.gguf");
  const std::vector<float> small = hashed_weights(101, 16);
  const std::vector<float> vector = corner(small, 1, 5), cube = corner(small, 6, 32), wide = corner(small, 2, 64);
  const GgufFile file = read_gguf(path);
  REQUIRE(file.tensors().size() == 6);
  CHECK(file.tensor("vector").shape() == Shape{5});
  CHECK(file.tensor("vector").storage()->kind() == StorageKind::mapped);
  CHECK(file.tensor("matrix").shape() == Shape{2, 3, 32});
  CHECK(floats(file.tensor("vector")) == vector);
  CHECK(floats(file.tensor("matrix")) == cube);
  for (const char* name : {"F16", "BF16", "Q8_0", "Q4_0"}) {
    const Tensor tensor = file.tensor(std::string("tensor.") + name);
    CHECK(tensor.shape() == Shape{2, 64});
    CHECK(tensor.dtype() == (name[0] == 'F' ? DType::f16 : name[0] == 'B' ? DType::bf16 : DType::f32));
    CHECK(floats(tensor) == values_of(type_named(name), blocks_of(type_named(name), wide)));
  }
  CHECK_THROWS_AS(file.tensor("absent"), ConfigError);

  const GgufKeyValues key_values = {{"general.architecture", "test"},
                                    {"general.name", std::string("written by Python")},
                                    {"test.u8", std::uint8_t{200}},
                                    {"test.i8", std::int8_t{-100}},
                                    {"test.u16", std::uint16_t{60000}},
                                    {"test.i16", std::int16_t{-30000}},
                                    {"test.u32", 4000000000u},
                                    {"test.i32", -2000000000},
                                    {"test.f32", 0.1f},
                                    {"test.yes", true},
                                    {"test.no", false},
                                    {"test.u64", std::uint64_t{1} << 63},
                                    {"test.i64", -(1LL << 62)},
                                    {"test.f64", 0.1},
                                    {"test.text", std::string_view("caf\xc3\xa9 \xe2\x82\xac")},
                                    {"test.texts", std::vector<std::string>{"a", "",
                                                                            "\xe2\x96\x81"
                                                                            "b c"}},
                                    {"test.ints", std::vector<int>{3, -1, 7}},
                                    {"test.reals", std::vector<float>{0.5f, -2.0f}},
                                    {"test.bools", std::vector<bool>{true, false, true}}};
  const std::vector<GgufWeight> tensors = {
      {"vector", matrix(vector, {5}), GgmlType::f32},         {"matrix", matrix(cube, {2, 3, 32}).to(DType::f64), GgmlType::f32},
      {"tensor.F16", matrix(wide, {2, 64}), GgmlType::f16},   {"tensor.BF16", matrix(wide, {2, 64}), GgmlType::bf16},
      {"tensor.Q8_0", matrix(wide, {2, 64}), GgmlType::q8_0}, {"tensor.Q4_0", matrix(wide, {2, 64}), GgmlType::q4_0}};
  const TemporaryFolder folder;
  write_gguf(folder / "ours.gguf", key_values, tensors);
  CHECK(read_all(folder / "ours.gguf") == read_all(path));
  GgufKeyValues copied;  // what was read may be written
  for (const GgufEntry& entry : file.header().entries()) copied.emplace_back(std::string(entry.key), entry);
  write_gguf(folder / "copied.gguf", copied, tensors);
  CHECK(read_all(folder / "copied.gguf") == read_all(path));
  for (int call = 1; call <= 4; ++call) {
    const std::vector<GgufWeight> others = {{"other", matrix(vector, {5}), GgmlType::f32}};
    CHECK_THROWS_AS(write_gguf(folder / "ours.gguf", key_values, others, testing::FailingFiles({.call = call})), IoError);
    CHECK(read_all(folder / "ours.gguf") == read_all(path));
  }
}

TEST_CASE("Parts that Python's gguf package has split are read as one file") {
  const std::vector<float> small = hashed_weights(101, 16);
  const GgufFile file = read_gguf(golden("gguf/parts-00001-of-00003.gguf"));
  CHECK(file.header().text("general.name") == "in parts");
  REQUIRE(file.tensors().size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    const std::string name = concat("tensor.", i);
    const auto* const row = small.data() + 256 * i;
    CHECK(floats(file.tensor(name)) == std::vector<float>(row, row + 4 + i));
    CHECK(file.find(name)->part == i / 2);
  }
}

TEST_CASE("stories260K.gguf holds the weights of stories260K.bin; llama.cpp says which file has which name") {
  const auto path = test_data("stories260k/stories260K.gguf"), bin = test_data("stories260k/stories260K.bin");
  if (!path || !bin) return;
  const GgufFile file = read_gguf(*path);
  const std::map<std::string, std::string> names = {{"att_norm", "attn_norm"}, {"wq", "attn_q"},      {"wk", "attn_k"},
                                                    {"wv", "attn_v"},          {"wo", "attn_output"}, {"ffn_norm", "ffn_norm"},
                                                    {"w1", "ffn_gate"},        {"w2", "ffn_down"},    {"w3", "ffn_up"}};
  std::size_t compared = 0;
  for (const NamedTensor& named : read_llama2c(*bin).tensors) {
    std::string name = named.name == "tok_embeddings" ? "token_embd" : "output_norm";
    if (named.name.starts_with("layers.")) {
      const std::size_t dot = named.name.find('.', 7);
      name = concat("blk.", named.name.substr(7, dot - 7), ".", names.at(named.name.substr(dot + 1)));
    }
    CAPTURE(name);
    const Tensor tensor = file.tensor(name + ".weight");
    CHECK(tensor.shape() == named.tensor.shape());
    CHECK(floats(tensor) == floats(named.tensor));  // queries and keys lie as in the .bin: their rotary pairs are neighbours
    ++compared;
  }
  CHECK(compared + 1 == file.tensors().size());  // and "output", which is the embedding once more
  CHECK(floats(file.tensor("output.weight")) == floats(file.tensor("token_embd.weight")));
}

TEST_CASE("Whole numbers, other alignments, and what is not written") {
  const TemporaryFolder folder;
  const std::string data = little(std::int64_t{5}) + little(std::int64_t{-7}) + std::string(16, '\0') + little(std::int16_t{-3}) +
                           std::string(30, '\0') + little(std::int64_t{1} << 31) + std::string(24, '\0') + little(std::int32_t{9}) +
                           std::string(28, '\0') + "\xff";
  const std::string path = folder.write(
      "numbers.gguf", gguf_file({},
                                {gguf_tensor("i64", {1, 2}, 27, 0), gguf_tensor("i16", {1}, 25, 32), gguf_tensor("large", {1}, 27, 64),
                                 gguf_tensor("i32", {1}, 26, 96), gguf_tensor("i8", {1}, 24, 128)},
                                data));
  const GgufFile file = read_gguf(path);
  CHECK(file.tensor("i64").dtype() == DType::i32);
  CHECK(file.tensor("i64").shape() == Shape{2, 1});
  CHECK(floats(file.tensor("i64")) == std::vector<float>{5, -7});
  CHECK(floats(file.tensor("i16")) == std::vector<float>{-3});
  CHECK(floats(file.tensor("i32")) == std::vector<float>{9});
  CHECK(floats(file.tensor("i8")) == std::vector<float>{-1});
  CHECK_THROWS_WITH_AS(file.tensor("large"), doctest::Contains("beyond 32 bits"), ConfigError);
  std::vector<std::byte> q2_xs(74);
  const std::string other = folder.write("other.gguf", gguf_file({}, {gguf_tensor("w", {256}, 17, 0)}, std::string(74, '\0')));
  CHECK_THROWS_WITH_AS(read_gguf(other).tensor("w"), doctest::Contains("IQ2_XS"), ConfigError);

  const std::vector<float> row = corner(hashed_weights(101, 1), 1, 64);
  const Tensor both = matrix(row, {2, 32});
  const std::vector<GgufWeight> tensors = {{"a", both.columns(0, 3), GgmlType::f32}, {"b", both, GgmlType::q8_0}};  // a view, too
  write_gguf(folder / "aligned.gguf", {{"general.alignment", 256u}}, tensors);
  const GgufFile aligned = read_gguf(folder / "aligned.gguf", {.mapping = Mapping::copy});
  CHECK(aligned.header().tensors()[1].offset % 256 == 0);
  CHECK(aligned.header().integer("general.quantization_version") == 2);
  CHECK(floats(aligned.tensor("a")) == std::vector<float>{row[0], row[1], row[2], row[32], row[33], row[34]});
  CHECK(gguf_type_for(matrix(row, {64}), GgmlType::q4_k) == GgmlType::f32);
  CHECK(gguf_type_for(both, GgmlType::q4_k) == GgmlType::q8_0);
  CHECK(gguf_type_for(both, GgmlType::q4_0) == GgmlType::q4_0);
  CHECK(gguf_type_for(matrix(row, {32, 2}), GgmlType::q6_k) == GgmlType::f16);

  const auto refused = [&](const GgufKeyValues& key_values, const std::vector<GgufWeight>& weights, const char* word) {
    CHECK_THROWS_WITH_AS(write_gguf(folder / "refused.gguf", key_values, weights), doctest::Contains(word), ArgumentError);
    CHECK(!file_exists(folder / "refused.gguf"));
  };
  refused({{"", 1}}, {}, "1 to");
  refused({{"k", 1}, {"k", 2}}, {}, "twice");
  refused({{"split.count", 1}}, {}, "parts");
  refused({{"general.alignment", 32}}, {}, "u32");
  refused({{"general.alignment", 48u}}, {}, "power of two");
  refused({}, {{std::string(64, 'w'), both}}, "1 to 63");
  refused({}, {{"w", both}, {"w", both}}, "twice");
  refused({}, {{"w", Tensor::described({2, 32})}}, "no memory");
  refused({}, {{"w", both, GgmlType::q4_k}}, "blocks of 256");
  refused({}, {{"w", both, GgmlType::q5_1}}, "not written");
  const Tensor broken = both.copy();
  broken.writable<float>()[40] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(write_gguf(folder / "refused.gguf", {}, {{"w", broken, GgmlType::q8_0}}), doctest::Contains("row 1, column 8"),
                       NumericError);
  CHECK(!file_exists(folder / "refused.gguf"));
}

// What check_gguf.py opens with Python's gguf package and llama.cpp: all types of one matrix, and stories260K.gguf in other types.
TEST_CASE("Files for Python's gguf package and llama.cpp are written, and are those that they have read") {
  const char* const wish = std::getenv("PLUME_GGUF_OUTPUT");
  const TemporaryFolder folder;
  const std::string place = wish && *wish ? wish : folder.path();
  const Json checked = Json::parse(read_all(golden("gguf/from_plume.json")), {.path = "from_plume.json"});
  const auto is_checked = [&](const std::string& name) { CHECK(sum_of_file(concat(place, "/", name)) == checked.at(name).text("sha256")); };

  const Tensor weights = matrix(hashed_weights(100, 64), {64, 256});
  std::vector<GgufWeight> all;
  for (const char* type : {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q6_K"}) all.push_back({type, weights, type_named(type)});
  write_gguf(place + "/types.gguf", {{"general.architecture", "test"}, {"test.list", std::vector<std::string>{"a", "b"}}}, all);
  is_checked("types.gguf");
  const GgufFile file = read_gguf(place + "/types.gguf");
  for (const GgufStored& stored : file.tensors()) {
    CAPTURE(std::string(stored.name));
    CHECK(sum_of(floats(file.tensor(stored.name))) == checked.at("types.gguf").at("tensors").text(stored.name));
  }

  const auto path = test_data("stories260k/stories260K.gguf");
  if (!path) return;
  const GgufFile stories = read_gguf(*path);
  for (const GgmlType type : {GgmlType::f32, GgmlType::f16, GgmlType::bf16, GgmlType::q8_0, GgmlType::q4_0}) {
    GgufKeyValues key_values;
    for (const GgufEntry& entry : stories.header().entries())
      if (entry.key != "general.quantization_version" && entry.key != "general.file_type")
        key_values.emplace_back(std::string(entry.key), entry);
    std::vector<GgufWeight> tensors;
    for (const GgufStored& stored : stories.tensors()) {
      const Tensor tensor = stories.tensor(stored.name);
      tensors.push_back({std::string(stored.name), tensor, gguf_type_for(tensor, type)});
    }
    const std::string name = concat("stories260K-", layout_of(type).name, ".gguf");
    write_gguf(concat(place, "/", name), key_values, tensors);
    is_checked(name);
  }
}
