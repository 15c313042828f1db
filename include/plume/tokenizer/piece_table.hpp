#pragma once
// From the bytes of a piece to a number, for the inner loop of encoding: open addressing; keys of up to 16 bytes are compared in two
// registers, longer ones by their hash and then their bytes.
#include <bit>
#include <cstring>
#include <string_view>
#include <vector>

#include "plume/base/config.hpp"
#include "plume/base/huge_pages.hpp"

namespace plume::inline PLUME_ABI {

struct PieceKey {
  std::uint64_t first, second, hash;
  std::uint32_t length;
};

namespace piece_keys {
inline std::uint64_t load(const char* from) {
  std::uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}
inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t h = (a ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
  h = (std::rotl(h, 29) ^ b) * 0xc4ceb9fe1a85ec53u;
  return h ^ h >> 32;
}
constexpr std::uint64_t low_bytes(std::size_t count) { return count >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << 8 * count) - 1; }
}  // namespace piece_keys

// `readable`: bytes from piece.data() on that may be read.
inline PieceKey piece_key(std::string_view piece, std::size_t readable) {
  namespace keys = piece_keys;
  PieceKey key{0, 0, 0, static_cast<std::uint32_t>(piece.size())};
  if (piece.size() <= 16) [[likely]] {
    if (readable >= 16 && std::endian::native == std::endian::little) [[likely]] {
      key.first = keys::load(piece.data()) & keys::low_bytes(piece.size());
      key.second = piece.size() > 8 ? keys::load(piece.data() + 8) & keys::low_bytes(piece.size() - 8) : 0;
    } else {
      char padded[16] = {};
      std::memcpy(padded, piece.data(), piece.size());
      key.first = keys::load(padded), key.second = keys::load(padded + 8);
    }
    key.hash = keys::mix(key.first ^ key.length, key.second);
    return key;
  }
  std::uint64_t hash = piece.size();
  std::size_t at = 0;
  for (; at + 16 <= piece.size(); at += 16) hash = keys::mix(hash ^ keys::load(piece.data() + at), keys::load(piece.data() + at + 8));
  const std::size_t rest = piece.size() - 16;
  hash = keys::mix(hash ^ keys::load(piece.data() + rest), keys::load(piece.data() + rest + 8));
  key.first = hash, key.second = ~hash, key.hash = hash;
  return key;
}

class PieceTable {
 public:
  static constexpr std::uint32_t absent = 0xffffffff;

  explicit PieceTable(std::size_t expected = 0) : slots_(std::bit_ceil(2 * expected + 2)) {}

  // `text_of(value)` gives the bytes of a value that was inserted; asked only for keys longer than 16 bytes.
  template <class TextOf>
  std::uint32_t find(const PieceKey& key, std::string_view piece, TextOf&& text_of) const {
    for (std::size_t at = key.hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[at];
      if (slot.value == absent) return absent;
      if (slot.first == key.first && slot.second == key.second && slot.length == key.length &&
          (key.length <= 16 || std::string_view(text_of(slot.value)) == piece))
        return slot.value;
    }
  }
  void prefetch(const PieceKey& key) const { __builtin_prefetch(&slots_[key.hash & (slots_.size() - 1)]); }
  // The key must not be there yet.
  void insert(const PieceKey& key, std::uint32_t value) {
    if (2 * ++count_ > slots_.size()) grow();
    place({key.first, key.second, key.length, value}, key.hash);
  }
  std::size_t size() const { return count_; }

 private:
  struct Slot {
    std::uint64_t first = 0, second = 0;
    std::uint32_t length = 0, value = absent;
  };
  void place(const Slot& slot, std::uint64_t hash) {
    std::size_t at = hash & (slots_.size() - 1);
    while (slots_[at].value != absent) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
  void grow() {
    TableVector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.value != absent) place(slot, slot.length <= 16 ? piece_keys::mix(slot.first ^ slot.length, slot.second) : slot.first);
  }
  TableVector<Slot> slots_;
  std::size_t count_ = 0;
};

}  // namespace plume::inline PLUME_ABI
