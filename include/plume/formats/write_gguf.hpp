#pragma once
// Writing GGUF files, version 3, all or nothing; the same input gives the same bytes, which are those of Python's gguf package.
#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plume/base/file_system.hpp"
#include "plume/base/gguf.hpp"
#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI {

namespace write_gguf_detail {

template <class T>
concept Number = std::same_as<T, bool> || std::same_as<T, float> || std::same_as<T, double> ||
    (std::integral<T> && !std::same_as<T, char> && !std::same_as<T, wchar_t>);

template <Number T>
constexpr GgufType type_of() {
  if constexpr (std::same_as<T, bool>) return GgufType::boolean;
  if constexpr (std::same_as<T, float>) return GgufType::f32;
  if constexpr (std::same_as<T, double>) return GgufType::f64;
  constexpr GgufType whole[2][4] = {{GgufType::u8, GgufType::u16, GgufType::u32, GgufType::u64},
                                    {GgufType::i8, GgufType::i16, GgufType::i32, GgufType::i64}};
  return whole[T(-1) < T(1)][sizeof(T) == 8 ? 3 : sizeof(T) / 2];
}

}  // namespace write_gguf_detail

// A value of a key: a number of the type that C++ gives it, text, or an array of either.
class GgufValue {
 public:
  template <write_gguf_detail::Number T>
  GgufValue(T number) : type_(write_gguf_detail::type_of<T>()), element_(type_) {
    append(number);
  }
  GgufValue(std::string_view text) : type_(GgufType::text), element_(type_) { append(text); }
  GgufValue(const std::string& text) : GgufValue(std::string_view(text)) {}
  GgufValue(const char* text) : GgufValue(std::string_view(text)) {}
  template <write_gguf_detail::Number T>
  GgufValue(const std::vector<T>& numbers) : GgufValue(write_gguf_detail::type_of<T>(), numbers.size()) {
    for (const T number : numbers) append(number);
  }
  GgufValue(const std::vector<std::string>& texts) : GgufValue(GgufType::text, texts.size()) {
    for (const std::string& text : texts) append(std::string_view(text));
  }
  GgufValue(const std::vector<std::string_view>& texts) : GgufValue(GgufType::text, texts.size()) {
    for (const std::string_view text : texts) append(text);
  }
  // As another file has it.
  GgufValue(const GgufEntry& entry)
      : type_(entry.type),
        element_(entry.element),
        count_(entry.count),
        bytes_(reinterpret_cast<const char*>(entry.bytes.data()), entry.bytes.size()) {}

  GgufType type() const { return type_; }
  GgufType element() const { return element_; }        // of an array, else the type itself
  std::uint64_t count() const { return count_; }       // of elements; 1 where it is no array
  const std::string& bytes() const { return bytes_; }  // as the file holds it, without types and count

