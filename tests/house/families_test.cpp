// The README's table of model families is what the code and the fixtures say; a family is a page of data.
#include "plume/models/families/families.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <iostream>
#include <map>

#include "plume/models/families/encoder_decoders.hpp"
#include "plume/models/families/encoders.hpp"
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
    text +=
        concat("| `", family->name, "` | `", family->architecture, "` | ", names.empty() ? "none: the layout is CodeGen's" : names, " |\n");
  }
  return text;
}

// The same for encoder-decoders and encoders, whose tiny models lie in a folder of their own; a row for each `model_type`.
template <class Families, class Of>
std::string table(const std::string& title, const std::string& folder, const Families& all, Of&& of) {
  std::string text =
      concat("| `model_type` | `architectures` | ", title, " that `transformers` made and plume agrees with |\n|---|---|---|\n");
  std::map<std::string, std::vector<std::string>> proofs;
  for (const auto& entry : fs::directory_iterator(top / "tests" / "golden" / folder))
    proofs[std::string(of(Json::parse(plume_test::read_all((entry.path() / "config.json").string()))).name)].push_back(
        entry.path().filename().string());
  for (const auto* family : all) {
    auto& names = proofs[std::string(family->name)];
    if (names.empty()) continue;  // the row is there: families of one architecture differ in the names of tensors
    std::sort(names.begin(), names.end());
    std::string list;
    for (const std::string& name : names) list.append(list.empty() ? "" : ", ").append(name);
    text += concat("| `", family->name, "` | `", family->architecture, "` | ", list, " |\n");
    names.clear();
  }
  return text;
}

}  // namespace

TEST_CASE("the README's table of families is the code's") {
  const std::string readme = plume_test::read_all((top / "README.md").string()), expected = table();
  CHECK_MESSAGE(readme.find(expected) != std::string::npos, "README.md should hold:\n" << expected);
  const std::string pairs = table("encoder-decoders", "encoder_decoders", families::encoder_decoders, families::encoder_decoder_of);
  CHECK_MESSAGE(readme.find(pairs) != std::string::npos, "README.md should hold:\n" << pairs);
  const std::string encoders = table("encoders", "encoders", families::encoders, families::encoder_of);
  CHECK_MESSAGE(readme.find(encoders) != std::string::npos, "README.md should hold:\n" << encoders);
}

TEST_CASE("every encoder-decoder and encoder has a tiny model") {
  const auto has_one = [](const auto& all, const std::string& folder, auto&& of) {
    for (const auto* family : all) {
      bool found = false;
      for (const auto& entry : fs::directory_iterator(top / "tests" / "golden" / folder))
        found = found || &of(Json::parse(plume_test::read_all((entry.path() / "config.json").string()))) == family;
      CHECK_MESSAGE(found, std::string(family->name));
    }
  };
  has_one(families::encoder_decoders, "encoder_decoders", families::encoder_decoder_of);
  has_one(families::encoders, "encoders", families::encoder_of);
}

TEST_CASE("a family is at most 120 lines") {
  for (const auto& entry : fs::directory_iterator(top / "include" / "plume" / "models" / "families")) {
    const std::string text = plume_test::read_all(entry.path().string());
    const auto lines = std::count(text.begin(), text.end(), '\n');
    std::cout << lines << " lines: " << entry.path().filename().string() << "\n";
    CHECK_MESSAGE(lines <= 120, entry.path().filename().string());
  }
}
