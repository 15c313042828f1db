// nightly: 50,000 strings for each GGUF vocabulary have llama.cpp's ids, and Hugging Face tokenizers' for the pre-tokenisers that have
// names.
#include "tokenizer/gguf_samples.hpp"

TEST_CASE("GGUF vocabularies: 50,000 strings") { plume_test::check_gguf(50); }
