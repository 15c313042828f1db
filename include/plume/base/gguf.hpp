#pragma once
// The header of a GGUF file, versions 2 and 3 [ggml-org/ggml docs/gguf.md]: key-values and the table of tensors, checked against the file
// before anything of it is used. Nothing is copied: values are views of the bytes that were given.
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/bytes.hpp"
#include "plume/base/config.hpp"
#include "plume/base/limits.hpp"

namespace plume::inline PLUME_ABI {

enum class GgufType : std::uint8_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

struct GgufEntry {
  std::string_view key;
  GgufType type, element;            // element: of an array, else the type itself
  std::uint64_t count;               // of elements; 1 where it is no array
  std::span<const std::byte> bytes;  // of the value: fixed-width numbers, or texts with their lengths
  std::uint64_t begin;               // of the entry, in the file; its key's length stands there
  std::uint64_t offset;              // of the value
  bool is_array() const { return type == GgufType::array; }
};

// Types of a tensor's elements, by ggml's numbers. 4, 5, 31 to 33 and 36 to 38 were removed.
enum class GgmlType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
  nvfp4 = 40,
  q1_0 = 41
};

// How a type lies in a file: blocks of some weights in some bytes [ggml src/ggml-common.h].
struct GgmlLayout {
  std::string_view name = {};
  std::uint16_t weights = 0, bytes = 0;  // of a block; 0: the type was removed
};
inline constexpr std::array<GgmlLayout, 42> ggml_layouts = {
    {{"F32", 1, 4},        {"F16", 1, 2},        {"Q4_0", 32, 18},     {"Q4_1", 32, 20},    {"Q4_2", 0, 0},       {"Q4_3", 0, 0},
     {"Q5_0", 32, 22},     {"Q5_1", 32, 24},     {"Q8_0", 32, 34},     {"Q8_1", 32, 36},    {"Q2_K", 256, 84},    {"Q3_K", 256, 110},
     {"Q4_K", 256, 144},   {"Q5_K", 256, 176},   {"Q6_K", 256, 210},   {"Q8_K", 256, 292},  {"IQ2_XXS", 256, 66}, {"IQ2_XS", 256, 74},
     {"IQ3_XXS", 256, 98}, {"IQ1_S", 256, 50},   {"IQ4_NL", 32, 18},   {"IQ3_S", 256, 110}, {"IQ2_S", 256, 82},   {"IQ4_XS", 256, 136},
     {"I8", 1, 1},         {"I16", 1, 2},        {"I32", 1, 4},        {"I64", 1, 8},       {"F64", 1, 8},        {"IQ1_M", 256, 56},
     {"BF16", 1, 2},       {"Q4_0_4_4", 0, 0},   {"Q4_0_4_8", 0, 0},   {"Q4_0_8_8", 0, 0},  {"TQ1_0", 256, 54},   {"TQ2_0", 256, 66},
     {"IQ4_NL_4_4", 0, 0}, {"IQ4_NL_4_8", 0, 0}, {"IQ4_NL_8_8", 0, 0}, {"MXFP4", 32, 17},   {"NVFP4", 64, 36},    {"Q1_0", 128, 18}}};
constexpr const GgmlLayout& layout_of(GgmlType type) { return ggml_layouts[static_cast<std::size_t>(type)]; }

struct GgufTensor {
  std::string_view name;
  std::vector<std::uint64_t> shape;  // as the file lists it: the fastest dimension first
  GgmlType type;
  std::uint64_t offset, bytes;  // in the file
};

class GgufHeader {
 public:
  // The header of a whole file. FormatError: no GGUF, a field that breaks the format, keys or tensors twice, tensors outside the file.
  // LimitError: more than Limits allows. `bytes` outlives the result.
  PLUME_FUNCTION static GgufHeader read(std::span<const std::byte> bytes, std::string path, const Limits& limits = {});

