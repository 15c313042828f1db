#pragma once
// GGUF files, versions 2 and 3 [ggml-org/ggml docs/gguf.md], whole or in parts: read memory-mapped; headers are verified before any tensor
// is touched.
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "plume/base/files.hpp"
#include "plume/base/gguf.hpp"
#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI {

struct GgufOptions {
  Limits limits = {};
  Mapping mapping = Mapping::map;
  Symlinks symlinks = Symlinks::refuse;  // of the other parts
};

// A tensor as the file holds it.
struct GgufStored {
  std::string_view name;
  Shape shape;  // row-major: the last extent is the one that lies side by side
  GgmlType type;
  std::span<const std::byte> bytes;
  std::size_t part = 0;      // which file holds it
  std::size_t number = 0;    // there
  std::uint64_t offset = 0;  // of its entry in that file's header, for errors
};

class GgufFile {
 public:
  const std::string& path() const { return parts_.front().header.path(); }
  const GgufHeader& header() const { return parts_.front().header; }  // with the key-values: those of the first part
  std::span<const GgufStored> tensors() const { return tensors_; }
  const GgufStored* find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &tensors_[found->second];
  }
  // Where an entry stands, for errors of who uses it.
  PLUME_FUNCTION Where where(const GgufStored& stored) const;
  // F32, F16, BF16, F64, I8 and I32 on the mapped bytes, without a copy where alignment allows; I16 and I64 as i32; blocks as f32.
  // ConfigError: no such name; a type that plume does not read; a whole number that i32 does not hold.
  PLUME_FUNCTION Tensor tensor(std::string_view name) const;

 private:
  friend class GgufReader;
  struct Part {
    std::shared_ptr<const FileMapping> mapping;
    GgufHeader header;
  };
  std::vector<Part> parts_;
  std::vector<GgufStored> tensors_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
};

// Reads a .gguf file; of one that was split, "<name>-00001-of-<count>.gguf", all parts. FormatError, LimitError, ConfigError name the file,
// the field and the byte; IoError: a file is missing or unreadable.
PLUME_FUNCTION GgufFile read_gguf(const std::string& path, const GgufOptions& options = {});

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "plume/base/error.hpp"
#include "plume/base/text.hpp"
#include "plume/formats/gguf_blocks.hpp"
#include "plume/formats/named_tensor.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"

namespace plume::inline PLUME_ABI {

class GgufReader {
 public:
  explicit GgufReader(const GgufOptions& options) : options_(options) {}

  GgufFile read(const std::string& path) {
    add(path);
    const std::int64_t count = number("split.count", 0).value_or(0);  // llama.cpp writes 0 into what it has joined
    if (count > 1) read_parts(path, count);
    if (count < 0) fail("split.count", 0, concat("is ", count));
    return std::move(file_);
  }

 private:
  [[noreturn]] void fail(std::string_view key, std::size_t part, std::string_view reason) const {
    const GgufHeader& header = file_.parts_[part].header;
    const GgufEntry* const entry = header.find(key);
    throw ConfigError(entry ? header.where(*entry) : Where{.path = header.path(), .field = std::string(key), .offset = 0}, reason);
  }
  std::optional<std::int64_t> number(std::string_view key, std::size_t part) const { return file_.parts_[part].header.integer(key); }

  // Adds the tensors of one file.
  void add(const std::string& path) {
    auto mapping = FileMapping::open(path, options_.mapping);
    const auto bytes = mapping->bytes();
    GgufHeader header = GgufHeader::read(bytes, path, options_.limits);
    const std::size_t part = file_.parts_.size();
    file_.parts_.push_back({std::move(mapping), std::move(header)});
    const std::vector<GgufTensor>& tensors = file_.parts_.back().header.tensors();
    const std::uint64_t total = file_.tensors_.size() + tensors.size();
    if (total > options_.limits.max_tensors)
      throw LimitError({.path = path, .field = "tensor_count", .offset = 8}, "max_tensors", options_.limits.max_tensors, total);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const GgufTensor& tensor = tensors[i];
      std::vector<Index> extents;
      for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent) extents.push_back(static_cast<Index>(*extent));
      const auto* const begin = reinterpret_cast<const char*>(bytes.data());
      GgufStored stored{.name = tensor.name,
                        .shape = Shape(std::span<const Index>(extents)),
                        .type = tensor.type,
                        .bytes = bytes.subspan(static_cast<std::size_t>(tensor.offset), static_cast<std::size_t>(tensor.bytes)),
                        .part = part,
                        .number = i,
                        .offset = static_cast<std::uint64_t>(tensor.name.data() - begin) - 8};
      if (!file_.by_name_.emplace(stored.name, file_.tensors_.size()).second)
        throw FormatError(file_.where(stored), concat("another part holds a tensor ", quoted(stored.name), " too"));
      file_.tensors_.push_back(std::move(stored));
    }
  }

  void read_parts(const std::string& path, std::int64_t count) {
    const auto five_digits = [](std::int64_t value) {
      const std::string text = concat(value);
      return text.size() < 5 ? std::string(5 - text.size(), '0') + text : text;
    };
    const auto ending = [&](std::int64_t part) { return concat("-", five_digits(part + 1), "-of-", five_digits(count), ".gguf"); };
    const std::int64_t first = number("split.no", 0).value_or(-1);
    if (first < 0 || first >= count) fail("split.no", 0, concat("is ", first, ": not one of ", count, " parts"));
    if (first > 0) fail("split.no", 0, concat("this is part ", first + 1, " of ", count, ": open the first, \"...", ending(0), "\""));
    const std::string name = path.substr(path.rfind('/') + 1);
    if (!name.ends_with(ending(0)))
      fail("split.count", 0, concat("is ", count, ": the name of the first part ends with ", ending(0), ", and the others lie beside it"));
    for (std::int64_t part = 1; part < count; ++part) {
      const GgufHeader& header = file_.parts_.front().header;
      add(contained_path(parent_path(path), name.substr(0, name.size() - ending(0).size()) + ending(part),
                         header.where(*header.find("split.count")), options_.symlinks));
      const auto at = static_cast<std::size_t>(part);
      if (const auto no = number("split.no", at); no != part)
        fail("split.no", at, no ? concat("is ", *no, ", expected ", part) : "is missing");
      if (const auto all = number("split.count", at); all != count)
        fail("split.count", at, all ? concat("is ", *all, ", in the first part ", count) : "is missing");
    }
    const auto total = number("split.tensors.count", 0);
    if (total != static_cast<std::int64_t>(file_.tensors_.size()))
      fail("split.tensors.count", 0, total ? concat("is ", *total, ", the parts hold ", file_.tensors_.size()) : "is missing");
  }

  GgufOptions options_;
  GgufFile file_;
};

