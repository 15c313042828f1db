// The fast kernels of every instruction-set level, for programs that link plume::compiled instead of compiling them into each of their
// files. Same code, same results; a file that includes plume/plume.hpp compiles in less time and memory.
#undef PLUME_COMPILED
#include "plume/kernels/activation/table.hpp"
#include "plume/kernels/attention/table.hpp"
#include "plume/kernels/elementwise/table.hpp"
#include "plume/kernels/embedding/table.hpp"
#include "plume/kernels/gemm/table.hpp"
#include "plume/kernels/norm/table.hpp"
#include "plume/kernels/optimizer/table.hpp"
#include "plume/kernels/rope/table.hpp"
#include "plume/kernels/softmax/table.hpp"

namespace plume::inline PLUME_ABI::kernels {

// Inline variables are emitted where they are used.
[[gnu::used]] const void* const all_levels[] = {&activation_levels, &attention_levels, &elementwise_levels, &embedding_levels, &gemm_levels,
                                                &norm_levels,       &optimizer_levels, &rope_levels,        &softmax_levels};

}  // namespace plume::inline PLUME_ABI::kernels
