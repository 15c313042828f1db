// Included once per level by for_each_level.hpp: softmax and cross-entropy.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

inline float largest_of(const float* x, Index size) {
  const float none = -__builtin_inff();
  V::Register even = V::set(none), odd = even;
  Index i = 0;
  for (; i + 2 * V::width <= size; i += 2 * V::width) {
    even = V::max(V::load(x + i), even);
    odd = V::max(V::load(x + i + V::width), odd);
  }
  for (; i < size; i += V::width) even = V::max(load_or(x + i, size - i < V::width ? size - i : V::width, none), even);
  return V::largest(V::max(even, odd));
}

struct Exponentials {
  float largest, total;  // of x, and of exp(x - largest)
};

// y = factor * exp(x - largest) / total, for a row; y may be x, or absent. A long row is read in blocks that stay in the first-level cache:
// each is written relative to the largest element so far, which the last pass over y corrects.
inline Exponentials exponentials(float* y, const float* x, Index size, float factor) {
  constexpr Index most_blocks = 64;
  const Index wanted = (size + most_blocks * 16 - 1) / (most_blocks * 16) * 16, block = wanted > 1024 ? wanted : 1024;
  float so_far[most_blocks];
  // Not -infinity: a block of nothing else has exponentials of 0.
  float largest = -std::numeric_limits<float>::max(), total = 0;
  for (Index begin = 0; begin < size; begin += block) {
    const Index length = size - begin < block ? size - begin : block;
    const float here = largest_of(x + begin, length);
    if (here > largest) {
      total *= std::exp(largest - here);
      largest = here;
    }
    so_far[begin / block] = largest;
    const V::Register origin = V::set(largest);
    V::Register sum = V::zero();
    for_lanes_in_one_loop(
        length, [&](Index i, Index count) __attribute__((always_inline)) {
          const V::Register e = exponential(V::sub(load_or(x + begin + i, count, -__builtin_inff()), origin));
          sum = V::add(sum, e);
          if (y != nullptr) store(y + begin + i, e, count);
        });
    total += V::sum(sum);
  }
  for (Index begin = 0; y != nullptr && begin < size; begin += block) {
    const V::Register scale = V::set(factor / total * std::exp(so_far[begin / block] - largest));
    float* const to = y + begin;
    for_lanes(
        size - begin < block ? size - begin : block, [&](Index i, Index count) __attribute__((always_inline)) {
          store(to + i, V::mul(load(to + i, count), scale), count);
        });
  }
  return {largest, total};
}

// y = exp(x - max) / sum
inline void softmax(View<float, 2> y, View<const float, 2> x) {
  for (Index r = 0; r < x.rows(); ++r) exponentials(y.row(r), x.row(r), x.columns(), 1.0f);
}

// dx += y * (dy - sum(dy * y))
inline void softmax_backward(View<float, 2> dx, View<const float, 2> dy, View<const float, 2> y) {
  for (Index r = 0; r < dx.rows(); ++r) {
    float* const to = dx.row(r);
    const float *const gradient = dy.row(r), *const value = y.row(r);
    const V::Register pull = V::set(sum_lanes(
        dx.columns(), [&](Index i, Index count, V::Register sum)
                          __attribute__((always_inline)) { return V::fma(load(gradient + i, count), load(value + i, count), sum); }));
    for_lanes(
        dx.columns(), [&](Index i, Index count) __attribute__((always_inline)) {
          const V::Register g = V::sub(load(gradient + i, count), pull);
          store(to + i, V::fma(load(value + i, count), g, load(to + i, count)), count);
        });
  }
}

// losses = log(sum(exp(logits))) - logits[target], 0 where the target is ignored; with a scale the logits become scale * (softmax -
// onehot).
inline void cross_entropy(View<float, 2> logits, std::span<const TokenId> targets, View<float, 1> losses, const float* gradient_scale) {
  for (Index r = 0; r < logits.rows(); ++r) {
    float* const row = logits.row(r);
    const TokenId target = targets[static_cast<std::size_t>(r)];
    losses[r] = 0;
    if (target == ignored_target) {
      if (gradient_scale != nullptr) std::fill(row, row + logits.columns(), 0.0f);
      continue;
    }
    const float chosen = row[target];
    const Exponentials of_row =
        exponentials(gradient_scale ? row : nullptr, row, logits.columns(), gradient_scale ? *gradient_scale : 0.0f);
    if (gradient_scale != nullptr) row[target] -= *gradient_scale;
    losses[r] = static_cast<float>(std::log(static_cast<double>(of_row.total)) +
                                   (static_cast<double>(of_row.largest) - static_cast<double>(chosen)));
  }
}

inline constexpr SoftmaxTable<float> softmax_level{softmax, softmax_backward, cross_entropy};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
