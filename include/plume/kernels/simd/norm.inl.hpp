// Included once per level by for_each_level.hpp: normalisation. An RMS norm is a layer norm whose mean is taken to be 0.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

PLUME_INLINE V::Register normalized(V::Register x, V::Register mean, V::Register inverse) { return V::mul(V::sub(x, mean), inverse); }

// y = (x - mean) * inverse * weight + bias, with 1 / inverse the root of the mean of (x - mean)^2 + epsilon
inline void normalize_row(float* y, const float* x, const float* weight, const float* bias, Index size, float mean, double epsilon,
                          float* inverse_deviation) {
  const V::Register m = V::set(mean);
  const float squares = sum_lanes(
      size, [&](Index i, Index count, V::Register sum) __attribute__((always_inline)) {
        const V::Register gap = V::sub(load_or(x + i, count, mean), m);
        return V::fma(gap, gap, sum);
      });
  const float inverse = 1.0f / __builtin_sqrtf(squares / static_cast<float>(size) + static_cast<float>(epsilon));
  const V::Register scale = V::set(inverse);
  for_lanes(
      size, [&](Index i, Index count) __attribute__((always_inline)) {
        const V::Register n = normalized(load(x + i, count), m, scale), w = load(weight + i, count);
        store(y + i, bias != nullptr ? V::fma(n, w, load(bias + i, count)) : V::mul(n, w), count);
      });
  if (inverse_deviation != nullptr) *inverse_deviation = inverse;
}

// With g = dy * weight, n = (x - mean) * inverse: dx += (g - mean(g) - n mean(g n)) * inverse, mean(g) taken to be 0 in an RMS norm;
// dweight += dy * n;  dbias += dy. Each of the three may be absent.
inline void normalize_row_backward(float* dx, float* dweight, float* dbias, const float* dy, const float* x, const float* weight,
                                   Index size, float mean, float inverse, bool has_mean) {
  const V::Register m = V::set(mean), scale = V::set(inverse);
  const float count_of_row = static_cast<float>(size);
  float mean_g = 0, mean_gn = 0;
  if (dx != nullptr) {
    mean_gn = sum_lanes(
                  size,
                  [&](Index i, Index count, V::Register sum) __attribute__((always_inline)) {
                    const V::Register g = V::mul(load(dy + i, count), load(weight + i, count));
                    return V::fma(g, normalized(load(x + i, count), m, scale), sum);
                  }) /
              count_of_row;
    if (has_mean) {
      mean_g = sum_lanes(
                   size, [&](Index i, Index count, V::Register sum)
                             __attribute__((always_inline)) { return V::fma(load(dy + i, count), load(weight + i, count), sum); }) /
               count_of_row;
    }
  }
  const V::Register pull = V::set(-mean_gn), shift = V::set(-mean_g);
  for_lanes_in_one_loop(
      size, [&](Index i, Index count) __attribute__((always_inline)) {
        const V::Register gradient = load(dy + i, count), n = normalized(load(x + i, count), m, scale);
        if (dx != nullptr) {
          const V::Register g = V::fma(gradient, load(weight + i, count), shift);
          store(dx + i, V::fma(V::fma(n, pull, g), scale, load(dx + i, count)), count);
        }
        if (dweight != nullptr) store(dweight + i, V::fma(gradient, n, load(dweight + i, count)), count);
        if (dbias != nullptr) store(dbias + i, V::add(gradient, load(dbias + i, count)), count);
      });
}

inline void rms_norm(View<float, 2> y, View<float, 1> inverse_rms, View<const float, 2> x, View<const float, 1> weight, double epsilon) {
  for (Index r = 0; r < x.rows(); ++r)
    normalize_row(y.row(r), x.row(r), weight.data(), nullptr, x.columns(), 0.0f, epsilon, inverse_rms ? &inverse_rms[r] : nullptr);
}

inline void rms_norm_backward(View<float, 2> dx, View<float, 1> dweight, View<const float, 2> dy, View<const float, 2> x,
                              View<const float, 1> weight, View<const float, 1> inverse_rms) {
  for (Index r = 0; r < x.rows(); ++r) {
    normalize_row_backward(dx ? dx.row(r) : nullptr, dweight.data(), nullptr, dy.row(r), x.row(r), weight.data(), x.columns(), 0.0f,
                           inverse_rms[r], false);
  }
}

inline void layer_norm(View<float, 2> y, View<float, 1> means, View<float, 1> inverse_deviations, View<const float, 2> x,
                       View<const float, 1> weight, View<const float, 1> bias, double epsilon) {
  for (Index r = 0; r < x.rows(); ++r) {
    const float* const row = x.row(r);
    const float mean = sum_lanes(
                           x.columns(), [&](Index i, Index count, V::Register sum)
                                            __attribute__((always_inline)) { return V::add(sum, load(row + i, count)); }) /
                       static_cast<float>(x.columns());
    normalize_row(y.row(r), row, weight.data(), bias.data(), x.columns(), mean, epsilon,
                  inverse_deviations ? &inverse_deviations[r] : nullptr);
    if (means) means[r] = mean;
  }
}

inline void layer_norm_backward(View<float, 2> dx, View<float, 1> dweight, View<float, 1> dbias, View<const float, 2> dy,
                                View<const float, 2> x, View<const float, 1> weight, View<const float, 1> means,
                                View<const float, 1> inverse_deviations) {
  for (Index r = 0; r < x.rows(); ++r) {
    normalize_row_backward(dx ? dx.row(r) : nullptr, dweight.data(), dbias.data(), dy.row(r), x.row(r), weight.data(), x.columns(),
                           means[r], inverse_deviations[r], true);
  }
}

inline constexpr NormTable<float> norm_level{rms_norm, rms_norm_backward, layer_norm, layer_norm_backward};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
