#pragma once
// GGUF files taken apart, changed in one place, and written again; and sound ones with tensors.
#include <algorithm>
#include <cstring>
#include <optional>

#include "malformed/gguf_writer.hpp"
#include "malformed/mutate.hpp"

namespace plume_test {

struct GgufParts {
  struct Entry {
    std::string key;
    std::uint32_t type = 0, element = 0;
    std::uint64_t count = 1;
    std::vector<std::string> values;  // texts, or numbers as bytes
  };
  struct TensorEntry {
    std::string name;
    std::uint32_t rank = 0, type = 0;
    std::vector<std::uint64_t> shape;
    std::uint64_t offset = 0;
  };
  std::uint64_t version = 3, tensor_count = 0, count = 0;
  std::vector<Entry> entries;
  std::vector<TensorEntry> tensors;
  std::string data;  // what follows, from the next multiple of 32

  std::string bytes() const {
    std::string out = "GGUF" + little(static_cast<std::uint32_t>(version)) + little(tensor_count) + little(count);
    for (const Entry& each : entries) {
      out += gguf_text(each.key) + little(each.type);
      if (each.type == 9) out += little(each.element) + little(each.count);
      for (const std::string& value : each.values) out += each.element == 8 ? gguf_text(value) : value;
    }
    for (const TensorEntry& each : tensors) {
      out += gguf_text(each.name) + little(each.rank);
      for (const std::uint64_t extent : each.shape) out += little(extent);
      out += little(each.type) + little(each.offset);
    }
    if (!data.empty()) out.resize((out.size() + 31) / 32 * 32);
    return out + data;
  }
};
inline std::optional<GgufParts> take_gguf(std::string_view bytes) {
  constexpr std::size_t width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  const std::size_t whole = bytes.size();
  bool ok = bytes.starts_with("GGUF");
  const auto number = [&](std::size_t size) {
    std::uint64_t value = 0;
    ok = ok && bytes.size() >= size;
    if (!ok) return value;
    std::memcpy(&value, bytes.data(), size);
    bytes.remove_prefix(size);
    return value;
  };
  const auto word = [&] { return static_cast<std::uint32_t>(number(4)); };
  const auto text = [&](std::uint64_t size) {
    ok = ok && size <= bytes.size();
    const std::string part(ok ? bytes.substr(0, size) : std::string_view());
    if (ok) bytes.remove_prefix(size);
    return part;
  };
  if (ok) bytes.remove_prefix(4);
  GgufParts parts;
  parts.version = number(4), parts.tensor_count = number(8), parts.count = number(8);
  for (std::uint64_t i = 0; ok && i < parts.count; ++i) {
    GgufParts::Entry entry;
    entry.key = text(number(8));
    entry.type = entry.element = word();
    if (entry.type == 9) entry.element = word(), entry.count = number(8);
    ok = ok && entry.element < 13 && entry.element != 9;
    for (std::uint64_t k = 0; ok && k < entry.count; ++k)
      entry.values.push_back(text(entry.element == 8 ? number(8) : width[entry.element]));
    parts.entries.push_back(std::move(entry));
  }
  for (std::uint64_t i = 0; ok && i < parts.tensor_count; ++i) {
    GgufParts::TensorEntry tensor;
    tensor.name = text(number(8));
    tensor.rank = word();
    for (std::uint32_t d = 0; ok && d < tensor.rank; ++d) tensor.shape.push_back(number(8));
    tensor.type = word(), tensor.offset = number(8);
    parts.tensors.push_back(std::move(tensor));
  }
  if (ok && parts.tensor_count > 0) {
    bytes.remove_prefix(std::min((32 - (whole - bytes.size()) % 32) % 32, bytes.size()));
    parts.data = bytes;
  }
  return ok ? std::optional(std::move(parts)) : std::nullopt;
}

inline constexpr std::uint64_t gguf_sizes[] = {
    0, 1, 2, 7, 13, 32, 64, 256, 65'536, std::uint64_t{1} << 31, std::uint64_t{1} << 62, ~std::uint64_t{0}};

// True: the counts are to fit again.
inline bool damage_entry(GgufParts& parts, Dice& dice) {
  const std::size_t at = dice.below(parts.entries.size());
  GgufParts::Entry& entry = parts.entries[at];
  switch (dice.below(14)) {
    case 0:
      parts.entries.erase(parts.entries.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 1:
      parts.entries.push_back(GgufParts::Entry(entry));
      break;
    case 2:
      std::swap(entry, dice.pick(parts.entries));
      break;
    case 3:
      entry.type = static_cast<std::uint32_t>(dice.below(15));
      break;
    case 4:
      entry.element = static_cast<std::uint32_t>(dice.below(15));
      break;
    case 5:
      entry.count = dice.chance(50) ? entry.count + dice.below(3) - 1 : dice.pick(gguf_sizes);
      break;
    case 6:
      (dice.chance(50) ? parts.count : parts.tensor_count) = dice.pick(gguf_sizes);
      return false;
    case 7:
      mutate_bytes(entry.key, dice, {});
      break;
    case 8:
      if (entry.type == 9 && !entry.values.empty()) {
        entry.values.erase(entry.values.begin() + static_cast<std::ptrdiff_t>(dice.below(entry.values.size())));
        entry.count = entry.values.size();
      }
      break;
    case 9:
      if (entry.type == 9 && !entry.values.empty()) {
        entry.values.push_back(dice.pick(entry.values));
        entry.count = entry.values.size();
      }
      break;
    case 10:
      if (!entry.values.empty()) std::swap(dice.pick(entry.values), dice.pick(entry.values));
      break;
    default:
      if (!entry.values.empty()) {
        std::string& value = dice.pick(entry.values);
        if (entry.element == 8)
          mutate_bytes(value, dice, {});
        else if (!value.empty())
          value[dice.below(value.size())] = static_cast<char>(static_cast<unsigned char>(dice.below(256)));
      }
  }
  return true;
}

inline void damage_tensor(GgufParts& parts, Dice& dice) {
  const std::size_t at = dice.below(parts.tensors.size());
  GgufParts::TensorEntry& tensor = parts.tensors[at];
  switch (dice.below(12)) {
    case 0:
      parts.tensors.erase(parts.tensors.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 1:
      parts.tensors.push_back(GgufParts::TensorEntry(tensor));
      break;
    case 2:
      std::swap(tensor, dice.pick(parts.tensors));
      break;
    case 3:
      tensor.type = static_cast<std::uint32_t>(dice.below(44));
      break;
    case 4:
      if (!tensor.shape.empty()) dice.pick(tensor.shape) = dice.pick(gguf_sizes);
      break;
    case 5:
      if (!tensor.shape.empty()) std::swap(dice.pick(tensor.shape), dice.pick(tensor.shape));
      break;
    case 6:
      tensor.shape.push_back(dice.between(1, 2));
      tensor.rank = static_cast<std::uint32_t>(tensor.shape.size());
      break;
    case 7:
      tensor.rank = static_cast<std::uint32_t>(dice.below(7));
      break;
    case 8:
      tensor.offset = dice.chance(70) ? tensor.offset + 32 * dice.below(5) - 64 : dice.pick(gguf_sizes);
      break;
    case 9:
      mutate_bytes(tensor.name, dice, {});
      break;
    case 10:
      parts.data.resize(dice.below(parts.data.size() + 64));
      break;
    default:  // any bytes are weights
      for (std::size_t i = dice.below(8); i > 0 && !parts.data.empty(); --i)
        parts.data[dice.below(parts.data.size())] = static_cast<char>(static_cast<unsigned char>(dice.below(256)));
  }
}

inline void damage_gguf(std::string& bytes, Dice& dice, std::string_view other) {
  auto parts = take_gguf(bytes);
  if (!parts || (parts->entries.empty() && parts->tensors.empty()) || dice.chance(5)) return mutate_bytes(bytes, dice, other);
  bool recount = true;
  if (!parts->tensors.empty() && (parts->entries.empty() || dice.chance(60)))
    damage_tensor(*parts, dice);
  else
    recount = damage_entry(*parts, dice);
  if (recount) parts->count = parts->entries.size(), parts->tensor_count = parts->tensors.size();
  bytes = parts->bytes();
}

// Tensors of all types, of random bytes.
inline void add_tensors(GgufParts& parts, Dice& dice, std::string_view prefix) {
  struct Type {
    std::uint32_t number;
    std::uint64_t weights, bytes;
  };
  constexpr Type types[] = {{0, 1, 4},    {1, 1, 2},      {2, 32, 18},    {3, 32, 20},    {6, 32, 22},    {7, 32, 24},
                            {8, 32, 34},  {10, 256, 84},  {11, 256, 110}, {12, 256, 144}, {13, 256, 176}, {14, 256, 210},
                            {20, 32, 18}, {23, 256, 136}, {24, 1, 1},     {25, 1, 2},     {26, 1, 4},     {27, 1, 8},
                            {28, 1, 8},   {30, 1, 2},     {39, 32, 17},   {19, 256, 50}};
  for (std::size_t i = dice.between(1, 4); i > 0; --i) {
    const Type type = dice.pick(types);
    parts.data.resize((parts.data.size() + 31) / 32 * 32);  // in front, so that no part of the file is a whole one
    GgufParts::TensorEntry tensor{
        plume::concat(prefix, i), static_cast<std::uint32_t>(dice.between(1, 4)), type.number, {}, parts.data.size()};
    std::uint64_t blocks = 1;
    for (std::uint32_t d = 0; d < tensor.rank; ++d) {
      tensor.shape.push_back(dice.between(1, 2));
      blocks *= tensor.shape.back();
    }
    tensor.shape[0] *= type.weights;
    for (std::uint64_t k = 0; k < blocks * type.bytes; ++k)
      parts.data.push_back(static_cast<char>(static_cast<unsigned char>(dice.below(256))));
    if (type.number == 27 && dice.chance(70))
      std::fill(parts.data.begin() + static_cast<std::ptrdiff_t>(tensor.offset), parts.data.end(), '\0');
    parts.tensors.push_back(std::move(tensor));
  }
  parts.tensor_count = parts.tensors.size();
}
inline std::vector<std::optional<std::string>> sound_gguf_tensors(Dice& dice) {
  GgufParts parts;
  parts.version = dice.between(2, 3);
  parts.entries = {{"general.architecture", 8, 8, 1, {"test"}}, {"general.alignment", 4, 4, 1, {little(32u)}}};
  if (dice.chance(50)) parts.entries.push_back({"numbers", 9, 5, 3, {little(1), little(2), little(3)}});
  parts.count = parts.entries.size();
  add_tensors(parts, dice, "w");
  return {parts.bytes()};
}
inline std::vector<std::optional<std::string>> sound_gguf_parts(Dice& dice) {
  std::vector<GgufParts> parts(2);
  std::size_t tensors = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    add_tensors(parts[i], dice, i == 0 ? "v" : "w");
    tensors += parts[i].tensors.size();
  }
  std::vector<std::optional<std::string>> files;
  for (std::size_t i = 0; i < 2; ++i) {
    parts[i].entries = {{"split.no", 2, 2, 1, {little(static_cast<std::uint16_t>(i))}},
                        {"split.count", 2, 2, 1, {little(std::uint16_t{2})}},
                        {"split.tensors.count", 5, 5, 1, {little(static_cast<std::int32_t>(tensors))}}};
    parts[i].count = 3;
    files.emplace_back(parts[i].bytes());
  }
  return files;
}

}  // namespace plume_test
