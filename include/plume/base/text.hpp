#pragma once
// Building messages: concat("rows ", 3) without iostream or std::format (absent in g++ 12).
#include <charconv>
#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI {

inline void append_text(std::string& out, std::string_view part) { out.append(part); }
inline void append_text(std::string& out, char part) { out.push_back(part); }
template <std::same_as<bool> Bool>  // a template, so that string literals do not convert to it
void append_text(std::string& out, Bool part) {
  out.append(part ? "true" : "false");
}
template <class Number>
requires((std::integral<Number> || std::floating_point<Number>)&&!std::same_as<Number, char> &&
         !std::same_as<Number, bool>) void append_text(std::string& out, Number part) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, part).ptr;
  out.append(buffer, end);
}

// One piece of a message: a reference and how to write it, so that the many messages of the library share one function.
// Types of plume join in by an append_text(std::string&, const Type&) beside them.
class MessagePart {
 public:
  MessagePart(const char* text)
      : value_(text), append_([](std::string& out, const void* value) { out.append(static_cast<const char*>(value)); }) {}
  template <class T>
  requires(!std::is_array_v<T>) MessagePart(const T& value)
      : value_(&value), append_([](std::string& out, const void* from) { append_text(out, *static_cast<const T*>(from)); }) {}
  void append_to(std::string& out) const { append_(out, value_); }

 private:
  const void* value_;
  void (*append_)(std::string&, const void*);
};

[[gnu::noinline]] inline std::string join_text(const MessagePart* parts, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) parts[i].append_to(out);
  return out;
}

template <class... Parts>
std::string concat(const Parts&... parts) {
  const MessagePart list[] = {MessagePart(parts)...};
  return join_text(list, sizeof...(parts));
}

// Foreign text inside a message: control and non-ASCII bytes escaped, cut to 80 bytes, so that it cannot forge log lines.
// An object, not a function: a call with a std::string then never means std::quoted, which <iomanip> brings in.
inline constexpr auto quoted = [](std::string_view foreign) {
  constexpr std::size_t limit = 80;
  constexpr char digits[] = "0123456789abcdef";
  std::string out("\"");
  for (std::size_t i = 0; i < foreign.size() && i < limit; ++i) {
    const auto byte = static_cast<unsigned char>(foreign[i]);
    if (byte == '"' || byte == '\\') {
      out.push_back('\\');
      out.push_back(foreign[i]);
    } else if (byte < 0x20 || byte >= 0x7f) {
      out.append({'\\', 'x', digits[byte >> 4], digits[byte & 15]});
    } else {
      out.push_back(foreign[i]);
    }
  }
  if (foreign.size() > limit) out.append("...");
  out.push_back('"');
  return out;
};

}  // namespace plume::inline PLUME_ABI
