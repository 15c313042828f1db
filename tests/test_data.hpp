#pragma once
// Real files that tests use when they are there: PLUME_TEST_DATA, else ../shared/data.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>

#include "plume/base/text.hpp"

namespace plume_test {

// The path of a file under the test data, or nothing after printing a visible SKIP line that names it.
inline std::optional<std::string> test_data(const std::string& name) {
  const char* root = std::getenv("PLUME_TEST_DATA");
  const std::string path = std::string(root && *root ? root : "../shared/data") + "/" + name;
  if (std::ifstream(path).good()) return path;
  std::cout << "SKIP: " << path << " is absent\n";
  return std::nullopt;
}

// A committed fixture: tests/golden/<name>.
inline std::string golden(std::string_view name) { return plume::concat(PLUME_TEST_SOURCE_DIR "/golden/", name); }

inline std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), "cannot open " << path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace plume_test
