#pragma once
// Walking modules. A module lists its parts once, in a static visit(self, f) that calls f(name, part); parts are Tensors (parameters),
// modules and vectors of modules. Saving, loading, counting and optimising are functions over that list.
#include <concepts>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
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

// Paths and places of the parameters under a module. The one walk over parameters, compiled once for each type of module.
template <class M>
std::vector<std::pair<std::string, const Tensor*>> parameters_of(const M& module) {
  std::vector<std::pair<std::string, const Tensor*>> parameters;
  walk(module, [&](std::string_view path, const auto& node) {
    if constexpr (std::same_as<std::remove_cvref_t<decltype(node)>, Tensor>) parameters.emplace_back(path, &node);
  });
  return parameters;
}

// Calls f(path, tensor) for each parameter under a module; the tensor is constant where the module is.
template <class M, class F>
void for_each_parameter(M& module, F&& f) {
  using Parameter = std::conditional_t<std::is_const_v<M>, const Tensor, Tensor>;
  for (const auto& entry : parameters_of(module)) f(std::string_view(entry.first), const_cast<Parameter&>(*entry.second));
}

// A parameter by its path, for optimisers and files.
struct NamedParameter {
  std::string path;
  Tensor tensor;
};

namespace modules_detail {
// What makes two names one parameter: the same elements of the same storage.
using Place = std::tuple<const Storage*, Index, Index, Index>;
inline Place place_of(const Tensor& tensor) { return {tensor.storage().get(), tensor.offset(), tensor.rows(), tensor.columns()}; }

using Parameters = std::vector<std::pair<std::string, const Tensor*>>;
PLUME_FUNCTION Index count_elements(const Parameters& parameters);
PLUME_FUNCTION std::vector<NamedParameter> make_trainable(const std::vector<std::pair<std::string, Tensor*>>& parameters);
}  // namespace modules_detail

// Number of parameters: elements of all tensors, a tensor that stands under two names counted once.
template <class M>
Index count_parameters(const M& module) {
  return modules_detail::count_elements(parameters_of(module));
}

// Makes every parameter an owned, writable, dense tensor of f32 (f64 stays) that tapes differentiate by, and lists them. Mapped and
// low-precision weights are copied; what is trainable already is kept. A tensor under two names stays one and is listed once.
template <class M>
std::vector<NamedParameter> trainable_parameters(M& module) {
  std::vector<std::pair<std::string, Tensor*>> parameters;
  for_each_parameter(module, [&](std::string_view path, Tensor& tensor) { parameters.emplace_back(path, &tensor); });
  return modules_detail::make_trainable(parameters);
}

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <map>

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION Index modules_detail::count_elements(const Parameters& parameters) {
  Index count = 0;
  std::map<Place, bool> seen;
  for (const auto& [path, tensor] : parameters)
    if (!tensor->has_data() || seen.emplace(place_of(*tensor), true).second) count += tensor->size();
  return count;
}

PLUME_FUNCTION std::vector<NamedParameter> modules_detail::make_trainable(const std::vector<std::pair<std::string, Tensor*>>& parameters) {
  std::vector<NamedParameter> trainable;
  std::map<Place, Tensor> seen;
  for (const auto& [path, place_of_it] : parameters) {
    Tensor& tensor = *place_of_it;
    require(tensor.has_data(), "[trainable_parameters] ", path, " has no values: load or initialise the module first");
    const auto place = place_of(tensor);
    if (const auto found = seen.find(place); found != seen.end()) {
      tensor = found->second;
      continue;
    }
    const bool ready = tensor.storage()->kind() != StorageKind::mapped && tensor.storage()->writable() && tensor.is_dense() &&
                       (tensor.dtype() == DType::f32 || tensor.dtype() == DType::f64);
    if (!ready) tensor = tensor.to(tensor.dtype() == DType::f64 ? DType::f64 : DType::f32);
    parameter(tensor);
    seen.emplace(place, tensor);
    trainable.push_back({path, tensor});
  }
  return trainable;
}

}  // namespace plume::inline PLUME_ABI
#endif
