#pragma once
// What the operating system knows about this process.
#if defined(_WIN32)
#error "plume reads and writes files by POSIX calls: on Windows include the rooms that touch no file instead of plume/plume.hpp (tests/windows.sh)."
#endif
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <charconv>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

// Bytes of this process in memory now; where the system does not tell (no /proc), the most there ever were.
inline std::int64_t resident_bytes() noexcept {
  if (const int descriptor = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC); descriptor >= 0) {
    char text[128];
    const ssize_t length = ::read(descriptor, text, sizeof text);
    ::close(descriptor);
    std::int64_t total = 0, resident = 0;  // in pages
    if (length > 0) {
      const auto first = std::from_chars(text, text + length, total);
      if (first.ec == std::errc() && first.ptr != text + length &&
          std::from_chars(first.ptr + 1, text + length, resident).ec == std::errc())
        return resident * ::sysconf(_SC_PAGESIZE);
    }
  }
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
#if defined(__APPLE__)
  return usage.ru_maxrss;
#else
  return std::int64_t{usage.ru_maxrss} * 1024;
#endif
}

}  // namespace plume::inline PLUME_ABI
