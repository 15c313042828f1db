#pragma once
// Reading and writing JSON (RFC 8259): the one door for foreign JSON. Both ways run on an explicit stack.
#include <string>
#include <string_view>

#include "plume/base/json_value.hpp"

namespace plume::inline PLUME_ABI {

PLUME_FUNCTION void append_json_text(std::string& out, std::string_view text);

// The value as UTF-8 JSON. indent 0: compact, on one line; else that many blanks a level. Invalid bytes of a text become
// U+FFFD; a real keeps its fraction or exponent, so that kinds survive. ArgumentError: NaN or infinity.
PLUME_FUNCTION std::string dump(const Json& json, std::size_t indent = 0);

}  // namespace plume::inline PLUME_ABI

#if PLUME_BODIES
#include <charconv>
#include <cmath>
#include <new>
#include <utility>
#include <vector>

#include "plume/base/text.hpp"
#include "plume/base/utf8.hpp"

namespace plume::inline PLUME_ABI {

class JsonParser {
 public:
  JsonParser(std::string_view text, const JsonOptions& options)
      : text_(text),
        max_depth_(options.limits.max_json_depth),
        max_values_(options.size == JsonSize::table ? std::max<std::uint64_t>(options.limits.max_json_values, text.size() / 8)
                                                    : options.limits.max_json_values),
        origin_(std::make_shared<Json::Origin>()) {
    origin_->path = options.path;
    origin_->first_offset = options.first_offset;
  }

  Json run() {
    if (text_.substr(0, 3) == "\xef\xbb\xbf") fail(0, "starts with a byte-order mark; remove it");
    skip_space();
    for (;;) {
      const char first = peek();
      Json value;
      if (first == '{' || first == '[') {
        open(first == '{');
        if (peek() != (first == '{' ? '}' : ']')) {
          if (first == '{') read_key();
          continue;
        }
        value = close();
      } else {
        value = scalar(first);
      }
      while (!open_.empty()) {
        attach(std::move(value));
        const bool object = open_.back().value.is_object();
        const char next = peek();
        if (next == ',') {
          ++at_;
          skip_space();
          if (object) read_key();
          break;
        }
        if (next != (object ? '}' : ']')) unexpected(object ? "',' or '}'" : "',' or ']'");
        value = close();
      }
      if (!open_.empty()) continue;
      skip_space();
      if (at_ != text_.size()) fail(at_, "more text after the JSON value; remove it");
      return value;
    }
  }

 private:
  struct Frame {
    Json value;
    std::string key;                         // of the member whose value comes next
    std::vector<std::uint32_t> key_offsets;  // of the members so far, for the error about duplicates
  };

  char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }

  [[noreturn]] void fail(std::size_t offset, std::string_view reason) const {
    std::string field;
    if (!open_.empty()) {
      const Frame& frame = open_.back();
      field = origin_->field(frame.value.node_);
      if (!frame.value.is_object())
        field.append(concat("[", frame.value.size(), "]"));
      else if (frame.key_offsets.size() > frame.value.size())
        Json::append_key(field, frame.key);
    }
    throw FormatError(origin_->where(offset, std::move(field)), reason);
  }
  [[noreturn]] void unexpected(std::string_view wanted) const {
    if (at_ >= text_.size()) fail(at_, concat("the text ends where ", wanted, " is expected"));
    fail(at_, concat("expected ", wanted, ", found ", quoted(text_.substr(at_, 1))));
  }

