#pragma once
// Deterministic mutants of files: a file is taken apart by its structure, a field is changed, and it is written again, also wrongly.
// Nothing here uses the readers or writers of the library.
#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plume/base/random.hpp"
#include "plume/base/text.hpp"

namespace plume_test {

enum class FileKind : std::uint8_t { json, json_lines, lines, safetensors, llama2c, tokenizer_bin, protobuf, gguf };

struct Dice {
  plume::Random random;
  explicit Dice(std::uint64_t seed, std::uint64_t stream = 0) : random{.seed = seed, .stream = stream} {}
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random.below(bound)); }
  std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }
  bool chance(std::size_t percent) { return below(100) < percent; }
  template <class List>
  auto& pick(List& list) {
    return list[below(std::size(list))];
  }
};

// A JSON text as it is spelled: what is written back need not be JSON.
struct JsonNode {
  enum class Kind : std::uint8_t { scalar, array, object };
  Kind kind = Kind::scalar;
  std::string key = {};   // of a member, with its quotes
  std::string text = {};  // of a scalar
  std::vector<JsonNode> parts = {};

  void append_to(std::string& out) const {
    if (kind == Kind::scalar) {
      out += text;
      return;
    }
    out += kind == Kind::object ? '{' : '[';
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (i > 0) out += ',';
      if (kind == Kind::object) out.append(parts[i].key).append(":");
      parts[i].append_to(out);
    }
    out += kind == Kind::object ? '}' : ']';
  }
  std::string spelled() const {
    std::string out;
    append_to(out);
    return out;
  }
};

// Takes a JSON text apart; nothing when it is none that this small parser understands.
class JsonTaker {
 public:
  explicit JsonTaker(std::string_view text) : text_(text) {}
  std::optional<JsonNode> take() {
    JsonNode node;
    if (!value(node, 0)) return std::nullopt;
    space();
    if (!text_.empty()) return std::nullopt;
    return node;
  }

