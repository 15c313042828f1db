#pragma once
// Numbers as ggml's blocks. Q8_0 and Q4_0 are those of Python's gguf package, bit by bit. Q4_K and Q6_K leave open which levels and scales
// come nearest to the weights; they are searched for here by the sum of squared errors.
#include <span>
#include <string>

#include "plume/base/config.hpp"
#include "plume/base/gguf.hpp"

namespace plume::inline PLUME_ABI {

// Whether plume writes tensors of this type: F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K.
PLUME_FUNCTION bool can_quantise(GgmlType type);

// Whole blocks of a type from as many weights. ArgumentError: a type that can_quantise() denies, sizes that do not belong together.
// NumericError naming the index: a weight that is not finite, or beyond what 16 bits hold; F32, F16 and BF16 hold NaN and infinity.
PLUME_FUNCTION void quantise(GgmlType type, std::span<const float> weights, std::span<std::byte> blocks);

// The names of the types that plume writes, for errors.
PLUME_FUNCTION std::string quantised_types();

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "plume/base/error.hpp"
#include "plume/base/half.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

namespace gguf_quantise {

using Bytes = std::uint8_t*;

inline void put(Bytes at, Half value) { std::memcpy(at, &value.bits, sizeof value.bits); }
inline std::uint8_t low_byte(int value) { return static_cast<std::uint8_t>(value & 255); }
// 1 / scale; 0 for scales of no block worth writing: 0, and those whose inverse no float holds.
inline float inverse_of(float scale) {
  const float inverse = 1.0f / scale;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

template <class T>
void number(Bytes b, const float* x) {
  const T value(*x);
  std::memcpy(b, &value, sizeof value);
}

inline void q8_0(Bytes b, const float* x) {
  float largest = 0;
  for (int j = 0; j < 32; ++j) largest = std::max(largest, std::abs(x[j]));
  const float d = largest / 127.0f, inverse = inverse_of(d);
  put(b, Half(d));
  for (int j = 0; j < 32; ++j) b[2 + j] = low_byte(static_cast<int>(std::round(x[j] * inverse)));
}

inline void q4_0(Bytes b, const float* x) {
  float largest = x[0];
  for (int j = 1; j < 32; ++j)
    if (std::abs(x[j]) > std::abs(largest)) largest = x[j];
  const float d = largest / -8.0f, inverse = inverse_of(d);
  put(b, Half(d));
  const auto level = [&](float weight) {
    const volatile float product = weight * inverse;  // rounded by itself, whatever the compiler fuses
    return std::min(15, static_cast<int>(product + 8.5f));
  };
  for (int j = 0; j < 16; ++j) b[2 + j] = low_byte(level(x[j]) | level(x[j + 16]) << 4);
}

// ---- the K types: 256 weights in groups, whose scales are whole numbers in units of a scale of 16 bits ----

// The nearest half; where halfs are coarse, below 2^-14, the next that is not nearer to zero, so that no whole number beyond the largest is
// needed.
inline Half unit_of(double value) {
  Half half(static_cast<float>(value));
  if (std::abs(static_cast<double>(static_cast<float>(half))) < std::abs(value) * (1 - 0x1p-10)) ++half.bits;
  return half;
}
inline int nearest(double value, int lowest, int highest) {
  return static_cast<int>(std::clamp(std::floor(value + 0.5), static_cast<double>(lowest), static_cast<double>(highest)));
}

// Weights as scale * level + lowest, level in [0, 15], lowest <= 0.
struct Line {
  double scale = 0, lowest = 0;
};
// The line that comes nearest to 32 weights: levels by lines of several slopes, then the best line for those levels.
inline Line nearest_line(const float* x) {
  const float low = std::min(0.0f, *std::min_element(x, x + 32)), high = std::max(0.0f, *std::max_element(x, x + 32));
  Line best;
  double sum_x = 0, sum_xx = 0;
  for (int i = 0; i < 32; ++i) sum_x += static_cast<double>(x[i]), sum_xx += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double least = sum_xx;
  if (!(high > low)) return best;
  for (int step = -10; step <= 10; ++step) {
    const float slope = (15.0f + 0.1f * static_cast<float>(step)) / (high - low);
    if (!std::isfinite(slope)) break;
    int sum_q = 0, sum_qq = 0;
    double sum_qx = 0;
    for (int i = 0; i < 32; ++i) {
      const int q = std::min(15, static_cast<int>((x[i] - low) * slope + 0.5f));
      sum_q += q, sum_qq += q * q, sum_qx += static_cast<double>(q) * static_cast<double>(x[i]);
    }
    const int spread = 32 * sum_qq - sum_q * sum_q;
    Line line;
    if (spread > 0) {
      line.scale = (32 * sum_qx - sum_q * sum_x) / spread;
      line.lowest = (sum_x - line.scale * sum_q) / 32;
    } else if (sum_q == 0) {  // all weights are one
      line.lowest = sum_x / 32;
    }
    if (sum_q > 0 && (spread == 0 || line.lowest > 0)) line = {sum_qx / sum_qq, 0};
    const double error =
        sum_xx + line.scale * (line.scale * sum_qq + 2 * line.lowest * sum_q - 2 * sum_qx) + line.lowest * (32 * line.lowest - 2 * sum_x);
    if (line.scale >= 0 && error < least) least = error, best = line;
  }
  return best;
}

// The levels nearest to some weights when w = scale * level + lowest, and the sum of squared errors.
template <std::size_t count>
struct Levels {
  std::array<std::int8_t, count> q;
  double error;
};
template <std::size_t count, int first, int last>
Levels<count> nearest_levels(const float* x, float scale, float lowest) {
  Levels<count> result{};
  const float inverse = inverse_of(scale);
  for (std::size_t i = 0; i < count; ++i) {
    const float exact = std::clamp((x[i] - lowest) * inverse, static_cast<float>(first), static_cast<float>(last));
    const int q = static_cast<int>(std::floor(exact + 0.5f));
    const double difference = static_cast<double>(scale * static_cast<float>(q) + lowest) - static_cast<double>(x[i]);
    result.q[i] = static_cast<std::int8_t>(q);
    result.error += difference * difference;
  }
  return result;
}

inline void q4_k(Bytes b, const float* x) {
  std::array<Line, 8> lines;
  double largest_scale = 0, lowest = 0;
  for (int j = 0; j < 8; ++j) {
    Line& line = lines[static_cast<std::size_t>(j)] = nearest_line(x + 32 * j);
    largest_scale = std::max(largest_scale, line.scale), lowest = std::min(lowest, line.lowest);
  }
  const Half d = unit_of(largest_scale / 63), minimum = unit_of(-lowest / 63);
  put(b, d), put(b + 2, minimum);
  std::memset(b + 4, 0, 140);
  for (int j = 0; j < 8; ++j) {
    const Line& line = lines[static_cast<std::size_t>(j)];
    const float unit = static_cast<float>(d), offset_unit = static_cast<float>(minimum);
    const int scale = nearest(line.scale * static_cast<double>(inverse_of(unit)), 0, 63),
              offset = nearest(-line.lowest * static_cast<double>(inverse_of(offset_unit)), 0, 63);
    int best_scale = 0, best_offset = 0;
    Levels<32> best = nearest_levels<32, 0, 15>(x + 32 * j, 0, 0);
    for (int s = std::max(0, scale - 1); s <= std::min(63, scale + 1);
         ++s)  // whole numbers beside the nearest may suit both together better
      for (int m = std::max(0, offset - 1); m <= std::min(63, offset + 1); ++m)
        if (const auto levels = nearest_levels<32, 0, 15>(x + 32 * j, unit * static_cast<float>(s), -offset_unit * static_cast<float>(m));
            levels.error < best.error)
          best = levels, best_scale = s, best_offset = m;
    if (j < 4) {  // six bits each in 12 bytes; dequantise() says how
      b[4 + j] = low_byte(best_scale), b[8 + j] = low_byte(best_offset);
    } else {
      b[8 + j] = low_byte((best_scale & 15) | (best_offset & 15) << 4);
      b[j] = low_byte(b[j] | best_scale >> 4 << 6), b[4 + j] = low_byte(b[4 + j] | best_offset >> 4 << 6);
    }
    for (int i = 0; i < 32; ++i) {
      std::uint8_t& byte = b[16 + j / 2 * 32 + i];
      byte = low_byte(byte | best.q[static_cast<std::size_t>(i)] << 4 * (j % 2));
    }
  }
}

// The scale that brings levels of [-32, 31] nearest to 16 weights: levels by several scales of either sign, then the best scale for those.
inline double nearest_scale(const float* x) {
  const float extreme = *std::max_element(x, x + 16, [](float a, float b) { return std::abs(a) < std::abs(b); });
  double best = 0, most = 0;
  for (const float level : {-32.0f, 31.0f})
    for (int step = -9; step <= 9; ++step) {
      const float inverse = (level + 0.1f * static_cast<float>(step)) / extreme;
      if (!std::isfinite(inverse)) break;
      int sum_qq = 0;
      double sum_qx = 0;
      for (int i = 0; i < 16; ++i) {
        const int q = static_cast<int>(std::floor(std::clamp(x[i] * inverse, -32.0f, 31.0f) + 0.5f));
        sum_qq += q * q, sum_qx += static_cast<double>(q) * static_cast<double>(x[i]);
      }
      if (sum_qq > 0 && sum_qx * sum_qx > most * sum_qq) most = sum_qx * sum_qx / sum_qq, best = sum_qx / sum_qq;
    }
  return best;
}

inline void q6_k(Bytes b, const float* x) {
  std::array<double, 16> scales;
  double extreme = 0;
  for (std::size_t j = 0; j < 16; ++j) {
    scales[j] = nearest_scale(x + 16 * j);
    if (std::abs(scales[j]) > std::abs(extreme)) extreme = scales[j];
  }
  const Half d = unit_of(0 - extreme / 128);
  const float unit = static_cast<float>(d);
  std::memset(b, 0, 208);
  put(b + 208, d);
  for (int j = 0; j < 16; ++j) {
    const int scale = nearest(scales[static_cast<std::size_t>(j)] * static_cast<double>(inverse_of(unit)), -128, 127);
    int best_scale = 0;
    Levels<16> best = nearest_levels<16, -32, 31>(x + 16 * j, 0, 0);
    for (int s = std::max(-128, scale - 1); s <= std::min(127, scale + 1); ++s)
      if (const auto levels = nearest_levels<16, -32, 31>(x + 16 * j, unit * static_cast<float>(s), 0); levels.error < best.error)
        best = levels, best_scale = s;
    b[192 + j] = low_byte(best_scale);
    for (int i = 0; i < 16; ++i) {
      const int at = 16 * j + i, part = at / 32 % 4, level = best.q[static_cast<std::size_t>(i)] + 32;
      std::uint8_t &low = b[64 * (at / 128) + 32 * (part % 2) + at % 32], &high = b[128 + 32 * (at / 128) + at % 32];
      low = low_byte(low | (level & 15) << 4 * (part / 2));
      high = low_byte(high | level >> 4 << 2 * part);
    }
  }
}

struct Encoder {
  GgmlType type;
  void (*block)(Bytes b, const float* x);
  float limit;     // of the finite weights that it holds
  bool holds_all;  // NaN and infinity too
};
inline constexpr float half_limit = 65520, bfloat16_limit = 0x1.ffp127f;  // these are rounded to infinity
inline constexpr Encoder encoders[] = {{GgmlType::f32, number<float>, std::numeric_limits<float>::infinity(), true},
                                       {GgmlType::f16, number<Half>, half_limit, true},
                                       {GgmlType::bf16, number<Bfloat16>, bfloat16_limit, true},
                                       {GgmlType::q8_0, q8_0, half_limit, false},
                                       {GgmlType::q4_0, q4_0, half_limit, false},
                                       {GgmlType::q4_k, q4_k, half_limit, false},
                                       {GgmlType::q6_k, q6_k, half_limit, false}};
inline const Encoder* find(GgmlType type) {
  for (const Encoder& each : encoders)
    if (each.type == type) return &each;
  return nullptr;
}

// The first weight that the type cannot hold.
inline std::optional<std::size_t> unfit(const Encoder& encoder, std::span<const float> weights) {
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (const float size = std::abs(weights[i]); std::isfinite(size) ? size >= encoder.limit : !encoder.holds_all) return i;
  return std::nullopt;
}

}  // namespace gguf_quantise

PLUME_FUNCTION bool can_quantise(GgmlType type) { return gguf_quantise::find(type) != nullptr; }

PLUME_FUNCTION void quantise(GgmlType type, std::span<const float> weights, std::span<std::byte> blocks) {
  const gguf_quantise::Encoder* const encoder = gguf_quantise::find(type);
  require(encoder != nullptr, "[quantise] type ", static_cast<std::uint32_t>(type), " is not written; known: ", quantised_types());
  const GgmlLayout& layout = layout_of(type);
  require(weights.size() % layout.weights == 0 && blocks.size() == weights.size() / layout.weights * layout.bytes, "[quantise] ",
          weights.size(), " weights for ", blocks.size(), " bytes of ", layout.name, ": a block has ", layout.bytes, " bytes for ",
          layout.weights);
  if (const auto at = gguf_quantise::unfit(*encoder, weights))
    throw NumericError(concat("weight ", *at, " is ", weights[*at], ", which ", layout.name, " cannot hold: use F32"));
  auto* into = reinterpret_cast<std::uint8_t*>(blocks.data());
  for (std::size_t i = 0; i < weights.size(); i += layout.weights, into += layout.bytes) encoder->block(into, weights.data() + i);
}

PLUME_FUNCTION std::string quantised_types() {
  std::string names;
  for (const gguf_quantise::Encoder& each : gguf_quantise::encoders)
    names.append(names.empty() ? "" : ", ").append(layout_of(each.type).name);
  return names;
}

}  // namespace plume::inline PLUME_ABI
#endif
