#pragma once
// Protocol buffers, the wire format alone [protobuf.dev, Encoding]: one message's fields in the order of the bytes. A message inside is a
// field's bytes, read by another reader, so that nesting is the caller's.
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "plume/base/bytes.hpp"
#include "plume/base/config.hpp"
#include "plume/base/error.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

enum class WireType : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

class ProtobufReader {
 public:
  // `name`: the message in errors, such as "trainer_spec"; may be empty.
  ProtobufReader(std::span<const std::byte> message, std::string_view path, std::uint64_t first_offset = 0, std::string name = "")
      : bytes_(message, path, first_offset), path_(path), name_(std::move(name)) {}

  // The next field; false at the end of the message. Its value is read by the function of its type or passed over.
  bool next() {
    if (pending_) skip();
    if (bytes_.left() == 0) return false;
    offset_ = bytes_.position();
    const std::uint64_t key = bytes_.varint(here("key"));
    number_ = key >> 3;
    if (number_ == 0 || number_ >= 1u << 29) throw FormatError(where("key"), concat("there is no field ", number_));
    switch (key & 7) {
      case 0:
      case 1:
      case 2:
      case 5:
        type_ = static_cast<WireType>(key & 7);
        break;
      default:
        throw FormatError(where("key"), concat("field ", number_, " has the wire type ", key & 7, ": only 0, 1, 2 and 5 are read"));
    }
    pending_ = true;
    return true;
  }
  std::uint64_t number() const { return number_; }
  std::uint64_t offset() const { return offset_; }  // of the field's key, in the file

  // The value of the field, called `name` in errors. FormatError: the field is of another type, or the bytes end.
  std::uint64_t integer(std::string_view name) {
    expect(WireType::varint, name);
    return bytes_.varint(here(name));
  }
  bool boolean(std::string_view name) { return integer(name) != 0; }
  float real(std::string_view name) {
    expect(WireType::fixed32, name);
    return bytes_.little<float>(here(name));
  }
  std::string_view text(std::string_view name, std::string_view limit, std::uint64_t allowed) {
    expect(WireType::bytes, name);
    const std::uint64_t size = bytes_.varint(here(name));
    return bytes_.raw_text(size, here(name), limit, allowed);
  }
  // The message that the field holds.
  ProtobufReader message(std::string name) {
    expect(WireType::bytes, name);
    const std::uint64_t size = bytes_.varint(here(name));
    const std::uint64_t begin = bytes_.position();
    return ProtobufReader(bytes_.bytes(size, here(name)), path_, begin, here(name));
  }

  // "pieces[3].score" for the field "score" of the message "pieces[3]".
  std::string here(std::string_view name) const { return name_.empty() ? std::string(name) : concat(name_, ".", name); }
  Where where(std::string_view name) const {
    return {.path = std::string(path_), .field = here(name), .offset = offset_, .line = {}, .column = {}};
  }

 private:
  void expect(WireType type, std::string_view name) {
    if (type_ != type)
      throw FormatError(where(name),
                        concat("has the wire type ", static_cast<unsigned>(type_), ", expected ", static_cast<unsigned>(type)));
    pending_ = false;
  }
  void skip() {
    const std::string name = here(concat("field ", number_));
    pending_ = false;
    switch (type_) {
      case WireType::varint:
        bytes_.varint(name);
        break;
      case WireType::fixed64:
        bytes_.skip(8, name);
        break;
      case WireType::fixed32:
        bytes_.skip(4, name);
        break;
      case WireType::bytes: {
        const std::uint64_t size = bytes_.varint(name);
        bytes_.skip(size, name);
      }
    }
  }

  ByteReader bytes_;
  std::string_view path_;
  std::string name_;
  std::uint64_t number_ = 0, offset_ = 0;
  WireType type_ = WireType::varint;
  bool pending_ = false;  // the field's value has not been read
};

}  // namespace plume::inline PLUME_ABI