PLUME_FUNCTION GgufFile read_gguf(const std::string& path, const GgufOptions& options) try {
  return GgufReader(options).read(path);
} catch (...) {
  rethrow_memory_failure("a GGUF header");
}

PLUME_FUNCTION Where GgufFile::where(const GgufStored& stored) const {
  return {.path = parts_[stored.part].header.path(),
          .field = concat("tensors[", stored.number, "] ", quoted(stored.name)),
          .offset = stored.offset,
          .line = {},
          .column = {}};
}

namespace gguf_file_detail {

inline std::optional<DType> dtype_of(GgmlType type) {
  constexpr std::pair<GgmlType, DType> same[] = {{GgmlType::f32, DType::f32}, {GgmlType::f16, DType::f16}, {GgmlType::bf16, DType::bf16},
                                                 {GgmlType::f64, DType::f64}, {GgmlType::i8, DType::i8},   {GgmlType::i32, DType::i32}};
  for (const auto& each : same)
    if (each.first == type) return each.second;
  return std::nullopt;
}

// Whole numbers of another width as i32; false: one does not fit.
template <class T>
bool narrow_into(std::int32_t* into, std::span<const std::byte> from) {
  for (std::size_t at = 0; at < from.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, from.data() + at, sizeof value);
    const auto narrowed = narrow<std::int32_t>(value);
    if (!narrowed) return false;
    *into++ = *narrowed;
  }
  return true;
}

}  // namespace gguf_file_detail

PLUME_FUNCTION Tensor GgufFile::tensor(std::string_view name) const {
  const GgufStored* const stored = find(name);
  if (stored == nullptr)
    throw ConfigError({.path = path(), .field = concat("tensor ", quoted(name))}, "the file has no tensor of this name");
  if (const auto dtype = gguf_file_detail::dtype_of(stored->type))
    return tensor_over(stored->bytes, parts_[stored->part].mapping, stored->shape, *dtype);
  const GgmlLayout& layout = layout_of(stored->type);
  if (!can_dequantise(stored->type))
    throw ConfigError(where(*stored), concat("has type ", layout.name, "; plume reads ", dequantised_types(), ": convert it first"));
  if (stored->type == GgmlType::i16 || stored->type == GgmlType::i64) {
    const Tensor result = Tensor::empty(stored->shape, DType::i32);
    auto* const into = result.writable<std::int32_t>();
    if (!(stored->type == GgmlType::i16 ? gguf_file_detail::narrow_into<std::int16_t>(into, stored->bytes)
                                        : gguf_file_detail::narrow_into<std::int64_t>(into, stored->bytes)))
      throw ConfigError(where(*stored), "holds a number beyond 32 bits");
    return result;
  }
  const Tensor result = Tensor::empty(stored->shape);
  const std::span<float> into(result.writable<float>(), static_cast<std::size_t>(result.size()));
  const Index weights = layout.weights, bytes = layout.bytes, blocks = result.size() / weights;
  parallel_for(blocks, std::max<Index>(1, 16'384 / weights), 4 * result.size(), [&](Index begin, Index end) {
    const auto part = [](Index from, Index to, Index width) {
      return std::pair(static_cast<std::size_t>(from * width), static_cast<std::size_t>((to - from) * width));
    };
    const auto in = part(begin, end, bytes), out = part(begin, end, weights);
    dequantise(stored->type, stored->bytes.subspan(in.first, in.second), into.subspan(out.first, out.second));
  });
  return result;
}

}  // namespace plume::inline PLUME_ABI
#endif
