#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "test_data.hpp"

TEST_CASE("every number of catalogue.txt has a test, and every numbered test is in catalogue.txt") {
  const std::filesystem::path folder = std::filesystem::path(PLUME_TEST_SOURCE_DIR) / "malformed";
  std::set<std::string> listed, tested;
  std::istringstream lines(plume_test::read_all((folder / "catalogue.txt").string()));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) CHECK_MESSAGE(listed.insert(word).second, word, " is listed twice");
  }
  const std::string opening = "TEST_CASE(\"";
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".cpp") continue;
    const std::string text = plume_test::read_all(file.path().string());
    for (std::size_t at = text.find(opening); at != text.npos; at = text.find(opening, at + 1)) {
      const std::size_t begin = at + opening.size();
      const std::string word = text.substr(begin, text.find_first_of(" \"", begin) - begin);
      const bool number = word.size() > 1 && word[0] >= 'A' && word[0] <= 'Z' &&
                          std::all_of(word.begin() + 1, word.end(), [](char c) { return c >= '0' && c <= '9'; });
      if (number) tested.insert(word);
    }
  }
  CHECK(listed.size() > 30);
  for (const auto& number : listed) CHECK_MESSAGE(tested.contains(number), number, " has no test");
  for (const auto& number : tested) CHECK_MESSAGE(listed.contains(number), number, " is not in catalogue.txt");
}