  const std::string& path() const { return path_; }
  std::uint32_t version() const { return version_; }
  const std::vector<GgufEntry>& entries() const { return entries_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufEntry* find(std::string_view key) const {
    for (const GgufEntry& entry : entries_)
      if (entry.key == key) return &entry;
    return nullptr;
  }

  // Values of one kind; nothing where the key is absent. ConfigError: a value of another type. Whole numbers may be of any width and sign.
  PLUME_FUNCTION std::optional<std::string_view> text(std::string_view key) const;
  PLUME_FUNCTION std::optional<std::int64_t> integer(std::string_view key) const;
  PLUME_FUNCTION std::optional<bool> boolean(std::string_view key) const;
  PLUME_FUNCTION std::optional<double> number(std::string_view key) const;  // f32, f64 or whole
  // Arrays; empty where the key is absent.
  PLUME_FUNCTION std::vector<std::string_view> texts(std::string_view key) const;
  PLUME_FUNCTION std::vector<std::int64_t> integers(std::string_view key) const;
  PLUME_FUNCTION std::vector<float> reals(std::string_view key) const;  // f32, or whole numbers
  Where where(const GgufEntry& entry) const {
    return {.path = path_, .field = std::string(entry.key), .offset = entry.offset, .line = {}, .column = {}};
  }

 private:
  [[noreturn]] PLUME_FUNCTION void wrong_type(const GgufEntry& entry, std::string_view wanted) const;

  std::string path_;
  std::uint32_t version_ = 0;
  std::vector<GgufEntry> entries_;
  std::vector<GgufTensor> tensors_;
};

// Whether a file begins as GGUF does.
inline bool looks_like_gguf(std::string_view beginning) { return beginning.starts_with("GGUF"); }

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "plume/base/checked.hpp"
#include "plume/base/error.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

namespace gguf_details {

inline constexpr std::array<std::uint8_t, 13> width = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
inline constexpr std::array<std::string_view, 13> name = {"u8",   "i8",   "u16",   "i16", "u32", "i32", "f32",
                                                          "bool", "text", "array", "u64", "i64", "f64"};

// A key as errors name it: what is no plain name is quoted, and cut.
inline std::string shown(std::string_view key) {
  const bool is_plain = key.size() <= 200 && std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return is_plain ? std::string(key) : quoted(key);
}

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& path, const Limits& limits)
      : size_(bytes.size()), in_(bytes, path), limits_(limits), path_(path) {}

  void read(std::uint32_t& version, std::vector<GgufEntry>& entries, std::vector<GgufTensor>& tensors) {
    const std::string_view magic = in_.raw_text(4, "magic", "max_gguf_key", limits_.max_gguf_key);
    if (magic != "GGUF") throw FormatError(at("magic", 0), concat("is ", quoted(magic), ", expected \"GGUF\""));
    version = in_.little<std::uint32_t>("version");
    if ((version & 0xffff) == 0 && version != 0)
      throw FormatError(at("version", 4), "a big-endian GGUF: the byte order is not this machine's");
    if (version != 2 && version != 3) throw FormatError(at("version", 4), concat("is ", version, "; 2 and 3 are read"));
    const std::uint64_t tensor_count = in_.little<std::uint64_t>("tensor_count"),
                        entry_count = in_.little<std::uint64_t>("metadata_kv_count");
    if (entry_count > in_.left() / 14)
      throw FormatError(at("metadata_kv_count", 16), concat("asks for ", entry_count, " entries, ", in_.left(), " bytes are left"));
    if (tensor_count > in_.left() / 33)
      throw FormatError(at("tensor_count", 8), concat("asks for ", tensor_count, " tensors, ", in_.left(), " bytes are left"));
    if (tensor_count > limits_.max_tensors) throw LimitError(at("tensor_count", 8), "max_tensors", limits_.max_tensors, tensor_count);
    std::unordered_set<std::string_view> keys;
    for (std::uint64_t i = 0; i < entry_count; ++i) {
      entries.push_back(entry(i));
      if (!keys.insert(entries.back().key).second)
        throw FormatError(at(shown(entries.back().key), entries.back().begin), concat("duplicate key ", quoted(entries.back().key)));
    }
    read_tensors(tensor_count, entries, tensors);
  }

