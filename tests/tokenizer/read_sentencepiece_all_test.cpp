// nightly: 50,000 strings for each SentencePiece model have sentencepiece's ids and texts, and transformers' with special tokens.
#include "tokenizer/sentencepiece_samples.hpp"

TEST_CASE("SentencePiece models of every kind: 50,000 strings") { plume_test::check_sentencepiece(50); }
