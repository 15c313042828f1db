#pragma once
// safetensors (huggingface/safetensors, README.md and tensor.rs): u64 header size, JSON header, data. Read memory-mapped; the whole
// header is verified before any tensor is touched.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/atomic_save.hpp"
#include "plume/base/bytes.hpp"
#include "plume/base/checked.hpp"
#include "plume/base/files.hpp"
#include "plume/base/json.hpp"
#include "plume/formats/named_tensor.hpp"
#include "plume/formats/refuse_pickle.hpp"

namespace plume::inline PLUME_ABI {

struct SafetensorsOptions {
  Limits limits = {};
  Mapping mapping = Mapping::map;
  Symlinks symlinks = Symlinks::refuse;  // of shards that an index names
};

struct SafetensorsEntry {
  std::string name;
  std::string dtype;                 // as the format spells it: "F32"
  std::vector<std::uint64_t> shape;  // rank up to Limits::max_rank
  std::span<const std::byte> bytes;
  std::size_t file = 0;      // which file (shard) holds it
  std::uint64_t offset = 0;  // of its header entry, for errors
};

namespace safetensors_detail {

struct Type {
  std::string_view name;
  std::uint64_t bits;
  std::optional<DType> dtype = {};
};
// In the order of upstream's enumeration, by which a writer sorts.
inline constexpr Type types[] = {{"BOOL", 8},
                                 {"F4", 4},
                                 {"F6_E2M3", 6},
                                 {"F6_E3M2", 6},
                                 {"U8", 8, DType::u8},
                                 {"I8", 8, DType::i8},
                                 {"F8_E5M2", 8},
                                 {"F8_E4M3", 8},
                                 {"F8_E8M0", 8},
                                 {"F8_E4M3FNUZ", 8},
                                 {"F8_E5M2FNUZ", 8},
                                 {"I16", 16},
                                 {"U16", 16},
                                 {"F16", 16, DType::f16},
                                 {"BF16", 16, DType::bf16},
                                 {"I32", 32, DType::i32},
                                 {"U32", 32},
                                 {"F32", 32, DType::f32},
                                 {"C64", 64},
                                 {"F64", 64, DType::f64},
                                 {"I64", 64},
                                 {"U64", 64}};

inline const Type* find_type(std::string_view name) {
  const auto found = std::find_if(std::begin(types), std::end(types), [&](const Type& type) { return type.name == name; });
  return found == std::end(types) ? nullptr : found;
}
inline std::size_t type_rank(DType dtype) {
  const auto found = std::find_if(std::begin(types), std::end(types), [&](const Type& type) { return type.dtype == dtype; });
  return static_cast<std::size_t>(found - std::begin(types));
}

}  // namespace safetensors_detail

// A safetensors file, or all shards of one model.
class SafetensorsFile {
 public:
  const std::string& path() const noexcept { return path_; }  // of the file or the index
  std::span<const SafetensorsEntry> entries() const noexcept { return entries_; }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const SafetensorsEntry& entry : entries_) result.push_back(entry.name);
    return result;
  }
  const std::vector<std::pair<std::string, std::string>>& metadata() const noexcept { return metadata_; }  // of the first file
  const SafetensorsEntry* find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &entries_[found->second];
  }
  // Where an entry stands, for errors of who uses it.
  Where where(const SafetensorsEntry& entry) const {
    return {
        .path = files_[entry.file].path, .field = concat("[", quoted(entry.name), "]"), .offset = entry.offset, .line = {}, .column = {}};
  }
  // The tensor on the mapped bytes, without a copy where alignment allows. ConfigError: no such name; a dtype or rank that Tensor lacks.
  Tensor tensor(std::string_view name) const {
    const SafetensorsEntry* entry = find(name);
    if (!entry) throw ConfigError(Where{.path = path_, .field = concat("[", quoted(name), "]")}, "the file has no tensor of this name");
    const auto* type = safetensors_detail::find_type(entry->dtype);
    if (!type->dtype)
      throw ConfigError(where(*entry),
                        concat("has dtype ", entry->dtype, "; plume holds F64, F32, BF16, F16, I32, I8, U8: convert it first"));
    if (entry->shape.size() > Shape::max_rank)
      throw ConfigError(where(*entry), concat("has rank ", entry->shape.size(), "; plume holds rank ", Shape::max_rank));
    std::vector<Index> extents;
    for (const std::uint64_t extent : entry->shape) extents.push_back(static_cast<Index>(extent));  // fits: checked_product
    return tensor_over(entry->bytes, files_[entry->file].mapping, Shape(std::span<const Index>(extents)), *type->dtype);
  }

 private:
  friend class SafetensorsReader;
  struct File {
    std::string path;
    std::shared_ptr<const FileMapping> mapping;
  };
  std::string path_;
  std::vector<File> files_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

class SafetensorsReader {
 public:
  explicit SafetensorsReader(const SafetensorsOptions& options) : options_(options) {}

  SafetensorsFile read(const std::string& path) {
    result_.path_ = path;
    if (path.ends_with(".index.json"))
      read_index(path);
    else
      read_file(path);
    return std::move(result_);
  }