 private:
  Where at(std::string_view field, std::uint64_t offset) const {
    return {.path = path_, .field = std::string(field), .offset = offset, .line = {}, .column = {}};
  }
  GgufType type(std::string_view field) {
    const std::uint64_t offset = in_.position();
    const auto value = in_.little<std::uint32_t>(field);
    if (value >= width.size()) throw FormatError(at(field, offset), concat("there is no value type ", value));
    return static_cast<GgufType>(value);
  }
  void skip(GgufType element, std::uint64_t count, std::string_view field) {
    const auto index = static_cast<std::size_t>(element);
    if (element == GgufType::text) {
      in_.count(count, 8, field, "max_gguf_elements", limits_.max_gguf_elements);
      for (std::uint64_t i = 0; i < count; ++i) {
        const std::string part = count > 1 ? concat(field, "[", i, "]") : std::string(field);
        in_.skip(in_.little<std::uint64_t>(part), part);
      }
      return;
    }
    in_.count(count, width[index], field, "max_gguf_elements", limits_.max_gguf_elements);
    const std::uint64_t offset = in_.position();
    const auto bytes = in_.bytes(count * width[index], field);
    if (element != GgufType::boolean) return;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      if (std::to_integer<unsigned>(bytes[i]) > 1)
        throw FormatError(at(field, offset + i), concat("is ", std::to_integer<unsigned>(bytes[i]), ": a bool is 0 or 1"));
  }

  GgufEntry entry(std::uint64_t number) {
    GgufEntry result{};
    const std::string field = concat("metadata[", number, "]");
    result.begin = in_.position();
    const std::uint64_t length = in_.little<std::uint64_t>(concat(field, ".key"));
    if (length == 0) throw FormatError(at(concat(field, ".key"), result.begin), "the key is empty");
    result.key = in_.text(length, concat(field, ".key"), "max_gguf_key", limits_.max_gguf_key);
    const std::string key = shown(result.key);
    result.type = result.element = type(key);
    result.count = 1;
    if (result.is_array()) {
      const std::uint64_t offset = in_.position();
      result.element = type(key);
      if (result.element == GgufType::array) throw FormatError(at(key, offset), "an array of arrays is not read");
      result.count = in_.little<std::uint64_t>(key);
    }
    result.offset = in_.position();
    ByteReader value = in_;
    skip(result.element, result.count, key);
    result.bytes = value.bytes(in_.position() - result.offset, key);
    return result;
  }

