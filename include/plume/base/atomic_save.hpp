#pragma once
// Saving so that a crash or a full disk leaves the old file whole: temporary beside the target, fsync, rename, fsync of the folder.
#include <dirent.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "plume/base/config.hpp"
#include "plume/base/directory.hpp"
#include "plume/base/error.hpp"
#include "plume/base/file_system.hpp"
#include "plume/base/files.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

// What the writer function of atomic_save writes to. Buffered; every failure is an IoError.
class FileWriter {
 public:
  FileWriter(const FileSystem& files, int descriptor, std::string path) : files_(files), descriptor_(descriptor), path_(std::move(path)) {
    buffer_.reserve(capacity);
  }
  void write(std::span<const std::byte> bytes) { write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())); }
  void write(std::string_view text) {
    written_ += text.size();
    if (buffer_.size() + text.size() > capacity) flush();
    if (text.size() > capacity)
      put(text);
    else
      buffer_.append(text);
  }
  void write(const char* text) { write(std::string_view(text)); }
  template <class T>
  requires std::is_arithmetic_v<T>
  void little(T value) { write(std::as_bytes(std::span(&value, 1))); }
  std::uint64_t written() const noexcept { return written_; }
  void flush() {
    put(buffer_);
    buffer_.clear();
  }

 private:
  static constexpr std::size_t capacity = 1u << 16;
  void put(std::string_view text) {
    while (!text.empty()) {
      const ssize_t done = files_.write(descriptor_, text.data(), text.size());
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) throw IoError("write", path_, errno);
      if (done == 0) throw IoError("write", path_, EIO);
      text.remove_prefix(static_cast<std::size_t>(done));
    }
  }
  const FileSystem& files_;
  int descriptor_;
  std::string path_, buffer_;
  std::uint64_t written_ = 0;
};

namespace save_detail {

// A path in a buffer of its own: cleaning up must not allocate, because memory may be what failed.
struct PathBuffer {
  std::array<char, PATH_MAX> text{};
  std::size_t length = 0;
  bool append(std::string_view part) {
    if (length + part.size() >= text.size()) return false;
    std::copy(part.begin(), part.end(), text.begin() + static_cast<std::ptrdiff_t>(length));
    cut_to(length + part.size());
    return true;
  }
  void cut_to(std::size_t size) {
    length = size;
    text[length] = '\0';
  }
  const char* c_str() const { return text.data(); }
};

inline void remove_all(PathBuffer& path, const FileSystem& files) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return;
  if (!S_ISDIR(status.st_mode)) {
    files.remove(path.c_str());
    return;
  }
  const std::size_t length = path.length;
  if (const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), &::closedir); folder) {
    while (const dirent* entry = ::readdir(folder.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != ".." && path.append("/") && path.append(name)) remove_all(path, files);
      path.cut_to(length);
    }
  }
  files.remove_directory(path.c_str());
}
// Removes a file or a folder of ours with all it holds; best effort, for cleaning up.
inline void remove_all(std::string_view path, const FileSystem& files = FileSystem()) noexcept try {
  if (PathBuffer buffer; buffer.append(path)) remove_all(buffer, files);
} catch (...) {
}

struct Temporary {  // removed unless it was renamed away
  std::string path;
  const FileSystem& files;
  bool kept = false;
  ~Temporary() {
    if (!kept) remove_all(path, files);
  }
};

// The first free name target.tmp-<process>-<counter>, made by `make`, which returns a descriptor or 0, or -1 with errno.
template <class Make>
std::pair<std::string, int> make_beside(const std::string& target, Make make) {
  for (std::uint64_t counter = 0;; ++counter) {
    std::string path = concat(target, ".tmp-", ::getpid(), "-", counter);
    const int made = retried([&] { return make(path.c_str()); });
    if (made >= 0) return {std::move(path), made};
    if (errno != EEXIST || counter == 1000) throw IoError("create", path, errno);
  }
}

