#pragma once
// GPT-2's pre-tokeniser [openai/gpt-2 src/encoder.py]: cuts a text into the pieces inside which byte pairs may merge.
#include <string_view>

#include "plume/base/config.hpp"
#include "plume/tokenizer/piece_scanner.hpp"

namespace plume::inline PLUME_ABI {

// Where the piece that starts at `at` ends: at < result <= text.size(). Each malformed UTF-8 byte counts as a symbol, so none is lost.
inline std::size_t gpt2_piece_end(std::string_view text, std::size_t at) { return piece_end<piece_styles::gpt2>(text, at); }

}  // namespace plume::inline PLUME_ABI