  void skip_space() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\n')
        origin_->line_starts.push_back(static_cast<std::uint32_t>(at_ + 1));
      else if (c != ' ' && c != '\t' && c != '\r')
        return;
    }
  }

  // Notes where the value that starts here stands, and under which name.
  void place(Json& value) {
    if (const std::size_t count = origin_->nodes.size(); count >= max_values_)
      throw LimitError(origin_->where(at_, {}), "max_json_values", max_values_, count + 1);
    Json::Node node{static_cast<std::uint32_t>(at_), Json::no_parent, 0, Json::is_index};
    if (!open_.empty()) {
      const Frame& frame = open_.back();
      node.parent = frame.value.node_;
      if (frame.value.is_object()) {
        node.name = static_cast<std::uint32_t>(origin_->names.size());
        node.name_size = static_cast<std::uint32_t>(frame.key.size());
        origin_->names.append(frame.key);
      } else {
        node.name = static_cast<std::uint32_t>(frame.value.size());
      }
    }
    value.node_ = static_cast<std::uint32_t>(origin_->nodes.size());
    value.origin_ = origin_;
    origin_->nodes.push_back(node);
  }

  void open(bool object) {
    Json value = object ? Json::object() : Json::array();
    place(value);
    if (open_.size() >= max_depth_) throw LimitError(value.where(), "max_json_depth", max_depth_, open_.size() + 1);
    open_.push_back({.value = std::move(value), .key = {}, .key_offsets = {}});
    ++at_;
    skip_space();
  }

  void attach(Json value) {
    Frame& frame = open_.back();
    auto& container = *frame.value.container();
    if (container.is_object)
      container.members.push_back({std::move(frame.key), std::move(value)});
    else
      container.items.push_back(std::move(value));
    skip_space();
  }

  Json close() {
    Frame& frame = open_.back();
    refuse_duplicates(frame);
    Json value = std::move(frame.value);
    open_.pop_back();
    ++at_;
    return value;
  }

  void refuse_duplicates(const Frame& frame) const {
    auto& object = *frame.value.container();
    const auto check = [&](std::size_t first, std::size_t second) {
      const std::string& key = object.members[first].key;
      if (key != object.members[second].key) return;
      const std::uint64_t base = origin_->first_offset, offset = frame.key_offsets[second];
      std::string field = origin_->field(frame.value.node_);
      Json::append_key(field, key);
      throw FormatError(origin_->where(offset, std::move(field)),
                        concat("duplicate key ", quoted(key), " at bytes ", base + frame.key_offsets[first], " and ", base + offset));
    };
    if (object.members.size() <= 8) {
      for (std::size_t i = 1; i < object.members.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) check(j, i);
      return;
    }
    object.sort();
    for (std::size_t i = 1; i < object.order.size(); ++i)
      if (object.order[i - 1].prefix == object.order[i].prefix) check(object.order[i - 1].index, object.order[i].index);
  }

  void read_key() {
    if (peek() != '"') unexpected("a key in double quotes");
    Frame& frame = open_.back();
    const auto offset = static_cast<std::uint32_t>(at_);
    frame.key = string();
    frame.key_offsets.push_back(offset);
    skip_space();
    if (peek() != ':') unexpected("':'");
    ++at_;
    skip_space();
  }

  Json scalar(char first) {
    Json value;
    place(value);
    if (first == '"')
      hold(value, string());
    else if (first == '-' || (first >= '0' && first <= '9'))
      number(value);
    else if (word("true"))
      hold(value, true);
    else if (word("false"))
      hold(value, false);
    else if (!word("null"))
      unexpected("a value");
    return value;
  }

  // Fills a value that has its place.
  static void hold(Json& value, Json content) { value.swap_value(content); }

  bool word(std::string_view name) {
    if (text_.substr(at_, name.size()) != name) return false;
    at_ += name.size();
    return true;
  }

  void number(Json& value) {
    const std::size_t begin = at_;
    const auto digits = [&] {
      const std::size_t start = at_;
      while (peek() >= '0' && peek() <= '9') ++at_;
      if (at_ == start) unexpected("a digit");
    };
    if (peek() == '-') ++at_;
    const bool zero = peek() == '0';
    const std::size_t whole = at_;
    digits();
    if (zero && at_ - whole > 1) fail(begin, "a number with a leading zero; remove the zero");
    bool integer = true;
    if (peek() == '.') {
      integer = false;
      ++at_;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      integer = false;
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
    const char* const from = text_.data() + begin;
    const char* const to = text_.data() + at_;
    if (integer) {
      std::int64_t small = 0;
      std::uint64_t large = 0;
      if (std::from_chars(from, to, small).ec == std::errc())
        hold(value, small);
      else if (*from != '-' && std::from_chars(from, to, large).ec == std::errc())
        hold(value, large);
      else
        fail(begin, concat("the integer ", quoted(text_.substr(begin, at_ - begin)), " does not fit 64 bits"));
    } else {
      double real = 0;
      if (std::from_chars(from, to, real).ec != std::errc())
        fail(begin, concat("the number ", quoted(text_.substr(begin, at_ - begin)), " is outside the range of a double"));
      hold(value, real);
    }
  }

  std::string string() {
    const std::size_t begin = at_++;
    std::string out;
    std::size_t copied = at_;  // start of the run not yet appended
    for (;;) {
      if (at_ >= text_.size()) fail(begin, "the text ends inside this string");
      const auto byte = static_cast<unsigned char>(text_[at_]);
      if (byte == '"') {
        out.append(text_.substr(copied, at_ - copied));
        ++at_;
        return out;
      }
      if (byte == '\\') {
        out.append(text_.substr(copied, at_ - copied));
        escape(out);
        copied = at_;
      } else if (byte < 0x20) {
        fail(at_, concat("raw control byte ", quoted(text_.substr(at_, 1)), " in a string; write it as an escape"));
      } else if (byte < 0x80) {
        ++at_;
      } else {
        const std::size_t length = utf8_length(text_, at_);
        if (length == 0) fail(at_, concat("invalid UTF-8 byte ", quoted(text_.substr(at_, 1)), " in a string"));
        at_ += length;
      }
    }
  }

  void escape(std::string& out) {
    static constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const std::size_t begin = at_++;
    const char letter = peek();
    if (const std::size_t which = letters.find(letter); which != letters.npos) {
      out.push_back(meanings[which]);
      ++at_;
      return;
    }
    if (letter != 'u') fail(begin, concat("unknown escape ", quoted(text_.substr(begin, 2))));
    char32_t value = hex(begin);
    if (value >= 0xdc00 && value <= 0xdfff) fail(begin, "lone low surrogate");
    if (value >= 0xd800 && value <= 0xdbff) {
      if (text_.substr(at_, 2) != "\\u") fail(begin, "lone high surrogate");
      ++at_;
      const char32_t low = hex(begin);
      if (low < 0xdc00 || low > 0xdfff) fail(begin, "lone high surrogate");
      value = 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(out, value);
  }

  // At the 'u' of an escape: reads the four digits behind it.
  char32_t hex(std::size_t begin) {
    std::uint32_t value = 0;
    const std::string_view digits = text_.substr(at_ + 1 <= text_.size() ? at_ + 1 : text_.size(), 4);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 4 || error != std::errc() || end != digits.data() + 4) fail(begin, "\\u wants four hexadecimal digits");
    at_ += 5;
    return value;
  }

  std::string_view text_;
  std::uint64_t max_depth_, max_values_;
  std::shared_ptr<Json::Origin> origin_;
  std::vector<Frame> open_;
  std::size_t at_ = 0;
};

