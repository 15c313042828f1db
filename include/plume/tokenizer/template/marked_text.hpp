#pragma once
// A text that remembers which of its bytes somebody typed: what trim, slices, replace and the like make of such bytes stays typed.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI::jinja {

enum class Source : char { literal, user };

struct MarkedText {
  std::string bytes = {};
  std::string marks = {};  // a Source a byte where both meet; empty: all bytes are of `source`
  Source source = Source::literal;
  bool markup = false;  // came from the filter safe or escape: what is joined to it is escaped

  MarkedText() = default;
  MarkedText(std::string text, Source from) : bytes(std::move(text)), source(from) {}
  MarkedText(std::string_view text, Source from) : bytes(text), source(from) {}

  std::size_t size() const { return bytes.size(); }
  // Whether any byte is a user's.
  bool typed() const {
    if (marks.empty()) return source == Source::user && !bytes.empty();
    return marks.find(static_cast<char>(Source::user)) != std::string::npos;
  }
  MarkedText part(std::size_t begin, std::size_t count) const {
    MarkedText out;
    out.bytes = bytes.substr(begin, count);
    out.source = source;
    if (!marks.empty()) {
      out.marks = marks.substr(begin, count);
      out.unify();
    }
    return out;
  }

  void append(std::string_view text, Source from) {
    if (text.empty()) return;
    if (bytes.empty()) {
      source = from;
      marks.clear();
    } else if (marks.empty() && from != source) {
      marks.assign(bytes.size(), static_cast<char>(source));
    }
    bytes.append(text);
    if (!marks.empty()) marks.append(text.size(), static_cast<char>(from));
  }
  void append(const MarkedText& other) { append(other, 0, other.size()); }
  void append(const MarkedText& other, std::size_t begin, std::size_t count) {
    const std::string_view text = std::string_view(other.bytes).substr(begin, count);
    if (other.marks.empty()) return append(text, other.source);
    for (std::size_t at = begin, end = begin + text.size(); at < end;) {
      const std::size_t next = std::min(other.marks.find_first_not_of(other.marks[at], at), end);
      append(std::string_view(other.bytes).substr(at, next - at), static_cast<Source>(other.marks[at]));
      at = next;
    }
  }

 private:
  void unify() {
    if (marks.empty() || marks.find_first_not_of(marks[0]) == std::string::npos) {
      source = marks.empty() ? source : static_cast<Source>(marks[0]);
      marks.clear();
    }
  }
};

}  // namespace plume::inline PLUME_ABI::jinja
