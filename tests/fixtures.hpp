#pragma once
// Reads fixtures for tests with nlohmann-json, so that they do not lean on the library's own readers.
#include <map>
#include <string>

#include "plume/tensor/tensor.hpp"

namespace plume_test {

using Tensors = std::map<std::string, plume::Tensor>;

// All tensors of a safetensors file (F64, F32, I32).
Tensors read_safetensors(const std::string& path);

// The objects {"shape", "data": base64 of little-endian f32} of a JSON file.
Tensors read_base64_json(const std::string& path);

// Numbers, booleans (0, 1) and texts of a JSON object; `key` names an object inside the file, empty is the file itself.
struct Settings {
  std::map<std::string, double> numbers;
  std::map<std::string, std::string> texts;
};
Settings read_settings(const std::string& path, const std::string& key = {});

}  // namespace plume_test