 private:
  // Adds all tensors of one file.
  void read_file(const std::string& path) {
    result_.files_.push_back({path, FileMapping::open(path, options_.mapping)});
    const auto bytes = result_.files_.back().mapping->bytes();
    ByteReader reader(bytes, path);
    const auto size = reader.little<std::uint64_t>("header size");
    const Where at{.path = path, .field = "header size", .offset = 0, .line = {}, .column = {}};
    if (size > reader.left()) {
      refuse_pickle(bytes, path);
      throw FormatError(at, concat("the header is said to have ", size, " bytes, ", reader.left(), " follow"));
    }
    if (size > options_.limits.max_safetensors_header)
      throw LimitError(at, "max_safetensors_header", options_.limits.max_safetensors_header, size);
    if (size == 0) throw FormatError(at, "the header has 0 bytes");
    const auto raw = reader.bytes(size, "header");
    const auto data = bytes.subspan(static_cast<std::size_t>(reader.position()));
    std::string_view text(reinterpret_cast<const char*>(raw.data()), raw.size());
    const auto fail_at = [&](std::size_t offset, std::string_view reason) {
      throw FormatError(Where{.path = path, .field = "header", .offset = 8 + offset, .line = {}, .column = {}}, reason);
    };
    if (text.front() != '{') fail_at(0, concat("must begin with '{', found ", quoted(text.substr(0, 1))));
    text = text.substr(0, text.find_last_not_of(' ') + 1);
    if (text.find_last_not_of("\t\r\n") + 1 != text.size()) fail_at(text.size() - 1, "may be padded with blanks only");
    try {
      const Json header = Json::parse(text, {.path = path,
                                             .limits = options_.limits,
                                             .max_bytes = options_.limits.max_safetensors_header,
                                             .size = JsonSize::table,
                                             .first_offset = 8});
      read_header(header, data);
    } catch (const ConfigError& error) {  // a getter of Json: here the format is at fault
      throw FormatError(error.where(), error.reason());
    }
  }

