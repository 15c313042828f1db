#pragma once
// Packing weights ahead of the products that use them.
#include <vector>

#include "plume/modules/linear.hpp"

namespace plume::inline PLUME_ABI {

enum class Products : std::uint8_t { forward, forward_and_backward };

// Packs a weight (out, in) of f32 or bf16 for products of more than 16 rows, in the arithmetic of the context in force. Costs the weight's
// memory once more (half under Precision::bf16), twice with the backward product; a write to the weight drops the panels. Nobody else may
// use the weight meanwhile.
PLUME_FUNCTION void prepare(const Tensor& weight, Products products = Products::forward);

// The weights of the linear layers of a module.
template <class M>
std::vector<Tensor> linear_weights(const M& module) {
  std::vector<Tensor> weights;
  walk(module, [&](std::string_view, const auto& node) {
    if constexpr (std::same_as<std::remove_cvref_t<decltype(node)>, Linear>) {
      if (node.weight) weights.push_back(node.weight);
    }
  });
  return weights;
}

// The same for every linear layer of a module.
template <class M>
void prepare(const M& module, Products products = Products::forward) {
  for (const Tensor& weight : linear_weights(module)) prepare(weight, products);
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/gemm/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void prepare(const Tensor& weight, Products products) {
  if (weight.dtype() != DType::f32 && weight.dtype() != DType::bf16) return;
  const bool is_bf16 = thread_slot.context != nullptr && thread_slot.context->precision() == Precision::bf16;
  const kernels::GemmTile& tile = is_bf16 ? kernels::gemm_level().bf16 : kernels::gemm_level().single;
  const auto panels = make_shared_in_pool<WeightPanels>();
  panels->offset = weight.offset();
  panels->shape = weight.shape();
  ops_detail::with_weight<float>(weight, [&](auto w) {
    panels->forward = kernels::pack_panels(tile, w.transposed());
    if (products == Products::forward_and_backward) panels->backward = kernels::pack_panels(tile, w);
  });
  weight.storage()->keep_panels(panels);
}

}  // namespace plume::inline PLUME_ABI
#endif