 private:
  void space() { text_.remove_prefix(std::min(text_.find_first_not_of(" \t\r\n"), text_.size())); }
  bool sign(char c) {
    space();
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool quoted_text(std::string& into) {
    space();
    if (!text_.starts_with('"')) return false;
    std::size_t end = 1;
    while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2u : 1u;
    if (end >= text_.size()) return false;
    into = text_.substr(0, end + 1);
    text_.remove_prefix(end + 1);
    return true;
  }
  bool value(JsonNode& node, int depth) {
    space();
    if (text_.empty() || depth > 70) return false;
    if (text_[0] == '"') return quoted_text(node.text);
    if (text_[0] != '{' && text_[0] != '[') {
      const std::size_t end = std::min(text_.find_first_of(",]} \t\r\n"), text_.size());
      node.text = text_.substr(0, end);
      text_.remove_prefix(end);
      return end > 0;
    }
    const bool object = text_[0] == '{';
    node.kind = object ? JsonNode::Kind::object : JsonNode::Kind::array;
    text_.remove_prefix(1);
    const char closing = object ? '}' : ']';
    if (sign(closing)) return true;
    do {
      node.parts.emplace_back();
      if (object && (!quoted_text(node.parts.back().key) || !sign(':'))) return false;
      if (!value(node.parts.back(), depth + 1)) return false;
    } while (sign(','));
    return sign(closing);
  }

  std::string_view text_;
};

inline constexpr std::string_view json_boundaries[] = {"0",
                                                       "-0",
                                                       "1",
                                                       "-1",
                                                       "2",
                                                       "3",
                                                       "64",
                                                       "65",
                                                       "255",
                                                       "256",
                                                       "10000",
                                                       "10001",
                                                       "1048577",
                                                       "2147483647",
                                                       "2147483648",
                                                       "-2147483648",
                                                       "4294967295",
                                                       "4294967296",
                                                       "9007199254740993",
                                                       "4611686018427387904",
                                                       "9223372036854775807",
                                                       "9223372036854775808",
                                                       "-9223372036854775808",
                                                       "18446744073709551615",
                                                       "18446744073709551616",
                                                       "1.0",
                                                       "1.5",
                                                       "1e3",
                                                       "1e-300",
                                                       "1e300",
                                                       "1e999",
                                                       "-1e-5",
                                                       "NaN",
                                                       "null",
                                                       "true",
                                                       "false",
                                                       "\"\"",
                                                       "\"x\"",
                                                       "\"F32\"",
                                                       "\"I64\"",
                                                       "\"\\u0000\"",
                                                       "\"\\ud800\"",
                                                       "\"\xff\"",
                                                       "\"../x\"",
                                                       "\"/etc/passwd\"",
                                                       "\"10\"",
                                                       "[]",
                                                       "{}",
                                                       "[[]]",
                                                       "[0]",
                                                       "",
                                                       "+1",
                                                       "01"};

// Changes one thing in a document; `other` lends parts.
inline void mutate_json(JsonNode& root, Dice& dice, const JsonNode* other = nullptr) {
  std::vector<JsonNode*> all, containers;
  const auto collect = [&](auto&& self, JsonNode& node) -> void {
    all.push_back(&node);
    if (node.kind != JsonNode::Kind::scalar) containers.push_back(&node);
    for (JsonNode& part : node.parts) self(self, part);
  };
  collect(collect, root);
  const auto replace = [](JsonNode& node, const JsonNode& by) {  // all but its key
    JsonNode copy = by;
    copy.key = node.key;
    node = std::move(copy);
  };
  JsonNode& node = *dice.pick(all);
  JsonNode& container = containers.empty() ? root : *dice.pick(containers);
  auto& parts = container.parts;
  switch (dice.below(14)) {
    case 0:
    case 1:
    case 2:
      return replace(node, {.text = std::string(dice.pick(json_boundaries))});
    case 3:
    case 4: {  // a number close to what it was
      std::vector<JsonNode*> numbers;
      for (JsonNode* each : all)
        if (!each->text.empty() && (each->text[0] == '-' || (each->text[0] >= '0' && each->text[0] <= '9'))) numbers.push_back(each);
      if (numbers.empty()) return;
      JsonNode& number = *dice.pick(numbers);
      std::int64_t value = 0;
      std::from_chars(number.text.data(), number.text.data() + number.text.size(), value);
      const auto as_unsigned = static_cast<std::uint64_t>(value);
      const std::uint64_t changed[] = {as_unsigned + 1, as_unsigned - 1, as_unsigned * 2, 0 - as_unsigned, as_unsigned + (1ull << 32)};
      number.text = plume::concat(static_cast<std::int64_t>(dice.pick(changed)));
      return;
    }
    case 5:  // twice
      if (!parts.empty()) {
        const JsonNode copy = dice.pick(parts);
        parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(dice.below(parts.size() + 1)), copy);
      }
      return;
    case 6:  // left out
      if (!parts.empty()) parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(dice.below(parts.size())));
      return;
    case 7:  // another order
      if (!parts.empty()) std::swap(dice.pick(parts), dice.pick(parts));
      return;
    case 8: {  // a part of this document, or of another
      if (other == nullptr) return replace(node, JsonNode(*dice.pick(all)));
      std::vector<const JsonNode*> lent;
      const auto lend = [&](auto&& self, const JsonNode& each) -> void {
        lent.push_back(&each);
        for (const JsonNode& part : each.parts) self(self, part);
      };
      lend(lend, *other);
      return replace(node, *dice.pick(lent));
    }
    case 9:  // another name
      if (!node.key.empty()) {
        constexpr std::string_view names[] = {"\"\"", "\"x\"", "\"\\u0000\"", "\"__metadata__\"", "\"../../x\"", "\"\xff\"", "x"};
        node.key = dice.chance(50) ? dice.pick(all)->key : std::string(dice.pick(names));
      }
      return;
    case 10:  // something unknown
      parts.push_back({.key = plume::concat("\"key", dice.below(100), '"'), .text = std::string(dice.chance(50) ? "\"x\"" : "null")});
      return;
    case 11: {  // nested
      const std::size_t depths[] = {1, 2, 62, 63, 64, 65, 3000};
      const std::size_t depth = dice.pick(depths);
      return replace(node, {.text = std::string(depth, '[') + (dice.chance(80) ? std::string(depth, ']') : "")});
    }
    case 12: {  // long
      const std::size_t sizes[] = {81, 4096, 4097, 70000};
      const std::string text = '"' + std::string(dice.chance(90) ? dice.below(100) : dice.pick(sizes), 'y') + '"';
      if (!node.key.empty() && dice.chance(50))
        node.key = text;
      else
        replace(node, {.text = text});
      return;
    }
    default:  // a member becomes an element, an array an object
      if (!containers.empty()) container.kind = container.kind == JsonNode::Kind::array ? JsonNode::Kind::object : JsonNode::Kind::array;
      return;
  }
}

