#pragma once
// Checkpoints: directories step-N/ that are written all at once and verified before they count.
//   manifest.json           magic, format version, step, model, sizes and checksums of the other files; a checksum of itself
//   state.json              counters, random numbers, data cursor, schedule (train/state.hpp)
//   weights.safetensors     the master weights        optimizer.safetensors   moments
#include <dirent.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/file_system.hpp"
#include "plume/base/json_value.hpp"
#include "plume/formats/named_tensor.hpp"

namespace plume::inline PLUME_ABI {

struct Checkpoint {
  Index step = 0;
  std::string model = {};  // model_description() of what it belongs to
  Json state = {};
  std::vector<NamedTensor> weights = {}, optimizer = {};  // from a file: read-only, on the mapped file
  std::string path = {};
};

namespace checkpoint_detail {
// Gives the pages of a mapped tensor back that was read; they are read again when needed.
PLUME_FUNCTION void forget_pages(const Tensor& tensor);
}  // namespace checkpoint_detail

// Steps of which there are checkpoint directories, newest first. Temporaries of a killed run do not count.
PLUME_FUNCTION std::vector<Index> checkpoint_steps(const std::string& folder);

// Reads a checkpoint and verifies every byte of it. InputError or IoError say what is wrong where.
PLUME_FUNCTION Checkpoint read_checkpoint(const std::string& path);

// Writes folder/step-N, all or nothing, verifies it and returns its path. A whole checkpoint of that step that is there already stays.
// NumericError: a weight or a moment is not finite (such a checkpoint must not push out good ones). IoError: disk full and the like;
// nothing is left.
PLUME_FUNCTION std::string write_checkpoint(const std::string& folder, const Checkpoint& checkpoint,
                                            const FileSystem& files = FileSystem());

// The newest checkpoint that verifies, or nothing. `skipped` is told why newer ones were passed over: because they are damaged or cannot be
// read. OutOfMemory, and IoError where the process has no more descriptors or memory, say nothing about a checkpoint and go on.
PLUME_FUNCTION std::optional<Checkpoint> newest_checkpoint(const std::string& folder,
                                                           const std::function<void(const std::string&)>& skipped = {});

// Removes all but the newest `keep` checkpoints up to step `last`, and what killed runs left half written. Call it after step `last` was
// written, which verified it.
PLUME_FUNCTION void prune_checkpoints(const std::string& folder, Index keep, Index last, const FileSystem& files = FileSystem());

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/base/atomic_save.hpp"
#include "plume/base/checksum.hpp"
#include "plume/base/directory.hpp"
#include "plume/base/json.hpp"
#include "plume/formats/safetensors.hpp"

namespace plume::inline PLUME_ABI {

namespace checkpoint_detail {

inline constexpr std::string_view magic = "plume-checkpoint";
inline constexpr std::int64_t version = 1;
inline constexpr std::string_view files[] = {"state.json", "weights.safetensors", "optimizer.safetensors"};

inline std::string directory_of(const std::string& folder, Index step) { return concat(folder, "/step-", step); }

// N of "step-N".
inline std::optional<Index> step_of(std::string_view name) {
  constexpr std::string_view prefix = "step-";
  Index step = 0;
  if (!name.starts_with(prefix)) return std::nullopt;
  const auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size() || step < 0) return std::nullopt;
  return name == concat(prefix, step) ? std::optional(step) : std::nullopt;
}

inline std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), &::closedir);
  if (!listing && errno == ENOENT) return names;
  if (!listing) throw IoError("list", folder, errno);
  while (const dirent* entry = ::readdir(listing.get())) names.emplace_back(entry->d_name);
  return names;
}

// Length and checksum of a file, read in pieces: a mapping of moments would double what the process has in memory.
struct FileSum {
  std::uint64_t bytes = 0;
  std::uint32_t checksum = 0;
};
inline FileSum sum_of(const std::string& path) {
  const auto file = files_detail::open_regular(path);
  std::vector<std::byte> piece(std::min<std::size_t>(file.size, std::size_t{1} << 20));
  FileSum sum{.bytes = file.size};
  for (std::size_t left = file.size; left > 0; left -= piece.size()) {
    piece.resize(std::min(left, piece.size()));
    files_detail::read_exactly(file.descriptor.get(), piece.data(), piece.size(), path);
    sum.checksum = crc32c(piece, sum.checksum);
  }
  return sum;
}

