#pragma once
// Files for reading: mapped or copied, and paths that a file of the model names.
#if defined(_WIN32)
#error "plume reads and writes files by POSIX calls: on Windows include the rooms that touch no file instead of plume/plume.hpp (tests/windows.sh)."
#endif
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/limits.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

// How a file comes into memory. map: nothing is read before it is used, and processes share it. copy: read at once into huge pages, from
// which decoding is a fifth faster, and safe when another process truncates the file meanwhile. automatic: files up to 1 GiB are copied.
enum class Mapping : std::uint8_t { automatic, map, copy };
enum class Symlinks : std::uint8_t { refuse, follow };  // for names that come from a file; what the user typed may be a link

// An open descriptor that is closed once.
class Descriptor {
 public:
  explicit Descriptor(int value) noexcept : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const noexcept { return value_; }
  int release() noexcept { return std::exchange(value_, -1); }

 private:
  int value_;
};

namespace files_detail {
struct Opened {
  Descriptor descriptor;
  std::size_t size;  // by fstat of that descriptor
};

inline Opened open_regular(const std::string& path, int flags = 0) {
  require(path.find('\0') == path.npos, "a path holds a NUL byte: ", quoted(path));
  int descriptor;
  do descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);  // O_NONBLOCK: a FIFO must not hang us
  while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) throw IoError("open", path, errno);
  Descriptor owner(descriptor);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) throw IoError("inspect", path, errno);
  if (S_ISDIR(status.st_mode)) throw IoError("read", path, EISDIR);
  if (!S_ISREG(status.st_mode)) throw IoError("read (not a regular file)", path, EINVAL);
  return {std::move(owner), static_cast<std::size_t>(status.st_size)};
}

inline void read_exactly(int descriptor, std::byte* into, std::size_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t got = ::read(descriptor, into, std::min<std::size_t>(size, 1u << 30));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw IoError("read", path, errno);
    if (got == 0) throw IoError("read (it shrank meanwhile)", path, EIO);
    into += got;
    size -= static_cast<std::size_t>(got);
  }
}
}  // namespace files_detail

// The bytes of a file, read-only, as long as the object lives.
class FileMapping {
 public:
  static std::shared_ptr<const FileMapping> open(const std::string& path, Mapping mapping = Mapping::map) {
    const auto file = files_detail::open_regular(path);
    auto result = std::shared_ptr<FileMapping>(new FileMapping);
    if (file.size == 0) return result;
    constexpr std::size_t small = std::size_t{1} << 30;
    const bool copies = mapping == Mapping::copy || (mapping == Mapping::automatic && file.size <= small);
    void* const address = copies ? ::mmap(nullptr, file.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                 : ::mmap(nullptr, file.size, PROT_READ, MAP_PRIVATE, file.descriptor.get(), 0);
    if (address == MAP_FAILED && copies) throw OutOfMemory(file.size, "a file read into memory");
    if (address == MAP_FAILED) throw IoError("map", path, errno);
    result->bytes_ = {static_cast<const std::byte*>(address), file.size};
    if (copies) {
#if defined(MADV_HUGEPAGE)
      ::madvise(address, file.size, MADV_HUGEPAGE);  // a wish: a refusal changes nothing
#endif
      files_detail::read_exactly(file.descriptor.get(), static_cast<std::byte*>(address), file.size, path);
      ::mprotect(address, file.size, PROT_READ);
    }
    return result;
  }
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;
  ~FileMapping() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  FileMapping() = default;
  std::span<const std::byte> bytes_;
};

// A whole file as text. LimitError (naming `limit`, a field of Limits) when it is longer than `allowed`.
inline std::string read_file(const std::string& path, std::uint64_t allowed, std::string_view limit) {
  const auto file = files_detail::open_regular(path);
  if (file.size > allowed) throw LimitError(Where{.path = path}, limit, allowed, file.size);
  std::string text(file.size, '\0');
  files_detail::read_exactly(file.descriptor.get(), reinterpret_cast<std::byte*>(text.data()), file.size, path);
  return text;
}

// A text file the user named, within Limits::max_text_bytes.
inline std::string read_text(const std::string& path, const Limits& limits = {}) {
  return read_file(path, limits.max_text_bytes, "max_text_bytes");
}

inline bool file_exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

// The folder of a path: "a/b" -> "a", "b" -> ".", "/b" -> "/".
inline std::string parent_path(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

inline std::string canonical_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), &std::free);
  if (!resolved) throw IoError("find", path, errno);
  return resolved.get();
}

// The canonical path of a regular file `name` (as a file at `where` calls it) inside the folder `root`. FormatError: an absolute name,
// "..", NUL, or a link out of root. Links are followed only with Symlinks::follow, or from snapshots/<revision>/ into the blobs/ of
// the same Hugging Face cache folder. IoError: the file is missing.
inline std::string contained_path(const std::string& root, std::string_view name, const Where& where,
                                  Symlinks symlinks = Symlinks::refuse) {
  const auto refuse = [&](std::string_view reason) { throw FormatError(where, concat("file name ", quoted(name), " ", reason)); };
  if (name.empty() || name.size() > 4096) refuse("is empty or too long");
  if (std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\'; }))
    refuse("holds a NUL byte, another control character or a backslash");
  if (name.front() == '/' || (name.size() > 1 && name[1] == ':')) refuse("is absolute; it must be relative to the folder of this file");
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") refuse("leaves its folder or is not in plain form");
    begin = end + 1;
  }
  const std::string folder = canonical_path(root.empty() ? "." : root);
  const std::string prefix = folder == "/" ? folder : folder + "/";
  const std::string plain = prefix + std::string(name), real = canonical_path(plain);
  if (real != plain) {
    const std::string snapshots = parent_path(folder), cache = parent_path(snapshots);
    const bool blob = snapshots == (cache == "/" ? "/snapshots" : cache + "/snapshots") &&
                      parent_path(real) == (cache == "/" ? "/blobs" : cache + "/blobs");
    if (!blob && symlinks == Symlinks::refuse) refuse("is a symbolic link; allow it with LoadOptions{.symlinks = Symlinks::follow}");
    if (!blob && !real.starts_with(prefix)) refuse("is a symbolic link out of its folder");
  }
  files_detail::open_regular(real, O_NOFOLLOW);  // regular, readable, and no longer a link
  return real;
}

}  // namespace plume::inline PLUME_ABI
