#pragma once
// A linear layer with terms of low rank beside its weight: what LoRA trains, while the weight stays as it is.
#include <algorithm>
#include <memory>
#include <vector>

#include "plume/ops/dropout.hpp"
#include "plume/ops/gather_columns.hpp"
#include "plume/ops/linear.hpp"

namespace plume::inline PLUME_ABI {

// scale (x a^T) b^T, added to the output of a layer      [Hu et al. 2021]
struct LowRank {
  Tensor a;  // (rank, in)
  Tensor b;  // (out, rank)
  double scale = 1;
  std::shared_ptr<const std::vector<ColumnRange>> outputs = {};  // which alone change; null: all
};

// A term, the rows of x it is for, and what these lose on the way into it.
struct LowRankRows {
  LowRank term;
  Index begin = 0, end = 0;
  Dropout dropout = {};
};

// low_rank_linear: x (T, in), weight (out, in), bias (out, may be absent), parts -> y (T, out)
//   y = x weight^T + bias, and for each part:  y[rows] += scale (dropout(x[rows]) a^T) b^T
// The weight of an f32 x may be bf16; a and b are of x's type. Kept for the backward pass: rank numbers a row.
PLUME_FUNCTION Tensor low_rank_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, std::span<const LowRankRows> parts);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include "plume/ops/add.hpp"

namespace plume::inline PLUME_ABI {

namespace ops_detail {
// Calls f(begin, end) for the outputs that a term changes.
template <class F>
void for_outputs(const LowRank& term, F&& f) {
  if (!term.outputs) return f(Index{0}, term.b.rows());
  for (const ColumnRange& range : *term.outputs) f(range.begin, range.end);
}
// The rows of x that a part reads, after dropout.
inline Tensor input_of(const LowRankRows& part, const Tensor& x) {
  const NoTape no_tape;
  return dropout(x.rows(part.begin, part.end), part.dropout);
}
inline Tensor scaled(const Tensor& x, double factor) {
  const NoTape no_tape;
  return scale(x, factor);
}
// x is read where the term's a learns, and may be absent elsewhere.
inline void low_rank_backward(Gradients& d, const Tensor& dy, const Tensor& x, const Gradients::Key& to_x, const LowRankRows& part,
                              const Tensor& reduced) {
  const LowRank& term = part.term;
  const Tensor sum = Tensor::zeros(reduced.shape(), reduced.dtype());
  visit_float(dy.dtype(), [&]<class T>() {
    const auto gradient = dy.view<const T, 2>().rows(part.begin, part.end);
    const Tensor db = d[term.b];
    for_outputs(term, [&](Index begin, Index end) {
      kernels::gemm<T>(sum.view<T, 2>(), gradient.columns(begin, end), term.b.rows(begin, end).view<const T, 2>());
      if (db) kernels::gemm<T>(db.rows(begin, end).view<T, 2>(), gradient.columns(begin, end).transposed(), reduced.view<const T, 2>());
    });
    const Tensor dreduced = scaled(sum, term.scale);
    if (const auto da = d.target(term.a); da.tensor)
      kernels::gemm<T>(da.tensor.view<T, 2>(), dreduced.view<const T, 2>().transposed(), input_of(part, x).view<const T, 2>(),
                       start_of<T>(da));
    if (const Tensor all = d[to_x]) {
      const Tensor dx = all.rows(part.begin, part.end);
      if (part.dropout.rate == 0) return kernels::gemm<T>(dx.view<T, 2>(), dreduced.view<const T, 2>(), term.a.view<const T, 2>());
      const Tensor through = like(dx, {dx.rows(), dx.columns()});
      kernels::gemm<T>(through.view<T, 2>(), dreduced.view<const T, 2>(), term.a.view<const T, 2>(), {});
      kernels::dropout<T>(dx.view<T, 2>(), through.view<const T, 2>(), part.dropout, kernels::Write::add);
    }
  });
}
}  // namespace ops_detail

PLUME_FUNCTION Tensor low_rank_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, std::span<const LowRankRows> parts) {
  PoolVector<Tensor> inputs{x, weight, bias};
  for (const LowRankRows& part : parts) {
    const LowRank& term = part.term;
    require(term.a.columns() == weight.columns() && term.b.rows() == weight.rows() && term.a.rows() == term.b.columns() &&
                term.a.dtype() == x.dtype() && term.b.dtype() == x.dtype(),
            "[low_rank_linear] a is ", term.a.shape(), " of ", term.a.dtype(), ", b is ", term.b.shape(), " of ", term.b.dtype(),
            ", weight is ", weight.shape(), ", x is ", x.shape(), " of ", x.dtype(), ": expected a (rank, in), b (out, rank), of x's type");
    require(part.begin >= 0 && part.begin <= part.end && part.end <= x.rows(), "[low_rank_linear] rows [", part.begin, ", ", part.end,
            ") of ", x.rows());
    inputs.push_back(term.a);
    inputs.push_back(term.b);
  }
  const Tensor y = [&] {
    const NoTape no_tape;
    return linear(x, weight, bias);
  }();
  PoolVector<Tensor> reduced;  // scale (dropout(x) a^T) of each part
  for (const LowRankRows& part : parts) {
    const LowRank& term = part.term;
    const Tensor inner = like(x, {part.end - part.begin, term.a.rows()});
    visit_float(x.dtype(), [&]<class T>() {
      kernels::gemm<T>(inner.view<T, 2>(), ops_detail::input_of(part, x).view<const T, 2>(), term.a.view<const T, 2>().transposed(), {});
      reduced.push_back(ops_detail::scaled(inner, term.scale));
      const auto rows = y.view<T, 2>().rows(part.begin, part.end);
      ops_detail::for_outputs(term, [&](Index begin, Index end) {
        kernels::gemm<T>(rows.columns(begin, end), reduced.back().view<const T, 2>(),
                         term.b.rows(begin, end).view<const T, 2>().transposed());
      });
    });
  }
  const bool reads_x = std::any_of(parts.begin(), parts.end(), [](const LowRankRows& part) { return is_traced(part.term.a); });
  return traced("low_rank_linear", y, inputs,
                [beside = ops_detail::LinearBackward(x, weight, bias), x = reads_x ? x : Tensor(), reduced = std::move(reduced),
                 parts = PoolVector<LowRankRows>(parts.begin(), parts.end())](Gradients& d, const Tensor& dy) {
                  beside(d, dy);
                  for (std::size_t i = 0; i < parts.size(); ++i) ops_detail::low_rank_backward(d, dy, x, beside.to_x, parts[i], reduced[i]);
                });
}

}  // namespace plume::inline PLUME_ABI
#endif
