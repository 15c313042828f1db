// Included once per level by for_each_level.hpp: activations and gated units. Blocks of a row pass through `activate`, so that each
// activation is compiled once per level.
namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL {

inline constexpr Index activation_block = 256;

// x * sigmoid(u) with u = x (linear + cubic x^2): SiLU with cubic = 0, and GELU, since (1 + tanh(u / 2)) / 2 = sigmoid(u).
[[gnu::noinline]] inline void activate_logistic(float linear, float cubic, const float* x, float limit, Index size, float* value,
                                                float* slope) {
  const V::Register one = V::set(1.0f), bound = V::set(1e12f);
  for_lanes_in_one_loop(
      size, [&](Index i, Index count) __attribute__((always_inline)) {
        const V::Register given = load(x + i, count), in = V::min(V::set(limit), given);
        // Far out the sigmoid is 0 or 1; the bound keeps the square finite.
        const V::Register near = V::min(bound, V::max(V::sub(V::zero(), bound), in)), square = V::mul(near, near);
        const V::Register u = V::mul(near, V::fma(V::set(cubic), square, V::set(linear)));
        const V::Register e = exponential(V::sub(V::zero(), u)), s = V::div(one, V::add(one, e)), y = V::mul(in, s);
        store(value + i, y, count);
        if (slope == nullptr) return;
        const V::Register steepness = V::fma(V::set(3.0f * cubic), square, V::set(linear));
        const V::Register rest = V::mul(V::min(e, V::set(1e30f)), s);  // 1 - s, to the last place
        const V::Register derivative = V::fma(V::mul(y, rest), steepness, s);
        store(slope + i, V::select_greater(given, V::set(limit), V::zero(), derivative), count);
      });
}

// x * Phi(x), Phi the distribution of a standard normal variable.
[[gnu::noinline]] inline void activate_gelu_erf(const float* x, float limit, Index size, float* value, float* slope) {
  for_lanes_in_one_loop(
      size, [&](Index i, Index count) __attribute__((always_inline)) {
        const V::Register given = load(x + i, count), in = V::min(V::set(limit), given), below = normal_distribution(in);
        store(value + i, V::mul(in, below), count);
        if (slope == nullptr) return;
        const V::Register density = V::mul(V::set(0.39894228040143267794f), exponential(V::mul(V::set(-0.5f), V::mul(in, in))));
        store(slope + i, V::select_greater(given, V::set(limit), V::zero(), V::fma(in, density, below)), count);
      });
}

[[gnu::noinline]] inline void activate_relu(const float* x, float limit, Index size, float* value, float* slope) {
  for_lanes_in_one_loop(
      size, [&](Index i, Index count) __attribute__((always_inline)) {
        const V::Register given = load(x + i, count), in = V::min(V::set(limit), given);
        store(value + i, V::select_greater(in, V::zero(), in, V::zero()), count);
        if (slope == nullptr) return;
        const V::Register inside = V::select_greater(given, V::set(limit), V::zero(), V::set(1.0f));
        store(slope + i, V::select_greater(in, V::zero(), inside, V::zero()), count);
      });
}

// activation(min(x, limit)), and its derivative where there is room for it.
[[gnu::noinline]] inline void activate(const Activation& rule, const float* x, float limit, Index size, float* value, float* slope) {
  constexpr float gelu = 2 * 0.79788456080286535588f;  // 2 sqrt(2 / pi)
  if (rule.kind == ActivationKind::gelu_erf) return activate_gelu_erf(x, limit, size, value, slope);
  if (rule.kind == ActivationKind::relu) return activate_relu(x, limit, size, value, slope);
  const bool is_silu = rule.kind == ActivationKind::silu;
  activate_logistic(is_silu ? static_cast<float>(rule.slope) : gelu, is_silu ? 0.0f : gelu * 0.044715f, x, limit, size, value, slope);
}

// y = activation(x)
inline void activation(View<float, 2> y, View<const float, 2> x, const Activation& rule) {
  for (Index r = 0; r < y.rows(); ++r) activate(rule, x.row(r), __builtin_inff(), y.columns(), y.row(r), nullptr);
}

// y = activation(min(gate, limit)) * (clamp(up, -limit, limit) + shift)
inline void gated(View<float, 2> y, View<const float, 2> gate, View<const float, 2> up, const Activation& rule) {
  const float limit = static_cast<float>(rule.limit);
  const V::Register high = V::set(limit), low = V::set(-limit), shift = V::set(static_cast<float>(rule.shift));
  for (Index r = 0; r < y.rows(); ++r) {
    for (Index c = 0; c < y.columns(); c += activation_block) {
      const Index left = y.columns() - c, size = left < activation_block ? left : activation_block;
      float value[activation_block];
      activate(rule, gate.row(r) + c, limit, size, value, nullptr);
      float* const to = y.row(r) + c;
      const float* const linear = up.row(r) + c;
      for_lanes_in_one_loop(
          size, [&](Index i, Index count) __attribute__((always_inline)) {
            const V::Register in = V::max(low, V::min(high, load(linear + i, count)));
            store(to + i, V::mul(load(value + i, count), V::add(in, shift)), count);
          });
    }
  }
}

// dgate += dy * activation'(gate) * (up + shift);  dup += dy * activation(gate); either may be absent. Without `up`: dgate += dy *
// activation'(gate).
inline void add_gated_gradients(View<float, 2> dgate, View<float, 2> dup, View<const float, 2> dy, View<const float, 2> gate,
                                View<const float, 2> up, const Activation& rule, float limit) {
  const V::Register high = V::set(limit), low = V::set(-limit), shift = V::set(static_cast<float>(rule.shift));
  for (Index r = 0; r < dy.rows(); ++r) {
    for (Index c = 0; c < dy.columns(); c += activation_block) {
      const Index left = dy.columns() - c, size = left < activation_block ? left : activation_block;
      float value[activation_block], slope[activation_block];
      activate(rule, gate.row(r) + c, limit, size, value, slope);
      float* const to_gate = dgate ? dgate.row(r) + c : nullptr;
      float* const to_up = dup ? dup.row(r) + c : nullptr;
      const float *const from = dy.row(r) + c, *const linear = up ? up.row(r) + c : nullptr;
      for_lanes_in_one_loop(
          size, [&](Index i, Index count) __attribute__((always_inline)) {
            const V::Register gradient = load(from + i, count), given = linear != nullptr ? load(linear + i, count) : V::zero();
            if (to_gate != nullptr) {
              const V::Register factor = linear != nullptr ? V::add(V::max(low, V::min(high, given)), shift) : V::set(1.0f);
              const V::Register through = V::mul(gradient, load(slope + i, count));
              store(to_gate + i, V::fma(through, factor, load(to_gate + i, count)), count);
            }
            if (to_up != nullptr) {
              const V::Register inside = V::select_greater(V::abs(given), high, V::zero(), gradient);
              store(to_up + i, V::fma(inside, load(value + i, count), load(to_up + i, count)), count);
            }
          });
    }
  }
}
inline void gated_backward(View<float, 2> dgate, View<float, 2> dup, View<const float, 2> dy, View<const float, 2> gate,
                           View<const float, 2> up, const Activation& rule) {
  add_gated_gradients(dgate, dup, dy, gate, up, rule, static_cast<float>(rule.limit));
}
inline void activation_backward(View<float, 2> dx, View<const float, 2> dy, View<const float, 2> x, const Activation& rule) {
  add_gated_gradients(dx, {}, dy, x, {}, rule, __builtin_inff());
}

inline constexpr ActivationTable<float> activation_level{activation, activation_backward, gated, gated_backward};

}  // namespace plume::inline PLUME_ABI::kernels::PLUME_LEVEL
