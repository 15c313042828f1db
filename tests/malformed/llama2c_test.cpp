#include "plume/formats/llama2c.hpp"

#include <doctest/doctest.h>

#include <array>
#include <limits>

#include "malformed/gguf_writer.hpp"
#include "malformed/refused.hpp"

using plume_test::refused;

namespace {

using Header = std::array<std::int32_t, 7>;  // dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len
constexpr Header good{4, 6, 1, 2, 1, 3, 2};
// embeddings 12, norms 4 + 4 + 4, wq 16, wk 8, wv 8, wo 16, w1 24, w2 24, w3 24, tables 2 + 2
constexpr std::size_t good_bytes = 28 + 4 * (12 + 12 + 48 + 72 + 4);

std::string file_of(const Header& header, std::size_t size = good_bytes) {
  std::string bytes(reinterpret_cast<const char*>(header.data()), sizeof header);
  bytes.resize(size, '\0');
  return bytes;
}
// The same model in versions 1 and 2: no rotary tables; matrices in int8 and a scale for each group of 4.
std::string new_file(std::int32_t version) {
  std::string bytes = plume_test::little(0x616b3432) + plume_test::little(version);
  bytes.append(reinterpret_cast<const char*>(good.data()), sizeof good).push_back('\1');
  if (version == 2) bytes += plume_test::little(4);
  const std::size_t matrices = 12 + 48 + 72, vectors = 12;
  bytes.resize(256 + 4 * vectors + (version == 2 ? matrices + matrices / 4 * 4 : 4 * matrices), '\0');
  return bytes;
}
void load(const std::string& path) {
  for (const auto& named : plume::read_llama2c(path).tensors) named.tensor.copy();
}

}  // namespace

TEST_CASE("N1 llama2.c: empty and cut at every field") {
  const char* fields[] = {"dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"};
  refused("", load, {"dim", 0, "ends"});
  for (std::size_t i = 0; i < 7; ++i)
    for (const std::size_t part : {0u, 1u, 3u}) refused(file_of(good).substr(0, 4 * i + part), load, {fields[i], 4 * i, "ends"});
}
TEST_CASE("N2 llama2.c: sizes that are 0, negative, 2^31-1 or do not divide") {
  const char* fields[] = {"dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"};
  const auto with = [](std::size_t field, std::int32_t value) {
    Header header = good;
    header[field] = value;
    return file_of(header);
  };
  const std::int32_t lowest = std::numeric_limits<std::int32_t>::min(), highest = std::numeric_limits<std::int32_t>::max();
  for (std::size_t field = 0; field < 7; ++field) {
    refused(with(field, 0), load, {fields[field], 4 * field, "at least 1"});
    refused(with(field, lowest), load, {fields[field], 4 * field, "at least 1"});
    if (field != 5) refused(with(field, -1), load, {fields[field], 4 * field, "at least 1"});
  }
  refused<plume::LimitError>(with(2, highest), load, {"n_layers", 8, "max_layers"});
  refused<plume::LimitError>(with(5, highest), load, {"vocab_size", 20, "max_vocabulary"});
  refused<plume::LimitError>(with(5, -highest), load, {"vocab_size", 20, "max_vocabulary"});
  refused<plume::LimitError>(with(6, highest), load, {"seq_len", 24, "max_context"});
  refused(with(0, highest), load, {"n_heads", 12, "divide"});
  refused(with(1, highest), load, {"header", 0, "implies"});
  refused(with(3, highest), load, {"n_heads", 12, "divide"});
  refused(with(3, 4), load, {"n_heads", 12, "odd"});
  refused(with(4, highest), load, {"n_kv_heads", 16, "divide"});
  refused(file_of({highest - 1, highest, 10'000, 1, 1, 16'777'216, 16'777'216}), load, {"header", 0, "overflow"});
}
TEST_CASE("N3 llama2.c: sizes imply more or fewer bytes than the file holds") {
  refused(file_of(good, good_bytes - 1), load, {"header", 0, "implies"});
  refused(file_of(good, good_bytes + 2), load, {"header", 0, plume::concat("implies a file of ", good_bytes)});
  Header header = good;
  header[5] = -3;  // a classifier of its own
  refused(file_of(header), load, {"header", 0, "implies"});
  const plume_test::TemporaryFolder folder;
  CHECK_NOTHROW(load(folder.write("good", file_of(good))));
  CHECK_NOTHROW(load(folder.write("good", file_of(header, good_bytes + 48))));
}
TEST_CASE("N5 pickle or zip magic: the error names the conversion to safetensors") {
  refused("PK\3\4" + std::string(60, 'x'), load, {"magic", 0, "safetensors"});
  for (const char protocol : {'\2', '\3', '\4', '\5'})
    refused(std::string("\x80") + protocol + "}q" + std::string(60, 'x'), load, {"magic", 0, "pickle"});
  const plume_test::TemporaryFolder folder;
  Header header = good;
  header[0] = 640;  // its first bytes are those of a pickle
  CHECK_THROWS_WITH_AS(load(folder.write("m", file_of(header))), doctest::Contains("implies"), plume::FormatError);
}
TEST_CASE("N2 llama2.c: versions 1 and 2, their own fields and the others at their places") {
  for (const std::int32_t version : {-1, 0, 3}) refused(new_file(version), load, {"version", 4, "0, 1 and 2"});
  for (const std::int32_t version : {1, 2}) {
    const plume_test::TemporaryFolder folder;
    const std::string sound = new_file(version);
    CHECK_NOTHROW(load(folder.write("m", sound)));
    refused(sound + "1234", load, {"header", 0, "implies"});
    refused(sound.substr(0, 100), load, {"header", 37u + (version == 2 ? 4u : 0u), "ends"});
    std::string bytes = sound;
    bytes[36] = 2;
    refused(bytes, load, {"shared_classifier", 36, "0 or 1"});
    bytes = sound;
    bytes[36] = 0;  // a classifier of its own
    refused(bytes, load, {"header", 0, "implies"});
    const auto with = [&](std::size_t at, std::int32_t value) { return std::string(sound).replace(at, 4, plume_test::little(value)); };
    refused(with(8, 0), load, {"dim", 8, "at least 1"});
    refused(with(28, -3), load, {"vocab_size", 28, "at least 1"});
    refused(with(24, 3), load, {"n_kv_heads", 24, "divide"});
    refused<plume::LimitError>(with(32, 1 << 30), load, {"seq_len", 32, "max_context"});
    if (version == 1) continue;
    for (const std::int32_t size : {0, -1}) refused(with(37, size), load, {"group_size", 37, "at least 1"});
    for (const std::int32_t size : {3, 5, std::numeric_limits<std::int32_t>::max()})
      refused(with(37, size), load, {"group_size", 37, "divide"});
    refused(with(37, 1), load, {"header", 0, "implies"});
  }
}
TEST_CASE("every prefix and every changed byte of a llama2.c file is refused or read") {
  plume_test::sweep(file_of(good), load);
  for (const std::int32_t version : {1, 2}) plume_test::sweep(new_file(version), load);
}