// A new file under a lock, which tells remove_leftovers() that its writer lives. -1 with EEXIST: the name is taken, or was just cleaned up.
inline int create_locked(const FileSystem& files, const char* path) {
  const int made = files.create(path, 0666);
  if (made < 0) return made;
  struct stat status {};
  const bool is_held = ::flock(made, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (!is_held && !(::fstat(made, &status) == 0 && status.st_nlink == 0)) return made;
  ::close(made);
  errno = EEXIST;
  return -1;
}

// Removes what killed saves of this file left beside it: temporaries that nobody holds a lock on. Best effort.
inline void remove_leftovers(const FileSystem& files, const std::string& target) noexcept try {
  const std::string folder = parent_path(target), prefix = concat(std::string_view(target).substr(target.rfind('/') + 1), ".tmp-");
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), &::closedir);
  if (!listing) return;
  while (const dirent* entry = ::readdir(listing.get())) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(prefix) || name.find_first_not_of("0123456789-", prefix.size()) != name.npos) continue;
    const std::string path = concat(folder, "/", name);
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat status {};
    if (file.get() >= 0 && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0)
      files.remove(path.c_str());
  }
} catch (...) {
}

}  // namespace save_detail

// Replaces the file `path` by what write(FileWriter&) writes, all or nothing. IoError on failure; what `write` throws passes through;
// in both cases the old file stays and no temporary is left. (Where the very last step fails, the sync of the folder, the new file is
// there.) A link is kept, its target replaced; the old mode is kept. What killed saves of this file left behind is removed.
template <class Write>
void atomic_save(const std::string& path, Write&& write, const FileSystem& files = FileSystem()) {
  struct stat old {};
  const bool exists = ::stat(path.c_str(), &old) == 0;
  const std::string target = exists ? canonical_path(path) : path, parent = parent_path(target);
  if (exists && !S_ISREG(old.st_mode)) throw IoError("replace (not a regular file)", path, EINVAL);
  save_detail::remove_leftovers(files, target);
  const Descriptor folder = save_detail::open_folder(files, parent);
  auto [name, opened] = save_detail::make_beside(target, [&](const char* at) { return save_detail::create_locked(files, at); });
  save_detail::Temporary temporary{.path = std::move(name), .files = files};
  Descriptor descriptor(opened);
  const Descriptor lock(::fcntl(opened, F_DUPFD_CLOEXEC, 0));  // held until the file has its name
  if (lock.get() < 0) throw IoError("open", path, errno);
  if (exists && ::fchmod(opened, old.st_mode & 07777u) != 0) throw IoError("set the mode of", temporary.path, errno);
  FileWriter writer(files, opened, path);
  write(writer);
  writer.flush();
  save_detail::sync(files, descriptor, path);
  if (files.close(descriptor.release()) != 0 && errno != EINTR) throw IoError("close", path, errno);
  if (save_detail::retried([&] { return files.rename(temporary.path.c_str(), target.c_str()); }) != 0)
    throw IoError("rename to", path, errno);
  temporary.kept = true;
  save_detail::sync(files, folder, parent);
}

// Makes the folder `path`, which must not exist yet, by write(temporary folder), all or nothing. Files in it are synced, then the
// folder, and it is renamed. IoError on failure; no temporary is left.
template <class Write>
void atomic_save_directory(const std::string& path, Write&& write, const FileSystem& files = FileSystem()) {
  struct stat old {};
  if (::lstat(path.c_str(), &old) == 0) throw IoError("create the folder", path, EEXIST);
  const std::string above = parent_path(path);
  const Descriptor parent = save_detail::open_folder(files, above);
  auto made = save_detail::make_beside(path, [&](const char* at) { return files.make_directory(at); });
  save_detail::Temporary temporary{.path = std::move(made.first), .files = files};
  write(std::as_const(temporary.path));
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(temporary.path.c_str()), &::closedir);
  if (!folder) throw IoError("open", temporary.path, errno);
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string file = concat(temporary.path, "/", name);
    const Descriptor descriptor(save_detail::retried([&] { return files.open(file.c_str(), O_RDONLY | O_NOFOLLOW); }));
    if (descriptor.get() < 0) throw IoError("open", file, errno);
    save_detail::sync(files, descriptor, file);
  }
  save_detail::sync_folder(files, temporary.path);
  if (save_detail::retried([&] { return files.rename(temporary.path.c_str(), path.c_str()); }) != 0)
    throw IoError("rename to", path, errno);
  temporary.kept = true;
  save_detail::sync(files, parent, above);
}

}  // namespace plume::inline PLUME_ABI