  void read_tensors(std::uint64_t count, const std::vector<GgufEntry>& entries, std::vector<GgufTensor>& tensors) {
    std::uint64_t alignment = 32;
    for (const GgufEntry& each : entries) {
      if (each.key != "general.alignment") continue;
      if (each.type != GgufType::u32)
        throw FormatError(at(each.key, each.offset), concat("is of type ", name[static_cast<std::size_t>(each.type)], ", expected u32"));
      std::uint32_t value = 0;
      std::memcpy(&value, each.bytes.data(), sizeof value);
      alignment = value;
      if (alignment > limits_.max_gguf_alignment)
        throw LimitError(at(each.key, each.offset), "max_gguf_alignment", limits_.max_gguf_alignment, alignment);
      if (!std::has_single_bit(alignment))
        throw FormatError(at(each.key, each.offset), concat("is ", alignment, ": must be a power of two"));
    }
    std::unordered_set<std::string_view> names;
    std::vector<std::uint64_t> offsets;  // of the tensors' offsets, for errors
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::string field = concat("tensors[", i, "]");
      GgufTensor tensor{};
      std::uint64_t begin = in_.position();
      const std::uint64_t length = in_.little<std::uint64_t>(concat(field, ".name"));
      if (length == 0 || length > 63)
        throw FormatError(at(concat(field, ".name"), begin), concat("has ", length, " bytes: a name has 1 to 63"));
      tensor.name = in_.text(length, concat(field, ".name"), "max_gguf_key", limits_.max_gguf_key);
      if (!names.insert(tensor.name).second)
        throw FormatError(at(concat(field, ".name"), begin), concat("duplicate tensor ", quoted(tensor.name)));
      begin = in_.position();
      const auto rank = in_.little<std::uint32_t>(concat(field, ".n_dims"));
      if (rank < 1 || rank > 4)
        throw FormatError(at(concat(field, ".n_dims"), begin), concat("is ", rank, ": a tensor has 1 to 4 dimensions"));
      begin = in_.position();
      for (std::uint32_t d = 0; d < rank; ++d) {
        const std::uint64_t here = in_.position();
        tensor.shape.push_back(in_.little<std::uint64_t>(concat(field, ".dims")));
        if (tensor.shape.back() == 0 || !narrow<std::int64_t>(tensor.shape.back()))
          throw FormatError(at(concat(field, ".dims"), here), "a dimension is at least 1 and below 2^63");
      }
      const auto elements = checked_product(tensor.shape);
      if (!elements) throw FormatError(at(concat(field, ".dims"), begin), "the number of elements overflows");
      begin = in_.position();
      const auto number = in_.little<std::uint32_t>(concat(field, ".type"));
      const GgmlLayout block = number < ggml_layouts.size() ? ggml_layouts[number] : GgmlLayout{};
      if (block.bytes == 0)
        throw FormatError(at(concat(field, ".type"), begin),
                          concat("unknown or removed tensor type ", number, block.name.empty() ? "" : " ", block.name));
      tensor.type = static_cast<GgmlType>(number);
      const std::uint64_t weights = block.weights;
      if (tensor.shape[0] % weights != 0)
        throw FormatError(at(concat(field, ".dims"), begin),
                          concat("rows of ", tensor.shape[0], " are no multiple of a block of ", weights));
      const auto bytes = checked_mul(static_cast<std::uint64_t>(*elements) / weights, std::uint64_t{block.bytes});
      if (!bytes) throw FormatError(at(concat(field, ".dims"), begin), "the number of bytes overflows");
      tensor.bytes = *bytes;
      offsets.push_back(in_.position());
      tensor.offset = in_.little<std::uint64_t>(concat(field, ".offset"));
      tensors.push_back(std::move(tensor));
    }
    if (count == 0) return;
    const std::uint64_t data = *checked_align_up(in_.position(), alignment);
    std::vector<std::size_t> order(tensors.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto fail = [&](std::size_t i, std::string_view reason) {
      throw FormatError(at(concat("tensors[", i, "].offset"), offsets[i]), reason);
    };
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].offset % alignment != 0) fail(i, concat("is ", tensors[i].offset, ": no multiple of the alignment ", alignment));
      const auto begin = checked_add(tensors[i].offset, data);
      const auto end = begin ? checked_add(*begin, tensors[i].bytes) : std::nullopt;
      if (!end || *end > size_) fail(i, concat("the tensor's ", tensors[i].bytes, " bytes lie past the end of the file"));
      tensors[i].offset = *begin;
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return tensors[a].offset < tensors[b].offset; });
    for (std::size_t i = 0; i + 1 < order.size(); ++i)
      if (tensors[order[i]].offset + tensors[order[i]].bytes > tensors[order[i + 1]].offset)
        fail(order[i + 1], concat("overlaps tensors[", order[i], "]"));
  }

  std::uint64_t size_;
  ByteReader in_;
  const Limits& limits_;
  const std::string& path_;
};

inline std::int64_t integer_at(const GgufEntry& entry, std::size_t i) {
  const auto read = [&]<class T>(T) {
    T value;
    std::memcpy(&value, entry.bytes.data() + i * sizeof value, sizeof value);
    return static_cast<std::int64_t>(value);  // a u64 beyond the range becomes negative: no id, count or size
  };
  switch (entry.element) {
    case GgufType::u8:
      return read(std::uint8_t{});
    case GgufType::i8:
      return read(std::int8_t{});
    case GgufType::u16:
      return read(std::uint16_t{});
    case GgufType::i16:
      return read(std::int16_t{});
    case GgufType::u32:
      return read(std::uint32_t{});
    case GgufType::i32:
      return read(std::int32_t{});
    case GgufType::u64:
      return read(std::uint64_t{});
    default:
      return read(std::int64_t{});
  }
}
inline bool is_integer(GgufType type) {
  using enum GgufType;
  return type <= i32 || type == u64 || type == i64;
}

}  // namespace gguf_details

