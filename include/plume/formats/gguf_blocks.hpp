#pragma once
// Tensors of GGUF files as numbers: ggml's blocks of quantised weights [ggml src/ggml-common.h, src/ggml-quants.c]. Every product of a
// scale and a level has fewer bits than a float, so that only a minimum's subtraction rounds: the results are those of Python's gguf
// package, bit by bit.
#include <span>
#include <string>

#include "plume/base/config.hpp"
#include "plume/base/gguf.hpp"

namespace plume::inline PLUME_ABI {

// Whether plume reads tensors of this type.
PLUME_FUNCTION bool can_dequantise(GgmlType type);

// Whole blocks of a type as floats; numbers of other widths are converted. `into` has as many elements as the blocks have weights.
// ArgumentError: a type that can_dequantise() denies, sizes that do not belong together.
PLUME_FUNCTION void dequantise(GgmlType type, std::span<const std::byte> blocks, std::span<float> into);

// The names of the types that plume reads, for errors.
PLUME_FUNCTION std::string dequantised_types();

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <array>
#include <bit>
#include <cstring>

#include "plume/base/error.hpp"
#include "plume/base/half.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

namespace gguf_blocks {

using Bytes = const std::uint8_t*;

template <class T>
T little(Bytes at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline float half(Bytes at) { return static_cast<float>(little<Half>(at)); }
inline float real(int value) { return static_cast<float>(value); }

// 32 weights of 4 bits: the low halves of 16 bytes, then the high ones.
template <class Value>
void nibbles(float* w, Bytes q, Value value) {
  for (int j = 0; j < 16; ++j) {
    w[j] = value(q[j] & 15);
    w[j + 16] = value(q[j] >> 4);
  }
}
// The same with a fifth bit from a word of 32.
template <class Value>
void five_bits(float* w, Bytes high, Bytes q, Value value) {
  const auto word = little<std::uint32_t>(high);
  for (int j = 0; j < 16; ++j) {
    w[j] = value((q[j] & 15) | static_cast<int>((word >> j & 1u) << 4));
    w[j + 16] = value((q[j] >> 4) | static_cast<int>((word >> (j + 16) & 1u) << 4));
  }
}

inline void q4_0(float* w, Bytes b) {
  nibbles(w, b + 2, [d = half(b)](int q) { return d * real(q - 8); });
}
inline void q4_1(float* w, Bytes b) {
  nibbles(w, b + 4, [d = half(b), m = half(b + 2)](int q) { return d * real(q) + m; });
}
inline void q5_0(float* w, Bytes b) {
  five_bits(w, b + 2, b + 6, [d = half(b)](int q) { return d * real(q - 16); });
}
inline void q5_1(float* w, Bytes b) {
  five_bits(w, b + 4, b + 8, [d = half(b), m = half(b + 2)](int q) { return d * real(q) + m; });
}
inline void q8_0(float* w, Bytes b) {
  const float d = half(b);
  for (int j = 0; j < 32; ++j) w[j] = d * real(little<std::int8_t>(b + 2 + j));
}

// The levels of IQ4, and twice those of a 4-bit float (2 exponent bits, 1 of mantissa).
inline constexpr std::array<std::int8_t, 16> iq4_levels = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
inline constexpr std::array<std::int8_t, 16> fp4_levels = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

inline void levels(float* w, Bytes q, float scale, const std::array<std::int8_t, 16>& of) {
  nibbles(w, q, [&](int level) { return scale * real(of[static_cast<std::size_t>(level)]); });
}
inline void iq4_nl(float* w, Bytes b) { levels(w, b + 2, half(b), iq4_levels); }
inline void iq4_xs(float* w, Bytes b) {
  const float d = half(b);
  const int high = little<std::uint16_t>(b + 2);
  for (int j = 0; j < 8; ++j) {
    const int scale = (b[4 + j / 2] >> 4 * (j % 2) & 15) | (high >> 2 * j & 3) << 4;
    levels(w + 32 * j, b + 8 + 16 * j, d * real(scale - 32), iq4_levels);
  }
}
inline void mxfp4(float* w, Bytes b) {  // the scale is 2^(e - 128); for e < 2 that is no normal float
  const std::uint32_t e = b[0];
  levels(w, b + 1, std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23), fp4_levels);
}

// The K types: 256 weights, whose groups have small whole numbers as scales, in units of d.
inline void q2_k(float* w, Bytes b) {
  const float d = half(b + 80), minimum = half(b + 82);
  for (int i = 0; i < 256; ++i) {  // two halves of four shifts of 32 weights; a scale for 16
    const int scale = b[i / 16], q = b[16 + i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
    w[i] = d * real(scale & 15) * real(q) - minimum * real(scale >> 4);
  }
}
inline void q3_k(float* w, Bytes b) {
  const float d = half(b + 108);
  for (int i = 0; i < 256; ++i) {
    const int group = i / 16, low = group < 8 ? b[96 + group] & 15 : b[88 + group] >> 4;
    const int scale = (low | (b[104 + group % 4] >> 2 * (group / 4) & 3) << 4) - 32;
    const int q = (b[32 + i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3) - ((b[i % 32] >> i / 32 & 1) ? 0 : 4);
    w[i] = d * real(scale) * real(q);
  }
}
// The scale and the minimum of 6 bits of group j of 8, in 12 bytes.
struct ScaleAndMinimum {
  int scale, minimum;
};
inline ScaleAndMinimum six_bits(Bytes s, int j) {
  if (j < 4) return {s[j] & 63, s[j + 4] & 63};
  return {(s[j + 4] & 15) | s[j - 4] >> 6 << 4, s[j + 4] >> 4 | s[j] >> 6 << 4};
}
// `high` gives a fifth bit, a plane of 32 bytes with a bit for each group; or none.
inline void q4_or_q5_k(float* w, Bytes b, Bytes high, Bytes low) {
  const float d = half(b), minimum = half(b + 2);
  for (int j = 0; j < 8; ++j) {
    const ScaleAndMinimum group = six_bits(b + 4, j);
    const float scale = d * real(group.scale), offset = minimum * real(group.minimum);
    for (int i = 0; i < 32; ++i) {
      const int fifth = high == nullptr ? 0 : (high[i] >> j & 1) << 4;
      w[32 * j + i] = scale * real((low[j / 2 * 32 + i] >> 4 * (j % 2) & 15) | fifth) - offset;
    }
  }
}
inline void q4_k(float* w, Bytes b) { q4_or_q5_k(w, b, nullptr, b + 16); }
inline void q5_k(float* w, Bytes b) { q4_or_q5_k(w, b, b + 16, b + 48); }
inline void q6_k(float* w, Bytes b) {
  const float d = half(b + 208);
  for (int half_block = 0; half_block < 2; ++half_block)
    for (int part = 0; part < 4; ++part)  // 32 weights: 4 bits of a byte, 2 of another
      for (int i = 0; i < 32; ++i) {
        const int low = b[64 * half_block + 32 * (part % 2) + i] >> 4 * (part / 2) & 15;
        const int high = b[128 + 32 * half_block + i] >> 2 * part & 3;
        const int scale = little<std::int8_t>(b + 192 + 8 * half_block + 2 * part + i / 16);
        w[128 * half_block + 32 * part + i] = d * real(scale) * real((low | high << 4) - 32);
      }
}

template <class T>
void number(float* w, Bytes b) {
  *w = static_cast<float>(little<T>(b));
}

// Adjacent blocks of a type.
using Decode = void (*)(float* w, Bytes b, std::size_t blocks);
template <GgmlType type, void (*block)(float*, Bytes)>
void all(float* w, Bytes b, std::size_t blocks) {
  constexpr GgmlLayout layout = layout_of(type);
  for (std::size_t i = 0; i < blocks; ++i, w += layout.weights, b += layout.bytes) block(w, b);
}

struct Decoder {
  GgmlType type;
  Decode decode;
};
template <GgmlType type, void (*block)(float*, Bytes)>
inline constexpr Decoder decoder{type, &all<type, block>};

inline constexpr Decoder decoders[] = {
    decoder<GgmlType::f32, number<float>>,
    decoder<GgmlType::f16, number<Half>>,
    decoder<GgmlType::bf16, number<Bfloat16>>,
    decoder<GgmlType::f64, number<double>>,
    decoder<GgmlType::i8, number<std::int8_t>>,
    decoder<GgmlType::i16, number<std::int16_t>>,
    decoder<GgmlType::i32, number<std::int32_t>>,
    decoder<GgmlType::i64, number<std::int64_t>>,
    decoder<GgmlType::q4_0, q4_0>,
    decoder<GgmlType::q4_1, q4_1>,
    decoder<GgmlType::q5_0, q5_0>,
    decoder<GgmlType::q5_1, q5_1>,
    decoder<GgmlType::q8_0, q8_0>,
    decoder<GgmlType::q2_k, q2_k>,
    decoder<GgmlType::q3_k, q3_k>,
    decoder<GgmlType::q4_k, q4_k>,
    decoder<GgmlType::q5_k, q5_k>,
    decoder<GgmlType::q6_k, q6_k>,
    decoder<GgmlType::iq4_nl, iq4_nl>,
    decoder<GgmlType::iq4_xs, iq4_xs>,
    decoder<GgmlType::mxfp4, mxfp4>,
};
inline const Decoder* find(GgmlType type) {
  for (const Decoder& each : decoders)
    if (each.type == type) return &each;
  return nullptr;
}

}  // namespace gguf_blocks

PLUME_FUNCTION bool can_dequantise(GgmlType type) { return gguf_blocks::find(type) != nullptr; }

PLUME_FUNCTION void dequantise(GgmlType type, std::span<const std::byte> blocks, std::span<float> into) {
  const gguf_blocks::Decoder* const decoder = gguf_blocks::find(type);
  require(decoder != nullptr, "[dequantise] type ", static_cast<std::uint32_t>(type), " is not read; known: ", dequantised_types());
  const GgmlLayout& layout = layout_of(type);
  require(blocks.size() % layout.bytes == 0 && into.size() == blocks.size() / layout.bytes * layout.weights, "[dequantise] ", blocks.size(),
          " bytes of ", layout.name, " for ", into.size(), " weights: a block has ", layout.bytes, " bytes for ", layout.weights);
  decoder->decode(into.data(), reinterpret_cast<const std::uint8_t*>(blocks.data()), blocks.size() / layout.bytes);
}

PLUME_FUNCTION std::string dequantised_types() {
  std::string names;
  for (const gguf_blocks::Decoder& each : gguf_blocks::decoders) names.append(names.empty() ? "" : ", ").append(layout_of(each.type).name);
  return names;
}

}  // namespace plume::inline PLUME_ABI
#endif
