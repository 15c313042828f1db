// A shared library with plume inside. CMakeLists.txt builds it three times: hidden, with every name visible, and with every name visible on
// a plume of another version.
#include <algorithm>
#include <atomic>
#include <span>
#include <string>
#include <vector>

#include "plume/base/random.hpp"
#include "plume/kernels/parallel/parallel_for.hpp"
#include "plume/tensor/tensor.hpp"

#define PLUME_TEST_EXPORT extern "C" [[gnu::visibility("default")]]

// The first word of this copy's random numbers: another version draws others.
PLUME_TEST_EXPORT unsigned plugin_random() { return plume::Random{}.at(0)[0]; }

// Adds 0 .. 4095 on `threads` threads in chunks of 64, in tensors that come from the context's pool; the bytes that the pool still counts
// as in use are added, and there should be none.
PLUME_TEST_EXPORT double plugin_sum(int threads) {
  const plume::Context context({.threads = threads});
  double sum = 0;
  {
    const plume::ContextScope scope(context);
    const plume::Tensor parts = plume::Tensor::zeros({64, 1}, plume::DType::f64);
    double* const out = parts.writable<double>();
    plume::parallel_for(4096, 64, [out](plume::Index begin, plume::Index end) {
      const plume::Tensor chunk = plume::Tensor::zeros({end - begin, 1}, plume::DType::f64);
      for (plume::Index i = begin; i < end; ++i) chunk.writable<double>()[i - begin] = static_cast<double>(i);
      for (plume::Index i = begin; i < end; ++i) out[begin / 64] += chunk.data<double>()[i - begin];
    });
    for (int i = 0; i < 64; ++i) sum += parts.data<double>()[i];
  }
  return sum + static_cast<double>(context.pool().bytes_in_use());
}

// Whether an error thrown on one of the threads is caught here with its type and its text.
PLUME_TEST_EXPORT bool plugin_catches() {
  const plume::Context context({.threads = 3});
  const plume::ContextScope scope(context);
  try {
    plume::parallel_for(64, 1, [](plume::Index begin, plume::Index) { plume::require(begin != 40, "[plugin] row ", begin); });
  } catch (const plume::ArgumentError& error) {
    return error.what() == std::string("[plugin] row 40");
  }
  return false;
}

// An error that leaves the library.
PLUME_TEST_EXPORT void plugin_throws() { plume::require(false, "[plugin] thrown to the host"); }
