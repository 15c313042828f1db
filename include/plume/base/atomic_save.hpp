#pragma once
// Saving so that a crash or a full disk leaves the old file whole: temporary beside the target, fsync, rename, fsync of the folder.
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "plume/base/config.hpp"
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

template <class Call>
int retried(Call call) {
  int result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

inline void sync_folder(const FileSystem& files, const std::string& path) {
  const Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) throw IoError("open", path, errno);
  if (retried([&] { return files.sync(folder.get()); }) != 0) throw IoError("sync", path, errno);
}

// Removes a file or a folder of ours with all it holds; best effort, for cleaning up.
inline void remove_all(const std::string& path) noexcept try {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return;
  if (!S_ISDIR(status.st_mode)) {
    ::unlink(path.c_str());
    return;
  }
  if (const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), &::closedir); folder)
    while (const dirent* entry = ::readdir(folder.get()))
      if (const std::string_view name = entry->d_name; name != "." && name != "..") remove_all(concat(path, "/", name));
  ::rmdir(path.c_str());
} catch (const std::bad_alloc&) {
}

struct Temporary {  // removed unless it was renamed away
  std::string path;
  bool kept = false;
  ~Temporary() {
    if (!kept) remove_all(path);
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

}  // namespace save_detail

// Replaces the file `path` by what write(FileWriter&) writes, all or nothing. IoError on failure; what `write` throws passes through;
// in both cases the old file stays and no temporary is left. A link is kept, its target replaced; the old mode is kept.
template <class Write>
void atomic_save(const std::string& path, Write&& write, const FileSystem& files = FileSystem()) {
  struct stat old {};
  const bool exists = ::stat(path.c_str(), &old) == 0;
  const std::string target = exists ? canonical_path(path) : path;
  if (exists && !S_ISREG(old.st_mode)) throw IoError("replace (not a regular file)", path, EINVAL);
  auto [name, opened] = save_detail::make_beside(target, [&](const char* at) { return files.create(at, 0666); });
  save_detail::Temporary temporary{.path = std::move(name)};
  Descriptor descriptor(opened);
  if (exists && ::fchmod(opened, old.st_mode & 07777u) != 0) throw IoError("set the mode of", temporary.path, errno);
  FileWriter writer(files, opened, path);
  write(writer);
  writer.flush();
  if (save_detail::retried([&] { return files.sync(descriptor.get()); }) != 0) throw IoError("sync", path, errno);
  if (files.close(descriptor.release()) != 0 && errno != EINTR) throw IoError("close", path, errno);
  if (files.rename(temporary.path.c_str(), target.c_str()) != 0) throw IoError("rename to", path, errno);
  temporary.kept = true;
  save_detail::sync_folder(files, parent_path(target));
}

// Makes the folder `path`, which must not exist yet, by write(temporary folder), all or nothing. Files in it are synced, then the
// folder, and it is renamed. IoError on failure; no temporary is left.
template <class Write>
void atomic_save_directory(const std::string& path, Write&& write, const FileSystem& files = FileSystem()) {
  struct stat old {};
  if (::lstat(path.c_str(), &old) == 0) throw IoError("create the folder", path, EEXIST);
  auto made = save_detail::make_beside(path, [&](const char* at) { return files.make_directory(at); });
  save_detail::Temporary temporary{.path = std::move(made.first)};
  write(std::as_const(temporary.path));
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(temporary.path.c_str()), &::closedir);
  if (!folder) throw IoError("open", temporary.path, errno);
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string file = concat(temporary.path, "/", name);
    const Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (descriptor.get() < 0) throw IoError("open", file, errno);
    if (save_detail::retried([&] { return files.sync(descriptor.get()); }) != 0) throw IoError("sync", file, errno);
  }
  save_detail::sync_folder(files, temporary.path);
  if (files.rename(temporary.path.c_str(), path.c_str()) != 0) throw IoError("rename to", path, errno);
  temporary.kept = true;
  save_detail::sync_folder(files, parent_path(path));
}

}  // namespace plume::inline PLUME_ABI
