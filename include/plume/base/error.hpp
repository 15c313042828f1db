#pragma once
// One hierarchy of exceptions. what() is one line: what, where, what to do.
//
//   Error
//   ├─ InputError        foreign data is wrong; where() says path, field and position
//   │  ├─ FormatError    the bytes break the format
//   │  ├─ ConfigError    well-formed, but a value is inconsistent or unsupported
//   │  └─ LimitError     well-formed, larger than Limits allows
//   ├─ ArgumentError     the caller's argument: shape, dtype, id out of range
//   ├─ IoError           an operation on a file failed
//   ├─ OutOfMemory       an allocation failed; allocates nothing itself
//   ├─ NumericError      NaN or infinity
//   └─ Cancelled         a StopToken fired; the object stays usable
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "plume/base/config.hpp"
#include "plume/base/text.hpp"

namespace plume::inline PLUME_ABI {

class Error : public std::exception {
 public:
  explicit Error(std::string text) : text_(std::make_shared<const std::string>(std::move(text))) {}
  const char* what() const noexcept override { return text_ ? text_->c_str() : "plume error"; }

 protected:
  Error() noexcept = default;

 private:
  std::shared_ptr<const std::string> text_;  // shared, so that copying an exception never throws
};

// Where foreign data is wrong. `field` names it as a path: "tensors[3].data_offsets", "messages[0].role".
struct Where {
  std::string path = {};
  std::string field = {};
  std::optional<std::uint64_t> offset = {};  // bytes from the start of the file
  std::optional<std::uint64_t> line = {}, column = {};
};

inline void append_text(std::string& out, const Where& where) {
  append_text(out, where.path.empty() ? std::string_view("input") : std::string_view(where.path));
  if (where.line) {
    out.append(concat(":", *where.line));
    if (where.column) out.append(concat(":", *where.column));
  }
  out.append(": ");
  if (!where.field.empty()) out.append(where.field).append(": ");
  if (where.offset && !where.line) out.append(concat("byte ", *where.offset, ": "));
}

class InputError : public Error {
 public:
  InputError(Where where, std::string_view reason)
      : Error(concat(where, reason)), details_(std::make_shared<const Details>(Details{std::move(where), std::string(reason)})) {}
  const Where& where() const noexcept { return details_->where; }
  const std::string& reason() const noexcept { return details_->reason; }

 private:
  struct Details {
    Where where;
    std::string reason;
  };
  std::shared_ptr<const Details> details_;
};

class FormatError : public InputError {
 public:
  using InputError::InputError;
};

class ConfigError : public InputError {
 public:
  using InputError::InputError;
};

class LimitError : public InputError {
 public:
  LimitError(Where where, std::string_view limit, std::uint64_t allowed, std::uint64_t asked)
      : InputError(std::move(where), concat("asks for ", asked, ", more than Limits::", limit, " = ", allowed,
                                            " allows; raise that limit if the input is trusted")),
        limit_(limit),
        allowed_(allowed),
        asked_(asked) {}
  std::string_view limit() const noexcept { return limit_; }  // a field of Limits; a string literal
  std::uint64_t allowed() const noexcept { return allowed_; }
  std::uint64_t asked() const noexcept { return asked_; }

 private:
  std::string_view limit_;
  std::uint64_t allowed_, asked_;
};

class ArgumentError : public Error {
 public:
  using Error::Error;
};

class IoError : public Error {
 public:
  IoError(std::string_view operation, std::string_view path, int error_number)
      : Error(concat(path, ": cannot ", operation, ": ", std::generic_category().message(error_number))), error_number_(error_number) {}
  int error_number() const noexcept { return error_number_; }

 private:
  int error_number_;
};

class OutOfMemory : public Error {
 public:
  // bytes 0: not known.
  OutOfMemory(std::uint64_t bytes, std::string_view purpose) noexcept : bytes_(bytes) {
    char* end = text_.data() + text_.size() - 1;
    char* at = put(text_.data(), end, "out of memory: ");
    if (bytes > 0) {
      at = put(at, end, "cannot allocate ");
      at = std::to_chars(at, end, bytes).ptr;
      at = put(at, end, " bytes for ");
    } else {
      at = put(at, end, "no room for ");
    }
    *put(at, end, purpose) = '\0';
  }
  const char* what() const noexcept override { return text_.data(); }
  std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  static char* put(char* at, char* end, std::string_view part) noexcept {
    const std::size_t count = std::min(part.size(), static_cast<std::size_t>(end - at));
    std::memcpy(at, part.data(), count);
    return at + count;
  }
  std::array<char, 160> text_{};
  std::uint64_t bytes_;
};

// In the catch (...) of a public function: failures of memory that the standard library reports become OutOfMemory, all else goes on.
[[noreturn]] inline void rethrow_memory_failure(std::string_view purpose) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(0, purpose);
  } catch (const std::length_error&) {
    throw OutOfMemory(0, purpose);
  }
}

class NumericError : public Error {
 public:
  using Error::Error;
};

class Cancelled : public Error {
 public:
  Cancelled() : Error("cancelled") {}
};

[[noreturn, gnu::cold, gnu::noinline]] inline void throw_argument_error(const MessagePart* parts, std::size_t count) {
  throw ArgumentError(join_text(parts, count));
}

// Checks an argument at the door of a public function: require(ok, "[linear] x has ", n, " columns").
template <class... Parts>
void require(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]] {
    const MessagePart list[] = {MessagePart(parts)...};
    throw_argument_error(list, sizeof...(parts));
  }
}

}  // namespace plume::inline PLUME_ABI
