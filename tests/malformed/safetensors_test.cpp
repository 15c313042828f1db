#include "plume/formats/safetensors.hpp"

#include <doctest/doctest.h>

#include <ctime>

#include "malformed/refused.hpp"
#include "test_data.hpp"

using plume::FormatError;
using plume::LimitError;
using plume_test::refused;
using plume_test::refused_file;
using plume_test::TemporaryFolder;

namespace {

// Reads everything that a program could touch.
void load(const std::string& path) {
  const auto file = plume::read_safetensors(path);
  for (const auto& entry : file.entries()) {
    try {
      file.tensor(entry.name).copy();
    } catch (const plume::ConfigError&) {  // a dtype or rank that Tensor lacks
    }
  }
}

std::string size_field(std::uint64_t size) { return {reinterpret_cast<const char*>(&size), 8}; }
std::string file_of(std::string_view header, std::size_t data) {
  return size_field(header.size()) + std::string(header) + std::string(data, '\1');
}
std::string entry(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return plume::concat("{\"dtype\":\"", dtype, "\",\"shape\":", shape, ",\"data_offsets\":", offsets, "}");
}
// One F32 tensor "w" with this shape and these offsets, and its four bytes.
std::string one(std::string_view shape, std::string_view offsets, std::string_view dtype = "F32", std::size_t data = 4) {
  return file_of("{\"w\":" + entry(dtype, shape, offsets) + "}", data);
}
void accepted(std::string_view bytes) {
  const TemporaryFolder folder;
  CHECK_NOTHROW(load(folder.write("good", bytes)));
}

}  // namespace