PLUME_FUNCTION GgufHeader GgufHeader::read(std::span<const std::byte> bytes, std::string path, const Limits& limits) {
  GgufHeader header;
  header.path_ = std::move(path);
  gguf_details::Reader(bytes, header.path_, limits).read(header.version_, header.entries_, header.tensors_);
  return header;
}

PLUME_FUNCTION void GgufHeader::wrong_type(const GgufEntry& entry, std::string_view wanted) const {
  const std::string_view element = gguf_details::name[static_cast<std::size_t>(entry.element)];
  throw ConfigError(where(entry), concat("is ", entry.is_array() ? "an array of " : "of type ", element, ", expected ", wanted));
}

PLUME_FUNCTION std::optional<std::string_view> GgufHeader::text(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (entry->type != GgufType::text) wrong_type(*entry, "text");
  const std::vector<std::string_view> all = texts(key);
  return all[0];
}
PLUME_FUNCTION std::optional<std::int64_t> GgufHeader::integer(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (!gguf_details::is_integer(entry->type)) wrong_type(*entry, "a whole number");
  return gguf_details::integer_at(*entry, 0);
}
PLUME_FUNCTION std::optional<double> GgufHeader::number(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (entry->type == GgufType::f32) {
    float value = 0;
    std::memcpy(&value, entry->bytes.data(), sizeof value);
    return static_cast<double>(value);
  }
  if (entry->type == GgufType::f64) {
    double value = 0;
    std::memcpy(&value, entry->bytes.data(), sizeof value);
    return value;
  }
  if (!gguf_details::is_integer(entry->type)) wrong_type(*entry, "a number");
  return static_cast<double>(gguf_details::integer_at(*entry, 0));
}
PLUME_FUNCTION std::optional<bool> GgufHeader::boolean(std::string_view key) const {
  const GgufEntry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (entry->type != GgufType::boolean) wrong_type(*entry, "bool");
  return std::to_integer<unsigned>(entry->bytes[0]) != 0;
}
PLUME_FUNCTION std::vector<std::string_view> GgufHeader::texts(std::string_view key) const {
  const GgufEntry* entry = find(key);
  std::vector<std::string_view> out;
  if (entry == nullptr) return out;
  if (entry->element != GgufType::text) wrong_type(*entry, "an array of text");
  const auto* const bytes = reinterpret_cast<const char*>(entry->bytes.data());
  out.reserve(static_cast<std::size_t>(entry->count));
  for (std::size_t at = 0; at < entry->bytes.size();) {
    std::uint64_t length = 0;
    std::memcpy(&length, bytes + at, sizeof length);
    out.emplace_back(bytes + at + sizeof length, static_cast<std::size_t>(length));
    at += sizeof length + static_cast<std::size_t>(length);
  }
  return out;
}
PLUME_FUNCTION std::vector<std::int64_t> GgufHeader::integers(std::string_view key) const {
  const GgufEntry* entry = find(key);
  std::vector<std::int64_t> out;
  if (entry == nullptr) return out;
  if (!entry->is_array() || !gguf_details::is_integer(entry->element)) wrong_type(*entry, "an array of whole numbers");
  for (std::size_t i = 0; i < entry->count; ++i) out.push_back(gguf_details::integer_at(*entry, i));
  return out;
}
PLUME_FUNCTION std::vector<float> GgufHeader::reals(std::string_view key) const {
  const GgufEntry* entry = find(key);
  std::vector<float> out;
  if (entry == nullptr) return out;
  if (!entry->is_array() || (entry->element != GgufType::f32 && !gguf_details::is_integer(entry->element)))
    wrong_type(*entry, "an array of f32");
  for (std::size_t i = 0; i < entry->count; ++i) {
    float value = 0;
    if (entry->element == GgufType::f32)
      std::memcpy(&value, entry->bytes.data() + i * sizeof value, sizeof value);
    else
      value = static_cast<float>(gguf_details::integer_at(*entry, i));
    out.push_back(value);
  }
  return out;
}

}  // namespace plume::inline PLUME_ABI
#endif
