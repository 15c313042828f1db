// The README's table of model families is what the code and the fixtures say; a family is a page of data.
#include <doctest/doctest.h>

#include <filesystem>
#include <iostream>
#include <map>

#include "plume/models/families/families.hpp"
#include "test_data.hpp"

using namespace plume;
namespace fs = std::filesystem;

namespace {

const fs::path top = fs::path(PLUME_TEST_SOURCE_DIR).parent_path();

// The tiny models that transformers made, by the family that reads them.
std::map<std::string, std::vector<std::string>> fixtures() {
  std::map<std::string, std::vector<std::string>> found;
  for (const char* folder : {"families", "models"})
    for (const auto& entry : fs::directory_iterator(top / "tests" / "golden" / folder)) {
      const Json json = Json::parse(plume_test::read_all((entry.path() / "config.json").string()));
      found[std::string(families::of(json).name)].push_back(entry.path().filename().string());
    }
  for (auto& [family, names] : found) std::sort(names.begin(), names.end());
  return found;
}

std::string table() {
  std::string text = "| `model_type` | `architectures` | tiny models that `transformers` made and plume agrees with |\n|---|---|---|\n";
  auto proofs = fixtures();
  for (const Family* family : families::all) {
    std::string names;
    for (const std::string& name : proofs[std::string(family->name)]) names.append(names.empty() ? "" : ", ").append(name);
    text += concat("| `", family->name, "` | `", family->architecture, "` | ", names.empty() ? "none: the layout is CodeGen's" : names, " |\n");
  }
  return text;
}

}  // namespace

TEST_CASE("the README's table of families is the code's") {
  const std::string readme = plume_test::read_all((top / "README.md").string()), expected = table();
  CHECK_MESSAGE(readme.find(expected) != std::string::npos, "README.md should hold:\n" << expected);
}

TEST_CASE("a family is at most 120 lines") {
  for (const auto& entry : fs::directory_iterator(top / "include" / "plume" / "models" / "families")) {
    const std::string text = plume_test::read_all(entry.path().string());
    const auto lines = std::count(text.begin(), text.end(), '\n');
    std::cout << lines << " lines: " << entry.path().filename().string() << "\n";
    CHECK_MESSAGE(lines <= 120, entry.path().filename().string());
  }
}
