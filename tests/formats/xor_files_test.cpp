// Files that were published as the exclusive or with LLaMA's. tests/golden/make_deltas.py made them by the published procedures.
#include "plume/formats/xor_files.hpp"

#include <doctest/doctest.h>

#include "../temporary.hpp"
#include "../test_data.hpp"
#include "plume/base/error.hpp"
#include "plume/base/files.hpp"
#include "plume/base/sha256.hpp"

using namespace plume;
using plume_test::golden, plume_test::read_all;

namespace {

std::string file(const std::string& name) { return golden("deltas/xor/" + name + ".bin"); }
const XorOptions belle{.base = XorBase::repeated, .header = XorHeader::sha256};

}  // namespace

TEST_CASE("published files and their base give the plain file, byte for byte, and the other way round") {
  const plume_test::TemporaryDirectory directory;
  apply_xor(file("open_assistant"), file("base"), directory / "plain");
  CHECK(read_all(directory / "plain") == read_all(file("plain")));
  apply_xor(file("belle"), file("base"), directory / "plain2", belle);
  CHECK(read_all(directory / "plain2") == read_all(file("plain")));
  make_xor(file("plain"), file("base"), directory / "made");
  CHECK(read_all(directory / "made") == read_all(file("open_assistant")));
  make_xor(file("plain"), file("base"), directory / "made2", belle);
  CHECK(read_all(directory / "made2") == read_all(file("belle")));

  // Longer than a piece, and a base that is longer still.
  std::string large(200'000, '\0'), longer(300'001, '\0');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * i % 251);
  for (std::size_t i = 0; i < longer.size(); ++i) longer[i] = static_cast<char>(i * 7 % 253);
  plume_test::write_all(directory / "large", large);
  plume_test::write_all(directory / "longer", longer);
  for (const XorOptions& options : {XorOptions{}, belle}) {
    make_xor(directory / "large", directory / "longer", directory / "published", options);
    apply_xor(directory / "published", directory / "longer", directory / "back", options);
    CHECK(read_all(directory / "back") == large);
    make_xor(directory / "longer", directory / "large", directory / "published", options);
    apply_xor(directory / "published", directory / "large", directory / "back", options);
    CHECK(read_all(directory / "back") == longer);
  }
}

TEST_CASE("a wrong base is noticed and nothing is written") {
  const plume_test::TemporaryDirectory directory;
  CHECK_THROWS_WITH_AS(apply_xor(file("belle"), file("plain"), directory / "out", belle),
                       doctest::Contains("it was made with another base"), FormatError);
  CHECK(!file_exists(directory / "out"));
  const std::string plain = read_all(file("plain"));
  const std::string hash = plume::sha256(std::as_bytes(std::span(plain)));
  CHECK_NOTHROW(apply_xor(file("open_assistant"), file("base"), directory / "good", {.sha256 = hash}));
  CHECK_THROWS_WITH_AS(apply_xor(file("open_assistant"), file("belle"), directory / "out", {.sha256 = hash}),
                       doctest::Contains(hash.c_str()), FormatError);
  CHECK(!file_exists(directory / "out"));
  plume_test::write_all(directory / "short", "0123456789");
  plume_test::write_all(directory / "empty", "");
  CHECK_THROWS_WITH_AS(apply_xor(directory / "short", file("base"), directory / "out", belle), doctest::Contains("has 10 bytes"),
                       FormatError);
  CHECK_THROWS_WITH_AS(apply_xor(file("belle"), directory / "empty", directory / "out", belle), doctest::Contains("the base is empty"),
                       FormatError);
  CHECK_THROWS_AS(apply_xor(file("belle"), directory / "absent", directory / "out", belle), IoError);
}
