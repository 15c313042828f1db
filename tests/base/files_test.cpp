#include "plume/base/files.hpp"

#include <doctest/doctest.h>

#include "plume/base/atomic_save.hpp"
#include "plume/base/bytes.hpp"
#include "plume/base/checked.hpp"
#include "plume/base/checksum.hpp"
#include "plume/testing/failing_files.hpp"
#include "temporary_folder.hpp"
#include "test_data.hpp"

using plume::FormatError;
using plume::IoError;
using plume_test::TemporaryFolder;

TEST_CASE("checked arithmetic finds every overflow") {
  using U = std::uint64_t;
  constexpr U max = ~U{0};
  static_assert(plume::checked_add<U>(max, 0) == max && !plume::checked_add<U>(max, 1));
  static_assert(plume::checked_sub<U>(3, 3) == 0 && !plume::checked_sub<U>(3, 4));
  static_assert(plume::checked_mul<U>(1u << 31, 2) == U{1} << 32 && !plume::checked_mul<U>(max, 2));
  static_assert(plume::checked_align_up(13, 8) == 16 && plume::checked_align_up(16, 8) == 16 && !plume::checked_align_up(max, 8));
  const auto product = [](std::initializer_list<U> extents) { return plume::checked_product(std::span(extents.begin(), extents.size())); };
  CHECK(product({}) == 1);
  CHECK(product({3, 0, 5}) == 0);
  CHECK(!product({U{1} << 32, U{1} << 32}));
  CHECK(!product({0, U{1} << 63, 4}));
  CHECK(!product({U{1} << 62, 4, 0}));
  CHECK(plume::checked_bytes(std::array<U, 1>{3}, 4) == std::nullopt);
  CHECK(plume::checked_bytes(std::array<U, 1>{4}, 4) == 2);
  static_assert(plume::narrow<std::int32_t>(U{7}) == 7 && !plume::narrow<std::int32_t>(U{1} << 31) && !plume::narrow<std::uint8_t>(-1));
}

TEST_CASE("crc32c gives the vectors of RFC 3720") {
  std::array<std::byte, 32> bytes{};
  CHECK(plume::crc32c(bytes) == 0x8a9136aa);
  bytes.fill(std::byte{0xff});
  CHECK(plume::crc32c(bytes) == 0x62a8ab43);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(i);
  CHECK(plume::crc32c(bytes) == 0x46dd794e);
  CHECK(plume::crc32c(std::span(bytes).subspan(13), plume::crc32c(std::span(bytes).first(13))) == 0x46dd794e);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(31 - i);
  CHECK(plume::crc32c(bytes) == 0x113fdb5c);
}

TEST_CASE("the byte reader checks every step and names field and offset") {
  const std::array<unsigned char, 9> raw{1, 0, 0, 0, 'a', 0xff, 'c', 'd', 'e'};
  plume::ByteReader reader(std::as_bytes(std::span(raw)), "x.bin", 100);
  CHECK(reader.little<std::int32_t>("n") == 1);
  CHECK(reader.count(5, 1, "n", "max_tensors", 10) == 5);
  CHECK_THROWS_AS(reader.count(6, 1, "n", "max_tensors", 10), FormatError);
  CHECK_THROWS_AS(reader.count(std::uint64_t{1} << 62, 8, "n", "max_tensors", ~std::uint64_t{0}), FormatError);
  CHECK_THROWS_AS(reader.count(11, 1, "n", "max_tensors", 10), plume::LimitError);
  CHECK_THROWS_AS(reader.done("end"), FormatError);
  try {
    reader.text(3, "name", "max_token_text", 64);
    FAIL("accepted");
  } catch (const FormatError& error) {
    CHECK(std::string(error.what()) == "x.bin: name: byte 105: invalid UTF-8");
  }
  CHECK_THROWS_AS(reader.bytes(~std::uint64_t{0}, "rest"), FormatError);
  reader.skip(4, "rest");
  reader.done("end");
}

TEST_CASE("files are mapped or copied; what is not a regular file is an IoError") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", "hello");
  for (const auto mapping : {plume::Mapping::automatic, plume::Mapping::map, plume::Mapping::copy}) {
    const auto file = plume::FileMapping::open(path, mapping);
    CHECK(std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()) == "hello");
    CHECK(plume::FileMapping::open(folder.write("empty", ""), mapping)->bytes().empty());
  }
  CHECK(plume::read_file(path, 5, "max_json_bytes") == "hello");
  CHECK_THROWS_AS(plume::read_file(path, 4, "max_json_bytes"), plume::LimitError);
  CHECK_THROWS_AS(plume::FileMapping::open(folder.path()), IoError);
  CHECK_THROWS_AS(plume::FileMapping::open(folder / "absent"), IoError);
  CHECK_THROWS_AS(plume::FileMapping::open("/dev/zero"), IoError);
}

