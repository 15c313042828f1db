#pragma once
#include "plume/modules/visit.hpp"
#include "plume/ops/add.hpp"
#include "plume/ops/layer_norm.hpp"
#include "plume/ops/rms_norm.hpp"

namespace plume::inline PLUME_ABI {

enum class NormKind : std::uint8_t { rms, layer };

struct NormShape {
  Index width = 0;
  NormKind kind = NormKind::rms;
  double epsilon = 1e-5;
  bool bias = false;  // of a layer norm
  double offset = 0;  // gains are offset + weight: 1 in Gemma
};

struct Norm {
  Tensor weight;  // (width)
  Tensor bias;    // (width), or absent
  NormKind kind = NormKind::rms;
  double epsilon = 1e-5;
  double offset = 0;

  static Norm described(const NormShape& shape, DType dtype = DType::f32) {
    return {Tensor::described({shape.width}, dtype), shape.bias ? Tensor::described({shape.width}, dtype) : Tensor{}, shape.kind,
            shape.epsilon, shape.offset};
  }
  Tensor operator()(const Tensor& x) const {
    const Tensor gain = offset == 0 ? weight : shift(weight, offset);
    return kind == NormKind::rms ? rms_norm(x, gain, epsilon) : layer_norm(x, gain, bias, epsilon);
  }

  template <class Self>
  static void visit(Self& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

}  // namespace plume::inline PLUME_ABI
