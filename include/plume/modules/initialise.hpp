#pragma once
#include "plume/base/random.hpp"
#include "plume/modules/visit.hpp"

namespace plume::inline PLUME_ABI {

struct InitialiseOptions {
  DType dtype = DType::f32;
  double deviation = 0.02;
  double residual_scale = 1;  // of matrices called "output" or "down", which write onto the residual stream
};

// Fresh weights: matrices N(0, deviation), norms 1, biases 0; a function of the seed and the order of visit() alone.      [Radford et al.
// 2019]
template <Module M>
void initialise(M& module, std::uint64_t seed, const InitialiseOptions& options = {}) {
  std::uint64_t stream = 0;
  for_each_parameter(module, [&](std::string_view path, Tensor& tensor) {
    tensor = Tensor::zeros(tensor.shape(), options.dtype);
    Random random{.seed = seed, .stream = stream++};
    if (tensor.rank() == 2) {
      const bool residual = path.ends_with("output.weight") || path.ends_with("down.weight");
      const double deviation = residual ? options.deviation * options.residual_scale : options.deviation;
      visit_float(options.dtype, [&]<class T>() {
        T* values = tensor.writable<T>();
        for (Index i = 0; i < tensor.size(); ++i) values[i] = static_cast<T>(deviation * random.normal());
      });
    } else if (path.ends_with("weight")) {
      tensor.fill(1);
    }
  });
}

}  // namespace plume::inline PLUME_ABI
