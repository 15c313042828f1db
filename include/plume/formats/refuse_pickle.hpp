#pragma once
// Pickle can run code when read; plume never reads it.
#include <span>
#include <string>
#include <string_view>

#include "plume/base/error.hpp"

namespace plume::inline PLUME_ABI {

// FormatError with the way to safetensors when the bytes look like a PyTorch file: a zip archive, or pickle protocol 2 to 5 followed
// by an opcode (the third byte of a llama2.c file whose dim starts with the same two bytes is 0).
inline void refuse_pickle(std::span<const std::byte> bytes, std::string_view path) {
  const auto byte = [&](std::size_t i) { return i < bytes.size() ? std::to_integer<unsigned>(bytes[i]) : 0u; };
  const bool zip = byte(0) == 'P' && byte(1) == 'K' && byte(2) == 3 && byte(3) == 4;
  const bool pickle = byte(0) == 0x80 && byte(1) >= 2 && byte(1) <= 5 && byte(2) != 0;
  if (!zip && !pickle) return;
  throw FormatError(Where{.path = std::string(path), .field = "magic", .offset = 0},
                    "is a PyTorch pickle file, which plume never reads because pickle can run code; convert it to safetensors: python -c "
                    "\"import torch, safetensors.torch as s; s.save_file(torch.load('IN', weights_only=True), 'OUT.safetensors', "
                    "metadata={'format': 'pt'})\"");
}

}  // namespace plume::inline PLUME_ABI
