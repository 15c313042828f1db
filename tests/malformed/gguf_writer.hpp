#pragma once
// GGUF files as bytes, also wrong ones.
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "plume/base/text.hpp"

namespace plume_test {

template <class Number>
std::string little(Number value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
inline std::string gguf_text(std::string_view text) { return plume::concat(little(static_cast<std::uint64_t>(text.size())), text); }
inline std::string gguf_entry(std::string_view key, std::uint32_t type, std::string_view value) {
  return plume::concat(gguf_text(key), little(type), value);
}
inline std::string gguf_string(std::string_view key, std::string_view text) { return gguf_entry(key, 8, gguf_text(text)); }
inline std::string gguf_u32(std::string_view key, std::uint32_t value) { return gguf_entry(key, 4, little(value)); }
inline std::string gguf_bool(std::string_view key, bool value) { return gguf_entry(key, 7, std::string(1, value ? '\1' : '\0')); }
inline std::string gguf_array(std::string_view key, std::uint32_t element, std::uint64_t count, std::string_view values) {
  return gguf_entry(key, 9, plume::concat(little(element), little(count), values));
}
inline std::string gguf_texts(std::string_view key, const std::vector<std::string>& texts) {
  std::string values;
  for (const std::string& text : texts) values += gguf_text(text);
  return gguf_array(key, 8, texts.size(), values);
}
template <class Number>
std::string gguf_numbers(std::string_view key, const std::vector<Number>& numbers) {
  std::string values;
  for (const Number number : numbers) values += little(number);
  return gguf_array(key, std::is_same_v<Number, float> ? 6 : 5, numbers.size(), values);
}
inline std::string gguf_tensor(std::string_view name, const std::vector<std::uint64_t>& shape, std::uint32_t type, std::uint64_t offset) {
  std::string out = gguf_text(name) + little(static_cast<std::uint32_t>(shape.size()));
  for (const std::uint64_t extent : shape) out += little(extent);
  return out + little(type) + little(offset);
}
inline std::string gguf_file(const std::vector<std::string>& entries, const std::vector<std::string>& tensors = {},
                             std::string_view data = "", std::uint32_t version = 3) {
  std::string out =
      "GGUF" + little(version) + little(static_cast<std::uint64_t>(tensors.size())) + little(static_cast<std::uint64_t>(entries.size()));
  for (const std::string& entry : entries) out += entry;
  for (const std::string& tensor : tensors) out += tensor;
  if (!data.empty()) out.resize((out.size() + 31) / 32 * 32);
  return out.append(data);
}

}  // namespace plume_test