PLUME_FUNCTION void forget_pages(const Tensor& tensor) {
  if (tensor.storage()->kind() != StorageKind::mapped || tensor.size() == 0) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE)),
             first = reinterpret_cast<std::uintptr_t>(tensor.storage()->data());
  const std::uintptr_t begin = (first + page - 1) / page * page, end = (first + tensor.storage()->bytes()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

inline std::uint64_t bytes_of_all(const std::vector<NamedTensor>& tensors) {
  std::uint64_t bytes = 0;
  for (const NamedTensor& named : tensors) bytes += bytes_of(named.tensor).size();
  return bytes;
}

inline std::vector<NamedTensor> tensors_of(const std::string& path, std::int64_t step) {
  const SafetensorsFile file = read_safetensors(path);
  for (const auto& [key, value] : file.metadata())
    if (key == "step" && value != concat(step))
      throw FormatError(Where{.path = path, .field = "__metadata__.step"},
                        concat("is ", quoted(value), ", the checkpoint is of step ", step));
  std::vector<NamedTensor> tensors;
  for (const SafetensorsEntry& entry : file.entries()) tensors.push_back({entry.name, file.tensor(entry.name)});
  return tensors;
}

// Whether the process, not the checkpoint, is at fault.
inline bool is_want(const IoError& error) {
  return error.error_number() == EMFILE || error.error_number() == ENFILE || error.error_number() == ENOMEM;
}

// Whether there is a checkpoint that verifies. What it cannot tell, it throws: a good one must not be taken for a damaged one.
inline bool is_whole(const std::string& path) {
  try {
    read_checkpoint(path);
    return true;
  } catch (const InputError&) {
    return false;
  } catch (const IoError& error) {
    if (is_want(error)) throw;
    return false;
  }
}

}  // namespace checkpoint_detail

