#pragma once
#include <algorithm>

#include "plume/autograd/tape.hpp"

namespace plume::inline PLUME_ABI {

// Which experts each token goes to: the `chosen` ones of largest probability.
struct ExpertChoice {
  struct Place {
    Index expert, row;  // row of the expert's input and output
  };
  Index chosen = 0;
  PoolVector<Place> places = {};                // of each token `chosen`, in order of experts
  PoolVector<PoolVector<TokenId>> tokens = {};  // of each expert, ascending: the tokens that go there
};
PLUME_FUNCTION ExpertChoice choose_experts(const Tensor& probabilities, Index chosen);

enum class ExpertWeights : std::uint8_t { as_they_are, renormalised };

// mix_experts: outputs[e] (tokens of expert e, C), probabilities (T, experts) -> y (T, C)
//   y[t] = sum over the chosen e of w[t, e] outputs[e][row of t];  w = p, or p / sum of the chosen p      [Shazeer et al. 2017]
PLUME_FUNCTION Tensor mix_experts(std::span<const Tensor> outputs, const Tensor& probabilities, const ExpertChoice& choice,
                                  ExpertWeights weights);

// gate_rows: x (T, C), gate (T, 1) -> y (T, C);  y[t] = sigmoid(gate[t]) x[t]
PLUME_FUNCTION Tensor gate_rows(const Tensor& x, const Tensor& gate);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <cmath>

#include "plume/kernels/elementwise/table.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION ExpertChoice choose_experts(const Tensor& probabilities, Index chosen) {
  const Index experts = probabilities.columns();
  require(chosen >= 1 && chosen <= experts, "[experts] ", chosen, " of ", experts, " experts cannot be chosen");
  ExpertChoice choice;
  choice.chosen = chosen;
  choice.tokens.resize(static_cast<std::size_t>(experts));
  visit_float(probabilities.dtype(), [&]<class T>() {
    PoolVector<Index> order(static_cast<std::size_t>(experts));
    for (Index t = 0; t < probabilities.rows(); ++t) {
      const T* const p = probabilities.view<const T, 2>().row(t);
      for (std::size_t e = 0; e < order.size(); ++e) order[e] = static_cast<Index>(e);
      // Of equal ones, and of those that are no numbers, the first.
      std::partial_sort(order.begin(), order.begin() + chosen, order.end(),
                        [&](Index a, Index b) { return p[a] > p[b] || (!(p[b] > p[a]) && a < b); });
      std::sort(order.begin(), order.begin() + chosen);
      for (Index i = 0; i < chosen; ++i) {
        auto& tokens = choice.tokens[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])];
        choice.places.push_back({order[static_cast<std::size_t>(i)], static_cast<Index>(tokens.size())});
        tokens.push_back(static_cast<TokenId>(t));
      }
    }
  });
  return choice;
}

