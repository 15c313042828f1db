#pragma once
#include <string>

#include "plume/base/files.hpp"
#include "plume/base/limits.hpp"
#include "plume/tensor/dtype.hpp"

namespace plume::inline PLUME_ABI {

struct LoadOptions {
  DType dtype = DType::f32;    // weights become this type: f32; bf16 (matrices alone, half the memory; computes in f32); f64 for exact work
  std::string tokenizer = {};  // file or directory; empty: beside the weights, if it is there
  Mapping mapping = Mapping::automatic;
  Symlinks symlinks = Symlinks::refuse;  // of shards that an index names
  Limits limits = {};
};

}  // namespace plume::inline PLUME_ABI
