#pragma once
// What a reader may be asked for by foreign data. Users may raise any field; a LimitError names it.
#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

struct Limits {
  std::uint64_t max_safetensors_header = 100'000'000;  // bytes; a rule of the format
  std::uint64_t max_json_bytes = 16u << 20;            // config.json, index files
  std::uint64_t max_tokenizer_bytes = 128u << 20;      // vocab.json, merges.txt, tokenizer.bin
  std::uint64_t max_json_depth = 64;
  std::uint64_t max_json_values = 1u << 19;  // of one JSON text, each some 100 bytes in memory; tables: or a value for 8 bytes of the file
  std::uint64_t max_rank = 64;               // of a tensor in a file; Tensor itself holds 4
  std::uint64_t max_tensors = 1'000'000;
  std::uint64_t max_tensor_name = 4096;        // bytes
  std::uint64_t max_token_text = 64u << 10;    // bytes
  std::uint64_t max_gguf_key = 64u << 10;      // bytes
  std::uint64_t max_gguf_elements = 1u << 30;  // of an array
  std::uint64_t max_gguf_alignment = 65'536;   // bytes
  std::uint64_t max_text_bytes = 1u << 30;     // one text file
  std::uint64_t max_layers = 10'000;
  std::uint64_t max_vocabulary = 16'777'216;
  std::uint64_t max_context = 16'777'216;        // tokens
  std::uint64_t max_template_bytes = 1u << 20;   // a chat template
  std::uint64_t max_template_steps = 1'000'000;  // of a rendering, and one more a byte of its input
  std::uint64_t max_template_output = 1u << 20;  // bytes of any text in a rendering, beside the size of its input
  std::uint64_t max_template_depth = 64;         // of brackets and tags, of values, of macros that call each other
  std::uint64_t max_stop_strings = 16;
  std::uint64_t max_stop_string = 1024;  // bytes each
};

}  // namespace plume::inline PLUME_ABI
