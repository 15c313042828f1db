// The bodies of the library's functions, for programs that link plume::compiled instead of compiling them into each of their files.
// Same code, same results; a file that includes plume/plume.hpp compiles in a fraction of the time and memory.
#define PLUME_COMPILED 2
#include "plume/formats/gguf.hpp"
#include "plume/formats/write_gguf.hpp"
#include "plume/formats/xor_files.hpp"
#include "plume/models/weight_delta.hpp"
#include "plume/plume.hpp"
// What few programs include, plume/plume.hpp leaves out.
#include "plume/data/blank_infilling.hpp"
#include "plume/data/moss.hpp"
#include "plume/generate/beam.hpp"
#include "plume/generate/infill.hpp"
#include "plume/models/encoder_decoder_files.hpp"
#include "plume/models/encoder_files.hpp"
#include "plume/models/encoder_heads.hpp"