PLUME_FUNCTION Tensor mix_experts(std::span<const Tensor> outputs, const Tensor& probabilities, const ExpertChoice& choice,
                                  ExpertWeights weights) {
  const Index tokens = probabilities.rows(), chosen = choice.chosen;
  require(static_cast<Index>(outputs.size()) == probabilities.columns() && static_cast<Index>(choice.places.size()) == tokens * chosen,
          "[mix_experts] ", outputs.size(), " outputs, probabilities ", probabilities.shape(), ", ", choice.places.size(), " choices");
  Index width = 0;
  for (std::size_t e = 0; e < outputs.size(); ++e) {
    require(outputs[e] && outputs[e].rows() == static_cast<Index>(choice.tokens[e].size()) && outputs[e].dtype() == probabilities.dtype(),
            "[mix_experts] the output of expert ", e, " is ", outputs[e].shape(), " for ", choice.tokens[e].size(), " tokens");
    require(e == 0 || outputs[e].columns() == width, "[mix_experts] outputs of experts differ in width");
    width = outputs[e].columns();
  }
  PoolVector<Tensor> inputs(outputs.begin(), outputs.end());
  inputs.push_back(probabilities);
  const Tensor y = Tensor::zeros({tokens, width}, probabilities.dtype());

  // The weights of one token.
  const auto weights_of = [=]<class T>(const T* p, const ExpertChoice::Place* places, T* w) {
    T total = weights == ExpertWeights::renormalised ? T(0) : T(1);
    for (Index i = 0; i < chosen; ++i) {
      w[i] = p[places[i].expert];
      if (weights == ExpertWeights::renormalised) total += w[i];
    }
    for (Index i = 0; i < chosen; ++i) w[i] /= total;
    return total;
  };
  visit_float(y.dtype(), [&]<class T>() {
    const auto into = y.view<T, 2>();
    const auto p = probabilities.view<const T, 2>();
    PoolVector<View<const T, 2>> parts;
    for (const Tensor& output : outputs) parts.push_back(output.view<const T, 2>());
    PoolVector<T> w(static_cast<std::size_t>(tokens * chosen));
    kernels::for_rows(into, [&](Index begin, Index end) {
      for (Index t = begin; t < end; ++t) {
        const auto* const places = choice.places.data() + t * chosen;
        T* const weight = w.data() + t * chosen;
        weights_of(p.row(t), places, weight);
        for (Index i = 0; i < chosen; ++i) {
          const T* const from = parts[static_cast<std::size_t>(places[i].expert)].row(places[i].row);
          for (Index c = 0; c < width; ++c) into.row(t)[c] += weight[i] * from[c];
        }
      }
    });
  });
  if (Tape::current() == nullptr) return y;
  return traced("mix_experts", y, inputs, [=, places = choice.places](Gradients& d, const Tensor& dy) {
    visit_float(dy.dtype(), [&]<class T>() {
      const Tensor& all = inputs.back();
      const auto gradient = dy.view<const T, 2>(), p = all.view<const T, 2>();
      const View<T, 2> dp = view_or_none<T, 2>(d[all]);
      PoolVector<View<T, 2>> dparts;
      PoolVector<View<const T, 2>> parts;
      for (std::size_t e = 0; e + 1 < inputs.size(); ++e) {
        parts.push_back(inputs[e].view<const T, 2>());
        dparts.push_back(view_or_none<T, 2>(d[inputs[e]]));
      }
      PoolVector<T> w(static_cast<std::size_t>(tokens * chosen)), dw(w.size());
      parallel_for(tokens, kernels::row_grain(width), tokens * width, [&](Index begin, Index end) {
        for (Index t = begin; t < end; ++t) {
          const auto* const place = places.data() + t * chosen;
          T* const weight = w.data() + t * chosen;
          T* const dweight = dw.data() + t * chosen;
          const T total = weights_of(p.row(t), place, weight);
          T mean = T(0);
          for (Index i = 0; i < chosen; ++i) {
            const auto expert = static_cast<std::size_t>(place[i].expert);
            const T* const from = parts[expert].row(place[i].row);
            for (Index c = 0; c < width; ++c) dweight[i] += gradient.row(t)[c] * from[c];
            if (dparts[expert])
              for (Index c = 0; c < width; ++c) dparts[expert].row(place[i].row)[c] += weight[i] * gradient.row(t)[c];
            mean += weight[i] * dweight[i];
          }
          if (!dp) continue;
          for (Index i = 0; i < chosen; ++i)
            dp.row(t)[place[i].expert] += weights == ExpertWeights::renormalised ? (dweight[i] - mean) / total : dweight[i];
        }
      });
    });
  });
}

PLUME_FUNCTION Tensor gate_rows(const Tensor& x, const Tensor& gate) {
  require(gate.rows() == x.rows() && gate.columns() == 1 && gate.dtype() == x.dtype(), "[gate_rows] x is ", x.shape(), ", gate is ",
          gate.shape());
  const Tensor y = like(x);
  const auto sigmoid = []<class T>(T value) { return T(1) / (T(1) + std::exp(-value)); };
  visit_float(x.dtype(), [&]<class T>() {
    const auto into = y.view<T, 2>();
    const auto from = x.view<const T, 2>(), g = gate.view<const T, 2>();
    kernels::for_rows(into, [&](Index i, Index j) {
      for (Index t = i; t < j; ++t)
        for (Index c = 0; c < into.columns(); ++c) into.row(t)[c] = sigmoid(g(t, 0)) * from.row(t)[c];
    });
  });
  return traced("gate_rows", y, {x, gate}, [=](Gradients& d, const Tensor& dy) {
    visit_float(dy.dtype(), [&]<class T>() {
      const auto gradient = dy.view<const T, 2>(), from = x.view<const T, 2>(), g = gate.view<const T, 2>();
      const View<T, 2> dx = view_or_none<T, 2>(d[x]), dgate = view_or_none<T, 2>(d[gate]);
      for (Index t = 0; t < gradient.rows(); ++t) {
        const T s = sigmoid(g(t, 0));
        T sum = T(0);
        for (Index c = 0; c < gradient.columns(); ++c) {
          sum += gradient.row(t)[c] * from.row(t)[c];
          if (dx) dx.row(t)[c] += s * gradient.row(t)[c];
        }
        if (dgate) dgate(t, 0) += sum * s * (T(1) - s);
      }
    });
  });
}

}  // namespace plume::inline PLUME_ABI
#endif
