#pragma once
// SHA-256 (FIPS 180-4): names the content of files that others published.
#include <array>
#include <bit>
#include <span>
#include <string>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

class Sha256 {
 public:
  using Digest = std::array<std::byte, 32>;
  PLUME_FUNCTION void add(std::span<const std::byte> bytes);
  // Of all bytes added; nothing can be added any more.
  PLUME_FUNCTION Digest finish();

 private:
  PLUME_FUNCTION void mix();
  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> block_ = {};
  std::size_t filled_ = 0;
  std::uint64_t length_ = 0;
};

// Sixty-four hexadecimal digits, lower case.
PLUME_FUNCTION std::string hexadecimal(const Sha256::Digest& digest);

// Of all bytes at once, as such digits.
PLUME_FUNCTION std::string sha256(std::span<const std::byte> bytes);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <algorithm>

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void Sha256::add(std::span<const std::byte> bytes) {
  length_ += bytes.size();
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), block_.size() - filled_);
    std::copy_n(bytes.begin(), count, block_.begin() + static_cast<std::ptrdiff_t>(filled_));
    filled_ += count;
    bytes = bytes.subspan(count);
    if (filled_ == block_.size()) mix();
  }
}

PLUME_FUNCTION Sha256::Digest Sha256::finish() {
  const std::uint64_t bits = length_ * 8;
  constexpr std::byte end{0x80}, zero{};
  add({&end, 1});
  while (filled_ != 56) add({&zero, 1});
  for (int shift = 56; shift >= 0; shift -= 8) {
    const auto byte = static_cast<std::byte>(bits >> shift & 0xff);
    add({&byte, 1});
  }
  Digest digest;
  for (std::size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<std::byte>(state_[i / 4] >> (24 - 8 * (i % 4)) & 0xff);
  return digest;
}

PLUME_FUNCTION void Sha256::mix() {
  // The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
  static constexpr std::array<std::uint32_t, 64> roots = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
      0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
      0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
      0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
      0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
      0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  filled_ = 0;
  std::array<std::uint32_t, 64> w{};
  for (std::size_t i = 0; i < block_.size(); ++i) w[i / 4] = w[i / 4] << 8 | static_cast<std::uint32_t>(block_[i]);
  for (std::size_t i = 16; i < 64; ++i) {
    const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  std::array<std::uint32_t, 8> v = state_;
  for (std::size_t i = 0; i < 64; ++i) {
    const std::uint32_t s1 = std::rotr(v[4], 6) ^ std::rotr(v[4], 11) ^ std::rotr(v[4], 25), choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
    const std::uint32_t s0 = std::rotr(v[0], 2) ^ std::rotr(v[0], 13) ^ std::rotr(v[0], 22);
    const std::uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]), t = v[7] + s1 + choice + roots[i] + w[i];
    v = {t + s0 + majority, v[0], v[1], v[2], v[3] + t, v[4], v[5], v[6]};
  }
  for (std::size_t i = 0; i < state_.size(); ++i) state_[i] += v[i];
}

PLUME_FUNCTION std::string hexadecimal(const Sha256::Digest& digest) {
  std::string text;
  for (const std::byte byte : digest)
    for (const int shift : {4, 0}) text.push_back("0123456789abcdef"[static_cast<unsigned>(byte) >> shift & 15]);
  return text;
}

PLUME_FUNCTION std::string sha256(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hexadecimal(hash.finish());
}

}  // namespace plume::inline PLUME_ABI
#endif
