#pragma once
// What a power loss may leave of a save. RecordingFiles writes to a folder of the real disk and notes what was asked for; states_after(n)
// lists what the disk may hold if power fails when the first n operations had been asked for: everything that a sync covers is there, and
// of the rest any part, in any order. A write may have reached the disk whole, in part, as zeros of its length, or not at all; a name that
// was made, moved or removed may have been or not, each by itself.
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/file_system.hpp"
#include "plume/base/random.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI::testing {

// Paths below the folder, and the bytes of a file or nothing for a folder.
using DiskState = std::map<std::string, std::optional<std::string>>;

// One thread only; what happens below `root` (a path without "." and ".." as the save will spell it), which is empty when it begins.
class RecordingFiles final : public FileSystem {
 public:
  explicit RecordingFiles(std::string root) : root_(std::move(root)) {}

  std::size_t operations() const { return log_.size(); }
  // "rename step-1.tmp-7-0", for messages.
  std::string describe(std::size_t operation) const {
    constexpr std::string_view names[] = {"make", "write", "move", "remove", "sync the file", "sync the folder"};
    const Operation& done = log_.at(operation);
    return concat(names[static_cast<std::size_t>(done.kind)], " ", done.from.empty() ? nodes_[done.node].name : done.from,
                  done.to.empty() ? "" : " to ", done.to);
  }

  // At most `most` different states, all of them if there are no more; else the extremes and a random choice that is the same in each run.
  std::vector<DiskState> states_after(std::size_t count, std::size_t most = 256) const {
    const Pending pending = pending_after(count);
    const std::size_t names = pending.names.size(), files = pending.files.size();
    std::vector<DiskState> states;
    const auto add = [&](const Choice& choice) {
      DiskState state = build(count, pending, choice);
      for (const DiskState& known : states)
        if (known == state) return;
      states.push_back(std::move(state));
    };
    for (const Content content : contents) {  // all names or none, and each name alone or missing alone
      for (const bool present : {false, true}) {
        Choice choice{std::vector<bool>(names, present), std::vector<Content>(files, content)};
        add(choice);
        for (std::size_t i = 0; i < names && states.size() < most; ++i) {
          choice.names[i] = !present;
          add(choice);
          choice.names[i] = present;
        }
      }
    }
    std::uint64_t choices = 1;  // saturating
    for (std::size_t i = 0; i < names && choices < most; ++i) choices *= 2;
    for (std::size_t i = 0; i < files && choices < most; ++i) choices *= contents.size();
    Random random{.seed = count};
    for (std::uint64_t number = 0; number < (choices < most ? choices : most) && states.size() < most; ++number) {
      Choice choice{std::vector<bool>(names), std::vector<Content>(files)};
      std::uint64_t digits = number;
      for (std::size_t i = 0; i < names; ++i, digits /= 2) choice.names[i] = (choices < most ? digits % 2 : random.below(2)) == 1;
      for (std::size_t i = 0; i < files; ++i, digits /= contents.size())
        choice.files[i] = contents[static_cast<std::size_t>(choices < most ? digits % contents.size() : random.below(contents.size()))];
      add(choice);
    }
    return states;
  }

  int create(const char* path, mode_t mode) const override {
    const int descriptor = FileSystem::create(path, mode);
    if (descriptor >= 0) open_[descriptor] = make(path, Kind::file);
    return descriptor;
  }
  int make_directory(const char* path) const override {
    const int result = FileSystem::make_directory(path);
    if (result == 0) make(path, Kind::folder);
    return result;
  }
  int open(const char* path, int flags) const override {
    const int descriptor = FileSystem::open(path, flags);
    if (descriptor >= 0) open_[descriptor] = find(path);
    return descriptor;
  }
  ssize_t write(int descriptor, const void* data, std::size_t size) const override {
    const ssize_t written = FileSystem::write(descriptor, data, size);
    if (const auto node = open_.at(descriptor); written > 0 && node)
      log_.push_back({Does::write, *node, 0, {}, {}, std::string(static_cast<const char*>(data), static_cast<std::size_t>(written))});
    return written;
  }
  int sync(int descriptor) const override {
    if (const auto node = open_.at(descriptor))
      log_.push_back({nodes_[*node].kind == Kind::file ? Does::sync_file : Does::sync_folder, *node, 0, {}, {}, {}});
    return 0;  // noted, not done: the real disk keeps its power
  }
  int rename(const char* from, const char* to) const override {
    const auto node = find(from), folder = find(parent(to));
    const int result = FileSystem::rename(from, to);
    if (result != 0 || !node || !folder) return result;
    names_.erase(from);
    std::map<std::string, std::size_t, std::less<>> moved;  // what lies below comes along
    for (auto at = names_.begin(); at != names_.end();) {
      const bool below = at->first.starts_with(concat(from, "/"));
      if (below) moved.emplace(concat(to, std::string_view(at->first).substr(std::string_view(from).size())), at->second);
      at = below ? names_.erase(at) : std::next(at);
    }
    names_.merge(moved);
    names_[to] = *node;
    log_.push_back({Does::move, *node, *folder, std::string(last_name(from)), std::string(last_name(to)), {}});
    return result;
  }
  int remove(const char* path) const override { return removed(path, FileSystem::remove(path)); }
  int remove_directory(const char* path) const override { return removed(path, FileSystem::remove_directory(path)); }

