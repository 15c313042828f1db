#pragma once
#include <cmath>

#include "plume/autograd/tape.hpp"
#include "plume/kernels/reference/softmax.hpp"

namespace plume::inline PLUME_ABI {

using kernels::reference::ignored_target;

// Number of targets that are trained: those other than ignored_target (-1).
inline Index trained_tokens(std::span<const TokenId> targets) {
  Index count = 0;
  for (const TokenId target : targets) count += target != ignored_target ? 1 : 0;
  return count;
}

// cross_entropy: logits (T, V), targets (T, -1 = not trained) -> scalar;  sum over trained t of (log sum exp(logits[t]) - logits[t,
// targets[t]]) / normalizer normalizer 0: the number of trained targets.
PLUME_FUNCTION Tensor cross_entropy(const Tensor& logits, std::span<const TokenId> targets, double normalizer = 0);

// Rows whose logits classifier_loss holds at one time.
inline constexpr Index classifier_chunk = 256;

// classifier_loss: cross_entropy(linear(x, weight, bias), targets) without ever holding all logits.
//   x (T, C), weight (V, C), bias (V, may be absent), targets (T, -1 = not trained) -> scalar
// With a cap, logits are soft_cap(linear(...), cap). The weight of an f32 x may be bf16. Rows go through in chunks: logits -> loss and, in
// place, dlogits -> dx, dweight, dbias, kept for the backward pass, which scales them. Memory: chunk x V, and one gradient of the weight.
PLUME_FUNCTION Tensor classifier_loss(const Tensor& x, const Tensor& weight, const Tensor& bias, std::span<const TokenId> targets,
                                      double normalizer = 0, double cap = 0);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/kernels/elementwise/table.hpp"
#include "plume/kernels/softmax/table.hpp"
#include "plume/ops/linear.hpp"

namespace plume::inline PLUME_ABI {

namespace ops_detail {
inline Index check_targets(std::string_view op, std::span<const TokenId> targets, Index rows, Index vocabulary) {
  require(static_cast<Index>(targets.size()) == rows, "[", op, "] ", rows, " rows, ", targets.size(), " targets");
  Index trained = 0;
  for (std::size_t t = 0; t < targets.size(); ++t) {
    require(targets[t] == ignored_target || (targets[t] >= 0 && targets[t] < vocabulary), "[", op, "] target ", targets[t], " at position ",
            t, " is not in a vocabulary of ", vocabulary);
    trained += targets[t] != ignored_target ? 1 : 0;
  }
  return trained;
}
}  // namespace ops_detail

PLUME_FUNCTION Tensor cross_entropy(const Tensor& logits, std::span<const TokenId> targets, double normalizer) {
  const Index trained = ops_detail::check_targets("cross_entropy", targets, logits.rows(), logits.columns());
  const double divisor = normalizer > 0 ? normalizer : static_cast<double>(std::max<Index>(trained, 1));
  const Tensor gradient = logits.copy();  // becomes (softmax - onehot) / divisor
  const Tensor loss = Tensor::empty({}, logits.dtype());
  visit_float(logits.dtype(), [&]<class T>() {
    PoolVector<T> losses(targets.size());
    const T scale = static_cast<T>(1 / divisor);
    kernels::cross_entropy<T>(gradient.view<T, 2>(), targets, View<T, 1>(losses.data(), {logits.rows()}), &scale);
    double sum = 0;
    for (const T value : losses) sum += static_cast<double>(value);
    *loss.writable<T>() = static_cast<T>(sum / divisor);
  });
  return traced("cross_entropy", loss, {logits}, [gradient, to_logits = gradient_key(logits)](Gradients& d, const Tensor& dloss) {
    const Tensor dlogits = d[to_logits];
    if (!dlogits) return;
    visit_float(dlogits.dtype(),
                [&]<class T>() { kernels::accumulate<T>(dlogits.view<T, 2>(), gradient.view<const T, 2>(), *dloss.data<T>()); });
  });
}

PLUME_FUNCTION Tensor classifier_loss(const Tensor& x, const Tensor& weight, const Tensor& bias, std::span<const TokenId> targets,
                                      double normalizer, double cap) {
  constexpr Index chunk = classifier_chunk;
  require(weight.rank() == 2 && x.columns() == weight.columns() && ops_detail::is_weight_for(weight, x), "[classifier_loss] x is ",
          x.shape(), " of ", x.dtype(), ", weight is ", weight.shape(), " of ", weight.dtype());
  require(!bias || bias.size() == weight.rows(), "[classifier_loss] weight is ", weight.shape(), " but bias is ", bias.shape());
  const Index vocabulary = weight.rows(), trained = ops_detail::check_targets("classifier_loss", targets, x.rows(), vocabulary);
  const double divisor = normalizer > 0 ? normalizer : static_cast<double>(std::max<Index>(trained, 1));
  const Tensor dx = is_traced(x) ? like(x, {x.rows(), x.columns()}) : Tensor{};
  const Tensor dweight = is_traced(weight) ? like(x, weight.shape()) : Tensor{};
  const Tensor dbias = is_traced(bias) ? Tensor::zeros(bias.shape(), x.dtype()) : Tensor{};
  const bool wants_gradient = dx || dweight || dbias;
  const Tensor loss = Tensor::empty({}, x.dtype());
  visit_float(x.dtype(), [&]<class T>() {
    if (dweight && x.rows() == 0) dweight.fill(0);
    const Tensor logits = Tensor::empty({std::min(chunk, x.rows()), vocabulary}, x.dtype());
    const Tensor ratios = cap > 0 ? like(logits) : Tensor{};  // logits / cap
    PoolVector<T> losses(targets.size());
    const T scale = static_cast<T>(1 / divisor);
    for (Index begin = 0; begin < x.rows(); begin += chunk) {
      const Index end = std::min(x.rows(), begin + chunk);
      const auto rows = x.view<const T, 2>().rows(begin, end);
      const Tensor part = logits.rows(0, end - begin);
      ops_detail::with_weight<T>(weight, [&](auto w) {
        kernels::gemm<T>(part.view<T, 2>(), rows, w.transposed(), {}, view_or_none<const T, 1>(bias), ops_detail::forward_panels(weight));
      });
      const auto rows_of_part = part.view<T, 2>();
      if (ratios) {
        kernels::for_rows(rows_of_part, [&, ratio = ratios.view<T, 2>(), limit = static_cast<T>(cap)](Index i, Index j) {
          for (Index r = i; r < j; ++r)
            for (Index c = 0; c < vocabulary; ++c) rows_of_part(r, c) = limit * (ratio(r, c) = std::tanh(rows_of_part(r, c) / limit));
        });
      }
      kernels::cross_entropy<T>(rows_of_part, targets.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)),
                                View<T, 1>(losses.data() + begin, {end - begin}), wants_gradient ? &scale : nullptr);
      if (ratios && wants_gradient) {
        kernels::for_rows(rows_of_part, [&, ratio = ratios.view<const T, 2>()](Index i, Index j) {
          for (Index r = i; r < j; ++r)
            for (Index c = 0; c < vocabulary; ++c) rows_of_part(r, c) *= T(1) - ratio(r, c) * ratio(r, c);
        });
      }
      const auto dlogits = part.view<const T, 2>();
      if (dx) {
        ops_detail::with_weight<T>(weight, [&](auto w) {
          kernels::gemm<T>(dx.view<T, 2>().rows(begin, end), dlogits, w, {}, {}, ops_detail::backward_panels(weight));
        });
      }
      if (dweight) {  // the first chunk writes, the others add
        kernels::gemm<T>(dweight.view<T, 2>(), dlogits.transposed(), rows, begin == 0 ? View<const T, 2>{} : dweight.view<const T, 2>());
      }
      if (dbias) kernels::sum_rows<T>(dbias.view<T, 1>(), dlogits);
    }
    double sum = 0;
    for (const T value : losses) sum += static_cast<double>(value);
    *loss.writable<T>() = static_cast<T>(sum / divisor);
  });
  const Gradients::Key to_x = gradient_key(x), to_weight = gradient_key(weight), to_bias = gradient_key(bias);
  return traced("classifier_loss", loss, {x, weight, bias}, [=](Gradients& d, const Tensor& dloss) {
    const auto give = [&](const Gradients::Key& input, const Tensor& gradient) {
      if (!gradient) return;
      if (dloss.item() == 1) return d.add(input, gradient);
      const Tensor sum = d[input];
      visit_float(sum.dtype(), [&]<class T>() {
        kernels::accumulate<T>(sum.view<T, 2>(), gradient.reshape(sum.shape()).template view<const T, 2>(), *dloss.data<T>());
      });
    };
    give(to_x, dx);
    give(to_weight, dweight);
    give(to_bias, dbias);
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