TEST_CASE("a name from a file stays inside its folder") {
  const TemporaryFolder folder;
  folder.write("model/a.bin", "1");
  folder.write("model/sub/b.bin", "1");
  folder.write("secret", "1");
  const std::string root = folder / "model";
  std::filesystem::create_symlink("a.bin", root + "/inner");
  std::filesystem::create_symlink("../secret", root + "/outer");
  const plume::Where where{.path = "index.json", .field = "weight_map.x"};
  const auto follow = plume::Symlinks::follow;
  CHECK(plume::contained_path(root, "a.bin", where) == root + "/a.bin");
  CHECK(plume::contained_path(root, "sub/b.bin", where) == root + "/sub/b.bin");
  CHECK(plume::contained_path(root, "inner", where, follow) == root + "/a.bin");
  for (const std::string_view bad :
       {"", "/etc/passwd", "../secret", "sub/../../secret", "./a.bin", "sub//b.bin", "C:a.bin", "..", "a\\b", "inner", "outer"})
    CHECK_THROWS_AS(plume::contained_path(root, bad, where), FormatError);
  for (const std::string_view bad : {std::string_view("a.bin\0x", 7), std::string_view("a\f.bin"), std::string_view("a\x7f.bin"),
                                     std::string_view("a\x1f"), std::string_view("sub\\b.bin")})
    CHECK_THROWS_WITH_AS(plume::contained_path(root, bad, where), doctest::Contains("control character or a backslash"), FormatError);
  CHECK_THROWS_AS(plume::contained_path(root, "outer", where, follow), FormatError);
  CHECK_THROWS_AS(plume::contained_path(root, "absent", where), IoError);
  CHECK_THROWS_AS(plume::contained_path(root, "sub", where), IoError);
  folder.write("hub/blobs/abc", "1");
  folder.write("hub/snapshots/r1/config.json", "{}");
  std::filesystem::create_symlink("../../blobs/abc", folder / "hub/snapshots/r1/w.bin");
  std::filesystem::create_symlink("../../../secret", folder / "hub/snapshots/r1/s.bin");
  CHECK(plume::contained_path(folder / "hub/snapshots/r1", "w.bin", where) == folder / "hub/blobs/abc");
  CHECK_THROWS_AS(plume::contained_path(folder / "hub/snapshots/r1", "s.bin", where), FormatError);
}

TEST_CASE("faults: whichever call of a save fails, the old file stays and no temporary is left") {
  using namespace plume::testing;
  const std::string fresh(200'000, 'n');
  const auto save = [&](const std::string& path, const FailingFiles& files) {
    plume::atomic_save(
        path, [&](plume::FileWriter& out) { out.write("head"), out.write(fresh); }, files);
  };
  const TemporaryFolder folder;
  const std::string path = folder.write("weights", "old");
  for (const int error_number : {ENOSPC, EIO}) {
    for (const auto failing : {Failing::once, Failing::from_then_on}) {
      for (int call = 0;; ++call) {
        folder.write("weights", "old");
        const FailingFiles files({.call = call, .error_number = error_number, .failing = failing, .longest_write = 70'000});
        bool failed = false;
        try {
          save(path, files);
        } catch (const IoError& error) {
          failed = true;
          CHECK(error.error_number() == error_number);
        }
        CHECK(folder.entries() == 1);
        if (!failed) {
          CHECK(call == files.calls());
          break;
        }
        const bool renamed =
            call + 1 == files.calls() && plume_test::read_all(path) != "old";  // only the last fsync may fail after the rename
        if (!renamed) CHECK(plume_test::read_all(path) == "old");
        REQUIRE(call < 20);
      }
      CHECK(plume_test::read_all(path) == "head" + fresh);
    }
  }
  save(path, FailingFiles({.call = 1, .error_number = EINTR, .failing = Failing::once, .longest_write = 999}));
  CHECK(plume_test::read_all(path) == "head" + fresh);
}

TEST_CASE("faults: a writer that throws leaves everything as it was; mode and links are kept") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", "old");
  std::filesystem::permissions(path, std::filesystem::perms(0640));
  CHECK_THROWS_AS(plume::atomic_save(path, [](plume::FileWriter&) { throw plume::Cancelled(); }), plume::Cancelled);
  CHECK(plume_test::read_all(path) == "old");
  std::filesystem::create_symlink("a", folder / "link");
  plume::atomic_save(folder / "link", [](plume::FileWriter& out) { out.write("new"); });
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(plume_test::read_all(path) == "new");
  CHECK(std::filesystem::status(path).permissions() == std::filesystem::perms(0640));
  CHECK(folder.entries() == 2);
  CHECK_THROWS_AS(plume::atomic_save(folder / "no/where", [](plume::FileWriter&) {}), IoError);
}

TEST_CASE("faults: a folder is saved whole or not at all") {
  using namespace plume::testing;
  const TemporaryFolder folder;
  const auto save = [&](const plume::FileSystem& files) {
    plume::atomic_save_directory(
        folder / "step-1",
        [&](const std::string& at) {
          for (const char* name : {"/a", "/b"})
            plume::atomic_save(
                at + name, [&](plume::FileWriter& out) { out.write(name); }, files);
        },
        files);
  };
  for (int call = 0;; ++call) {
    const FailingFiles files({.call = call});
    try {
      save(files);
    } catch (const IoError&) {
      CHECK(folder.entries() == (std::filesystem::exists(folder / "step-1") ? 1 : 0));
      std::filesystem::remove_all(folder / "step-1");
      REQUIRE(call < 30);
      continue;
    }
    CHECK(call == files.calls());
    break;
  }
  CHECK(plume_test::read_all(folder / "step-1/b") == "/b");
  CHECK_THROWS_AS(save(plume::FileSystem()), IoError);  // it exists
  CHECK(folder.entries() == 1);
}