 private:
  GgufValue(GgufType element, std::size_t count) : type_(GgufType::array), element_(element), count_(count) {}
  template <write_gguf_detail::Number T>
  void append(T number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  void append(std::string_view text) {
    append(std::uint64_t{text.size()});
    bytes_.append(text);
  }

  GgufType type_, element_;
  std::uint64_t count_ = 1;
  std::string bytes_;
};

using GgufKeyValues = std::vector<std::pair<std::string, GgufValue>>;

// A tensor of any float type and what it becomes in the file: F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K.
struct GgufWeight {
  std::string name;  // 1 to 63 bytes
  Tensor tensor;
  GgmlType type = GgmlType::f32;
};

// The wished type where blocks of it fill the rows of the tensor; else the nearest that does: Q8_0 for K types, then F16. F32 for vectors,
// as llama.cpp wants it.
PLUME_FUNCTION GgmlType gguf_type_for(const Tensor& tensor, GgmlType wish);

// Writes a file. Key-values and tensors keep their order; "general.alignment" is obeyed (32 without it), and "general.quantization_version"
// is added where blocks are written. ArgumentError: a key or name that the format does not allow or that comes twice, "split." keys, a
// tensor without memory, rows that blocks of the type do not fill. NumericError: a weight that the type cannot hold. IoError.
PLUME_FUNCTION void write_gguf(const std::string& path, const GgufKeyValues& key_values, const std::vector<GgufWeight>& tensors,
                               const FileSystem& files = FileSystem());

// The bytes of a file that holds key-values alone.
PLUME_FUNCTION std::string gguf_header(const GgufKeyValues& key_values);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <unordered_set>

#include "plume/base/atomic_save.hpp"
#include "plume/base/error.hpp"
#include "plume/base/text.hpp"
#include "plume/base/utf8.hpp"
#include "plume/formats/gguf_quantise.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"

namespace plume::inline PLUME_ABI {

namespace write_gguf_detail {

inline void check_name(std::string_view what, std::string_view name, std::size_t longest, std::unordered_set<std::string_view>& known) {
  require(!name.empty() && name.size() <= longest && utf8_error(name) == name.size(), "[write_gguf] ", what, " ", quoted(name), " has ",
          name.size(), " bytes: expected 1 to ", longest, ", in UTF-8");
  require(known.insert(name).second, "[write_gguf] ", what, " ", quoted(name), " comes twice");
}

inline std::uint64_t alignment_of(const GgufKeyValues& key_values) {
  for (const auto& each : key_values) {
    if (each.first != "general.alignment") continue;
    std::uint32_t alignment = 0;
    require(each.second.type() == GgufType::u32, "[write_gguf] general.alignment must be a u32");
    std::memcpy(&alignment, each.second.bytes().data(), sizeof alignment);
    require(std::has_single_bit(alignment) && alignment <= 65'536, "[write_gguf] general.alignment is ", alignment,
            ": must be a power of two up to 65536");
    return alignment;
  }
  return 32;
}

inline bool is_quantised(GgmlType type) { return layout_of(type).weights > 1; }

// Bytes of a tensor in the file, and the padding behind it.
inline std::uint64_t bytes_of(const GgufWeight& weight) {
  const GgmlLayout& layout = layout_of(weight.type);
  return static_cast<std::uint64_t>(weight.tensor.size()) / layout.weights * layout.bytes;
}
inline void pad(FileWriter& out, std::uint64_t alignment) {
  const std::string zeros(static_cast<std::size_t>((alignment - out.written() % alignment) % alignment), '\0');
  out.write(zeros);
}

template <class T>
void put_number(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
inline void put_text(std::string& out, std::string_view text) {
  put_number(out, std::uint64_t{text.size()});
  out.append(text);
}

inline std::string header_of(const GgufKeyValues& key_values, const std::vector<GgufWeight>& tensors, std::uint64_t alignment) {
  std::string out = "GGUF";
  put_number(out, std::uint32_t{3});
  put_number(out, std::uint64_t{tensors.size()});
  put_number(out, std::uint64_t{key_values.size()});
  for (const auto& each : key_values) {
    const GgufValue& value = each.second;
    put_text(out, each.first);
    put_number(out, static_cast<std::uint32_t>(value.type()));
    if (value.type() == GgufType::array) {
      put_number(out, static_cast<std::uint32_t>(value.element()));
      put_number(out, value.count());
    }
    out.append(value.bytes());
  }
  std::uint64_t offset = 0;
  for (const GgufWeight& each : tensors) {
    const auto extents = each.tensor.shape().extents();
    put_text(out, each.name);
    put_number(out, static_cast<std::uint32_t>(std::max<std::size_t>(1, extents.size())));
    if (extents.empty()) put_number(out, std::uint64_t{1});
    for (auto extent = extents.rbegin(); extent != extents.rend(); ++extent) put_number(out, static_cast<std::uint64_t>(*extent));
    put_number(out, static_cast<std::uint32_t>(each.type));
    put_number(out, offset);
    offset = *checked_align_up(offset + bytes_of(each), alignment);
  }
  return out;
}

// Some rows at a time, so that no second copy of a large tensor is made.
inline void write_weight(FileWriter& out, const GgufWeight& weight) {
  const Tensor& tensor = weight.tensor;
  const GgmlLayout& layout = layout_of(weight.type);
  const Index columns = tensor.columns(), rows_at_once = std::max<Index>(1, (1 << 20) / std::max<Index>(1, columns));
  std::vector<std::byte> blocks;
  for (Index row = 0; row < tensor.rows(); row += rows_at_once) {
    const Tensor part = tensor.rows(row, std::min(row + rows_at_once, tensor.rows())).to(DType::f32);
    const std::span<const float> numbers = part.span<float>();
    if (const auto at = gguf_quantise::unfit(*gguf_quantise::find(weight.type), numbers))
      throw NumericError(concat("tensor ", quoted(weight.name), " has ", numbers[*at], " at row ", row + static_cast<Index>(*at) / columns,
                                ", column ", static_cast<Index>(*at) % columns, ", which ", layout.name, " cannot hold"));
    const Index count = part.size() / layout.weights;
    blocks.resize(static_cast<std::size_t>(count) * layout.bytes);
    parallel_for(count, std::max<Index>(1, 4096 / layout.weights), 32 * part.size(), [&](Index begin, Index end) {
      const auto first = static_cast<std::size_t>(begin), size = static_cast<std::size_t>(end - begin);
      quantise(weight.type, numbers.subspan(first * layout.weights, size * layout.weights),
               std::span(blocks).subspan(first * layout.bytes, size * layout.bytes));
    });
    out.write(std::span<const std::byte>(blocks));
  }
}

}  // namespace write_gguf_detail

PLUME_FUNCTION GgmlType gguf_type_for(const Tensor& tensor, GgmlType wish) {
  if (tensor.rank() < 2) return GgmlType::f32;
  const auto fits = [&](GgmlType type) { return tensor.columns() % layout_of(type).weights == 0; };
  if (fits(wish)) return wish;
  return fits(GgmlType::q8_0) ? GgmlType::q8_0 : GgmlType::f16;
}

PLUME_FUNCTION void write_gguf(const std::string& path, const GgufKeyValues& key_values, const std::vector<GgufWeight>& tensors,
                               const FileSystem& files) try {
  std::unordered_set<std::string_view> keys, names;
  for (const auto& each : key_values) {
    write_gguf_detail::check_name("the key", each.first, 65'535, keys);
    require(!each.first.starts_with("split."), "[write_gguf] the key ", quoted(each.first),
            " speaks of parts, but the file is written whole");
  }
  for (const GgufWeight& each : tensors) {
    write_gguf_detail::check_name("the tensor", each.name, 63, names);
    require(can_quantise(each.type), "[write_gguf] ", quoted(each.name), ": type ", static_cast<std::uint32_t>(each.type),
            " is not written; known: ", quantised_types());
    const GgmlLayout& layout = layout_of(each.type);
    require(each.tensor.has_data() && each.tensor.size() > 0, "[write_gguf] ", quoted(each.name), " has no memory or no elements");
    require(each.tensor.columns() % layout.weights == 0, "[write_gguf] ", quoted(each.name), " has rows of ", each.tensor.columns(),
            ", but ", layout.name, " has blocks of ", layout.weights, ": gguf_type_for() finds a type that fits");
  }
  const std::uint64_t alignment = write_gguf_detail::alignment_of(key_values);
  GgufKeyValues all = key_values;
  const bool has_blocks =
      std::any_of(tensors.begin(), tensors.end(), [](const GgufWeight& each) { return write_gguf_detail::is_quantised(each.type); });
  if (has_blocks && !keys.contains("general.quantization_version")) all.emplace_back("general.quantization_version", std::uint32_t{2});
  atomic_save(
      path,
      [&](FileWriter& out) {
        out.write(write_gguf_detail::header_of(all, tensors, alignment));
        write_gguf_detail::pad(out, alignment);
        for (const GgufWeight& each : tensors) {
          write_gguf_detail::write_weight(out, each);
          write_gguf_detail::pad(out, alignment);
        }
      },
      files);
} catch (...) {
  rethrow_memory_failure("a GGUF file");
}

PLUME_FUNCTION std::string gguf_header(const GgufKeyValues& key_values) { return write_gguf_detail::header_of(key_values, {}, 32); }

}  // namespace plume::inline PLUME_ABI
#endif
