#pragma once
// Every format that the library reads from foreign files: its sound files, and a program that reads them and touches all that it got.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "malformed/sound_files.hpp"

namespace plume_test {

// A folder in memory where there is one, for many small files.
class Workshop {
 public:
  Workshop();
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;
  ~Workshop();
  const std::string& path() const { return path_; }
  // Writes the file, or removes it; nothing when the last write left it so.
  void write(std::string_view name, const std::optional<std::string>& bytes) const;
  // For readers that write: the next write() does so too.
  void forget() const { written_.clear(); }

 private:
  std::string path_;
  mutable std::map<std::string, std::optional<std::string>, std::less<>> written_;
};

struct Format {
  std::string_view name;
  std::vector<std::string_view> files;
  std::vector<FileKind> kinds;
  Files (*sound)(Dice&);
  void (*use)(const std::string& folder);
  void (*seal)(Files&) = nullptr;      // sums and lengths that hold all files together
  std::size_t fewest = 10, most = 90;  // per cent of the mutants that are to be accepted
};

const std::vector<Format>& formats();

// A sound set of files in one of five cases, else with one to three changes.
Files mutant(const Format& format, Dice& dice);

enum class Outcome : std::uint8_t { accepted, refused };

// Reads the files as a program would. Anything but success and a refusal that names the folder and says why is a std::logic_error.
Outcome outcome_of(const Format& format, const Workshop& place, const Files& files);

}  // namespace plume_test
