#pragma once
// Building messages: concat("rows ", 3) without iostream or std::format (absent in g++ 12).
#include <charconv>
#include <concepts>
#include <string>
#include <string_view>

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

// Types of plume join in by an append_text(std::string&, const Type&) beside them.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string out;
  (append_text(out, parts), ...);
  return out;
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
