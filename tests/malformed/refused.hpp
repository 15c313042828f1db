#pragma once
// Checks of the malformed-input catalogue: type, path, field, position and a word of the reason; memory; every case cut short as well.
#include <doctest/doctest.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "plume/base/error.hpp"
#include "plume/base/text.hpp"
#include "temporary_folder.hpp"

namespace plume_test {

struct Expected {
  std::string field;
  std::optional<std::uint64_t> offset;
  std::string word;
};

inline long resident_bytes() {
  long total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

// read(path) on a file of these bytes throws exactly Error as expected.
template <class Error, class Read>
void refused_file(const std::string& path, Read read, const Expected& expected) {
  const long before = resident_bytes();
  std::optional<Error> caught;
  try {
    read(path);
  } catch (const Error& error) {
    caught = error;
  } catch (const plume::Error& error) {
    FAIL_CHECK("another type of error: ", std::string(error.what()));
  }
  CHECK(resident_bytes() - before < 64 << 20);
  if (!caught) {
    FAIL_CHECK("not refused: ", expected.word);
    return;
  }
  INFO(std::string(caught->what()));
  CHECK(caught->where().path == path);
  CHECK(caught->where().field == expected.field);
  if (expected.offset) CHECK(caught->where().offset == expected.offset);
  CHECK((caught->where().offset || caught->where().line));
  CHECK(caught->reason().find(expected.word) != std::string::npos);
}

// The same for bytes; and no prefix of them does worse than an InputError.
template <class Error = plume::FormatError, class Read>
void refused(std::string_view bytes, Read read, const Expected& expected) {
  const TemporaryFolder folder;
  refused_file<Error>(folder.write("bad.bin", bytes), read, expected);
  for (const std::size_t part : {0u, 1u, 3u, 5u, 7u}) {
    const std::size_t size = bytes.size() * part / 8;
    if (size < bytes.size()) CHECK_THROWS_AS(read(folder.write("cut.bin", bytes.substr(0, size))), plume::InputError);
  }
  if (!bytes.empty()) CHECK_THROWS_AS(read(folder.write("cut.bin", bytes.substr(0, bytes.size() - 1))), plume::InputError);
}

// Every prefix of a valid file is refused, and every byte changed in four ways gives a valid file or an InputError; `use` is called on
// what is read.
template <class Read>
void sweep(std::string_view valid, Read read) {
  const TemporaryFolder folder;
  for (std::size_t size = 0; size < valid.size(); ++size)
    CHECK_THROWS_AS(read(folder.write("cut", valid.substr(0, size))), plume::InputError);
  CHECK_THROWS_AS(read(folder.write("longer", std::string(valid) + '\0')), plume::InputError);
  for (std::size_t at = 0; at < valid.size(); ++at)
    for (const int change : {0, 1, 2, 3}) {
      std::string bytes(valid);
      const auto old = static_cast<unsigned char>(bytes[at]);
      const unsigned changed[] = {0x00u, 0xffu, old ^ 0x01u, old ^ 0x80u};
      bytes[at] = static_cast<char>(static_cast<unsigned char>(changed[change]));
      try {
        read(folder.write("flipped", bytes));
      } catch (const plume::InputError& error) {
        CHECK(!error.reason().empty());
      }
    }
}

}  // namespace plume_test