PLUME_FUNCTION std::vector<Index> checkpoint_steps(const std::string& folder) {
  std::vector<Index> steps;
  for (const std::string& name : checkpoint_detail::names_in(folder))
    if (const auto step = checkpoint_detail::step_of(name)) steps.push_back(*step);
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

PLUME_FUNCTION Checkpoint read_checkpoint(const std::string& path) try {
  using namespace checkpoint_detail;
  const std::string manifest_path = path + "/manifest.json";
  const Json outer = Json::parse(read_file(manifest_path, Limits{}.max_json_bytes, "max_json_bytes"), {.path = manifest_path});
  const Json& manifest = outer.at("manifest");
  if (manifest.text("magic") != magic)
    manifest.at("magic").fail(concat("is ", quoted(manifest.text("magic")), ", expected ", quoted(magic)));
  if (manifest.integer("format") != version)
    manifest.at("format").fail(concat("is version ", manifest.integer("format"), ", this library reads version ", version));
  const std::string text = dump(manifest);
  if (const auto sum = crc32c(std::as_bytes(std::span(text))); outer.at("checksum").as_unsigned() != sum)
    throw FormatError(outer.at("checksum").where(), concat("the manifest was changed: its checksum is ", sum));

  Checkpoint checkpoint{.step = manifest.integer("step"), .model = manifest.text("model"), .path = path};
  if (checkpoint.step < 0) manifest.at("step").fail(concat("is ", checkpoint.step, ", expected at least 0"));
  const std::size_t slash = path.rfind('/');
  if (const auto named = step_of(std::string_view(path).substr(slash == path.npos ? 0 : slash + 1)); named && *named != checkpoint.step)
    manifest.at("step").fail(concat("is ", checkpoint.step, ", but the directory is named for step ", *named));
  const Json& list = manifest.at("files");
  for (const std::string_view name : files) {
    const auto found = std::find_if(list.items().begin(), list.items().end(), [&](const Json& file) { return file.text("name") == name; });
    if (found == list.items().end()) list.fail(concat("does not list ", name));
  }
  for (const Json& file : list.items()) {
    const std::string at = contained_path(path, file.text("name"), file.at("name").where());
    const FileSum sum = sum_of(at);
    if (sum.bytes != file.at("bytes").as_unsigned())
      throw FormatError(Where{.path = at}, concat("has ", sum.bytes, " bytes, the manifest says ", file.at("bytes").as_unsigned()));
    if (sum.checksum != file.at("crc32c").as_unsigned())
      throw FormatError(Where{.path = at},
                        concat("is damaged: its checksum is ", sum.checksum, ", the manifest says ", file.at("crc32c").as_unsigned()));
  }
  const std::string state_path = path + "/state.json";
  checkpoint.state = Json::parse(read_file(state_path, Limits{}.max_json_bytes, "max_json_bytes"), {.path = state_path});
  checkpoint.weights = tensors_of(path + "/weights.safetensors", checkpoint.step);
  checkpoint.optimizer = tensors_of(path + "/optimizer.safetensors", checkpoint.step);
  return checkpoint;
} catch (...) {
  rethrow_memory_failure("a checkpoint that is read");
}

PLUME_FUNCTION std::string write_checkpoint(const std::string& folder, const Checkpoint& checkpoint, const FileSystem& files) try {
  using namespace checkpoint_detail;
  for (const NamedTensor& named : checkpoint.weights) check_finite(named);
  for (const NamedTensor& named : checkpoint.optimizer) check_finite(named);
  make_directory(folder, files);
  const std::string path = directory_of(folder, checkpoint.step);
  struct stat old = {};
  if (::lstat(path.c_str(), &old) == 0) {
    if (is_whole(path)) return path;
    save_detail::remove_all(path, files);
  }
  const std::uint64_t bytes = bytes_of_all(checkpoint.weights) + bytes_of_all(checkpoint.optimizer) + (64u << 10);
  struct statvfs disk = {};
  if (::statvfs(folder.c_str(), &disk) == 0 &&
      static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize) < static_cast<double>(bytes))
    throw IoError(concat("save ", bytes, " bytes"), path, ENOSPC);
  atomic_save_directory(
      path,
      [&](const std::string& temporary) {
        const Metadata metadata = {{"format", "pt"}, {"step", concat(checkpoint.step)}};
        atomic_save(
            temporary + "/state.json", [&](FileWriter& out) { out.write(dump(checkpoint.state, 2) + "\n"); }, files);
        write_safetensors(temporary + "/weights.safetensors", checkpoint.weights, metadata, files);
        write_safetensors(temporary + "/optimizer.safetensors", checkpoint.optimizer, metadata, files);
        Json list = Json::array();
        for (const std::string_view name : checkpoint_detail::files) {
          const FileSum sum = sum_of(concat(temporary, "/", name));
          list.push(Json::object().set("name", name).set("bytes", sum.bytes).set("crc32c", sum.checksum));
        }
        Json manifest = Json::object();
        manifest.set("magic", magic).set("format", version).set("step", checkpoint.step).set("model", checkpoint.model);
        manifest.set("files", std::move(list));
        const std::string text = dump(manifest);
        Json outer = Json::object();
        outer.set("manifest", std::move(manifest)).set("checksum", crc32c(std::as_bytes(std::span(text))));
        atomic_save(
            temporary + "/manifest.json", [&](FileWriter& out) { out.write(dump(outer, 2) + "\n"); }, files);
      },
      files);
  read_checkpoint(path);
  return path;
} catch (...) {
  rethrow_memory_failure("a checkpoint that is written");
}

PLUME_FUNCTION std::optional<Checkpoint> newest_checkpoint(const std::string& folder,
                                                           const std::function<void(const std::string&)>& skipped) try {
  const auto passed_over = [&](Index step, const Error& error) {
    if (skipped) skipped(concat("checkpoint step-", step, " is skipped: ", error.what()));
  };
  for (const Index step : checkpoint_steps(folder)) {
    try {
      return read_checkpoint(checkpoint_detail::directory_of(folder, step));
    } catch (const InputError& error) {
      passed_over(step, error);
    } catch (const IoError& error) {
      if (checkpoint_detail::is_want(error)) throw;
      passed_over(step, error);
    }
  }
  return std::nullopt;
} catch (...) {
  rethrow_memory_failure("a checkpoint that is read");
}

PLUME_FUNCTION void prune_checkpoints(const std::string& folder, Index keep, Index last, const FileSystem& files) try {
  Index kept = 0;
  for (const Index step : checkpoint_steps(folder))
    if (step <= last && kept++ >= std::max<Index>(keep, 1)) save_detail::remove_all(checkpoint_detail::directory_of(folder, step), files);
  for (const std::string& name : checkpoint_detail::names_in(folder))
    if (name.starts_with("step-") && name.find(".tmp-") != name.npos) save_detail::remove_all(concat(folder, "/", name), files);
} catch (...) {
  rethrow_memory_failure("a list of checkpoints");
}

}  // namespace plume::inline PLUME_ABI
#endif