  void read_header(const Json& header, std::span<const std::byte> data) {
    struct Range {
      std::uint64_t begin, end;
      const Json* offsets;
      std::string_view name;
    };
    const auto fail = [](const Json& at, std::string_view reason) { throw FormatError(at.where(), reason); };
    const std::uint64_t known = result_.entries_.size(), allowed = options_.limits.max_tensors;
    if (header.size() > allowed || header.size() + known > allowed)
      throw LimitError(header.where(), "max_tensors", allowed, header.size() + known);
    std::vector<Range> ranges;
    for (const Json::Member& member : header.members()) {
      const Json& value = member.value;
      if (member.key == "__metadata__") {
        for (const Json::Member& pair : value.members()) {
          const std::string& text = pair.value.as_text();
          if (result_.files_.size() == 1) result_.metadata_.emplace_back(pair.key, text);
        }
        continue;
      }
      if (member.key.size() > options_.limits.max_tensor_name)
        throw LimitError(value.where(), "max_tensor_name", options_.limits.max_tensor_name, member.key.size());
      if (member.key.find('\0') != member.key.npos) fail(value, "the tensor name holds a NUL byte");
      SafetensorsEntry entry{.name = member.key, .dtype = value.text("dtype"), .shape = {}, .bytes = {}};
      entry.file = result_.files_.size() - 1;
      entry.offset = *value.where().offset;
      const auto* type = safetensors_detail::find_type(entry.dtype);
      if (!type) fail(value.at("dtype"), concat("unknown dtype ", quoted(entry.dtype)));
      const Json& shape = value.at("shape");
      if (shape.items().size() > options_.limits.max_rank)
        throw LimitError(shape.where(), "max_rank", options_.limits.max_rank, shape.size());
      for (const Json& extent : shape.items()) entry.shape.push_back(extent.as_unsigned());
      if (!checked_product(entry.shape)) fail(shape, "the number of elements overflows 63 bits");
      const auto bytes = checked_bytes(entry.shape, type->bits);
      if (!bytes) fail(shape, concat("the elements of ", entry.dtype, " do not fill whole bytes, or overflow 64 bits"));
      const Json& offsets = value.at("data_offsets");
      if (offsets.items().size() != 2) fail(offsets, concat("must be [begin, end], has ", offsets.size(), " elements"));
      const std::uint64_t begin = offsets.at(0).as_unsigned(), end = offsets.at(1).as_unsigned();
      if (begin > end) fail(offsets, concat("begin ", begin, " lies after end ", end));
      if (end > data.size()) fail(offsets, concat("end ", end, " lies past the data section (", data.size(), " bytes)"));
      if (end - begin != *bytes) fail(offsets, concat("spans ", end - begin, " bytes, shape and dtype ", entry.dtype, " need ", *bytes));
      entry.bytes = data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
      ranges.push_back({begin, end, &offsets, member.key});
      if (!result_.by_name_.emplace(entry.name, result_.entries_.size()).second)
        fail(value, "another shard holds a tensor of the same name");
      result_.entries_.push_back(std::move(entry));
    }
    std::sort(ranges.begin(), ranges.end(),
              [](const Range& a, const Range& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    std::uint64_t expected = 0;
    std::string_view before = "the start";
    for (const Range& range : ranges) {
      if (range.begin < expected) fail(*range.offsets, concat("overlaps ", quoted(before), ", which ends at ", expected));
      if (range.begin > expected)
        fail(*range.offsets, concat("leaves a hole of ", range.begin - expected, " bytes after ", quoted(before)));
      expected = range.end;
      before = range.name;
    }
    if (expected != data.size()) fail(header, concat(data.size() - expected, " trailing bytes follow the last tensor"));
  }

  void read_index(const std::string& path) {
    const Json index = Json::parse(plume::read_file(path, options_.limits.max_json_bytes, "max_json_bytes"),
                                   {.path = path, .limits = options_.limits, .size = JsonSize::table});
    const Json& weights = index.at("weight_map");
    if (weights.members().size() > options_.limits.max_tensors)
      throw LimitError(weights.where(), "max_tensors", options_.limits.max_tensors, weights.size());
    const std::string folder = parent_path(path), own = path.substr(path.rfind('/') + 1);
    std::map<std::string, std::size_t, std::less<>> shards;  // name -> number of its file
    for (const Json::Member& member : weights.members()) {
      const std::string& shard = member.value.as_text();
      if (shards.contains(shard)) continue;
      if (shard == own) throw FormatError(member.value.where(), "the index names itself as a shard");
      const std::string file = contained_path(folder, shard, member.value.where(), options_.symlinks);
      shards.emplace(shard, result_.files_.size());
      read_file(file);
    }
    for (const Json::Member& member : weights.members()) {
      const SafetensorsEntry* entry = result_.find(member.key);
      if (!entry) throw FormatError(member.value.where(), concat("shard ", quoted(member.value.as_text()), " does not hold this tensor"));
      if (entry->file != shards.find(member.value.as_text())->second)
        throw FormatError(member.value.where(), concat("this tensor is in another shard, ", quoted(result_.files_[entry->file].path)));
    }
  }

  SafetensorsOptions options_;
  SafetensorsFile result_;
};

// Reads a .safetensors file, or all shards of a model.safetensors.index.json. FormatError, LimitError or ConfigError name the file, the
// field and the byte; IoError: a file is missing or unreadable.
inline SafetensorsFile read_safetensors(const std::string& path, const SafetensorsOptions& options = {}) {
  try {
    return SafetensorsReader(options).read(path);
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(0, "a safetensors header");
  }
}

using Metadata = std::vector<std::pair<std::string, std::string>>;

// Writes the tensors, all or nothing, byte for byte as the Python package does: ordered by descending dtype, then name; the header padded
// to 8 bytes. Readers of PyTorch models want the metadata {"format": "pt"}.
inline void write_safetensors(const std::string& path, std::vector<NamedTensor> tensors, const Metadata& metadata = {{"format", "pt"}},
                              const FileSystem& files = FileSystem()) {
  using safetensors_detail::type_rank;
  std::sort(tensors.begin(), tensors.end(), [](const NamedTensor& a, const NamedTensor& b) {
    const std::size_t first = type_rank(a.tensor.dtype()), second = type_rank(b.tensor.dtype());
    return first != second ? first > second : a.name < b.name;
  });
  Json header = Json::object();
  if (!metadata.empty()) {
    Json pairs = Json::object();
    for (const auto& pair : metadata) pairs.set(pair.first, pair.second);
    header.set("__metadata__", std::move(pairs));
  }
  std::uint64_t at = 0;
  for (NamedTensor& named : tensors) {
    require(named.tensor.has_data(), "[write_safetensors] ", quoted(named.name), " has no memory");
    require(named.name != "__metadata__" && !header.find(named.name), "[write_safetensors] the name ", quoted(named.name),
            " is reserved or used twice");
    require(utf8_error(named.name) == named.name.size() && named.name.find('\0') == named.name.npos, "[write_safetensors] the name ",
            quoted(named.name), " is not plain UTF-8");
    if (!named.tensor.is_dense()) named.tensor = named.tensor.copy();
    Json shape = Json::array();
    for (const Index extent : named.tensor.shape().extents()) shape.push(extent);
    const std::uint64_t end = at + bytes_of(named.tensor).size();
    header.set(named.name, Json::object()
                               .set("dtype", safetensors_detail::types[type_rank(named.tensor.dtype())].name)
                               .set("shape", std::move(shape))
                               .set("data_offsets", Json::array().push(at).push(end)));
    at = end;
  }
  std::string text = dump(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  atomic_save(
      path,
      [&](FileWriter& out) {
        out.little(static_cast<std::uint64_t>(text.size()));
        out.write(text);
        for (const NamedTensor& named : tensors) out.write(bytes_of(named.tensor));
      },
      files);
}

}  // namespace plume::inline PLUME_ABI
