#pragma once
// The system calls that a save makes, behind one door that tests can replace (testing/failing_files.hpp, testing/recording_files.hpp).
#if defined(_WIN32)
#error "plume reads and writes files by POSIX calls: on Windows include the rooms that touch no file instead of plume/plume.hpp (tests/windows.sh)."
#endif
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdio>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

// Each call returns what POSIX says and sets errno.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual int create(const char* path, mode_t mode) const { return ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode); }
  virtual int open(const char* path, int flags) const { return ::open(path, flags | O_CLOEXEC); }  // what is there already, to sync it
  virtual int make_directory(const char* path) const { return ::mkdir(path, 0777); }
  virtual ssize_t write(int descriptor, const void* data, std::size_t size) const { return ::write(descriptor, data, size); }
  virtual int sync(int descriptor) const { return ::fsync(descriptor); }
  virtual int close(int descriptor) const { return ::close(descriptor); }
  virtual int rename(const char* from, const char* to) const { return ::rename(from, to); }
  virtual int remove(const char* path) const { return ::unlink(path); }
  virtual int remove_directory(const char* path) const { return ::rmdir(path); }
};

}  // namespace plume::inline PLUME_ABI