// Changes bytes without knowing what they mean; `other` lends a part.
inline void mutate_bytes(std::string& bytes, Dice& dice, std::string_view other) {
  if (bytes.empty()) {
    bytes.assign(dice.below(9), '\0');
    return;
  }
  const std::size_t at = dice.below(bytes.size()), count = std::min(dice.between(1, 16), bytes.size() - at);
  switch (dice.below(8)) {
    case 0:
      bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ (1u << dice.below(8)));
      return;
    case 1: {
      constexpr char values[] = {'\0', '\1', '\x7f', '\x80', '\xff', '\n', ' ', '"', '{', ']', ','};
      bytes[at] = dice.pick(values);
      return;
    }
    case 2:
      bytes.resize(at);
      return;
    case 3:
      bytes.erase(at, count);
      return;
    case 4:
      bytes.insert(at, bytes.substr(at, count));
      return;
    case 5:
      bytes.append(dice.between(1, 16), dice.chance(50) ? '\0' : ' ');
      return;
    case 6:  // begins as this, ends as the other
      if (!other.empty()) bytes = bytes.substr(0, at) + std::string(other.substr(dice.below(other.size())));
      return;
    default:
      if (!other.empty()) {
        const std::string_view lent = other.substr(dice.below(other.size()), count);
        bytes.replace(at, lent.size(), lent);
      }
      return;
  }
}

template <class Number>
void put(std::string& bytes, const Number& number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}
template <class Number>
Number number_at(std::string_view bytes, std::size_t at) {
  Number number{};
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

// A whole number near what it was or at the edge of its type.
template <class Number>
void mutate_number(std::string& bytes, std::size_t at, Dice& dice) {
  using Unsigned = std::make_unsigned_t<Number>;
  const auto old = static_cast<Unsigned>(number_at<Number>(bytes, at));
  constexpr auto top = static_cast<Unsigned>(Unsigned{1} << (8 * sizeof(Number) - 1));
  const Unsigned values[] = {0,
                             1,
                             2,
                             static_cast<Unsigned>(old + 1),
                             static_cast<Unsigned>(old - 1),
                             static_cast<Unsigned>(old * 2),
                             static_cast<Unsigned>(0 - old),
                             static_cast<Unsigned>(~Unsigned{0}),
                             top,
                             static_cast<Unsigned>(top - 1),
                             static_cast<Unsigned>(bytes.size()),
                             static_cast<Unsigned>(dice.random.next())};
  const Unsigned value = dice.pick(values);
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

inline float any_float(Dice& dice) {
  constexpr std::uint32_t special[] = {0x7fc00000u, 0x7f800000u, 0xff800000u, 0x00000001u, 0x7f7fffffu, 0x80000000u};
  return std::bit_cast<float>(dice.pick(special));
}

}  // namespace plume_test
