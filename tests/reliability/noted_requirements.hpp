#pragma once
// Put before every file of the coverage build (-include): a failed require() writes its place, once, to the file that
// PLUME_COVERAGE_NOTES names. The coverage of a line shows that a requirement was met there, not that it ever failed.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#define require require_unnoted
#include "plume/base/error.hpp"
#undef require

namespace plume::inline PLUME_ABI {

// No allocation, and no call of plume's: tests make both fail.
inline void note_failed_requirement(const char* file, unsigned line) noexcept {
  static std::array<std::atomic<bool>, 1 << 16> noted{};
  std::size_t key = line;
  for (const char* at = file; *at != '\0'; ++at) key = key * 31 + static_cast<unsigned char>(*at);
  if (noted[key % noted.size()].exchange(true)) return;
  const char* const path = std::getenv("PLUME_COVERAGE_NOTES");
  const std::size_t length = std::strlen(file);
  std::array<char, 1024> text;
  if (path == nullptr || length + 32 > text.size()) return;
  const int error_number = errno;
  std::memcpy(text.data(), file, length);
  char* end = text.data() + length;
  *end++ = ':';
  end = std::to_chars(end, end + 16, line).ptr;
  *end++ = '\n';
  const int notes = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (notes >= 0) {
    [[maybe_unused]] const auto written = ::write(notes, text.data(), static_cast<std::size_t>(end - text.data()));
    ::close(notes);
  }
  errno = error_number;
}

struct Requirement {
  Requirement(bool ok, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) : ok(ok) {
    if (!ok) [[unlikely]]
      note_failed_requirement(file, line);
  }
  bool ok;
};

template <class... Parts>
void require(Requirement requirement, const Parts&... parts) {
  require_unnoted(requirement.ok, parts...);
}

}  // namespace plume::inline PLUME_ABI
