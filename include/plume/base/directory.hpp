#pragma once
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "plume/base/error.hpp"
#include "plume/base/file_system.hpp"
#include "plume/base/files.hpp"

namespace plume::inline PLUME_ABI {

inline bool is_directory(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

namespace save_detail {

template <class Call>
int retried(Call call) {
  int result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

inline Descriptor open_folder(const FileSystem& files, const std::string& path) {
  Descriptor folder(retried([&] { return files.open(path.c_str(), O_RDONLY | O_DIRECTORY); }));
  if (folder.get() < 0) throw IoError("open", path, errno);
  return folder;
}
inline void sync(const FileSystem& files, const Descriptor& file, const std::string& path) {
  if (retried([&] { return files.sync(file.get()); }) != 0) throw IoError("sync", path, errno);
}
// Makes the names in a folder survive a power loss.
inline void sync_folder(const FileSystem& files, const std::string& path) { sync(files, open_folder(files, path), path); }

}  // namespace save_detail

// Makes a directory and those above it, so that they survive a power loss; one that exists is left as it is.
inline void make_directory(const std::string& path, const FileSystem& files = FileSystem()) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (save_detail::retried([&] { return files.make_directory(part.c_str()); }) == 0) {
      save_detail::sync_folder(files, parent_path(part));
    } else {
      const int reason = errno;
      if (!is_directory(part)) throw IoError("make the directory", part, reason);
    }
    if (end == path.npos) return;
  }
}

}  // namespace plume::inline PLUME_ABI
