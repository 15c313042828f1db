#pragma once
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "plume/base/error.hpp"

namespace plume::inline PLUME_ABI {

inline bool is_directory(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// Makes a directory and those above it; one that exists is left as it is.
inline void make_directory(const std::string& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), 0777) != 0) {
      const int reason = errno;
      if (!is_directory(part)) throw IoError("make the directory", part, reason);
    }
    if (end == path.npos) return;
  }
}

}  // namespace plume::inline PLUME_ABI