 private:
  enum class Kind : std::uint8_t { file, folder };
  enum class Does : std::uint8_t { make, write, move, remove, sync_file, sync_folder };
  enum class Content : std::uint8_t { nothing, zeros, half, all };
  static constexpr std::array contents = {Content::nothing, Content::zeros, Content::half, Content::all};
  struct Node {
    Kind kind;
    std::string name;  // when it was made
  };
  struct Operation {
    Does kind;
    std::size_t node, folder;  // the folder whose names change: renames stay inside one
    std::string from, to, bytes;
  };
  struct Pending {
    std::vector<std::size_t> names;             // operations on names that no sync covers yet
    std::vector<std::size_t> files;             // nodes with writes that no sync covers yet
    std::map<std::size_t, std::size_t> synced;  // node -> the operation that synced it last
  };
  struct Choice {
    std::vector<bool> names;
    std::vector<Content> files;
  };

  static std::string_view last_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }
  static std::string_view parent(std::string_view path) { return path.substr(0, path.rfind('/')); }

  // 0 is the root.
  std::optional<std::size_t> find(std::string_view path) const {
    if (path == root_) return 0;
    const auto found = names_.find(path);
    return found == names_.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<std::size_t> make(const char* path, Kind kind) const {
    const auto folder = find(parent(path));
    if (!folder) return std::nullopt;
    const std::size_t node = nodes_.size();
    nodes_.push_back({kind, std::string(last_name(path))});
    names_[path] = node;
    log_.push_back({Does::make, node, *folder, {}, std::string(last_name(path)), {}});
    return node;
  }
  int removed(const char* path, int result) const {
    const auto node = find(path), folder = find(parent(path));
    if (result != 0 || !node || !folder) return result;
    names_.erase(path);
    log_.push_back({Does::remove, *node, *folder, std::string(last_name(path)), {}, {}});
    return result;
  }

  Pending pending_after(std::size_t count) const {
    Pending pending;
    for (std::size_t i = 0; i < count; ++i)
      if (log_[i].kind == Does::sync_file || log_[i].kind == Does::sync_folder) pending.synced[log_[i].node] = i + 1;
    const auto is_pending = [&](std::size_t operation, std::size_t node) {
      const auto found = pending.synced.find(node);
      return found == pending.synced.end() || operation >= found->second;
    };
    for (std::size_t i = 0; i < count; ++i) {
      const Operation& done = log_[i];
      if (done.kind == Does::write) {
        if (is_pending(i, done.node) && std::find(pending.files.begin(), pending.files.end(), done.node) == pending.files.end())
          pending.files.push_back(done.node);
      } else if (done.kind == Does::make || done.kind == Does::move || done.kind == Does::remove) {
        if (is_pending(i, done.folder)) pending.names.push_back(i);
      }
    }
    return pending;
  }

  DiskState build(std::size_t count, const Pending& pending, const Choice& choice) const {
    std::map<std::size_t, std::map<std::string, std::size_t>> folders;  // folder -> name -> node
    std::map<std::size_t, std::string> bytes;
    for (std::size_t i = 0; i < count; ++i) {
      const Operation& done = log_[i];
      if (done.kind == Does::write) {
        const auto file = std::find(pending.files.begin(), pending.files.end(), done.node);
        const auto synced = pending.synced.find(done.node);
        const bool is_durable = file == pending.files.end() || (synced != pending.synced.end() && i < synced->second);
        const Content content = is_durable ? Content::all : choice.files[static_cast<std::size_t>(file - pending.files.begin())];
        if (content == Content::nothing) continue;
        if (content == Content::zeros)
          bytes[done.node].append(done.bytes.size(), '\0');
        else
          bytes[done.node].append(done.bytes, 0, content == Content::half ? done.bytes.size() / 2 : done.bytes.size());
        continue;
      }
      if (done.kind == Does::sync_file || done.kind == Does::sync_folder) continue;
      const auto name = std::find(pending.names.begin(), pending.names.end(), i);
      if (name != pending.names.end() && !choice.names[static_cast<std::size_t>(name - pending.names.begin())]) continue;
      auto& names = folders[done.folder];
      if (!done.from.empty()) names.erase(done.from);
      if (!done.to.empty()) names[done.to] = done.node;
    }
    DiskState state;
    const auto walk = [&](const auto& self, std::size_t folder, const std::string& prefix) -> void {
      for (const auto& [name, node] : folders[folder]) {
        const bool is_file = nodes_[node].kind == Kind::file;
        state[prefix + name] = is_file ? std::optional(bytes[node]) : std::nullopt;
        if (!is_file) self(self, node, prefix + name + "/");
      }
    };
    walk(walk, 0, "");
    return state;
  }

  std::string root_;
  mutable std::vector<Node> nodes_{{Kind::folder, {}}};
  mutable std::map<std::string, std::size_t, std::less<>> names_;
  mutable std::map<int, std::optional<std::size_t>> open_;  // by descriptor
  mutable std::vector<Operation> log_;
};

}  // namespace plume::inline PLUME_ABI::testing
