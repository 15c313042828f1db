#pragma once
// Reading binary formats: every access is checked against the bytes that are there, every failure names field and offset.
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/text.hpp"
#include "plume/base/utf8.hpp"

namespace plume::inline PLUME_ABI {

class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string_view path, std::uint64_t first_offset = 0)
      : bytes_(bytes), path_(path), first_offset_(first_offset) {}

  std::uint64_t left() const noexcept { return bytes_.size() - at_; }
  std::uint64_t position() const noexcept { return first_offset_ + at_; }  // in the file

  // A fixed-width little-endian number.
  template <class T>
  requires std::is_arithmetic_v<T> T little(std::string_view field) {
    T value;
    std::memcpy(&value, bytes(sizeof value, field).data(), sizeof value);
    return value;
  }

  // A protobuf varint: at most ten bytes, 64 bits.
  std::uint64_t varint(std::string_view field) {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = little<std::uint8_t>(field);
      if (shift == 63 && byte > 1) fail(field, "a varint has at most 64 bits");
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  }

  // `n`, once it is certain that n elements of at least `min_element_bytes` can still follow and that the limit allows them.
  // The only source of a size for resize() and reserve().
  std::size_t count(std::uint64_t n, std::uint64_t min_element_bytes, std::string_view field, std::string_view limit,
                    std::uint64_t allowed) const {
    if (n > allowed) throw LimitError(where(field), limit, allowed, n);
    if (n > left() / min_element_bytes) fail(field, concat("asks for ", n, " elements, ", left(), " bytes are left"));
    return static_cast<std::size_t>(n);
  }

  std::span<const std::byte> bytes(std::uint64_t n, std::string_view field) {
    if (n > left()) fail(field, concat("the file ends: ", n, " bytes are wanted, ", left(), " are left"));
    const auto part = bytes_.subspan(at_, static_cast<std::size_t>(n));
    at_ += part.size();
    return part;
  }

  // The next n bytes as text, which must be UTF-8.
  std::string_view text(std::uint64_t n, std::string_view field, std::string_view limit, std::uint64_t allowed) {
    const std::string_view part = raw_text(n, field, limit, allowed);
    if (const std::size_t bad = utf8_error(part); bad != part.size()) {
      at_ = at_ - part.size() + bad;
      fail(field, "invalid UTF-8");
    }
    return part;
  }
  std::string_view raw_text(std::uint64_t n, std::string_view field, std::string_view limit, std::uint64_t allowed) {
    if (n > allowed) throw LimitError(where(field), limit, allowed, n);
    const auto part = bytes(n, field);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

  void skip(std::uint64_t n, std::string_view field) { bytes(n, field); }
  void done(std::string_view field) const {
    if (left() != 0) fail(field, concat(left(), " more bytes follow the last value"));
  }

  Where where(std::string_view field) const {
    return {.path = std::string(path_), .field = std::string(field), .offset = position(), .line = {}, .column = {}};
  }
  [[noreturn]] void fail(std::string_view field, std::string_view reason) const { throw FormatError(where(field), reason); }

 private:
  std::span<const std::byte> bytes_;
  std::string_view path_;
  std::uint64_t first_offset_;
  std::size_t at_ = 0;
};

}  // namespace plume::inline PLUME_ABI