TEST_CASE("S1 file shorter than 8 bytes") {
  refused("", load, {"header size", 0, "ends"});
  refused("1234567", load, {"header size", 0, "ends"});
}
TEST_CASE("S2 header size 0") { refused(size_field(0) + "{}", load, {"header size", 0, "0 bytes"}); }
TEST_CASE("S3 header size over 100,000,000") {
  const TemporaryFolder folder;
  const std::string path = folder.write("big", size_field(100'000'001) + "{");
  std::filesystem::resize_file(path, 100'000'100);  // sparse
  refused_file<LimitError>(path, load, {"header size", 0, "max_safetensors_header"});
}
TEST_CASE("S4 header size over the file") { refused(size_field(3) + "{}", load, {"header size", 0, "3 bytes, 2 follow"}); }
TEST_CASE("S5 header size 2^64-1") { refused(size_field(~std::uint64_t{0}) + "{}", load, {"header size", 0, "follow"}); }
TEST_CASE("S6 header not UTF-8") { refused(file_of("{\"w\xff\":1}", 0), load, {"", 11, "UTF-8"}); }
TEST_CASE("S7 header does not begin with a brace") {
  for (const char* header : {" {}", "\xef\xbb\xbf{}", "[]"}) refused(file_of(header, 0), load, {"header", 8, "begin"});
}
TEST_CASE("S8 header JSON cut or followed by garbage; padding by blanks is fine") {
  refused(file_of("{\"w\":{", 0), load, {"w", 14, "ends"});
  refused(file_of("{}x", 0), load, {"", 10, "more text"});
  refused(file_of("{}\n", 0), load, {"header", 10, "blanks"});
  accepted(file_of("{}    ", 0));
}
TEST_CASE("S9 duplicate tensor key") {
  const std::string e = entry("F32", "[1]", "[0,4]");
  refused(file_of("{\"w\":" + e + ",\"w\":" + e + "}", 4), load, {"w", std::nullopt, "duplicate key \"w\" at bytes 9 and "});
}
TEST_CASE("S10 nesting 100,000") {
  refused<LimitError>(file_of("{\"w\":" + std::string(100'000, '['), 0), load,
                      {"w" +
                           [] {
                             std::string path;
                             for (int i = 0; i < 63; ++i) path += "[0]";
                             return path;
                           }(),
                       8 + 5 + 63, "max_json_depth"});
}
TEST_CASE("S11 dtype unknown or a number") {
  refused(one("[1]", "[0,4]", "F33"), load, {"w.dtype", 22, "F33"});
  refused(file_of(R"({"w":{"dtype":32,"shape":[1],"data_offsets":[0,4]}})", 4), load, {"w.dtype", 22, "expected a text"});
}
TEST_CASE("S12 shape is negative, float, 1e3, string or 2^64") {
  for (const char* extent : {"-1", "1.0", "1e3", "\"1\"", "18446744073709551615.0", "null", "[1]"})
    refused(one(plume::concat("[", extent, "]"), "[0,4]"), load, {"w.shape[0]", 37, "integer"});
  refused(one("[18446744073709551616]", "[0,4]"), load, {"w.shape[0]", 37, "64 bits"});
  refused(one("4", "[0,4]"), load, {"w.shape", 36, "array"});
}
TEST_CASE("S13 the product of the shape overflows, in any order") {
  for (const char* shape : {"[4294967296,4294967296]", "[0,9223372036854775808,4]", "[4,9223372036854775807,0]"})
    refused(one(shape, "[0,4]"), load, {"w.shape", 36, "overflow"});
}
TEST_CASE("S14 rank 65") {
  std::string shape = "[1";
  for (int i = 0; i < 64; ++i) shape += ",1";
  refused<LimitError>(one(shape + "]", "[0,4]"), load, {"w.shape", 36, "max_rank"});
}
TEST_CASE("S15 begin after end") { refused(one("[1]", "[4,0]"), load, {"w.data_offsets", 55, "begin 4"}); }
TEST_CASE("S16 end past the data section") { refused(one("[2]", "[0,8]"), load, {"w.data_offsets", 55, "past the data"}); }
TEST_CASE("S17 size is not shape times dtype") {
  refused(one("[2]", "[0,4]"), load, {"w.data_offsets", 55, "need 8"});
  refused(one("[1]", "[0,4]", "F64"), load, {"w.data_offsets", 55, "need 8"});
  refused(one("[1]", "[0]"), load, {"w.data_offsets", 55, "[begin, end]"});
  refused(one("[1]", "[0,4.0]"), load, {"w.data_offsets[1]", 58, "integer"});
}
TEST_CASE("S18 ten tensors on one range") {
  std::string header = "{";
  for (int i = 0; i < 10; ++i) header += plume::concat(i ? "," : "", "\"w", i, "\":", entry("F32", "[1]", "[0,4]"));
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(load(folder.write("f", file_of(header + "}", 4))), doctest::Contains("overlaps"), FormatError);
  refused(file_of("{\"a\":" + entry("F32", "[2]", "[0,8]") + ",\"b\":" + entry("F32", "[2]", "[4,12]") + "}", 12), load,
          {"b.data_offsets", std::nullopt, "overlaps \"a\""});
}
TEST_CASE("S19 a hole between tensors, and before the first") {
  refused(file_of("{\"a\":" + entry("F32", "[1]", "[0,4]") + ",\"b\":" + entry("F32", "[1]", "[5,9]") + "}", 9), load,
          {"b.data_offsets", std::nullopt, "hole of 1 bytes after \"a\""});
  refused(one("[1]", "[1,5]", "F32", 5), load, {"w.data_offsets", 55, "hole"});
}
TEST_CASE("S20 trailing bytes after the last tensor") {
  refused(one("[1]", "[0,4]") + "PK\3\4", load, {"", 8, "4 trailing bytes"});
  refused(file_of("{}", 40), load, {"", 8, "trailing"});
}
TEST_CASE("S21 data two bytes short") {
  refused(one("[1]", "[0,4]", "F32", 2), load, {"w.data_offsets", 55, "past the data section (2 bytes)"});
}
TEST_CASE("S22 metadata that is no object of texts") {
  refused(file_of(R"({"__metadata__":[]})", 0), load, {"__metadata__", 24, "object"});
  refused(file_of(R"({"__metadata__":{"a":1}})", 0), load, {"__metadata__.a", 29, "text"});
  refused(file_of(R"({"__metadata__":{"a":{"b":"c"}}})", 0), load, {"__metadata__.a", 29, "text"});
  accepted(file_of(R"({"__metadata__":{"format":"pt"}})", 0));
}
TEST_CASE("S23 missing dtype, shape or data_offsets") {
  refused(file_of(R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4), load, {"w.dtype", 13, "missing"});
  refused(file_of(R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", 4), load, {"w.shape", 13, "missing"});
  refused(file_of(R"({"w":{"dtype":"F32","shape":[1]}})", 4), load, {"w.data_offsets", 13, "missing"});
  refused(file_of(R"({"w":3})", 0), load, {"w", 13, "object"});
}
TEST_CASE("S24 tensor name with NUL, with ../, 1 MB long") {
  refused(file_of("{\"w\\u0000\":" + entry("F32", "[1]", "[0,4]") + "}", 4), load, {"[\"w\\x00\"]", 19, "NUL"});
  refused<LimitError>(file_of("{\"" + std::string(1 << 20, 'w') + "\":" + entry("F32", "[1]", "[0,4]") + "}", 4), load,
                      {"[\"" + std::string(80, 'w') + "...\"]", 12 + (1 << 20), "max_tensor_name"});
  accepted(file_of("{\"../../etc/passwd\":" + entry("F32", "[1]", "[0,4]") + "}", 4));  // a name, never a path
}
TEST_CASE("S25 a sub-byte dtype with an odd number of elements") {
  refused(one("[3]", "[0,2]", "F4", 2), load, {"w.shape", 35, "whole bytes"});
  accepted(one("[4]", "[0,2]", "F4", 2));
}
TEST_CASE("S26 an index that names files outside, links, absent or wrong shards, or itself") {
  const TemporaryFolder folder;
  folder.write("secret.safetensors", one("[1]", "[0,4]"));
  folder.write("model/a.safetensors", one("[1]", "[0,4]"));
  folder.write("model/b.safetensors", file_of("{\"v\":" + entry("F32", "[1]", "[0,4]") + "}", 4));
  folder.write("model/c.safetensors", one("[1]", "[0,4]"));
  std::filesystem::create_symlink("../secret.safetensors", folder / "model/link.safetensors");
  const auto index = [&](std::string_view map) {
    return folder.write("model/model.safetensors.index.json", plume::concat("{\"weight_map\": ", map, "}"));
  };
  const auto bad = [&](std::string_view map, const std::string& field, const char* word) {
    refused_file<FormatError>(index(map), load, {field, std::nullopt, word});
  };
  CHECK_NOTHROW(load(index(R"({"w": "a.safetensors", "v": "b.safetensors"})")));
  bad(R"({"w": "../../etc/passwd"})", "weight_map.w", "leaves its folder");
  bad(R"({"w": "/etc/passwd"})", "weight_map.w", "absolute");
  bad(R"({"w": "link.safetensors"})", "weight_map.w", "symbolic link");
  bad(R"({"w": "a.safetensors\u0000"})", "weight_map.w", "NUL");
  bad(R"({"w": "model.safetensors.index.json"})", "weight_map.w", "itself");
  bad(R"({"w": "b.safetensors", "v": "a.safetensors"})", "weight_map.w", "another shard");
  bad(R"({"w": "a.safetensors", "x": "a.safetensors"})", "weight_map.x", "does not hold");
  CHECK_THROWS_AS(load(index(R"({"w": "absent.safetensors"})")), plume::IoError);
  refused_file<plume::ConfigError>(index(R"({"w": 3})"), load, {"weight_map.w", std::nullopt, "text"});
  refused_file<plume::ConfigError>(folder.write("model/other.index.json", "{}"), load, {"weight_map", 0, "missing"});
  const TemporaryFolder twice;
  twice.write("a.safetensors", one("[1]", "[0,4]"));
  twice.write("c.safetensors", file_of("{\"w\":" + entry("F32", "[1]", "[0,4]") + ",\"v\":" + entry("F32", "[1]", "[4,8]") + "}", 8));
  CHECK_THROWS_WITH_AS(load(twice.write("x.index.json", R"({"weight_map":{"w":"a.safetensors","v":"c.safetensors"}})")),
                       doctest::Contains("another shard"), FormatError);
}
TEST_CASE("S29 NaN and infinity are load; check_finite names tensor and place") {
  const TemporaryFolder folder;
  const auto nan = std::numeric_limits<float>::quiet_NaN();
  plume::write_safetensors(folder / "f", {{"w", plume::Tensor::from(std::vector<float>{0, 1, 2, nan}, {2, 2})}});
  const plume::NamedTensor named{"w", plume::read_safetensors(folder / "f").tensor("w")};
  CHECK_THROWS_WITH_AS(plume::check_finite(named), doctest::Contains("\"w\" is not finite at row 1, column 1"), plume::NumericError);
  CHECK_NOTHROW(plume::check_finite({"w", named.tensor.rows(0, 1)}));
}
TEST_CASE("rows without columns, however many, take no time") {
  const TemporaryFolder folder;
  const std::string path = folder.write("f", file_of("{\"w\":" + entry("F32", "[4294967297,2,0]", "[0,0]") + "}", 0));
  const std::clock_t start = std::clock();
  const plume::Tensor tensor = plume::read_safetensors(path).tensor("w");
  plume::check_finite({"w", tensor});
  plume::check_finite({"w", tensor.copy()});
  CHECK(std::clock() - start < 5 * CLOCKS_PER_SEC);
}
TEST_CASE("a scalar, an extent of 0 and a file without tensors are fine") {
  accepted(one("[]", "[0,4]"));
  accepted(file_of("{\"e\":" + entry("F32", "[0,3]", "[0,0]") + ",\"w\":" + entry("F32", "[1]", "[0,4]") + "}", 4));
  accepted(file_of("{}", 0));
}
TEST_CASE("a .pt file is refused with the way to safetensors") {
  refused("PK\3\4" + std::string(100, 'x'), load, {"magic", 0, "safetensors"});
  refused("\x80\x02}q" + std::string(100, 'x'), load, {"magic", 0, "safetensors"});
}
TEST_CASE("more tensors than Limits allow, in one file or all shards together, or in an index") {
  const auto most = [](std::uint64_t tensors) {
    return [tensors](const std::string& path) { plume::read_safetensors(path, {.limits = {.max_tensors = tensors}}); };
  };
  const std::string two = file_of("{\"v\":" + entry("F32", "[1]", "[0,4]") + ",\"w\":" + entry("F32", "[1]", "[4,8]") + "}", 8);
  refused<LimitError>(two, most(1), {"", 8, "max_tensors"});
  const TemporaryFolder folder;
  CHECK_NOTHROW(most(2)(folder.write("two", two)));
  folder.write("a.safetensors", file_of("{\"a\":" + entry("F32", "[1]", "[0,4]") + "}", 4));
  folder.write("b.safetensors", file_of("{\"b\":" + entry("F32", "[1]", "[0,4]") + ",\"c\":" + entry("F32", "[1]", "[4,8]") + "}", 8));
  const std::string index = folder.write("model.safetensors.index.json", R"({"weight_map":{"a":"a.safetensors","b":"b.safetensors"}})");
  refused_file<LimitError>(index, most(1), {"weight_map", {}, "max_tensors"});
  refused_file<LimitError>(folder / "b.safetensors", [&](const std::string&) { most(2)(index); }, {"", 8, "asks for 3"});
}
TEST_CASE("every prefix and every changed byte of a file of the Python package is refused or read") {
  plume_test::sweep(plume_test::read_all(plume_test::golden("safetensors/mixed.safetensors")), load);
}
