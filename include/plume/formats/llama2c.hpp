#pragma once
// llama2.c .bin, version 0 (karpathy/llama2.c, export.py legacy_export and run.c): seven int32, then float32 groups, each over all layers.
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
#include "plume/formats/named_tensor.hpp"
#include "plume/formats/refuse_pickle.hpp"

namespace plume::inline PLUME_ABI {

struct Llama2cHeader {
  std::int32_t dim = 0, hidden_dim = 0, n_layers = 0, n_heads = 0, n_kv_heads = 0, vocab_size = 0, seq_len = 0;
  bool shared_classifier = true;  // the output layer is tok_embeddings; stored as the sign of vocab_size
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
  return {};
}

// Bytes of the whole file; nothing when they overflow 64 bits.
inline std::optional<std::uint64_t> file_bytes(const Llama2cHeader& h) {
  std::optional<std::uint64_t> total = 28;
  for (const Group& group : groups(h)) {
    const std::uint64_t rows = group.rows == 0 ? 1 : static_cast<std::uint64_t>(group.rows),
                        copies = group.per_layer ? static_cast<std::uint64_t>(h.n_layers) : 1;
    const std::uint64_t extents[] = {rows, static_cast<std::uint64_t>(group.columns), copies};
    const auto bytes = checked_bytes(extents, 32);
    if (!bytes || !(total = checked_add(*total, *bytes))) return std::nullopt;
  }
  return total;
}

inline Shape shape_of(const Group& group) { return group.rows == 0 ? Shape{group.columns} : Shape{group.rows, group.columns}; }
inline std::string name_of(const Group& group, std::int32_t layer) {
  return group.per_layer ? concat("layers.", layer, ".", group.name) : std::string(group.name);
}

}  // namespace llama2c_detail

// Reads a version 0 file, mapped and without a copy. The file must have exactly the size that its header implies.
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
  for (const Field& field : fields) {
    const std::uint64_t at = reader.position();
    field.value = reader.little<std::int32_t>(field.name);
    if (at == 0 && field.value == 0x616b3432)
      fail("magic", 0, "is llama2.c version 1 or 2; version 0 is read (export.py --version 0), or use safetensors");
    if (&field.value == &h.vocab_size && field.value < 0 && field.value != std::numeric_limits<std::int32_t>::min()) {
      h.shared_classifier = false;
      h.vocab_size = -h.vocab_size;
    }
    if (field.value <= 0) fail(field.name, at, concat("is ", field.value, ", must be at least 1"));
    if (const auto asked = static_cast<std::uint64_t>(field.value); asked > field.allowed)
      throw LimitError(Where{.path = path, .field = std::string(field.name), .offset = at, .line = {}, .column = {}}, field.limit,
                       field.allowed, asked);
  }
  if (const auto wrong = llama2c_detail::impossible(h); !wrong.second.empty()) {
    const auto field = std::find_if(std::begin(fields), std::end(fields), [&](const Field& one) { return one.name == wrong.first; });
    fail(wrong.first, static_cast<std::uint64_t>(field - std::begin(fields)) * 4, wrong.second);
  }
  const auto wanted = llama2c_detail::file_bytes(h);
  if (!wanted) fail("header", 0, "the sizes overflow 64 bits; this is no llama2.c file");
  if (*wanted != file->bytes().size())
    fail("header", 0, concat("implies a file of ", *wanted, " bytes, this one has ", file->bytes().size()));
  for (const auto& group : llama2c_detail::groups(h)) {
    const Shape shape = llama2c_detail::shape_of(group);
    for (std::int32_t layer = 0; layer < (group.per_layer ? h.n_layers : 1); ++layer) {
      const auto bytes = reader.bytes(static_cast<std::uint64_t>(shape.size()) * 4, group.name);
      if (group.name != "freqs")
        result.tensors.push_back({llama2c_detail::name_of(group, layer), tensor_over(bytes, file, shape, DType::f32)});
    }
  }
  reader.done("weights");
  return result;
}

// Writes a version 0 file, all or nothing, from the tensors that Llama2cFile lists (any order, any float dtype). The rotary tables are
// computed for theta 10000. ArgumentError: an impossible header, a missing tensor, another shape.
inline void write_llama2c(const std::string& path, const Llama2cFile& model, const FileSystem& files = FileSystem()) {
  const Llama2cHeader& h = model.header;
  const auto wrong = llama2c_detail::impossible(h);
  require(wrong.second.empty(), "[write_llama2c] ", wrong.first, " ", wrong.second);
  std::vector<std::pair<std::string_view, const Tensor*>> order;  // an absent tensor stands for the rotary tables
  std::vector<std::pair<std::string_view, const Tensor*>> known;
  for (const NamedTensor& named : model.tensors) known.emplace_back(named.name, &named.tensor);
  std::sort(known.begin(), known.end());
  for (const auto& group : llama2c_detail::groups(h)) {
    for (std::int32_t layer = 0; layer < (group.per_layer ? h.n_layers : 1); ++layer) {
      if (group.name == "freqs") {
        order.emplace_back(group.name, nullptr);
        continue;
      }
      const std::string name = llama2c_detail::name_of(group, layer);
      const auto found = std::lower_bound(known.begin(), known.end(), std::pair<std::string_view, const Tensor*>(name, nullptr));
      require(found != known.end() && found->first == name, "[write_llama2c] the tensor ", quoted(name), " is missing");
      require(found->second->has_data() && found->second->shape() == llama2c_detail::shape_of(group), "[write_llama2c] ", quoted(name),
              " has shape ", found->second->shape(), ", needed is ", llama2c_detail::shape_of(group));
      order.push_back(*found);
    }
  }
  require(order.size() == known.size() + 1, "[write_llama2c] ", known.size(), " tensors given, the format holds ", order.size() - 1);
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
        for (const std::int32_t value :
             {h.dim, h.hidden_dim, h.n_layers, h.n_heads, h.n_kv_heads, h.shared_classifier ? h.vocab_size : -h.vocab_size, h.seq_len})
          out.little(value);
        for (const auto& item : order) {
          if (!item.second)
            write_tables(out);
          else if (item.second->dtype() == DType::f32 && item.second->is_dense())
            out.write(bytes_of(*item.second));
          else
            out.write(bytes_of(item.second->to(DType::f32)));
        }
      },
      files);
}

}  // namespace plume::inline PLUME_ABI
