#pragma once
// llama2.c .bin (karpathy/llama2.c, export.py, run.c, runq.c). Version 0: seven int32, then float32 groups, each over all layers. Version
// 1: 256 bytes of header, then the same groups without rotary tables, norms first. Version 2: as 1, matrices in int8 with a float32 scale
// for each group_size weights.
#include <algorithm>
#include <cmath>
#include <limits>
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
#include "plume/base/limits.hpp"
#include "plume/base/sort_stably.hpp"
#include "plume/formats/named_tensor.hpp"
#include "plume/formats/refuse_pickle.hpp"

namespace plume::inline PLUME_ABI {

struct Llama2cHeader {
  std::int32_t dim = 0, hidden_dim = 0, n_layers = 0, n_heads = 0, n_kv_heads = 0, vocab_size = 0, seq_len = 0;
  bool shared_classifier = true;  // the output layer is tok_embeddings; in version 0 the sign of vocab_size
  std::int32_t version = 0;       // 0, 1 or 2
  std::int32_t group_size = 64;   // of version 2: divides the size of every matrix
};

struct Llama2cFile {
  Llama2cHeader header;
  // f32, weights (out, in): tok_embeddings, layers.<i>.{att_norm, wq, wk, wv, wo, ffn_norm, w1, w2, w3}, norm, wcls unless shared.
  // w1 is the gate, w3 up, w2 down; rotary pairs are interleaved.
  std::vector<NamedTensor> tensors;
};

struct Llama2cOptions {
  Limits limits = {};
  Mapping mapping = Mapping::map;
};

namespace llama2c_detail {

struct Group {
  std::string_view name;
  std::int64_t rows, columns;  // rows 0: a vector
  bool per_layer;
};

inline constexpr std::uint32_t magic = 0x616b3432;  // of versions 1 and 2
inline constexpr std::uint64_t old_header = 28, new_header = 256;

// The groups in the order of the file; "freqs" are the two rotary tables, which a reader skips.
inline std::vector<Group> groups(const Llama2cHeader& h) {
  const std::int64_t dim = h.dim, hidden = h.hidden_dim, head = dim / h.n_heads, kv = head * h.n_kv_heads;
  std::vector<Group> all{{"tok_embeddings", h.vocab_size, dim, false},
                         {"att_norm", 0, dim, true},
                         {"wq", dim, dim, true},
                         {"wk", kv, dim, true},
                         {"wv", kv, dim, true},
                         {"wo", dim, dim, true},
                         {"ffn_norm", 0, dim, true},
                         {"w1", hidden, dim, true},
                         {"w2", dim, hidden, true},
                         {"w3", hidden, dim, true},
                         {"norm", 0, dim, false},
                         {"freqs", 2 * std::int64_t{h.seq_len}, head / 2, false}};
  if (h.version != 0) {  // the vectors come first
    all.pop_back();
    sort_stably(all, [](const Group& a, const Group& b) { return a.rows == 0 && b.rows != 0; });
  }
  if (!h.shared_classifier) all.push_back({"wcls", h.vocab_size, dim, false});
  return all;
}

// Why a header is impossible: the field and the reason; an empty reason when all is well. Sizes against Limits are the reader's.
inline std::pair<std::string_view, std::string> impossible(const Llama2cHeader& h) {
  const std::pair<std::string_view, std::int32_t> counts[] = {
      {"dim", h.dim},         {"hidden_dim", h.hidden_dim}, {"n_layers", h.n_layers},
      {"n_heads", h.n_heads}, {"n_kv_heads", h.n_kv_heads}, {"vocab_size", h.vocab_size},
      {"seq_len", h.seq_len}};
  for (const auto& count : counts)
    if (count.second <= 0) return {count.first, concat("is ", count.second, ", must be at least 1")};
  if (h.dim % h.n_heads != 0) return {"n_heads", concat(h.n_heads, " does not divide dim ", h.dim)};
  if (h.dim / h.n_heads % 2 != 0)
    return {"n_heads", concat("gives heads of odd size ", h.dim / h.n_heads, "; rotary positions need pairs")};
  if (h.n_heads % h.n_kv_heads != 0) return {"n_kv_heads", concat(h.n_kv_heads, " does not divide n_heads ", h.n_heads)};
  if (h.version != 2) return {};
  if (h.group_size < 1) return {"group_size", concat("is ", h.group_size, ", must be at least 1")};
  for (const Group& group : groups(h))
    if (group.rows % h.group_size * (group.columns % h.group_size) % h.group_size != 0)
      return {"group_size", concat(h.group_size, " does not divide ", group.name, " of ", group.rows, " x ", group.columns)};
  return {};
}

inline bool is_quantised(const Llama2cHeader& h, const Group& group) { return h.version == 2 && group.rows > 0; }

// Bytes of the whole file; nothing when they overflow 64 bits.
inline std::optional<std::uint64_t> file_bytes(const Llama2cHeader& h) {
  std::optional<std::uint64_t> total = h.version == 0 ? old_header : new_header;
  for (const Group& group : groups(h)) {
    const std::uint64_t rows = group.rows == 0 ? 1 : static_cast<std::uint64_t>(group.rows),
                        copies = group.per_layer ? static_cast<std::uint64_t>(h.n_layers) : 1;
    const std::uint64_t extents[] = {rows, static_cast<std::uint64_t>(group.columns), copies};
    auto bytes = checked_bytes(extents, 32);
    if (bytes && is_quantised(h, group)) bytes = *bytes / 4 + *bytes / static_cast<std::uint64_t>(h.group_size);
    if (!bytes || !(total = checked_add(*total, *bytes))) return std::nullopt;
  }
  return total;
}

// A matrix of version 2: whole numbers, then a scale for each group of them.
inline Tensor dequantised(std::span<const std::byte> levels, std::span<const std::byte> scales, const Shape& shape,
                          std::int32_t group_size) {
  const Tensor result = Tensor::empty(shape);
  float* into = result.writable<float>();
  const auto* level = reinterpret_cast<const std::int8_t*>(levels.data());
  for (std::size_t at = 0; at < scales.size(); at += sizeof(float)) {
    float scale;
    std::memcpy(&scale, scales.data() + at, sizeof scale);
    for (std::int32_t i = 0; i < group_size; ++i) *into++ = static_cast<float>(*level++) * scale;
  }
  return result;
}
// As export.py: the largest weight of a group is 127 times its scale; levels are rounded to nearest, halves to even.
inline void write_quantised(FileWriter& out, const Tensor& tensor, std::string_view name, std::int32_t group_size) {
  const Tensor dense = tensor.to(DType::f32);
  const auto weights = dense.span<float>();
  const auto size = static_cast<std::size_t>(group_size);
  std::vector<float> scales;
  std::vector<std::int8_t> levels(weights.size());
  for (std::size_t group = 0; group < weights.size(); group += size) {
    float largest = 0;
    for (const float weight : weights.subspan(group, size)) {
      if (!std::isfinite(weight)) throw NumericError(concat("[write_llama2c] ", quoted(name), " is not finite: int8 cannot hold that"));
      largest = std::max(largest, std::abs(weight));
    }
    scales.push_back(largest / 127.0f);
    for (std::size_t i = group; i < group + size && scales.back() > 0; ++i)
      levels[i] = static_cast<std::int8_t>(std::clamp(std::nearbyint(weights[i] / scales.back()), -127.0f, 127.0f));
  }
  out.write(std::as_bytes(std::span(levels)));
  out.write(std::as_bytes(std::span(scales)));
}

inline Shape shape_of(const Group& group) { return group.rows == 0 ? Shape{group.columns} : Shape{group.rows, group.columns}; }
inline std::string name_of(const Group& group, std::int32_t layer) {
  return group.per_layer ? concat("layers.", layer, ".", group.name) : std::string(group.name);
}

}  // namespace llama2c_detail

// Reads a file, mapped and without a copy; matrices of version 2 become f32. The file must have exactly the size that its header implies.
inline Llama2cFile read_llama2c(const std::string& path, const Llama2cOptions& options = {}) {
  const auto file = FileMapping::open(path, options.mapping);
  refuse_pickle(file->bytes(), path);
  ByteReader reader(file->bytes(), path);
  Llama2cFile result;
  Llama2cHeader& h = result.header;
  const auto fail = [&](std::string_view field, std::uint64_t offset, std::string_view reason) {
    throw FormatError(Where{.path = path, .field = std::string(field), .offset = offset, .line = {}, .column = {}}, reason);
  };
  struct Field {
    std::string_view name;
    std::int32_t& value;
    std::string_view limit;
    std::uint64_t allowed;
  };
  const std::uint64_t any = std::numeric_limits<std::int32_t>::max();
  const Field fields[] = {{"dim", h.dim, "", any},
                          {"hidden_dim", h.hidden_dim, "", any},
                          {"n_layers", h.n_layers, "max_layers", options.limits.max_layers},
                          {"n_heads", h.n_heads, "", any},
                          {"n_kv_heads", h.n_kv_heads, "", any},
                          {"vocab_size", h.vocab_size, "max_vocabulary", options.limits.max_vocabulary},
                          {"seq_len", h.seq_len, "max_context", options.limits.max_context}};
  std::uint64_t first = 0;  // offset of the seven
  if (ByteReader beginning(file->bytes(), path);
      beginning.left() >= 4 && beginning.little<std::uint32_t>("magic") == llama2c_detail::magic) {
    reader.skip(4, "magic");
    h.version = reader.little<std::int32_t>("version");
    if (h.version != 1 && h.version != 2) fail("version", 4, concat("is ", h.version, "; 0, 1 and 2 are read"));
    first = 8;
  }
  for (const Field& field : fields) {
    const std::uint64_t at = reader.position();
    field.value = reader.little<std::int32_t>(field.name);
    if (h.version == 0 && &field.value == &h.vocab_size && field.value < 0 && field.value != std::numeric_limits<std::int32_t>::min()) {
      h.shared_classifier = false;
      h.vocab_size = -h.vocab_size;
    }
    if (field.value <= 0) fail(field.name, at, concat("is ", field.value, ", must be at least 1"));
    if (const auto asked = static_cast<std::uint64_t>(field.value); asked > field.allowed)
      throw LimitError(Where{.path = path, .field = std::string(field.name), .offset = at, .line = {}, .column = {}}, field.limit,
                       field.allowed, asked);
  }
  if (h.version != 0) {
    const auto shared = reader.little<std::uint8_t>("shared_classifier");
    if (shared > 1) fail("shared_classifier", 36, concat("is ", shared, ": must be 0 or 1"));
    h.shared_classifier = shared == 1;
    if (h.version == 2) h.group_size = reader.little<std::int32_t>("group_size");
    reader.skip(llama2c_detail::new_header - reader.position(), "header");
  }
  if (const auto wrong = llama2c_detail::impossible(h); !wrong.second.empty()) {
    const auto field = std::find_if(std::begin(fields), std::end(fields), [&](const Field& one) { return one.name == wrong.first; });
    const std::uint64_t number = static_cast<std::uint64_t>(field - std::begin(fields));  // behind the seven: group_size
    fail(wrong.first, field == std::end(fields) ? 37 : first + 4 * number, wrong.second);
  }
  const auto wanted = llama2c_detail::file_bytes(h);
  if (!wanted) fail("header", 0, "the sizes overflow 64 bits; this is no llama2.c file");
  if (*wanted != file->bytes().size())
    fail("header", 0, concat("implies a file of ", *wanted, " bytes, this one has ", file->bytes().size()));
  for (const auto& group : llama2c_detail::groups(h)) {
    const Shape shape = llama2c_detail::shape_of(group);
    for (std::int32_t layer = 0; layer < (group.per_layer ? h.n_layers : 1); ++layer) {
      const auto size = static_cast<std::uint64_t>(shape.size());
      const std::string name = llama2c_detail::name_of(group, layer);
      if (llama2c_detail::is_quantised(h, group)) {
        const auto levels = reader.bytes(size, name), scales = reader.bytes(size / static_cast<std::uint64_t>(h.group_size) * 4, name);
        result.tensors.push_back({name, llama2c_detail::dequantised(levels, scales, shape, h.group_size)});
      } else if (const auto bytes = reader.bytes(size * 4, name); group.name != "freqs") {
        result.tensors.push_back({name, tensor_over(bytes, file, shape, DType::f32)});
      }
    }
  }
  reader.done("weights");
  return result;
}

// Writes a file of the version that the header says, all or nothing, from the tensors that Llama2cFile lists (any order, any float dtype).
// The rotary tables of version 0 are computed for theta 10000. ArgumentError: an impossible header, a missing tensor, another shape.
// NumericError: a matrix of version 2 that is not finite.
// runq.c leaves out the weights of a row that fill no group: for it group_size must divide dim and hidden_dim.
inline void write_llama2c(const std::string& path, const Llama2cFile& model, const FileSystem& files = FileSystem()) {
  const Llama2cHeader& h = model.header;
  const auto wrong = llama2c_detail::impossible(h);
  require(wrong.second.empty(), "[write_llama2c] ", wrong.first, " ", wrong.second);
  require(h.version >= 0 && h.version <= 2, "[write_llama2c] version is ", h.version, ": 0, 1 and 2 are written");
  struct Item {
    const Tensor* tensor;  // absent: the rotary tables
    bool is_quantised;
    std::string_view name;
  };
  std::vector<Item> order;
  std::vector<std::pair<std::string_view, const Tensor*>> known;
  for (const NamedTensor& named : model.tensors) known.emplace_back(named.name, &named.tensor);
  std::sort(known.begin(), known.end());
  for (const auto& group : llama2c_detail::groups(h)) {
    for (std::int32_t layer = 0; layer < (group.per_layer ? h.n_layers : 1); ++layer) {
      if (group.name == "freqs") {
        order.push_back({nullptr, false, group.name});
        continue;
      }
      const std::string name = llama2c_detail::name_of(group, layer);
      const auto found = std::lower_bound(known.begin(), known.end(), std::pair<std::string_view, const Tensor*>(name, nullptr));
      require(found != known.end() && found->first == name, "[write_llama2c] the tensor ", quoted(name), " is missing");
      require(found->second->has_data() && found->second->shape() == llama2c_detail::shape_of(group), "[write_llama2c] ", quoted(name),
              " has shape ", found->second->shape(), ", needed is ", llama2c_detail::shape_of(group));
      order.push_back({found->second, llama2c_detail::is_quantised(h, group), found->first});
    }
  }
  const std::size_t held = order.size() - (h.version == 0 ? 1 : 0);
  require(held == known.size(), "[write_llama2c] ", known.size(), " tensors given, the format holds ", held);
  const std::int32_t head = h.dim / h.n_heads;
  const auto write_tables = [&](FileWriter& out) {
    for (const bool sine : {false, true})
      for (std::int32_t position = 0; position < h.seq_len; ++position)
        for (std::int32_t pair = 0; pair < head / 2; ++pair) {  // in float, as the exporter
          const float frequency = 1.0f / std::pow(10000.0f, static_cast<float>(2 * pair) / static_cast<float>(head));
          const float angle = static_cast<float>(position) * frequency;
          out.little(sine ? std::sin(angle) : std::cos(angle));
        }
  };
  atomic_save(
      path,
      [&](FileWriter& out) {
        if (h.version != 0) {
          out.little(llama2c_detail::magic);
          out.little(h.version);
        }
        const std::int32_t sign = h.version == 0 && !h.shared_classifier ? -1 : 1;
        for (const std::int32_t value : {h.dim, h.hidden_dim, h.n_layers, h.n_heads, h.n_kv_heads, sign * h.vocab_size, h.seq_len})
          out.little(value);
        if (h.version != 0) {
          out.little(static_cast<std::uint8_t>(h.shared_classifier ? 1 : 0));
          if (h.version == 2) out.little(h.group_size);
          out.write(std::string(static_cast<std::size_t>(llama2c_detail::new_header - out.written()), '\0'));
        }
        for (const Item& item : order) {
          if (!item.tensor)
            write_tables(out);
          else if (item.is_quantised)
            llama2c_detail::write_quantised(out, *item.tensor, item.name, h.group_size);
          else if (item.tensor->dtype() == DType::f32 && item.tensor->is_dense())
            out.write(bytes_of(*item.tensor));
          else
            out.write(bytes_of(item.tensor->to(DType::f32)));
        }
      },
      files);
}

}  // namespace plume::inline PLUME_ABI
