#pragma once
// A file system on which the Nth call fails: for testing that a program survives full disks and broken cables.
#include <algorithm>
#include <cerrno>

#include "plume/base/config.hpp"
#include "plume/base/file_system.hpp"

namespace plume::inline PLUME_ABI::testing {

enum class Failing : std::uint8_t { once, from_then_on };
// Whether what is there can still be removed. A full disk allows it, and a save then leaves nothing behind; a disk that went read-only,
// or a process that is killed, does not.
enum class Removal : std::uint8_t { works, fails };

struct Fault {
  int call = -1;  // which call fails, counted from 0 over all kinds but removals; -1: none
  int error_number = ENOSPC;
  Failing failing = Failing::from_then_on;
  Removal removal = Removal::works;
  std::size_t longest_write = static_cast<std::size_t>(-1);  // longer writes are cut short
};

// One thread only.
class FailingFiles final : public FileSystem {
 public:
  explicit FailingFiles(Fault fault) : fault_(fault) {}
  int calls() const { return calls_; }

  int create(const char* path, mode_t mode) const override { return fails() ? -1 : FileSystem::create(path, mode); }
  int open(const char* path, int flags) const override { return fails() ? -1 : FileSystem::open(path, flags); }
  int make_directory(const char* path) const override { return fails() ? -1 : FileSystem::make_directory(path); }
  ssize_t write(int descriptor, const void* data, std::size_t size) const override {
    return fails() ? -1 : FileSystem::write(descriptor, data, std::min(size, fault_.longest_write));
  }
  int sync(int) const override { return fails() ? -1 : 0; }  // the real thing takes milliseconds, and this disk keeps its power
  int close(int descriptor) const override {
    const bool failed = fails();
    const int result = FileSystem::close(descriptor);  // POSIX closes it even when close reports an error
    if (failed) errno = fault_.error_number;
    return failed ? -1 : result;
  }
  int rename(const char* from, const char* to) const override { return fails() ? -1 : FileSystem::rename(from, to); }
  int remove(const char* path) const override { return removal_fails() ? -1 : FileSystem::remove(path); }
  int remove_directory(const char* path) const override { return removal_fails() ? -1 : FileSystem::remove_directory(path); }

 private:
  bool fails() const {
    const int call = calls_++;
    const bool now = fault_.call >= 0 && (call == fault_.call || (call > fault_.call && fault_.failing == Failing::from_then_on));
    if (now) errno = fault_.error_number;
    return now;
  }
  bool removal_fails() const {
    const bool now = fault_.removal == Removal::fails && fault_.call >= 0 && calls_ > fault_.call;
    if (now) errno = EROFS;
    return now;
  }
  Fault fault_;
  mutable int calls_ = 0;
};

}  // namespace plume::inline PLUME_ABI::testing
