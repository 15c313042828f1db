#pragma once
// Walking modules. A module lists its parts once, in a static visit(self, f) that calls f(name, part); parts are Tensors (parameters),
// modules and vectors of modules. Saving, loading, counting and optimising are functions over that list.
#include <concepts>
#include <string>
#include <vector>

#include "plume/tensor/tensor.hpp"

namespace plume::inline PLUME_ABI {

namespace modules_detail {
struct AnyVisitor {
  void operator()(std::string_view, auto&&) const {}
};
}  // namespace modules_detail

// What a type must offer to be walked: template <class Self> static void visit(Self& self, auto&& f) { f("weight", self.weight); … }
template <class M>
concept Module = requires(M& module, modules_detail::AnyVisitor visitor) {
  std::remove_const_t<M>::visit(module, visitor);
};

// Calls f(path, node) for a module and everything under it, parents first: f(std::string_view path, Tensor& or module&).
// Absent tensors (a layer without bias) are left out.
template <class Node, class F>
void walk(Node& node, F&& f, const std::string& path = {}) {
  using Plain = std::remove_const_t<Node>;
  if constexpr (std::same_as<Plain, Tensor>) {
    if (node) f(std::string_view(path), node);
  } else {
    static_assert(Module<Node>, "plume: this type has no static visit(self, f) that lists its parts");
    f(std::string_view(path), node);
    Plain::visit(node, [&](std::string_view name, auto& part) {
      std::string at = path.empty() ? std::string(name) : concat(path, '.', name);
      if constexpr (requires { part.begin(); }) {
        Index index = 0;
        for (auto& element : part) walk(element, f, concat(at, '.', index++));
      } else {
        walk(part, f, at);
      }
    });
  }
}

// Calls f(path, tensor) for each parameter under a module.
template <class M, class F>
void for_each_parameter(M& module, F&& f) {
  walk(module, [&](std::string_view path, auto& node) {
    if constexpr (std::same_as<std::remove_cvref_t<decltype(node)>, Tensor>) f(path, node);
  });
}

// Number of parameters: elements of all tensors, shared storage counted once.
template <class M>
Index count_parameters(const M& module) {
  Index count = 0;
  for_each_parameter(module, [&](std::string_view, const Tensor& tensor) { count += tensor.size(); });
  return count;
}

// A parameter by its path, for optimisers and files.
struct NamedParameter {
  std::string path;
  Tensor tensor;
};

// Makes every parameter an owned, writable, dense tensor of f32 (f64 stays) that tapes differentiate by, and lists them. Mapped and
// low-precision weights are copied; what is trainable already is kept.
template <class M>
std::vector<NamedParameter> trainable_parameters(M& module) {
  std::vector<NamedParameter> parameters;
  for_each_parameter(module, [&](std::string_view path, Tensor& tensor) {
    require(tensor.has_data(), "[trainable_parameters] ", path, " has no values: load or initialise the module first");
    const bool ready = tensor.storage()->kind() != StorageKind::mapped && tensor.storage()->writable() && tensor.is_dense() &&
                       (tensor.dtype() == DType::f32 || tensor.dtype() == DType::f64);
    if (!ready) tensor = tensor.to(tensor.dtype() == DType::f64 ? DType::f64 : DType::f32);
    parameter(tensor);
    parameters.push_back({std::string(path), tensor});
  });
  return parameters;
}

}  // namespace plume::inline PLUME_ABI