PLUME_FUNCTION Json Json::parse(std::string_view text, const JsonOptions& options) {
  constexpr std::uint64_t addressable = 0xffffffff;  // positions are kept in 32 bits
  const std::uint64_t allowed = std::min(options.max_bytes.value_or(options.limits.max_json_bytes), addressable);
  if (text.size() > allowed) throw LimitError(Where{.path = options.path}, "max_json_bytes", allowed, text.size());
  try {
    return JsonParser(text, options).run();
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(text.size(), "a JSON text");
  }
}

PLUME_FUNCTION void append_json_text(std::string& out, std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  static constexpr std::string_view special = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
  out.push_back('"');
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (const std::size_t which = special.find(text[at]); which != special.npos) {
      out.append({'\\', letters[which]});
      ++at;
    } else if (byte < 0x20) {
      out.append({'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]});
      ++at;
    } else if (const std::size_t length = utf8_length(text, at)) {
      out.append(text.substr(at, length));
      at += length;
    } else {
      out.append("\xef\xbf\xbd");
      ++at;
    }
  }
  out.push_back('"');
}

PLUME_FUNCTION std::string dump(const Json& json, std::size_t indent) {
  struct Level {
    const Json* value;
    std::size_t next = 0;
  };
  std::string out;
  std::vector<Level> levels;
  const auto new_line = [&] {
    if (indent > 0) out.append("\n").append(indent * levels.size(), ' ');
  };
  const auto begin = [&](const Json& value) {
    switch (value.kind()) {
      case Json::Kind::null:
        out.append("null");
        break;
      case Json::Kind::boolean:
        append_text(out, value.as_boolean());
        break;
      case Json::Kind::integer:
        out.append(value.is_unsigned_only() ? concat(value.as_unsigned()) : concat(value.as_integer()));
        break;
      case Json::Kind::real: {
        const double real = value.as_number();
        require(std::isfinite(real), "[dump] JSON has no NaN and no infinity");
        const std::string digits = concat(real);
        out.append(digits).append(digits.find_first_of(".e") == digits.npos ? ".0" : "");
        break;
      }
      case Json::Kind::text:
        append_json_text(out, value.as_text());
        break;
      case Json::Kind::array:
      case Json::Kind::object:
        out.push_back(value.is_object() ? '{' : '[');
        levels.push_back({&value});
        break;
    }
  };
  begin(json);
  while (!levels.empty()) {
    const Json& value = *levels.back().value;
    const std::size_t index = levels.back().next++;
    if (index == value.size()) {
      levels.pop_back();
      if (index > 0) new_line();
      out.push_back(value.is_object() ? '}' : ']');
      continue;
    }
    if (index > 0) out.push_back(',');
    new_line();
    if (value.is_object()) {
      append_json_text(out, value.members()[index].key);
      out.append(indent > 0 ? ": " : ":");
      begin(value.members()[index].value);
    } else {
      begin(value.items()[index]);
    }
  }
  return out;
}

}  // namespace plume::inline PLUME_ABI
#endif
