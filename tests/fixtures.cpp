#include "fixtures.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "test_data.hpp"

namespace plume_test {

namespace {

plume::Shape shape_of(const nlohmann::json& extents) {
  const auto list = extents.get<std::vector<plume::Index>>();
  return plume::Shape(std::span<const plume::Index>(list));
}

std::string decode_base64(const std::string& text) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t word = 0;
  int bits = 0;
  for (const char letter : text) {
    if (letter == '=') break;
    const std::size_t value = alphabet.find(letter);
    if (value == std::string::npos) FAIL("not base64");
    word = (word << 6) | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<char>((word >> bits) & 0xffu));
    }
  }
  return bytes;
}

plume::Tensor tensor_of(const std::string& bytes, const plume::Shape& shape, plume::DType dtype) {
  const plume::Tensor tensor = plume::Tensor::empty(shape, dtype);
  REQUIRE(bytes.size() == static_cast<std::size_t>(shape.size()) * plume::bytes_of(dtype));
  std::memcpy(tensor.storage()->data(), bytes.data(), bytes.size());
  return tensor;
}

}  // namespace

Tensors read_safetensors(const std::string& path) {
  const std::string file = read_all(path);
  std::uint64_t header_size = 0;
  REQUIRE(file.size() >= 8);
  std::memcpy(&header_size, file.data(), 8);
  const auto header = nlohmann::json::parse(file.substr(8, header_size));
  const std::map<std::string, plume::DType> dtypes{{"F64", plume::DType::f64}, {"F32", plume::DType::f32}, {"I32", plume::DType::i32}};
  Tensors tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    tensors[name] = tensor_of(file.substr(8 + header_size + begin, end - begin), shape_of(entry["shape"]), dtypes.at(entry["dtype"]));
  }
  return tensors;
}

Tensors read_base64_json(const std::string& path) {
  Tensors tensors;
  const auto file = nlohmann::json::parse(read_all(path));
  for (const auto& [name, entry] : file.items()) {
    if (!entry.contains("data")) continue;
    tensors[name] = tensor_of(decode_base64(entry["data"]), shape_of(entry["shape"]), plume::DType::f32);
  }
  return tensors;
}

Settings read_settings(const std::string& path, const std::string& key) {
  const auto file = nlohmann::json::parse(read_all(path));
  Settings settings;
  for (const auto& [name, value] : (key.empty() ? file : file.at(key)).items()) {
    if (value.is_number())
      settings.numbers[name] = value.get<double>();
    else if (value.is_boolean())
      settings.numbers[name] = value.get<bool>() ? 1 : 0;
    else if (value.is_string())
      settings.texts[name] = value.get<std::string>();
  }
  return settings;
}

}  // namespace plume_test
