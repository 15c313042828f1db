#pragma once
// The files of a format as one input of a fuzzer, and back. An empty part is an absent file, where there are several.
#include "malformed/formats.hpp"

namespace plume_test {

inline constexpr std::string_view file_mark = "\n--8<--\n";

inline std::string joined(const Files& files) {
  std::string all;
  for (std::size_t i = 0; i < files.size(); ++i) all.append(i > 0 ? file_mark : "").append(files[i].value_or(""));
  return all;
}

inline Files parted(const Format& format, std::string_view all) {
  Files files(format.files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::size_t end = i + 1 == files.size() ? all.size() : std::min(all.find(file_mark), all.size());
    if (end > 0 || files.size() == 1) files[i] = std::string(all.substr(0, end));
    all.remove_prefix(std::min(end + file_mark.size(), all.size()));
  }
  return files;
}

}  // namespace plume_test
